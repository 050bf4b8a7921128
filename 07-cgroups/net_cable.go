//go:build linux

// The cable between host and container: two links, an address at each end, and a route.

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// cable connects a container to the host. Its link is the host's end; the container's end is eth0.
type cable struct {
	link            string
	index           uint32       // the link's number: the kernel doesn't give it to the next link
	host, container netip.Prefix // the address of each end, with the length of their prefix
}

// private are the networks that every site may use for itself (RFC 1918).
var private = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"),
}

// plugIn connects the container whose first process is pid. Nothing here needs undoing: when the
// container's network namespace ends, the kernel removes the end inside, and the other one with it.
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
	for range 100 { // more containers than ever start at the same moment
		if c, err = chooseCable(used, uint32(pid)); err != nil {
			return c, err
		}
		// Another container may be choosing the same addresses at this moment. The link is named
		// after them and the kernel allows each name only once, so it decides which was first.
		err = outside.addVeth(c.link, hardware(c.host.Addr()), "eth0", pid)
		if !errors.Is(err, unix.EEXIST) {
			break
		}
		used = append(used, c.host.Masked())
	}
	if err != nil {
		return c, err
	}
	if c.index, err = outside.index(c.link); err != nil {
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

// hardware makes a MAC address from an IPv4 address; the 2 marks it as not assigned by a vendor.
// Without one from us the kernel would choose a random address, and systemd-udevd would replace
// that with its own, perhaps in the middle of a connection (systemd.link(5), MACAddressPolicy).
// Then packets to the old address are lost until ARP asks again, seconds later.
func hardware(a netip.Addr) net.HardwareAddr { return append([]byte{2, 0}, a.AsSlice()...) }

// disableIPv6 keeps this host from speaking IPv6 on a link. By default Linux accepts IPv6 router
// advertisements from any link (accept_ra in Documentation/networking/ip-sysctl.rst). Root in the
// container could send one, and receive what the host sends to the world (CVE-2020-13401 in
// Docker).
func disableIPv6(link string, trace func(string)) error {
	if _, err := os.Stat("/proc/net/if_inet6"); errors.Is(err, os.ErrNotExist) {
		return nil // this kernel has no IPv6
	}
	if trace != nil {
		trace("sysctl -w net.ipv6.conf." + link + ".disable_ipv6=1")
	}
	return writeFile("/proc/sys/net/ipv6/conf/"+link+"/disable_ipv6", "1")
}

// dontForward keeps this host from forwarding packets that come in through a link. A new link
// starts with the value of conf/default, which is 1 where Docker runs. addNAT turns forwarding on
// if there is a way to the world; without NAT, packets would leave under an address that can't be
// answered.
func dontForward(link string, trace func(string)) error {
	if trace != nil {
		trace("sysctl -w net.ipv4.conf." + link + ".forwarding=0")
	}
	return forward(link, false)
}

// chooseCable takes the first network of four addresses that overlaps none in use. It starts at a
// different place among the private ones for each PID. Of the four, the first names the network and
// the last is for broadcast, which leaves two for the ends.
func chooseCable(used []netip.Prefix, start uint32) (cable, error) {
	used = slices.DeleteFunc(slices.Clone(used), func(p netip.Prefix) bool {
		return p.Bits() <= 1 // the default route, or the two routes that some VPNs split it into
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

// senderOf returns the address of the container behind a link, which is named after its network.
func senderOf(link string) netip.Addr {
	base, _ := strconv.ParseUint(strings.TrimPrefix(link, "jail"), 16, 32)
	return address(uint32(base) + 2)
}

// number returns an IPv4 address as a number.
func number(a netip.Addr) uint32 { return binary.BigEndian.Uint32(a.AsSlice()) }

// address returns the IPv4 address for a number.
func address(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, n)))
}

// uplink returns the link through which this host reaches the world, or "". It asks for the route
// to an address reserved for documentation (RFC 5737), as "ip route get" does. It doesn't read the
// routes itself, because the kernel also knows about metrics, rules and VPNs.
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

// linkName returns the name of the link with an index. If it is gone, the error is ENODEV.
func linkName(index string) (string, error) {
	number, err := strconv.ParseUint(index, 10, 32)
	if err != nil {
		return "", err
	}
	n, err := dialNetlink(nil)
	if err != nil {
		return "", err
	}
	defer n.close()
	return n.name(uint32(number))
}
