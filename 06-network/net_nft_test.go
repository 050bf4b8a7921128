//go:build linux

// What is read out of the rules that nft lists.

package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestBarriers reads rules as nft lists them, and looks which chains drop what a container sends to
// the world, or the answers.
func TestBarriers(t *testing.T) {
	chain := func(body string) string {
		return "table ip filter {\n\tchain FORWARD {\n" + body + "\t}\n}\n"
	}
	const hook = "\t\ttype filter hook forward priority filter; policy accept;\n"
	const drops = "\t\ttype filter hook forward priority filter; policy drop;\n"
	const out, back = "\t\tiifname \"jail*\" accept\n", "\t\toifname \"jail*\" accept\n"
	const answers = "\t\tct state established,related accept\n"
	set := "table ip zz {\n\tset s {\n\t\ttype ipv4_addr\n\t}\n}\n"
	for name, c := range map[string]struct {
		rules string
		found []string
	}{
		"none":               {"", nil},
		"open":               {chain(hook), nil},
		"policy":             {chain(drops), []string{"ip filter FORWARD"}},
		"one way only":       {chain(drops + out), []string{"ip filter FORWARD"}},
		"the other way only": {chain(drops + back), []string{"ip filter FORWARD"}},
		"both ways":          {chain(drops + back + out), nil},
		"as iptables-nft lists it": {chain(drops + "\t\tip saddr @s drop\n" +
			"\t\toifname \"jail*\" ct state related,established counter packets 0 bytes 0 " +
			"accept\n" +
			"\t\tiifname \"jail*\"  counter packets 3 bytes 9 accept\n" +
			"\t\tcounter packets 0 bytes 0 reject\n"), nil},
		"answers for all": {chain(drops + "\t\tct state { established, related } accept\n" +
			"\t\tiifname { \"docker0\", \"jail*\" } oifname \"eth0\" accept comment \"x\"\n"), nil},
		"to another uplink": {chain(drops + answers +
			"\t\tiifname \"jail*\" oifname \"eth1\" accept\n"), []string{"ip filter FORWARD"}},
		"another's links": {chain(drops + answers + "\t\tiifname \"docker0\" accept\n"),
			[]string{"ip filter FORWARD"}},
		"dropped before": {chain(hook + "\t\tiifname \"jail*\" ct state new drop\n" + out + back),
			[]string{"ip filter FORWARD"}},
		"dropped after": {chain(hook + back + out + "\t\tiifname \"jail*\" ct state new drop\n"),
			nil},
		"dropped by name": {chain(hook + "\t\tiifname \"jail0a000004\" log prefix \"accept \" " +
			"flags all counter packets 0 bytes 0 drop\n"), []string{"ip filter FORWARD"}},
		"dropped but for eth0": {
			chain(hook + "\t\tiifname \"jail*\" oifname != \"eth0\" drop\n"), nil},
		"between containers": {
			chain(hook + "\t\tiifname \"jail*\" oifname \"jail*\" drop\n"), nil},
		"at another hook": {chain(strings.Replace(drops, "hook forward", "hook input", 1) +
			"\t\tiifname \"jail*\" ct state new drop\n"), nil},
		"other states": {chain(drops +
			"\t\tct state vmap { invalid : drop, established : accept }\n" +
			"\t\tct state != established | related accept\n\t\tiifname @s accept\n" +
			"\t\tiifname != @s accept\n\t\tiifname { \"jail*\",\n\t\t\t     \"b\" } accept\n"),
			[]string{"ip filter FORWARD"}},
		"jumps first":   {chain(drops + "\t\tjump mine\n"), []string{"ip filter FORWARD"}},
		"a comment":     {chain("\t\tcomment \"accept\"\n" + drops), []string{"ip filter FORWARD"}},
		"before a set":  {chain(drops) + set, []string{"ip filter FORWARD"}},
		"other family":  {"table ip6 six {\n\tchain f {\n" + drops + "\t}\n}\n" + set, nil},
		"last rule":     {chain(hook + "\t\tdrop\n"), []string{"ip filter FORWARD"}},
		"it was before": {chain(hook + "\t\tip saddr 192.0.2.1 drop\n\t\taccept\n"), nil},
		"for some only": {chain(hook + "\t\tip saddr 192.0.2.1 drop\n"), nil},
		"with a counter": {chain(hook + "\t\tcounter packets 2 bytes 168 reject with icmp " +
			"host-prohibited\n"), []string{"ip filter FORWARD"}},
		"with a log": {chain(hook + "\t\tcounter packets 0 bytes 0 log prefix \"a drop\" drop\n"),
			[]string{"ip filter FORWARD"}},
		"a log only": {chain(hook + "\t\tlog prefix \"drop \"\n"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			var found []string
			ask, answer := packet{"jail0a000004", "eth0", "new"},
				packet{"eth0", "jail0a000004", "established"}
			for _, b := range barriers(c.rules, "forward", ask, answer) {
				if b.chain != "iptables-legacy FORWARD" { // this host's own
					found = append(found, b.chain)
				}
			}
			if !slices.Equal(found, c.found) {
				t.Errorf("%q, want %q, in:\n%s", found, c.found, c.rules)
			}
		})
	}
}

// TestBarrierAtInput reads chapter 06's rule against new connections from containers: it is in the
// lesson's way, and not in that of an answer.
func TestBarrierAtInput(t *testing.T) {
	rules := "table inet fw {\n\tchain input {\n" +
		"\t\ttype filter hook input priority filter; policy accept;\n" +
		"\t\tiifname \"jail*\" ct state new drop\n\t}\n}\n"
	for state, want := range map[string]int{"new": 1, "established": 0} {
		if found := barriers(rules, "input", packet{"jail0", "", state}); len(found) != want {
			t.Errorf("%s: %v, want %d", state, found, want)
		}
	}
}

// TestFromIptables reads a chain as iptables-legacy -S lists it.
func TestFromIptables(t *testing.T) {
	for rules, stopped := range map[string]bool{
		"-P FORWARD ACCEPT\n": false,
		"-P FORWARD DROP\n":   true,
		"-P FORWARD DROP\n-A FORWARD -i jail+ -m conntrack --ctstate NEW -j DROP\n": true,
		"-P FORWARD DROP\n-A FORWARD -i jail+ -j ACCEPT\n":                          true,
		"-P FORWARD DROP\n-A FORWARD -o jail+ -m state --state RELATED,ESTABLISHED -j ACCEPT\n" +
			"-A FORWARD -i jail+ -j ACCEPT\n": false,
		"-P FORWARD DROP\n-A FORWARD ! -i jail+ -j ACCEPT\n" +
			"-A FORWARD -s 10.0.0.0/8 -j ACCEPT\n": true,
		"-P FORWARD ACCEPT\n-A FORWARD -j REJECT --reject-with icmp-host-prohibited\n": true,
		"-P FORWARD ACCEPT\n-A FORWARD -i docker0 -j DROP\n":                           false,
	} {
		packets := []packet{{"jail0", "eth0", "new"}, {"eth0", "jail0", "established"}}
		if stops(fromIptables(rules, "forward"), "forward", packets) != stopped {
			t.Errorf("want that it stops what we send: %v\n%s", stopped, rules)
		}
	}
}

// TestManyRules reads a chain of many rules, and one of ten times as many: that may take ten times
// as long, not a hundred.
func TestManyRules(t *testing.T) {
	took := func(rules int) time.Duration {
		var text strings.Builder
		text.WriteString("table ip t {\n\tchain c {\n" +
			"\t\ttype filter hook forward priority filter; policy accept;\n")
		for i := range rules {
			fmt.Fprintf(&text, "\t\tip saddr 10.1.%d.%d counter drop\n", i>>8, i&255)
		}
		text.WriteString("\t}\n}\n")
		best := time.Hour
		for range 5 { // the machine may do something else now and then
			start := time.Now()
			barriers(text.String(), "forward", packet{"jail0", "eth0", "new"})
			best = min(best, time.Since(start))
		}
		return best
	}
	few, many := took(2000), took(20000)
	if ratio := many / few; ratio > 40 {
		t.Errorf("ten times the rules take %d times as long: %v, and %v", ratio, few, many)
	}
}

// TestNftReturnsEarly runs programs in nft's place: one that says that the kernel has made the
// changes and hasn't ended yet, one that ends before it says so, one that fails, and one with
// nothing to change.
func TestNftReturnsEarly(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	long := strings.Repeat("x", 100_000)
	for _, c := range []struct{ script, answer, fails string }{
		{"echo listed; echo '# new generation 7 by process 1 (nft)'; cd " + dir + "; " +
			"for i in 1 2 3 4 5 6 7 8 9; do [ -e seen ] || sleep 0.1; done; : > ended",
			"listed\n", ""},
		{"echo listed; kill -9 $$", "", "nft: signal: killed: "},
		{"echo listed; echo said >&2; exit 1", "", "nft: exit status 1: said"},
		{"echo " + long, long + "\n", ""},
	} {
		script := "#!/bin/sh\n" + c.script + "\n"
		if err := os.WriteFile(dir+"/nft", []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		answer, err := nftEarly("add")
		if _, err := os.Stat(dir + "/ended"); err == nil {
			t.Errorf("%.60s: nft waited for its end", c.script)
		}
		if answer != c.answer || c.fails == "" && err != nil ||
			c.fails != "" && fmt.Sprint(err) != c.fails {
			t.Errorf("%.60s: %.60q, %v, want %.60q, %q", c.script, answer, err, c.answer, c.fails)
		}
		if err := os.WriteFile(dir+"/seen", nil, 0o644); err != nil {
			t.Fatal(err)
		}
		for c.answer == "listed\n" { // it writes into this directory until then
			if _, err := os.Stat(dir + "/ended"); err == nil {
				break
			}
			time.Sleep(time.Millisecond)
		}
		os.Remove(dir + "/ended")
	}
}
