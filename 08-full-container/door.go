//go:build linux

// The way in for -exec and -ps: a socket with a name in the host's network namespace. The name is
// abstract (unix(7)): it is in no directory, it disappears with the process that has taken it, and
// from another network namespace, such as the container's, it can't be reached.
//
// Any process can take any such name, and a name has no permissions. So each end asks the kernel
// who the other one is (SO_PEERCRED): the server before it lets a client in, and the client before
// it sends its descriptors.

package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// doorOf returns the name of a container's socket. PID is that of the outermost process, the one
// that the caller has started.
func doorOf(pid int) string { return "@jail-to-container/" + strconv.Itoa(pid) }

// openDoor makes this container's socket. Without it the container runs all the same.
func openDoor() *os.File {
	name := doorOf(os.Getpid())
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrUnix{Name: name})
	}
	if err == nil {
		err = unix.Listen(fd, 4096)
	}
	if err != nil {
		unix.Close(fd)
		fmt.Fprintf(os.Stderr, "%s: listen at %s: %v: -ps and -exec won't find this container\n",
			step, name, err)
		return nil
	}
	return newSocket(fd, name)
}

// admit lets clients in, and passes them on to the next process.
func admit(door, line *os.File) {
	socket, err := door.SyscallConn()
	for err == nil {
		var client int
		var failed error
		err = socket.Read(func(fd uintptr) (done bool) {
			client, _, failed = unix.Accept4(int(fd), unix.SOCK_CLOEXEC)
			return !errors.Is(failed, unix.EAGAIN)
		})
		switch peer, unknown := peerOf(client); {
		case failed != nil:
			time.Sleep(10 * time.Millisecond) // too many open files, for example
		case unknown != nil || !isTrusted(peer):
			unix.Close(client)
		default:
			passOnClient(line, client)
		}
	}
}

// passOnClient sends a client's connection to the next process. If that fails, the client sees the
// end of the connection.
func passOnClient(line *os.File, client int) {
	_ = sendMessage(line, []byte{0}, client)
	unix.Close(client)
}

// peerOf returns who is at the other end: the process that connected or, for a client, the one that
// called listen(2).
func peerOf(socket int) (*unix.Ucred, error) {
	return unix.GetsockoptUcred(socket, unix.SOL_SOCKET, unix.SO_PEERCRED)
}

// isTrusted reports whether a process belongs to this user or to root.
func isTrusted(peer *unix.Ucred) bool {
	return peer.Uid == 0 || int(peer.Uid) == os.Geteuid()
}

// errNoDoor says that no process listens at the name.
var errNoDoor = errors.New("no container has that PID (-ps lists them)")

// dial connects to the container with that PID. The socket must belong to that process, and the
// process must be trusted: uid is its user. Where many clients queue, it waits as long as patience.
func dial(pid int, patience time.Duration) (line *os.File, uid uint32, err error) {
	fd, err := unix.Socket(unix.AF_UNIX,
		unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, 0, os.NewSyscallError("socket", err)
	}
	late := time.Now().Add(patience)
	err = unix.Connect(fd, &unix.SockaddrUnix{Name: doorOf(pid)})
	for errors.Is(err, unix.EAGAIN) && time.Now().Before(late) {
		time.Sleep(time.Millisecond)
		err = unix.Connect(fd, &unix.SockaddrUnix{Name: doorOf(pid)})
	}
	switch peer, unknown := peerOf(fd); {
	case errors.Is(err, unix.ECONNREFUSED):
		err = errNoDoor
	case err != nil:
		err = os.NewSyscallError("connect", err)
	case unknown != nil:
		err = os.NewSyscallError("getsockopt(SO_PEERCRED)", unknown)
	case int(peer.Pid) != pid:
		err = fmt.Errorf("process %d has taken the name of its socket", peer.Pid)
	case !isTrusted(peer):
		err = fmt.Errorf("it belongs to uid %d: only that user can enter", peer.Uid)
	default:
		return os.NewFile(uintptr(fd), "container"), peer.Uid, nil
	}
	unix.Close(fd)
	return nil, 0, err
}
