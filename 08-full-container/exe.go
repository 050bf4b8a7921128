//go:build linux

// The program behind /proc/1/exe. It is a file of the host, and a container whose root owns that
// file could write to it; the next user to start the program on the host would run the container's
// code. That was CVE-2019-5736, in runc. So the inner process starts from a file that no process
// can write to.

package main

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// sealedProgram returns this program as a file that can't be written to by any path that leads to
// it. Start it from /proc/self/fd, and close it before you start anything else.
//
// With the right to mount, we make a mount of this one file, read-only and attached nowhere
// (open_tree(2)). It lives for as long as a process runs from it. Once closed it is in no mount
// namespace, so no process can make it writable again. Without that right, and before Linux 5.12,
// we make a copy. A copy even withstands a kernel bug that lets readers write; it costs a
// millisecond and two megabytes for each container.
func sealedProgram() (*os.File, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, "/proc/self/exe",
		unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return copiedProgram()
	}
	err = unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH,
		&unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
	if err != nil {
		unix.Close(fd)
		return copiedProgram()
	}
	return os.NewFile(uintptr(fd), "this program, read-only"), nil
}

// seals keep a copy as it is; not even root can lift them (F_ADD_SEALS of fcntl(2)).
const seals = unix.F_SEAL_WRITE | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL

// copiedProgram returns a copy of this program in memory, sealed (memfd_create(2)).
func copiedProgram() (*os.File, error) {
	own, err := os.Open("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	defer own.Close()
	flags := unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	// Where vm.memfd_noexec is set, MFD_EXEC is required; before Linux 6.3 it is an error.
	fd, err := unix.MemfdCreate(step, flags|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) {
		fd, err = unix.MemfdCreate(step, flags)
	}
	if err != nil {
		return nil, fmt.Errorf("copy this program into memory: %w (is vm.memfd_noexec 2 here?)",
			os.NewSyscallError("memfd_create", err))
	}
	program := os.NewFile(uintptr(fd), "sealed copy of this program")
	if err := copyInto(program, own); err != nil {
		return nil, errors.Join(err, program.Close())
	}
	return program, nil
}

// copyInto copies as much of an executable as execve(2) loads, and seals the copy. What comes
// after, a third of it in Go, is for debuggers.
func copyInto(program, own *os.File) error {
	size, err := loadedSize(own)
	if err != nil {
		return err
	}
	for done := int64(0); done < size; {
		n, err := unix.Sendfile(int(program.Fd()), int(own.Fd()), &done, int(size-done))
		if err == nil && n == 0 {
			err = errors.New("it has become shorter")
		}
		if err != nil {
			return fmt.Errorf("copy this program into memory: %w", err)
		}
	}
	for tries := 0; ; tries++ {
		_, err := unix.FcntlInt(program.Fd(), unix.F_ADD_SEALS, seals)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EBUSY) && tries < 100:
			// For a moment, the kernel itself may hold a page that was written (mm/memfd.c).
			time.Sleep(10 * time.Millisecond)
		default:
			return fmt.Errorf("seal the copy of this program: %w", os.NewSyscallError("fcntl", err))
		}
	}
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
