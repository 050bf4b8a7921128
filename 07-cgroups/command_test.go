//go:build linux

// What is promised of every step as a command: exit statuses, clear errors, nothing left behind.
// The same file in every step.

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode"

	"golang.org/x/sys/unix"
	"jail-to-container/scripts/steptest"
)

// TestExitStatus runs commands that end in every way there is.
func TestExitStatus(t *testing.T) {
	asEveryUser(t, func(t *testing.T, u user) {
		for _, c := range []struct {
			name    string
			command []string
			status  int
			says    string // on standard error
		}{
			{"success", []string{"true"}, 0, ""},
			{"its own", []string{"sh", "-c", "exit 7"}, 7, ""},
			{"that of a child, ended by a signal",
				[]string{"sh", "-c", "exec 2>&-; sh -c 'kill -TERM $$'; exit"}, 143, ""},
			{"not found", []string{"no-such-program"}, 127, `"no-such-program": executable`},
			{"no such path", []string{"/no/such/file"}, 127, "/no/such/file: no such file"},
			{"a directory", []string{"/usr"}, 126, "/usr"},
			{"empty name", []string{""}, 127, "executable file not found"},
			{"end of flags", []string{"--", "sh", "-c", "exit 7"}, 7, ""},
			{"a command like a flag", []string{"--", "-h"}, 127, `"-h": executable`},
			{"a command like their end", []string{"--", "--"}, 127, `"--": executable`},
			{"an experiment's name", []string{"--", "test:first"}, 127, `"test:first": executable`},
			{"flag", []string{"--no-such-flag"}, 125, "unknown flag --no-such-flag"},
			{"a path for the terminal", []string{"/no/\x1b]0;title\a\n\u009bm"}, 127,
				`/no/\x1b]0;title\a\n\u009bm: no such file`},
			{"a flag for the terminal", []string{"--\x1b]0;title\a"}, 125, `--\x1b]0;title\a`},
			{"a long path", []string{"/" + strings.Repeat("n", 1<<16)}, 126, "nnn ..."},
		} {
			t.Run(c.name, func(t *testing.T) {
				r := finish(t, program(u, c.command...))
				if r.status != c.status {
					t.Errorf("exit status %d, want %d; %q", r.status, c.status, r.stderr)
				}
				contains(t, r.stderr, c.says)
				if c.says == "" && r.stderr != "" {
					t.Errorf("standard error %q, want none", r.stderr)
				}
				if c.says != "" && !strings.HasPrefix(r.stderr, step+": ") {
					t.Errorf("standard error doesn't begin with %s: %q", step, r.stderr)
				}
				if line := strings.TrimSuffix(r.stderr, "\n"); len(line) > 5000 ||
					strings.ContainsFunc(line, unicode.IsControl) {
					t.Errorf("not a line to be shown: %q", r.stderr)
				}
				if r.stdout != "" {
					t.Errorf("standard output %q, want none", r.stdout)
				}
			})
		}
	})
}

// TestHelp asks for help, which is no error.
func TestHelp(t *testing.T) {
	for _, flag := range []string{"-h", "-help", "--help"} {
		contains(t, expect(t, program(user{uid: os.Getuid()}, flag)), "usage: "+step+" [COMMAND")
	}
}

// TestStandardStreams passes bytes through, and closed streams too.
func TestStandardStreams(t *testing.T) {
	asEveryUser(t, func(t *testing.T, u user) {
		data := strings.Repeat("\x00\xff\r\n", 50_000)
		cmd := program(u, "cat")
		cmd.Stdin = strings.NewReader(data)
		if out := expect(t, cmd); out != data {
			t.Errorf("cat returned %d bytes of %d, or others", len(out), len(data))
		}
		out := expect(t, program(u, "test:close-stdin", "sh", "-c", "echo fine"))
		if out != "fine\n" {
			t.Errorf("with standard input closed: %q", out)
		}
	})
}

// TestOtherNames starts the program under names that its own parts might have, as a link does, or
// "go build -o container": from a shell, and as the first process of a PID namespace, as in a
// container. It is the same program, and leaves its caller's name and mounts alone.
func TestOtherNames(t *testing.T) {
	asEveryUser(t, func(t *testing.T, u user) {
		for _, name := range []string{"jail", "container", "host", "unpack"} {
			cmd := program(u, "echo", "ran")
			cmd.Args[0] = name
			if r := finish(t, cmd); r != (result{"ran\n", "", 0}) {
				t.Errorf("as %s: %+v", name, r)
			}
			if u.uid != 0 {
				continue // the rest takes a PID namespace without a user namespace
			}
			cmd = program(u, "test:name", name, "echo", "ran")
			cmd.SysProcAttr.Unshareflags = throwawayHost
			if r := finish(t, cmd); r != (result{"ran\n", "", 0}) {
				t.Errorf("as %s and PID 1: %+v", name, r)
			}
		}
	})
}

// TestMountBelowUsr runs where a directory and a program below /usr are mounts of their own, as on
// WSL 2, or in a container that docker has started with --init.
func TestMountBelowUsr(t *testing.T) {
	if os.Getuid() != 0 {
		steptest.Skip(t, "only root can mount something on the host: go test -exec sudo")
	}
	asEveryUser(t, func(t *testing.T, u user) {
		cmd := program(u, "sh", "-c", "echo ran")
		// The mounts come before it becomes the user, if it does.
		id := "0:0"
		if c := cmd.SysProcAttr.Credential; c != nil {
			id = fmt.Sprintf("%d:%d", c.Uid, c.Gid)
		}
		cmd.SysProcAttr.Credential = nil
		cmd.Args = append([]string{step, "test:below-usr", id}, cmd.Args[1:]...)
		cmd.SysProcAttr.Unshareflags = unix.CLONE_NEWNS
		if out := expect(t, cmd); out != "ran\n" {
			t.Errorf("with mounts below /usr: %q", out)
		}
	})
}

// noProof is what an inner process may be given by anything but the outer process, and what it must
// say. Each step's own tests fill it, and have an experiment, test:role, for all but "outside".
var noProof map[string]string

// TestNameIsNoProof starts the program in the role of the inner process: on the host, and as PID 1
// of a PID namespace with a part of what the outer process gives it, or with all of that, but among
// its caller's mounts. No command may run, and the caller's name and mounts must stay.
func TestNameIsNoProof(t *testing.T) {
	asEveryUser(t, func(t *testing.T, u user) {
		for given, says := range noProof {
			cmd := program(u, "test:role", given)
			if given == "outside" {
				cmd = program(u, "1", "echo", "ran")
				cmd.Args[0] = role(inside)
			}
			switch {
			case u.uid == 0: // in namespaces of its own, for the day on which it succeeds
				cmd.SysProcAttr.Unshareflags = throwawayHost
			case given != "outside":
				continue // it takes a PID namespace without a user namespace
			}
			// One that goes on may wait for its outer process forever.
			deadline := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
			r := finish(t, cmd)
			deadline.Stop()
			if r.status != 125 || r.stdout != "" {
				t.Errorf("%s: %+v", given, r)
			}
			contains(t, r.stderr, says)
		}
	})
}

// throwawayHost are namespaces for what may lose its host's name, queues and mounts.
const throwawayHost = unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC

// asFirst runs this program as PID 1 of a new PID namespace under a name, in our other namespaces,
// with descriptors from 3 on. It fails if that changes our hostname or our mounts.
func asFirst(files []*os.File, name string, args ...string) error {
	cmd := self(args...)
	cmd.Args[0], cmd.Stdout, cmd.ExtraFiles = name, os.Stdout, files
	cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWPID
	table, err := os.Open("/proc/self/mountinfo") // now: afterwards this /proc may be gone
	if err != nil {
		return err
	}
	defer table.Close()
	world := func() []string {
		name, err1 := os.Hostname()
		_, err2 := table.Seek(0, io.SeekStart)
		mounts, err3 := io.ReadAll(table)
		lines := strings.Split(string(mounts), "\n")
		return append(slices.DeleteFunc(lines, func(line string) bool {
			return strings.Contains(line, " / /proc ") // see test:first
		}), name, fmt.Sprint(errors.Join(err1, err2, err3)))
	}
	before, ended := world(), cmd.Run()
	if after := world(); !slices.Equal(before, after) {
		return fmt.Errorf("our mounts and name were:\n%q\nand are:\n%q", before, after)
	}
	return ended
}

// TestRefused has each system call fail in turn that makes the container: nothing may run, and
// nothing may stay.
func TestRefused(t *testing.T) {
	asEveryUser(t, func(t *testing.T, u user) {
		errno := unix.EIO
		if u.uid == 0 {
			errno = unix.EPERM // as for a user who may not do something
			ownNetwork(t)
		}
		w, network := newWatch(t), networkOf()
		steptest.Refused(t, errno, func(args ...string) *exec.Cmd {
			cmd := program(u, args...)
			cmd.Env = w.env()
			return cmd
		})
		w.nothingLeft(t)
		if err := networkAgain(network); u.uid == 0 && err != nil {
			t.Error(err)
		}
	})
}

// ownNetwork moves the test, until it ends, into a network namespace that has a default route and
// doesn't forward, so that the step makes it forward. Without ip(8) there is no such route.
func ownNetwork(t *testing.T) {
	runtime.LockOSThread() // never unlocked: this thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	_ = exec.Command("sh", "-c", `for file in /proc/sys/net/ipv4/conf/*/forwarding; do
		echo 0 >$file; done; ip link set lo up && ip route add default dev lo`).Run()
}

// TestUserNamespacesForbidden takes the permission away, as some systems do, and expects one line
// that names the setting.
func TestUserNamespacesForbidden(t *testing.T) {
	asEveryUser(t, func(t *testing.T, u user) {
		cmd := program(u, "test:forbid", "echo", "the command ran")
		cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWUSER
		uid := syscall.SysProcIDMap{ContainerID: ordinary, HostID: u.uid, Size: 1}
		gid := syscall.SysProcIDMap{ContainerID: ordinaryGroup, HostID: u.gid(), Size: 1}
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{uid}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{gid}
		cmd.SysProcAttr.Credential = &syscall.Credential{ // in there
			Uid: ordinary, Gid: ordinaryGroup, NoSetGroups: true,
		}
		cmd.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_SYS_RESOURCE}
		r := finish(t, cmd)
		if r.status != 125 || r.stdout != "" {
			t.Errorf("exit status %d, standard output %q, want 125 and none", r.status, r.stdout)
		}
		contains(t, r.stderr, "user.max_user_namespaces = 0", "go run -exec sudo ./"+step)
		if strings.Count(r.stderr, "\n") != 1 {
			t.Errorf("standard error is more than one line:\n%s", r.stderr)
		}
	})
}

// asItsRoot prepares an experiment as root of a user namespace of this user's.
func asItsRoot(u user, args ...string) *exec.Cmd {
	cmd := self(args...)
	cmd.Stderr = nil
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: u.uid, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: u.gid(), Size: 1}},
		Credential:  &syscall.Credential{NoSetGroups: true},
	}
	return cmd
}

// TestRemedy: what helps depends on who asks, and where. sudo is for an ordinary user on a host.
func TestRemedy(t *testing.T) {
	if inContainer() {
		steptest.Skip(t, "this is a container; run it on a host")
	}
	asEveryUser(t, func(t *testing.T, u user) {
		want := "go run -exec sudo ./" + step + "\n"
		if u.uid == 0 {
			want = "you are root, but this root may not: run this outside, as the host's root\n"
		}
		if got := expect(t, asItsRoot(u, "test:remedy")); got != want {
			t.Errorf("on a host: %q, want %q", got, want)
		}
		want = "this is a container whose runtime forbids it: start that one with --privileged, " +
			"or run this on the host\n"
		if got := expect(t, asItsRoot(u, "test:remedy", "contained")); got != want {
			t.Errorf("in a container: %q, want %q", got, want)
		}
	})
}

// TestNoexec says why nothing can be executed, where the file's mode isn't the reason.
func TestNoexec(t *testing.T) {
	asEveryUser(t, func(t *testing.T, u user) {
		for program, want := range map[string]struct {
			status int
			reason string
		}{
			"/bin/sh": {126, "permission denied"},
			"sh":      {127, "executable file not found in $PATH"},
		} {
			r := finish(t, asItsRoot(u, "test:noexec", program))
			says := fmt.Sprintf("%s: exec: %q: %s (its file system is mounted noexec; 01 makes "+
				"its jail in $TMPDIR)\n", step, program, want.reason)
			if r.status != want.status || r.stderr != says {
				t.Errorf("exit status %d, standard error %q, want %d and %q",
					r.status, r.stderr, want.status, says)
			}
		}
	})
}

// TestFullDisk: a lesson and a usage text that can't be printed are an error, and not a success for
// a script to believe in.
func TestFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	for arg, want := range map[string]string{"test:say": "host       here\n", "-h": "usage: "} {
		asEveryUser(t, func(t *testing.T, u user) {
			contains(t, expect(t, program(u, arg)), want) // the control
			cmd := program(u, arg)
			cmd.Stdout = full
			var said strings.Builder
			cmd.Stderr = &said
			err := cmd.Run()
			if err == nil || cmd.ProcessState.ExitCode() != 125 {
				t.Errorf("%s > /dev/full: %v, want exit status 125", arg, err)
			}
			contains(t, said.String(), "write /dev/stdout: no space left on device")
		})
	}
}

// init adds what these tests run in the program's place, before they become the program.
func init() {
	experiments["test:noexec"] = func(args []string) error {
		if err := errors.Join(
			unix.Mount("tmpfs", "/tmp", "tmpfs", unix.MS_NOEXEC, ""),
			os.Mkdir("/tmp/bin", 0o755),
			os.WriteFile("/tmp/bin/sh", []byte("#!/bin/sh\n"), 0o755),
			unix.Chroot("/tmp"),
		); err != nil {
			return err
		}
		return execCommand(args)
	}
	execCommand := func(args []string) error {
		return unix.Exec("/proc/self/exe", append([]string{step}, args...), os.Environ())
	}
	experiments["test:remedy"] = func(args []string) error {
		if len(args) > 0 {
			runtime.LockOSThread() // the bounding set is a thread's
			if err := errors.Join(unix.Mount("tmpfs", "/run", "tmpfs", 0, ""),
				os.WriteFile("/run/.containerenv", nil, 0o644),
				unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_SYS_ADMIN, 0, 0, 0)); err != nil {
				return err
			}
		}
		fmt.Println(remedy())
		return nil
	}
	experiments["test:say"] = func([]string) error {
		say("host", "here")
		return nil
	}
	experiments["test:filter"] = steptest.WithFilter
	experiments["test:name"] = func(args []string) error {
		return asFirst(nil, step, append([]string{"test:first"}, args...)...)
	}
	// test:first gets a /proc of its own, without which no first process can do much.
	experiments["test:first"] = func(args []string) error {
		return errors.Join(unix.Mount("proc", "/proc", "proc", 0, ""),
			unix.Exec("/proc/self/exe", args, os.Environ()))
	}
	experiments["test:hidepid"] = func(args []string) error {
		if err := unix.Mount("proc", "/proc", "proc", 0, "hidepid="+args[0]); err != nil {
			return err
		}
		id, err := strconv.Atoi(args[1])
		cmd := self(args[2:]...)
		cmd.Stdout = os.Stdout
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(id), Gid: uint32(id)}
		return errors.Join(err, cmd.Run())
	}
	experiments["test:hidden"] = func([]string) error {
		_, err := os.Readlink("/proc/1/ns/mnt")
		answer, _, _ := strings.Cut(errno(err), " ")
		fmt.Println(answer)
		return nil
	}
	experiments["test:kill-early"] = func(args []string) error {
		// Without ip(8) there is no default route, and so no uplink for 06 to 08 to make forward.
		_ = exec.Command("sh", "-c", `for file in /proc/sys/net/ipv4/conf/*/forwarding; do
			echo 0 >$file; done; ip link set lo up && ip route add default dev lo`).Run()
		kills, err := strconv.Atoi(args[0])
		if err != nil {
			return err
		}
		before := networkOf()
		if err := killEarly(kills, func(command ...string) *exec.Cmd {
			return exec.Command("/proc/self/exe", append(command, args[1])...)
		}); err != nil {
			return err
		}
		return networkAgain(before)
	}
	experiments["test:close-stdin"] = func(args []string) error {
		return errors.Join(unix.Close(0), execCommand(args))
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
		return execCommand(args[1:])
	}
	// test:forbid sets the limit of its own user namespace to none, and gives up its privileges.
	experiments["test:forbid"] = func(args []string) error {
		return errors.Join(
			os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0),
			unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0),
			execCommand(args),
		)
	}
}

// TestLessonLeavesNothing tells the lesson, to a pipe, and looks at what is left.
func TestLessonLeavesNothing(t *testing.T) {
	asEveryUser(t, func(t *testing.T, u user) {
		w := newWatch(t)
		cmd := program(u)
		cmd.Env = w.env()
		if out := expect(t, cmd); strings.Contains(out, "\x1b") {
			t.Errorf("colours on a pipe:\n%q", out)
		}
		w.nothingLeft(t)
	})
}

// TestKilledLesson ends the outer process in the middle of the lesson, at ever other moments, by a
// signal that it could handle and by one that nobody can.
func TestKilledLesson(t *testing.T) {
	asEveryUser(t, func(t *testing.T, u user) {
		w := newWatch(t)
		for i := range 12 {
			cmd := program(u)
			cmd.Env = w.env()
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(i) * 4 * time.Millisecond)
			cmd.Process.Signal([]os.Signal{unix.SIGKILL, unix.SIGTERM, unix.SIGINT}[i%3])
			cmd.Wait() // how it ended is not the question
		}
		w.nothingLeft(t)
	})
}

// TestKilledCommand ends the outer process while a command runs that has children, which wait for
// an input that doesn't come.
func TestKilledCommand(t *testing.T) {
	asEveryUser(t, func(t *testing.T, u user) {
		for _, signal := range []syscall.Signal{unix.SIGKILL, unix.SIGTERM} {
			w := newWatch(t)
			cmd := program(u, "sh", "-c", "sh -c 'sh -c \"echo ready; cat; :\"; :'; :")
			cmd.Env = w.env()
			input, never, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer never.Close()
			cmd.Stdin = input
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var line string
			if _, err := fmt.Fscan(stdout, &line); err != nil || line != "ready" {
				t.Fatalf("the command said %q, %v", line, err)
			}
			if n := len(w.processes()); n < 4 { // the control of nothingLeft
				t.Errorf("%d processes carry the mark while the command runs, want 4 and more", n)
			}
			if err := cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			cmd.Wait() // how it ended is not the question
			w.nothingLeft(t)
			input.Close()
		}
	})
}

// TestHidepid runs a command and the lesson where /proc hides others' processes (proc(5)): in a
// PID namespace, since each has a /proc of its own to set that on. The control is PID 1, hidden.
func TestHidepid(t *testing.T) {
	if os.Getuid() != 0 {
		steptest.Skip(t, "only root can hide a process from an ordinary user; run it as root")
	}
	asEveryUser(t, func(t *testing.T, u user) {
		for hidepid, hides := range map[string]string{"1": "EPERM", "2": "ENOENT", "4": "ENOENT"} {
			if u.uid == 0 {
				hides = "ok"
			}
			for _, args := range [][]string{{"test:hidden"}, {"echo", "ran"}, nil} {
				if len(args) == 0 && hidepid != "1" {
					continue // a lesson takes its time
				}
				inner := program(u, args...)
				id := "0"
				if inner.SysProcAttr.Credential != nil {
					id = strconv.Itoa(u.uid)
				}
				cmd := self(append([]string{"test:hidepid", hidepid, id}, inner.Args[1:]...)...)
				cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWPID
				cmd.SysProcAttr.Unshareflags = unix.CLONE_NEWNS // Go makes the mounts private
				out := expect(t, cmd)
				switch {
				case len(args) == 0:
					contains(t, out, "\nnext ")
				case args[0] == "echo" && out != "ran\n", args[0] != "echo" && out != hides+"\n":
					t.Errorf("hidepid=%s, %q: %q", hidepid, args, out)
				}
			}
		}
	})
}

// TestKilledEarly kills the outer process 40 times between its start and half as long again as it
// takes to start a command: links, tables and cgroups come late. Nothing may be left. KILLS=1500 in
// the environment makes it 1,500 times. Root's links are those of a network namespace that has a
// default route and doesn't forward.
func TestKilledEarly(t *testing.T) {
	kills := 40
	if testing.Short() {
		kills = 10
	}
	if n, err := strconv.Atoi(os.Getenv("KILLS")); err == nil {
		kills = n
	}
	asEveryUser(t, func(t *testing.T, u user) {
		w := newWatch(t)
		t.Cleanup(w.kill)
		if u.uid == 0 {
			cmd := program(u, "test:kill-early", strconv.Itoa(kills), w.mark)
			cmd.Env, cmd.SysProcAttr.Cloneflags = w.env(), unix.CLONE_NEWNET
			expect(t, cmd)
		} else if err := killEarly(kills, func(args ...string) *exec.Cmd {
			cmd := program(u, append(args, w.mark)...)
			cmd.Env = w.env()
			return cmd
		}); err != nil {
			t.Fatal(err)
		}
		w.nothingLeft(t)
	})
}

// killEarly measures how long the program takes to start a command, and then kills it that many
// times, each a little later.
func killEarly(kills int, program func(args ...string) *exec.Cmd) error {
	var starts []time.Duration
	for range 5 {
		cmd, begun := program("sh", "-c", "echo ready"), time.Now()
		said, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			return err
		}
		late := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
		_, err = said.Read([]byte{0})
		late.Stop()
		starts = append(starts, time.Since(begun))
		if err := errors.Join(err, cmd.Wait()); err != nil {
			return fmt.Errorf("measure a start (for a minute at most): %w", err)
		}
	}
	slices.Sort(starts)
	for i := range kills {
		cmd := program("sh", "-c", "sleep 3600; :")
		if err := cmd.Start(); err != nil {
			return err
		}
		time.Sleep(starts[2] * 3 / 2 * time.Duration(i) / time.Duration(kills))
		cmd.Process.Kill() // it may have failed by itself, but then there is no sleep
		cmd.Wait()         // how it ended is not the question
	}
	return nil
}

// networkOf lists the links of this network namespace, whether they forward, and nft's tables.
func networkOf() string {
	settings, _ := filepath.Glob("/proc/sys/net/ipv4/conf/*/forwarding")
	var state strings.Builder
	for _, file := range settings {
		text, _ := os.ReadFile(file) // one that has just gone says nothing
		fmt.Fprintf(&state, "%s %s", file, text)
	}
	tables, _ := exec.Command("nft", "list", "tables").Output() // without nft there are none
	return state.String() + string(tables)
}

// networkAgain waits until networkOf is what it was before: keepers take their time, and so does
// the kernel.
func networkAgain(before string) error {
	for range 200 {
		if networkOf() == before {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("after 10 seconds the network is:\n%s\nand was:\n%s", networkOf(), before)
}

// TestFiftyAtOnce runs many at the same time; each must be right, and none may be left. With
// -short, as on an emulated machine, they are ten.
func TestFiftyAtOnce(t *testing.T) {
	asEveryUser(t, func(t *testing.T, u user) {
		w := newWatch(t)
		var all sync.WaitGroup
		many := 50
		if testing.Short() {
			many = 10
		}
		for i := range many {
			all.Go(func() {
				cmd := program(u, "sh", "-c", fmt.Sprintf("echo %d; exit %d", i, i))
				cmd.Env = w.env()
				r := finish(t, cmd)
				if r.stdout != fmt.Sprintln(i) || r.status != i || r.stderr != "" {
					t.Errorf("number %d: %+v", i, r)
				}
			})
		}
		all.Wait()
		w.nothingLeft(t)
	})
}
