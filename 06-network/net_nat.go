//go:build linux

// The way to the world: the host forwards the container's packets, under its own address.

package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// memory is the nft table that remembers, by its rules, which links didn't forward before we came.
// The last container to exit turns their forwarding off again.
const memory = "jail_forwarding"

// connect plugs in the container whose first process is pid, and opens its way to the world, if
// this host has what that takes. It returns what undoes all that doesn't go by itself.
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
		fmt.Fprintf(os.Stderr, "%s: there is no way to the world: %v\n", step, err)
		return undo, nil
	}
	for _, b := range found {
		fmt.Fprintf(os.Stderr, "%s: the host drops what it forwards (chain %s), so there is no "+
			"way to the world. To let containers through: %s\n", step, b.chain, b.mend)
	}
	return removeNAT, nil
}

// noWay says why a container has no way to the world from here, or nothing if it has one.
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

// tellReader prints a line for a reader at a terminal: not for a script, and not in a lesson, which
// has no arguments and takes what its experiments print.
func tellReader(text string) {
	_, err1 := unix.IoctlGetTermios(1, unix.TCGETS)
	_, err2 := unix.IoctlGetTermios(2, unix.TCGETS)
	if err1 == nil && err2 == nil && len(os.Args) > 1 {
		fmt.Fprintf(os.Stderr, "%s: %s\n", step, text)
	}
}

// keepNAT sets up NAT for a link and its network until it is undone, and returns what stands in its
// way. The keeper sees to it that it is undone.
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

// addNAT lets the packets of a network out, with this host's address as their sender
// ("masquerade"), and lets only the answers in. It changes no other table, and no policy. It
// returns the chains of other tables that those packets don't get past.
//
// The rules come first, and forwarding after them: if they can't be made, nothing is forwarded.
//
// The chain "in" drops packets from the container that don't have its own address: only that one is
// replaced, and root inside can write any sender. The kernel has a check for that, rp_filter, but a
// 1, the strict kind, on this link would lose to a 2 for all links (Linux,
// Documentation/networking/ip-sysctl.rst). The chain also drops packets to the host's 127.0.0.1.
// The kernel lets those in where route_localnet is on, as Kubernetes sets it.
//
// The chain "forward" drops packets that begin a connection to the container. A host that forwards
// already, as one with Docker does, would let the LAN and other containers connect.
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
			// The answers only, or the LAN could send packets through this host, which was no
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
		// The kernel looks at the link by which a packet comes in: ours for what goes out, and the
		// uplink for the answers.
		if err := forward(link, true); err != nil || already {
			return err
		}
		return forward(uplink, true)
	})
	return found, err
}

// removeNAT takes it away again. When no other container has any, the links that have begun to
// forward for us stop, unless somebody has made the whole host forward since, as Docker does.
func removeNAT(link string) error {
	return locked(func(lock *os.File) error {
		// The container may go on, where addNAT has failed.
		if err := forward(link, false); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		// Not "list tables": for that, nft reads all that is in them.
		tables, err := nft("list chains ip", lock)
		if err != nil {
			return err
		}
		// Added first, so that there is something to delete in any case.
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
		_, err = nft(commands, lock)
		return err
	})
}

// stopForwarding restores the links that memory's rules name, as nft lists them.
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
		if err != nil && !errors.Is(err, os.ErrNotExist) { // that link has gone, too
			return err
		}
	}
	return nil
}

// forwards tells whether packets that come in by a link may go on to others.
func forwards(link string) (bool, error) {
	text, err := os.ReadFile("/proc/sys/net/ipv4/conf/" + link + "/forwarding")
	return string(text) == "1\n", err
}

// forward lets them, or not. It is for one link: /proc/sys/net/ipv4/ip_forward would be for all
// that the host has (Linux, Documentation/networking/ip-sysctl.rst).
func forward(link string, on bool) error {
	return writeFile("/proc/sys/net/ipv4/conf/"+link+"/forwarding",
		map[bool]string{false: "0", true: "1"}[on])
}

// locked runs something while no other container's keeper in this network namespace does. The lock
// is on a file that each network namespace has, and that nobody but its root can open; any other
// user could keep us waiting (flock(2)). It goes with the last process that has the file, so nft
// gets it, too: if we are killed meanwhile, the keeper waits for what nft has begun.
func locked(do func(lock *os.File) error) error {
	file, err := os.OpenFile("/proc/sys/net/ipv4/route/flush", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		return &os.PathError{Op: "flock", Path: file.Name(), Err: err}
	}
	return do(file)
}
