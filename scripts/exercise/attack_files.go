//go:build linux

// Attacks on the root and the mounts: 01's and 03's.

package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

var fileAttacks = []attack{
	{
		name:  "path",
		tried: "read a file of the host by its path",
		try: func(h *host) verdict {
			a := h.inside("cat", h.dir+"/secret")
			return a.leaksIf(strings.Contains(a.out, secret))
		},
		leak: "A path that begins with / begins at the host's root. The command isn't locked in " +
			"at all.",
	},
	{
		name:  "cwd",
		tried: "read the same file by a relative path, from where your program was started",
		try: func(h *host) verdict {
			a := h.inside("cat", "secret")
			return a.leaksIf(strings.Contains(a.out, secret))
		},
		leak: "The root has moved, but the command's working directory is still the host's: a " +
			"relative path starts there, and ../../.. leads to all of the host.",
	},
	{
		name:  "starts",
		tried: "run true inside",
		try: func(h *host) verdict {
			a := h.inside("true")
			return a.worksIf(a.status == 0)
		},
		leak: "Not even that runs.",
	},
	{
		name:  "runs",
		tried: "run ls /bin inside",
		try: func(h *host) verdict {
			a := h.inside("ls", "/bin")
			return a.worksIf(a.status == 0 && strings.Contains(a.out, "ls"))
		},
		leak: "The program is in the jail, and yet it can't be executed: a dynamically linked " +
			"program names a loader and libraries (see ldd /bin/ls), and execve(2) answers " +
			"ENOENT for a missing loader too.",
	},
	{
		name:  "descriptors",
		tried: "read a file of the host through descriptors 5 and 9, which were open at the start",
		try: func(h *host) verdict {
			files := make([]*os.File, 7)
			for i := range files {
				file, err := os.Open(h.dir + "/secret")
				hostNeeds(err)
				defer file.Close()
				files[i] = file
			}
			_, done := h.start(run{files: files}, "sh", "-c", "{ cat <&5; } ; { cat <&9; }")
			a := done()
			return a.leaksIf(strings.Contains(a.out, secret))
		},
		leak: "What is open when the command starts stays open: no root and no namespace takes a " +
			"descriptor away. An open directory of the host is an escape (CVE-2024-21626).",
	},
	{
		name:  "works",
		tried: "echo to standard output, and read standard input, inside",
		try: func(h *host) verdict {
			file, err := os.Open(h.dir + "/secret")
			hostNeeds(err)
			defer file.Close()
			_, done := h.start(run{stdin: file}, "sh", "-c", "cat; echo done; echo errors >&2")
			a := done()
			return a.worksIf(strings.Contains(a.out, secret) && strings.Contains(a.out, "done") &&
				strings.Contains(a.err, "errors"))
		},
		leak: "Descriptors 0, 1 and 2 are the command's standard streams. Those have to stay.",
	},
	{
		name:  "oldroot",
		tried: "read a file of the host by way of /..",
		try: func(h *host) verdict {
			a := h.inside("cat", "/.."+h.dir+"/secret")
			return a.leaksIf(strings.Contains(a.out, secret))
		},
		leak: "The host's root is still mounted, at the same place as the new one: / is the " +
			"container's, and /.. is all of the host.",
	},
	{
		name: "escape",
		tried: "escape as in step 01: chroot into a directory without going there, climb with " +
			".., chroot again, read a file of the host",
		try: func(h *host) verdict {
			a := h.probe(run{}, "escape", h.dir+"/secret")
			return a.leaksIf(strings.Contains(a.out, secret))
		},
		leak: "chroot moves only a process's idea of /. The host's root is still in the mount " +
			"namespace, and step 01's escape leads there. After pivot_root nothing is above the " +
			"new root.",
	},
	{
		name: "shared",
		tried: "run the container on a host whose mounts are shared, as systemd makes them, with " +
			"/tmp a mount of its own; then look what the host has mounted now",
		try:  func(h *host) verdict { return h.sharedMounts() },
		leak: "",
	},
	{
		name: "volume",
		tried: "with VOLUME set to a directory of the host, read a file of the host's in /work, " +
			"write one there, read one that is mounted below",
		try:  func(h *host) verdict { return h.volume() },
		leak: "The file of the host's directory isn't in /work.",
	},
	{
		name:  "device",
		tried: "look at the flags with which the volume is mounted",
		try:   func(h *host) verdict { return h.device() },
		leak: "A device file in the volume is a device: a program that can put one there has the " +
			"machine's disk, as /dev/sda or by any other name.",
	},
	{
		name:  "readonly",
		tried: "write to /usr from inside, and to a file system mounted below the host's /usr",
		try: func(h *host) verdict {
			const place = "/usr/share" // every system has it
			if err := unix.Mount("none", place, "tmpfs", 0, "size=1m"); err != nil {
				return verdict{missing, "mount on " + place + ": " + err.Error(), ""}
			}
			defer unix.Unmount(place, unix.MNT_DETACH)
			a := h.inside("sh", "-c", "echo was here >"+place+"/written")
			_, err := os.Stat(place + "/written")
			return a.leaksIf(err == nil)
		},
		leak: "The file is on the host now. The host's programs are the host's own files, and " +
			"your container can replace them. A read-only bind mount prevents that, but a flag " +
			"on the mount at /usr says nothing about what is mounted below.",
	},
}

// volume tries the volume: from both sides, with something mounted in it.
func (h *host) volume() verdict {
	dir := h.dir + "/volume"
	hostNeeds(os.MkdirAll(dir+"/below", 0o755))
	if err := unix.Mount("none", dir+"/below", "tmpfs", 0, "size=1m"); err != nil {
		return verdict{missing, "mount in the volume: " + err.Error(), ""}
	}
	defer unix.Unmount(dir+"/below", unix.MNT_DETACH) // this namespace ends with us
	hostNeeds(errors.Join(os.WriteFile(dir+"/outside", []byte("from outside\n"), 0o644),
		os.WriteFile(dir+"/below/deep", []byte("from below\n"), 0o644)))
	_, done := h.start(run{env: []string{"VOLUME=" + dir}}, "sh", "-c",
		"cat /work/outside && echo inside >/work/inside && cat /work/below/deep")
	a := done()
	inside, _ := os.ReadFile(dir + "/inside") // it isn't there, if that failed
	switch {
	case !strings.Contains(a.out, "from outside"):
	case string(inside) != "inside\n":
		return a.worksIf(false).otherwise("What the container writes to /work isn't in the " +
			"host's directory. Is it another one, or can't it be written to?")
	case !strings.Contains(a.out, "from below"):
		return a.worksIf(false).otherwise("The host has something mounted in that directory, and " +
			"in the container it isn't there: a bind mount takes one mount, unless it is " +
			"recursive.")
	}
	return a.worksIf(strings.Contains(a.out, "from below"))
}

// device looks at the flags of the volume's mounts: only the host's root can make a device to try.
func (h *host) device() verdict {
	dir := h.dir + "/volume"
	hostNeeds(os.MkdirAll(dir, 0o755))
	_, done := h.start(run{env: []string{"VOLUME=" + dir}}, "grep", " /work ", "/proc/self/mounts")
	a := done()
	options := strings.Split(a.out+"    ", " ")[3]
	switch {
	case strings.Contains(options, "nosuid") && strings.Contains(options, "nodev"):
		return verdict{held, options, ""}
	case strings.Contains(options, "nodev"):
		return verdict{leaked, options, "A set-user-ID program in the volume would run with its " +
			"owner's rights."}
	}
	return a.leaksIf(a.status == 0)
}

// sharedMounts runs the container where every mount is shared.
func (h *host) sharedMounts() verdict {
	for _, err := range []error{
		unix.Mount("/tmp", "/tmp", "", unix.MS_BIND|unix.MS_REC, ""),
		unix.Mount("none", "/", "", unix.MS_REC|unix.MS_SHARED, ""),
	} {
		if err != nil {
			return verdict{missing, "make mounts shared: " + err.Error(), ""}
		}
	}
	before := mountPoints()
	a := h.inside("true")
	after := mountPoints()
	if len(after) > len(before) {
		for range len(after) - len(before) {
			point := mountPoints()
			_ = unix.Unmount(point[len(point)-1], unix.MNT_DETACH) // the last one first
		}
	}
	_ = unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	_ = unix.Unmount("/tmp", unix.MNT_DETACH)
	if len(after) > len(before) {
		came := fmt.Sprintf("%d new mounts on the host, such as the one at %s",
			len(after)-len(before), after[len(before)])
		if a.status != 0 {
			came += "; and " + a.said()
		}
		return verdict{leaked, came, "What your container mounts appears on the host: " +
			"propagation is still shared. A copied mount stays a peer of the one that it was " +
			"copied from. (Then pivot_root may refuse, too: its new root's parent mount must not " +
			"be shared.)"}
	}
	return a.worksIf(a.status == 0).otherwise("On such a host your program doesn't work.")
}

// mountPoints lists the mounts of this namespace, the oldest first.
func mountPoints() (points []string) {
	table, err := os.ReadFile("/proc/self/mountinfo")
	hostNeeds(err)
	for line := range strings.Lines(string(table)) {
		points = append(points, strings.Fields(line)[4]) // proc_pid_mountinfo(5)
	}
	return points
}
