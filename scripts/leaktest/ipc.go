//go:build linux

// Interprocess communication: the objects that are found by a key or a name, and those that only
// look like them (sysvipc(7), mq_overview(7), shm_overview(7)).

package main

import (
	"math"
	"math/rand/v2"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// messageSize is the longest message that our queues take, in bytes.
const messageSize = 64

// sysvMessage is the layout that msgsnd(2) and msgrcv(2) ask for: a type above 0, then the text.
type sysvMessage struct {
	kind int
	text [messageSize]byte
}

// randomKey returns a random key, which no other process uses.
func randomKey() int { return 1 + rand.IntN(math.MaxInt32) }

// makeQueue makes a System V queue that every user may use, with one message in it.
func makeQueue(key int, text string) error {
	id, err := findQueue(key, unix.IPC_CREAT|unix.IPC_EXCL|0o666)
	if err != nil {
		return err
	}
	return sendQueue(id, text)
}

// findQueue returns the identifier of the queue with a key.
func findQueue(key, flags int) (uintptr, error) {
	id, _, failed := unix.Syscall(unix.SYS_MSGGET, uintptr(key), uintptr(flags), 0)
	if failed != 0 {
		return 0, os.NewSyscallError("msgget", failed)
	}
	return id, nil
}

// sendQueue puts one message into a queue.
func sendQueue(id uintptr, text string) error {
	message := sysvMessage{kind: 1}
	size := copy(message.text[:], text)
	return os.NewSyscallError("msgsnd", call(unix.SYS_MSGSND, id,
		uintptr(unsafe.Pointer(&message)), uintptr(size), unix.IPC_NOWAIT))
}

// readQueue returns the first message of the queue with a key, and puts it back.
func readQueue(key int) (string, error) {
	id, err := findQueue(key, 0)
	if err != nil {
		return "", err
	}
	var message sysvMessage
	size, _, failed := unix.Syscall6(unix.SYS_MSGRCV, id, uintptr(unsafe.Pointer(&message)),
		messageSize, 0, unix.IPC_NOWAIT, 0)
	if failed != 0 {
		return "", os.NewSyscallError("msgrcv", failed)
	}
	text := string(message.text[:size])
	return text, sendQueue(id, text)
}

// removeQueue removes it. Nothing else does, not even the end of all its users.
func removeQueue(key int) error {
	id, err := findQueue(key, 0)
	if err != nil {
		return err
	}
	return os.NewSyscallError("msgctl", call(unix.SYS_MSGCTL, id, unix.IPC_RMID))
}

// makeMemory makes a segment of System V shared memory, and writes a text into it.
func makeMemory(key int, text string) error {
	id, err := unix.SysvShmGet(key, messageSize, unix.IPC_CREAT|unix.IPC_EXCL|0o666)
	if err != nil {
		return os.NewSyscallError("shmget", err)
	}
	memory, err := unix.SysvShmAttach(id, 0, 0)
	if err != nil {
		return os.NewSyscallError("shmat", err)
	}
	copy(memory, text)
	return os.NewSyscallError("shmdt", unix.SysvShmDetach(memory))
}

// readMemory returns the text in the segment with a key.
func readMemory(key int) (string, error) {
	id, err := unix.SysvShmGet(key, messageSize, 0)
	if err != nil {
		return "", os.NewSyscallError("shmget", err)
	}
	memory, err := unix.SysvShmAttach(id, 0, unix.SHM_RDONLY)
	if err != nil {
		return "", os.NewSyscallError("shmat", err)
	}
	text := unix.ByteSliceToString(memory)
	return text, os.NewSyscallError("shmdt", unix.SysvShmDetach(memory))
}

// removeMemory removes it.
func removeMemory(key int) error {
	id, err := unix.SysvShmGet(key, 0, 0)
	if err == nil {
		_, err = unix.SysvShmCtl(id, unix.IPC_RMID, nil)
	}
	return os.NewSyscallError("remove the shared memory", err)
}

// makeMqueue makes a POSIX queue with one message in it.
func makeMqueue(name, text string) error {
	queue, err := openMqueue(name, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR)
	if err != nil {
		return err
	}
	defer unix.Close(queue)
	// The umask has restricted the queue's mode; every user may use it now.
	return errnoOf(unix.Fchmod(queue, 0o666), sendMqueue(queue, text))
}

// errnoOf returns the first of two errors.
func errnoOf(first, second error) error {
	if first != nil {
		return first
	}
	return second
}

// openMqueue opens a queue, or makes it. The kernel wants the name without the slash that
// mq_open(3) asks for.
func openMqueue(name string, flags int) (int, error) {
	cname, err := unix.BytePtrFromString(name)
	if err != nil {
		return -1, err
	}
	attr := [8]int{1: 1, 2: messageSize} // struct mq_attr: room for one message (mq_getattr(3))
	queue, _, failed := unix.Syscall6(unix.SYS_MQ_OPEN, uintptr(unsafe.Pointer(cname)),
		uintptr(flags|unix.O_CLOEXEC), 0o666, uintptr(unsafe.Pointer(&attr)), 0, 0)
	if failed != 0 {
		return -1, os.NewSyscallError("mq_open", failed)
	}
	return int(queue), nil
}

// sendMqueue puts one message into an open queue.
func sendMqueue(queue int, text string) error {
	message := []byte(text)
	return os.NewSyscallError("mq_send", call(unix.SYS_MQ_TIMEDSEND, uintptr(queue),
		uintptr(unsafe.Pointer(&message[0])), uintptr(len(message))))
}

// readMqueue returns the first message of the queue with a name, and puts it back.
func readMqueue(name string) (string, error) {
	queue, err := openMqueue(name, unix.O_RDWR|unix.O_NONBLOCK)
	if err != nil {
		return "", err
	}
	defer unix.Close(queue)
	var buffer [messageSize]byte
	size, _, failed := unix.Syscall6(unix.SYS_MQ_TIMEDRECEIVE, uintptr(queue),
		uintptr(unsafe.Pointer(&buffer)), messageSize, 0, 0, 0)
	if failed != 0 {
		return "", os.NewSyscallError("mq_receive", failed)
	}
	text := string(buffer[:size])
	return text, sendMqueue(queue, text)
}

// removeMqueue removes a queue's name, and the queue once no process has it open.
func removeMqueue(name string) error {
	cname, err := unix.BytePtrFromString(name)
	if err != nil {
		return err
	}
	return os.NewSyscallError("mq_unlink",
		call(unix.SYS_MQ_UNLINK, uintptr(unsafe.Pointer(cname))))
}

// reads makes a probe of a function that reads a secret of the host's.
func reads(what, missing string, read func(*facts) (string, string, error)) func(*facts) result {
	return func(f *facts) result {
		if why := f.Missing[missing]; why != "" {
			return cannot("the host has no %s: %s", what, why)
		}
		text, want, err := read(f)
		switch {
		case err != nil:
			return isHeld("%v", err)
		case sum(text) == want:
			return isLeak("read the secret in the host's %s", what)
		}
		return isHeld("a %s is there, and it isn't the host's", what)
	}
}

// The four kinds.
var (
	sysvQueue = reads("System V message queue", "ipc", func(f *facts) (string, string, error) {
		text, err := readQueue(f.QueueKey)
		return text, f.QueueSum, err
	})
	sysvMemory = reads("System V shared memory", "ipc", func(f *facts) (string, string, error) {
		text, err := readMemory(f.MemoryKey)
		return text, f.MemorySum, err
	})
	posixQueue = reads("POSIX message queue", "ipc", func(f *facts) (string, string, error) {
		text, err := readMqueue(f.Mqueue)
		return text, f.MqueueSum, err
	})
	devShm = reads("file in /dev/shm", "ipc", func(f *facts) (string, string, error) {
		text, err := os.ReadFile("/dev/shm/" + f.Shm)
		return string(text), f.ShmSum, err
	})
)

// hostName looks whether it is the host's name that one sees here.
func hostName(f *facts) result {
	name := hostname()
	if sum(name) != f.HostnameSum {
		return isHeld("the name here is %q", name)
	}
	// A container may have been given the same name; then its namespace tells.
	here, err := procLink("self/ns/uts")
	if err == nil && f.UTS != "" && here != f.UTS {
		return isHeld("the name is the host's, %q, but in another UTS namespace", name)
	}
	return isLeak("the name here is the host's: %q", name)
}

// hostname is what uname(2) says.
func hostname() string {
	var name unix.Utsname
	_ = unix.Uname(&name) // fails for a bad pointer only
	return unix.ByteSliceToString(name.Nodename[:])
}
