//go:build linux

// What a container consists of, written down a second time: these tables don't come from the code
// that they test. The same file in every step from 03 on; a row counts from its step on.

package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// stepNumber is the number in the step's name.
func stepNumber(t *testing.T) int {
	t.Helper()
	number, err := strconv.Atoi(step[:2])
	if err != nil {
		t.Fatal(err)
	}
	return number
}

// TestNamespaces compares each namespace's inode with the host's: a step has those of the steps
// before it, its own, and no other. (An ordinary user always gets a user namespace.)
func TestNamespaces(t *testing.T) {
	asEveryUser(t, func(t *testing.T, u user) {
		for kind, since := range map[string]int{
			"pid": 2, "mnt": 3, "uts": 4, "ipc": 4, "user": 5, "net": 6, "cgroup": 7, "time": 8,
		} {
			link := "/proc/self/ns/" + kind
			host, err := os.Readlink(link)
			if os.IsNotExist(err) && kind == "time" {
				continue // before Linux 5.6, or without CONFIG_TIME_NS
			}
			if err != nil {
				t.Fatal(err)
			}
			inner := strings.TrimSpace(expect(t, program(u, "readlink", link)))
			if kind == "user" && u.uid != 0 {
				since = 0
			}
			if kind == "time" && u.uid == 0 && !holds(unix.CAP_SYS_TIME) {
				since = 9 // clocks can't be set without it, so 08 makes none
			}
			if own := inner != host; own != (stepNumber(t) >= since) || inner == "" {
				t.Errorf("%s namespace: the host's is %s, the container's %s", kind, host, inner)
			}
		}
	})
}

// mounts are what is mounted inside, except for the host's programs and devices: the place, the
// mount's flags, the type, and the file system's size and modes.
var mounts = []struct {
	since int
	row   string
}{
	{3, "/ rw,nosuid,nodev tmpfs size=65536k,mode=755"},
	{3, "/proc rw,nosuid,nodev,noexec proc "},
	{3, "/dev/pts rw,nosuid,noexec devpts mode=620,ptmxmode=666"},
	{3, "/dev/shm rw,nosuid,nodev,noexec tmpfs size=65536k"},
	{4, "/dev/mqueue rw,nosuid,nodev,noexec mqueue "},
	{8, "/dev rw,nosuid,noexec tmpfs size=64k,mode=755"},
	{8, "/sys ro,nosuid,nodev,noexec sysfs "},
	{8, "/proc/bus ro,nosuid,nodev,noexec proc "},
	{8, "/proc/fs ro,nosuid,nodev,noexec proc "},
	{8, "/proc/irq ro,nosuid,nodev,noexec proc "},
	{8, "/proc/sys ro,nosuid,nodev,noexec proc "},
	{8, "/proc/sysrq-trigger ro,nosuid,nodev,noexec proc "},
}

// fromHost are the places of the host's that are mounted inside, read-only with all below them.
var fromHost = []string{
	"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc/alternatives",
	"/etc/ld.so.cache", "/nix/store", "/run/current-system", "/gnu/store",
}

// devices are the host's devices that are mounted inside, and their numbers (null(4), full(4),
// random(4), tty(4)).
var devices = map[string]uint64{
	"/dev/null": unix.Mkdev(1, 3), "/dev/zero": unix.Mkdev(1, 5), "/dev/full": unix.Mkdev(1, 7),
	"/dev/random": unix.Mkdev(1, 8), "/dev/urandom": unix.Mkdev(1, 9), "/dev/tty": unix.Mkdev(5, 0),
}

// mountRow shortens a line of mountinfo (proc_pid_mountinfo(5)) to what mounts has of it. Options
// that depend on the host, such as how access times are kept, are left out.
func mountRow(line string) (place, row string) {
	before, after, _ := strings.Cut(strings.TrimSpace(line), " - ")
	mount, system := strings.Fields(before), strings.Fields(after)
	pick := func(options string, names ...string) string {
		return strings.Join(slices.DeleteFunc(strings.Split(options, ","), func(o string) bool {
			name, _, _ := strings.Cut(o, "=")
			return !slices.Contains(names, name)
		}), ",")
	}
	return mount[4], fmt.Sprint(mount[4], " ", pick(mount[5], "ro", "rw", "nosuid", "nodev",
		"noexec"), " ", system[0], " ", pick(system[len(system)-1], "size", "mode", "ptmxmode"))
}

// TestMounts compares all mounts inside with the table.
func TestMounts(t *testing.T) {
	asEveryUser(t, func(t *testing.T, u user) {
		var want, got []string
		for _, m := range mounts {
			place, _, _ := strings.Cut(m.row, " ")
			if m.since <= stepNumber(t) && (!strings.HasPrefix(place, "/proc/") || exists(place)) {
				want = append(want, m.row)
			}
		}
		var there []string
		for line := range strings.Lines(expect(t, program(u, "cat", "/proc/self/mountinfo"))) {
			place, row := mountRow(line)
			there = append(there, place)
			covered := strings.HasSuffix(row, " ro,nosuid,nodev,noexec tmpfs mode=555") ||
				strings.Fields(line)[3] == "/null" // how 08 masks: see TestMasks
			switch {
			case slices.ContainsFunc(fromHost, func(path string) bool {
				return strings.HasPrefix(place+"/", path+"/")
			}):
				if !strings.HasPrefix(row, place+" ro") {
					t.Errorf("not read-only: %s", row)
				}
			case devices[place] != 0, stepNumber(t) == 8 &&
				(covered || strings.HasPrefix(place, "/sys/fs/cgroup")): // see TestOwnSys
			default:
				got = append(got, row)
			}
			if strings.Contains(line, " shared:") || strings.Contains(line, " master:") {
				t.Errorf("it passes mounts on, or gets some: %s", line)
			}
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(want, got) {
			t.Errorf("mounts inside:\n%s\nwant:\n%s",
				strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		for device := range devices {
			if !slices.Contains(there, device) {
				t.Errorf("%s isn't mounted", device)
			}
		}
	})
}

// modes are the types, modes and owners of files inside. An owner "host" is the host's root, which
// has no name from 05 on.
var modes = []struct {
	since int
	path  string
	want  string
}{
	{3, "/", "drwxr-xr-x 0:0"}, {3, "/proc", "dr-xr-xr-x host"}, {3, "/etc", "drwxr-xr-x 0:0"},
	{3, "/root", "drwx------ 0:0"}, {3, "/tmp", "dtrwxrwxrwx 0:0"}, {8, "/sys", "dr-xr-xr-x host"},
	{3, "/etc/passwd", "-rw-r--r-- 0:0"}, {3, "/etc/group", "-rw-r--r-- 0:0"},
	{3, "/etc/hosts", "-rw-r--r-- 0:0"}, {6, "/etc/resolv.conf", "-rw-r--r-- 0:0"},
	{8, "/etc/hostname", "-rw-r--r-- 0:0"},
	{3, "/dev", "drwxr-xr-x 0:0"}, {3, "/dev/shm", "dtrwxrwxrwx 0:0"},
	{3, "/dev/pts", "drwxr-xr-x 0:0"},
	{3, "/dev/pts/ptmx", "Dcrw-rw-rw- 0:0"},
}

// TestModes compares files inside with the table, under a umask that would close them, and the
// names in the directories that the step makes.
func TestModes(t *testing.T) {
	asEveryUser(t, func(t *testing.T, u user) {
		args := []string{"test:umask77", "/proc/self/exe", "test:stat"}
		var want strings.Builder
		for _, m := range modes {
			if m.since > stepNumber(t) {
				continue
			}
			owner := "65534:65534"
			if u.uid == 0 && stepNumber(t) < 5 {
				owner = "0:0"
			}
			args = append(args, m.path)
			fmt.Fprintln(&want, m.path, strings.Replace(m.want, "host", owner, 1))
		}
		if got := expect(t, program(u, args...)); got != want.String() {
			t.Errorf("inside:\n%swant:\n%s", got, &want)
		}
		for device, number := range devices {
			out := expect(t, program(u, "/proc/self/exe", "test:stat", device))
			mode := fmt.Sprintf("%s Dcrw-rw-rw- %d ", device, number)
			if !strings.HasPrefix(out, mode) { // the owner is the host's business
				t.Errorf("%s inside: %q, want %q", device, out, mode)
			}
		}
		// The slave of a pseudo-terminal of one's own, at which others may not write.
		script := "exec 3<>/dev/ptmx; stat -c '%a %u' /dev/pts/0"
		if got := expect(t, program(u, "sh", "-c", script)); got != "620 0\n" {
			t.Errorf("mode and owner of /dev/pts/0: %q", got)
		}
	})
}

// init adds what these tests run in the program's place, or inside.
func init() {
	experiments["test:umask77"] = func(args []string) error {
		unix.Umask(0o077)
		return unix.Exec("/proc/self/exe", append([]string{step}, args...), os.Environ())
	}
	experiments["test:stat"] = func(paths []string) error {
		for _, path := range paths {
			info, err := os.Lstat(path)
			if err != nil {
				return err
			}
			stat := info.Sys().(*syscall.Stat_t)
			number := ""
			if devices[path] != 0 {
				number = fmt.Sprint(stat.Rdev, " ")
			}
			fmt.Printf("%s %s %s%d:%d\n", path, info.Mode(), number, stat.Uid, stat.Gid)
		}
		return nil
	}
}
