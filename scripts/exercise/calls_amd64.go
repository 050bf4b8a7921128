//go:build linux

// amd64 has the older calls, too.

package main

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// init adds mkdir(2) by its own number.
func init() {
	mkdirCalls = append(mkdirCalls, pathCall{"mkdir", func(path *byte) syscall.Errno {
		_, _, errno := unix.Syscall(unix.SYS_MKDIR, uintptr(unsafe.Pointer(path)), 0o700, 0)
		return errno
	}})
}
