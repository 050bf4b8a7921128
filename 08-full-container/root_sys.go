//go:build linux

// The container's own /sys and the cgroups in it, both read-only.

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// mountSys mounts a sysfs at sys, a directory that it makes if it isn't there. It shows the links
// of this network namespace, which must be one of the container's user namespace (sysfs(5)). As
// with /proc, the kernel allows it only while the host's /sys is there, and whole: before
// pivot_root.
func mountSys(sys string) error {
	if err := os.Mkdir(sys, 0o555); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	// An image may have a symbolic link there, which would lead to a path of the host's.
	if info, err := os.Lstat(sys); err != nil || !info.IsDir() {
		return errors.Join(err, &os.PathError{Op: "mount sysfs on", Path: sys, Err: unix.ENOTDIR})
	}
	if err := mount("sysfs", sys, "sysfs", inert, ""); err != nil {
		return fmt.Errorf("%w (is this /sys covered in part, as in a container? "+
			"Docker's --security-opt systempaths=unconfined uncovers it)", err)
	}
	return mountCgroups(sys + "/fs/cgroup")
}

// inert is how /sys and what is in it are mounted.
const inert = unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// mountCgroups mounts at dir the cgroup hierarchies that hold the container's limits, so that the
// command can read them: cgroup v2 at dir itself if there is no other, otherwise each in a
// directory of its own. The cgroup namespace makes each begin at the container's cgroup
// (cgroup_namespaces(7)). The other v1 hierarchies stay out: in those the container is in its
// caller's cgroup, and would see the caller's other processes.
func mountCgroups(dir string) error {
	text, err := os.ReadFile("/proc/self/cgroup")
	if errors.Is(err, fs.ErrNotExist) || !exists(dir) {
		return nil // a kernel without cgroups
	}
	if err != nil {
		return err
	}
	if strings.HasPrefix(string(text), "0::") { // the only line, then
		return mount("cgroup2", dir, "cgroup2", inert, "")
	}
	if err := mount("tmpfs", dir, "tmpfs", inert&^unix.MS_RDONLY, "mode=755,size=64k"); err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.SplitN(line, ":", 3) // number, controllers, path (cgroups(7))
		name := fields[1]
		if !slices.ContainsFunc(strings.Split(name, ","), func(controller string) bool {
			return slices.Contains(controllers, controller)
		}) {
			continue
		}
		target := dir + "/" + name
		if err := os.Mkdir(target, 0o555); err != nil {
			return err
		}
		if err := mount("cgroup", target, "cgroup", inert, name); err != nil {
			return err
		}
	}
	return mount("none", dir, "", unix.MS_REMOUNT|unix.MS_BIND|inert, "")
}
