//go:build linux

// What the chapter of 06 claims.

package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"jail-to-container/scripts/steptest"
)

// TestMain lets the test binary double as the step's program.
func TestMain(m *testing.M) {
	steptest.Main(m, steptest.Step{
		Name: step, Inner: role(inside), Main: main, Experiments: experiments,
		Exec: execCommand, Hint: forbiddenHint, Remedy: remedy, Say: say,
		Namespaces: []string{"pid", "mnt", "uts", "ipc", "user", "net"},
		NoProof: map[string]string{
			"outside": "not as PID 1 of a container",
			"nothing": "descriptor 3 isn't the pipe from the outer process",
			"wrong":   "wait for the outer process: EOF",
			"right":   "it is also my parent's",
			"unseen":  "/proc/0/ns/mnt", // its parent, in a /proc that doesn't show that
		},
		Role:       innerGets,
		StartOwned: ownedStart,
	})
}

// TestLesson reads the lesson's facts and compares them with each other.
func TestLesson(t *testing.T) {
	steptest.Need(t, "nft", "nftables")
	var machine unix.Sysinfo_t
	if err := unix.Sysinfo(&machine); err != nil {
		t.Fatal(err)
	}
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		out := u.Output(t)
		one := func(pattern string) []string {
			t.Helper()
			found := regexp.MustCompile("(?m)^"+pattern+"$").FindAllStringSubmatch(out, -1)
			if len(found) != 1 {
				t.Fatalf("%d times, not once %q in:\n%s", len(found), pattern, out)
			}
			return found[0]
		}
		one(fmt.Sprintf(`host       process \d+, uid %d(?:, .*)?`, u.UID))
		one(`container  links lo \(down\)`)
		spaces := one(`host       network namespace (\d+)\n` +
			`container  network namespace (\d+) +held`)
		if own := namespaceOf("self", "net"); spaces[1] == spaces[2] || spaces[2] == own ||
			u.UID == 0 && notTheRealHost(nil) == "" && spaces[1] != own {
			t.Errorf("network namespaces %q; the test's is %s", spaces[1:], own)
		}
		// The secret is the same everywhere on the host, and nowhere in the container.
		port := one(`host       (127\.0\.0\.1:\d+) says (\w{8})\ncontainer  .* says ENETUNREACH .*`)
		socket := one(`host       (@jail-\w{8}) says (\w{8})\ncontainer  .*\n\nPlugged in: .*`)
		for _, address := range []string{port[1], socket[1]} {
			if n := strings.Count(out, "host       "+address+" says "+port[2]+"\n"); n != 2 {
				t.Errorf("%s says the secret %d times, not twice:\n%s", address, n, out)
			}
			one(`container  ` + address + ` says ECONNREFUSED .* held` +
				map[bool]string{true: `\n\nPlugged in: .*`}[address == socket[1]])
		}
		// Each request is about the same link and the same two addresses.
		made := one(`host       ip link add (jail\w{8}) address 02:00:\S+ type veth peer \\\n` +
			`host         name eth0 netns \d+`)
		ours := one(`host       ip addr add (\S+)/30 dev ` + made[1])[1]
		theirs := one(`container  ip addr add (\S+)/30 dev eth0`)[1]
		one(`host       ip link set ` + made[1] + ` up`)
		one(`container  ip link set lo up`)
		one(`container  ip route add default via ` + ours)
		word := one(`container  ` + ours + `:\d+ on the host says (\w{8})`)[1]
		one(`host       the caller was ` + theirs + `:\d+`)
		one(`host       ` + theirs + `:\d+ in the container says ` + word)
		called := one(`what the world can see  (\S+) +(\S+) +held`)
		one(`the container is        ` + called[1] + ` +` + called[1])
		one(`the host is             ` + called[2] + ` +` + called[2])
		memory := uint64(machine.Totalram) * uint64(machine.Unit) >> 20
		all := fmt.Sprintf("%d MiB, %d CPUs", memory, cpus(t))
		one(`the machine            ` + all + ` +` + all)
		one(`use 256 MiB of memory  done +done +LEAK`)
	})
}

// cpus counts those that this process may use.
func cpus(t *testing.T) int {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		t.Fatal(err)
	}
	return set.Count()
}

// TestVerdicts judges the lesson's answers again.
func TestVerdicts(t *testing.T) {
	steptest.Need(t, "nft", "nftables")
	if notTheRealHost(nil) != "" {
		return // a lesson that another process tells
	}
	steptest.Verdicts(t, asked, 10, 1)
}

// TestAnotherHost runs both tests on a host with a long name and another network.
func TestAnotherHost(t *testing.T) { steptest.AnotherHost(t) }

// asked runs the lesson and returns its experiments.
func asked() (all []steptest.Experiment, err error) {
	n := &narrator{}
	err = lesson(n)
	for _, e := range n.told {
		all = append(all, steptest.Experiment{
			What: e.what, Host: e.host, Inside: e.inside, Expect: string(e.expect),
			Rule: func(host, inside string) string { return string(e.rule(host, inside)) },
		})
	}
	return all, err
}

// TestOwnNetwork looks from a whole container for what the host has, and for what it has itself.
func TestOwnNetwork(t *testing.T) {
	port, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer port.Close()
	socket, err := net.Listen("unix", fmt.Sprintf("@jail-test-%d", os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	targets := []string{"test:reach", port.Addr().String(), socket.Addr().String()}
	if out := steptest.Output(t, self(targets...)); strings.Count(out, "= ok\n") != 2 {
		t.Errorf("the control: %q", out)
	}
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		out := u.Output(t, append([]string{"/proc/self/exe"}, targets...)...)
		if strings.Count(out, "= ECONNREFUSED ") != 2 {
			t.Errorf("inside: %q", out)
		}
		out = u.Output(t, "/proc/self/exe", "lesson:links")
		if out != "links lo (up), eth0 (up)\n" {
			t.Errorf("links inside: %q", out)
		}
		out = u.Output(t, "cat", "/etc/resolv.conf")
		if out == "" || strings.Contains(out, "127.0.0.") {
			t.Errorf("/etc/resolv.conf inside: %q", out)
		}
	})
}

// TestWorld connects a stand-in host to a stand-in world, which a container's command then calls.
// The world has to see the host, and without nft's table no caller at all.
func TestWorld(t *testing.T) {
	t.Parallel() // it waits for what doesn't come
	steptest.Need(t, "nft", "nftables")
	steptest.AsEveryUserAtOnce(t, func(t *testing.T, u steptest.User) {
		out := steptest.Output(t, onStandInHost(u, "test:world"))
		want := "the world was called by the host\n" +
			"a call from the world to the container: deadline\n" +
			"a call from the world to a neighbour: deadline\n" +
			"without nft, the call ends so: deadline\n" +
			"links, tables and forwarding are as before\n"
		if out != want {
			t.Errorf("got:\n%swant:\n%s", out, want)
		}
	})
}

// TestTwenty starts twenty containers at once on a stand-in host: each calls it, under an address
// of its own. It does so again and kills them all: nothing may be left. With -short, as on an
// emulated machine, there are five.
func TestTwenty(t *testing.T) {
	steptest.Need(t, "nft", "nftables")
	many := "20"
	if testing.Short() {
		many = "5"
	}
	steptest.AsEveryUserAtOnce(t, func(t *testing.T, u steptest.User) {
		out := steptest.Output(t, onStandInHost(u, "test:twenty", many))
		want := many + " callers, " + many + " addresses, " + many + " words\n" +
			"links, tables and forwarding are as before\n" +
			many + " killed\n" +
			"links, tables and forwarding are as before\n"
		if out != want {
			t.Errorf("got:\n%swant:\n%s", out, want)
		}
	})
}

// TestNoNetworkOfItsOwn plugs in a process that has no network namespace of its own. Nothing may be
// set up then: it would be on the host, for good.
func TestNoNetworkOfItsOwn(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		r := steptest.Run(t, onStandInHost(u, "test:no-network"))
		if r.Status != 125 || !strings.HasSuffix(r.Stderr, " has no network of its own\n") {
			t.Errorf("%+v", r)
		}
	})
}

// TestNameTaken plugs a container in while another process takes the same addresses: the link of
// that name is there, and nothing else yet.
func TestNameTaken(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		if out := steptest.Output(t, onStandInHost(u, "test:taken")); out != "the next one\n" {
			t.Errorf("with the first choice taken: %q", out)
		}
	})
}

// TestOwnMAC looks whether the host's end of the cable has the address that it was given: one that
// the kernel has taken at random is another one as soon as systemd-udevd sees it.
func TestOwnMAC(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		if out := steptest.Output(t, onStandInHost(u, "test:mac")); out != "as given\n" {
			t.Errorf("the MAC address of the host's end: %s", out)
		}
	})
}

// TestForwardingDropped sets up chains like those of Docker and of firewalls, and looks whether the
// step says so, whether what it advises helps, and whether the lesson goes on without that host.
func TestForwardingDropped(t *testing.T) {
	t.Parallel() // it waits for what doesn't come
	steptest.Need(t, "nft", "nftables")
	steptest.AsEveryUserAtOnce(t, func(t *testing.T, u steptest.User) {
		chain, body := "ip filter FORWARD", "type filter hook forward priority 0; policy drop;"
		if u.UID != 0 {
			chain, body = "inet fw forward", "type filter hook forward priority 10; counter reject;"
		}
		r := steptest.Run(t, onStandInHost(u, "test:dropping", chain, body))
		if want := "none\nthe host\n"; r.Status != 0 || r.Stdout != want {
			t.Errorf("exit status %d, standard output %q, want %q", r.Status, r.Stdout, want)
		}
		told := "the host drops what it forwards (chain " + chain + ")"
		if strings.Count(r.Stderr, told) != 1 {
			t.Errorf("not once %q in:\n%s", told, r.Stderr)
		}
		if u.UID != 0 {
			return // only root can run the lesson on the real host
		}
		out := steptest.Output(t, onStandInHost(u, "test:lesson", chain, body))
		out = strings.ReplaceAll(out, "\nhost         ", " ") // where a long line is wrapped
		steptest.Contains(t, out,
			", but chain "+chain+" lets nothing new pass: a namespace plays the host\n",
			"\nwhat the world can see  10.")
	})
	if _, err := exec.LookPath("iptables-legacy"); err != nil || os.Getuid() != 0 {
		return // what is there has been tried
	}
	r := steptest.Run(t, onStandInHost(steptest.Root, "test:dropping", "legacy"))
	steptest.Contains(t, r.Stderr,
		"the host drops what it forwards (chain iptables-legacy FORWARD)")
	if want := "none\nthe host\n"; r.Status != 0 || r.Stdout != want {
		t.Errorf("exit status %d, standard output %q, want %q; standard error:\n%s",
			r.Status, r.Stdout, want, r.Stderr)
	}
}

// TestForwardingTakenOver makes the whole host forward while a container runs, as Docker does: then
// that has to stay when the container goes. Where the host forwarded before, but not through its
// link to the world, that link stops again.
func TestForwardingTakenOver(t *testing.T) {
	steptest.Need(t, "nft", "nftables")
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		out := steptest.Output(t, onStandInHost(u, "test:takeover"))
		want := "afterwards, forwarding is false\nafterwards, forwarding is true\n" +
			"afterwards, forwarding is false\n"
		if out != want {
			t.Errorf("got %q", out)
		}
	})
}

// TestLastOne ends two containers, one after the other: the host stops forwarding with the last.
func TestLastOne(t *testing.T) {
	steptest.Need(t, "nft", "nftables")
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		out := steptest.Output(t, onStandInHost(u, "test:last"))
		if out != "afterwards, forwarding is true\nafterwards, forwarding is false\n" {
			t.Errorf("got %q", out)
		}
	})
}

// TestLock has two containers change the host's tables at the same time: one must wait.
func TestLock(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		out := steptest.Output(t, onStandInHost(u, "test:lock"))
		if out != "the other waits\nno more\n" {
			t.Errorf("got %q", out)
		}
	})
}

// TestNoRouter has root in a container advertise itself to the host as a router: the host must not
// believe it. The control is a host that speaks IPv6 at its end of the cable.
func TestNoRouter(t *testing.T) {
	if _, err := os.Stat("/proc/sys/net/ipv6/conf/all/disable_ipv6"); err != nil {
		steptest.Skip(t,
			"there is no IPv6 in this kernel (%v): boot it without ipv6.disable=1", err)
	}
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		out := steptest.Output(t, onStandInHost(u, "test:gullible"))
		if want := "without IPv6, the host believes it: false\nwith it: true\n"; out != want {
			t.Errorf("got:\n%swant:\n%s", out, want)
		}
	})
}

// TestForgedSender has root in a container send the host packets from two addresses that aren't the
// container's. The host must get neither until the rules are gone. Packets from the container's own
// address arrive in any case.
func TestForgedSender(t *testing.T) {
	steptest.Need(t, "nft", "nftables")
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		out := steptest.Output(t, onStandInHost(u, "test:forged"))
		want := "the host hears: the container\n" +
			"without the rules: " + forged.String() + " 0.0.0.0 the container\n"
		if out != want {
			t.Errorf("got:\n%swant:\n%s", out, want)
		}
	})
}

// TestManyIDs gives an ordinary user subordinate IDs and looks whether they reach the container by
// way of the stand-in host, as newuidmap(1) has brought them into 05's.
func TestManyIDs(t *testing.T) {
	steptest.Need(t, "newuidmap", "uidmap")
	if os.Getuid() != 0 {
		steptest.Skip(t, "only root can give another user IDs; run it as root")
	}
	cmd := self("test:ids")
	cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWNS
	out := strings.Join(strings.Fields(steptest.Output(t, cmd)), " ")
	if want := "0 0 1 1 1 65536 0 0 1 1 1 49999 allow"; out != want {
		t.Errorf("maps of users and groups, and setgroups: %q, want %q", out, want)
	}
}

// TestPasta lets an ordinary user's container call a world by way of pasta, where that is
// installed. The control has no pasta. The host's own 127.0.0.1 must stay out of reach: pasta can
// map the gateway's address to it.
func TestPasta(t *testing.T) {
	steptest.Need(t, "nft", "nftables")
	steptest.Need(t, "pasta", "passt")
	if os.Getuid() != 0 {
		steptest.Skip(t, "only root can play a host with a world for another user; run it as root")
	}
	w := steptest.NewWatch(t)
	cmd := onStandInHost(steptest.Root, "test:pasta")
	cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWNS
	cmd.Env = w.Env()
	want := "offline: \"ran\\n\"\n" +
		"with pasta: the world was called by the host; 127.0.0.1 can be reached: false\n" +
		"without: the world was called by none\n"
	if out := steptest.Output(t, cmd); out != want {
		t.Errorf("got:\n%swant:\n%s", out, want)
	}
	w.NothingLeft(t)
}

// TestWithoutNft has the container talk to the host where there is no nft.
func TestWithoutNft(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		cmd := u.Program("/bin/sh", "-c", "PATH=/usr/bin:/bin cat /etc/resolv.conf")
		cmd.Env = append(os.Environ(), "PATH=/nowhere")
		out := steptest.Output(t, cmd)
		if !strings.HasPrefix(out, "# there is no nft command on the host") {
			t.Errorf("/etc/resolv.conf inside: %q", out)
		}
	})
}

// TestNothingBeforeTheHost starts the inner process without an outer one that says "go".
func TestNothingBeforeTheHost(t *testing.T) {
	for _, text := range []string{"", "nameserver 1.", "\x00"} {
		inner := self("echo", "the command ran")
		inner.Args = append([]string{role(inside)}, inner.Args[1:]...)
		inner.Stderr = nil
		reader, writer, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := writer.WriteString(text); err != nil {
			t.Fatal(err)
		}
		writer.Close()
		inner.ExtraFiles = []*os.File{reader}
		attr := inner.SysProcAttr
		attr.Cloneflags = namespaces
		attr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
		r := steptest.Run(t, inner)
		reader.Close()
		switch {
		case text != "\x00" && (r.Status != 125 || r.Stdout != ""):
			t.Errorf("exit status %d, standard output %q, want 125 and none", r.Status, r.Stdout)
		case text != "\x00":
			steptest.Contains(t, r.Stderr, "wait for the outer process: EOF")
		case r.Stdout != "the command ran\n":
			t.Errorf("the control: %q, %q", r.Stdout, r.Stderr)
		}
	}
}

// TestChooseCable chooses addresses where others are in use.
func TestChooseCable(t *testing.T) {
	for _, c := range []struct {
		used  string
		start uint32
		host  string // the host's end, or an error
	}{
		{"", 0, "10.0.0.1/30"},
		{"0.0.0.0/0", 7, "10.0.0.29/30"},
		{"0.0.0.0/1 128.0.0.0/1", 7, "10.0.0.29/30"},
		{"10.0.0.0/24", 0, "10.0.1.1/30"},
		{"10.0.0.2/32 10.0.0.4/30", 0, "10.0.0.9/30"},
		{"10.255.255.252/30", 1<<22 - 1, "10.0.0.1/30"},
		{"10.0.0.0/8", 0, "172.16.0.1/30"},
		{"10.0.0.0/8 172.16.0.0/12", 0, "192.168.0.1/30"},
		{"10.0.0.0/7 172.0.0.0/8 192.168.0.0/16", 0, "no four addresses"},
	} {
		var used []netip.Prefix
		for _, text := range strings.Fields(c.used) {
			used = append(used, netip.MustParsePrefix(text))
		}
		got, err := chooseCable(used, c.start)
		switch {
		case err != nil && !strings.HasPrefix(err.Error(), c.host):
			t.Errorf("with %q in use: %v", c.used, err)
		case err == nil && got.host.String() != c.host:
			t.Errorf("with %q in use: %s, want %s", c.used, got.host, c.host)
		case err == nil && (got.container.Addr() != got.host.Addr().Next() || len(got.link) > 15):
			t.Errorf("with %q in use: %+v", c.used, got)
		}
	}
}

// TestReachable picks name servers.
func TestReachable(t *testing.T) {
	text := "# a comment\nsearch example\nnameserver 127.0.0.53\nnameserver\nnameserver fe80::1\n" +
		"nameserver 192.0.2.53\noptions edns0\nnameserver  198.51.100.7 # x\n"
	want := "search example\nnameserver 192.0.2.53\noptions edns0\nnameserver 198.51.100.7\n"
	if got := reachable(text); got != want {
		t.Errorf("reachable: %q, want %q", got, want)
	}
}

// onStandInHost prepares an experiment that has a network namespace of its own, and so may play the
// host: with root's real privileges, or those of a user namespace.
func onStandInHost(u steptest.User, args ...string) *exec.Cmd {
	cmd := u.Program(args...)
	cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWNET
	if u.UID != 0 {
		cmd.Args = append([]string{step, "test:as-user"}, args...)
		cmd.SysProcAttr.Cloneflags = 0
	}
	return cmd
}

// setUpLoopback is what a stand-in host does first. It also stops forwarding, which a new network
// namespace begins with if the real host forwards, as one with Docker does.
func setUpLoopback() error {
	n, err := dialNetlink(nil)
	if err != nil {
		return err
	}
	defer n.close()
	return errors.Join(n.setUp("lo"), forward("all", false), forward("default", false))
}

// What every step promises as a command.

func TestExitStatus(t *testing.T)              { steptest.ExitStatus(t) }
func TestHelp(t *testing.T)                    { steptest.Help(t) }
func TestStandardStreams(t *testing.T)         { steptest.StandardStreams(t) }
func TestFullDisk(t *testing.T)                { steptest.FullDisk(t) }
func TestFiftyAtOnce(t *testing.T)             { steptest.FiftyAtOnce(t) }
func TestOtherNames(t *testing.T)              { steptest.OtherNames(t) }
func TestNameIsNoProof(t *testing.T)           { steptest.NameIsNoProof(t) }
func TestUserNamespacesForbidden(t *testing.T) { steptest.UserNamespacesForbidden(t) }
func TestRemedy(t *testing.T)                  { steptest.Remedy(t, inContainer()) }
func TestAnothersNetwork(t *testing.T)         { steptest.AnothersNetwork(t) }
func TestNoexec(t *testing.T)                  { steptest.Noexec(t) }
func TestMountBelowUsr(t *testing.T)           { steptest.MountBelowUsr(t) }
func TestHidepid(t *testing.T)                 { steptest.Hidepid(t) }
func TestLessonLeavesNothing(t *testing.T)     { steptest.LessonLeavesNothing(t) }
func TestKilledLesson(t *testing.T)            { steptest.KilledLesson(t) }
func TestKilledCommand(t *testing.T)           { steptest.KilledCommand(t) }
func TestKilledEarly(t *testing.T)             { steptest.KilledEarly(t) }

func TestRefused(t *testing.T) { steptest.Refused(t, " setns") }

func TestTerminal(t *testing.T)    { steptest.Terminal(t, inside+"# ") }
func TestStartsShell(t *testing.T) { steptest.StartsShell(t, startsShell) }

func TestSharedTmp(t *testing.T)  { steptest.SharedTmp(t) }
func TestNamespaces(t *testing.T) { steptest.Namespaces(t) }

func TestMounts(t *testing.T) {
	steptest.Mounts(t, nil, "/dev/mqueue rw,nosuid,nodev,noexec mqueue ")
}

func TestModes(t *testing.T) {
	steptest.Modes(t, map[string]string{"/etc/resolv.conf": "-rw-r--r-- 0:0"})
}

func TestStreamsByName(t *testing.T)            { steptest.StreamsByName(t) }
func TestRefusedStreamIsExplained(t *testing.T) { steptest.RefusedStreamIsExplained(t) }
func TestPipeBothWays(t *testing.T)             { steptest.PipeBothWays(t) }
func TestPermissionsAddUp(t *testing.T)         { steptest.PermissionsAddUp(t, addPermission) }
func TestSharedOffset(t *testing.T)             { steptest.SharedOffset(t) }
func TestRootsRanges(t *testing.T)              { steptest.RootsRanges(t) }
func TestQuotaOfRoot(t *testing.T)              { steptest.QuotaOfRoot(t) }
func TestThreadAfterwards(t *testing.T)         { steptest.ThreadAfterwards(t) }
func TestPrivateProgram(t *testing.T)           { steptest.PrivateProgram(t) }

// innerGets is what a process in the role of the inner one gets: nothing, or a pipe with the word
// to go or another word.
func innerGets(given string) ([]*os.File, []string, error) {
	command := []string{"echo", "ran"}
	if given == "nothing" {
		return nil, command, nil
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	word := "\x00"
	if given == "wrong" {
		word = "?"
	}
	_, err = writer.WriteString(word)
	return []*os.File{reader}, command, errors.Join(err, writer.Close())
}

// ownedStart starts a command as the container is started: in a user namespace, with its IDs.
func ownedStart(cmd *exec.Cmd) error {
	later, err := mapIDs(cmd.SysProcAttr)
	if err != nil {
		return err
	}
	if err := startOwned(cmd); err != nil {
		return err
	}
	return later(cmd.Process.Pid)
}

// init adds what these tests run in the program's place.
func init() {
	// test:no-network plugs itself in, as if it were a container.
	experiments["test:no-network"] = func([]string) error {
		_, err := plugIn(os.Getpid(), nil)
		return err
	}
	// test:as-user is the ordinary user's way to play the host.
	experiments["test:as-user"] = func(args []string) error {
		return playHost(append([]string{"test:stand-in"}, args...), "stand-in")
	}
	// test:stand-in waits, as run does, for its ID maps: newuidmap(1) may write them later. And
	// where pasta has opened a way to the world, it closes that: the tests have a world of their
	// own.
	experiments["test:stand-in"] = func(args []string) error {
		if err := beHost(); err != nil {
			return err
		}
		n, err := dialNetlink(nil)
		if err != nil {
			return err
		}
		defer n.close()
		if link, err := uplink(); err != nil {
			return err
		} else if link != "" {
			if err := n.deleteLink(link); err != nil {
				return err
			}
		}
		return experiments[args[0]](args[1:])
	}
	experiments["test:call"] = func(args []string) error {
		heard, err := call(args[0])
		if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
			heard, err = "deadline", nil
		}
		fmt.Println(heard)
		return err
	}
	experiments["test:listen"] = func([]string) error {
		own, err := ownAddress()
		if err != nil {
			return err
		}
		listener, err := net.Listen("tcp4", net.JoinHostPort(own.String(), "0"))
		if err != nil {
			return err
		}
		go answerOne(listener, "word")
		return waitForEOF(listener.Addr().String())
	}
	// test:reach tries to connect to each address, and prints what the kernel says.
	experiments["test:reach"] = func(addresses []string) error {
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
	experiments["test:world"] = func([]string) error {
		if err := setUpLoopback(); err != nil {
			return err
		}
		before, err := networkState()
		if err != nil {
			return err
		}
		if err := playWorld(); err != nil {
			return err
		}
		return asBefore(before)
	}
	// filter sets up a chain that drops or rejects what it doesn't know.
	filter := func(args []string) error {
		if args[0] == "legacy" {
			return exec.Command("iptables-legacy", "-P", "FORWARD", "DROP").Run()
		}
		chain := strings.Fields(args[0])
		_, err := nft(fmt.Sprintf("table %s %s { chain %s { %s }; }",
			chain[0], chain[1], chain[2], args[1]))
		return err
	}
	experiments["test:lesson"] = func(args []string) error {
		if err := errors.Join(setUpLoopback(), filter(args)); err != nil {
			return err
		}
		return run(nil)
	}
	experiments["test:dropping"] = func(args []string) error {
		if err := errors.Join(setUpLoopback(), filter(args)); err != nil {
			return err
		}
		world, c, err := plugWorldIn("lesson:obey")
		if err != nil {
			return err
		}
		defer world.end()
		for range 2 {
			caller, err := callWorld(world, c, self("/proc/self/exe", "test:reach"))
			if err != nil {
				return err
			}
			fmt.Println(caller)
			rules, err := nft("list ruleset")
			if err != nil {
				return err
			}
			for _, b := range barriers(rules, "forward", packet{"jail0", c.link, "new"}) {
				if out, err := exec.Command("sh", "-c", b.fix).CombinedOutput(); err != nil {
					return fmt.Errorf("%s: %w: %s", b.fix, err, out)
				}
			}
		}
		return nil
	}
	experiments["test:takeover"] = func([]string) error {
		if err := setUpLoopback(); err != nil {
			return err
		}
		world, c, err := plugWorldIn("lesson:obey")
		if err != nil {
			return err
		}
		defer world.end()
		for _, everywhere := range []struct{ before, then bool }{
			{false, false}, {false, true}, {true, true},
		} {
			err := errors.Join(forward("all", everywhere.before), forward(c.link, false))
			if err != nil {
				return err
			}
			p, _, err := start(self("sh", "-c", "echo ready; read -r end; true"))
			if err != nil {
				return err
			}
			before, err := forwards(c.link)
			if err != nil || !before {
				return fmt.Errorf("%s doesn't forward: %w", c.link, err)
			}
			if everywhere.then {
				err = forward("all", true)
			}
			p.stdin.Close()
			if err := errors.Join(err, p.cmd.Wait()); err != nil {
				return err
			}
			after, err := forwards(c.link)
			if err != nil {
				return err
			}
			fmt.Println("afterwards, forwarding is", after)
		}
		return nil
	}
	experiments["test:last"] = func([]string) error {
		if err := setUpLoopback(); err != nil {
			return err
		}
		world, c, err := plugWorldIn("lesson:obey")
		if err != nil {
			return err
		}
		defer world.end()
		var running []*helper
		for range 2 {
			p, _, err := start(self("sh", "-c", "echo ready; read -r end; true"))
			if err != nil {
				return err
			}
			running = append(running, p)
		}
		for _, p := range running {
			p.stdin.Close()
			if err := p.cmd.Wait(); err != nil {
				return err
			}
			after, err := forwards(c.link)
			if err != nil {
				return err
			}
			fmt.Println("afterwards, forwarding is", after)
		}
		return nil
	}
	experiments["test:lock"] = func([]string) error {
		done := make(chan error, 1)
		err := locked(func(lock *os.File) error {
			// Nft may still have it open afterwards.
			if _, err := unix.Dup(int(lock.Fd())); err != nil {
				return err
			}
			go func() { done <- locked(func(*os.File) error { return nil }) }()
			select {
			case <-done:
				return errors.New("the other doesn't wait")
			case <-time.After(200 * time.Millisecond):
				fmt.Println("the other waits")
				return nil
			}
		})
		if err != nil {
			return err
		}
		select {
		case err = <-done:
			fmt.Println("no more")
		case <-time.After(10 * time.Second):
			err = errors.New("the other still waits")
		}
		return err
	}
	experiments["test:pasta"] = func([]string) error {
		// A /dev/net/tun that every user can open, as most systems have it.
		if err := errors.Join(
			unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
			unix.Mount("tmpfs", "/dev/net", "tmpfs", 0, "mode=755"),
			unix.Mknod("/dev/net/tun", unix.S_IFCHR|0o666, int(unix.Mkdev(10, 200))),
			os.Chmod("/dev/net/tun", 0o666),
			setUpLoopback(),
		); err != nil {
			return err
		}
		// Where the host has no way to the world, the step doesn't wait for one and says nothing.
		said, err := steptest.Ordinary.Program("echo", "ran").CombinedOutput()
		if err != nil {
			return err
		}
		fmt.Printf("offline: %q\n", said)
		world, c, err := plugWorldIn("lesson:obey")
		if err != nil {
			return err
		}
		defer world.end()
		here, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer here.Close()
		_, port, _ := net.SplitHostPort(here.Addr().String())
		gateway := net.JoinHostPort(c.container.Addr().String(), port)
		inner := func(path, address string) *exec.Cmd {
			cmd := steptest.Ordinary.Program("/proc/self/exe", "test:reach", address)
			if address == "" {
				cmd.Args = cmd.Args[:len(cmd.Args)-1]
			}
			cmd.Env, cmd.Stderr = append(os.Environ(), "PATH="+path), os.Stderr
			return cmd
		}
		caller, err := callWorld(world, c, inner(os.Getenv("PATH"), ""))
		if err != nil {
			return err
		}
		loopback, err := ask(inner(os.Getenv("PATH"), gateway))
		if err != nil {
			return err
		}
		fmt.Printf("with pasta: the world was called by %s; 127.0.0.1 can be reached: %v\n",
			caller, strings.HasSuffix(loopback, " = ok"))
		if caller, err = callWorld(world, c, inner("/nowhere", "")); err != nil {
			return err
		}
		fmt.Printf("without: the world was called by %s\n", caller)
		// And one that is killed: what it leaves, the test looks for.
		killed, _, err := start(steptest.Ordinary.Program("sh", "-c", "echo on; sleep 600"))
		if err != nil {
			return err
		}
		defer killed.end()
		return killed.cmd.Process.Kill()
	}
	experiments["test:ids"] = func([]string) error {
		if err := steptest.GiveIDs(steptest.SubUIDs, steptest.SubGIDs); err != nil {
			return err
		}
		cmd := steptest.Ordinary.Program("sh", "-c",
			"cd /proc/self; cat uid_map gid_map setgroups")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		return cmd.Run()
	}
	experiments["test:twenty"] = func(args []string) error {
		many, err := strconv.Atoi(args[0])
		if err := errors.Join(err, setUpLoopback()); err != nil {
			return err
		}
		before, err := networkState()
		if err != nil {
			return err
		}
		if err := callTwenty(many); err != nil {
			return err
		}
		if err := asBefore(before); err != nil {
			return err
		}
		if err := killTwenty(many); err != nil {
			return err
		}
		return asBefore(before)
	}
	experiments["test:taken"] = func([]string) error {
		p, _, err := start(node("lesson:obey"))
		if err != nil {
			return err
		}
		defer p.end()
		pid := p.cmd.Process.Pid
		first, err := chooseCable(nil, uint32(pid))
		if err != nil {
			return err
		}
		n, err := dialNetlink(nil)
		if err != nil {
			return err
		}
		defer n.close()
		if err := n.addVeth(first.link, hardware(first.host.Addr()), "other", pid); err != nil {
			return err
		}
		second, err := plugIn(pid, nil)
		if second.host.Addr() == first.container.Addr().Next().Next().Next() {
			fmt.Println("the next one")
		}
		return err
	}
	experiments["test:mac"] = func([]string) error {
		p, _, err := start(node("lesson:obey"))
		if err != nil {
			return err
		}
		defer p.end()
		c, err := plugIn(p.cmd.Process.Pid, nil)
		if err != nil {
			return err
		}
		link, err := net.InterfaceByName(c.link)
		if err != nil {
			return err
		}
		if want := hardware(c.host.Addr()).String(); link.HardwareAddr.String() != want {
			fmt.Printf("%s, and not %s\n", link.HardwareAddr, want)
			return nil
		}
		fmt.Println("as given")
		return nil
	}
	experiments["test:gullible"] = func([]string) error {
		// As most systems have it. With 2, the kernel believes it even where it forwards.
		conf := "/proc/sys/net/ipv6/conf/"
		if err := errors.Join(setUpLoopback(), writeFile(conf+"default/disable_ipv6", "0"),
			writeFile(conf+"default/accept_ra", "2")); err != nil {
			return err
		}
		here, err := net.Listen("tcp4", "0.0.0.0:0")
		if err != nil {
			return err
		}
		defer here.Close()
		_, port, _ := net.SplitHostPort(here.Addr().String())
		inner, _, err := start(self("/proc/self/exe", "test:router", port))
		if err != nil {
			return err
		}
		defer inner.end()
		n, err := dialNetlink(nil)
		if err != nil {
			return err
		}
		defer n.close()
		link, err := linkBeside("")
		if err != nil {
			return err
		}
		// When an answer has gone out, the link has begun to work. What the kernel does then for
		// IPv6, it has done before it changes a link again.
		if err := errors.Join(order(inner, here, "call"), n.setUp(link)); err != nil {
			return err
		}
		believed, err := isBelieved(inner, here)
		if err != nil {
			return err
		}
		fmt.Println("without IPv6, the host believes it:", believed)
		if err := writeFile(conf+link+"/disable_ipv6", "0"); err != nil {
			return err
		}
		for range 200 {
			if believed, err = isBelieved(inner, here); err != nil || believed {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		fmt.Println("with it:", believed)
		return err
	}
	// test:router does what its arguments say, and then calls the host.
	experiments["test:router"] = func(args []string) error {
		own, err := ownAddress()
		if err != nil {
			return err
		}
		if err := addRouter(); err != nil {
			return err
		}
		fmt.Println("ready")
		for orders := bufio.NewScanner(os.Stdin); orders.Scan(); {
			if orders.Text() == "advertise" {
				err = advertise()
			}
			heard, err1 := call(net.JoinHostPort(own.Prev().String(), args[0]))
			if err := errors.Join(err, err1); err != nil {
				return err
			}
			fmt.Println(heard)
		}
		return nil
	}
	experiments["test:forged"] = func([]string) error {
		if err := errors.Join(setUpLoopback(), believeSenders()); err != nil {
			return err
		}
		packets, err := net.ListenPacket("udp4", "0.0.0.0:0")
		if err != nil {
			return err
		}
		defer packets.Close()
		_, port, _ := net.SplitHostPort(packets.LocalAddr().String())
		inner, own, err := start(self("/proc/self/exe", "test:forge", port))
		if err != nil {
			return err
		}
		defer inner.end()
		for _, what := range []string{"the host hears:", "without the rules:"} {
			if _, err := inner.tell("send"); err != nil {
				return err
			}
			fmt.Print(what)
			for who := ""; who != own; {
				packets.SetReadDeadline(time.Now().Add(10 * time.Second))
				_, from, err := packets.ReadFrom(make([]byte, 1))
				if err != nil {
					return err
				}
				who, _, _ = net.SplitHostPort(from.String())
				fmt.Print(" ", strings.ReplaceAll(who, own, "the container"))
			}
			fmt.Println()
			if _, err := nft("flush chain ip jail in"); err != nil {
				return err
			}
		}
		return nil
	}
	// test:forge sends the host three packets for each line that it reads: from a forged address,
	// from 0.0.0.0 to everyone, as a computer does that has no address yet, and from its own.
	experiments["test:forge"] = func(args []string) error {
		own, err := ownAddress()
		if err != nil {
			return err
		}
		port, err := strconv.ParseUint(args[0], 10, 16)
		if err != nil {
			return err
		}
		fmt.Println(own)
		host := netip.AddrPortFrom(own.Prev(), uint16(port))
		for orders := bufio.NewScanner(os.Stdin); orders.Scan(); {
			err := errors.Join(forge(forged, host), askEveryone(host.Port()), forge(own, host))
			if err != nil {
				return err
			}
			fmt.Println("sent")
		}
		return nil
	}
	experiments["test:greet"] = func(args []string) error {
		own, err := ownAddress()
		if err != nil {
			return err
		}
		heard, err := call(net.JoinHostPort(own.Prev().String(), args[0]))
		fmt.Println(own, heard)
		return err
	}
}

// linkBeside is the name of the host's end of the one cable besides another.
func linkBeside(other string) (string, error) {
	links, err := net.Interfaces()
	if err != nil {
		return "", err
	}
	for _, link := range links {
		if strings.HasPrefix(link.Name, "jail") && link.Name != other {
			return link.Name, nil
		}
	}
	return "", errors.New("there is no cable")
}

// order tells a container to do something and then to call this host.
func order(inner *helper, here net.Listener, what string) error {
	go answerOne(here, "word")
	if heard, err := inner.tell(what); err != nil || heard != "word" {
		return fmt.Errorf("%s: the container heard %q: %w", what, heard, err)
	}
	return nil
}

// isBelieved has test:router send its advertisement, and tells whether this host has a route to the
// advertised network then. A cable keeps the order of what is sent: so when the call has come, the
// advertisement has, too.
func isBelieved(inner *helper, here net.Listener) (bool, error) {
	if err := order(inner, here, "advertise"); err != nil {
		return false, err
	}
	routes, err := os.ReadFile("/proc/net/ipv6_route")
	return strings.Contains(string(routes), fmt.Sprintf("%x 40 ", advertised.As16())), err
}

// advertised is a network for documentation only (RFC 3849); test:router offers to lead there.
var advertised = netip.MustParseAddr("2001:db8:bad::")

// router is the address of test:router. It has to be one that holds for the cable only (RFC 4861,
// section 6.1.2).
var router = netip.MustParseAddr("fe80::1")

// addRouter adds that address to eth0. With "nodad" it can be used at once: the kernel doesn't ask
// first whether others have it.
func addRouter() error {
	n, err := dialNetlink(nil)
	if err != nil {
		return err
	}
	defer n.close()
	index, err := n.index("eth0")
	if err != nil {
		return err
	}
	if err := writeFile("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "0"); err != nil {
		return err // some systems begin with 1
	}
	header := append([]byte{unix.AF_INET6, 64, unix.IFA_F_NODAD, unix.RT_SCOPE_LINK},
		native32(index)...)
	_, err = n.request("ip addr add fe80::1/64 dev eth0 nodad", unix.RTM_NEWADDR, create, header,
		attribute(unix.IFA_LOCAL, router.AsSlice()), attribute(unix.IFA_ADDRESS, router.AsSlice()))
	return err
}

// advertise sends a Router Advertisement to all that hear it on eth0: no default route, but a
// network that can be reached on this link (RFC 4861, sections 4.2 and 4.6.2).
func advertise() error {
	link, err := net.InterfaceByName("eth0")
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMPV6)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	message := make([]byte, 48)
	message[0] = 134                                // Router Advertisement
	message[16], message[17] = 3, 4                 // Prefix Information, of 4 times 8 bytes
	message[18], message[19] = 64, 0x80             // bits of the prefix; it is on this link
	binary.BigEndian.PutUint32(message[20:], 86400) // for that many seconds
	copy(message[32:], advertised.AsSlice())
	allNodes := netip.MustParseAddr("ff02::1").As16()
	// What has come through a router has less than 255, and would be ignored.
	return errors.Join(
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 255),
		unix.Bind(fd, &unix.SockaddrInet6{Addr: router.As16(), ZoneId: uint32(link.Index)}),
		unix.Sendto(fd, message, 0,
			&unix.SockaddrInet6{Addr: allNodes, ZoneId: uint32(link.Index)}),
	)
}

// forged is the sender of forged packets, an address for documentation only (RFC 5737).
var forged = netip.MustParseAddr("192.0.2.1")

// believeSenders switches off what a system may have set up against forged senders, in this network
// namespace: it would do the rule's work.
func believeSenders() error {
	return errors.Join(writeFile("/proc/sys/net/ipv4/conf/all/rp_filter", "0"),
		writeFile("/proc/sys/net/ipv4/conf/default/rp_filter", "0"))
}

// forge sends an empty UDP packet, with whatever sender. The kernel fills in the length and the
// checksum of an IP header that a program writes itself (raw(7)); UDP can do without one.
func forge(from netip.Addr, to netip.AddrPort) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	return os.NewSyscallError("sendto",
		unix.Sendto(fd, udpPacket(from, to), 0, &unix.SockaddrInet4{Addr: to.Addr().As4()}))
}

// udpPacket is an IP packet with nothing in it but the header of UDP.
func udpPacket(from netip.Addr, to netip.AddrPort) []byte {
	packet := make([]byte, 28)
	packet[0], packet[3], packet[8], packet[9] = 0x45, 28, 64, unix.IPPROTO_UDP // lengths, hops
	copy(packet[12:], from.AsSlice())
	copy(packet[16:], to.Addr().AsSlice())
	binary.BigEndian.PutUint16(packet[20:], to.Port()) // from there, too
	binary.BigEndian.PutUint16(packet[22:], to.Port())
	binary.BigEndian.PutUint16(packet[24:], 8) // the length of the UDP header
	return packet
}

// askEveryone sends a packet from 0.0.0.0 to 255.255.255.255. It goes to eth0 as it is (packet(7)):
// otherwise the kernel puts its own address in.
func askEveryone(port uint16) error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket(AF_PACKET)", err)
	}
	defer unix.Close(fd)
	link, err := net.InterfaceByName("eth0")
	if err != nil {
		return err
	}
	everyone := netip.AddrFrom4([4]byte{255, 255, 255, 255})
	packet := udpPacket(netip.IPv4Unspecified(), netip.AddrPortFrom(everyone, port))
	sum := uint32(0) // the header's checksum (RFC 1071)
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(packet[i:]))
	}
	binary.BigEndian.PutUint16(packet[10:], ^uint16(sum>>16+sum&0xffff))
	ip := binary.NativeEndian.Uint16([]byte{unix.ETH_P_IP >> 8, unix.ETH_P_IP & 0xff})
	return os.NewSyscallError("sendto", unix.Sendto(fd, packet, 0, &unix.SockaddrLinklayer{
		Protocol: ip, Ifindex: link.Index, Halen: 6,
		Addr: [8]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}))
}

// ownAddress is the container's, on eth0.
func ownAddress() (netip.Addr, error) {
	link, err := net.InterfaceByName("eth0")
	if err != nil {
		return netip.Addr{}, err
	}
	addresses, err := link.Addrs()
	if err != nil {
		return netip.Addr{}, err
	}
	own, err := netip.ParsePrefix(addresses[0].String())
	return own.Addr(), err
}

// plugWorldIn plugs a world into this stand-in host and makes it the default route. An experiment
// plays the world, which has a route to this host only.
func plugWorldIn(experiment string) (world *helper, c cable, err error) {
	world, _, err = start(node(experiment))
	if err != nil {
		return world, c, err
	}
	pid := world.cmd.Process.Pid
	if c, err = plugIn(pid, nil); err != nil {
		return world, c, err
	}
	n, err := dialNetlink(nil)
	if err != nil {
		return world, c, err
	}
	defer n.close()
	inner, err := dialNetlinkOf(pid, nil)
	if err != nil {
		return world, c, err
	}
	defer inner.close()
	return world, c, errors.Join(n.addDefaultRoute(c.container.Addr()), inner.deleteDefaultRoute())
}

// callWorld adds the address of a port in the world to a command that is to call it, and returns
// the caller that the world has seen: "the host", another address, or "none".
func callWorld(world *helper, c cable, cmd *exec.Cmd) (string, error) {
	return seenByWorld(world, c, func(port string) error {
		cmd.Args = append(cmd.Args, port)
		_, err := ask(cmd)
		return err
	})
}

// seenByWorld is callWorld for any way to call.
func seenByWorld(world *helper, c cable, call func(port string) error) (string, error) {
	port, err := world.tell("witness " + c.container.Addr().String())
	if err != nil {
		return "", err
	}
	if err := call(port); err != nil {
		return "", err
	}
	caller, err := world.listen()
	if err != nil {
		return "", err
	}
	switch who, _, err := net.SplitHostPort(caller); {
	case err != nil:
		return "none", nil
	case who == c.host.Addr().String():
		return "the host", nil
	default:
		return who, nil
	}
}

// playWorld lets a container's program call a world, and the world call it.
func playWorld() error {
	world, c, err := plugWorldIn("lesson:obey")
	if err != nil {
		return err
	}
	defer world.end()
	who, err := callWorld(world, c, self("/proc/self/exe", "test:call"))
	if err != nil {
		return err
	}
	fmt.Println("the world was called by", who)

	// Now it does know a way to the container. The answers to the host went the same way.
	n, err := dialNetlinkOf(world.cmd.Process.Pid, nil)
	if err != nil {
		return err
	}
	defer n.close()
	if err := n.addDefaultRoute(c.host.Addr()); err != nil {
		return err
	}
	inner, port, err := start(self("/proc/self/exe", "test:listen"))
	if err != nil {
		return err
	}
	defer inner.end()
	// And a neighbour, on another link that forwards.
	neighbour, _, err := start(node("lesson:obey"))
	if err != nil {
		return err
	}
	other, err := plugIn(neighbour.cmd.Process.Pid, nil)
	if err := errors.Join(err, forward(other.link, true)); err != nil {
		return err
	}
	behind, err := neighbour.tell("listen " + other.container.Addr().String() + " word")
	if err != nil {
		return err
	}
	for who, port := range []string{port, behind} {
		answer, err := world.tell("call " + port)
		if err != nil {
			return err
		}
		if strings.Contains(answer, "i/o timeout") {
			answer = "deadline"
		}
		fmt.Printf("a call from the world to %s: %s\n",
			[]string{"the container", "a neighbour"}[who], answer)
	}
	if err := errors.Join(neighbour.end(), inner.end(), n.deleteDefaultRoute()); err != nil {
		return err
	}

	if port, err = world.tell("witness " + c.container.Addr().String()); err != nil {
		return err
	}
	without := self("/proc/self/exe", "test:call", port)
	without.Env = append(os.Environ(), "PATH=/nowhere")
	heard, err := ask(without)
	if err != nil {
		return err
	}
	fmt.Println("without nft, the call ends so:", heard)
	return nil
}

// callTwenty lets that many containers call at once.
func callTwenty(many int) error {
	here, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		return err
	}
	defer here.Close()
	go func() {
		for i := 0; ; i++ {
			connection, err := here.Accept()
			if err != nil {
				return
			}
			fmt.Fprintf(connection, "word-%d\n", i)
			connection.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(here.Addr().String())
	var (
		group sync.WaitGroup
		mutex sync.Mutex
		seen  = map[string]bool{}
		words = map[string]bool{}
		fault error
	)
	for range many {
		group.Go(func() {
			// No Pdeathsig: this goroutine's thread may end before its child.
			cmd := exec.Command("/proc/self/exe", "/proc/self/exe", "test:greet", port)
			cmd.Stderr = os.Stderr
			out, err := ask2(cmd)
			mutex.Lock()
			defer mutex.Unlock()
			fault = errors.Join(fault, err)
			address, word, _ := strings.Cut(out, " ")
			seen[address], words[word] = true, true
		})
	}
	group.Wait()
	fmt.Printf("%d callers, %d addresses, %d words\n", many, len(seen), len(words))
	return fault
}

// ask2 is ask without its errors' text.
func ask2(cmd *exec.Cmd) (string, error) {
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
}

// killTwenty starts that many containers, and kills them from outside as soon as all have begun.
func killTwenty(many int) error {
	var running []*helper
	for range many {
		cmd := self("sh", "-c", "echo ready; sleep 600")
		cmd.SysProcAttr.Setpgid = true
		p, _, err := start(cmd)
		if err != nil {
			return err
		}
		running = append(running, p)
	}
	// Their keepers are asked to end, as all processes of a session may be, and must not yet.
	statuses, err := filepath.Glob("/proc/[0-9]*/status")
	if err != nil {
		return err
	}
	for _, file := range statuses {
		status, _ := os.ReadFile(file) // gone, if that process has ended since
		command, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
		isParent := func(p *helper) bool {
			return strings.Contains(string(status), fmt.Sprintf("\nPPid:\t%d\n", p.cmd.Process.Pid))
		}
		if strings.HasSuffix(string(command), "\x00keeper\x00") &&
			slices.ContainsFunc(running, isParent) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			if err := unix.Kill(pid, unix.SIGTERM); err != nil {
				return err
			}
		}
	}
	for _, p := range running {
		// The whole group, as a key at a terminal would.
		if err := unix.Kill(-p.cmd.Process.Pid, unix.SIGKILL); err != nil {
			return err
		}
	}
	for _, p := range running {
		p.end() // "signal: killed", as meant
	}
	fmt.Println(len(running), "killed")
	return nil
}

// networkState lists the links, whether they forward, their tags, and the tables of nft.
func networkState() (string, error) {
	links, err := net.Interfaces()
	if err != nil {
		return "", err
	}
	var names []string
	for _, link := range links {
		conf := "/proc/sys/net/ipv4/conf/" + link.Name
		forwards, err1 := os.ReadFile(conf + "/forwarding")
		tag, err2 := os.ReadFile(conf + "/tag")
		if err := errors.Join(err1, err2); err != nil {
			return "", err
		}
		names = append(names, link.Name+" "+string(forwards)+string(tag))
	}
	tables, err := exec.Command("nft", "list", "tables").Output()
	return strings.Join(names, "") + string(tables), err
}

// asBefore waits until the state is what it was: keepers take their time, and so does the kernel.
func asBefore(before string) error {
	now, err := "", error(nil)
	for range 200 {
		if now, err = networkState(); err == nil && now == before {
			fmt.Println("links, tables and forwarding are as before")
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("left behind: before %q, now %q, %v", before, now, err)
}

// deleteLink takes a link away.
func (n *netlink) deleteLink(link string) error {
	_, err := n.request("ip link delete "+link, unix.RTM_DELLINK, 0, linkHeader(0, 0),
		attribute(unix.IFLA_IFNAME, text(link)))
	return err
}

// deleteDefaultRoute takes the default route away.
func (n *netlink) deleteDefaultRoute() error {
	_, err := n.request("ip route del default", unix.RTM_DELROUTE, 0, routeHeader(0))
	return err
}
