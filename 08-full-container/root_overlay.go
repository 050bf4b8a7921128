//go:build linux

// The root that a container writes to: overlayfs shows a stack of read-only directories as one, and
// keeps everything written in another directory on top.

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// tmpfsFor returns the options of the tmpfs that takes what a container writes. It is memory,
// counts against the container's limit, and is gone with the last process that sees it.
func tmpfsFor(memory int) string { return fmt.Sprintf("mode=755,nr_inodes=262144,size=%d", memory) }

// contents is what we put on top of the layers before the container starts, so that these paths are
// what we expect, whatever the image has there: a symbolic link at /proc would lead our mount
// elsewhere (CVE-2019-19921 in runc). Paths are relative.
type contents struct {
	dirs  map[string]os.FileMode
	files map[string]string
}

// put makes them below a directory that is empty.
func (c contents) put(dir string) error {
	for name, mode := range c.dirs {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.Mkdir(path, mode), os.Chmod(path, mode)); err != nil {
			return err
		}
	}
	for name, text := range c.files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// errNoOverlay says that overlayfs can't be used, and why comes with it. A single directory can be
// bound read-only instead.
var errNoOverlay = errors.New("overlayfs can't be used here")

// mountOverlay mounts the layers, the lowest first, on target, in the mount namespace of this
// process, which must see a /proc. If it fails, nothing is mounted.
func mountOverlay(target string, layers []string, own contents, memory int) (err error) {
	// Open the layers first: the mounts on target may cover them. O_PATH opens the place only, not
	// the contents (open(2)).
	var places []*os.File
	defer func() {
		for _, p := range places {
			p.Close()
		}
	}()
	for _, dir := range layers {
		place, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			return err
		}
		places = append(places, place)
	}
	flags := uintptr(unix.MS_NOSUID | unix.MS_NODEV)
	// The tmpfs goes to the same place as the overlay, which covers it.
	if err := mount("tmpfs", target, "tmpfs", flags, tmpfsFor(memory)); err != nil {
		return err
	}
	before, err := os.Open(".")
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, before.Chdir(), before.Close())
		if err != nil {
			err = errors.Join(err, unix.Unmount(target, unix.MNT_DETACH))
		}
	}()
	if err := os.Chdir(target); err != nil {
		return err
	}
	options, err := prepareUpper(places, own)
	if err != nil {
		return err
	}
	if err := unix.Mount("overlay", target, "overlay", flags, options); err != nil {
		return fmt.Errorf("mount overlay (%s) on %s: %w", options, target, whyNoOverlay(err))
	}
	return nil
}

// prepareUpper makes what the overlay needs in the tmpfs, which is the current directory, and
// returns the options for the mount.
func prepareUpper(layers []*os.File, own contents) (options string, err error) {
	defer unix.Umask(unix.Umask(0))
	if err := errors.Join(os.Mkdir("top", 0o755), os.Mkdir("work", 0o700)); err != nil {
		return "", err
	}
	if err := own.put("top"); err != nil {
		return "", err
	}
	// mount(2) takes one page of options, in which ":", "," and "\" are special. So each layer gets
	// a short name here, a link to its descriptor; 400 of them fit.
	var names []string
	for i, place := range layers {
		names = append(names, strconv.Itoa(i))
		if err := os.Symlink(fmt.Sprintf("/proc/self/fd/%d", place.Fd()), names[i]); err != nil {
			return "", err
		}
	}
	slices.Reverse(names) // in lowerdir, the uppermost comes first
	lower := strings.Join(names, ":")
	// userxattr: overlayfs keeps its marks in "user.overlay.…", which a user namespace may read
	// and write, and not in "trusted.overlay.…" (Documentation/filesystems/overlayfs.rst).
	return "userxattr,upperdir=top,workdir=work,lowerdir=" + lower, nil
}

// wholeTree returns an error if something is mounted in a directory that is itself a mount, but for
// what the container covers anyway. An overlay shows the directory without it. For an ordinary user
// the kernel refuses that: what the mount hides would be seen.
func wholeTree(dir string) error {
	var top unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, dir, 0, unix.STATX_MNT_ID, &top); err != nil {
		return &os.PathError{Op: "statx", Path: dir, Err: err}
	}
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line) // ID, parent, device, root, place (proc_pid_mountinfo(5))
		place := strings.TrimPrefix(unescape.Replace(fields[4]), dir)
		if fields[1] != strconv.FormatUint(top.Mnt_id, 10) {
			continue
		}
		switch first, _, _ := strings.Cut(strings.TrimPrefix(place, "/"), "/"); first {
		case "proc", "sys", "dev":
		default:
			return fmt.Errorf("%s is a mount of its own: %w", place, errNoOverlay)
		}
	}
	return nil
}

// whyNoOverlay adds the likely cause to what mount(2) has answered.
func whyNoOverlay(err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w: %w (in user namespaces Linux has it since 5.11)",
			err, errNoOverlay)
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("%w: %w (is the kernel's module there? sudo modprobe overlay)",
			err, errNoOverlay)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("%w: %w (is something mounted below a layer, or is one an overlay of "+
			"overlays already, or on a file system like FAT? the kernel's log may say)",
			err, errNoOverlay)
	}
	return err
}
