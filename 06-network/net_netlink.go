//go:build linux

// A small rtnetlink(7) client: how a program asks the kernel for what ip(8) does.

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// netlink is a socket to the kernel's network code, for the network namespace in which it was
// opened. Each request carries the ip command that does the same: errors quote it, and trace, if
// set, gets it.
type netlink struct {
	fd       int
	buffer   []byte // for replies
	sequence uint32
	prefix   string // in front of the ip command: "nsenter … " for another namespace
	trace    func(command string)
}

// dialNetlink opens a socket to this network namespace.
func dialNetlink(trace func(string)) (*netlink, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket(AF_NETLINK)", err)
	}
	// NETLINK_EXT_ACK makes the kernel say not just "invalid argument" but which one. Kernels
	// before 4.12 don't have it, and nothing depends on it.
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	// Without a number of our own (Pid 0) the kernel picks one, to which it will send the replies.
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("bind(AF_NETLINK)", err)
	}
	buffer := make([]byte, 16<<10) // netlink(7) wants at least 8 kB; a longer list comes in pieces
	return &netlink{fd: fd, buffer: buffer, trace: trace}, nil
}

// dialNetlinkOf opens a socket to the network namespace of another process. A socket stays in the
// namespace of the thread that opened it, so this thread enters that namespace for a moment. It
// must be a locked one, as main's is: no other goroutine may run on a thread in the wrong network.
func dialNetlinkOf(pid int, trace func(string)) (n *netlink, err error) {
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	defer home.Close()
	there, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return nil, err
	}
	defer there.Close()
	mine, err1 := home.Stat()
	theirs, err2 := there.Stat()
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	if os.SameFile(mine, theirs) {
		// Everything meant for the container would be set up on the host, and stay.
		return nil, fmt.Errorf("process %d has no network of its own", pid)
	}
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("setns to %s: %w", there.Name(), err)
	}
	defer func() {
		if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
			// Every caller gives up on an error, so nothing continues in the wrong network.
			err = errors.Join(err, fmt.Errorf("setns back to %s: %w", home.Name(), back))
		}
	}()
	n, err = dialNetlink(trace)
	if err == nil {
		n.prefix = fmt.Sprintf("nsenter -t %d -U -n --preserve-credentials ", pid)
	}
	return n, err
}

// close closes the socket.
func (n *netlink) close() { unix.Close(n.fd) }

// ask sends a query. It changes nothing, so it isn't traced.
func (n *netlink) ask(command string, kind, flags uint16, body ...[]byte) ([]reply, error) {
	silent := *n
	silent.trace = nil
	defer func() { n.sequence = silent.sequence }()
	return silent.request(command, kind, flags, body...)
}

// request sends one message and returns the replies that the kernel sends before it acknowledges
// the message (NLM_F_ACK). Without the acknowledgement we couldn't tell success from a reply that
// is still on its way. Command is the ip command that asks for the same.
func (n *netlink) request(command string, kind, flags uint16, body ...[]byte) ([]reply, error) {
	command = n.prefix + command
	if n.trace != nil {
		n.trace(command)
	}
	n.sequence++
	message := make([]byte, unix.SizeofNlMsghdr)
	for _, part := range body {
		message = append(message, part...)
	}
	// struct nlmsghdr: length, type, flags, sequence number; the kernel fills in the sender.
	binary.NativeEndian.PutUint32(message, uint32(len(message)))
	binary.NativeEndian.PutUint16(message[4:], kind)
	binary.NativeEndian.PutUint16(message[6:], flags|unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	binary.NativeEndian.PutUint32(message[8:], n.sequence)
	kernel := &unix.SockaddrNetlink{Family: unix.AF_NETLINK}
	if err := unix.Sendto(n.fd, message, 0, kernel); err != nil {
		return nil, fmt.Errorf("%s: %w", command, os.NewSyscallError("sendto", err))
	}
	var answers []reply
	for {
		size, from, err := unix.Recvfrom(n.fd, n.buffer, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", command, os.NewSyscallError("recvfrom", err))
		}
		if sender, ok := from.(*unix.SockaddrNetlink); !ok || sender.Pid != 0 {
			continue // from another program; the kernel's own number is 0 (netlink(7))
		}
		replies, err := parseReplies(n.buffer[:size])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", command, err)
		}
		for _, r := range replies {
			switch {
			case r.sequence != n.sequence: // a late reply to an earlier request that failed
			case r.kind == unix.NLMSG_ERROR, r.kind == unix.NLMSG_DONE: // the end; DONE ends a list
				if err := r.err(); err != nil {
					return nil, fmt.Errorf("%s: %w", command, err)
				}
				return answers, nil
			default:
				answers = append(answers, r)
			}
		}
	}
}

// reply is one message from the kernel: struct nlmsghdr and what follows it (netlink(7)).
type reply struct {
	kind, flags uint16
	sequence    uint32
	body        []byte
}

// parseReplies cuts a datagram into messages. It checks every length before it uses it, so that no
// message can make the step read past the end.
func parseReplies(data []byte) ([]reply, error) {
	var replies []reply
	for len(data) > 0 {
		if len(data) < unix.SizeofNlMsghdr {
			return nil, fmt.Errorf("netlink reply: %d bytes are no header", len(data))
		}
		size := binary.NativeEndian.Uint32(data)
		if size < unix.SizeofNlMsghdr || uint64(size) > uint64(len(data)) {
			return nil, fmt.Errorf("netlink reply: says it has %d bytes, of %d", size, len(data))
		}
		replies = append(replies, reply{
			kind:     binary.NativeEndian.Uint16(data[4:]),
			flags:    binary.NativeEndian.Uint16(data[6:]),
			sequence: binary.NativeEndian.Uint32(data[8:]),
			body:     bytes.Clone(data[unix.SizeofNlMsghdr:size]),
		})
		data = data[min(align(int(size)), len(data)):]
	}
	return replies, nil
}

// err returns what an NLMSG_ERROR or NLMSG_DONE says: nil for a 0, otherwise an errno, with the
// kernel's reason if it gives one. An acknowledgement is an NLMSG_ERROR with the number 0.
func (r reply) err() error {
	if len(r.body) < 4 {
		return errors.New("netlink reply: an error without a number")
	}
	number := int32(binary.NativeEndian.Uint32(r.body))
	if number == 0 {
		return nil
	}
	err := error(unix.Errno(-number))
	if r.flags&unix.NLM_F_ACK_TLVS == 0 || r.kind != unix.NLMSG_ERROR ||
		len(r.body) < 4+unix.SizeofNlMsghdr {
		return err
	}
	// The kernel quotes the request (or, with NLM_F_CAPPED, only its header); attributes follow.
	skip := 4 + unix.SizeofNlMsghdr
	if r.flags&unix.NLM_F_CAPPED == 0 {
		skip = 4 + align(int(min(binary.NativeEndian.Uint32(r.body[4:]), 1<<20)))
	}
	text, _ := findAttribute(r.body[min(skip, len(r.body)):], unix.NLMSGERR_ATTR_MSG)
	if len(text) > 0 { // otherwise the kernel gives no reason, or one that can't be read
		return fmt.Errorf("%w (%s)", err, unix.ByteSliceToString(text))
	}
	return err
}

// attribute encodes one attribute: struct rtattr, which is length and kind, then the value, padded
// to a multiple of four bytes (rtnetlink(7)). A value can consist of attributes itself.
func attribute(kind uint16, value ...[]byte) []byte {
	a := make([]byte, unix.SizeofRtAttr)
	for _, part := range value {
		a = append(a, part...)
	}
	binary.NativeEndian.PutUint16(a, uint16(len(a)))
	binary.NativeEndian.PutUint16(a[2:], kind)
	return append(a, make([]byte, align(len(a))-len(a))...)
}

// findAttribute returns the value of an attribute, or nil if it isn't there. The kernel marks
// attributes that contain others with NLA_F_NESTED, which isn't part of the kind.
func findAttribute(data []byte, kind uint16) ([]byte, error) {
	for len(data) >= unix.SizeofRtAttr {
		size := int(binary.NativeEndian.Uint16(data))
		if size < unix.SizeofRtAttr || size > len(data) {
			return nil, fmt.Errorf("netlink attribute: says it has %d bytes of %d", size, len(data))
		}
		if binary.NativeEndian.Uint16(data[2:])&^unix.NLA_F_NESTED == kind {
			return data[unix.SizeofRtAttr:size], nil
		}
		data = data[min(align(size), len(data)):]
	}
	return nil, nil
}

// align rounds up to a multiple of four, as NLMSG_ALIGN and RTA_ALIGN do.
func align(size int) int { return (size + 3) &^ 3 }
