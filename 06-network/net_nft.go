//go:build linux

// nft(8), which speaks to the kernel's packet filter for us, and what other filters there may be.

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
)

// findNft returns the path of nft. Debian keeps it in /usr/sbin, which an ordinary user doesn't
// have in PATH; so beside each bin it looks into the sbin.
func findNft() (string, error) {
	path, err := exec.LookPath("nft")
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if err != nil && filepath.Base(dir) == "bin" {
			path, err = exec.LookPath(filepath.Join(filepath.Dir(dir), "sbin", "nft"))
		}
	}
	return path, err
}

// nft gives commands to nft(8), and files to have while it runs. Lists are answered with what there
// was before; of the rest it carries out all or nothing. Named sets are listed without what is in
// them (-t): to read one of 100,000 addresses takes nft a second.
func nft(commands string, files ...*os.File) (answer string, err error) {
	path, err := findNft()
	if err != nil {
		return "", err
	}
	cmd := exec.Command(path, "-t", "-f", "-")
	cmd.Stdin, cmd.ExtraFiles = strings.NewReader(commands), files
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		// With %v: how nft ended is no exit status of ours.
		return "", fmt.Errorf("nft, %s: %v: %s", strings.Join(strings.Fields(commands), " "), err,
			strings.TrimSpace(said.String()))
	}
	return string(out), nil
}

// barrier is a chain in another table that our packets don't get past, and what would let them.
type barrier struct{ chain, mend string }

// packet is what a rule looks at, as far as it is understood here: the links by which a packet
// comes in and goes out, and whether it begins a connection, "new", or is part of one.
type packet struct{ in, out, state string }

// barriers lists the chains at a hook, "input" or "forward", that drop one of some packets. The
// rules are those that nft lists. Docker sets up such a chain, and so do most firewalls. No rule of
// ours can undo that: a packet must pass every table, so one drop is final.
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
			if (family == "ip" || family == "inet") && stops(body, hook, packets) {
				found = append(found, barrier{chain, fmt.Sprintf("nft 'insert rule %s iifname "+
					"jail* accept; insert rule %s oifname jail* accept'", chain, chain)})
			}
			body = nil // what follows may be a set
		default:
			body = append(body, line)
		}
	}
	// The tables of the older iptables are not in that list. To ask for them would create them; so
	// only where there are any, which root may read.
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

// fromIptables rewrites a chain of iptables as nft would list it, as far as fate understands that.
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

// stops reports whether a chain is at a hook and drops one of some packets: by the first rule that
// settles its fate, or by the chain's policy.
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

// fate is what a rule does to a packet: "accept", "drop", "reject", or "" for a rule that passes it
// on. A rule that asks for anything but links and states, or jumps to a chain, counts as one.
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
		case "counter", "log": // and what these are followed by
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

// condition compares a value with what the next words of a rule name: one or several, in the ways
// that nft lists them. It returns the words after them, and whether the condition holds.
func condition(words []string, value string) (after []string, holds bool) {
	not := len(words) > 0 && words[0] == "!="
	if not {
		words = words[1:]
	}
	end := 1
	if len(words) > 0 && words[0] == "{" {
		end = slices.Index(words, "}") + 1
	}
	if end == 0 || len(words) < end || words[0][0] == '@' { // it goes on elsewhere
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
