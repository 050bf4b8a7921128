//go:build linux

// The program behind /proc/1/exe. It is the host's file, and a container whose root is that file's
// owner could write to it; the next one to start it, on the host, runs the container's code. That
// was CVE-2019-5736, in runc. So the inner half is a copy that nobody can write to.

package main

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// seals keep the copy as it is, for everybody and for good (F_ADD_SEALS of fcntl(2)). Modes and a
// read-only mount keep only those off who have no other way to the file.
const seals = unix.F_SEAL_WRITE | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL

// sealedProgram returns a copy of this program in memory, sealed (memfd_create(2)). It is to be
// started from /proc/self/fd, and lives for as long as something runs it or has it open.
func sealedProgram() (*os.File, error) {
	own, err := os.Open("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	defer own.Close()
	flags := unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	// To say that it is meant to be executed is a duty where vm.memfd_noexec is set, and an error
	// before Linux 6.3.
	fd, err := unix.MemfdCreate(step, flags|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) {
		fd, err = unix.MemfdCreate(step, flags)
	}
	if err != nil {
		return nil, fmt.Errorf("copy this program into memory: %w (is vm.memfd_noexec 2 here?)",
			os.NewSyscallError("memfd_create", err))
	}
	program := os.NewFile(uintptr(fd), "sealed copy of this program")
	if err := fill(program, own); err != nil {
		return nil, errors.Join(err, program.Close())
	}
	return program, nil
}

// fill copies as much of an executable as execve(2) loads, and seals the copy. What comes after, a
// third of it in Go, is for debuggers.
func fill(program, own *os.File) error {
	size, err := loadedSize(own)
	if err != nil {
		return err
	}
	// io.Copy makes sendfile(2) of this: the kernel copies.
	if _, err := io.Copy(program, io.LimitReader(own, size)); err != nil {
		return fmt.Errorf("copy this program into memory: %w", err)
	}
	if _, err := unix.FcntlInt(program.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		return fmt.Errorf("seal the copy of this program: %w", os.NewSyscallError("fcntl", err))
	}
	return nil
}

// loadedSize returns where in the file the last of its segments ends (elf(5)).
func loadedSize(own *os.File) (size int64, err error) {
	file, err := elf.NewFile(own)
	if err != nil {
		return 0, fmt.Errorf("read this program's ELF header: %w", err)
	}
	for _, segment := range file.Progs {
		size = max(size, int64(segment.Off+segment.Filesz))
	}
	return size, nil
}
