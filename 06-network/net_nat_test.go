//go:build linux

// Who gets through the host, and who doesn't.

package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"jail-to-container/scripts/steptest"
)

// TestNoWay starts containers where there is no way to the world: without a default route, without
// nft, and with one that fails. The host forwards all else, as one with Docker does, and the world
// knows how to answer: so whatever gets out is seen. The control is a link that forwards.
func TestNoWay(t *testing.T) {
	t.Parallel() // it waits for what doesn't come
	steptest.Need(t, "nft", "nftables")
	steptest.AsEveryUserAtOnce(t, func(t *testing.T, u steptest.User) {
		r := steptest.Run(t, onStandInHost(u, "test:closed"))
		want := "without a route: forwards false; # there is no way to the world: " +
			"this host has no default route for IPv4 (ip -4 route)\n" +
			"without nft: none\nwith an nft that fails: none\nthe control: the container\n"
		if r.Status != 0 || r.Stdout != want {
			t.Errorf("exit status %d:\n%swant:\n%s%s", r.Status, r.Stdout, want, r.Stderr)
		}
		steptest.Contains(t, r.Stderr, "there is no way to the world: nft:")
	})
}

// TestNoWayIsSaid reads what the step says at a terminal where there is no way to the world. A
// script sees none of that: see expect, which the other tests use.
func TestNoWayIsSaid(t *testing.T) {
	nft := steptest.Need(t, "nft", "nftables")
	dir, err := os.MkdirTemp("", "path-") // open to the user, who finds nft here and no pasta
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := errors.Join(os.Chmod(dir, 0o755), os.Symlink(nft, dir+"/nft")); err != nil {
		t.Fatal(err)
	}
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		cmd := u.Program("/bin/true")
		cmd.Env = append(os.Environ(), "PATH="+dir)
		want := step + ": there is no way to the world: an ordinary user needs pasta(1) for that " +
			"(it comes in the package passt)\r\n"
		if u.UID == 0 {
			cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWNET
			want = step + ": there is no way to the world: " +
				"this host has no default route for IPv4 (ip -4 route)\r\n"
		}
		if screen, status := steptest.Converse(t, cmd, nil); status != 0 || screen != want {
			t.Errorf("exit status %d, on the screen %q, want %q", status, screen, want)
		}
	})
}

// TestNobodyConnects lets others try to connect to a container on a host that forwards everything,
// as one with Docker does: the LAN, also past connection tracking, and another container. The host
// itself may. The control is the same without the rule.
func TestNobodyConnects(t *testing.T) {
	t.Parallel() // it waits for what doesn't come
	steptest.Need(t, "nft", "nftables")
	steptest.AsEveryUserAtOnce(t, func(t *testing.T, u steptest.User) {
		want := "the LAN: deadline; untracked: nothing arrives; a container: deadline; " +
			"the host: word\nwithout the rule:\n" +
			"the LAN: word; untracked: arrives; a container: word; the host: word\n"
		if out := steptest.Output(t, onStandInHost(u, "test:lan")); out != want {
			t.Errorf("got:\n%swant:\n%s", out, want)
		}
	})
}

// TestHostsLoopback sends a packet to the host's own 127.0.0.1 from inside, on a host that lets
// such packets in, as Kubernetes sets it. The control is the same without the rule.
func TestHostsLoopback(t *testing.T) {
	steptest.Need(t, "nft", "nftables")
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		want := "the host hears: nothing\nwithout the rule: a packet\n"
		if out := steptest.Output(t, onStandInHost(u, "test:loopback")); out != want {
			t.Errorf("got:\n%swant:\n%s", out, want)
		}
	})
}

// TestNoConnection has root in a container send the world an answer that nothing asked for, and
// then a ping. The host must not forward the answer, which NAT leaves as it is. The control is the
// same without the rule.
func TestNoConnection(t *testing.T) {
	steptest.Need(t, "nft", "nftables")
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		want := "the world hears: the host\nwithout the rule: the container the host\n"
		if out := steptest.Output(t, onStandInHost(u, "test:answer")); out != want {
			t.Errorf("got:\n%swant:\n%s", out, want)
		}
	})
}

// TestRulesGone takes the rules away while a container runs, as a firewall does that starts anew:
// the next container adds them again, for the first one too. Then it leaves rules and forwarding
// behind, as a container does that is killed together with its keeper: the next one to exit cleans
// up.
func TestRulesGone(t *testing.T) {
	steptest.Need(t, "nft", "nftables")
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		const clean = "links, tables and forwarding are as before\n"
		want := "the next container calls as the host\nthe first one calls as the host\n" +
			clean + "left behind\n" + clean
		if out := steptest.Output(t, onStandInHost(u, "test:flushed")); out != want {
			t.Errorf("got:\n%swant:\n%s", out, want)
		}
	})
}

// TestSameName has root in a container remove its cable. Another container gets a link of the same
// name, and must keep its way to the world when the first one ends.
func TestSameName(t *testing.T) {
	steptest.Need(t, "nft", "nftables")
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		want := "after the first one's end: forwarding true and true\n" +
			"after the other's: forwarding false and false\n"
		if out := steptest.Output(t, onStandInHost(u, "test:same-name")); out != want {
			t.Errorf("got:\n%swant:\n%s", out, want)
		}
	})
}

// TestOddName gives the link to the world names that the kernel allows. The rule for that link must
// name it, or it must not forward.
func TestOddName(t *testing.T) {
	steptest.Need(t, "nft", "nftables")
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		want := `listed "eth0.1"
listed "@x"
listed "é"
listed "\xff"
listed "a\\b"
nft can't name the link "a\"b"
nft can't name the link "a*"
nft can't name the link "a\\*"
`
		if out := steptest.Output(t, onStandInHost(u, "test:odd")); out != want {
			t.Errorf("got:\n%swant:\n%s", out, want)
		}
	})
}

// TestNotPluggedIn starts containers where a step on the way to the cable fails: each setting of
// the link that can't be made, and no free addresses. The command must not run then.
func TestNotPluggedIn(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		for what, told := range map[string]string{
			"ipv4/conf": "/forwarding: read-only file system\n",
			"ipv6/conf": "/disable_ipv6: read-only file system\n",
			"routes": "no four addresses are free: this host has routes to all of " +
				"[10.0.0.0/8 172.16.0.0/12 192.168.0.0/16] " +
				"(ip -4 route lists them; a VPN may have added them)\n",
		} {
			if _, err := os.Stat("/proc/sys/net/" + what); err != nil && what != "routes" {
				continue // a kernel without IPv6
			}
			cmd := onStandInHost(u, "test:unplugged", what)
			cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWNS
			if u.UID != 0 {
				cmd.SysProcAttr.Cloneflags = 0 // test:unplugged makes one, as root of its own
			}
			r := steptest.Run(t, cmd)
			if r.Status != 125 || r.Stdout != "" || !strings.HasSuffix(r.Stderr, told) {
				t.Errorf("%s: %+v, want 125, no output, and %q", what, r, told)
			}
		}
		if out := steptest.Output(t, onStandInHost(u, "test:unplugged", "")); out != "ran\n" {
			t.Errorf("the control: %q", out)
		}
	})
}

// TestLargeSet runs a container where nft has a set of many addresses. It takes less than to list
// that set once, though nft reads what there is at both its ends.
func TestLargeSet(t *testing.T) {
	steptest.Need(t, "nft", "nftables")
	if testing.Short() {
		steptest.Skip(t, "with -short; it takes some seconds")
	}
	if os.Getuid() != 0 {
		steptest.Skip(t, "only root can send the kernel so long a message; run it as root")
	}
	if out := steptest.Output(t, onStandInHost(steptest.Root, "test:set")); out != "faster\n" {
		t.Error(out)
	}
}

// init adds what these tests run in the program's place.
func init() {
	experiments["test:closed"] = func([]string) error {
		if err := routerHost(); err != nil {
			return err
		}
		offline, line, err := start(self("sh", "-c", "cat /etc/resolv.conf; read -r end"))
		if err != nil {
			return err
		}
		link, err := linkBeside("")
		if err != nil {
			return err
		}
		on, err := forwards(link)
		fmt.Printf("without a route: forwards %v; %s\n", on, line)
		if err := errors.Join(err, offline.stdin.Close()); err != nil {
			return err
		}
		_ = offline.cmd.Wait() // read's status
		world, c, err := plugLANIn()
		if err != nil {
			return err
		}
		defer world.end()
		dir, err := os.MkdirTemp("", "nft-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		fails := []byte("#!/bin/sh\nexit 1\n")
		if err := os.WriteFile(filepath.Join(dir, "nft"), fails, 0o755); err != nil {
			return err
		}
		for _, s := range []struct{ what, path string }{
			{"without nft", "/nowhere"}, {"with an nft that fails", dir},
		} {
			cmd := self("/proc/self/exe", "test:reach")
			cmd.Env = append(os.Environ(), "PATH="+s.path)
			caller, err := callWorld(world, c, cmd)
			if err != nil {
				return err
			}
			fmt.Println(s.what+":", caller)
		}
		control := self("/proc/self/exe", "lesson:obey")
		control.Env = append(os.Environ(), "PATH=/nowhere")
		inner, _, err := start(control)
		if err != nil {
			return err
		}
		defer inner.end()
		if link, err = linkBeside(c.link); err != nil {
			return err
		}
		port, err := world.tell("witness " + c.container.Addr().String())
		if err := errors.Join(err, forward(link, true)); err != nil {
			return err
		}
		if _, err := inner.tell("call " + port); err != nil {
			return err
		}
		caller, err := world.listen()
		if strings.HasPrefix(caller, "10.") && !strings.HasPrefix(caller, c.host.Addr().String()) {
			caller = "the container"
		}
		fmt.Println("the control:", caller)
		return err
	}
	experiments["test:lan"] = func([]string) error {
		if err := routerHost(); err != nil {
			return err
		}
		lan, c, err := plugLANIn()
		if err != nil {
			return err
		}
		defer lan.end()
		inner, port, err := start(self("/proc/self/exe", "test:serve"))
		if err != nil {
			return err
		}
		defer inner.end()
		other, _, err := start(self("/proc/self/exe", "lesson:obey"))
		if err != nil {
			return err
		}
		defer other.end()
		// All of them at once: most wait for an answer that doesn't come.
		try := func() error {
			var answers [4]string
			var errs [4]error
			calls := make(chan int)
			for i, from := range []func() (string, error){
				func() (string, error) { return lan.tell("call " + port) },
				nil, // the LAN once more, later
				func() (string, error) { return other.tell("call " + port) },
				func() (string, error) { return call(port) },
			} {
				go func() {
					if from != nil {
						answers[i], errs[i] = from()
					}
					calls <- i
				}()
			}
			for range answers {
				<-calls
			}
			_, err := nft("table ip untracked { chain in { iifname " + c.link + " notrack; " +
				"type filter hook prerouting priority raw; }; }")
			if err := errors.Join(append(errs[:], err)...); err != nil {
				return err
			}
			// NAT may keep the answer to this one, so it is the container's kernel that knows.
			before, err1 := inner.tell("received")
			_, err2 := lan.tell("call " + port)
			after, err3 := inner.tell("received")
			if err := errors.Join(err1, err2, err3); err != nil {
				return err
			}
			answers[1] = "nothing arrives"
			if before != after {
				answers[1] = "arrives"
			}
			for i, who := range []string{"the LAN", "untracked", "a container", "the host"} {
				if strings.HasPrefix(answers[i], "dial ") {
					answers[i] = "deadline"
				}
				answers[i] = who + ": " + answers[i]
			}
			fmt.Println(strings.Join(answers[:], "; "))
			_, err = nft("delete table ip untracked")
			return err
		}
		if err := try(); err != nil {
			return err
		}
		fmt.Println("without the rule:")
		if _, err := nft("flush chain ip jail forward"); err != nil {
			return err
		}
		return try()
	}
	// test:serve says a word to every caller. For each line it reads, it prints how many segments
	// its kernel has received over TCP (InSegs, RFC 4022).
	experiments["test:serve"] = func([]string) error {
		own, err := ownAddress()
		if err != nil {
			return err
		}
		listener, err := net.Listen("tcp4", net.JoinHostPort(own.String(), "0"))
		if err != nil {
			return err
		}
		go func() {
			for {
				answerOne(listener, "word")
			}
		}()
		fmt.Println(listener.Addr())
		for orders := bufio.NewScanner(os.Stdin); orders.Scan(); {
			snmp, err := os.ReadFile("/proc/net/snmp")
			_, names, _ := strings.Cut(string(snmp), "\nTcp: ")
			_, values, _ := strings.Cut(names, "\nTcp: ")
			i := slices.Index(strings.Fields(names), "InSegs")
			if err != nil || i < 0 || i >= len(strings.Fields(values)) {
				return fmt.Errorf("no InSegs: %w", err)
			}
			fmt.Println(strings.Fields(values)[i])
		}
		return nil
	}
	experiments["test:unplugged"] = func(args []string) error {
		if err := setUpLoopback(); err != nil {
			return err
		}
		if args[0] == "" {
			return inherit(self("echo", "ran")).Run()
		}
		if args[0] == "routes" {
			n, err := dialNetlink(nil)
			if err != nil {
				return err
			}
			defer n.close()
			for _, p := range private {
				header := routeHeader(byte(p.Bits()))
				header[7] = unix.RTN_BLACKHOLE
				_, err := n.request("ip route add blackhole", unix.RTM_NEWROUTE, create, header,
					attribute(unix.RTA_DST, p.Addr().AsSlice()))
				if err != nil {
					return err
				}
			}
			return inherit(self("echo", "ran")).Run()
		}
		dir := "/proc/sys/net/" + args[0]
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			return err
		}
		if err := errors.Join(
			unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
			unix.Mount(dir, dir, "", unix.MS_BIND, ""),
			mount("none", dir, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|
				unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""),
		); err != nil {
			return err
		}
		return inherit(self("echo", "ran")).Run()
	}
	experiments["test:set"] = func([]string) error {
		var set strings.Builder
		set.WriteString("table inet large { set s { type ipv4_addr; elements = { 192.0.2.1")
		for i := range 100_000 {
			fmt.Fprintf(&set, ", 10.%d.%d.%d", i>>16, i>>8&255, i&255)
		}
		set.WriteString(" }; }; }")
		if _, err := nft(set.String()); err != nil {
			return err
		}
		begin := time.Now()
		if err := exec.Command("nft", "list", "ruleset").Run(); err != nil {
			return err
		}
		list := time.Since(begin)
		begin = time.Now()
		if err := inherit(self("true")).Run(); err != nil {
			return err
		}
		if whole := time.Since(begin); whole > list {
			fmt.Printf("a container takes %v, and to list the set %v\n", whole, list)
			return nil
		}
		fmt.Println("faster")
		return nil
	}
	experiments["test:flushed"] = func([]string) error {
		if err := setUpLoopback(); err != nil {
			return err
		}
		world, c, err := plugWorldIn("lesson:obey")
		if err != nil {
			return err
		}
		defer world.end()
		before, err := networkState()
		if err != nil {
			return err
		}
		first, _, err := start(self("/proc/self/exe", "lesson:obey"))
		if err != nil {
			return err
		}
		if _, err := nft("flush ruleset"); err != nil {
			return err
		}
		caller, err := callWorld(world, c, self("/proc/self/exe", "test:call"))
		fmt.Println("the next container calls as", caller)
		if err != nil {
			return err
		}
		caller, err = seenByWorld(world, c, func(port string) error {
			_, err := first.tell("call " + port)
			return err
		})
		fmt.Println("the first one calls as", caller)
		if err := errors.Join(err, first.end(), asBefore(before)); err != nil {
			return err
		}
		_, err = nft(natRules)
		err = errors.Join(err, mark(c.link, hostOff), forward(c.link, true))
		if now, err1 := networkState(); err == nil && err1 == nil && now != before {
			fmt.Println("left behind")
		}
		return errors.Join(err, inherit(self("true")).Run(), asBefore(before))
	}
	experiments["test:answer"] = func([]string) error {
		if err := setUpLoopback(); err != nil {
			return err
		}
		world, c, err := plugWorldIn("test:pinged")
		if err != nil {
			return err
		}
		defer world.end()
		inner, own, err := start(self("/proc/self/exe", "test:ping", c.container.Addr().String()))
		if err != nil {
			return err
		}
		defer inner.end()
		host := c.host.Addr().String()
		for _, what := range []string{"the world hears:", "without the rule:"} {
			if _, err := inner.tell("send"); err != nil {
				return err
			}
			fmt.Print(what)
			for who := ""; who != host; {
				if who, err = world.tell("who"); err != nil {
					return err
				}
				fmt.Print(" ", strings.NewReplacer(own, "the container", host, "the host").
					Replace(who))
			}
			fmt.Println()
			if _, err := nft("flush chain ip jail forward"); err != nil {
				return err
			}
		}
		return nil
	}
	// test:ping sends the world, for each line it reads, an answer to a ping and a ping (RFC 792).
	experiments["test:ping"] = func(args []string) error {
		own, err := ownAddress()
		if err != nil {
			return err
		}
		world, err := net.Dial("ip4:icmp", args[0])
		if err != nil {
			return err
		}
		fmt.Println(own)
		for orders := bufio.NewScanner(os.Stdin); orders.Scan(); {
			_, err1 := world.Write([]byte{0, 0, 0xff, 0xff, 0, 0, 0, 0})
			_, err2 := world.Write([]byte{8, 0, 0xf7, 0xff, 0, 0, 0, 0})
			if err := errors.Join(err1, err2); err != nil {
				return err
			}
			fmt.Println("sent")
		}
		return nil
	}
	// test:pinged is the world that hears them. It prints one sender for each line it reads.
	experiments["test:pinged"] = func([]string) error {
		packets, err := net.ListenPacket("ip4:icmp", "0.0.0.0")
		if err != nil {
			return err
		}
		fmt.Println("ready")
		for orders := bufio.NewScanner(os.Stdin); orders.Scan(); {
			packets.SetReadDeadline(time.Now().Add(10 * time.Second))
			_, from, err := packets.ReadFrom(make([]byte, 1))
			if err != nil {
				return err
			}
			fmt.Println(from)
		}
		return nil
	}
	experiments["test:same-name"] = func([]string) error {
		if err := setUpLoopback(); err != nil {
			return err
		}
		world, c, err := plugWorldIn("lesson:obey")
		if err != nil {
			return err
		}
		defer world.end()
		first, link, err := start(self("/proc/self/exe", "test:unplug"))
		if err != nil {
			return err
		}
		other, _, err := start(node("lesson:obey"))
		if err != nil {
			return err
		}
		defer other.end()
		n, err := dialNetlink(nil)
		if err != nil {
			return err
		}
		defer n.close()
		pid := other.cmd.Process.Pid
		if err := n.addVeth(link, hardware(senderOf(link)), "eth0", pid); err != nil {
			return err
		}
		index, err1 := n.index(link)
		_, err2 := addNAT(link)
		state := func(when string) error {
			on, err1 := forwards(link)
			uplink, err2 := forwards(c.link)
			fmt.Printf("%s: forwarding %v and %v\n", when, on, uplink)
			return errors.Join(err1, err2)
		}
		return errors.Join(err1, err2, first.end(), state("after the first one's end"),
			removeNAT(fmt.Sprint(index)), state("after the other's"))
	}
	// test:unplug removes the cable and prints the name that the host's end had.
	experiments["test:unplug"] = func([]string) error {
		own, err := ownAddress()
		if err != nil {
			return err
		}
		n, err := dialNetlink(nil)
		if err != nil {
			return err
		}
		defer n.close()
		if err := n.deleteLink("eth0"); err != nil {
			return err
		}
		return waitForEOF(fmt.Sprintf("jail%08x", number(own)-2))
	}
	experiments["test:odd"] = func([]string) error {
		if err := setUpLoopback(); err != nil {
			return err
		}
		p, _, err := start(node("lesson:obey"))
		if err != nil {
			return err
		}
		defer p.end()
		n, err := dialNetlink(nil)
		if err != nil {
			return err
		}
		defer n.close()
		for i, name := range []string{"eth0.1", "@x", "é", "\xff", `a\b`, `a"b`, "a*", `a\*`} {
			mac, far := hardware(address(uint32(i))), fmt.Sprint("far", i)
			if err := n.addVeth(name, mac, far, p.cmd.Process.Pid); err != nil {
				return err
			}
			if err := markUplink(name); err != nil {
				fmt.Println(err)
				continue
			}
			if _, err := nft(natRules + elements([]string{name})); err != nil {
				return err
			}
			set, err := exec.Command("nft", "list set ip jail uplinks").Output()
			if err != nil {
				return err
			}
			if strings.Contains(string(set), `"`+name+`"`) {
				fmt.Printf("listed %q\n", name)
			}
		}
		return nil
	}
	experiments["test:loopback"] = func([]string) error {
		err := errors.Join(setUpLoopback(),
			writeFile("/proc/sys/net/ipv4/conf/all/route_localnet", "1"))
		if err != nil {
			return err
		}
		here, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer here.Close()
		inner, _, err := start(self("/proc/self/exe", "test:past-lo", here.LocalAddr().String()))
		if err != nil {
			return err
		}
		defer inner.end()
		try := func(wait time.Duration) (string, error) {
			here.SetReadDeadline(time.Now().Add(wait))
			if _, err := inner.tell("send"); err != nil {
				return "", err
			}
			if _, _, err := here.ReadFrom(make([]byte, 1)); err != nil {
				return "nothing", nil
			}
			return "a packet", nil
		}
		heard, err := try(patience / 4)
		fmt.Println("the host hears:", heard)
		if err != nil {
			return err
		}
		if _, err := nft("flush chain ip jail in"); err != nil {
			return err
		}
		heard, err = try(patience)
		fmt.Println("without the rule:", heard)
		return err
	}
	// test:past-lo sends a packet to a port of 127.0.0.1 by way of eth0, one per line it reads.
	experiments["test:past-lo"] = func(args []string) error {
		fmt.Println("ready")
		for orders := bufio.NewScanner(os.Stdin); orders.Scan(); {
			eth0 := func(_, _ string, c syscall.RawConn) (err error) {
				err1 := c.Control(func(fd uintptr) {
					err = unix.BindToDevice(int(fd), "eth0")
				})
				return errors.Join(err, err1)
			}
			connection, err := (&net.Dialer{Control: eth0}).Dial("udp4", args[0])
			if err != nil {
				return err
			}
			_, err = connection.Write([]byte("x"))
			connection.Close()
			if err != nil {
				return err
			}
			fmt.Println("sent")
		}
		return nil
	}
}

// routerHost makes a stand-in host that forwards everything, as a host with Docker does.
func routerHost() error {
	return errors.Join(setUpLoopback(), forward("all", true), forward("default", true))
}

// inherit lets a command have this process's streams.
func inherit(cmd *exec.Cmd) *exec.Cmd {
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd
}

// plugLANIn plugs in a world whose link forwards, and that knows a way to the containers: so it is
// more of a neighbour.
func plugLANIn() (lan *helper, c cable, err error) {
	if lan, c, err = plugWorldIn("lesson:obey"); err != nil {
		return lan, c, err
	}
	n, err := dialNetlinkOf(lan.cmd.Process.Pid, nil)
	if err != nil {
		return lan, c, err
	}
	defer n.close()
	return lan, c, errors.Join(forward(c.link, true), n.addDefaultRoute(c.host.Addr()))
}
