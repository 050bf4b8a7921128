//go:build linux

// System V message queues, which x/sys/unix has no functions for. Part of the lessons of 03 and
// 04, where it is the same file.

package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sysvMessage is the layout that msgsnd(2) and msgrcv(2) require: a type above 0, then the text.
type sysvMessage struct {
	kind int
	text [64]byte
}

// randomKey returns a key that is unlikely to be in use: keys name queues as paths name files.
func randomKey() int {
	return 1 + rand.IntN(math.MaxInt32)
}

// makeQueue makes a queue under key, with one message in it.
func makeQueue(key int, text string) error {
	id, err := findQueue(key, unix.IPC_CREAT|unix.IPC_EXCL|0o600)
	if err != nil {
		return err
	}
	return send(id, text)
}

// removeQueue removes the queue with a key and the messages in it. Otherwise the queue outlives all
// of its users, until its IPC namespace ends (sysvipc(7)).
func removeQueue(key int) error {
	id, err := findQueue(key, 0)
	if err != nil {
		return err
	}
	if _, _, errno := unix.Syscall(unix.SYS_MSGCTL, uintptr(id), unix.IPC_RMID, 0); errno != 0 {
		return os.NewSyscallError("msgctl", errno)
	}
	return nil
}

// findQueue returns the ID of the queue with a key. The flags may tell it to make the queue.
func findQueue(key, flags int) (int, error) {
	id, _, errno := unix.Syscall(unix.SYS_MSGGET, uintptr(key), uintptr(flags), 0)
	if errno != 0 {
		return 0, fmt.Errorf("msgget(%#x): %w", key, errno)
	}
	return int(id), nil
}

// send puts one message into a queue.
func send(id int, text string) error {
	message := sysvMessage{kind: 1}
	size := copy(message.text[:], text)
	_, _, errno := unix.Syscall6(unix.SYS_MSGSND, uintptr(id), uintptr(unsafe.Pointer(&message)),
		uintptr(size), unix.IPC_NOWAIT, 0, 0)
	if errno != 0 {
		return os.NewSyscallError("msgsnd", errno)
	}
	return nil
}

// readQueue finds a queue by its key and returns its first message, then puts the message back.
func readQueue(key int) (string, error) {
	id, err := findQueue(key, 0)
	if err != nil {
		return "", err
	}
	var message sysvMessage
	size, _, errno := unix.Syscall6(unix.SYS_MSGRCV, uintptr(id), uintptr(unsafe.Pointer(&message)),
		uintptr(len(message.text)), 0, unix.IPC_NOWAIT, 0)
	if errno != 0 {
		return "", os.NewSyscallError("msgrcv", errno)
	}
	text := string(message.text[:size])
	return text, send(id, text)
}
