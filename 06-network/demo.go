//go:build linux

// The lesson of 06: alone first, then connected, then behind the host's address.

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
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// experiments are the programs that the lesson runs inside, and some outside, to compare. Each
// prints what it measured. Keepers aren't experiments, but are started in the same way.
var experiments = map[string]func([]string) error{
	"keep:pasta":    keepPasta,
	"keeper:undo":   undo,
	"lesson:links":  printLinkStates,
	"lesson:reach":  reach,
	"lesson:obey":   obey,
	"lesson:limits": printLimits,
}

// undoings are what the keeper can undo.
var undoings = map[string]func(which string) error{"nat": removeNAT}

// patience is how long the lesson waits for an answer that never comes.
const patience = 2 * time.Second

// notTheRealHost says why the host can't play its part itself, or nothing if it can. Real root
// could take the lesson to a host that filters packets, too, but would see no more than the filter.
func notTheRealHost(args []string) string {
	if reason := notRoot(); reason != "" || len(args) > 0 {
		return reason
	}
	rules, _ := nft("list ruleset") // none, if nft can't be asked
	from, to := packet{"jail0", "jail1", "new"}, packet{"jail1", "jail0", "established"}
	found := append(barriers(rules, "input", from), barriers(rules, "forward", from, to)...)
	for _, b := range found {
		return "and my packet filter lets nothing new pass (chain " + b.chain + ")"
	}
	return ""
}

// filtered is the likely reason why a packet doesn't arrive on a real host.
const filtered = " (a packet filter of this host may drop it, see `nft list ruleset`; " +
	"without root, the lesson plays a host that has none)"

// lesson shows a network namespace without a cable and with one, and NAT.
func lesson() error {
	if os.Args[0] != role(played) {
		say("host", "I am process %d, uid %d", os.Getpid(), os.Getuid())
	}
	for _, part := range []func() error{alone, connected, behindNAT, whatLeaks} {
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

// node prepares an experiment in a network namespace of its own. That is all that it has of a
// container, but for a user namespace, without which an ordinary user may make no other.
func node(args ...string) *exec.Cmd {
	cmd := self(args...)
	cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWUSER | unix.CLONE_NEWNET
	cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
	cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	return cmd
}

// alone tries to reach the host from a network namespace without a cable. The control tries the
// same on the host.
func alone() error {
	port, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer port.Close()
	socket, err := net.Listen("unix", "@jail-"+rand.Text()[:8]) // abstract, so no file (unix(7))
	if err != nil {
		return err
	}
	defer socket.Close()
	targets := []string{port.Addr().String(), socket.Addr().String()}
	for _, side := range []struct {
		name string
		cmd  func(...string) *exec.Cmd
	}{{"host", self}, {"container", node}} {
		links, err := ask(side.cmd("lesson:links"))
		if err != nil {
			return err
		}
		say(side.name, "%s", links)
		answers, err := ask(side.cmd(append([]string{"lesson:reach"}, targets...)...))
		if err != nil {
			return err
		}
		for answer := range strings.Lines(answers) {
			say(side.name, "%s", strings.TrimSpace(answer))
		}
	}
	return nil
}

// connected plugs a cable in, step by step, and sends a word each way.
func connected() error {
	first, _, err := start(node("lesson:obey"))
	if err != nil {
		return err
	}
	defer first.end()
	fmt.Println()
	c, err := plugIn(first.cmd.Process.Pid, func(command string) { say("host", "%s", command) })
	if err != nil {
		return err
	}
	fmt.Println()
	if err := bothWays(c, first); err != nil {
		return err
	}
	second, _, err := start(node("lesson:obey"))
	if err != nil {
		return err
	}
	defer second.end()
	other, err := plugIn(second.cmd.Process.Pid, nil)
	if err != nil {
		return err
	}
	say("host", "a second container, at the same time: %s on link %s, beside %s on link %s",
		other.container, other.link, c.container, c.link)
	return bothWays(other, second)
}

// bothWays lets host and container call each other by TCP and pass on a random word.
func bothWays(c cable, inner *partner) error {
	here, err := net.Listen("tcp4", netip.AddrPortFrom(c.host.Addr(), 0).String())
	if err != nil {
		return err
	}
	defer here.Close()
	word := rand.Text()
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
	say("container", "I call %s on the host and hear %s", here.Addr(), got)
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
	say("host", "I call %s in the container and hear %s", port, got)
	return nil
}

// behindNAT has the container call a third one, which plays the world, without NAT and with it. The
// world sees who calls.
func behindNAT() error {
	var ends [2]*partner
	var cables [2]cable
	for i := range ends {
		p, _, err := start(node("lesson:obey"))
		if err != nil {
			return err
		}
		defer p.end()
		if cables[i], err = plugIn(p.cmd.Process.Pid, nil); err != nil {
			return err
		}
		ends[i] = p
		if err := forward(cables[i].link, true); err != nil {
			return err
		}
	}
	inner, world := cables[0], cables[1]
	say("host", "now I forward between %s (container) and %s (plays the world)",
		inner.link, world.link)
	seen := func() (string, error) {
		port, err := ends[1].tell("witness " + world.container.Addr().String())
		if err != nil {
			return "", err
		}
		if _, err := ends[0].tell("call " + port); err != nil {
			return "", err
		}
		caller, err := ends[1].listen()
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
	say("host", "without NAT, the world is called by %s, the container; the real world would "+
		"have no way to answer that address", before)
	if _, err := findNft(); err != nil {
		say("host", "there is no nft command here, so no NAT (it comes in the package nftables)")
		return nil
	}
	_, undo, err := keepNAT(inner.link, inner.host.Masked().String())
	if err != nil {
		say("host", "%v: so no NAT", err)
		return nil
	}
	after, err := seen()
	if err := errors.Join(err, undo()); err != nil {
		return err
	}
	if after != world.host.Addr().String() {
		return fmt.Errorf("with NAT, the world was called by %q, not by the host, %s",
			after, world.host.Addr())
	}
	say("host", "nft: table ip %s, ip saddr %s masquerade", inner.link, inner.host.Masked())
	say("host", "with NAT, the world is called by %s, the host", after)
	return nil
}

// whatLeaks compares what the container may use up with what the host has.
func whatLeaks() error {
	outside, err := ask(self("lesson:limits"))
	if err != nil {
		return err
	}
	inside, err := ask(self("/proc/self/exe", "lesson:limits"))
	if err != nil {
		return err
	}
	say("host", "%s", outside)
	say("leak", "%s: no less", inside)
	say("next", "go run ./07-cgroups")
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
	fmt.Printf("%d MB of memory, %d CPUs\n",
		uint64(machine.Totalram)*uint64(machine.Unit)>>20, cpus.Count())
	return nil
}

// printLinkStates prints the links of this network namespace, and whether they are up.
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
	fmt.Printf("network namespace %s with links %s\n",
		namespaceOf("net"), strings.Join(names, ", "))
	return nil
}

// reach tries to connect to each address, and prints what the kernel says.
func reach(addresses []string) error {
	for _, address := range addresses {
		network := "tcp4"
		if strings.HasPrefix(address, "@") {
			network = "unix"
		}
		connection, err := net.DialTimeout(network, address, patience)
		if err == nil {
			connection.Close()
		}
		fmt.Printf("connect(%s) = %s\n", address, errno(err))
	}
	return nil
}

// obey does what it is told on standard input, and prints what comes of it, until that ends:
//
//	call ADDRESS         connects, and prints what it hears
//	listen HOST WORD     prints the address of a new port, and says the word to one caller
//	witness HOST         prints the address of a new port, and then that of one caller
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
		listener, err := net.Listen("tcp4", net.JoinHostPort(words[1], "0"))
		if err != nil {
			return err
		}
		fmt.Println(listener.Addr())
		caller := answerOne(listener, strings.Join(words[2:], " "))
		if words[0] == "witness" {
			fmt.Println(caller)
		}
		listener.Close()
	}
	return nil
}

// call connects to an address and returns what is said there.
func call(address string) (string, error) {
	connection, err := net.DialTimeout("tcp4", address, patience)
	if err != nil {
		return "", err
	}
	defer connection.Close()
	connection.SetDeadline(time.Now().Add(patience))
	word, err := bufio.NewReader(connection).ReadString('\n')
	return strings.TrimSpace(word), err
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

// tell says a word to the experiment and returns its answer.
func (p *partner) tell(word string) (string, error) {
	if _, err := fmt.Fprintln(p.stdin, word); err != nil {
		return "", fmt.Errorf("tell %s to %s: %w", strings.Join(p.cmd.Args, " "), word, err)
	}
	return p.listen()
}
