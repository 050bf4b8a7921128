//go:build linux

// Paths of the host that are shown inside: -volume, and the directory of -root.

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

// volume is a path of the host's and where it is to appear.
type volume struct {
	Source, Target string
	ReadOnly       bool
}

// maxLent is how many descriptors the kernel lets travel at once (SCM_MAX_FD, unix(7)).
const maxLent = 253

// lendVolumes opens volumes for a container, as mounts that are attached nowhere yet
// (open_tree(2)). Root does, for two reasons: the container's root may not get there on foot, and
// what belongs to root here is to belong to root in there, which takes an "idmapped" mount
// (mount_setattr(2)). An ordinary user can neither, and needs neither: root in there is this same
// user, and opens them himself.
func lendVolumes(volumes []volume, pid int) (lent []int, err error) {
	if len(volumes) > maxLent {
		return nil, fmt.Errorf("%d volumes: %d is the most", len(volumes), maxLent)
	}
	for _, v := range volumes {
		fd, err := openTree(v)
		if errors.Is(err, unix.EPERM) && len(lent) == 0 {
			return nil, nil
		}
		if err != nil {
			return lent, err
		}
		lent = append(lent, fd)
		if err := shiftIDs(fd, pid); err != nil {
			return lent, fmt.Errorf("%w, on %s", err, v.Source)
		}
	}
	return lent, nil
}

// openTree opens a volume as a mount of its own.
func openTree(v volume) (fd int, err error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_RECURSIVE)
	fd, err = unix.OpenTree(unix.AT_FDCWD, v.Source, flags)
	if err != nil {
		return -1, &os.PathError{Op: "open_tree", Path: v.Source, Err: err}
	}
	return fd, nil
}

// shiftIDs makes a mount show the ids of the host as those of a process's user namespace. Not all
// file systems can do that, nor kernels before 5.12: then those who are there don't appear inside
// as anybody, which is how it is for what isn't mapped. What is mounted in a volume goes with it if
// all of that can, and else the volume alone.
func shiftIDs(mount, pid int) error {
	users, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", pid))
	if err != nil {
		return err
	}
	defer users.Close()
	shift := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(users.Fd())}
	err = unix.MountSetattr(mount, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &shift)
	if errors.Is(err, unix.EINVAL) {
		err = unix.MountSetattr(mount, "", unix.AT_EMPTY_PATH, &shift)
	}
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		return nil
	}
	return os.NewSyscallError("mount_setattr(MOUNT_ATTR_IDMAP)", err)
}

// checkStreams refuses a directory as a standard stream. It would be a volume that nobody has asked
// for: /proc/self/fd/0 leads into it, and from there to all of the host (CVE-2024-21626 in runc).
func checkStreams() error {
	for fd := range 3 {
		var info unix.Stat_t
		// One that isn't open is none.
		if unix.Fstat(fd, &info) == nil && info.Mode&unix.S_IFMT == unix.S_IFDIR {
			return fmt.Errorf("standard stream %d is a directory (-volume shows one inside)", fd)
		}
	}
	return nil
}

// trees are the volumes, opened, on the container's side.
var trees []int

// takeLent takes the descriptors that came with the spec, or opens the volumes itself, while the
// host's files are still there.
func (s *spec) takeLent(rights []byte) error {
	if s.Lent > 0 {
		messages, err := unix.ParseSocketControlMessage(rights)
		if err == nil && len(messages) != 1 {
			err = fmt.Errorf("%d messages", len(messages))
		}
		if err == nil {
			trees, err = unix.ParseUnixRights(&messages[0])
		}
		if err != nil || len(trees) != s.Lent {
			return fmt.Errorf("take the %d volumes that are lent: %d, %w", s.Lent, len(trees), err)
		}
		return nil
	}
	for _, v := range s.Volumes {
		fd, err := openTree(v)
		if err != nil {
			return err
		}
		trees = append(trees, fd)
	}
	return nil
}

// attachVolumes mounts the volumes, now that "/" is the container's: no symbolic link in an image
// leads out of that.
func (s *spec) attachVolumes() error {
	for i, v := range s.Volumes {
		if v.Target == rootfs && len(s.Layers) == 1 && s.Layers[0] == rootfs && i == 0 {
			continue // -root, which buildRoot has attached
		}
		if err := makeTarget(trees[i], v.Target); err != nil {
			return err
		}
		if err := attach(trees[i], v); err != nil {
			return err
		}
	}
	return nil
}

// reserved reports whether something is to be the kernel's or ours, and no volume's. What comes
// after the volumes asks /proc, and trusts it (CVE-2019-16884 in runc).
func reserved(path string) bool {
	first, below, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch first {
	case "", "proc", "sys":
		return true
	case "dev":
		return below != "shm" && !strings.HasPrefix(below, "shm/")
	}
	return false
}

// attach mounts an opened volume. Programs in it get no privileges by it, and devices don't work.
func attach(tree int, v volume) error {
	// A symbolic link of the image may lead elsewhere, and so may one in another volume, put there
	// between a look and the mount (CVE-2021-30465 in runc). So the name is looked up once, here.
	place, err := os.OpenFile(v.Target, unix.O_PATH, 0)
	if err != nil {
		return err
	}
	defer place.Close()
	target, err := os.Readlink(fmt.Sprint("/proc/self/fd/", place.Fd()))
	if err != nil {
		return err
	}
	if reserved(target) {
		return fmt.Errorf("mount %s on %s: it leads to %s, which isn't for volumes",
			v.Source, v.Target, target)
	}
	err = unix.MoveMount(tree, "", int(place.Fd()), "",
		unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
	if err != nil {
		return fmt.Errorf("mount %s on %s: %w", v.Source, v.Target,
			os.NewSyscallError("move_mount", err))
	}
	set := uint64(unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV)
	if v.ReadOnly {
		set |= unix.MOUNT_ATTR_RDONLY
	}
	// It is a copy of a mount of the host's. Where those are "shared", as systemd makes them, the
	// copy is one more member of their peer group: what is mounted in it would appear on the host,
	// and stay, and the other way round (mount_namespaces(7)). Our MS_PRIVATE came before it.
	err = unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE,
		&unix.MountAttr{Attr_set: set, Propagation: unix.MS_PRIVATE})
	if errors.Is(err, unix.ENOSYS) { // before Linux 5.12; the bits are the same
		if err := mount("none", target, "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return err
		}
		return remount(target, uintptr(set))
	}
	if err != nil {
		return &os.PathError{Op: "mount_setattr", Path: v.Target, Err: err}
	}
	return nil
}

// makeTarget makes the directory or file that a volume will cover, if there is none.
func makeTarget(tree int, target string) error {
	if exists(target) {
		return nil
	}
	var info unix.Stat_t
	if err := unix.Fstat(tree, &info); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	if info.Mode&unix.S_IFMT == unix.S_IFDIR {
		return os.MkdirAll(target, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	err := os.WriteFile(target, nil, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}
