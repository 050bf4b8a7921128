//go:build linux

// The lesson of 06: a network namespace alone, then plugged in, then behind the host's address.

package main

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// experiments are the programs that the lesson runs inside, and some of them also outside, to
// compare. Each prints what it measured. Keepers aren't experiments, but start in the same way.
var experiments = map[string]func([]string) error{
	"keep:pasta":     keepPasta,
	"keeper:undo":    undo,
	"lesson:network": printNetwork,
	"lesson:links":   printLinkStates,
	"lesson:hear":    hear,
	"lesson:obey":    obey,
	"lesson:limits":  printLimits,
	"lesson:touch":   touch,
}

// undoings are the kinds of things that the keeper can undo.
var undoings = map[string]func(which string) error{"nat": removeNAT}

// patience is how long the lesson waits for an answer that never comes.
const patience = 2 * time.Second

// notTheRealHost returns why the lesson can't use the real host, or "" if it can. Root could run it
// on a host with a firewall too, but would only see the firewall drop its packets.
func notTheRealHost(args []string) string {
	if reason := notRoot(); reason != "" || !asksForLesson(args) {
		return reason
	}
	rules, _ := nft("list ruleset") // empty if nft doesn't run
	from, to := packet{"jail0", "jail1", "new"}, packet{"jail1", "jail0", "established"}
	found := append(barriers(rules, "input", from), barriers(rules, "forward", from, to)...)
	for _, b := range found {
		return "but chain " + b.chain + " lets nothing new pass"
	}
	return ""
}

// filtered is the likely reason if a packet doesn't arrive on a real host.
const filtered = " (a packet filter of this host may drop it, see `nft list ruleset`; " +
	"without root, the lesson plays a host that has none)"

// lesson shows a network namespace without a cable and with one, NAT, and two containers.
func lesson(n *narrator) error {
	if os.Args[0] != role(standIn) { // playHost has printed that line already
		say("host", "process %d, uid %d", os.Getpid(), os.Getuid())
	}
	secret := rand.Text()[:8]
	addresses, err := plant(secret)
	if err != nil {
		return err
	}
	if err := alone(n, secret, addresses); err != nil {
		return err
	}
	if err := connected(n, secret, addresses); err != nil {
		return err
	}
	for _, part := range []func(*narrator) error{behindNAT, twoContainers, whatLeaks} {
		if err := part(n); err != nil {
			return err
		}
	}
	return nil
}

// within prepares an experiment to be run in a container, as a reader would run any command.
func within(args ...string) *exec.Cmd {
	return self(append([]string{"/proc/self/exe"}, args...)...)
}

// plant offers a secret in two places that only the host should reach, for as long as this process
// runs: a port on 127.0.0.1 and an abstract socket, which isn't a file (unix(7)).
func plant(secret string) (addresses []string, err error) {
	port, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	socket, err := net.Listen("unix", "@jail-"+rand.Text()[:8])
	if err != nil {
		return nil, err
	}
	go answerAll(port, secret)
	go answerAll(socket, secret)
	return []string{port.Addr().String(), socket.Addr().String()}, nil
}

// node prepares an experiment in a network namespace of its own, and a user namespace, without
// which an ordinary user can't create it. The rest of a container isn't needed.
func node(args ...string) *exec.Cmd {
	cmd := self(args...)
	cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWUSER | unix.CLONE_NEWNET
	cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
	cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	return cmd
}

// alone tries to hear the secret in a network namespace without a cable.
func alone(n *narrator, secret string, addresses []string) error {
	n.part("Alone: a network namespace without a cable")
	experiments := [][]string{{"lesson:network"}, {"lesson:links"}}
	rules := []rule{isShared, nil}
	for _, address := range addresses {
		experiments = append(experiments, []string{"lesson:hear", address})
		rules = append(rules, reaches(secret))
	}
	for i, args := range experiments {
		outside, err := ask(self(args...))
		if err != nil {
			return err
		}
		inside, err := ask(node(args...))
		if err != nil {
			return err
		}
		n.compare(experiment{strings.Join(args, " "), outside, inside, rules[i], held})
	}
	return nil
}

// connected plugs a cable in, step by step, and sends a word each way. Then it tries to hear the
// secret again.
func connected(n *narrator, secret string, addresses []string) error {
	inner, _, err := start(node("lesson:obey"))
	if err != nil {
		return err
	}
	defer inner.end()
	n.part("Plugged in: a cable, an address at each end, a route")
	enter := fmt.Sprintf("nsenter -t %d -U -n --preserve-credentials ", inner.cmd.Process.Pid)
	c, err := plugIn(inner.cmd.Process.Pid, func(command string) {
		if short, found := strings.CutPrefix(command, enter); found {
			sayLong(inside, short, ` \`)
		} else {
			sayLong("host", command, ` \`)
		}
	})
	if err != nil {
		return err
	}
	if err := bothWays(c, inner); err != nil {
		return err
	}
	for _, address := range addresses {
		outside, err := ask(self("lesson:hear", address))
		if err != nil {
			return err
		}
		heard, err := inner.tell("call " + address)
		if err != nil {
			return err
		}
		n.compare(experiment{
			what: "call " + address, host: outside, inside: address + " says " + heard,
			rule: reaches(secret), expect: held,
		})
	}
	return nil
}

// sayLong prints a fact on as many lines as it needs. Each but the last ends in end.
func sayLong(who, text, end string) {
	for most := width - margin; len(text) > most; {
		blank := strings.LastIndex(text[:most-len(end)+1], " ")
		if blank < most/2 { // a long word follows: say cuts that
			if blank = most + strings.Index(text[most:], " "); blank < most {
				break
			}
		}
		say(who, "%s", text[:blank]+end)
		text = "  " + text[blank+1:]
	}
	say(who, "%s", text)
}

// bothWays lets host and container call each other over TCP, and each passes on a random word.
func bothWays(c cable, inner *helper) error {
	here, err := net.Listen("tcp4", netip.AddrPortFrom(c.host.Addr(), 0).String())
	if err != nil {
		return err
	}
	defer here.Close()
	word := rand.Text()[:8]
	heard := make(chan string, 1)
	go func() { heard <- answerOne(here, word) }()
	got, err := inner.tell("call " + here.Addr().String())
	if err != nil {
		return err
	}
	if got != word {
		return fmt.Errorf("the container called %s and heard %q, not %q%s",
			here.Addr(), got, word, filtered)
	}
	say(inside, "%s on the host says %s", here.Addr(), got)
	say("host", "the caller was %s", <-heard)

	port, err := inner.tell("listen " + c.container.Addr().String() + " " + word)
	if err != nil {
		return err
	}
	got, err = call(port)
	if err != nil {
		return err
	}
	if got != word {
		return fmt.Errorf("the host called %s and heard %q, not %q", port, got, word)
	}
	say("host", "%s in the container says %s", port, got)
	return nil
}

// behindNAT has the container call a third network namespace, which plays the world, without NAT
// and with it. The world says who called.
func behindNAT(n *narrator) error {
	inner, world, end, err := twoPluggedIn()
	if err != nil {
		return err
	}
	defer end()
	n.part("NAT: what does the world see?")
	for _, link := range []string{inner.link, world.link} {
		if err := forward(link, true); err != nil {
			return err
		}
	}
	say("host", "forwards between %s (container) and %s (world)", inner.link, world.link)
	seen := func() (string, error) {
		port, err := world.tell("witness " + world.container.Addr().String())
		if err != nil {
			return "", err
		}
		if _, err := inner.tell("call " + port); err != nil {
			return "", err
		}
		caller, err := world.listen()
		host, _, _ := net.SplitHostPort(caller)
		return host, err
	}
	before, err := seen()
	if err != nil {
		return err
	}
	if before != inner.container.Addr().String() {
		return fmt.Errorf("without NAT, the world was called by %q, not by the container, %s%s",
			before, inner.container.Addr(), filtered)
	}
	if _, err := findNft(); err != nil {
		say("host", "there is no nft command here, so no NAT (install the package nftables)")
		return nil
	}
	_, undo, err := keepNAT(inner.cable)
	if err != nil {
		say("host", "%v: so no NAT", err)
		return nil
	}
	after, err := seen()
	if err := errors.Join(err, undo()); err != nil {
		return err
	}
	say("host", "nft: set links { %s }, iifname @links masquerade", inner.link)
	e := experiment{
		what: "what the world can see", host: before, inside: after,
		rule: isShared, expect: held,
	}
	own, ours := inner.container.Addr().String(), world.cable.host.Addr().String()
	columns([][]string{
		{"", "without NAT", "with NAT", ""},
		{e.what, e.host, e.inside, string(n.judge(e))},
		{"the container is", own, own, ""},
		{"the host is", ours, ours, ""},
	})
	return nil
}

// twoContainers compares two containers that run at the same time.
func twoContainers(n *narrator) error {
	one, another, end, err := twoPluggedIn()
	if err != nil {
		return err
	}
	defer end()
	n.part("Two containers, side by side")
	const port = "127.0.0.1:8080" // the same in both
	secret := rand.Text()[:8]
	var said [2]string
	words := [2]string{secret, rand.Text()[:8]}
	for i, c := range []*plugged{one, another} {
		if _, err := c.tell("serve " + port + " " + words[i]); err != nil {
			return err
		}
		if said[i], err = c.tell("call " + port); err != nil {
			return err
		}
	}
	rows := [][]string{{"", "one", "another", ""}}
	for _, e := range []experiment{
		{what: "link on the host", host: one.link, inside: another.link, rule: isShared},
		{what: "address", host: one.container.Addr().String(),
			inside: another.container.Addr().String(), rule: isShared},
		{what: "network namespace", host: one.namespace(), inside: another.namespace(),
			rule: isShared},
		{what: port + " says", host: said[0], inside: said[1], rule: reaches(secret)},
	} {
		e.expect = held
		rows = append(rows, []string{e.what, e.host, e.inside, string(n.judge(e))})
	}
	columns(rows)
	return nil
}

// plugged is a helper with its cable.
type plugged struct {
	*helper
	cable
}

// namespace returns the name of its network namespace.
func (p *plugged) namespace() string {
	return namespaceOf(strconv.Itoa(p.cmd.Process.Pid), "net")
}

// twoPluggedIn starts two helpers, each with a cable of its own, and returns a function to end
// them.
func twoPluggedIn() (one, another *plugged, end func(), err error) {
	var both [2]*plugged
	end = func() {
		for _, p := range both {
			if p != nil {
				_ = p.end() // the error says only that it was killed
			}
		}
	}
	for i := range both {
		h, _, err := start(node("lesson:obey"))
		if err != nil {
			end()
			return nil, nil, nil, err
		}
		both[i] = &plugged{helper: h}
		if both[i].cable, err = plugIn(h.cmd.Process.Pid, nil); err != nil {
			end()
			return nil, nil, nil, err
		}
	}
	return both[0], both[1], end, nil
}

// whatLeaks takes memory, which nothing limits yet.
func whatLeaks(n *narrator) error {
	n.part("What is still the host's: the whole machine")
	machine, err := n.ask("lesson:limits")
	if err != nil {
		return err
	}
	machine.what = "the machine"
	size := strconv.Itoa(256 << 20)
	n.table("", machine, experiment{
		what: "use 256 MiB of memory", rule: reaches("done"), expect: leak,
		host:   outcome(self("lesson:touch", size)),
		inside: outcome(within("lesson:touch", size)),
	})
	n.next("go run ./07-cgroups")
	return nil
}

// outcome returns what a command printed, or how it failed.
func outcome(cmd *exec.Cmd) string {
	cmd.Stdin, cmd.Stdout = nil, nil
	out, err := cmd.Output()
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(out))
}

// touch asks for memory and writes to each page. Only then does the kernel have to provide it
// (overcommit, proc_sys_vm(5)).
func touch(args []string) error {
	size, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	flags := unix.MAP_PRIVATE | unix.MAP_ANONYMOUS
	memory, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, flags)
	if err != nil {
		return os.NewSyscallError("mmap", err)
	}
	for at := 0; at < size; at += os.Getpagesize() {
		memory[at] = 1
	}
	fmt.Println("done")
	return nil
}

// printLimits prints what this process could use up.
func printLimits([]string) error {
	var machine unix.Sysinfo_t
	if err := unix.Sysinfo(&machine); err != nil {
		return os.NewSyscallError("sysinfo", err)
	}
	var cpus unix.CPUSet
	if err := unix.SchedGetaffinity(0, &cpus); err != nil {
		return os.NewSyscallError("sched_getaffinity", err)
	}
	fmt.Printf("%d MiB, %d CPUs\n",
		uint64(machine.Totalram)*uint64(machine.Unit)>>20, cpus.Count())
	return nil
}

// printLinkStates prints the links of its network namespace, and whether they are up.
func printLinkStates([]string) error {
	links, err := net.Interfaces()
	if err != nil {
		return err
	}
	var names []string
	for _, link := range links {
		state := "down"
		if link.Flags&net.FlagUp != 0 {
			state = "up"
		}
		names = append(names, link.Name+" ("+state+")")
	}
	fmt.Println("links", strings.Join(names, ", "))
	return nil
}

// printNetwork prints which network namespace it is in.
func printNetwork([]string) error {
	fmt.Println("network namespace", namespaceOf("self", "net"))
	return nil
}

// hear connects to an address and prints what it hears.
func hear(args []string) error {
	word, err := call(args[0])
	if err != nil {
		word = errno(err)
	}
	fmt.Printf("%s says %s\n", args[0], word)
	return nil
}

// obey carries out orders from standard input until that ends, and prints each result:
//
//	call ADDRESS         connects, and prints what it hears
//	listen HOST WORD     prints the address of a new port, and says the word to one caller
//	witness HOST         prints the address of a new port, and then that of one caller
//	serve ADDRESS WORD   prints the address, and says the word to every caller from now on
func obey([]string) error {
	fmt.Println("ready")
	for orders := bufio.NewScanner(os.Stdin); orders.Scan(); {
		words := strings.Fields(orders.Text())
		if words[0] == "call" {
			heard, err := call(words[1])
			if err != nil {
				heard = errno(err)
			}
			fmt.Println(heard)
			continue
		}
		address := words[1]
		if words[0] != "serve" {
			address = net.JoinHostPort(address, "0")
		}
		listener, err := net.Listen("tcp4", address)
		if err != nil {
			return err
		}
		fmt.Println(listener.Addr())
		if words[0] == "serve" {
			go answerAll(listener, words[2])
			continue
		}
		caller := answerOne(listener, strings.Join(words[2:], " "))
		if words[0] == "witness" {
			fmt.Println(caller)
		}
		listener.Close()
	}
	return nil
}

// call connects to an address and returns what it hears.
func call(address string) (string, error) {
	network := "tcp4"
	if strings.HasPrefix(address, "@") {
		network = "unix"
	}
	connection, err := net.DialTimeout(network, address, patience)
	if err != nil {
		return "", err
	}
	defer connection.Close()
	connection.SetDeadline(time.Now().Add(patience))
	word, err := bufio.NewReader(connection).ReadString('\n')
	return strings.TrimSpace(word), err
}

// answerAll says a word to every caller.
func answerAll(listener net.Listener, word string) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return // it has been closed
		}
		fmt.Fprintln(connection, word)
		connection.Close()
	}
}

// answerOne says a word to one caller, and returns the caller's address, or the error.
func answerOne(listener net.Listener, word string) string {
	listener.(*net.TCPListener).SetDeadline(time.Now().Add(2 * patience))
	connection, err := listener.Accept()
	if err != nil {
		return errno(err)
	}
	defer connection.Close()
	fmt.Fprintln(connection, word)
	return connection.RemoteAddr().String()
}

// tell gives the helper an order and returns its answer.
func (h *helper) tell(order string) (string, error) {
	if _, err := fmt.Fprintln(h.stdin, order); err != nil {
		return "", fmt.Errorf("tell %s to %s: %w", strings.Join(h.cmd.Args, " "), order, err)
	}
	return h.listen()
}

// namespaceOf returns the inode number that names a process's namespace of a kind, such as "pid"
// (namespaces(7)). Two processes are in the same one if they have the same number.
func namespaceOf(process, kind string) string {
	link, err := os.Readlink("/proc/" + process + "/ns/" + kind)
	if err != nil {
		return "" // n/a: isShared
	}
	return strings.Trim(link, kind+":[]")
}
