//go:build linux

// Does a seccomp filter let through system calls newer than itself? Calling one doesn't tell: the
// kernel answers ENOSYS either way. So this adds a filter of its own that hands such a call to us
// (seccomp_unotify(2)). The kernel asks every filter and obeys the strictest, so we hear of the
// call only if all other filters let it pass.

package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// unheardOf is the number of a system call that isn't there, and won't be for decades to come.
const unheardOf = 2000

// heard is the errno by which we answer: none that a filter would think of.
const heard = unix.EXDEV

// newCalls makes that call on a thread with such a filter, while this one answers.
func newCalls(*facts) result {
	listeners, answers := make(chan int), make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with this function
		fd, err := listen()
		if err != nil {
			fd = -1
		}
		listeners <- fd
		if err == nil {
			err = call(unheardOf)
		}
		answers <- err
	}()
	fd := <-listeners
	if fd < 0 {
		err := <-answers
		if filtered() {
			return cannot("there is a filter, and it doesn't let us look: %v", err)
		}
		return cannot("%v", err)
	}
	go answer(fd)
	err := <-answers
	if errors.Is(err, heard) {
		return isLeak("call number %d passes all filters that there are", unheardOf)
	}
	return isHeld("call number %d is stopped by a filter: %s", unheardOf, errno(err))
}

// listen puts a filter on this thread, and returns the descriptor by which its questions come.
func listen() (int, error) {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return -1, os.NewSyscallError("prctl(PR_SET_NO_NEW_PRIVS)", err)
	}
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}, // the number is the first word
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: unheardOf},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	fd, _, failed := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&program)))
	runtime.KeepAlive(&filter)
	if failed != 0 {
		return -1, fmt.Errorf("seccomp(SECCOMP_FILTER_FLAG_NEW_LISTENER): %s", errno(failed))
	}
	return int(fd), nil
}

// answer waits for one question, and answers it.
func answer(fd int) {
	var question [80]byte // struct seccomp_notif
	const receive, send = 0xc0502100, 0xc0182101
	if call(unix.SYS_IOCTL, uintptr(fd), receive, uintptr(unsafe.Pointer(&question))) != nil {
		return
	}
	reply := struct { // struct seccomp_notif_resp
		id    uint64
		value int64
		errno int32
		flags uint32
	}{id: *(*uint64)(unsafe.Pointer(&question[0])), errno: -int32(heard)}
	_ = call(unix.SYS_IOCTL, uintptr(fd), send, uintptr(unsafe.Pointer(&reply)))
}
