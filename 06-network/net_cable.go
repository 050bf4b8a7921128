//go:build linux

// The cable between host and container: a pair of links, an address at each end, and a route.

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// cable is what connects a container. Its link is the end on the host; the other is eth0.
type cable struct {
	link            string
	host, container netip.Prefix // the addresses, with the size of their network
}

// private are the networks that anybody may use without asking (RFC 1918).
var private = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"),
}

// plugIn connects the container whose first process is pid. Nothing of it has to be undone: when
// the container's network namespace goes, the kernel removes the end in there, and with it the
// other.
func plugIn(pid int, trace func(string)) (c cable, err error) {
	outside, err := dialNetlink(trace)
	if err != nil {
		return c, err
	}
	defer outside.close()
	inside, err := dialNetlinkOf(pid, trace)
	if err != nil {
		return c, err
	}
	defer inside.close()
	used, err := outside.routes()
	if err != nil {
		return c, err
	}
	for range 100 { // more than ever start at the same moment
		if c, err = chooseCable(used, uint32(pid)); err != nil {
			return c, err
		}
		// Another container may be choosing the same addresses at this moment. The link's name is
		// made of them, and the kernel allows each name only once: so it says who was first.
		err = outside.addVeth(c.link, hardware(c.host.Addr()), "eth0", pid)
		if !errors.Is(err, unix.EEXIST) {
			break
		}
		used = append(used, c.host.Masked())
	}
	if err != nil {
		return c, err
	}
	for _, step := range []func() error{
		func() error { return disableIPv6(c.link, trace) },
		func() error { return dontForward(c.link, trace) },
		func() error { return outside.addAddress(c.link, c.host) },
		func() error { return outside.setUp(c.link) },
		func() error { return inside.setUp("lo") },
		func() error { return inside.addAddress("eth0", c.container) },
		func() error { return inside.setUp("eth0") },
		func() error { return inside.addDefaultRoute(c.host.Addr()) },
	} {
		if err := step(); err != nil {
			return c, err
		}
	}
	return c, nil
}

// hardware makes a MAC address of an IPv4 address; the 2 says that no maker has given it. If we
// gave none, the kernel would take a random one, and systemd-udevd soon replace that by its own, be
// it in the middle of a call (systemd.link(5), MACAddressPolicy). What the container sends is for
// nobody then, until it asks for the address again, seconds later.
func hardware(a netip.Addr) net.HardwareAddr { return append([]byte{2, 0}, a.AsSlice()...) }

// disableIPv6 keeps this host from speaking IPv6 on a link. By default the kernel believes whoever
// says there that he is a router (accept_ra in Linux, Documentation/networking/ip-sysctl.rst). So
// root in the container could say so, and would be sent what the host sends to the world
// (CVE-2020-13401 in Docker).
func disableIPv6(link string, trace func(string)) error {
	if _, err := os.Stat("/proc/net/if_inet6"); errors.Is(err, os.ErrNotExist) {
		return nil // this kernel has no IPv6
	}
	if trace != nil {
		trace("sysctl -w net.ipv6.conf." + link + ".disable_ipv6=1")
	}
	return writeFile("/proc/sys/net/ipv6/conf/"+link+"/disable_ipv6", "1")
}

// dontForward keeps this host from forwarding what comes in by a link. A new link starts with what
// conf/default says, which is 1 on a host with Docker. NAT turns it on where there is a way to the
// world; without NAT, packets would leave under an address that can't be answered.
func dontForward(link string, trace func(string)) error {
	if trace != nil {
		trace("sysctl -w net.ipv4.conf." + link + ".forwarding=0")
	}
	return forward(link, false)
}

// chooseCable takes the first network of four addresses, from somewhere in the private ones on,
// that overlaps with none in use. Of the four, one is the network's and one for broadcast; so two
// ends are left.
func chooseCable(used []netip.Prefix, start uint32) (cable, error) {
	used = slices.DeleteFunc(slices.Clone(used), func(p netip.Prefix) bool {
		return p.Bits() <= 1 // the default route, or the halves of it that some VPNs add
	})
	for _, pool := range private {
		first := number(pool.Addr())
		networks := uint32(1) << (30 - pool.Bits())
		for i := range networks {
			base := first + (start+i)%networks*4
			network := netip.PrefixFrom(address(base), 30)
			if slices.ContainsFunc(used, network.Overlaps) {
				continue
			}
			return cable{
				link:      fmt.Sprintf("jail%08x", base),
				host:      netip.PrefixFrom(address(base+1), 30),
				container: netip.PrefixFrom(address(base+2), 30),
			}, nil
		}
	}
	return cable{}, fmt.Errorf("no four addresses are free: this host has routes to all of %v "+
		"(ip -4 route lists them; a VPN may have added them)", private)
}

// number is an IPv4 address as a number.
func number(a netip.Addr) uint32 { return binary.BigEndian.Uint32(a.AsSlice()) }

// address is the reverse.
func address(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, n)))
}

// uplink returns the link by which this host reaches the world, or "". It asks for the way to an
// address that belongs to nobody (RFC 5737), as ip(8) does in "ip route get": the kernel knows
// about metrics, rules and VPNs.
func uplink() (string, error) {
	n, err := dialNetlink(nil)
	if err != nil {
		return "", err
	}
	defer n.close()
	link, err := n.linkTo(netip.MustParseAddr("203.0.113.1"))
	if errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.EHOSTUNREACH) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return n.name(link)
}
