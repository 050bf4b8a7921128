//go:build linux

// Two ways out of a chroot jail. The same file in 01-chroot, where they lead out, and in
// 03-mount-namespace, where they don't.

package main

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// escapeByChroot is way out (a). chroot(2) moves a process's root and nothing else, so after a
// second one, into a directory below, the working directory is left *above* the root. There is no
// longer anything above it at which ".." would be held back.
func escapeByChroot() error {
	if err := os.Mkdir("below", 0o700); err != nil {
		return err
	}
	moved := os.NewSyscallError("chroot below", unix.Chroot("below"))
	// The directory has served. A root is held like an open file, and may be removed.
	if err := errors.Join(moved, os.Remove("below")); err != nil {
		return err
	}
	if err := climb(); err != nil {
		return err
	}
	return os.NewSyscallError("chroot .", unix.Chroot("."))
}

// escapeByDescriptor is way out (b): a directory outside that somebody left open. It needs no
// capability at all.
func escapeByDescriptor(fd int) error {
	if err := unix.Fchdir(fd); err != nil {
		return os.NewSyscallError("fchdir", err)
	}
	return climb()
}

// climb goes up from the working directory until ".." leads nowhere new: to this process's root if
// that is on the way, and to the root of the mount namespace if not.
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
