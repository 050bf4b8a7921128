//go:build linux

// The container's root, assembled from nothing: a tmpfs that holds the host's programs, read-only,
// and a /proc, /dev, /etc and /tmp of its own. 08 takes an image instead.

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

// rootfs is where the new root is put together. Any directory would do that surely exists, since
// the tmpfs covers it in this mount namespace only, and only until pivot_root. No directory has
// to be made, so none is left.
const rootfs = "/tmp"

// programs are the paths of the host that the container gets to see: programs, libraries, and
// what those need to be found. Few hosts have them all.
var programs = []string{
	"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32",
	"/etc/alternatives", "/etc/ld.so.cache", // update-alternatives(1), ldconfig(8)
	"/nix/store", "/run/current-system", "/gnu/store", // where NixOS and Guix keep theirs
}

// files are the container's own: its users, and its name for itself. An older glibc would ask a
// name server first if there were no nsswitch.conf.
var files = map[string]string{
	"/etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
	"/etc/group":  "root:x:0:\nnogroup:x:65534:\n",
	"/etc/hosts":  "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n",

	"/etc/nsswitch.conf": "hosts: files dns\n",
}

// buildRoot puts the root together below rootfs.
func buildRoot() error {
	// The modes below are meant as they stand, whatever the caller's umask.
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
		if err := show(path); err != nil {
			return err
		}
	}
	for path, text := range files {
		if err := os.WriteFile(rootfs+path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	// This proc shows the PID namespace of the process that mounts it (pid_namespaces(7)). It must
	// come before the host's goes: in a user namespace the kernel allows a new one only beside
	// an old one that is whole, and where a runtime has covered parts of it, refuses.
	if err := mount("proc", rootfs+"/proc", "proc", inert|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("%w (is part of this /proc covered, as in a container? "+
			"Docker's --security-opt systempaths=unconfined uncovers it)", err)
	}
	return buildDev(rootfs + "/dev")
}

// show makes a path of the host appear in the new root, at the same place and read-only. A
// symbolic link stays one: /bin is usr/bin almost everywhere by now.
func show(path string) error {
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

// bindReadOnly shows the tree at source, with what is mounted in it, at target as well, where
// nothing of it can be written. Whoever may mount inside can lift that again. Then only the files'
// modes protect them: not from the host's root, but from an ordinary user's container.
func bindReadOnly(source, target string) error {
	if err := mount(source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	// A bind mount takes no flags; they are set on it afterwards, and "recursive" only by this
	// call (mount_setattr(2)).
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

// remount sets flags on the mount at target and on all below it, mount by mount.
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
		// A remount sets all flags anew, and in a user namespace one that the host had set
		// can't be taken back (mount_namespaces(7)): carry them over.
		var have unix.Statfs_t
		if err := unix.Statfs(point, &have); errors.Is(err, unix.ENOENT) {
			continue // another mount hides it: no path leads there
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
	if !found { // under that name: a symbolic link leads there
		return &os.PathError{Op: "remount", Path: target, Err: unix.ENOENT}
	}
	return nil
}

// unescape undoes what mountinfo does to blanks in paths.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// buildDev fills /dev with the devices that every program expects. They are the host's own, bound
// one by one, for in a user namespace mknod(2) makes none.
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
	// newinstance: pseudo-terminals of our own, not a view of the host's (devpts(5)).
	noexec := uintptr(unix.MS_NOSUID | unix.MS_NOEXEC)
	return errors.Join(
		os.Mkdir(dev+"/pts", 0o755),
		os.Mkdir(dev+"/shm", 0o777),
		os.Mkdir(dev+"/mqueue", 0o777),
		mount("devpts", dev+"/pts", "devpts", noexec, "newinstance,ptmxmode=0666,mode=0620"),
		mount("tmpfs", dev+"/shm", "tmpfs", noexec|unix.MS_NODEV, "mode=1777,size=64m"),
		// The queues of this IPC namespace as files, to be listed; mq_open(3) needs no mount.
		mount("mqueue", dev+"/mqueue", "mqueue", noexec|unix.MS_NODEV, ""),
	)
}

// mount is mount(2) with an error that says what was to be mounted, and where.
func mount(source, target, fstype string, flags uintptr, data string) error {
	if err := unix.Mount(source, target, fstype, flags, data); err != nil {
		return fmt.Errorf("mount %s on %s: %w", source, target, err)
	}
	return nil
}
