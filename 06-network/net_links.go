//go:build linux

// The requests to rtnetlink(7), each named by the ip(8) command that does the same.

package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// create asks for a new object. NLM_F_EXCL makes it an error (EEXIST) if there is one already,
// which is how two containers find out that they chose the same addresses (see plugIn).
const create = unix.NLM_F_CREATE | unix.NLM_F_EXCL

// vethInfoPeer is VETH_INFO_PEER of linux/veth.h.
const vethInfoPeer = 1

// setUp sets a link up.
func (n *netlink) setUp(link string) error {
	_, err := n.request("ip link set "+link+" up", unix.RTM_NEWLINK, 0,
		linkHeader(0, unix.IFF_UP), attribute(unix.IFLA_IFNAME, text(link)))
	return err
}

// addVeth makes a virtual cable: two links, where all that goes into one comes out of the other
// (veth(4)). The near end gets a MAC address. The kernel creates the far end in the network
// namespace of another process; created here and moved later, it could first clash with an eth0 of
// the host.
func (n *netlink) addVeth(link string, mac net.HardwareAddr, far string, pid int) error {
	command := fmt.Sprintf("ip link add %s address %s type veth peer name %s netns %d",
		link, mac, far, pid)
	// The peer is described like a link of its own, by a header and attributes, within the options
	// of the type: IFLA_LINKINFO, in it IFLA_INFO_DATA, in it VETH_INFO_PEER.
	peer := attribute(vethInfoPeer, linkHeader(0, 0),
		attribute(unix.IFLA_IFNAME, text(far)),
		attribute(unix.IFLA_NET_NS_PID, native32(uint32(pid))))
	_, err := n.request(command, unix.RTM_NEWLINK, create,
		linkHeader(0, 0), attribute(unix.IFLA_IFNAME, text(link)),
		attribute(unix.IFLA_ADDRESS, mac),
		attribute(unix.IFLA_LINKINFO,
			attribute(unix.IFLA_INFO_KIND, text("veth")),
			attribute(unix.IFLA_INFO_DATA, peer)))
	return err
}

// addAddress gives a link an IPv4 address. The length of the prefix says which other addresses are
// on the same network; the kernel adds a route to them.
func (n *netlink) addAddress(link string, address netip.Prefix) error {
	index, err := n.index(link)
	if err != nil {
		return err
	}
	header := append([]byte{unix.AF_INET, byte(address.Bits()), 0, unix.RT_SCOPE_UNIVERSE},
		native32(index)...) // struct ifaddrmsg
	_, err = n.request(fmt.Sprintf("ip addr add %s dev %s", address, link),
		unix.RTM_NEWADDR, create, header, // local and peer address: the same, as on an Ethernet
		attribute(unix.IFA_LOCAL, address.Addr().AsSlice()),
		attribute(unix.IFA_ADDRESS, address.Addr().AsSlice()))
	return err
}

// addDefaultRoute sends every packet that no other route matches to a gateway. It names no link:
// the kernel knows which one reaches the gateway.
func (n *netlink) addDefaultRoute(gateway netip.Addr) error {
	_, err := n.request(fmt.Sprintf("ip route add default via %s", gateway),
		unix.RTM_NEWROUTE, create, routeHeader(0), attribute(unix.RTA_GATEWAY, gateway.AsSlice()))
	return err
}

// routes lists the networks to which this host has an IPv4 route, its own addresses among them.
func (n *netlink) routes() ([]netip.Prefix, error) {
	replies, err := n.ask("ip route show table all", unix.RTM_GETROUTE, unix.NLM_F_DUMP,
		routeHeader(0))
	if err != nil {
		return nil, err
	}
	var routes []netip.Prefix
	for _, r := range replies {
		if len(r.body) < unix.SizeofRtMsg || r.body[0] != unix.AF_INET {
			continue
		}
		destination, err := findAttribute(r.body[unix.SizeofRtMsg:], unix.RTA_DST)
		if err != nil {
			return nil, err
		}
		address, ok := netip.AddrFromSlice(destination)
		if !ok {
			address = netip.IPv4Unspecified() // the default route has no destination
		}
		routes = append(routes, netip.PrefixFrom(address, int(r.body[1])))
	}
	return routes, nil
}

// linkTo asks for the index of the link through which packets to an address leave.
func (n *netlink) linkTo(address netip.Addr) (uint32, error) {
	command := fmt.Sprintf("ip route get %s", address)
	replies, err := n.ask(command, unix.RTM_GETROUTE, 0, routeHeader(32),
		attribute(unix.RTA_DST, address.AsSlice()))
	if err != nil {
		return 0, err
	}
	if len(replies) == 0 || len(replies[0].body) < unix.SizeofRtMsg {
		return 0, fmt.Errorf("%s: no answer", command)
	}
	index, err := findAttribute(replies[0].body[unix.SizeofRtMsg:], unix.RTA_OIF)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", command, err)
	}
	if len(index) != 4 {
		return 0, fmt.Errorf("%s: no link", command)
	}
	return binary.NativeEndian.Uint32(index), nil
}

// index asks for a link's index, by which most requests name it.
func (n *netlink) index(link string) (uint32, error) {
	replies, err := n.ask("ip link show "+link, unix.RTM_GETLINK, 0,
		linkHeader(0, 0), attribute(unix.IFLA_IFNAME, text(link)))
	if err != nil {
		return 0, err
	}
	if len(replies) == 0 || len(replies[0].body) < unix.SizeofIfInfomsg {
		return 0, fmt.Errorf("ip link show %s: no answer", link)
	}
	return binary.NativeEndian.Uint32(replies[0].body[4:]), nil
}

// name asks for the name of a link.
func (n *netlink) name(index uint32) (string, error) {
	replies, err := n.ask(fmt.Sprint("ip link show, index ", index), unix.RTM_GETLINK, 0,
		linkHeader(index, 0))
	if err != nil {
		return "", err
	}
	if len(replies) == 0 || len(replies[0].body) < unix.SizeofIfInfomsg {
		return "", fmt.Errorf("ip link show, index %d: no answer", index)
	}
	name, err := findAttribute(replies[0].body[unix.SizeofIfInfomsg:], unix.IFLA_IFNAME)
	return unix.ByteSliceToString(name), err
}

// linkHeader is a struct ifinfomsg: which link, and which of its flags to set (rtnetlink(7)). Index
// 0 leaves it to the attribute IFLA_IFNAME to name the link.
func linkHeader(index, flags uint32) []byte {
	header := make([]byte, 4, unix.SizeofIfInfomsg)
	for _, field := range []uint32{index, flags, flags} { // the last: which flags change
		header = append(header, native32(field)...)
	}
	return header
}

// routeHeader is a struct rtmsg for an ordinary route, as `ip route add` would make it. The prefix
// of its destination has so many bits; with 0 it is the default route.
func routeHeader(bits byte) []byte {
	return []byte{
		unix.AF_INET, bits, 0, 0, unix.RT_TABLE_MAIN,
		unix.RTPROT_BOOT, unix.RT_SCOPE_UNIVERSE, unix.RTN_UNICAST, 0, 0, 0, 0,
	}
}

// text is a string as netlink wants it, with a zero byte at its end.
func text(s string) []byte { return append([]byte(s), 0) }

// native32 is a number in the machine's own byte order, as netlink's headers have it. (Addresses
// are in network byte order.)
func native32(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }
