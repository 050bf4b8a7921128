//go:build linux

// The four kinds of object that the lesson makes on one side and looks for on the other. A process
// finds three of them by a key or a name that isn't a path; the fourth only looks like them.

package main

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// object is one kind: how to make one with a text in it, read the text, and remove it. It has a key
// or a name; each function gets both and uses the one that it needs.
type object struct {
	what   string
	make   func(key int, name, text string) error
	read   func(key int, name string) (string, error)
	remove func(key int, name string) error
}

// objects are the kinds, in the order of the lesson's tables.
var objects = []object{
	{
		what:   "System V message queue",
		make:   func(key int, _, text string) error { return makeQueue(key, text) },
		read:   func(key int, _ string) (string, error) { return readQueue(key) },
		remove: func(key int, _ string) error { return removeQueue(key) },
	},
	{
		what:   "System V shared memory",
		make:   func(key int, _, text string) error { return makeMemory(key, text) },
		read:   func(key int, _ string) (string, error) { return readMemory(key) },
		remove: func(key int, _ string) error { return removeMemory(key) },
	},
	{
		what:   "POSIX message queue",
		make:   func(_ int, name, text string) error { return makeMqueue(name, text) },
		read:   func(_ int, name string) (string, error) { return readMqueue(name) },
		remove: func(_ int, name string) error { return removeMqueue(name) },
	},
	{
		// POSIX shared memory is just a file here (shm_overview(7)), so what hides it is another
		// mount at /dev/shm.
		what: "file in /dev/shm",
		make: func(_ int, name, text string) error {
			return os.WriteFile("/dev/shm/"+name, []byte(text), 0o600)
		},
		read: func(_ int, name string) (string, error) {
			text, err := os.ReadFile("/dev/shm/" + name)
			return string(text), err
		},
		remove: func(_ int, name string) error { return os.Remove("/dev/shm/" + name) },
	},
}

// makeMemory makes a segment of shared memory under key (shmget(2)) and writes a text into it.
func makeMemory(key int, text string) error {
	return withMemory(key, unix.IPC_CREAT|unix.IPC_EXCL|0o600, func(memory []byte) {
		copy(memory, text)
	})
}

// readMemory finds a segment by its key and returns the text in it.
func readMemory(key int) (text string, err error) {
	err = withMemory(key, 0, func(memory []byte) { text = unix.ByteSliceToString(memory) })
	return text, err
}

// withMemory attaches the segment with a key for as long as use runs.
func withMemory(key, flags int, use func([]byte)) error {
	id, err := unix.SysvShmGet(key, 64, flags)
	if err != nil {
		return fmt.Errorf("shmget(%#x): %w", key, err)
	}
	memory, err := unix.SysvShmAttach(id, 0, 0)
	if err != nil {
		return os.NewSyscallError("shmat", err)
	}
	use(memory)
	return os.NewSyscallError("shmdt", unix.SysvShmDetach(memory))
}

// removeMemory removes the segment with a key.
func removeMemory(key int) error {
	id, err := unix.SysvShmGet(key, 0, 0)
	if err == nil {
		_, err = unix.SysvShmCtl(id, unix.IPC_RMID, nil)
	}
	return os.NewSyscallError("remove the shared memory", err)
}

// messageSize is the longest message that our POSIX queues take, in bytes. The kernel's default is
// ten messages of 8192, and a user may have only nine such queues (RLIMIT_MSGQUEUE, getrlimit(2)).
const messageSize = 64

// makeMqueue makes a POSIX message queue with one message in it.
func makeMqueue(name, text string) error {
	return withMqueue(name, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR, func(queue uintptr) error {
		return sendMqueue(queue, text)
	})
}

// readMqueue finds a queue by its name and returns its first message, then puts the message back.
func readMqueue(name string) (text string, err error) {
	err = withMqueue(name, unix.O_RDWR|unix.O_NONBLOCK, func(queue uintptr) error {
		var buffer [messageSize]byte // must have room for the longest message allowed
		size, _, errno := unix.Syscall6(unix.SYS_MQ_TIMEDRECEIVE, queue,
			uintptr(unsafe.Pointer(&buffer)), uintptr(len(buffer)), 0, 0, 0)
		if errno != 0 {
			return os.NewSyscallError("mq_receive", errno)
		}
		text = string(buffer[:size])
		return sendMqueue(queue, text)
	})
	return text, err
}

// withMqueue opens or makes a queue for as long as use runs. The kernel wants the name without the
// slash that mq_open(3) requires.
func withMqueue(name string, flags int, use func(uintptr) error) error {
	cname, err := unix.BytePtrFromString(name)
	if err != nil {
		return err
	}
	attr := [8]int{1: 1, 2: messageSize} // struct mq_attr: room for one message (mq_getattr(3))
	queue, _, errno := unix.Syscall6(unix.SYS_MQ_OPEN, uintptr(unsafe.Pointer(cname)),
		uintptr(flags|unix.O_CLOEXEC), 0o600, uintptr(unsafe.Pointer(&attr)), 0, 0)
	if errno != 0 {
		return fmt.Errorf("mq_open(/%s): %w", name, errno)
	}
	defer unix.Close(int(queue))
	return use(queue)
}

// sendMqueue puts one message into an open queue.
func sendMqueue(queue uintptr, text string) error {
	message := []byte(text)
	_, _, errno := unix.Syscall6(unix.SYS_MQ_TIMEDSEND, queue,
		uintptr(unsafe.Pointer(&message[0])), uintptr(len(message)), 0, 0, 0)
	if errno != 0 {
		return os.NewSyscallError("mq_send", errno)
	}
	return nil
}

// removeMqueue removes a queue's name. The queue goes when no process has it open.
func removeMqueue(name string) error {
	cname, err := unix.BytePtrFromString(name)
	if err != nil {
		return err
	}
	_, _, errno := unix.Syscall(unix.SYS_MQ_UNLINK, uintptr(unsafe.Pointer(cname)), 0, 0)
	if errno != 0 {
		return os.NewSyscallError("mq_unlink", errno)
	}
	return nil
}
