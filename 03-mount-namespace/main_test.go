//go:build linux

// What the chapter of 03 claims.

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"
	"jail-to-container/scripts/steptest"
)

// TestMain lets the test binary double as the step's program.
func TestMain(m *testing.M) {
	steptest.Main(m, steptest.Step{
		Name: step, Inner: role(inside), Main: main, Experiments: experiments,
		Exec: execCommand, Hint: forbiddenHint, Remedy: remedy, Say: say,
		Namespaces: []string{"pid", "mnt"},
		NoProof: map[string]string{
			"outside": "not as PID 1 of a container", "another": "isn't my parent",
			"right":  "it is also my parent's",
			"unseen": "/proc/0/ns/mnt"},
		Role: innerGets,
	})
}

// TestLesson reads the lesson's facts and compares them with each other and with the host.
func TestLesson(t *testing.T) {
	hostname, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	mnt, uts := namespaceOf("self", "mnt"), namespaceOf("self", "uts")
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		cmd := u.Program()
		out := regexp.MustCompile(`  +`).ReplaceAllString(steptest.Output(t, cmd), "  ")
		row := func(pattern string) []string {
			t.Helper()
			match := regexp.MustCompile(`(?m)^` + pattern + `$`).FindStringSubmatch(out)
			if match == nil {
				t.Fatalf("no %s in:\n%s", pattern, out)
			}
			return match[1:]
		}
		row(fmt.Sprintf(`host  process %d, uid %d\b.*`, cmd.Process.Pid, u.UID))
		if own := row("mount namespace  " + mnt + `  (\d+)  held`)[0]; own == mnt {
			t.Errorf("the mount namespace is %s on both sides", own)
		}
		secret := row(`processes in /proc  \d+, one is (\w{8})  1  held`)[0]
		home := row(`(/\S*)  (inode \d+ on \d+:\d+)  ENOENT  held`)
		var dir syscall.Stat_t
		if err := syscall.Stat(home[0], &dir); err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("inode %d on %d:%d", dir.Ino, unix.Major(dir.Dev),
			unix.Minor(dir.Dev)); home[1] != want {
			t.Errorf("%q, want %s", home, want)
		}
		row("/usr is mounted  read-write  read-only  held")
		row("chroot again  escapes and reads " + secret + "  no escape: ENOENT  held")
		row("a directory left open  escapes and reads " + secret + "  EBADF  held")
		device := row(`host  file system (\d+:\d+) isn't mounted`)[0]
		row("container  file system " + device + " is mounted at /  held")
		for _, name := range row("hostname  (.+)  (.+)  LEAK") { // a long one is cut in the middle
			want := fit(hostname+", namespace "+uts, utf8.RuneCountInString(name))
			if name != want {
				t.Errorf("hostname %q, want %q", name, want)
			}
		}
		row("message queue  " + secret + "  " + secret + "  LEAK")
	})
}

// TestVerdicts judges the lesson's answers again.
func TestVerdicts(t *testing.T) { steptest.Verdicts(t, asked, 7, 2) }

// TestAnotherHost runs both tests on a host with a long name and another network.
func TestAnotherHost(t *testing.T) { steptest.AnotherHost(t) }

// asked runs the lesson and returns its experiments.
func asked() (all []steptest.Experiment, err error) {
	n := &narrator{}
	err = lesson(n)
	for _, e := range n.told {
		all = append(all, steptest.Experiment{
			What: e.what, Host: e.host, Inside: e.inside, Expect: string(e.expect),
			Rule: func(host, inside string) string { return string(e.rule(host, inside)) },
		})
	}
	return all, err
}

// TestPropagation runs the step where every mount is shared, as systemd has it, and looks whether
// its mounts come out. The control is a process that does the same without the private remount.
func TestPropagation(t *testing.T) {
	steptest.NeedProc(t)
	for peer, want := range map[string]string{
		"the step": "mount table unchanged\n",
		"control":  "mount table changed\n",
	} {
		cmd := throwaway("test:shared", peer)
		if out := steptest.Output(t, cmd); out != want {
			t.Errorf("%s: %q, want %q", peer, out, want)
		}
	}
}

// TestWaysOut tries both escapes of 01 inside. The control is the jail of 01, which they leave.
func TestWaysOut(t *testing.T) {
	dir, err := os.MkdirTemp("/var/tmp", "secret-") // see hold
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := errors.Join(
		os.Chmod(dir, 0o755),
		os.WriteFile(filepath.Join(dir, "secret"), []byte("it is out"), 0o644),
		os.Mkdir(filepath.Join(dir, "jail"), 0o777),
	); err != nil {
		t.Fatal(err)
	}
	outside, err := os.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	defer outside.Close()
	for way, want := range map[string]string{
		"chroot again": "no escape: ENOENT\n", "a directory left open": "EBADF\n",
	} {
		control := self("lesson:jail", dir, way)
		control.ExtraFiles = []*os.File{outside}
		addUserNamespace(control.SysProcAttr, unix.CAP_SYS_CHROOT)
		if out := steptest.Output(t, control); out != "escapes and reads it is out\n" {
			t.Errorf("the control, %s: %q", way, out)
		}
		steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
			attack := u.Program("/proc/self/exe", "lesson:escape", dir, way)
			attack.ExtraFiles = []*os.File{outside}
			if out := steptest.Output(t, attack); out != want {
				t.Errorf("%s: %q, want %q", way, out, want)
			}
		})
	}
}

// TestOldRootIsGone looks for the host's mounts inside.
func TestOldRootIsGone(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		out := u.Output(t, "cat", "/proc/mounts")
		var points []string
		for line := range strings.Lines(out) {
			points = append(points, strings.Fields(line)[1])
		}
		if points[0] != "/" || !strings.HasPrefix(out, "tmpfs / tmpfs") {
			t.Errorf("the first mount isn't the new root:\n%s", out)
		}
		for _, point := range points {
			ours := point == "/" || point == "/proc" || filepath.Dir(point) == "/dev"
			for _, path := range programs {
				ours = ours || point == path || strings.HasPrefix(point, path+"/")
			}
			if !ours {
				t.Errorf("%s is mounted inside", point)
			}
		}
	})
}

// TestDescriptorsAreClosed leaves a file open, and looks for it inside.
func TestDescriptorsAreClosed(t *testing.T) {
	file, err := os.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	script := "for n in 3 4 5; do test -e /proc/self/fd/$n && echo $n; done; echo done"
	control := exec.Command("sh", "-c", script)
	control.ExtraFiles = []*os.File{file, file, file}
	if out := steptest.Output(t, control); out != "3\n4\n5\ndone\n" {
		t.Errorf("the control: %q", out)
	}
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		cmd := u.Program("sh", "-c", script)
		cmd.ExtraFiles = []*os.File{file, file, file}
		if out := steptest.Output(t, cmd); out != "done\n" {
			t.Errorf("open inside: %q", out)
		}
	})
}

// TestNoProgramOfTheHost leaves a directory open, and asks for a program by way of it. The control
// is the host.
func TestNoProgramOfTheHost(t *testing.T) {
	dir, err := os.MkdirTemp("", "host-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := errors.Join(
		os.Chmod(dir, 0o755),
		os.WriteFile(filepath.Join(dir, "program"), []byte("#!/bin/sh\necho out\n"), 0o755),
	); err != nil {
		t.Fatal(err)
	}
	open, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	control := exec.Command("sh", "-c", "exec /proc/self/fd/3/program")
	control.ExtraFiles = []*os.File{open}
	if out := steptest.Output(t, control); out != "out\n" {
		t.Errorf("the control: %q", out)
	}
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		cmd := u.Program("/proc/self/fd/3/program")
		cmd.ExtraFiles = []*os.File{open}
		if r := steptest.Run(t, cmd); r.Status != 127 || r.Stdout != "" {
			t.Errorf("exit status %d, output %q, want 127 and none", r.Status, r.Stdout)
		}
	})
}

// TestReadOnly writes to /usr inside, and to something that is mounted below it, on both ways to
// make a tree read-only. The control is the same bind mount before it is made so.
func TestReadOnly(t *testing.T) {
	steptest.NeedProc(t)
	out := steptest.Output(t, throwaway("test:readonly"))
	want := "step: EROFS\nbind alone: ok\nremounted: EROFS\nro, nosuid, nodev, noexec: 0xf\n"
	if out != want {
		t.Errorf("writes below a bind mount:\n%swant:\n%s", out, want)
	}
	// Where it finds nothing to make read-only, it must not say that it has.
	if err := remount(t.TempDir(), unix.MS_RDONLY); !errors.Is(err, unix.ENOENT) {
		t.Errorf("remount where nothing is mounted: %v", err)
	}
}

// TestInAChroot starts the step as root in a chroot that is a mount of its own, where pivot_root
// would work and leave the host's root above. The control is the same without the chroot.
func TestInAChroot(t *testing.T) {
	if os.Getuid() != 0 {
		steptest.Skip(t, "in a chroot only root can make a mount namespace; run it as root")
	}
	for dir, want := range map[string]steptest.Result{
		"/": {Stdout: "it ran\n"},
		t.TempDir(): {Status: 125, Stderr: step + ": this is a chroot, and 01's escape would " +
			"lead out of a container in it: start this step outside\n"},
	} {
		cmd := steptest.Root.Program("test:chroot", dir)
		cmd.SysProcAttr.Unshareflags = unix.CLONE_NEWNS // Go makes the mounts private
		if r := steptest.Run(t, cmd); r != want {
			t.Errorf("in %s: %+v, want %+v", dir, r, want)
		}
	}
}

// TestAlone counts what ps would count.
func TestAlone(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		if out := u.Output(t, "sh", "-c", "cd /proc; echo [0-9]*"); out != "1\n" {
			t.Errorf("processes inside: %q", out)
		}
	})
	steptest.Need(t, "ps", "procps")
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		lines := strings.Split(strings.TrimSpace(u.Output(t, "ps", "-e")), "\n")
		if len(lines) != 2 || !strings.Contains(lines[1], " ps") {
			t.Errorf("ps -e inside: %q", lines)
		}
	})
}

// TestDevices uses each device.
func TestDevices(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		script := `echo x > /dev/null; head -c 2 /dev/zero | od -An -tx1
			head -c 3 /dev/urandom | wc -c; head -c 3 /dev/random | wc -c
			echo x 2>&- > /dev/full || echo full; echo x > /dev/shm/file; cat /dev/shm/file
			echo piped | cat /dev/stdin
			: <> /dev/ptmx && echo ptmx; ls /dev`
		out := u.Output(t, "sh", "-c", script)
		want := "00 00 3 3 full x piped ptmx " +
			"fd full null ptmx pts random shm stderr stdin stdout tty urandom zero"
		if got := strings.Join(strings.Fields(out), " "); got != want {
			t.Errorf("devices:\n%s\nwant:\n%s", got, want)
		}
	})
}

// TestUmask builds the root under a umask that denies everything.
func TestUmask(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		script := "umask; ls -ld /tmp /etc/passwd | cut -c1-10"
		out := u.Output(t, "test:umask", "sh", "-c", script)
		if out != "0077\n-rw-r--r--\ndrwxrwxrwt\n" {
			t.Errorf("umask and modes: %q", out)
		}
	})
}

// TestLocalhost looks up "localhost" inside: in the file, and by the C library, where there is a
// getent that finds it on the host. Without another address than 127.0.0.1 it doesn't.
func TestLocalhost(t *testing.T) {
	script := "cat /etc/hosts"
	finds := exec.Command("getent", "ahostsv4", "localhost").Run() == nil
	if finds {
		script += "; getent ahostsv4 localhost"
	}
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		out := u.Output(t, "sh", "-c", script)
		steptest.Contains(t, out, "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n")
		if finds {
			steptest.Contains(t, out, "127.0.0.1       STREAM localhost\n")
		}
	})
}

// TestProcCovered runs the step where part of /proc is covered, as in a Docker container, and
// expects an error that says so, and no command.
func TestProcCovered(t *testing.T) {
	steptest.NeedUserNamespaces(t)
	cmd := throwaway("test:covered")
	// So exec takes the privileges.
	cmd.SysProcAttr.UidMappings[0].ContainerID = steptest.Ordinary.UID
	cmd.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN}
	cmd.SysProcAttr.Cloneflags &^= unix.CLONE_NEWPID // its /proc must be that of its own PIDs
	r := steptest.Run(t, cmd)
	if r.Status != 125 || r.Stdout != "" {
		t.Errorf("exit status %d, standard output %q, want 125 and none", r.Status, r.Stdout)
	}
	steptest.Contains(t, r.Stderr,
		"mount proc on /tmp/proc: operation not permitted (is part of this")
}

// throwaway prepares an experiment that has privileges in namespaces of its own, and so may play
// the host: always in a user namespace, root or not, since the kernel is stricter there.
func throwaway(args ...string) *exec.Cmd {
	cmd := self(args...)
	cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUSER
	cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
	cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	return cmd
}

// What every step promises as a command.

func TestExitStatus(t *testing.T)              { steptest.ExitStatus(t) }
func TestHelp(t *testing.T)                    { steptest.Help(t) }
func TestStandardStreams(t *testing.T)         { steptest.StandardStreams(t) }
func TestFullDisk(t *testing.T)                { steptest.FullDisk(t) }
func TestFiftyAtOnce(t *testing.T)             { steptest.FiftyAtOnce(t) }
func TestOtherNames(t *testing.T)              { steptest.OtherNames(t) }
func TestNameIsNoProof(t *testing.T)           { steptest.NameIsNoProof(t) }
func TestUserNamespacesForbidden(t *testing.T) { steptest.UserNamespacesForbidden(t) }
func TestRemedy(t *testing.T)                  { steptest.Remedy(t, inContainer()) }
func TestNoexec(t *testing.T)                  { steptest.Noexec(t) }
func TestMountBelowUsr(t *testing.T)           { steptest.MountBelowUsr(t) }
func TestHidepid(t *testing.T)                 { steptest.Hidepid(t) }
func TestLessonLeavesNothing(t *testing.T)     { steptest.LessonLeavesNothing(t) }
func TestKilledLesson(t *testing.T)            { steptest.KilledLesson(t) }
func TestKilledCommand(t *testing.T)           { steptest.KilledCommand(t) }
func TestKilledEarly(t *testing.T)             { steptest.KilledEarly(t) }

func TestRefused(t *testing.T) { steptest.Refused(t, "container pivot_root .") }

func TestTerminal(t *testing.T)    { steptest.Terminal(t, inside+"# ") }
func TestStartsShell(t *testing.T) { steptest.StartsShell(t, startsShell) }

func TestSharedTmp(t *testing.T)  { steptest.SharedTmp(t) }
func TestNamespaces(t *testing.T) { steptest.Namespaces(t) }

func TestMounts(t *testing.T) { steptest.Mounts(t, nil) }

func TestModes(t *testing.T) { steptest.Modes(t, nil) }

// innerGets is what a process in the role of the inner one gets: its parent's PID or another one.
func innerGets(given string) ([]*os.File, []string, error) {
	pid, err := os.Readlink("/proc/self")
	switch given {
	case "another":
		pid = "1"
	case "unseen": // a parent that /proc doesn't show is 0
		pid = "0"
	}
	return nil, []string{pid, "echo", "ran"}, err
}

// init adds what these tests run in the program's place.
func init() {
	// mountTable is this process's table of mounts, to compare.
	mountTable := func() (string, error) {
		table, err := os.ReadFile("/proc/self/mountinfo")
		return string(table), err
	}
	// test:shared makes all mounts shared and starts the step, or, for the control, a process
	// that only mounts. Then it says whether its own mounts are what they were.
	experiments["test:shared"] = func(args []string) error {
		if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
			return err
		}
		before, err := mountTable()
		if err != nil {
			return err
		}
		inner := within("lesson:root")
		if args[0] == "control" {
			inner = self("test:mount")
			inner.SysProcAttr.Cloneflags = unix.CLONE_NEWNS
		}
		running, _, err := start(inner)
		if err != nil {
			return err
		}
		during, err := mountTable()
		if err := errors.Join(err, running.end()); err != nil {
			return err
		}
		if before == during {
			fmt.Println("mount table unchanged")
		} else {
			fmt.Println("mount table changed")
		}
		return nil
	}
	experiments["test:chroot"] = func(args []string) error {
		if args[0] != "/" {
			err := errors.Join(unix.Mount("/", args[0], "", unix.MS_BIND|unix.MS_REC, ""),
				unix.Chroot(args[0]), os.Chdir("/"))
			if err != nil {
				return err
			}
		}
		cmd := self("sh", "-c", "echo it ran")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		return cmd.Run()
	}
	experiments["test:mount"] = func([]string) error {
		return errors.Join(mount("tmpfs", rootfs, "tmpfs", 0, ""), waitForEOF("mounted"))
	}
	// test:readonly mounts something below /usr, and writes to it through the step, and through
	// bind mounts that are made read-only in the way that old kernels need.
	experiments["test:readonly"] = func([]string) error {
		if err := errors.Join(
			mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
			mount("tmpfs", "/usr/local", "tmpfs", 0, ""),
			os.Mkdir("/usr/local/hidden", 0o755), // by the next but one
			mount("tmpfs", "/usr/local/hidden", "tmpfs", 0, ""),
			mount("tmpfs", "/usr/local", "tmpfs",
				unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""), // to be kept
			mount("tmpfs", "/tmp", "tmpfs", 0, ""),
			os.Mkdir("/tmp/bound", 0o755),
		); err != nil {
			return err
		}
		answer, err := ask(host("/proc/self/exe", "test:write", "/usr/local/file"))
		if err != nil {
			return err
		}
		fmt.Println("step:", answer)
		if err := mount("/usr", "/tmp/bound", "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return err
		}
		fmt.Print("bind alone: ")
		if err := experiments["test:write"]([]string{"/tmp/bound/local/file"}); err != nil {
			return err
		}
		if err := remount("/tmp/bound", unix.MS_RDONLY); err != nil {
			return err
		}
		fmt.Print("remounted: ")
		err = experiments["test:write"]([]string{"/tmp/bound/local/another"})
		var have unix.Statfs_t
		err = errors.Join(err, unix.Statfs("/tmp/bound/local", &have))
		fmt.Printf("ro, nosuid, nodev, noexec: %#x\n", have.Flags&0xf)
		return err
	}
	experiments["test:write"] = func(args []string) error {
		answer, _, _ := strings.Cut(errno(os.WriteFile(args[0], nil, 0o600)), " ")
		fmt.Println(answer)
		return nil
	}
	experiments["test:umask"] = func(args []string) error {
		unix.Umask(0o077)
		return unix.Exec("/proc/self/exe", append([]string{step}, args...), os.Environ())
	}
	// test:covered covers a file of /proc, gives up its privileges, and becomes the program. That
	// has to make a user namespace, in which the cover can't be lifted: only then it counts.
	experiments["test:covered"] = func([]string) error {
		return errors.Join(
			mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
			mount("/dev/null", "/proc/version", "", unix.MS_BIND, ""),
			unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0),
			unix.Exec("/proc/self/exe", []string{step, "echo", "the command ran"}, os.Environ()),
		)
	}
}
