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

// memory is the nft table that remembers, in a set, which links didn't forward before we came. The
// last container to go restores them.
const memory = "jail_forwarding"

// connect plugs in the container whose first process is pid, and opens its way to the world, if
// this host has what that takes. It returns what undoes all that doesn't go by itself.
func connect(pid int) (undo func() error, err error) {
	undo = func() error { return nil }
	c, err := plugIn(pid, nil)
	if err != nil {
		return undo, err
	}
	if _, err := findNft(); err != nil {
		if _, err := unix.IoctlGetTermios(2, unix.TCGETS); err == nil { // a reader, not a script
			fmt.Fprintf(os.Stderr, "%s: %s (it comes in the package nftables)\n", step, lacksNft)
		}
		return undo, nil
	}
	rules, removeNAT, err := keepNAT(c.link, c.host.Masked().String())
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: there is no way to the world: %v\n", step, err)
		return undo, nil
	}
	for _, b := range barriers("forward", rules) {
		fmt.Fprintf(os.Stderr, "%s: the host drops what it forwards (chain %s), so there is no "+
			"way to the world. To let containers through: %s\n", step, b.chain, b.mend)
	}
	return removeNAT, nil
}

// lacksNft is said where it is so.
const lacksNft = "there is no nft command on the host, so there is no way to the world"

// keepNAT sets up NAT for a link and its network until it is undone, and returns the rules that the
// host had before. The keeper sees to it that it is undone.
func keepNAT(link, network string) (rules string, undo func() error, err error) {
	if err := keep("nat", link); err != nil {
		return "", nil, err
	}
	undo = func() error {
		return relieve(func() error { return removeNAT(link) })
	}
	if rules, err = addNAT(link, network); err != nil {
		return "", nil, errors.Join(err, undo())
	}
	return rules, undo, nil
}

// addNAT lets the packets of a network out, with this host's address as their sender
// ("masquerade"), and lets the answers in. It changes nobody's policy and no other table. It
// returns the rules that were there before.
//
// What comes from the container under another address than its own is dropped. Root in there can
// write any sender, and would reach the world under it: only the container's own is replaced. The
// kernel has a check for that, rp_filter. But with the strict kind, 1, on the link, the loose one
// would still hold where the host has 2 for all links: the higher number counts (Linux,
// Documentation/networking/ip-sysctl.rst).
func addNAT(link, network string) (rules string, err error) {
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
			}
		}`, link, network)
		// The kernel looks at the link by which a packet comes in: ours for what goes out, and the
		// uplink for the answers. The first one goes with the container.
		if err := forward(link, true); err != nil {
			return err
		}
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
			// The answers only. Else whoever is out there could send packets through this host,
			// which was no router until now.
			commands += fmt.Sprintf(`
			table ip %s {
				set links { type ifname; elements = { %s }; }
				chain forward {
					type filter hook forward priority filter
					ct state established,related accept
					iifname @links drop
				}
			}`, memory, links)
		}
		if rules, err = nft(commands, lock); err != nil || already {
			return err
		}
		return forward(uplink, true)
	})
	return rules, err
}

// removeNAT takes it away again. When no other container has any, the links that have begun to
// forward for us stop, unless somebody has made the whole host forward since, as Docker does.
func removeNAT(link string) error {
	return locked(func(lock *os.File) error {
		rules, err := nft("list ruleset", lock)
		if err != nil {
			return err
		}
		// Added first, so that there is something to delete in any case.
		commands := fmt.Sprintf("add table ip %[1]s; delete table ip %[1]s", link)
		others := false
		for line := range strings.Lines(rules) {
			name := strings.TrimSuffix(strings.TrimPrefix(line, "table ip "), " {\n")
			others = others || strings.HasPrefix(name, "jail") && name != link && name != memory
		}
		_, after, remembered := strings.Cut(rules, "table ip "+memory+" {\n")
		if remembered && !others {
			set, _, _ := strings.Cut(after, "\n}\n")
			if err := stopForwarding(set); err != nil {
				return err
			}
			commands += "; delete table ip " + memory
		}
		_, err = nft(commands, lock)
		return err
	})
}

// stopForwarding restores the links that are in a set, as nft lists it.
func stopForwarding(set string) error {
	everywhere, err := forwards("all")
	if err != nil {
		return err
	}
	for i, link := range strings.Split(set, `"`) {
		if i%2 == 0 { // between the names, which are in quotes
			continue
		}
		if link == "all" || everywhere && strings.Contains(set, `"all"`) {
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
