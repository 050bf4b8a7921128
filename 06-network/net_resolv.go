//go:build linux

// Which name servers the container gets, and how it asks them.

package main

import (
	"net/netip"
	"os"
	"strings"
)

// resolvConf returns the container's /etc/resolv.conf: the host's, without the name servers on the
// host's loopback, such as systemd-resolved's 127.0.0.53, which the container can't reach. If that
// leaves none, it gets the servers that systemd-resolved asks instead.
func resolvConf() string {
	if reason := noWay(); reason != "" {
		return "# " + reason + "\n" // programs would wait for a server that can't be reached
	}
	for _, file := range []string{"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"} {
		text, _ := os.ReadFile(file) // empty if it isn't there
		if kept := reachable(string(text)); kept != "" {
			return kept
		}
	}
	return "# none of the host's name servers can be reached from here\n"
}

// reachable returns a resolv.conf (resolv.conf(5)) with those name servers that can be reached from
// inside, or "" if there are none.
func reachable(text string) string {
	kept, servers := "", 0
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		switch fields[0] {
		case "nameserver":
			server, err := netip.ParseAddr(fields[1])
			if err != nil || !server.Is4() || server.IsLoopback() { // there is no IPv6 inside
				continue
			}
			fields = fields[:2]
			servers++
		case "search", "domain", "options":
		default:
			continue
		}
		kept += strings.Join(fields, " ") + "\n"
	}
	if servers == 0 {
		return ""
	}
	return kept
}
