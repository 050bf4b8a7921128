//go:build linux

// The system calls that a probe makes by number.

package main

import (
	"encoding/binary"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pathCall is a system call that makes something at a path.
type pathCall struct {
	name string
	call func(path *byte) syscall.Errno
}

// mkdirCalls are the calls that make a directory; an architecture may have another one.
var mkdirCalls = []pathCall{{"mkdirat", func(path *byte) syscall.Errno {
	dir := unix.AT_FDCWD
	_, _, errno := unix.Syscall(unix.SYS_MKDIRAT, uintptr(dir), uintptr(unsafe.Pointer(path)),
		0o700)
	return errno
}}}

// putNative32 writes a number in the machine's own byte order.
func putNative32(to []byte, n uint32) { binary.NativeEndian.PutUint32(to, n) }
