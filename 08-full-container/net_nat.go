//go:build linux

// The way to the world: the host forwards the container's packets under its own address (NAT).

package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// These numbers mark a link in /proc/sys/net/ipv4/conf/LINK/tag, which the kernel stores and does
// not use (Documentation/networking/ip-sysctl.rst). So no process has to remember them.
const (
	usesNAT = "1784768876" // a container's link; as four bytes, the number is "jail"
	linkOff = "1784768877" // a link that didn't forward before our containers came
	hostOff = "1784768878" // the same, on a host whose ip_forward was 0 too
)

// natRules are the rules for the links of all containers. The first container adds this table, and
// the last one to exit removes it. Until then the sets keep a container's link even after its end:
// another link of that name would have the same address.
//
// The chain "out" lets their packets out, with this host's address as their sender.
//
// The chain "in" drops packets from a container that don't have its own address: root inside can
// send them from any. The kernel has a check for that, rp_filter, but its strict mode (1) on these
// links would lose to a 2 for all links (Documentation/networking/ip-sysctl.rst). The chain also
// drops packets to the host's 127.0.0.1, which the kernel accepts where route_localnet is on, as
// Kubernetes sets it.
//
// The chain "forward" drops packets that start a connection to a container. Otherwise, on a host
// that forwards already, as Docker's hosts do, the LAN and other containers could connect. From a
// link that didn't forward before, only answers come in, or the LAN could send packets through this
// host, which wasn't a router until now. A container's packet that belongs to no connection and
// starts none, such as an answer that nothing asked for, would keep its sender: masquerade is only
// for connections. So it is dropped.
const natRules = `
table ip jail {
	set links { type ifname; }
	set senders { type ifname . ipv4_addr; }
	set uplinks { type ifname; }
	chain out {
		type nat hook postrouting priority srcnat
		iifname @links masquerade
	}
	chain in {
		type filter hook prerouting priority raw
		iifname @links iifname . ip saddr != @senders drop
		iifname @links ip daddr 127.0.0.0/8 drop
	}
	chain forward {
		type filter hook forward priority filter
		ct state established,related accept
		oifname @links drop
		iifname @uplinks drop
		iifname @links ct state != new drop
	}
}
`

// connect plugs in the container whose first process is pid and opens its way to the world, if this
// host can. It returns a function that undoes what the kernel doesn't undo by itself.
func connect(pid int) (undo func() error, err error) {
	undo = func() error { return nil }
	c, err := plugIn(pid, nil)
	if err != nil {
		return undo, err
	}
	if reason := noWay(); reason != "" {
		tellReader(reason)
	}
	if _, err := findNft(); err != nil {
		return undo, nil
	}
	found, removeNAT, err := keepNAT(c)
	if err != nil {
		if exists("/proc/sys/net/ipv4/conf/" + c.link) { // or the container has ended, and said why
			fmt.Fprintf(os.Stderr, "%s: there is no way to the world: %s\n", step,
				legible(err.Error()))
		}
		return undo, nil
	}
	for _, b := range found {
		fmt.Fprintf(os.Stderr, "%s: the host drops what it forwards (chain %s), so there is no "+
			"way to the world. To let containers through: %s\n", step, b.chain, b.fix)
	}
	return removeNAT, nil
}

// noWay returns why a container has no way to the world from here, or "" if it has one.
func noWay() string {
	if _, err := findNft(); err != nil {
		return "there is no nft command on the host, so there is no way to the world " +
			"(it comes in the package nftables)"
	}
	link, err := uplink()
	switch {
	case err != nil || link != "":
		return ""
	case noPasta != "":
		return "there is no way to the world: " + noPasta
	}
	return "there is no way to the world: this host has no default route for IPv4 (ip -4 route)"
}

// tellReader prints a line for a person at a terminal. It prints nothing for a script or in a
// lesson. A lesson has no arguments, and reads what its experiments print.
func tellReader(text string) {
	_, err1 := unix.IoctlGetTermios(1, unix.TCGETS)
	_, err2 := unix.IoctlGetTermios(2, unix.TCGETS)
	if err1 == nil && err2 == nil && len(os.Args) > 1 {
		fmt.Fprintf(os.Stderr, "%s: %s\n", step, text)
	}
}

// keepNAT sets up NAT for a container, and returns which other chains are in the way. The caller
// undoes it, or, if this process is killed, the keeper.
func keepNAT(c cable) (found []barrier, undo func() error, err error) {
	index := fmt.Sprint(c.index)
	if err := keep("nat", index); err != nil {
		return nil, nil, err
	}
	undo = func() error {
		return undoNow(func() error { return removeNAT(index) })
	}
	if found, err = addNAT(c.link); err != nil {
		return nil, nil, errors.Join(err, undo())
	}
	return found, undo, nil
}

// addNAT lets a container's packets out, and only the answers in. It changes no other table and no
// policy. It returns the chains of other tables that drop those packets.
//
// The rules come first and forwarding after them: if the rules fail, nothing is forwarded.
func addNAT(link string) (found []barrier, err error) {
	err = locked(func(lock *os.File) error {
		uplink, err := uplink()
		if err != nil {
			return err
		}
		if err := mark(link, usesNAT); err != nil {
			return err
		}
		if uplink != "" {
			if err := markUplink(uplink); err != nil {
				return err
			}
		}
		links, err1 := marked(usesNAT)
		uplinks, err2 := marked(linkOff, hostOff)
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		rules, first := "", len(links) == 1
		if !first {
			rules, err = nft("list ruleset\n"+elements(uplinks, link), lock)
		}
		if first || err != nil { // another program may have removed the table
			rules, err = nft("list ruleset\n"+natRules+elements(uplinks, links...), lock)
		}
		if err != nil || uplink == "" {
			return err
		}
		found = barriers(rules, "forward", packet{link, uplink, "new"},
			packet{uplink, link, "established"})
		// What counts is the link through which a packet comes in: ours for what the container
		// sends, and the uplink for the answers.
		if err := forward(link, true); err != nil {
			return err
		}
		return forward(uplink, true)
	})
	return found, err
}

// elements are the commands that add uplinks and containers' links to the sets of natRules.
func elements(uplinks []string, links ...string) (commands string) {
	for _, uplink := range uplinks {
		commands += fmt.Sprintf("add element ip jail uplinks { \"%s\" }\n", uplink)
	}
	for _, link := range links {
		commands += fmt.Sprintf("add element ip jail links { %[1]s }\n"+
			"add element ip jail senders { %[1]s . %[2]s }\n", link, senderOf(link))
	}
	return commands
}

// markUplink marks the uplink if it doesn't forward yet.
func markUplink(uplink string) error {
	if on, err := forwards(uplink); err != nil || on {
		return err
	}
	if strings.ContainsAny(uplink, `"*`) { // to nft, these are more than a part of the name
		return fmt.Errorf("nft can't name the link %q", uplink)
	}
	tag := linkOff
	if everywhere, err := forwards("all"); err != nil {
		return err
	} else if !everywhere {
		tag = hostOff
	}
	return mark(uplink, tag)
}

// removeNAT ends NAT for the container whose link has this index. It doesn't go by the link's name:
// root inside can remove the cable, and then another container may get a link of that name. After
// the last container it turns off the forwarding that they needed, and removes the rules.
func removeNAT(index string) error {
	return locked(func(lock *os.File) error {
		link, err := linkName(index)
		if err == nil { // if addNAT failed, the container may still be running
			err = forward(link, false)
		}
		if err == nil {
			err = mark(link, "0")
		}
		if err != nil && !errors.Is(err, unix.ENODEV) && !errors.Is(err, unix.ENOENT) {
			return err // the link isn't just gone
		}
		if others, err := marked(usesNAT); err != nil || len(others) > 0 {
			return err
		}
		if err := stopForwarding(); err != nil {
			return err
		}
		// "add" first, so that "delete" doesn't fail if the table isn't there.
		_, err = nftEarly("add table ip jail; delete table ip jail", lock)
		return err
	})
}

// stopForwarding turns off forwarding on the links that didn't forward before, unless the whole
// host has been made to forward since, as Docker does.
func stopForwarding() error {
	everywhere, err := forwards("all")
	if err != nil {
		return err
	}
	for _, tag := range []string{linkOff, hostOff} {
		takenOver := everywhere && tag == hostOff
		uplinks, err := marked(tag)
		if err != nil {
			return err
		}
		for _, uplink := range uplinks {
			if !takenOver {
				if err := forward(uplink, false); err != nil {
					return err
				}
			}
			if err := mark(uplink, "0"); err != nil {
				return err
			}
		}
	}
	return nil
}

// mark sets the tag of a link. It lasts as long as the link.
func mark(link, tag string) error {
	return writeFile("/proc/sys/net/ipv4/conf/"+link+"/tag", tag)
}

// marked lists the links with one of these tags.
func marked(tags ...string) (links []string, err error) {
	all, err := os.ReadDir("/proc/sys/net/ipv4/conf")
	for _, link := range all {
		text, err := os.ReadFile("/proc/sys/net/ipv4/conf/" + link.Name() + "/tag")
		if err != nil && !errors.Is(err, os.ErrNotExist) { // it may be gone by now
			return nil, err
		}
		if slices.Contains(tags, strings.TrimSpace(string(text))) {
			links = append(links, link.Name())
		}
	}
	return links, err
}

// forwards reports whether the kernel forwards packets that come in through a link.
func forwards(link string) (bool, error) {
	text, err := os.ReadFile("/proc/sys/net/ipv4/conf/" + link + "/forwarding")
	return string(text) == "1\n", err
}

// forward turns that on or off for one link. /proc/sys/net/ipv4/ip_forward would do it for all
// links of the host (Documentation/networking/ip-sysctl.rst).
func forward(link string, on bool) error {
	return writeFile("/proc/sys/net/ipv4/conf/"+link+"/forwarding",
		map[bool]string{false: "0", true: "1"}[on])
}

// locked keeps other steps and keepers in this network namespace waiting while it runs something.
// It locks a file that each network namespace has and only its root can open: a file that other
// users can open, they can lock, and keep us waiting (flock(2)). If we are killed, the lock lasts
// until the last process has closed the file. So nft gets it too, and the keeper waits for nft.
func locked(do func(lock *os.File) error) error {
	file, err := os.OpenFile("/proc/sys/net/ipv4/route/flush", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		return &os.PathError{Op: "flock", Path: file.Name(), Err: err}
	}
	err = do(file)
	return errors.Join(err, unix.Flock(int(file.Fd()), unix.LOCK_UN))
}
