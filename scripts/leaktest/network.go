//go:build linux

// The host's network.

package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// soon is when something local should have happened.
func soon() time.Time { return time.Now().Add(2 * time.Second) }

// hardwareSums are the sums of the hardware addresses of the interfaces here.
func hardwareSums() ([]string, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var sums []string
	for _, link := range interfaces {
		if len(link.HardwareAddr) > 0 {
			sums = append(sums, sum(link.HardwareAddr.String()))
		}
	}
	return sums, nil
}

// netCookie returns the number of this network namespace (SO_NETNS_COOKIE, since Linux 5.14).
func netCookie() (uint64, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	return unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
}

// interfaces looks for an interface of the host, by its hardware address.
func interfaces(f *facts) result {
	found, err := net.Interfaces()
	if err != nil {
		return isHeld("list the interfaces: %v", err)
	}
	for _, link := range found {
		if len(link.HardwareAddr) > 0 && slices.Contains(f.Links, sum(link.HardwareAddr.String())) {
			return isLeak("%s is an interface of the host", link.Name)
		}
	}
	if len(f.Links) == 0 { // the host has nothing but lo, which all have
		cookie, err := netCookie()
		switch {
		case err != nil || f.NetCookie == 0:
			return cannot("the host has no interface but lo")
		case cookie == f.NetCookie:
			return isLeak("lo is the host's: the network namespace has its number, %d", cookie)
		}
	}
	return isHeld("%d interfaces, none of the host", len(found))
}

// connects makes a probe of an address where the host tells a secret.
func connects(what, missing string,
	where func(*facts) (network, address, want string)) func(*facts) result {
	return func(f *facts) result {
		if why := f.Missing[missing]; why != "" {
			return cannot("the host has no %s: %s", what, why)
		}
		network, address, want := where(f)
		conn, err := net.DialTimeout(network, address, 2*time.Second)
		if err != nil {
			return isHeld("connect to %s: %s", address, errno(err))
		}
		defer conn.Close()
		_ = conn.SetReadDeadline(soon())
		text, err := io.ReadAll(io.LimitReader(conn, messageSize))
		if sum(string(text)) == want {
			return isLeak("%s answered with its secret", what)
		}
		return isHeld("something else listens there (%v)", err)
	}
}

// Two addresses: one for the network, one for this machine only.
var (
	tcpLoopback = connects("a listener on the host's 127.0.0.1", "net",
		func(f *facts) (string, string, string) {
			return "tcp", fmt.Sprintf("127.0.0.1:%d", f.Port), f.PortSum
		})
	abstractSocket = connects("an abstract socket of the host", "net",
		func(f *facts) (string, string, string) { return "unix", f.Abstract, f.AbstractSum })
)

// rawSocket makes a socket that sees and sends whole packets, in a network where the host's
// interfaces are.
func rawSocket(f *facts) result {
	if err := socket(unix.AF_PACKET, unix.SOCK_RAW, 0); err != nil {
		return isHeld("socket(AF_PACKET, SOCK_RAW): %s", errno(err))
	}
	if shared := interfaces(f); shared.Verdict != leaks {
		return isHeld("socket(AF_PACKET, SOCK_RAW) is allowed, but in the container's own network")
	}
	return isLeak("socket(AF_PACKET, SOCK_RAW) is allowed, on the host's interfaces")
}

// vsock makes a socket to the hypervisor. The network namespace doesn't cover that (vsock(7)).
func vsock(*facts) result {
	err := socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0)
	switch {
	case err == nil:
		return isLeak("socket(AF_VSOCK): allowed")
	case errors.Is(err, unix.EAFNOSUPPORT) && !filtered():
		return cannot("this kernel has no AF_VSOCK")
	}
	return isHeld("socket(AF_VSOCK): %s", errno(err))
}

// socket makes a socket, and closes it again.
func socket(domain, kind, protocol int) error {
	fd, err := unix.Socket(domain, kind|unix.SOCK_CLOEXEC, protocol)
	if err == nil {
		unix.Close(fd)
	}
	return err
}
