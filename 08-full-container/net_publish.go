//go:build linux

// -publish: a port of the host leads to a port of the container. Docker lets the kernel rewrite the
// packets' addresses (DNAT), which only root can set up. Copying what each connection carries works
// for every user.

package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// port is a port of the host and the one that it leads to.
type port struct {
	text      string // as the caller wrote it
	host      netip.AddrPort
	container uint16
}

// hostOnly goes before a port without an IP: only this host can connect to that address.
const hostOnly = "127.0.0.1:"

// addPort notes a port to publish: [IP:]HOST:CONTAINER[/tcp]. An IPv6 address is in brackets.
func (o *options) addPort(text string) error {
	ports, protocol, given := strings.Cut(text, "/")
	if given && protocol != "tcp" {
		return errors.New("only TCP can be published: the other protocols have no connections " +
			"to copy")
	}
	colon := strings.LastIndexByte(ports, ':')
	host, inside := ports[:max(colon, 0)], ports[colon+1:]
	if !strings.Contains(host, ":") {
		host = hostOnly + host
	}
	address, err1 := netip.ParseAddrPort(host)
	number, err2 := strconv.ParseUint(inside, 10, 16)
	if err1 != nil || err2 != nil || address.Port() == 0 || number == 0 {
		return errors.New("[IP:]HOST:CONTAINER was expected: two ports from 1 to 65535, such as " +
			"8080:80, and an address, not a name, such as 127.0.0.1:8080:80")
	}
	o.ports = append(o.ports, port{text, address, uint16(number)})
	return nil
}

// openHostPorts opens the host's ports, before anything is started. A stand-in host is in another
// network namespace, so it inherits the listening sockets from the process that started it, as
// descriptors from 5 on. A socket stays in the namespace that it was opened in.
func openHostPorts(o *options) (sockets []*os.File, err error) {
	o.tellOfInterfaces()
	for i, p := range o.ports {
		if os.Args[0] == role(standIn) {
			unix.CloseOnExec(5 + i)
			sockets = append(sockets, os.NewFile(uintptr(5+i), "-publish "+p.text))
			continue
		}
		network := "tcp4"
		if p.host.Addr().Is6() {
			network = "tcp6" // with "tcp", [::] would mean all IPv4 addresses as well
		}
		listener, err := net.Listen(network, p.host.String())
		if errors.Is(err, unix.EACCES) { // with %v, or the hint would be about namespaces
			err = fmt.Errorf("%v (only root may open ports below "+
				"net.ipv4.ip_unprivileged_port_start, mostly 1024)", err)
		}
		if err != nil {
			return nil, fmt.Errorf("-publish %s: %w", p.text, err)
		}
		socket, err := listener.(*net.TCPListener).File() // a copy of the descriptor
		if err := errors.Join(err, listener.Close()); err != nil {
			return nil, err
		}
		sockets = append(sockets, socket)
	}
	return sockets, nil
}

// mostAtOnce is how many connections are carried at a time; more have to wait. Each takes six
// descriptors, because io.Copy lets the kernel move the bytes through two pipes (splice(2)), and
// limitFiles allows 1024.
const mostAtOnce = 150

// publish starts to accept connections to the ports, for the container whose first process is pid.
// When this process ends, the kernel closes the ports.
func publish(ports []port, sockets []*os.File, pid int) error {
	if len(ports) == 0 {
		return nil
	}
	address, err := addressOf(pid)
	if err != nil {
		return err
	}
	// quiet turns the garbage collector off. With this it runs once so much memory is in use.
	debug.SetMemoryLimit(32 << 20)
	room := make(chan bool, mostAtOnce)
	for i, p := range ports {
		listener, err := net.FileListener(sockets[i])
		if err := errors.Join(err, sockets[i].Close()); err != nil {
			return fmt.Errorf("-publish %s: %w", p.text, err)
		}
		go accept(listener, netip.AddrPortFrom(address, p.container).String(), room)
	}
	return nil
}

// addressOf returns a container's address: the second on the cable's network of four, after the
// host's (chooseCable).
func addressOf(pid int) (netip.Addr, error) {
	n, err := dialNetlinkOf(pid, nil)
	if err != nil {
		return netip.Addr{}, err
	}
	defer n.close()
	routes, err := n.routes()
	for _, r := range routes {
		if r.Bits() == 30 {
			return r.Addr().Next().Next(), nil
		}
	}
	return netip.Addr{}, errors.Join(errors.New("the container has no cable"), err)
}

// accept accepts connections while there is room.
func accept(listener net.Listener, address string, room chan bool) {
	for {
		caller, err := listener.Accept()
		if err != nil { // such as ENFILE, which passes
			time.Sleep(100 * time.Millisecond)
			continue
		}
		room <- true // only now: a port that nobody connects to must not take up room
		go func() {
			carry(caller.(*net.TCPConn), address)
			<-room
		}()
	}
}

// carry connects a caller to the container, and copies both ways until both sides have closed. If
// nothing listens inside, the caller gets a reset: it is too late to refuse the connection.
func carry(caller *net.TCPConn, address string) {
	defer caller.Close()
	server, err := net.DialTimeout("tcp4", address, 10*time.Second)
	if err != nil {
		_ = caller.SetLinger(0)
		return
	}
	defer server.Close()
	done := make(chan bool)
	go func() {
		copyOneWay(server.(*net.TCPConn), caller)
		close(done)
	}()
	copyOneWay(caller, server.(*net.TCPConn))
	<-done
}

// copyOneWay copies until one side has sent its last byte, and passes that end on to the other,
// which may still send (SHUT_WR, shutdown(2)). If one connection breaks, this breaks the other too:
// a truncated message must not look complete.
func copyOneWay(to, from *net.TCPConn) {
	_, err := io.Copy(to, from)
	if err == nil {
		err = to.CloseWrite()
	}
	if err != nil {
		_ = errors.Join(to.SetLinger(0), from.SetLinger(0), to.Close(), from.Close())
	}
}
