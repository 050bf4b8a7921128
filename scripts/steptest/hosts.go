//go:build linux

// Hosts that aren't like the one on which the tests run.

package steptest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// UserNamespacesForbidden takes the permission away, as some systems do, and expects one line that
// names the setting. An error about a file must not name it.
func UserNamespacesForbidden(t *testing.T) {
	NeedNamespaces(t)
	NeedUserNamespaces(t)
	NeedSettings(t)
	AsEveryUser(t, func(t *testing.T, u User) {
		forbidden := func(args ...string) Result {
			cmd := u.Program(append([]string{"test:forbid"}, args...)...)
			cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWUSER
			uid := syscall.SysProcIDMap{ContainerID: ordinary, HostID: u.UID, Size: 1}
			gid := syscall.SysProcIDMap{ContainerID: ordinaryGroup, HostID: u.GID(), Size: 1}
			cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{uid}
			cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{gid}
			cmd.SysProcAttr.Credential = &syscall.Credential{ // in the namespace
				Uid: ordinary, Gid: ordinaryGroup, NoSetGroups: true,
			}
			cmd.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_SYS_RESOURCE}
			r := Run(t, cmd)
			if r.Status != 125 || r.Stdout != "" {
				t.Errorf("exit status %d, output %q, want 125 and none", r.Status, r.Stdout)
			}
			if strings.Count(r.Stderr, "\n") != 1 {
				t.Errorf("standard error is more than one line:\n%s", r.Stderr)
			}
			return r
		}
		r := forbidden("echo", "the command ran")
		Contains(t, r.Stderr, "user.max_user_namespaces = 0", "go run -exec sudo ./"+step.Name)
		for _, about := range []string{"link", "mkdir"} {
			r := forbidden("test:fail", about)
			Contains(t, r.Stderr, about+" /")
			if strings.Contains(r.Stderr, "max_user_namespaces") {
				t.Errorf("an error about a file names the setting: %s", r.Stderr)
			}
		}
	})
}

// LimitForbids runs where no namespace of a kind may be made, which the kernel calls "no space".
func LimitForbids(t *testing.T, inContainer bool, kind string) {
	if inContainer {
		Skip(t, "this is a container; run it on a host")
	}
	NeedUserNamespaces(t)
	NeedSettings(t)
	AsEveryUser(t, func(t *testing.T, u User) {
		r := Run(t, asItsRoot(u, "test:limit", kind, "echo", "the command ran"))
		want := "no space left on device (this system forbids " + kind + " namespaces: user.max_" +
			kind + "_namespaces = 0. As root, allow them with `sysctl -w user.max_" + kind +
			"_namespaces=15000`)\n"
		if r.Status != 125 || r.Stdout != "" || !strings.HasSuffix(r.Stderr, want) {
			t.Errorf("exit status %d, output %q, %q, want %q", r.Status, r.Stdout, r.Stderr, want)
		}
	})
}

// NeedSettings skips a test that changes settings of its own namespaces where none can be changed.
func NeedSettings(t *testing.T) {
	t.Helper()
	var fs unix.Statfs_t
	if err := unix.Statfs("/proc/sys", &fs); err != nil || fs.Flags&unix.ST_RDONLY != 0 {
		Skip(t, "/proc/sys is read-only here, as in most containers; run it on a host (%v)", err)
	}
}

// asItsRoot prepares an experiment as root of a user namespace of this user's.
func asItsRoot(u User, args ...string) *exec.Cmd {
	cmd := self(args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: u.UID, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: u.GID(), Size: 1}},
		Credential:  &syscall.Credential{NoSetGroups: true},
	}
	return cmd
}

// Remedy: what helps depends on who asks, and where. On a host, an ordinary user is told to use
// sudo.
func Remedy(t *testing.T, inContainer bool) {
	if inContainer {
		Skip(t, "this is a container; run it on a host")
	}
	NeedUserNamespaces(t)
	AsEveryUser(t, func(t *testing.T, u User) {
		want := "go run -exec sudo ./" + step.Name + "\n"
		if u.UID == 0 {
			want = "you are root, but this root may not: run this outside, as the host's root\n"
		}
		cmd := asItsRoot(u, "test:remedy")
		cmd.Args[0] = "host of " + step.Name // what the step itself starts for an ordinary user
		if got := Output(t, cmd); got != want {
			t.Errorf("on a host: %q, want %q", got, want)
		}
		want = "you are root, but this root may not: run this outside, as the host's root\n"
		if got := Output(t, asItsRoot(u, "test:remedy")); got != want {
			t.Errorf("in a user namespace that the user made: %q, want %q", got, want)
		}
		if u.UID == 0 { // without capabilities, root gets the same, but maps more IDs
			cmd := asItsRoot(u, "test:remedy")
			cmd.Args[0] = "host of " + step.Name
			cmd.SysProcAttr.UidMappings[0] = syscall.SysProcIDMap{HostID: 100000, Size: 2}
			if got := Output(t, cmd); got != want {
				t.Errorf("what the step starts for root: %q, want %q", got, want)
			}
		}
		want = "this is a container whose runtime forbids it: start that one with --privileged, " +
			"or run this on the host\n"
		for _, sign := range []string{"bounding", "covered"} {
			if got := Output(t, asItsRoot(u, "test:remedy", sign)); got != want {
				t.Errorf("in a container, %s: %q, want %q", sign, got, want)
			}
		}
	})
}

// AnothersNetwork runs as root of a user namespace to which its network doesn't belong, as after
// unshare -Ur: it can't connect anything to that network.
func AnothersNetwork(t *testing.T) {
	NeedNamespaces(t)
	NeedUserNamespaces(t)
	NeedProc(t)
	NeedSettings(t)
	AsEveryUser(t, func(t *testing.T, u User) {
		if got := Output(t, asItsRoot(u, "echo", "inside")); got != "inside\n" {
			t.Errorf("got %q", got)
		}
	})
}

// Noexec expects the reason why nothing can be executed, where that isn't the file's mode.
func Noexec(t *testing.T) {
	NeedNamespaces(t)
	NeedUserNamespaces(t)
	AsEveryUser(t, func(t *testing.T, u User) {
		for program, want := range map[string]struct {
			status int
			reason string
		}{
			"/bin/sh": {126, "permission denied"},
			"sh":      {127, "executable file not found in $PATH"},
		} {
			r := Run(t, asItsRoot(u, "test:noexec", program))
			says := fmt.Sprintf("%s: exec: %q: %s (its file system is mounted noexec; 01 makes "+
				"its jail in $TMPDIR)\n", step.Name, program, want.reason)
			if r.Status != want.status || r.Stderr != says {
				t.Errorf("exit status %d, standard error %q, want %d and %q",
					r.Status, r.Stderr, want.status, says)
			}
		}
	})
}

// MountBelowUsr runs where a directory and a program below /usr are mounts of their own, as on WSL
// 2, or in a container that docker has started with --init.
func MountBelowUsr(t *testing.T) {
	NeedNamespaces(t)
	if os.Getuid() != 0 {
		Skip(t, "only root can mount something on the host: go test -exec sudo")
	}
	AsEveryUser(t, func(t *testing.T, u User) {
		cmd := u.Program("sh", "-c", "echo ran")
		// The mounts come before it becomes the user, if it does.
		id := "0:0"
		if c := cmd.SysProcAttr.Credential; c != nil {
			id = fmt.Sprintf("%d:%d", c.Uid, c.Gid)
		}
		cmd.SysProcAttr.Credential = nil
		cmd.Args = append([]string{step.Name, "test:below-usr", id}, cmd.Args[1:]...)
		cmd.SysProcAttr.Unshareflags = unix.CLONE_NEWNS
		if out := Output(t, cmd); out != "ran\n" {
			t.Errorf("with mounts below /usr: %q", out)
		}
	})
}

// ProcHides reports whether /proc hides the processes of other users here, and from a new user
// namespace its own creator's too (proc(5), hidepid).
func ProcHides() bool {
	table, err := os.ReadFile("/proc/self/mountinfo")
	return err == nil && regexp.MustCompile(`(?m)^\S+ \S+ \S+ / /proc .*hidepid=[^0]`).Match(table)
}

// Hidepid runs a command and the lesson where /proc hides others' processes (proc(5)): in a PID
// namespace, since each has a /proc of its own to set that on. The control is PID 1, hidden.
func Hidepid(t *testing.T) {
	NeedNamespaces(t)
	if os.Getuid() != 0 {
		Skip(t, "only root can hide a process from an ordinary user; run it as root")
	}
	AsEveryUser(t, func(t *testing.T, u User) {
		for hidepid, hides := range map[string]string{"1": "EPERM", "2": "ENOENT", "4": "ENOENT"} {
			if u.UID == 0 {
				hides = "ok"
			}
			for _, args := range [][]string{{"test:hidden"}, {"echo", "ran"}, nil} {
				if len(args) == 0 && hidepid != "1" {
					continue // a lesson takes its time
				}
				out := Output(t, u.WhereProcHides(hidepid, args...))
				switch {
				case len(args) == 0:
					Contains(t, out, "\nnext ")
				case args[0] == "echo" && out != "ran\n", args[0] != "echo" && out != hides+"\n":
					t.Errorf("hidepid=%s, %q: %q", hidepid, args, out)
				}
			}
		}
	})
}

// WhereProcHides prepares the step's program to be run by the user in a PID namespace with such a
// /proc, which takes root.
func (u User) WhereProcHides(hidepid string, args ...string) *exec.Cmd {
	inner := u.Program(args...)
	id := "0"
	if inner.SysProcAttr.Credential != nil {
		id = strconv.Itoa(u.UID)
	}
	cmd := self(append([]string{"test:hidepid", hidepid, id}, inner.Args[1:]...)...)
	cmd.SysProcAttr.Setsid = true
	cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWPID
	cmd.SysProcAttr.Unshareflags = unix.CLONE_NEWNS // Go makes the mounts private
	return cmd
}

// SharedTmp runs the step where every mount is shared, as systemd makes them, and where /tmp is a
// mount of its own, over which the step builds its root: neither may notice the other.
func SharedTmp(t *testing.T) {
	if os.Getuid() != 0 {
		Skip(t, "only root can make the host's mounts shared; run it as root")
	}
	AsEveryUser(t, func(t *testing.T, u User) {
		cmd := self("test:shared-tmp", u.Name)
		cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWNS
		want := "inside: ran\nthe host: file, file, no new mounts\n"
		if out := Output(t, cmd); out != want {
			t.Errorf("got:\n%swant:\n%s", out, want)
		}
	})
}

// sharedTmp is the host whose mounts are shared.
func sharedTmp(args []string) error {
	const place = "/etc/alternatives" // which the container sees as well
	err := errors.Join(
		unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		unix.Mount("tmpfs", "/tmp", "tmpfs", 0, "mode=1777"),
		os.WriteFile("/tmp/file", nil, 0o644))
	if exists(place) {
		err = errors.Join(err, unix.Mount(place, place, "", unix.MS_BIND, ""))
	}
	err = errors.Join(err, unix.Mount("none", "/", "", unix.MS_REC|unix.MS_SHARED, ""))
	if err != nil {
		return err
	}
	look := func() (files string, mounts int) {
		entries, err := os.ReadDir("/tmp")
		for _, entry := range entries {
			files += entry.Name()
		}
		table, err2 := os.ReadFile("/proc/self/mountinfo")
		if err := errors.Join(err, err2); err != nil {
			files = err.Error()
		}
		return files, strings.Count(string(table), "\n")
	}
	u := Ordinary
	if args[0] == Root.Name {
		u = Root
	}
	_, before := look()
	line, end, err := begin(u.Program("sh", "-c", `
		cat /proc/self/mountinfo | while read -r line; do
			case $line in *shared:*|*master:*) echo "not private: $line";; esac
		done
		echo ran; cat`))
	if err != nil {
		return err
	}
	fmt.Println("inside:", line)
	during, mounts := look()
	if err := end(); err != nil {
		return err
	}
	after, _ := look()
	state := "no new mounts"
	if mounts != before {
		state = fmt.Sprint(mounts-before, " new mounts")
	}
	fmt.Printf("the host: %s, %s, %s\n", during, after, state)
	return nil
}

// init adds what these checks run in the program's place, before they become the program.
func init() {
	experiments["test:shared-tmp"] = sharedTmp
	// test:forbid sets the limit of its own user namespace to none, and gives up its privileges.
	experiments["test:forbid"] = func(args []string) error {
		return errors.Join(
			os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0),
			unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0),
			become(args),
		)
	}
	// test:limit allows no namespaces of a kind, and becomes the step's program.
	experiments["test:limit"] = func(args []string) error {
		file := "/proc/sys/user/max_" + args[0] + "_namespaces"
		return errors.Join(os.WriteFile(file, []byte("0"), 0), become(args[1:]))
	}
	// test:fail returns an error about a file. Nobody may link a directory, or make one in /sys.
	experiments["test:fail"] = func(args []string) error {
		if args[0] == "link" {
			return os.Link("/", "/link")
		}
		return os.Mkdir("/sys/directory", 0o755)
	}
	// test:remedy may first make what a container's runtime leaves: a file, and one of two signs.
	experiments["test:remedy"] = func(args []string) error {
		if len(args) > 0 {
			if err := errors.Join(unix.Mount("tmpfs", "/run", "tmpfs", 0, ""),
				os.WriteFile("/run/.containerenv", nil, 0o644)); err != nil {
				return err
			}
			var err error
			if args[0] == "covered" {
				err = unix.Mount("/proc/sys", "/proc/sys", "", unix.MS_BIND|unix.MS_REC, "")
			} else {
				runtime.LockOSThread() // the bounding set is a thread's
				err = unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_SYS_ADMIN, 0, 0, 0)
			}
			if err != nil {
				return err
			}
		}
		fmt.Println(step.Remedy())
		return nil
	}
	experiments["test:noexec"] = func(args []string) error {
		if err := errors.Join(
			unix.Mount("tmpfs", "/tmp", "tmpfs", unix.MS_NOEXEC, ""),
			os.Mkdir("/tmp/bin", 0o755),
			os.WriteFile("/tmp/bin/sh", []byte("#!/bin/sh\n"), 0o755),
			unix.Chroot("/tmp"),
		); err != nil {
			return err
		}
		return step.Exec(args)
	}
	experiments["test:below-usr"] = func(args []string) error {
		var uid, gid int
		_, err1 := fmt.Sscanf(args[0], "%d:%d", &uid, &gid)
		program, err2 := exec.LookPath("env")
		err := errors.Join(err1, err2,
			unix.Mount("tmpfs", "/usr/local", "tmpfs", 0, ""),
			unix.Mount(program, program, "", unix.MS_BIND, ""),
			unix.Setgroups(nil), unix.Setgid(gid), unix.Setuid(uid))
		if err != nil {
			return err
		}
		return become(args[1:])
	}
	experiments["test:hidepid"] = func(args []string) error {
		if err := unix.Mount("proc", "/proc", "proc", 0, "hidepid="+args[0]); err != nil {
			return err
		}
		id, err := strconv.Atoi(args[1])
		if err != nil {
			return err
		}
		cmd := self(args[2:]...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(id), Gid: uint32(id)}
		return cmd.Run()
	}
	experiments["test:hidden"] = func([]string) error {
		_, err := os.Readlink("/proc/1/ns/mnt")
		fmt.Println(answer(err))
		return nil
	}
}

// answer is what a system call answered, by its name in errno(3).
func answer(err error) string {
	var number unix.Errno
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &number):
		return unix.ErrnoName(number)
	}
	return err.Error()
}
