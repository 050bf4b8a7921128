//go:build linux

// Paths of the host that are mounted inside: -volume, and the directory of -root.

package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// volume is a path of the host's and where it is to appear.
type volume struct {
	Source, Target string
	ReadOnly       bool
	Shifted        bool // its files belong to the container's IDs already; not sent
}

// maxPassed is how many descriptors the kernel lets travel at once (SCM_MAX_FD, unix(7)).
const maxPassed = 253

// passVolumes opens volumes for a container, as mounts that are attached nowhere yet
// (open_tree(2)). Root does so for two reasons: a directory on the way may be closed to the
// container's root, and files of the host's root should belong to the container's root, which takes
// an "idmapped" mount (mount_setattr(2)). An ordinary user can do neither and needs neither: the
// container's root is that same user and opens them itself.
func passVolumes(volumes []volume, pid int) (passed []int, err error) {
	if len(volumes) > maxPassed {
		return nil, fmt.Errorf("%d volumes: %d is the most", len(volumes), maxPassed)
	}
	for _, v := range volumes {
		fd, err := openTree(v)
		if errors.Is(err, unix.EPERM) && len(passed) == 0 {
			return nil, nil
		}
		if err != nil {
			return passed, err
		}
		passed = append(passed, fd)
		if v.Shifted {
			continue
		}
		if err := shiftIDs(fd, pid); err != nil && !errors.Is(err, errNoIdmap) {
			return passed, fmt.Errorf("%w, on %s", err, v.Source)
		}
	}
	return passed, nil
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

// errNoIdmap says that a mount can't translate a file system's IDs. Not all file systems can do
// that, nor kernels before 5.12. Inside, the files then belong to 65534, "nobody", like all files
// whose owner isn't mapped.
var errNoIdmap = errors.New("no idmapped mounts of this file system")

// shiftIDs makes a mount show the IDs of the host as those of a process's user namespace. What is
// mounted in a volume goes with it if all of that can, and else the volume alone.
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
		return errNoIdmap
	}
	return os.NewSyscallError("mount_setattr(MOUNT_ATTR_IDMAP)", err)
}

// checkStreams refuses a directory as a standard stream. It would be a volume that no flag asked
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

// takeVolumes takes the descriptors that came with the spec, or opens the volumes itself, while the
// host's files are still there.
func (s *spec) takeVolumes(passed []int) error {
	if len(passed) != s.Passed {
		return fmt.Errorf("take the %d volumes that were passed: %d", s.Passed, len(passed))
	}
	if trees = passed; s.Passed > 0 {
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

// protectVolumes makes the opened volumes harmless: programs in them get no privileges, devices
// don't work, and a read-only one is read-only. It comes before any path of an image is looked up:
// until it is attached, a volume can be reached through /proc/self/fd.
func (s *spec) protectVolumes() error {
	for i, v := range s.Volumes {
		set := uint64(unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV)
		if v.ReadOnly {
			set |= unix.MOUNT_ATTR_RDONLY
		}
		// It is a copy of a mount of the host's. Where those are "shared", as systemd makes them,
		// the copy is one more member of their peer group: what is mounted in it would appear on
		// the host, and stay, and the other way round (mount_namespaces(7)).
		err := unix.MountSetattr(trees[i], "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE,
			&unix.MountAttr{Attr_set: set, Propagation: unix.MS_PRIVATE})
		if errors.Is(err, unix.ENOSYS) {
			err = remountTree(&trees[i], uintptr(set)) // the bits are the same
		}
		if err != nil {
			return fmt.Errorf("protect the volume %s: %w", v.Source, err)
		}
	}
	return nil
}

// remountTree sets flags on a tree before Linux 5.12, which can do that to attached mounts only. So
// it attaches the tree for a moment, in a directory that no image can name, since none is there
// yet, and takes a copy of it, with the flags.
func remountTree(tree *int, set uintptr) (err error) {
	inert := uintptr(unix.MS_NOSUID | unix.MS_NODEV)
	if err := mount("tmpfs", rootfs, "tmpfs", inert, "mode=700,size=64k"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unix.Unmount(rootfs, unix.MNT_DETACH)) }()
	kind, err := kindOf(*tree)
	if err != nil {
		return err
	}
	place := rootfs + "/volume"
	if err := makeAt(unix.AT_FDCWD, place, kind); err != nil {
		return &os.PathError{Op: "make", Path: place, Err: err}
	}
	err = unix.MoveMount(*tree, "", unix.AT_FDCWD, place, unix.MOVE_MOUNT_F_EMPTY_PATH)
	if err != nil {
		return os.NewSyscallError("move_mount", err)
	}
	if err := mount("none", place, "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := remount(place, set); err != nil {
		return err
	}
	protected, err := openTree(volume{Source: place})
	if err != nil {
		return err
	}
	err = unix.Close(*tree)
	*tree = protected
	return err
}

// attachVolumes mounts the volumes, now that "/" is the container's, and closes them.
func (s *spec) attachVolumes() error {
	for i, v := range s.Volumes {
		if i == 0 && len(s.Layers) > 0 {
			continue // buildRoot has attached that
		}
		kind, err := kindOf(trees[i])
		if err != nil {
			return err
		}
		place, err := openInRoot(v.Target, kind)
		if err != nil {
			return fmt.Errorf("mount %s: %w", v.Source, err)
		}
		if err := errors.Join(attach(trees[i], v, place), place.Close()); err != nil {
			return err
		}
	}
	return nil
}

// byDepth sorts volumes so that one which is to appear in another comes after it.
func byDepth(volumes []volume) []volume {
	return slices.SortedStableFunc(slices.Values(volumes), func(a, b volume) int {
		return strings.Count(a.Target, "/") - strings.Count(b.Target, "/")
	})
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

// attach mounts an opened volume on a place, and closes it. A symbolic link may have led there.
func attach(tree int, v volume, place *os.File) error {
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
	if errors.Is(err, unix.EINVAL) {
		err = fmt.Errorf("%w (is only one of the two a directory?)", err)
	}
	if err != nil {
		return fmt.Errorf("mount %s on %s: %w", v.Source, v.Target,
			os.NewSyscallError("move_mount", err))
	}
	return os.NewSyscallError("close", unix.Close(tree))
}

// kindOf is what an opened file is: S_IFDIR, S_IFREG or another (inode(7)).
func kindOf(fd int) (uint32, error) {
	var info unix.Stat_t
	if err := unix.Fstat(fd, &info); err != nil {
		return 0, os.NewSyscallError("fstat", err)
	}
	return info.Mode & unix.S_IFMT, nil
}
