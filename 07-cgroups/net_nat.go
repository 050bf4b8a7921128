//go:build linux

// The way to the world: the host forwards the container's packets under its own address (NAT).

package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// memory is the nft table whose rules remember which links didn't forward before our containers
// came. The last container to exit turns their forwarding off again.
const memory = "jail_forwarding"

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
	found, removeNAT, err := keepNAT(c.link, c.host.Masked().String())
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

// keepNAT sets up NAT for a link and its network, and returns which other chains are in the way.
// The caller undoes it, or, if this process is killed, the keeper.
func keepNAT(link, network string) (found []barrier, undo func() error, err error) {
	if err := keep("nat", link); err != nil {
		return nil, nil, err
	}
	undo = func() error {
		return undoNow(func() error { return removeNAT(link) })
	}
	if found, err = addNAT(link, network); err != nil {
		return nil, nil, errors.Join(err, undo())
	}
	return found, undo, nil
}

// addNAT lets a network's packets out, with this host's address as their sender ("masquerade"), and
// lets only the answers in. It changes no other table and no policy. It returns the chains of other
// tables that drop those packets.
//
// The rules come first and forwarding after them: if the rules fail, nothing is forwarded.
//
// The chain "in" drops packets from the container that don't have its own address. Root inside can
// send packets under any address, and masquerade replaces only the container's own. The kernel has
// a check for that, rp_filter, but its strict mode (1) on this link would lose to a 2 for all links
// (Documentation/networking/ip-sysctl.rst). The chain also drops packets to the host's 127.0.0.1,
// which the kernel accepts where route_localnet is on, as Kubernetes sets it.
//
// The chain "forward" drops packets that start a connection to the container. Otherwise, on a host
// that forwards already, as Docker's hosts do, the LAN and other containers could connect.
func addNAT(link, network string) (found []barrier, err error) {
	err = locked(func(lock *os.File) error {
		commands := fmt.Sprintf(`list ruleset
		table ip %[1]s {
			chain out {
				type nat hook postrouting priority srcnat
				ip saddr %[2]s oifname != %[1]s masquerade
			}
			chain in {
				type filter hook prerouting priority raw
				iifname %[1]s ip saddr != %[2]s drop
				iifname %[1]s ip daddr 127.0.0.0/8 drop
			}
			chain forward {
				type filter hook forward priority filter
				oifname %[1]s ct state established,related accept
				oifname %[1]s drop
			}
		}`, link, network)
		uplink, err := uplink()
		if err != nil {
			return err
		}
		already := true
		if uplink != "" {
			if already, err = forwards(uplink); err != nil {
				return err
			}
		}
		if !already {
			links := fmt.Sprintf("%q", uplink)
			if everywhere, err := forwards("all"); err != nil {
				return err
			} else if !everywhere {
				links += `, "all"`
			}
			// Only answers, or the LAN could send packets through this host, which wasn't a
			// router until now.
			commands += fmt.Sprintf(`
			table ip %s {
				chain forward {
					type filter hook forward priority filter
					ct state established,related accept
					iifname { %s } drop
				}
			}`, memory, links)
		}
		rules, err := nft(commands, lock)
		if err != nil || uplink == "" {
			return err
		}
		found = barriers(rules, "forward", packet{link, uplink, "new"},
			packet{uplink, link, "established"})
		// What counts is the link through which a packet comes in: ours for what the container
		// sends, and the uplink for the answers.
		if err := forward(link, true); err != nil || already {
			return err
		}
		return forward(uplink, true)
	})
	return found, err
}

// removeNAT removes a container's NAT. With the last one it also turns off forwarding on the links
// that didn't forward before, unless the whole host has been made to forward since, as Docker does.
func removeNAT(link string) error {
	return locked(func(lock *os.File) error {
		// If addNAT failed, the container may still be running.
		if err := forward(link, false); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		// Not "list tables": for that, nft reads everything that is in them.
		tables, err := nft("list chains ip", lock)
		if err != nil {
			return err
		}
		// "add" first, so that "delete" doesn't fail if the table isn't there.
		commands := fmt.Sprintf("add table ip %[1]s; delete table ip %[1]s", link)
		remembered, others := false, false
		for line := range strings.Lines(tables) {
			name := strings.TrimSuffix(strings.TrimPrefix(line, "table ip "), " {\n")
			remembered = remembered || name == memory
			others = others || strings.HasPrefix(name, "jail") && name != link && name != memory
		}
		if remembered && !others {
			rules, err := nft("list table ip "+memory, lock)
			if err != nil {
				return err
			}
			if err := stopForwarding(rules); err != nil {
				return err
			}
			commands += "; delete table ip " + memory
		}
		if others {
			_, err = nft(commands, lock)
		} else {
			_, err = nftEarly(commands, lock)
		}
		return err
	})
}

// stopForwarding turns forwarding off on the links that the rules of memory name, as nft lists
// them.
func stopForwarding(rules string) error {
	everywhere, err := forwards("all")
	if err != nil {
		return err
	}
	for i, link := range strings.Split(rules, `"`) {
		if i%2 == 0 { // between the names, which are in quotes
			continue
		}
		if link == "all" || everywhere && strings.Contains(rules, `"all"`) {
			continue
		}
		err := forward(link, false)
		if err != nil && !errors.Is(err, os.ErrNotExist) { // the link itself may be gone
			return err
		}
	}
	return nil
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
