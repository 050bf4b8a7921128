//go:build linux

// The container's own /sys, with its cgroups, and what it doesn't get of /proc and /sys: much of
// them has no namespace and shows the whole machine. The masked paths are Docker's.

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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

// masked are paths that are hidden; a * stands for any name (path/filepath, Match).
var masked = []string{
	"/proc/acpi",                    // buttons, batteries, wake-up
	"/proc/asound",                  // sound cards
	"/proc/interrupts",              // when a key is hit, at which moment packets come
	"/proc/kcore",                   // the machine's memory
	"/proc/keys",                    // keys of others, by name
	"/proc/latency_stats",           // what others wait for
	"/proc/timer_list",              // addresses in the kernel, processes of others
	"/proc/timer_stats",             // the same, before Linux 4.11
	"/proc/sched_debug",             // processes of others, before Linux 5.13
	"/proc/scsi",                    // disks; a write can take one out
	"/sys/firmware",                 // tables of the firmware, with serial numbers
	"/sys/devices/virtual/powercap", // how much power the machine takes, which gives keys away
	// How often a processor was too hot: what the neighbours do (GHSA-6fw5-f8r9-fgfm in Docker).
	"/sys/devices/system/cpu/cpu*/thermal_throttle",
}

// readOnly are paths whose files set something for the whole machine, or may do so. The price:
// settings of the container's own namespaces, as most of /proc/sys/net, are read-only as well.
var readOnly = []string{
	"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
}

// maskPaths hides the paths in masked, at the container's own /. What this kernel doesn't have
// needs no mask. It takes CAP_SYS_ADMIN to take these mounts away.
func maskPaths() error {
	for _, pattern := range masked {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		for _, path := range paths {
			if err := mask(path); err != nil {
				return err
			}
		}
	}
	return nil
}

// protectPaths makes those in readOnly read-only.
func protectPaths() error {
	for _, path := range readOnly {
		if err := bindReadOnly(path, path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// mask covers a directory with an empty one, and a file with /dev/null.
func mask(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return mount("tmpfs", path, "tmpfs", inert, "mode=555")
	}
	return mount("/dev/null", path, "", unix.MS_BIND, "")
}
