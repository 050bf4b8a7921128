//go:build linux

// The container's root, built from nothing: a tmpfs with the host's programs, read-only, and its
// own /proc, /dev, /etc and /tmp. 08 uses an image instead.

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// rootfs is where the new root is built. Any directory that is sure to exist will do, because the
// tmpfs covers it in this mount namespace only, and only until pivot_root. We make no directory, so
// we leave none behind.
const rootfs = "/tmp"

// programs are the host's paths that the container sees: programs, libraries, and what it takes to
// find them. Few hosts have all of them.
var programs = []string{
	"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32",
	"/etc/alternatives", "/etc/ld.so.cache", // update-alternatives(1), ldconfig(8)
	"/nix/store", "/run/current-system", "/gnu/store", // where NixOS and Guix keep theirs
}

// files are the container's own: its users, and its name for itself. Without an nsswitch.conf, an
// older glibc would ask a name server first.
var files = map[string]string{
	"/etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
	"/etc/group":  "root:x:0:\nnogroup:x:65534:\n",
	"/etc/hosts":  "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n",

	"/etc/nsswitch.conf": "hosts: files dns\n",
}

// buildRoot builds the root at rootfs.
func buildRoot() error {
	// So that the caller's umask doesn't change the modes below.
	defer unix.Umask(unix.Umask(0))
	inert := uintptr(unix.MS_NOSUID | unix.MS_NODEV)
	if err := mount("tmpfs", rootfs, "tmpfs", inert, "mode=755,size=64m"); err != nil {
		return err
	}
	for dir, mode := range map[string]os.FileMode{
		"/proc": 0o555, "/dev": 0o755, "/etc": 0o755, "/root": 0o700, "/tmp": 0o777 | os.ModeSticky,
	} {
		if err := errors.Join(os.Mkdir(rootfs+dir, mode), os.Chmod(rootfs+dir, mode)); err != nil {
			return err
		}
	}
	for _, path := range programs {
		if err := bindFromHost(path); err != nil {
			return err
		}
	}
	for path, text := range files {
		if err := os.WriteFile(rootfs+path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	// This proc shows the PID namespace of the process that mounts it (pid_namespaces(7)). It must
	// come before the host's goes: a user namespace may mount a new proc only while an existing
	// one, with nothing mounted over parts of it, is visible.
	if err := mount("proc", rootfs+"/proc", "proc", inert|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("%w (is part of this /proc covered, as in a container? "+
			"Docker's --security-opt systempaths=unconfined uncovers it)", err)
	}
	return buildDev(rootfs + "/dev")
}

// bindFromHost binds a path of the host at the same place in the new root, read-only. A
// symbolic link stays one: /bin is usr/bin almost everywhere by now.
func bindFromHost(path string) error {
	target := rootfs + path
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	switch info.Mode().Type() {
	case fs.ModeSymlink:
		link, err := os.Readlink(path)
		if err != nil {
			return err
		}
		return os.Symlink(link, target)
	case fs.ModeDir:
		err = os.Mkdir(target, 0o755)
	default:
		err = os.WriteFile(target, nil, 0o644)
	}
	if err != nil {
		return err
	}
	return bindReadOnly(path, target)
}

// bindReadOnly makes source, with everything mounted in it, visible at target as well, read-only.
// Root inside can remount it read-write. Then only file permissions protect the host's files: from
// an ordinary user's container, but not from the host's root.
func bindReadOnly(source, target string) error {
	if err := mount(source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	// A bind mount takes no flags: they are set afterwards, and only this call sets them on
	// everything mounted below (mount_setattr(2)).
	err := unix.MountSetattr(unix.AT_FDCWD, target, unix.AT_RECURSIVE,
		&unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
	if errors.Is(err, unix.ENOSYS) {
		return remount(target, unix.MS_RDONLY) // before Linux 5.12
	}
	if err != nil {
		return &os.PathError{Op: "make read-only", Path: target, Err: err}
	}
	return nil
}

// remount sets flags on the mount at target and on all mounts below it, one by one.
func remount(target string, set uintptr) error {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	found := false
	for line := range strings.Lines(string(table)) {
		point := unescape.Replace(strings.Fields(line)[4]) // proc_pid_mountinfo(5)
		if point != target && !strings.HasPrefix(point, target+"/") {
			continue
		}
		found = true
		// A remount replaces all flags, and a user namespace can't clear those that the host
		// has set (mount_namespaces(7)). So carry them over.
		var have unix.Statfs_t
		if err := unix.Statfs(point, &have); errors.Is(err, unix.ENOENT) {
			continue // another mount covers it: no path leads there
		} else if err != nil {
			return &os.PathError{Op: "statfs", Path: point, Err: err}
		}
		keep := uintptr(have.Flags) &
			(unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC)
		flags := unix.MS_REMOUNT | unix.MS_BIND | set | keep
		if err := mount("none", point, "", flags, ""); err != nil {
			return err
		}
	}
	if !found { // under that name, because target is a symbolic link
		return &os.PathError{Op: "remount", Path: target, Err: unix.ENOENT}
	}
	return nil
}

// unescape restores the blanks in paths that mountinfo escapes.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// buildDev fills /dev with the devices that every program expects. They are the host's, bound one
// by one, because mknod(2) can't make devices in a user namespace.
func buildDev(dev string) error {
	for _, name := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		if err := os.WriteFile(dev+"/"+name, nil, 0o666); err != nil {
			return err
		}
		if err := mount("/dev/"+name, dev+"/"+name, "", unix.MS_BIND, ""); err != nil {
			return err
		}
	}
	for name, link := range map[string]string{
		"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2",
		"ptmx": "pts/ptmx", // devpts(5)
	} {
		if err := os.Symlink(link, dev+"/"+name); err != nil {
			return err
		}
	}
	// newinstance: our own pseudo-terminals, not the host's (devpts(5)).
	noexec := uintptr(unix.MS_NOSUID | unix.MS_NOEXEC)
	return errors.Join(
		os.Mkdir(dev+"/pts", 0o755),
		os.Mkdir(dev+"/shm", 0o777),
		os.Mkdir(dev+"/mqueue", 0o777),
		mount("devpts", dev+"/pts", "devpts", noexec, "newinstance,ptmxmode=0666,mode=0620"),
		mount("tmpfs", dev+"/shm", "tmpfs", noexec|unix.MS_NODEV, "mode=1777,size=64m"),
		// For listing this IPC namespace's queues as files. mq_open(3) needs no mount.
		mount("mqueue", dev+"/mqueue", "mqueue", noexec|unix.MS_NODEV, ""),
	)
}

// mount is mount(2) with an error that says what should have been mounted where.
func mount(source, target, fstype string, flags uintptr, data string) error {
	if err := unix.Mount(source, target, fstype, flags, data); err != nil {
		return fmt.Errorf("mount %s on %s: %w", source, target, err)
	}
	return nil
}
