//go:build linux

// An initramfs in memory.

package qemu

import (
	"bufio"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Initramfs makes one of a program, which is the guest's first process, and of what add adds. It is
// a file in memory, so nothing is left of it however we end. Hand it to qemu as descriptor 3, whose
// name is InitramfsName.
func Initramfs(program string, add func(*Archive)) (*os.File, error) {
	fd, err := unix.MemfdCreate("initramfs", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	file := os.NewFile(uintptr(fd), "initramfs")
	w := bufio.NewWriter(file)
	a := NewArchive(w)
	a.File("init", program)
	add(a)
	return file, errors.Join(a.End(), w.Flush())
}

// InitramfsName is how qemu finds it.
const InitramfsName = "/proc/self/fd/3"
