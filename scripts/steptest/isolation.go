//go:build linux

// What a container consists of, written down a second time: these tables don't come from the code
// that they test.

package steptest

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Namespaces compares each namespace's inode with the host's: the container has those that the step
// lists, and no other. (An ordinary user always gets a user namespace.)
func Namespaces(t *testing.T) {
	AsEveryUser(t, func(t *testing.T, u User) {
		for _, kind := range []string{"pid", "mnt", "uts", "ipc", "user", "net", "cgroup", "time"} {
			link := "/proc/self/ns/" + kind
			host, err := os.Readlink(link)
			if os.IsNotExist(err) && kind == "time" {
				continue // before Linux 5.6, or without CONFIG_TIME_NS
			}
			if err != nil {
				t.Fatal(err)
			}
			inner := strings.TrimSpace(u.Output(t, "readlink", link))
			want := slices.Contains(step.Namespaces, kind) || kind == "user" && u.UID != 0
			if kind == "time" && u.UID == 0 && !Holds(unix.CAP_SYS_TIME) {
				want = false // a time namespace is of no use where clocks can't be set
			}
			if own := inner != host; own != want || inner == "" {
				t.Errorf("%s namespace: the host's is %s, the container's %s", kind, host, inner)
			}
		}
	})
}

// mounts are what every step from 03 on mounts inside, except for the host's programs and devices:
// the place, the mount's flags, the type, and the file system's size and modes.
var mounts = []string{
	"/ rw,nosuid,nodev tmpfs size=65536k,mode=755",
	"/proc rw,nosuid,nodev,noexec proc ",
	"/dev/pts rw,nosuid,noexec devpts mode=620,ptmxmode=666",
	"/dev/shm rw,nosuid,nodev,noexec tmpfs size=65536k",
}

// fromHost are the host's places that are mounted inside, read-only with all below them.
var fromHost = []string{
	"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc/alternatives",
	"/etc/ld.so.cache", "/nix/store", "/run/current-system", "/gnu/store",
	"/etc/ssl/certs/ca-certificates.crt",
}

// devices are the host's devices that are mounted inside, and their numbers (null(4), full(4),
// random(4), tty(4)).
var devices = map[string]uint64{
	"/dev/null": unix.Mkdev(1, 3), "/dev/zero": unix.Mkdev(1, 5), "/dev/full": unix.Mkdev(1, 7),
	"/dev/random": unix.Mkdev(1, 8), "/dev/urandom": unix.Mkdev(1, 9), "/dev/tty": unix.Mkdev(5, 0),
}

// MountRow shortens a line of mountinfo (proc_pid_mountinfo(5)) to what mounts has of it. Options
// that depend on the host, such as how access times are kept, are left out.
func MountRow(line string) (place, row string) {
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

// Mounts compares all mounts inside with the table and with what this step has more, or has
// otherwise at the same place. It leaves out the lines of mountinfo that elsewhere says another
// test is about.
func Mounts(t *testing.T, elsewhere func(line string) bool, more ...string) {
	AsEveryUser(t, func(t *testing.T, u User) {
		var want, got []string
		for i, row := range slices.Concat(mounts, more) {
			place, _, _ := strings.Cut(row, " ")
			replaced := i < len(mounts) && slices.ContainsFunc(more, func(other string) bool {
				return strings.HasPrefix(other, place+" ")
			})
			if !replaced && (!strings.HasPrefix(place, "/proc/") || exists(place)) {
				want = append(want, row)
			}
		}
		var there []string
		for line := range strings.Lines(u.Output(t, "cat", "/proc/self/mountinfo")) {
			place, row := MountRow(line)
			there = append(there, place)
			switch {
			case slices.ContainsFunc(fromHost, func(path string) bool {
				return strings.HasPrefix(place+"/", path+"/")
			}):
				if !strings.HasPrefix(row, place+" ro") {
					t.Errorf("not read-only: %s", row)
				}
			case devices[place] != 0, elsewhere != nil && elsewhere(line):
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
// has no ID in a user namespace of root's.
var modes = map[string]string{
	"/": "drwxr-xr-x 0:0", "/proc": "dr-xr-xr-x host", "/etc": "drwxr-xr-x 0:0",
	"/root": "drwx------ 0:0", "/tmp": "dtrwxrwxrwx 0:0",
	"/etc/passwd": "-rw-r--r-- 0:0", "/etc/group": "-rw-r--r-- 0:0", "/etc/hosts": "-rw-r--r-- 0:0",
	"/dev": "drwxr-xr-x 0:0", "/dev/shm": "dtrwxrwxrwx 0:0", "/dev/pts": "drwxr-xr-x 0:0",
	"/dev/pts/ptmx": "Dcrw-rw-rw- 0:0",
}

// Modes compares files inside with the table and with what this step has more, under a umask that
// would close them, and the devices.
func Modes(t *testing.T, more map[string]string) {
	AsEveryUser(t, func(t *testing.T, u User) {
		args := []string{"test:umask77", "/proc/self/exe", "test:stat"}
		owner := "65534:65534"
		if u.UID == 0 && !slices.Contains(step.Namespaces, "user") {
			owner = "0:0"
		}
		all := maps.Clone(modes)
		maps.Copy(all, more)
		var want strings.Builder
		for _, path := range slices.Sorted(maps.Keys(all)) {
			args = append(args, path)
			fmt.Fprintln(&want, path, strings.Replace(all[path], "host", owner, 1))
		}
		if got := u.Output(t, args...); got != want.String() {
			t.Errorf("inside:\n%swant:\n%s", got, &want)
		}
		for device, number := range devices {
			out := u.Output(t, "/proc/self/exe", "test:stat", device)
			mode := fmt.Sprintf("%s Dcrw-rw-rw- %d ", device, number)
			if !strings.HasPrefix(out, mode) { // the owner is the host's business
				t.Errorf("%s inside: %q, want %q", device, out, mode)
			}
		}
		// The slave of a new pseudo-terminal, to which no other user may write.
		script := "exec 3<>/dev/ptmx; stat -c '%a %u' /dev/pts/0"
		if got := u.Output(t, "sh", "-c", script); got != "620 0\n" {
			t.Errorf("mode and owner of /dev/pts/0: %q", got)
		}
	})
}

// init adds what these checks run in the program's place, or inside.
func init() {
	experiments["test:umask77"] = func(args []string) error {
		unix.Umask(0o077)
		return become(args)
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
