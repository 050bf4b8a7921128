//go:build linux

// The way to the world: the host forwards the container's packets, under its own address.

package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// memory is the nft table that remembers, in a set, which links didn't forward before we came. The
// last container to go restores them.
const memory = "jail_forwarding"

// connect plugs in the container whose first process is pid, and opens its way to the world, if
// this host has what that takes. It returns the container's /etc/resolv.conf, and what undoes all
// that doesn't go by itself.
func connect(pid int) (resolvConf string, undo func() error, err error) {
	undo = func() error { return nil }
	c, err := plugIn(pid, nil)
	if err != nil {
		return "", undo, err
	}
	if _, err := findNft(); err != nil {
		const lacks = "there is no nft command on the host, so there is no way to the world"
		if _, err := unix.IoctlGetTermios(2, unix.TCGETS); err == nil { // a reader, not a script
			fmt.Fprintf(os.Stderr, "%s: %s (it comes in the package nftables)\n", step, lacks)
		}
		return "# " + lacks + "\n", undo, nil
	}
	keeper := self("keep:nat", c.link, c.host.Masked().String())
	// It outlives us, even if we are killed, but only until it has undone everything.
	keeper.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	p, line, err := start(keeper)
	if err != nil { // which the keeper has told by itself
		const lacks = "nft has failed, so there is no way to the world"
		fmt.Fprintf(os.Stderr, "%s: %s\n", step, lacks)
		return "# " + lacks + "\n", undo, nil
	}
	for _, b := range barriers("forward") {
		fmt.Fprintf(os.Stderr, "%s: the host drops what it forwards (chain %s), so there is no "+
			"way to the world. To let containers through: %s\n", step, b.chain, b.mend)
	}
	return strings.ReplaceAll(line, "|", "\n"), p.end, nil
}

// keepNAT is the keeper: NAT for a link and its network until standard input ends. No signal that
// can be ignored ends it earlier, or all this would stay.
func keepNAT(args []string) (err error) {
	signal.Ignore(unix.SIGHUP, unix.SIGINT, unix.SIGTERM)
	link, network := args[0], args[1]
	defer func() { err = errors.Join(err, removeNAT(link)) }()
	if err := addNAT(link, network); err != nil {
		return err
	}
	return holdOn(strings.ReplaceAll(resolvConf(), "\n", "|"))
}

// addNAT lets the packets of a network out, with this host's address as their sender
// ("masquerade"), and lets the answers in. It changes nobody's policy and no other table.
func addNAT(link, network string) error {
	return locked(func() error {
		if err := nft(fmt.Sprintf(`table ip %[1]s {
			chain out {
				type nat hook postrouting priority srcnat
				ip saddr %[2]s oifname != %[1]s masquerade
			}
		}`, link, network)); err != nil {
			return err
		}
		// The kernel looks at the link by which a packet comes in: ours for what goes out, and the
		// uplink for the answers. The first one goes with the container.
		if err := forward(link, true); err != nil {
			return err
		}
		uplink, err := uplink()
		if err != nil || uplink == "" {
			return err
		}
		already, err := forwards(uplink)
		if err != nil || already {
			return err
		}
		links := fmt.Sprintf("%q", uplink)
		if everywhere, err := forwards("all"); err != nil {
			return err
		} else if !everywhere {
			links += `, "all"`
		}
		// The answers only. Else whoever is out there could send packets through this host, which
		// was no router until now.
		return errors.Join(nft(fmt.Sprintf(`table ip %s {
			set links { type ifname; elements = { %s }; }
			chain forward {
				type filter hook forward priority filter
				ct state established,related accept
				iifname @links drop
			}
		}`, memory, links)), forward(uplink, true))
	})
}

// removeNAT takes it away again. When no other container has any, the links that have begun to
// forward for us stop, unless somebody has made the whole host forward since, as Docker does.
func removeNAT(link string) error {
	return locked(func() error {
		// Added first, so that there is something to delete in any case.
		if err := nft("add table ip " + link + "; delete table ip " + link); err != nil {
			return err
		}
		tables, err := list("tables", "ip")
		if err != nil {
			return err
		}
		remembered := false
		for line := range strings.Lines(tables) {
			name := strings.TrimPrefix(strings.TrimSpace(line), "table ip ")
			switch {
			case name == memory:
				remembered = true
			case strings.HasPrefix(name, "jail"):
				return nil // somebody else's
			}
		}
		if !remembered {
			return nil
		}
		set, err := list("set", "ip", memory, "links")
		if err != nil {
			return err
		}
		everywhere, err := forwards("all")
		if err != nil {
			return err
		}
		for _, quoted := range regexp.MustCompile(`"[^"]+"`).FindAllString(set, -1) {
			link := strings.Trim(quoted, `"`)
			if link == "all" || everywhere && strings.Contains(set, `"all"`) {
				continue
			}
			err := forward(link, false)
			if err != nil && !errors.Is(err, os.ErrNotExist) { // that link has gone, too
				return err
			}
		}
		return nft("delete table ip " + memory)
	})
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
// user could keep us waiting (flock(2)). It goes with the process that holds it.
func locked(do func() error) error {
	file, err := os.OpenFile("/proc/sys/net/ipv4/route/flush", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		return &os.PathError{Op: "flock", Path: file.Name(), Err: err}
	}
	return do()
}
