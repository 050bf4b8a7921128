//go:build linux

// Attacks on the network, the limits, and what 08 adds.

package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

var networkAttacks = []attack{
	{
		name:  "hostport",
		tried: "connect from inside to a port on 127.0.0.1 of the host",
		try: func(h *host) verdict {
			port, end := serve("127.0.0.1:0", "the host's own service")
			defer end()
			a := h.probe(run{}, "dial", "127.0.0.1:"+port)
			return a.leaksIf(strings.Contains(a.out, "the host's own service"))
		},
		leak: "The container is on the host's network: what listens on 127.0.0.1, and trusts " +
			"everyone who gets that far, is open to it.",
	},
	{
		name:  "cable",
		tried: "connect from inside to the host's end of the cable, which is the default gateway",
		try: func(h *host) verdict {
			port, end := serve("0.0.0.0:0", "the host answers")
			defer end()
			a := h.probe(run{}, "dial", "gateway:"+port)
			return a.worksIf(strings.Contains(a.out, "the host answers"))
		},
		leak: "The cable carries nothing, or the container doesn't know where to send. It needs " +
			"an address, a link that is up, and a default route by way of the host's end.",
	},
	{
		name:  "loopback",
		tried: "let a program in the container connect to one beside it, at 127.0.0.1",
		try: func(h *host) verdict {
			a := h.probe(run{}, "self")
			return a.worksIf(a.status == 0)
		},
		leak: "A new network namespace has a lo of its own, and that is down. Programs in the " +
			"container can't talk to each other.",
	},
	{
		name: "forwards",
		tried: "run the container on a host that forwards packets for every new link, as one " +
			"with Docker",
		try: func(h *host) verdict {
			const all = "/proc/sys/net/ipv4/conf/default/forwarding"
			if err := os.WriteFile(all, []byte("1"), 0); err != nil {
				return verdict{missing, err.Error(), ""}
			}
			defer func() { _ = os.WriteFile(all, []byte("0"), 0) }() // this network ends with us
			_, done := h.start(run{}, "sleep", "2")
			links := newLinks(1500 * time.Millisecond)
			forwards := ""
			for _, link := range links {
				// It may be gone already.
				text, _ := os.ReadFile("/proc/sys/net/ipv4/conf/" + link + "/forwarding")
				forwards = strings.TrimSpace(string(text))
			}
			a := done()
			came := fmt.Sprintf("the container's link %v has forwarding=%s", links, forwards)
			if v, broken := a.broken(); broken {
				return v
			}
			if forwards == "1" {
				return verdict{outcome: leaked, came: came}
			}
			return verdict{outcome: held, came: came}
		},
		leak: "The host is a router for your container: its packets go wherever the host's do, " +
			"under an address that no other host can answer, and past whatever the host has " +
			"to say about it.",
	},
	{
		name:  "unplugged",
		tried: "list the host's links after the container has ended",
		try: func(h *host) verdict {
			a := h.inside("true")
			if v, broken := a.broken(); broken {
				return v
			}
			var left []string
			if eventually(3*time.Second,
				func() bool { left = newLinks(0); return len(left) == 0 }) {
				return verdict{outcome: held, came: "only lo"}
			}
			return verdict{outcome: leaked, came: strings.Join(left, ", ")}
		},
		leak: "A link of the container's stays on the host.",
	},
	{
		name:  "resolver",
		tried: "read /etc/resolv.conf in the container",
		try: func(h *host) verdict {
			a := h.inside("cat", "/etc/resolv.conf")
			return a.worksIf(a.status == 0 && a.out != "")
		},
		leak: "A program in the container that looks up a name finds no name server. The outer " +
			"process has sent the text for this file.",
	},
	{
		name: "published",
		tried: "start a server in the container on port 7000, with PUBLISH=8080:7000, and " +
			"connect to 127.0.0.1:8080 on the host, three times",
		try: func(h *host) verdict {
			return h.published(run{env: []string{"PUBLISH=8080:7000"}}, false)
		},
		leak: notPublished,
	},
	{
		name: "publish",
		tried: "start a server in the container on port 7000, with -publish 8080:7000, and " +
			"connect to port 8080 on 127.0.0.1, and on the host's other addresses",
		try: func(h *host) verdict {
			return h.published(run{flags: []string{"-publish", "8080:7000"}}, false)
		},
		leak: notPublished,
	},
	{
		name:  "publishall",
		tried: "the same with -publish 0.0.0.0:8080:7000",
		try: func(h *host) verdict {
			return h.published(run{flags: []string{"-publish", "0.0.0.0:8080:7000"}}, true)
		},
		leak: notPublished,
	},
	{
		name: "lan",
		tried: "start two servers in two containers with LAN=blue:10.99.0.2/24 and .3; connect " +
			"from a container on LAN=red, then from a third one on blue, and, when the first " +
			"server has ended, from a fourth",
		try: func(h *host) verdict { return h.lan() },
		leak: "What one container sends doesn't get to the other. From eth1 the way goes through " +
			"a port on the host and the bridge to the other's port: each link has to be up.",
	},
}

// notPublished is what it means if a published port doesn't work.
const notPublished = "Nothing listens on the host's port, or what arrives there doesn't get to " +
	"the container."

// startServer starts a server in a container, and waits until it listens. If it doesn't, the other
// two are as for any probe.
func (h *host) startServer(r run, args ...string) (up bool, cmd *exec.Cmd, done func() answer) {
	ready, tell, err := os.Pipe()
	hostNeeds(err)
	defer ready.Close()
	r.stdout = tell
	cmd, done = h.startProbe(r, "serve", args...)
	tell.Close()
	_ = ready.SetReadDeadline(time.Now().Add(10 * time.Second)) // a pipe can
	_, err = ready.Read(make([]byte, 1))
	return err == nil, cmd, done
}

// published tries a forwarded port, which is meant for all of the host's addresses or for one.
func (h *host) published(publish run, all bool) verdict {
	publish.limit = 10 * time.Second
	_, cmd, done := h.startServer(publish, "0.0.0.0:7000")
	said := ask("127.0.0.1:8080")
	second, third := ask("127.0.0.1:8080"), ask("127.0.0.1:8080")
	var elsewhere string
	if addresses, err := net.InterfaceAddrs(); err == nil {
		for _, a := range addresses {
			if ip, _, err := net.ParseCIDR(a.String()); err == nil && !ip.IsLoopback() {
				elsewhere += ask(net.JoinHostPort(ip.String(), "8080"))
			}
		}
	}
	_ = cmd.Process.Signal(unix.SIGKILL)
	a := done()
	switch {
	case !strings.Contains(said, "to the container"):
		if v, broken := a.broken(); broken && !a.late {
			return v
		}
		return verdict{outcome: failed, came: fmt.Sprintf("%q", said)}
	case !strings.Contains(second+third, "to the container"):
		return verdict{failed, fmt.Sprintf("%q, then %q and %q", said, second, third), "The " +
			"first connection gets through, and later ones don't. Each needs an accept of its " +
			"own."}
	case all && !strings.Contains(elsewhere, "to the container"):
		return verdict{failed, fmt.Sprintf("%q, and from the host's other addresses %q", third,
			elsewhere), "The address was given, 0.0.0.0, and you open another one. Only the " +
			"default should be this host's own."}
	case !all && strings.Contains(elsewhere, "to the container"):
		return verdict{leaked, fmt.Sprintf("%q, and so from the host's other addresses", said),
			"The port is open on all of the host's addresses: everyone on its network can " +
				"connect. Publish it on 127.0.0.1."}
	}
	return verdict{held, fmt.Sprintf("%q", third), ""}
}

// lan tries a link between containers.
func (h *host) lan() verdict {
	lan := func(name string, number int) run {
		address := fmt.Sprintf("LAN=%s:10.99.0.%d/24", name, number)
		return run{env: []string{address}, limit: 20 * time.Second}
	}
	// Each server ends after its first connection, as a container does whose command ends.
	var ends [2]func() answer
	for i := range ends {
		up, cmd, done := h.startServer(lan("blue", 2+i), "0.0.0.0:7000", "1")
		ends[i] = done
		defer func() { _ = cmd.Process.Kill() }() // it should have ended
		if !up {
			_ = cmd.Process.Kill()
			a := done()
			if i > 0 && strings.Contains(a.err, "exists") {
				return a.worksIf(false).otherwise("The first container runs. What it made on the " +
					"host is there already for the second, or is called the same.")
			}
			return a.worksIf(false)
		}
	}
	dial := func(r run, number int) answer {
		return h.probe(r, "dial", fmt.Sprintf("10.99.0.%d:7000", number))
	}
	if a := dial(lan("red", 9), 2); strings.Contains(a.out, "to the container") {
		return verdict{leaked, a.said(), "A container on the LAN red has connected to one on " +
			"blue: they are all on the same link, whatever it is called."}
	}
	if a := dial(lan("blue", 4), 2); !strings.Contains(a.out, "to the container") {
		return a.worksIf(false)
	}
	ends[0]()
	if a := dial(lan("blue", 5), 3); !strings.Contains(a.out, "to the container") {
		return a.worksIf(false).otherwise("The first container has ended, and the second one is " +
			"cut off: what they have in common has gone with the first.")
	}
	ends[1]()
	var left []string
	if !eventually(3*time.Second, func() bool { left = newLinks(0); return len(left) == 0 }) {
		return verdict{leaked, "all containers have ended, and the host has the link " +
			strings.Join(left, ", "), "The kernel removes a veth with the network namespace at " +
			"its other end. A bridge is the host's, and stays until it is removed."}
	}
	return verdict{held, "blue's containers reach each other, and red's doesn't", ""}
}

// serve listens on the host, and says something to everyone who connects.
func serve(address, text string) (port string, end func()) {
	l, err := net.Listen("tcp", address) // the network is our own, and the port the kernel's choice
	hostNeeds(err)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // it was closed
			}
			fmt.Fprint(c, text)
			_ = c.Close() // what was written is on its way
		}
	}()
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port, func() { _ = l.Close() }
}

// ask connects to an address and returns what comes, or the error.
func ask(address string) string {
	c, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Second)) // a TCP connection can
	text := make([]byte, 100)
	n, err := c.Read(text)
	if n == 0 && err != nil {
		return err.Error()
	}
	return string(text[:n])
}

// newLinks waits for links besides lo, and lists them.
func newLinks(limit time.Duration) (names []string) {
	eventually(limit, func() bool {
		all, err := net.Interfaces()
		names = nil
		for _, link := range all {
			// Some kernels put a few tunnels into every network namespace; those are down.
			if link.Name != "lo" && link.Flags&net.FlagUp != 0 {
				names = append(names, link.Name)
			}
		}
		return err == nil && len(names) > 0
	})
	return names
}

// slow is how long a probe may take that works within a fifth of a CPU.
const slow = 40 * time.Second

var limitAttacks = []attack{
	{
		name:  "memory",
		tried: "use 400 MiB of memory in the container (07 allows 64, and 08 256)",
		try: func(h *host) verdict {
			a := h.probe(run{limit: slow}, "eat", "400")
			return a.leaksIf(strings.Contains(a.out, "used 400 MiB"))
		},
		leak: "There is no limit on this container's memory: it could use all of the machine's, " +
			"and the kernel would then kill others' processes.",
	},
	{
		name:  "processes",
		tried: "make 200 processes in the container (07 allows 50, and 08 128)",
		try: func(h *host) verdict {
			a := h.probe(run{limit: slow}, "processes", "200")
			return a.leaksIf(strings.Contains(a.out, "made 200 processes"))
		},
		leak: "There is no limit on the number of its processes. A fork bomb in the container is " +
			"one on the host.",
	},
	{
		name:  "tree",
		tried: "read /proc/self/cgroup in the container",
		try: func(h *host) verdict {
			a := h.inside("cat", "/proc/self/cgroup")
			if v, broken := a.broken(); broken {
				return v
			}
			for line := range strings.Lines(a.out) {
				if strings.Contains(line, h.step) {
					return verdict{outcome: leaked, came: strings.TrimSpace(line)}
				}
			}
			return verdict{outcome: held, came: strings.TrimSpace(a.said())}
		},
		leak: "The container sees where in the host's hierarchy its cgroup is, and the names of " +
			"those above it.",
	},
	{
		name:  "weight",
		tried: "read the weight of the container's cgroup on the host while it runs",
		try:   func(h *host) verdict { return h.weight() },
		leak: "Its weight is the usual one: on a busy machine it takes as much as anything " +
			"beside it.",
	},
	{
		name: "high",
		tried: "use more and more memory in the container, up to its limit, and read how much it " +
			"is when the kernel first slows it down",
		try: func(h *host) verdict { return h.high() },
		leak: "The kernel has never slowed it down: it stops at memory.max, and the container is " +
			"killed there.",
	},
	{
		name:  "nothingleft",
		tried: "list the cgroups of this step after its container has ended",
		try: func(h *host) verdict {
			var dirs, left []string
			v := h.whileRunning(func(found []string) verdict {
				dirs = found
				return verdict{failed, "no cgroup of this step",
					"The container isn't in a cgroup of its own."}
			})
			if len(dirs) == 0 {
				return v
			}
			if eventually(3*time.Second, func() bool {
				left = slices.DeleteFunc(slices.Clone(dirs), func(dir string) bool {
					_, err := os.Stat(filepath.Dir(dir)) // dir is inner
					return err != nil
				})
				return len(left) == 0
			}) {
				return verdict{outcome: held, came: "none"}
			}
			return verdict{outcome: leaked, came: filepath.Dir(left[0])}
		},
		leak: "A cgroup stays on the host. The kernel ends a namespace with its last process, " +
			"but a cgroup is a directory, and someone has to remove it.",
	},
}

// high lets a container's memory grow until the kernel slows it down, and looks how much that is.
func (h *host) high() verdict {
	cmd, done := h.startProbe(run{limit: time.Minute}, "grow", "80")
	limits, slowed, used := "", 0, 0
	eventually(time.Minute, func() bool {
		for _, p := range processes("/proc") {
			for _, dir := range cgroupOf(p.pid) {
				if strings.Contains(dir, "/"+h.step+"-") {
					limits = filepath.Dir(dir) // dir is inner
				}
			}
		}
		if now := numberIn(limits+"/memory.current", ""); now > 0 {
			slowed, used = numberIn(limits+"/memory.events", "high"), max(used, now>>20)
		}
		_, err := os.Stat(limits)
		return slowed > 0 || limits != "" && err != nil // it has ended
	})
	text, _ := os.ReadFile(limits + "/memory.high") // below
	_, err := os.Stat(limits + "/memory.max")
	most := numberIn(limits+"/memory.max", "")
	_ = cmd.Process.Kill() // it may have ended
	a := done()
	came := fmt.Sprintf("at %d MiB", used)
	switch {
	case limits == "":
		return a.worksIf(false).otherwise("The container isn't in a cgroup of its own.")
	case slowed == 0:
		return verdict{outcome: failed, came: fmt.Sprintf("never, up to %d MiB; then %s", used,
			a.said())}
	case err == nil && most == 0:
		return verdict{leaked, came + ", and memory.max is max", "memory.high only slows down: a " +
			"patient program gets as much as it wants. The limit that kills has to stay."}
	case strings.TrimSpace(string(text)) == "max":
		return verdict{failed, came + ", by the memory.high of inner", "inner is the root of " +
			"what the container sees, so root inside could lift it. Set it where the limits are."}
	case used < 40:
		return verdict{failed, came, "That is too soon: 48 MiB is meant. The file takes bytes, " +
			"or a number with K, M or G."}
	case used > 56:
		return verdict{failed, came, "That is too late: 48 MiB is meant, and at 64 it is killed."}
	}
	return verdict{held, came, ""}
}

// numberIn returns the number in a cgroup's file, or the one after a word; 0 if there is none.
func numberIn(file, word string) int {
	text, _ := os.ReadFile(file) // the cgroup may be gone
	fields := strings.Fields(string(text))
	at := slices.Index(fields, word) + 1 // 0 for the first field: no word is ""
	if at >= len(fields) || word != "" && at == 0 {
		return 0
	}
	number, _ := strconv.Atoi(fields[at]) // "max" is no number
	return number
}

// weight looks for the share of the processor that the container's cgroup has.
func (h *host) weight() verdict {
	return h.whileRunning(func(dirs []string) verdict {
		for _, dir := range dirs { // each is inner
			for name, want := range map[string]string{"cpu.shares": "102", "cpu.weight": "10"} {
				text, err := os.ReadFile(filepath.Join(filepath.Dir(dir), name))
				if err != nil {
					continue // it is another controller's, or the other version's
				}
				// In v2 inner may have no such file.
				inner, _ := os.ReadFile(filepath.Join(dir, name))
				weight := strings.TrimSpace(string(text))
				came := name + " is " + weight
				limit := name[:4] + map[string]string{"cpu.shares": "cfs_quota_us",
					"cpu.weight": "max"}[name]
				text, _ = os.ReadFile(filepath.Join(filepath.Dir(dir), limit)) // beside it
				most := strings.TrimSpace(string(text))
				switch {
				case weight == want && (most == "-1" || strings.HasPrefix(most, "max")):
					return verdict{failed, came + ", and " + limit + " is " + most, "On an idle " +
						"machine it takes all there is now. A weight doesn't replace the limit."}
				case weight == want:
					return verdict{held, came, ""}
				case strings.TrimSpace(string(inner)) == want:
					return verdict{failed, came + ", and in inner " + want,
						"inner is where the processes are. A weight counts among neighbours, and " +
							"inner has none."}
				case weight == "100", weight == "1024":
					return verdict{outcome: failed, came: came}
				}
				return verdict{failed, came,
					"That isn't a tenth of the usual weight: 100 in v2, 1024 in v1."}
			}
		}
		return verdict{failed, "no cgroup of this step",
			"The container isn't in a cgroup of its own."}
	})
}

var fullAttacks = []attack{
	{
		name:  "nnp",
		tried: "read NoNewPrivs in /proc/self/status in the container",
		try: func(h *host) verdict {
			a := h.inside("grep", "NoNewPrivs", "/proc/self/status")
			return a.leaksIf(strings.Contains(a.out, "\t0"))
		},
		leak: "A set-user-ID program in the container would be given its owner's privileges " +
			"(execve(2)), whatever you have taken away from the process that starts it.",
	},
	{
		name:  "seccomp",
		tried: "make a user namespace in the container: unshare --user true",
		try: func(h *host) verdict {
			a := h.inside("sh", "-c", "unshare --user true && echo made one")
			return a.leaksIf(strings.Contains(a.out, "made one"))
		},
		leak: "In a new user namespace a process has all capabilities again. They count only " +
			"there, but they open the kernel's code for mounts, packet filters and much else: " +
			"where its faults are.",
	},
	{
		name:  "capabilities",
		tried: "take the link lo down in the container, which needs CAP_NET_ADMIN",
		try: func(h *host) verdict {
			a := h.probe(run{}, "lodown")
			return a.leaksIf(a.status == 0)
		},
		leak: "The container's root has all capabilities over its namespaces, more than any " +
			"ordinary program needs.",
	},
	{
		name:  "init",
		tried: "read the environment of PID 1 in the container, /proc/1/environ",
		try: func(h *host) verdict {
			a := h.inside("sh", "-c", "cat /proc/1/environ >/dev/null && echo read it")
			return a.leaksIf(strings.Contains(a.out, "read it"))
		},
		leak: "PID 1 is your program, with descriptors and memory of its own, and the command is " +
			"the same user: it can read, trace and change it.",
	},
	{
		name:  "environment",
		tried: "look in the container for a secret of the caller's environment",
		try: func(h *host) verdict {
			_, done := h.start(run{env: []string{"TOKEN=s3cret-4711"}}, "sh", "-c", "env; echo end")
			a := done()
			return a.leaksIf(strings.Contains(a.out, "s3cret-4711"))
		},
		leak: "Your shell's environment has tokens and keys in it, and the container got all of " +
			"it.",
	},
	{
		name: "orphans",
		tried: "leave 60 orphans in the container, one after the other, with " +
			"-pids 40",
		try: func(h *host) verdict {
			a := h.inside("-pids", "40", "sh", "-c",
				`i=0; while [ $i -lt 60 ]; do (sleep 0.01 &) || exit 1
				i=$((i+1)); sleep 0.02; done; echo made them all`)
			return a.worksIf(strings.Contains(a.out, "made them all"))
		},
		leak: "Zombies have used up the limit: they count as processes until their parent waits " +
			"for them (wait(2)), and an orphan's new parent is PID 1.",
	},
	{
		name:  "mkdir",
		tried: "make a directory in the container by each system call that does",
		try: func(h *host) verdict {
			a := h.probe(run{}, "mkdir")
			if _, broken := a.broken(); broken {
				return a.leaksIf(false)
			}
			if strings.Contains(a.out, "mkdir made") && !strings.Contains(a.out, "mkdirat made") {
				return verdict{leaked, a.said(), "mkdirat is refused, but amd64 has an older " +
					"call, mkdir, with a number of its own. A filter that knows only one of them " +
					"is none."}
			}
			if strings.Contains(a.out, "mkdirat made") && !strings.Contains(a.out, "mkdir made") &&
				len(mkdirCalls) > 1 {
				return verdict{leaked, a.said(), "mkdir is refused, and mkdirat isn't: most " +
					"programs today use that one."}
			}
			if !strings.Contains(a.err, "operation not permitted") && a.out == "" {
				return verdict{failed, a.said(), "It is refused, but not with EPERM, which is " +
					"what a program expects of a call that it may not use."}
			}
			return a.leaksIf(a.out != "")
		},
		leak: "The container can still make directories.",
	},
}

// allAttacks are the attacks on all steps.
func allAttacks() []attack {
	return slices.Concat(processAttacks, fileAttacks, nameAttacks, networkAttacks, limitAttacks,
		fullAttacks, execAttacks)
}

// findAttack returns an attack by its name.
func findAttack(name string) attack {
	for _, a := range allAttacks() {
		if a.name == name {
			return a
		}
	}
	panic("no attack " + name) // a test sees to that
}
