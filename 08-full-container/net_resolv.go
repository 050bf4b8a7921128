//go:build linux

// Which name servers the container gets.

package main

import (
	"net/netip"
	"os"
	"strings"
)

// resolvConf returns the container's /etc/resolv.conf: the host's name servers. The container can't
// reach one on the host's loopback, such as systemd-resolved's 127.0.0.53; it gets the servers that
// systemd-resolved asks instead.
func resolvConf() string {
	if reason := noWay(); reason != "" {
		return "# " + reason + "\n" // programs would wait for a server that can't be reached
	}
	for _, file := range []string{"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"} {
		text, _ := os.ReadFile(file) // empty if it isn't there
		if servers := reachable(string(text)); servers != "" {
			return servers
		}
	}
	return "# none of the host's name servers can be reached from here\n"
}

// reachable returns the lines of a resolv.conf whose name servers can be reached from inside.
func reachable(text string) (servers string) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		server, err := netip.ParseAddr(fields[1])
		if err == nil && server.Is4() && !server.IsLoopback() { // there is no IPv6 inside
			servers += "nameserver " + server.String() + "\n"
		}
	}
	return servers
}
