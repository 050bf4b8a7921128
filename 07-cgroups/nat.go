//go:build linux

// The way to the world: the host forwards the container's packets, under its own address.

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// memory is the nft table that remembers which links didn't forward before we came: in a set, which
// no rule uses. The last one to go puts them back.
const memory = "jail_forwarding"

// connect plugs the container in whose first process is pid, and opens its way to the world, as far
// as this host has what that takes. It returns the container's /etc/resolv.conf, and what undoes
// all that doesn't go by itself.
func connect(pid int) (resolvConf string, undo func() error, err error) {
	undo = func() error { return nil }
	c, err := plugIn(pid, nil)
	if err != nil {
		return "", undo, err
	}
	if _, err := exec.LookPath("nft"); err != nil {
		const lacks = "there is no nft command on the host, so there is no way to the world"
		if _, err := unix.IoctlGetTermios(2, unix.TCGETS); err == nil { // a reader, not a script
			fmt.Fprintf(os.Stderr, "%s: %s (it comes in the package nftables)\n", step, lacks)
		}
		return "# " + lacks + "\n", undo, nil
	}
	keeper := self("keep:nat", c.link, c.host.Masked().String())
	// It outlives us by just the moment that it needs to undo everything, even if we are killed.
	keeper.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	p, line, err := start(keeper)
	if err != nil {
		return "", undo, err
	}
	for _, chain := range dropping() {
		fmt.Fprintf(os.Stderr, "%s: the host drops what it forwards (%s). To let this container "+
			"through: iptables -I FORWARD -i %s -j ACCEPT; iptables -I FORWARD -o %s -j ACCEPT\n",
			step, chain, c.link, c.link)
	}
	return strings.ReplaceAll(line, "|", "\n"), p.end, nil
}

// dropping lists the chains that drop what the host forwards, unless a rule says otherwise: Docker
// sets up one. An accept in a table of ours wouldn't help, as each table has its say.
func dropping() (chains []string) {
	all, _ := list("chains") // none, if it can't be asked
	table, chain := "", ""
	for line := range strings.Lines(all) {
		line = strings.TrimSuffix(strings.TrimSpace(line), " {")
		switch {
		case strings.HasPrefix(line, "table "):
			table = line
		case strings.HasPrefix(line, "chain "):
			chain = line
		case strings.Contains(line, "hook forward") && strings.Contains(line, "policy drop"):
			chains = append(chains, table+", "+chain)
		}
	}
	// The tables of old are not in that list. Asking for them makes them, so only if there are any.
	names, _ := os.ReadFile("/proc/net/ip_tables_names") // for root to read
	if strings.Contains(string(names), "filter\n") {
		rules, _ := exec.Command("iptables-legacy", "-S", "FORWARD").Output()
		if strings.HasPrefix(string(rules), "-P FORWARD DROP") {
			chains = append(chains, "iptables-legacy, chain FORWARD")
		}
	}
	return chains
}

// keepNAT is the keeper: NAT for a link and its network until standard input ends.
func keepNAT(args []string) (err error) {
	link, network := args[0], args[1]
	if err := addNAT(link, network); err != nil {
		return errors.Join(err, removeNAT(link)) // what there is of it
	}
	defer func() { err = errors.Join(err, removeNAT(link)) }()
	return holdOn(strings.ReplaceAll(resolvConf(), "\n", "|"))
}

// addNAT lets the packets of a network out, with this host's address as their sender
// ("masquerade"), and in again what answers them. It changes nobody's policy and no other table.
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
		if err := forward(link, true); err != nil { // goes with the link
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
		remember := fmt.Sprintf("table ip %s { set links { type ifname; elements = { %q }; }; }",
			memory, uplink)
		return errors.Join(nft(remember), forward(uplink, true))
	})
}

// removeNAT takes it away again. If no other container has any, the links that have begun to
// forward for us stop.
func removeNAT(link string) error {
	return locked(func() error {
		if err := nft("delete table ip " + link); err != nil {
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
		for _, quoted := range regexp.MustCompile(`"[^"]+"`).FindAllString(set, -1) {
			err := forward(strings.Trim(quoted, `"`), false)
			if err != nil && !errors.Is(err, os.ErrNotExist) { // that link has gone, too
				return err
			}
		}
		return nft("delete table ip " + memory)
	})
}

// locked runs something alone, as far as others of us in this network namespace are concerned: the
// lock is on the namespace itself (flock(2)).
func locked(do func() error) error {
	namespace, err := os.Open("/proc/self/ns/net")
	if err != nil {
		return err
	}
	defer namespace.Close()
	if err := unix.Flock(int(namespace.Fd()), unix.LOCK_EX); err != nil {
		return &os.PathError{Op: "flock", Path: namespace.Name(), Err: err}
	}
	return do()
}

// nft gives commands to nft(8).
func nft(commands string) error {
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(commands)
	if out, err := cmd.CombinedOutput(); err != nil {
		// With %v: how nft ended is no exit status of ours.
		return fmt.Errorf("nft, %s: %v: %s", strings.Join(strings.Fields(commands), " "), err, out)
	}
	return nil
}

// list asks nft(8) what there is.
func list(what ...string) (string, error) {
	out, err := exec.Command("nft", append([]string{"list"}, what...)...).Output()
	if err != nil {
		return "", fmt.Errorf("nft list %s: %v", strings.Join(what, " "), err)
	}
	return string(out), nil
}

// uplink returns the link by which this host reaches the world, or "".
func uplink() (string, error) {
	n, err := dialNetlink(nil)
	if err != nil {
		return "", err
	}
	defer n.close()
	routes, err := n.routes()
	if err != nil {
		return "", err
	}
	for _, r := range routes {
		if r.to.Bits() == 0 && r.link != 0 {
			return n.name(r.link)
		}
	}
	return "", nil
}
