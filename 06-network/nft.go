//go:build linux

// nft(8), which speaks to the kernel's packet filter for us, and what other filters there may be.

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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
// was before; of the rest it carries out all or nothing.
func nft(commands string, files ...*os.File) (answer string, err error) {
	path, err := findNft()
	if err != nil {
		return "", err
	}
	cmd := exec.Command(path, "-f", "-")
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

// barrier is a chain of somebody else's that our packets don't get past, and what would let them.
type barrier struct{ chain, mend string }

// barriers lists those at a hook, "input" or "forward", of the rules that nft lists. Docker sets
// one up, and so do most firewalls. To accept our packets in a table of our own wouldn't help: each
// table has its say.
func barriers(hook, rules string) (found []barrier) {
	family, table, chain, body := "", "", "", ""
	for line := range strings.Lines(rules) {
		fields := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "table "):
			family, table = fields[1], fields[1]+" "+fields[2]
		case strings.HasPrefix(line, "\tchain "):
			chain, body = table+" "+fields[1], ""
		case strings.HasPrefix(line, "\t}"):
			if (family == "ip" || family == "inet") && strings.Contains(body, "hook "+hook+" ") &&
				refusesRest(body) && !strings.Contains(body, `"jail*"`) {
				found = append(found, barrier{chain, fmt.Sprintf("nft 'insert rule %s iifname "+
					"jail* accept; insert rule %s oifname jail* accept'", chain, chain)})
			}
			body = "" // what follows may be a set
		default:
			body += line
		}
	}
	// The tables of the older iptables are not in that list. To ask for them would create them; so
	// only where there are any, which root may read.
	names, _ := os.ReadFile("/proc/net/ip_tables_names")
	if strings.Contains(string(names), "filter\n") {
		upper := strings.ToUpper(hook)
		rules, _ := exec.Command("iptables-legacy", "-S", upper).Output()
		if strings.HasPrefix(string(rules), "-P "+upper+" DROP") &&
			!strings.Contains(string(rules), " jail+ ") {
			insert := "iptables-legacy -I " + upper
			found = append(found, barrier{"iptables-legacy " + upper,
				insert + " -i jail+ -j ACCEPT; " + insert + " -o jail+ -j ACCEPT"})
		}
	}
	return found
}

// refusesRest reports whether a chain drops or rejects whatever none of its rules has accepted: by
// its policy, or by a last rule without conditions, which may count and log.
func refusesRest(body string) bool {
	body = strings.TrimSpace(body)
	rule, logged, _ := strings.Cut(body[strings.LastIndex(body, "\n")+1:], `log prefix "`)
	_, afterLog, _ := strings.Cut(logged, `" `)
	last := strings.Fields(rule + afterLog)
	if len(last) > 5 && last[0] == "counter" { // packets N bytes N
		last = last[5:]
	}
	return strings.Contains(body, "policy drop;") ||
		len(last) > 0 && (last[0] == "drop" || last[0] == "reject")
}
