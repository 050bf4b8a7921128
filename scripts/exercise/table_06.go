//go:build linux

// The exercises of steps 06 and 07: the network, and limits.

package main

// publishCall is where a port is published; publishBefore is what comes after it.
const (
	publishBefore = `if reason := noWay(); reason != "" {`
	publishCall   = `if spec := os.Getenv("PUBLISH"); spec != "" {
		if err := publish(spec, c); err != nil {
			return undo, err
		}
	}
	` + publishBefore
)

// publishStub is what you get.
const publishStub = `//go:build linux

// A port of the host that leads into the container.

package main

// publish opens the port of the host that a spec such as "8080:7000" names first, on 127.0.0.1, and
// connects those who come there with the other port, in the container. It doesn't wait for them: it
// returns as soon as the port is open. The container's address is c.container.Addr().
func publish(spec string, c cable) error {
	return nil
}
`

// publishSolved is what you make of it.
const publishSolved = `//go:build linux

// A port of the host that leads into the container.

package main

import (
	"fmt"
	"io"
	"net"
	"strings"
)

// publish opens the port of the host that a spec such as "8080:7000" names first, on 127.0.0.1, and
// connects those who come there with the other port, in the container. It doesn't wait for them: it
// returns as soon as the port is open. The container's address is c.container.Addr().
func publish(spec string, c cable) error {
	outside, inside, found := strings.Cut(spec, ":")
	if !found {
		return fmt.Errorf("publish %q: want two ports, such as 8080:7000", spec)
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", outside))
	if err != nil {
		return fmt.Errorf("publish %s: %w", spec, err)
	}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go forwardTo(client, net.JoinHostPort(c.container.Addr().String(), inside))
		}
	}()
	return nil
}

// forwardTo passes on what a client sends, and what comes back.
func forwardTo(client net.Conn, address string) {
	defer client.Close()
	server, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer server.Close()
	go io.Copy(server, client)
	io.Copy(client, server)
}
`

// lanBefore is where a container joins a LAN, in host: the function of 06 that starts one.
const (
	lanBefore = `if _, err := ready.WriteString(resolvConf() + "\x00"); err != nil {`
	lanCall   = `if lan, address, found := strings.Cut(os.Getenv("LAN"), ":"); found {
		leave, err := join(lan, address, cmd.Process.Pid)
		if err != nil {
			return errors.Join(abandon(cmd, err), disconnect())
		}
		defer leave()
	}
	` + lanBefore
)

// lanStub is what you get.
const lanStub = `//go:build linux

// A link between containers.

package main

import "golang.org/x/sys/unix"

// join gives the container whose first process is pid a second link, eth1, with an address such as
// "10.99.0.2/24". It leads to every container that has joined the LAN of the same name, and to no
// other. The function that it returns is called after the container's end, and takes back what join
// made on the host.
func join(lan, address string, pid int) (leave func() error, err error) {
	return func() error { return nil }, nil
}
` + lanRequests

// lanRequests is what the kernel has to be asked for, and net_links.go can't ask yet.
const lanRequests = `
// addBridge makes a bridge: a link that has other links as its ports, and passes on what comes in
// through one of them to the others, as a switch does (ip-link(8)).
func (n *netlink) addBridge(bridge string) error {
	_, err := n.request("ip link add "+bridge+" type bridge", unix.RTM_NEWLINK, create,
		linkHeader(0, 0), attribute(unix.IFLA_IFNAME, text(bridge)),
		attribute(unix.IFLA_LINKINFO, attribute(unix.IFLA_INFO_KIND, text("bridge"))))
	return err
}

// addPort makes a link a port of a bridge.
func (n *netlink) addPort(link, bridge string) error {
	index, err := n.index(bridge)
	if err != nil {
		return err
	}
	_, err = n.request("ip link set "+link+" master "+bridge, unix.RTM_NEWLINK, 0,
		linkHeader(0, 0), attribute(unix.IFLA_IFNAME, text(link)),
		attribute(unix.IFLA_MASTER, native32(index)))
	return err
}

// remove removes a link.
func (n *netlink) remove(link string) error {
	_, err := n.request("ip link del "+link, unix.RTM_DELLINK, 0,
		linkHeader(0, 0), attribute(unix.IFLA_IFNAME, text(link)))
	return err
}
`

// lanSolved is what you make of it.
const lanSolved = `//go:build linux

// A link between containers.

package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// join gives the container whose first process is pid a second link, eth1, with an address such as
// "10.99.0.2/24". It leads to every container that has joined the LAN of the same name, and to no
// other. The function that it returns is called after the container's end, and takes back what join
// made on the host.
func join(lan, address string, pid int) (leave func() error, err error) {
	prefix, err := netip.ParsePrefix(address)
	if err != nil {
		return nil, fmt.Errorf("join the LAN %s: %w", lan, err)
	}
	outside, err := dialNetlink(nil)
	if err != nil {
		return nil, err
	}
	defer outside.close()
	inside, err := dialNetlinkOf(pid, nil)
	if err != nil {
		return nil, err
	}
	defer inside.close()
	bridge, port := "lan-"+lan, fmt.Sprint(lan, "-", pid)
	// Another container may be leaving, and remove the bridge, before our port is in it.
	err = locked(func(*os.File) error {
		if err := outside.addBridge(bridge); err != nil && !errors.Is(err, unix.EEXIST) {
			return err
		}
		for _, step := range []func() error{
			func() error { return outside.addVeth(port, hardware(prefix.Addr()), "eth1", pid) },
			func() error { return outside.addPort(port, bridge) },
			func() error { return disableIPv6(bridge, nil) },
			func() error { return outside.setUp(bridge) },
			func() error { return outside.setUp(port) },
			func() error { return inside.addAddress("eth1", prefix) },
			func() error { return inside.setUp("eth1") },
		} {
			if err := step(); err != nil {
				return err
			}
		}
		return nil
	})
	return func() error { return leaveLAN(lan, bridge, port) }, err
}

// leaveLAN removes a port, and with the last one the bridge.
func leaveLAN(lan, bridge, port string) error {
	outside, err := dialNetlink(nil)
	if err != nil {
		return err
	}
	defer outside.close()
	return locked(func(*os.File) error {
		// The kernel removes the port with the container's network, but not at once.
		if err := outside.remove(port); err != nil && !errors.Is(err, unix.ENODEV) {
			return err
		}
		links, err := net.Interfaces()
		for _, link := range links {
			if strings.HasPrefix(link.Name, lan+"-") {
				return nil
			}
		}
		return errors.Join(err, outside.remove(bridge))
	})
}
` + lanRequests

var exercises06 = []exercise{
	{
		id: "06-1", step: "06-network", title: "Talking to itself", minutes: 5,
		task: "The cable works, and yet a program in the container can't connect to another one " +
			"in the same container. Look at the list of calls in plugIn, in net_cable.go.",
		start: []edit{{file: "net_cable.go",
			find: `func() error { return inside.setUp("lo") },`}},
		attacks: []string{"loopback"},
		hints: []string{
			"What a host sends to itself, to 127.0.0.1 or to an address of its own, goes through " +
				"lo.",
			"plugIn speaks to two network namespaces: outside is the host's, inside the " +
				"container's.",
			"inside.setUp(\"lo\"): a new network namespace has a lo, and it is down " +
				"(network_namespaces(7)).",
		},
		near: []near{{`outside.setUp("lo")`, `inside.setUp("lo")`,
			"That is the host's lo, which is up. " +
				"Whose is down?"}},
		why: "A network namespace starts with one link, lo, and it is down. Without it a host " +
			"can't even talk to itself.",
	},
	{
		id: "06-2", step: "06-network", title: "Where to?", minutes: 10,
		task: "Both ends of the cable are up and have an address, and the container can't get " +
			"further. Look at the list of calls in plugIn, in net_cable.go.",
		start: []edit{{file: "net_cable.go",
			find: `func() error { return inside.addDefaultRoute(c.host.Addr()) },`}},
		attacks: []string{"cable"},
		hints: []string{
			"ip route in the container lists one network, that of the cable. Whatever isn't in " +
				"it is \"network is unreachable\".",
			"plugIn speaks to two network namespaces: outside is the host's, inside the " +
				"container's. net_links.go has what they can be asked for.",
			"ip route add default via the host's end: inside.addDefaultRoute(c.host.Addr()).",
		},
		near: []near{
			{"outside.addDefaultRoute(", "",
				"You have changed the host's route, not the container's."},
			{"addDefaultRoute(c.container.Addr())", "",
				"The gateway is the next host on the way, and not " +
					"the container itself."},
		},
		why: "A routing table says by which link and which neighbour a packet leaves. A default " +
			"route is the entry for everything else, and in a container the neighbour is the " +
			"host.",
	},
	{
		id: "06-3", step: "06-network", title: "On the host's network", minutes: 5,
		task: "The step refuses to connect its container: there is nothing to connect. A flag is " +
			"missing in main.go.",
		start: []edit{{file: "main.go", find: "unix.CLONE_NEWUSER | unix.CLONE_NEWNET |",
			text: "unix.CLONE_NEWUSER |"}},
		attacks: []string{"hostport", "cable"},
		hints: []string{
			"The container and the host have the same links, addresses and ports.",
			"The constant namespaces lists what the container doesn't share with the host.",
			"unix.CLONE_NEWNET (network_namespaces(7)).",
		},
		near: []near{
			{"unix.CLONE_NEWUSER|unix.CLONE_NEWUTS", "",
				"CLONE_NEWUTS makes the hostname separate. It has " +
					"nothing to do with the network, in spite of its looks."},
			{"unix.CLONE_NEWUSER|unix.CLONE_NEWNS", "",
				"CLONE_NEWNS is the flag for mounts, although it " +
					"sounds like all of them."},
		},
		why: "A network namespace has its own links, addresses, routes and ports. The step's " +
			"check is there because without it both ends of the cable, and a second default " +
			"route, would be the host's.",
	},
	{
		id: "06-4", step: "06-network", title: "A router by accident", minutes: 15,
		task: "On a host that forwards packets, as one with Docker does, this container's " +
			"packets leave for anywhere. Look at the list of calls in plugIn, in net_cable.go.",
		start: []edit{{file: "net_cable.go",
			find: `func() error { return dontForward(c.link, trace) },`}},
		attacks: []string{"forwards"},
		hints: []string{
			"A new link starts with the settings in conf/default, and the judge's host has " +
				"forwarding=1 there.",
			"net_cable.go has a function for it, and nothing calls it. It belongs before the " +
				"link is up.",
			"dontForward(c.link, trace), which sets net.ipv4.conf.LINK.forwarding to 0 " +
				"(ip-sysctl.rst).",
		},
		near: []near{{"forward(c.link,true)", "", "true lets the host forward. It should not."}},
		why: "Forwarding is a setting of each link, and a new link has what the host gives to " +
			"every new one. A container's link starts closed; step 06 opens it where it has " +
			"rules for what gets through.",
	},
	{
		id: "06-5", step: "06-network", title: "A forwarded port", minutes: 40, build: true,
		task: "Nothing outside can connect to a server in the container. With PUBLISH=8080:7000 " +
			"in the environment, port 8080 on the host's 127.0.0.1, and on no other address, " +
			"should lead to port 7000 in the container, for as many connections as there are. " +
			"Fill publish, in net_publish.go.",
		start: []edit{
			{file: "net_publish.go", text: publishStub},
			{file: "net_nat.go", find: publishBefore, text: publishCall},
		},
		solution: []edit{
			{file: "net_publish.go", text: publishSolved},
			{file: "net_nat.go", find: publishBefore, text: publishCall},
		},
		attacks: []string{"published"},
		hints: []string{
			"The outer process has both: the host's network, and a cable to the container. " +
				"Docker has a program for this, docker-proxy.",
			"Listen in publish; accept in a goroutine, for as long as the outer process lives; " +
				"for each connection dial the container and copy, both ways.",
			"net.Listen(\"tcp\", \"127.0.0.1:8080\"), Accept, net.Dial(\"tcp\", " +
				"c.container.Addr() and the other port), io.Copy twice.",
		},
		near: []near{
			{"net.Listen(\"tcp\",\":\"", "",
				"Without an address before the colon, you listen on all of them."},
			{"0.0.0.0", "", "0.0.0.0 stands for all addresses of the host."},
			{"net.Listen(", "net.Dial", "You listen. Who connects to the container?"},
			{".Accept()", "for", "You accept once. There may be more than one connection."},
		},
		why: "A namespace keeps ports apart, so something has to stand in both: a program " +
			"that copies, as here and in docker-proxy, or the kernel, which nft can tell to " +
			"rewrite addresses. On 127.0.0.1, since what is published on all addresses is " +
			"published to the whole network.",
	},
	{
		id: "06-6", step: "06-network", title: "Two containers on one link", minutes: 40,
		build: true,
		task: "Each container has a cable to the host, and none to another container. With " +
			"LAN=blue:10.99.0.2/24 in the environment a container should have a second link, " +
			"eth1, with that address, to every container whose LAN is called blue, too. Those " +
			"of another LAN get nowhere, and when the last container has ended, nothing is left " +
			"on the host. Write join, in net_lan.go; what it can ask the kernel for is below it.",
		start: []edit{
			{file: "net_lan.go", text: lanStub},
			{file: "main.go", find: lanBefore, text: lanCall},
		},
		solution: []edit{
			{file: "net_lan.go", text: lanSolved},
			{file: "main.go", find: lanBefore, text: lanCall},
		},
		attacks: []string{"lan"},
		hints: []string{
			"A cable has two ends, and a LAN more: each container needs a cable of its own, and " +
				"something has to join the ends that are on the host. That is a bridge, a " +
				"switch made of software.",
			"plugIn, in net_cable.go, shows how to speak to both network namespaces. The bridge " +
				"is there already for the second container (EEXIST), and the last to leave " +
				"removes it.",
			"outside.addBridge(\"lan-\"+lan), outside.addVeth(port, hardware(address), \"eth1\", " +
				"pid), outside.addPort(port, bridge); set up bridge, port and eth1; " +
				"inside.addAddress(\"eth1\", prefix). A port needs a name that no other has, " +
				"such as one with the PID (ip-link(8)).",
		},
		near: []near{
			{".addBridge(", ".addPort(", "The bridge is there. Which links are its ports?"},
			{".addPort(", ".remove(", "They are on one link. What is still on the host when " +
				"both have ended?"},
		},
		why: "A bridge joins links as a switch joins cables: docker0 is one, and so is each " +
			"network that docker network create makes. It needs no address, and then the host " +
			"isn't on that network itself. (This one stays behind if the outer process is killed " +
			"by kill -9: undo.go is where the step itself would remember it.)",
	},
	{
		id: "06-7", step: "06-network", title: "The whole container", minutes: 30,
		task: "container, in main.go, has no body any more, and namespaces is empty. Write " +
			"both. The text for /etc/resolv.conf comes from the outer process.",
		start: []edit{
			{file: "main.go", fn: "container", text: "\treturn execCommand(command)"},
			{file: "main.go", find: namespaces06, text: "const namespaces = 0"},
		},
		attacks: []string{"pid1", "path", "oldroot", "descriptors", "shared", "rename", "names",
			"shm", "userns", "root", "waits", "hostport", "cable", "resolver"},
		hints: []string{
			"Take the attacks one by one: the first that gets through says what is missing next.",
			"Six flags. Then, as in step 05: PID 1, awaitHost, closeDescriptors, ownMounts, " +
				"dropHostIdentity, the mounts, the root, the names. awaitHost also returns the " +
				"text of resolv.conf.",
			"Write that text to /etc/resolv.conf after pivotRoot: before it, that is the host's " +
				"file. Everything else is a function that is written and that nothing calls.",
		},
		near: []near{
			{"buildRoot()", "=awaitHost()", "The root is there. When has the outer process " +
				"plugged in the cable, and who tells you?"},
			{"=awaitHost()", "closeDescriptors()", "It waits for the outer process. What was " +
				"open before your program started is still open."},
			{"buildRoot()", "MS_PRIVATE", "You mount before the mounts are private: the host " +
				"will see it."},
			{"buildRoot()", "CLONE_NEWNET", "It has a root of its own, and the host's network."},
		},
		why: "Inside, step 06 is step 05 and one file. The network comes from outside: a " +
			"container can't plug in a cable whose other end is in a namespace that it can't " +
			"reach. So waiting for the outer process matters even more.",
	},
}

// namespaces06 is the list of namespaces in main.go of 06 and 07.
const namespaces06 = `const namespaces = unix.CLONE_NEWUSER | unix.CLONE_NEWNET |
	unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC`

var exercises07 = []exercise{
	{
		id: "07-1", step: "07-cgroups", title: "Limits on paper", minutes: 10,
		task: "The cgroup is there, the container is in it, and has no limits. Repair apply, in " +
			"cgroup.go.",
		start: []edit{{file: "cgroup.go", find: "err := writeFile(s.file, s.value)",
			text: "_, err := os.Stat(s.file)"}},
		attacks: []string{"memory", "processes"},
		hints: []string{
			"A limit is a number in a file of the cgroup, memory.max or memory.limit_in_bytes, " +
				"pids.max.",
			"apply gets a list of files and values, and looks whether the files are there. What " +
				"then?",
			"writeFile(s.file, s.value): it doesn't make a file, as os.WriteFile would try to.",
		},
		near: []near{{"os.WriteFile(s.file", "",
			"os.WriteFile asks for the file to be made where it is missing, and in a cgroup the " +
				"kernel says EACCES to that: the error would be about the wrong thing."}},
		why: "A cgroup is made by mkdir(2) and told its limits by write(2); there is no other " +
			"call. What isn't written is \"max\".",
	},
	{
		id: "07-2", step: "07-cgroups", title: "An empty cgroup", minutes: 15,
		task: "The limits are set, and no process is in that cgroup. Repair " +
			"enter, in cgroup_v1.go, or start, in cgroup_v2.go: the one that your machine uses " +
			"(the lesson says which).",
		start: []edit{
			{file: "cgroup_v1.go", find: `writeFile(dir+"/inner/tasks", "0")`,
				text: `writeFile(filepath.Dir(dir)+"/tasks", "0")`},
			{file: "cgroup_v2.go", stmt: "cmd.SysProcAttr.UseCgroupFD"},
			{file: "cgroup_v2.go", find: "defer dir.Close()",
				text: "defer dir.Close() // and what for?"},
		},
		attacks: []string{"memory", "processes"},
		hints: []string{
			"A limit holds for the processes in the cgroup, and for those that they start.",
			"The processes go into the cgroup \"inner\", below the one with the limits. In v1 a " +
				"thread goes there before it makes the child; in v2 the child is born there.",
			"v1: writeFile(dir+\"/inner/tasks\", \"0\") for each of c.dirs(), 0 being the thread " +
				"that writes. v2: UseCgroupFD and CgroupFD in the SysProcAttr (clone(2), " +
				"CLONE_INTO_CGROUP).",
		},
		near: []near{
			{"cgroup.procs", "",
				"cgroup.procs moves all of this process in v1, with the threads that should " +
					"stay outside. For one thread it is tasks."},
			{"UseCgroupFD", "CgroupFD=true,int(",
				"UseCgroupFD says that there is a descriptor. Which one?"},
		},
		why: "A child starts in its parent's cgroup. Moving it later leaves a moment outside, so " +
			"it is born inside: in v2 by a flag of clone3(2), in v1 by its parent's going there " +
			"first.",
	},
	{
		id: "07-3", step: "07-cgroups", title: "The whole hierarchy in sight", minutes: 5,
		task: "In /proc/self/cgroup the container reads where it is on the host. A call is " +
			"missing in container, in main.go.",
		start:   []edit{{file: "main.go", stmt: "if err := unix.Unshare(unix.CLONE_NEWCGROUP)"}},
		attacks: []string{"tree"},
		hints: []string{
			"The path should be /: the cgroup that the container is in is the root of what it " +
				"sees.",
			"It isn't one of the flags for the child: when that is made, who would be the root? " +
				"container is in the right cgroup already.",
			"unix.Unshare(unix.CLONE_NEWCGROUP), in container (cgroup_namespaces(7)).",
		},
		near: []near{{"deferunix.Unshare(", "", deferred}, {"|unix.CLONE_NEWCGROUP", "",
			"As a flag of clone, the root is the cgroup of the parent, " +
				"in v2: the container sees the cgroup with its limits."}},
		why: "A cgroup namespace limits what is seen, not what is used. Its root is the cgroup " +
			"of the process that makes it, so that should be in its place first.",
	},
	{
		id: "07-4", step: "07-cgroups", title: "What stays behind", minutes: 10,
		task: "Each run of this step leaves a cgroup on the host. Repair newCgroup, in cgroup.go.",
		start: []edit{{file: "cgroup.go", find: "return undoNow(group.remove) }",
			text: "return undoNow(func() error { return nil }) }"}},
		attacks: []string{"nothingleft"},
		hints: []string{
			"Namespaces end with their last process. What has a name on the host doesn't.",
			"newCgroup returns a function, release, that takes back what it made. It does nothing.",
			"group.remove, by undoNow. It ends what still runs in it and calls rmdir(2).",
		},
		why: "A cgroup is a directory: it stays until rmdir(2), and that works only when no " +
			"process is in it. So it is killed empty first, and a keeper does the same if this " +
			"program is killed.",
	},
	{
		id: "07-5", step: "07-cgroups", title: "Give way", minutes: 20, build: true,
		task: "cpu.max takes the processor away even when no other process wants it. Add a " +
			"second setting, a weight of a tenth of the usual one: when the machine is busy, " +
			"this container gets that much less. It is cpu.weight in v2 (usual: 100) and " +
			"cpu.shares in v1 (usual: 1024).",
		solution: []edit{
			{file: "cgroup_v1.go", find: "return append(c.shown(c.memory, c.pids),",
				text: "return append(c.shown(c.memory, c.pids),\n\t\t" +
					`setting{file: c.cpu + "/cpu.shares", value: "102"},`},
			{file: "cgroup_v2.go", find: "return append(c.shown(c.limits), cpu)",
				text: `weight := setting{file: c.limits + "/cpu.weight", value: "10"}` +
					"\n\treturn append(c.shown(c.limits), cpu, weight)"},
		},
		attacks: []string{"weight"},
		hints: []string{
			"The judge reads the file on the host while the container runs, in the cgroup that " +
				"has the limits.",
			"settings, in cgroup_v1.go and cgroup_v2.go, lists the files of that cgroup and what " +
				"is written to them.",
			"setting{file: c.cpu + \"/cpu.shares\", value: \"102\"}, or c.limits + " +
				"\"/cpu.weight\" and \"10\" (cgroups(7); " +
				"Documentation/admin-guide/cgroup-v2.rst).",
		},
		near: []near{
			{`"/inner/cpu.shares"`, "",
				"inner is where the processes are. A weight counts among neighbours, " +
					"and inner has none: set it where the limits are."},
			{`c.inner()+"/cpu.weight"`, "",
				"inner is where the processes are. A weight counts among neighbours, " +
					"and inner has none: set it where the limits are."},
		},
		why: "A limit says how much at most; a weight says who gives way when there isn't " +
			"enough. Weights are compared among siblings, so it belongs to the cgroup that " +
			"stands beside others.",
	},
	{
		id: "07-6", step: "07-cgroups", title: "Slow down first (cgroup v2)", minutes: 20,
		build: true,
		v2: "v1 has no memory.high, and its soft limit, which counts only while the whole " +
			"machine is short of memory, isn't the same",
		task: "At 64 MiB, memory.max, the kernel kills this container. From 48 MiB on it should " +
			"slow it down, so that you have the time to do something about it. That is what " +
			"memory.high is for. Add it, in cgroup_v2.go.",
		solution: []edit{{file: "cgroup_v2.go", find: "return append(c.shown(c.limits), cpu)",
			text: "// From here on the kernel slows the container down.\n\t" +
				`high := setting{file: c.limits + "/memory.high", value: strconv.Itoa(48 << 20)}` +
				"\n\treturn append(c.shown(c.limits), cpu, high)"}},
		attacks: []string{"high"},
		except:  []string{"memory"}, // which takes too long now, and that is the point
		hints: []string{
			"memory.events of the cgroup with the limits counts, after the word high, how often " +
				"the kernel has slowed it down.",
			"settings, in cgroup_v2.go, lists the files of that cgroup and what is written to " +
				"them. The numbers are bytes.",
			"setting{file: c.limits + \"/memory.high\", value: strconv.Itoa(48 << 20)} " +
				"(Documentation/admin-guide/cgroup-v2.rst).",
		},
		near: []near{
			{`c.inner()+"/memory.high"`, "", "inner belongs to the container's root. Set it " +
				"where the limits are."},
			{"memory.low", "", "memory.low protects from others' hunger. It limits nothing."},
			{`"/memory.high"`, `"/memory.max"`, "memory.high kills nothing, so it doesn't " +
				"replace memory.max."},
		},
		why: "Above memory.high the kernel makes the processes reclaim memory, and pauses them " +
			"where that isn't enough; it never kills. A program that watches memory.events, as " +
			"systemd-oomd watches memory.pressure, has time to act before memory.max does.",
	},
	{
		id: "07-7", step: "07-cgroups", title: "The whole container", minutes: 30,
		task: "container, in main.go, has no body any more, and namespaces is empty. Write " +
			"both. One namespace has no flag in that list.",
		start: []edit{
			{file: "main.go", fn: "container", text: "\treturn execCommand(command)"},
			{file: "main.go", find: namespaces06, text: "const namespaces = 0"},
		},
		attacks: []string{"pid1", "path", "oldroot", "descriptors", "shared", "rename", "names",
			"shm", "userns", "root", "waits", "hostport", "cable", "resolver", "memory",
			"processes", "tree"},
		hints: []string{
			"Take the attacks one by one: the first that gets through says what is missing next.",
			"Six flags. Then, as in step 06: PID 1, awaitHost, closeDescriptors, ownMounts, " +
				"dropHostIdentity, the mounts, the root, the names, resolv.conf. And the cgroup " +
				"namespace, before the command.",
			"unix.Unshare(unix.CLONE_NEWCGROUP), once the outer process has put you into your " +
				"cgroup. Everything else is a function that is written and that nothing calls.",
		},
		near: []near{
			{"buildRoot()", "=awaitHost()", "The root is there. When has the outer process " +
				"plugged in the cable, and who tells you?"},
			{"=awaitHost()", "closeDescriptors()", "It waits for the outer process. What was " +
				"open before your program started is still open."},
			{"buildRoot()", "MS_PRIVATE", "You mount before the mounts are private: the host " +
				"will see it."},
			{"buildRoot()", "unix.CLONE_NEWCGROUP", "Seven namespaces make this container, and " +
				"six of them come with clone."},
		},
		why: "The limits need no line in here: the container starts in its cgroup, and stays in " +
			"it. What it sees of the hierarchy is its own matter, and so this is the place for " +
			"the seventh namespace.",
	},
}
