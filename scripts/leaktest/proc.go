//go:build linux

// /proc and /sys: what they show of the host, and what can be set through them. Where a container
// has none, or a read-only one, an attacker who may mount makes a new one.

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// procDir returns a directory where proc is. If there is none at /proc, it tries to have one: as a
// mount that isn't attached anywhere (fsmount(2)), which becomes the working directory.
func procDir() (string, error) {
	if _, err := os.Stat("/proc/self/status"); err == nil {
		return "/proc", nil
	}
	fd, err := detached("proc")
	if err != nil {
		return "", fmt.Errorf("no /proc here; %w", err)
	}
	if err := unix.Fchdir(fd); err != nil {
		return "", os.NewSyscallError("fchdir", err)
	}
	return ".", nil
}

// procLink reads a link in /proc.
func procLink(path string) (string, error) {
	proc, err := procDir()
	if err != nil {
		return "", err
	}
	return os.Readlink(filepath.Join(proc, path))
}

// detached makes a mount of a file system that no path leads to, and returns a descriptor of its
// root. It ends with this process.
func detached(kind string, options ...string) (int, error) {
	ownMounts()
	context, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("fsopen(%s): %s", kind, errno(err))
	}
	defer unix.Close(context)
	for _, option := range options {
		if err := setFlag(context, option); err != nil {
			return -1, fmt.Errorf("fsconfig(%s): %s", option, errno(err))
		}
	}
	if err := unix.FsconfigCreate(context); err != nil {
		return -1, fmt.Errorf("a new %s: %s", kind, errno(err))
	}
	fd, err := unix.Fsmount(context, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("fsmount(%s): %s", kind, errno(err))
	}
	return fd, nil
}

// setFlag sets an option without a value.
func setFlag(context int, option string) error { return unix.FsconfigSetFlag(context, option) }

// machineWide are the files of /proc and /sys that the probes open. Which of them there are depends
// on how the kernel was built, so the host tells those that it hasn't.
var machineWide = []string{"proc/kcore", "proc/sysrq-trigger", "proc/sys/kernel/core_pattern"}

// opens looks which of some files in /proc or /sys can be opened, and says how it is held if none
// can. Then it tries the same in a new mount. use, if there is one, may look closer.
func opens(f *facts, kind string, flags int, use func(fd int) bool, paths ...string) result {
	if slices.Contains(f.Absent, kind+"/"+paths[0]) {
		return cannot("this kernel has no /%s/%s", kind, paths[0])
	}
	last := fmt.Sprintf("/%s/%s isn't there", kind, paths[0])
	try := func(dir int, root string) (string, bool) {
		for _, path := range paths {
			name := root + path
			fd, err := unix.Openat(dir, name, flags|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
			if err != nil {
				if !errors.Is(err, unix.ENOENT) {
					last = fmt.Sprintf("open /%s/%s: %s", kind, path, errno(err))
				}
				continue
			}
			good := use == nil || use(fd)
			unix.Close(fd)
			if good {
				return path, true
			}
			last = fmt.Sprintf("/%s/%s opens, and is empty", kind, path)
		}
		return "", false
	}
	mode := "to read"
	if flags&unix.O_ACCMODE == unix.O_WRONLY {
		mode = "to write"
	}
	if path, ok := try(unix.AT_FDCWD, "/"+kind+"/"); ok {
		return isLeak("/%s/%s can be opened %s", kind, path, mode)
	}
	fresh := map[string]string{"proc": "proc", "sys": "sysfs"}[kind]
	fd, err := detached(fresh)
	if err != nil {
		return isHeld("%s; %v", last, err)
	}
	defer unix.Close(fd)
	if path, ok := try(fd, ""); ok {
		return isLeak("%s can be opened %s, in a new mount of %s", path, mode, fresh)
	}
	return isHeld("%s", last)
}

// notEmpty reports whether something can be read from a file.
func notEmpty(fd int) bool {
	var text [64]byte
	n, err := unix.Read(fd, text[:])
	return err == nil && n > 0
}

// kcore looks at the first bytes of the machine's memory, which is presented as an ELF core file.
func kcore(f *facts) result {
	return opens(f, "proc", unix.O_RDONLY, notEmpty, "kcore")
}

// sysrq opens the file whose every letter is a command for the whole machine, and writes none.
func sysrq(f *facts) result {
	return opens(f, "proc", unix.O_WRONLY, nil, "sysrq-trigger")
}

// procSys opens settings of the whole machine to write, and writes nothing.
func procSys(f *facts) result {
	return opens(f, "proc", unix.O_WRONLY, nil,
		"sys/kernel/panic", "sys/vm/overcommit_memory", "sys/fs/file-max")
}

// corePattern opens the file that names a program for the kernel to run, on the host and as its
// root, when any process crashes.
func corePattern(f *facts) result {
	return opens(f, "proc", unix.O_WRONLY, nil, "sys/kernel/core_pattern")
}

// procInfo reads what only the host's root may.
func procInfo(f *facts) result {
	return opens(f, "proc", unix.O_RDONLY, notEmpty, "timer_list", "vmallocinfo", "kpagecount")
}

// sysfsWrite opens settings of the whole machine in /sys to write, and writes nothing.
func sysfsWrite(f *facts) result {
	return opens(f, "sys", unix.O_WRONLY, nil, "kernel/uevent_helper", "kernel/profiling",
		"power/state", "kernel/mm/transparent_hugepage/enabled", "kernel/mm/ksm/run")
}

// firmware looks at the tables of the machine's firmware.
func firmware(f *facts) result {
	if f.Firmware == 0 {
		return cannot("the host has nothing in /sys/firmware")
	}
	entries, err := os.ReadDir("/sys/firmware")
	if err == nil && len(entries) > 0 {
		return isLeak("/sys/firmware lists %s", entries[0].Name())
	}
	fd, failed := detached("sysfs")
	if failed == nil {
		defer unix.Close(fd)
		if unix.Fchdir(fd) == nil {
			if entries, err := os.ReadDir("firmware"); err == nil && len(entries) > 0 {
				return isLeak("firmware lists %s, in a new mount of sysfs", entries[0].Name())
			}
		}
	}
	if err != nil {
		return isHeld("/sys/firmware: %s", errno(err))
	}
	return isHeld("/sys/firmware is empty")
}

// releaseAgent looks for the file of cgroup v1 that names a program for the kernel to run,
// on the host and as its root, when a cgroup is empty. To open it is not enough: since Linux 5.17
// the kernel asks the writer for CAP_SYS_ADMIN on the host.
func releaseAgent(*facts) result {
	proc, err := procDir()
	if err != nil {
		return cannot("%v", err)
	}
	text, _ := os.ReadFile(filepath.Join(proc, "cgroups")) // where it is missing, there are none
	controllers := []string{"memory", "cpu", "devices"}
	for line := range strings.Lines(string(text)) {
		var name string
		var hierarchy int
		if n, _ := fmt.Sscan(line, &name, &hierarchy); n == 2 && hierarchy != 0 {
			controllers = append([]string{name}, controllers...)
		}
	}
	found := ""
	last := "no cgroup v1 hierarchy is mounted"
	for _, name := range controllers {
		path := "/sys/fs/cgroup/" + name + "/release_agent"
		if fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0); err == nil {
			unix.Close(fd)
			found = path
			break
		} else if !errors.Is(err, unix.ENOENT) {
			last = fmt.Sprintf("%s: %s", path, errno(err))
		}
	}
	// Only a hierarchy that is in use already: another one would be made by the attempt.
	if found == "" && len(controllers) > 3 {
		fd, err := detached("cgroup", controllers[0])
		if err != nil {
			return isHeld("%s; %v", last, err)
		}
		defer unix.Close(fd)
		agent, err := unix.Openat(fd, "release_agent", unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return isHeld("%s; in a new cgroup mount: %s", last, errno(err))
		}
		unix.Close(agent)
		found = "release_agent of the " + controllers[0] + " controller, in a new mount,"
	}
	if found == "" {
		if len(controllers) == 3 && len(text) > 0 {
			return cannot("no controller of the host is in cgroup v1")
		}
		return isHeld("%s", last)
	}
	if err := swaponNowhere(); !errors.Is(err, unix.ENOENT) {
		return isHeld("%s opens to write, but without the host's CAP_SYS_ADMIN", found)
	}
	return isLeak("%s opens to write, with the host's CAP_SYS_ADMIN", found)
}

// hostRoot asks for a file of mode 0600 that belongs to the host's root, seen from any namespace.
// In /proc/sys no capability helps (sysctl_perm, in the kernel's source): one has to *be* that
// root.
func hostRoot(f *facts) result {
	return opens(f, "proc", unix.O_RDONLY, nil,
		"sys/kernel/cad_pid", "sys/kernel/usermodehelper/bset")
}
