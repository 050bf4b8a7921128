//go:build linux

// What is read out of the rules that nft lists.

package main

import (
	"slices"
	"testing"
)

// TestBarriers reads rules as nft lists them, and looks which chains let nothing new pass.
func TestBarriers(t *testing.T) {
	chain := func(body string) string {
		return "table ip filter {\n\tchain FORWARD {\n" + body + "\t}\n}\n"
	}
	const hook = "\t\ttype filter hook forward priority filter; policy accept;\n"
	const drops = "\t\ttype filter hook forward priority filter; policy drop;\n"
	set := "table ip zz {\n\tset s {\n\t\ttype ipv4_addr\n\t}\n}\n"
	for name, c := range map[string]struct {
		rules string
		found []string
	}{
		"none":          {"", nil},
		"open":          {chain(hook), nil},
		"policy":        {chain(drops), []string{"ip filter FORWARD"}},
		"ours let in":   {chain(drops + "\t\tiifname \"jail*\" accept\n"), nil},
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
			for _, b := range barriers("forward", c.rules) {
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
