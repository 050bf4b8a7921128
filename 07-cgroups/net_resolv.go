//go:build linux

// The container's name servers.

package main

import (
	"net/netip"
	"os"
	"strings"
)

// resolvConf returns the container's /etc/resolv.conf: the host's name servers. One on the host's
// loopback, such as systemd-resolved's 127.0.0.53, can't be reached from inside; instead there are
// those that systemd-resolved itself asks.
func resolvConf() string {
	if reason := noWay(); reason != "" {
		return "# " + reason + "\n" // a server that can't be asked would make programs wait
	}
	for _, file := range []string{"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"} {
		text, _ := os.ReadFile(file) // none, if it isn't there
		if servers := reachable(string(text)); servers != "" {
			return servers
		}
	}
	return "# no name server of the host's can be reached from here\n"
}

// reachable returns the lines of a resolv.conf that name servers that can be reached from inside.
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
