//go:build linux

// What is taken back of /proc and /sys: much in there has no namespace and is the whole machine's.
// The paths are those of runc's default specification, and what Docker has added to it since.

package main

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// masked are paths that show nothing any more.
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
}

// readOnly are paths whose files set something for the whole machine, or may do so. What belongs to
// a namespace of the container's own, as most of /proc/sys/net does, can't be set any more either.
var readOnly = []string{
	"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
}

// maskPaths covers the ones and write-protects the others, at the container's own /. What the
// kernel hasn't got needs no mask. Without CAP_SYS_ADMIN nobody can take these mounts away.
func maskPaths() error {
	for _, path := range masked {
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return err
		case info.IsDir():
			flags := uintptr(unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC)
			err = mount("tmpfs", path, "tmpfs", flags, "mode=555")
		default:
			err = mount("/dev/null", path, "", unix.MS_BIND, "")
		}
		if err != nil {
			return err
		}
	}
	for _, path := range readOnly {
		if err := bindReadOnly(path, path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
