//go:build linux

// What /proc and /sys show inside.

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	"jail-to-container/scripts/steptest"
)

// What Docker masks and makes read-only by default, written down here a second time (moby,
// daemon/pkg/oci/defaults.go). A directory ends in a slash.
var (
	dockerMasks = []string{
		"/proc/acpi/", "/proc/asound/", "/proc/interrupts", "/proc/kcore", "/proc/keys",
		"/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
		"/proc/scsi/", "/sys/firmware/", "/sys/devices/virtual/powercap/",
		"/sys/devices/system/cpu/cpu0/thermal_throttle/",
		"/sys/devices/system/cpu/cpu17/thermal_throttle/",
	}
	dockerReadOnly = []string{
		"/proc/bus/", "/proc/fs/", "/proc/irq/", "/proc/sys/", "/proc/sysrq-trigger",
	}
)

// TestAllMasks makes all of Docker's paths, because no kernel has every one, and masks them.
func TestAllMasks(t *testing.T) {
	if err := unix.MountSetattr(-1, "", 0, &unix.MountAttr{}); errors.Is(err, unix.ENOSYS) {
		steptest.Skip(t, "before Linux 5.12 the step needs the /proc that this test replaces")
	}
	cmd := self("test:all-masks")
	cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWUSER | unix.CLONE_NEWNS
	cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
	cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	want := "/proc/other is open\n"
	for _, path := range slices.Backward(dockerReadOnly) {
		want = path + " is read-only\n" + want
	}
	for _, path := range slices.Backward(dockerMasks) {
		want = path + " is masked\n" + want
	}
	if out := steptest.Output(t, cmd); out != want {
		t.Errorf("got:\n%swant:\n%s", out, want)
	}
}

// TestMasks looks at each path from inside, and from outside, where nothing may be masked or else
// the test shows nothing.
func TestMasks(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		outside := u.Output(t, "test:masks")
		inner := u.Output(t, "/proc/self/exe", "test:masks")
		controls := 0
		for line := range strings.Lines(outside) {
			path, state, _ := strings.Cut(strings.TrimSpace(line), " ")
			want := path + " is masked\n"
			if slices.Contains(dockerReadOnly, path) || slices.Contains(dockerReadOnly, path+"/") {
				want = path + " is read-only\n"
			}
			switch state {
			case "is open":
				controls++
			case "isn't there":
				want = path + " isn't there\n"
			default:
				t.Logf("no control here: outside, %s %s", path, state)
			}
			steptest.Contains(t, inner, want)
		}
		if controls == 0 {
			steptest.Skip(t, "everything is masked outside too; run it on a host")
		}
	})
}

// TestProcSysCannotBeSet writes to a setting of an IPC namespace, which is the container's own, so
// that root inside may do so by the file's mode, on kernels of today. The control is a namespace
// with a /proc that can be written to.
func TestProcSysCannotBeSet(t *testing.T) {
	const setting = "/proc/sys/kernel/msgmax"
	control := self("test:set", setting, "8192")
	control.SysProcAttr.Cloneflags = unix.CLONE_NEWUSER | unix.CLONE_NEWIPC
	control.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
	without := steptest.Output(t, control)
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		out := u.Output(t, "/proc/self/exe", "test:set", setting, "8192")
		if out != "EROFS\n" && out != "EACCES\n" { // EACCES: the file is the host's root's
			t.Errorf("inside: %q", out)
		}
		t.Logf("inside: %q, without a mask: %q", out, without)
	})
}

// TestOwnSys compares the links that /sys shows with those that there are, and looks whether any
// mount in it can be written to.
func TestOwnSys(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		links := u.Output(t, "ls", "/sys/class/net")
		table := u.Output(t, "cat", "/proc/net/dev")
		if links == "" || len(strings.Fields(links)) != strings.Count(table, "\n")-2 {
			t.Errorf("links in /sys: %q; in /proc/net/dev:\n%s", links, table)
		}
		for _, link := range strings.Fields(links) {
			steptest.Contains(t, table, " "+link+":")
		}
		mounts := 0
		for line := range strings.Lines(u.Output(t, "cat", "/proc/self/mountinfo")) {
			fields := strings.Fields(line)
			if !strings.HasPrefix(fields[4]+"/", "/sys/") {
				continue
			}
			mounts++
			if !slices.Contains(strings.Split(fields[5], ","), "ro") {
				t.Errorf("it can be written to: %s", line)
			}
		}
		if mounts < 2 {
			t.Errorf("%d mounts in /sys", mounts)
		}
		out := u.Run(t, "sh", "-c", "cat /sys/fs/cgroup/cgroup.procs || "+
			"cat /sys/fs/cgroup/pids/cgroup.procs")
		// PID 1 is in the cgroup at the root of the tree.
		steptest.Contains(t, "\n"+out.Stdout, "\n1\n")
		// In a v1 hierarchy without the container's limits it would see the cgroups of others.
		hierarchies := u.Output(t, "ls", "/sys/fs/cgroup")
		v1 := !strings.Contains(hierarchies, "cgroup.procs")
		if v1 && len(strings.Fields(hierarchies)) > len(controllers) {
			t.Errorf("cgroup hierarchies inside: %q", strings.Fields(hierarchies))
		}
	})
}

// TestSysThroughLink mounts where an image has a symbolic link. It has a mount namespace of its
// own, and the link leads nowhere that matters, for the case that it is followed.
func TestSysThroughLink(t *testing.T) {
	cmd := self("test:sys-link")
	cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWNET |
		unix.CLONE_NEWCGROUP
	cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
	cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	want := "a directory: ok\na link to one: ENOTDIR (not a directory)\n"
	if out := steptest.Output(t, cmd); out != want {
		t.Errorf("got:\n%swant:\n%s", out, want)
	}
}

// init adds what looks at the paths.
func init() {
	experiments["test:masks"] = func([]string) error {
		for _, path := range slices.Concat(dockerMasks, dockerReadOnly) {
			path = strings.TrimSuffix(path, "/")
			if !exists(path) {
				fmt.Println(path, "isn't there")
				continue
			}
			state, err := maskState(path)
			if err != nil {
				return err
			}
			fmt.Println(path, state)
		}
		return nil
	}
	// test:all-masks has a mount namespace of its own, with another /proc and /sys to mask.
	experiments["test:all-masks"] = func([]string) error {
		err := errors.Join(mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
			mount("tmpfs", "/proc", "tmpfs", 0, ""), mount("tmpfs", "/sys", "tmpfs", 0, ""))
		all := append(slices.Concat(dockerMasks, dockerReadOnly), "/proc/other")
		for _, path := range all {
			dir, file := filepath.Split(path)
			if file == "" {
				file = "file"
			}
			err = errors.Join(err, os.MkdirAll(dir, 0o755),
				os.WriteFile(filepath.Join(dir, file), []byte("secret"), 0o644))
		}
		if err := errors.Join(err, maskPaths(), protectPaths()); err != nil {
			return err
		}
		for _, path := range all {
			entries, _ := os.ReadDir(path)
			text, _ := os.ReadFile(path)
			var system unix.Statfs_t
			if err := unix.Statfs(path, &system); err != nil {
				return err
			}
			switch {
			case len(entries)+len(text) == 0:
				fmt.Println(path, "is masked")
			case system.Flags&unix.ST_RDONLY != 0:
				fmt.Println(path, "is read-only")
			default:
				fmt.Println(path, "is open")
			}
		}
		return nil
	}
	// test:sys-link is in a mount namespace that it makes private before it mounts anything.
	experiments["test:sys-link"] = func([]string) error {
		err := errors.Join(
			mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
			mount("tmpfs", "/tmp", "tmpfs", 0, ""),
			os.Mkdir("/tmp/directory", 0o755),
			os.Symlink("directory", "/tmp/link"))
		if err != nil {
			return err
		}
		fmt.Printf("a directory: %s\n", errno(mountSys("/tmp/directory")))
		fmt.Printf("a link to one: %s\n", errno(mountSys("/tmp/link")))
		return nil
	}
	experiments["test:set"] = func(args []string) error {
		file, err := os.OpenFile(args[0], os.O_WRONLY, 0)
		if err == nil {
			_, err = file.WriteString(args[1])
		}
		fmt.Println(firstWord(errno(err)))
		return nil
	}
}

// maskState says whether a path shows anything, and whether it can be written to.
func maskState(path string) (string, error) {
	var file unix.Stat_t
	var system unix.Statfs_t
	if err := errors.Join(unix.Stat(path, &file), unix.Statfs(path, &system)); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	written := system.Flags&unix.ST_RDONLY == 0
	switch {
	case file.Mode&unix.S_IFMT == unix.S_IFCHR && file.Rdev == unix.Mkdev(1, 3): // null(4)
		return "is masked", nil
	case system.Type == unix.TMPFS_MAGIC && !written:
		entries, err := os.ReadDir(path)
		if err != nil || len(entries) > 0 {
			return fmt.Sprintf("has %d entries, %v", len(entries), err), nil
		}
		return "is masked", nil
	case !written:
		return "is read-only", nil
	}
	return "is open", nil
}
