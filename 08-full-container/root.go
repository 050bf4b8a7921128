//go:build linux

// The container's root: an image, a directory, or the embedded root that the steps before have
// used. On top there is a layer to write to, which is gone with the container.

package main

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// buildRoot puts the root together below rootfs.
func (s *spec) buildRoot() error {
	// The modes below are meant as they stand, whatever the caller's umask. The command gets the
	// usual one.
	unix.Umask(0)
	defer unix.Umask(0o022)
	own := contents{
		dirs: map[string]os.FileMode{"proc": 0o555, "sys": 0o555, "dev": 0o755, "etc": 0o755},
		files: map[string]string{
			"etc/resolv.conf": s.ResolvConf,
			"etc/hostname":    s.Hostname + "\n",
			"etc/hosts":       files["/etc/hosts"] + "127.0.1.1\t" + s.Hostname + "\n",
		},
	}
	var err error
	if len(s.Layers) == 0 {
		err = s.embeddedRoot(own)
	} else {
		err = s.layeredRoot(own)
	}
	if err != nil {
		return err
	}
	// /proc and /sys are mounted before the host's go: in a user namespace the kernel allows new
	// ones only beside old ones that are whole (mount_namespaces(7)).
	inert := uintptr(unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC)
	if err := mount("proc", rootfs+"/proc", "proc", inert, ""); err != nil {
		return fmt.Errorf("%w (is part of this /proc covered, as in a container? "+
			"Docker's --security-opt systempaths=unconfined uncovers it)", err)
	}
	if err := mountSys(rootfs + "/sys"); err != nil {
		return err
	}
	flags := uintptr(unix.MS_NOSUID | unix.MS_NOEXEC)
	if err := mount("tmpfs", rootfs+"/dev", "tmpfs", flags, "mode=755,size=64k"); err != nil {
		return err
	}
	return buildDev(rootfs + "/dev")
}

// layeredRoot stacks up an image's layers, or the directory of -root.
func (s *spec) layeredRoot(own contents) error {
	if s.Layers[0] == rootfs {
		if err := attach(trees[0], s.Volumes[0]); err != nil {
			return err
		}
	}
	err := mountOverlay(rootfs, s.Layers, own)
	if !errors.Is(err, errNoOverlay) || len(s.Layers) > 1 {
		return err
	}
	// One directory can do without, and then nothing is written.
	fmt.Fprintf(os.Stderr, "%s: %v: the root is read-only\n", step, err)
	if err := bindReadOnly(s.Layers[0], rootfs); err != nil {
		return err
	}
	// Nor can what we mount on be made then. A symbolic link there would lead the mount elsewhere.
	for _, name := range []string{"/proc", "/sys", "/dev"} {
		info, err := os.Lstat(rootfs + name)
		if err == nil && !info.IsDir() {
			err = &os.PathError{Op: "mount on", Path: name, Err: unix.ENOTDIR}
		}
		if err != nil {
			return fmt.Errorf("a read-only root must have a directory %s itself: %w", name, err)
		}
	}
	return nil
}

// embeddedRoot is that of the steps before. So that the container may write to /usr as well, it
// gets an overlay there, where the kernel has that.
func (s *spec) embeddedRoot(own contents) error {
	inert := uintptr(unix.MS_NOSUID | unix.MS_NODEV)
	if err := mount("tmpfs", rootfs, "tmpfs", inert, "mode=755,size=64m"); err != nil {
		return err
	}
	own.dirs["root"], own.dirs["tmp"] = 0o700, 0o777|os.ModeSticky
	for path, text := range files {
		if own.files[path[1:]] == "" {
			own.files[path[1:]] = text
		}
	}
	if err := own.put(rootfs); err != nil {
		return err
	}
	for _, path := range programs {
		if err := show(path); err != nil {
			return err
		}
	}
	if s.ReadOnly {
		return nil // as /usr is already
	}
	err := mountOverlay(rootfs+"/usr", []string{rootfs + "/usr"}, contents{})
	if errors.Is(err, errNoOverlay) {
		return nil // and so /usr stays read-only
	}
	return err
}

// closeRoot makes the root read-only if that was asked for, now that all has been made in it that
// something is mounted on, or that the command starts in. It doesn't do so to the mounts on it, of
// which some are to be written to, as /dev/shm.
func (s *spec) closeRoot() error {
	if !s.ReadOnly {
		return nil
	}
	flags := uintptr(unix.MS_REMOUNT | unix.MS_BIND | unix.MS_RDONLY)
	return mount("none", "/", "", flags|unix.MS_NOSUID|unix.MS_NODEV, "")
}
