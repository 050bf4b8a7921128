//go:build linux

// nft(8), which sets up the kernel's packet filter for us, and other filters that may be in the
// way.

package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
)

// findNft returns the path of nft. Debian keeps it in /usr/sbin, which isn't in an ordinary user's
// PATH, so for each bin in PATH this looks in the sbin next to it too.
func findNft() (string, error) {
	path, err := exec.LookPath("nft")
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if err != nil && filepath.Base(dir) == "bin" {
			path, err = exec.LookPath(filepath.Join(filepath.Dir(dir), "sbin", "nft"))
		}
	}
	return path, err
}

// nft passes commands to nft(8), and files to hold open while it runs. It runs nft once for all of
// them: the kernel takes the changes as one transaction, so either all or none take effect. A list
// among the commands shows the state before them. Named sets are listed without their elements
// (-t), because nft takes a second to read one with 100,000 addresses.
func nft(commands string, files ...*os.File) (answer string, err error) {
	return startNft([]string{"-t"}, commands, files)
}

// nftEarly is nft, but returns as soon as the kernel has made the changes: with -e nft says so. It
// doesn't wait for nft to exit: after a table is deleted, the kernel keeps nft for some 10 ms more,
// until no CPU can still be using that table.
func nftEarly(commands string, files ...*os.File) (answer string, err error) {
	return startNft([]string{"-t", "-e"}, commands, files)
}

// startNft starts nft, and waits for its end or for its word that the kernel has made the changes.
func startNft(flags []string, commands string, files []*os.File) (answer string, err error) {
	path, err := findNft()
	if err != nil {
		return "", err
	}
	cmd := exec.Command(path, append(flags, "-f", "-")...)
	cmd.Stdin, cmd.ExtraFiles = strings.NewReader(commands), files
	var said, out strings.Builder
	cmd.Stderr = &said
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	lines := bufio.NewReader(stdout)
	for err == nil {
		var line string
		line, err = lines.ReadString('\n')
		if strings.HasPrefix(line, "# new generation ") {
			go cmd.Wait()
			return out.String(), nil
		}
		out.WriteString(line)
	}
	if err := cmd.Wait(); err != nil {
		// With %v, so that nft's exit status doesn't become ours.
		return "", fmt.Errorf("nft: %v: %s", err, strings.TrimSpace(said.String()))
	}
	return out.String(), nil
}

// barrier is a chain in another table that drops our packets, and the commands that would let them
// through.
type barrier struct{ chain, fix string }

// packet is what a rule looks at, as far as we understand rules: the links through which a packet
// comes in and goes out, and whether it starts a connection ("new") or belongs to one.
type packet struct{ in, out, state string }

// barriers lists the chains at a hook, "input" or "forward", that drop one of the packets. The
// rules are as nft lists them. Docker sets up such a chain, and so do most firewalls. No rule of
// ours can undo that: a packet must pass every table, so one drop is final.
//
// It only needs to be right about the usual firewalls: its answer explains why packets don't
// arrive, and lets nothing in or out.
func barriers(rules, hook string, packets ...packet) (found []barrier) {
	family, table, chain, body := "", "", "", []string(nil)
	for line := range strings.Lines(rules) {
		switch {
		case strings.HasPrefix(line, "table "):
			fields := strings.Fields(line)
			family, table = fields[1], fields[1]+" "+fields[2]
		case strings.HasPrefix(line, "\tchain "):
			chain, body = table+" "+strings.Fields(line)[1], nil
		case strings.HasPrefix(line, "\t}"):
			// The families that IPv4 packets pass: "ip", and "inet", which is IPv4 and IPv6.
			if (family == "ip" || family == "inet") && stops(body, hook, packets) {
				found = append(found, barrier{chain, fmt.Sprintf("nft 'insert rule %s iifname "+
					"jail* accept; insert rule %s oifname jail* accept'", chain, chain)})
			}
			body = nil // the next thing in the table may be a set
		default:
			body = append(body, line)
		}
	}
	// That list leaves out the tables of iptables-legacy. Asking for one that doesn't exist would
	// create it, so we look first, in a file that only root can read.
	names, _ := os.ReadFile("/proc/net/ip_tables_names")
	if strings.Contains(string(names), "filter\n") {
		upper := strings.ToUpper(hook)
		rules, _ := exec.Command("iptables-legacy", "-S", upper).Output()
		if stops(fromIptables(string(rules), hook), hook, packets) {
			insert := "iptables-legacy -I " + upper
			found = append(found, barrier{"iptables-legacy " + upper,
				insert + " -i jail+ -j ACCEPT; " + insert + " -o jail+ -j ACCEPT"})
		}
	}
	return found
}

// fromIptables rewrites a chain of iptables the way nft would list it, as far as fate understands
// it.
func fromIptables(rules, hook string) []string {
	chain := strings.ToUpper(hook)
	return strings.SplitAfter(strings.NewReplacer(
		"-P "+chain+" DROP", "type filter hook "+hook+" priority filter; policy drop;",
		"-P "+chain+" ACCEPT", "type filter hook "+hook+" priority filter; policy accept;",
		"-A "+chain+" ", "", "-i ", "iifname ", "-o ", "oifname ", "+ ", "* ",
		"-m conntrack --ctstate ", "ct state ", "-m state --state ", "ct state ",
		"NEW", "new", "RELATED", "related", "ESTABLISHED", "established",
		"-j ACCEPT", "accept", "-j DROP", "drop", "-j REJECT", "reject",
	).Replace(rules), "\n")
}

// stops reports whether a chain is at a hook and drops one of the packets: by the first rule that
// decides its fate, or by the chain's policy.
func stops(chain []string, hook string, packets []packet) bool {
	policy := slices.IndexFunc(chain, func(line string) bool {
		return strings.Contains(line, " hook "+hook+" ")
	})
	return policy >= 0 && slices.ContainsFunc(packets, func(p packet) bool {
		for _, rule := range chain {
			if fate := p.fate(rule); fate != "" {
				return fate != "accept"
			}
		}
		return strings.Contains(chain[policy], "policy drop;")
	})
}

// fate is what a rule does to a packet: "accept", "drop", "reject", or "" if it leaves the packet
// to the next rule. So does a rule that tests anything but links and states, or jumps to a chain:
// we don't understand it, and it most likely concerns other packets.
func (p packet) fate(rule string) string {
	quoted := false
	words := strings.FieldsFunc(rule, func(r rune) bool {
		quoted = quoted != (r == '"')
		return unicode.IsSpace(r) && !quoted
	})
	for holds := true; holds && len(words) > 0; {
		word := words[0]
		words = words[1:]
		switch word {
		case "accept", "drop", "reject":
			return word
		case "counter", "log": // and, below, their parameters
		case "packets", "bytes", "prefix", "group", "snaplen", "level", "flags":
			words = words[min(1, len(words)):]
		case "iifname":
			words, holds = condition(words, p.in)
		case "oifname":
			words, holds = condition(words, p.out)
		case "ct":
			holds = len(words) > 0 && words[0] == "state"
			if holds {
				words, holds = condition(words[1:], p.state)
			}
		default:
			return ""
		}
	}
	return ""
}

// condition compares a value with the next words of a rule, which name one value or several, in the
// forms that nft lists: eth0, != eth0, { eth0, "eth1" }, eth*. It returns the words after them, and
// whether the condition holds.
func condition(words []string, value string) (after []string, holds bool) {
	not := len(words) > 0 && words[0] == "!="
	if not {
		words = words[1:]
	}
	end := 1
	if len(words) > 0 && words[0] == "{" {
		end = slices.Index(words, "}") + 1
	}
	// A named set, or a list that goes on in the next line.
	if end == 0 || len(words) < end || words[0][0] == '@' {
		return nil, false
	}
	for _, word := range words[:end] {
		for name := range strings.SplitSeq(strings.TrimSuffix(word, ","), ",") {
			name = strings.Trim(name, `"`)
			start, isStart := strings.CutSuffix(name, "*")
			holds = holds || name == value || isStart && strings.HasPrefix(value, start)
		}
	}
	return words[end:], holds != not
}
