//go:build linux

// What the container doesn't get of /proc and /sys: much of them has no namespace and shows the
// whole machine. The paths are Docker's.

package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

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
		flags := uintptr(unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC)
		return mount("tmpfs", path, "tmpfs", flags, "mode=555")
	}
	return mount("/dev/null", path, "", unix.MS_BIND, "")
}
