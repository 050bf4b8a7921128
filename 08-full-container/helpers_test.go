//go:build linux

// What the tests of every step need: the step as a program, run as every kind of user there is
// here, and a search for what it may have left behind. The same file in every step.

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
	"jail-to-container/scripts/steptest"
)

// TestMain makes of the test binary the step's program as well: under any name but that of a test
// binary it is the program. So the tests need no compiler, and can run on a bare kernel.
func TestMain(m *testing.M) {
	if !strings.HasSuffix(os.Args[0], ".test") {
		shake()
		main()
	}
	status := m.Run()
	takeBack()
	os.Exit(status)
}

// shake does what Go's scheduler does now and then: it moves this goroutine off the process's first
// thread. What main relies on must hold all the same, and not only most of the time.
func shake() {
	for range 3 { // each makes a thread, of which 07 grants few
		if unix.Gettid() != os.Getpid() {
			return
		}
		taken := make(chan bool)
		go func() {
			runtime.LockOSThread() // the first one, if this goroutine has made room
			taken <- true
			select {}
		}()
		<-taken
	}
}

// ordinary and ordinaryGroup are the uid and gid of the ordinary user that the tests use when they
// run as root. Neither needs an entry in /etc/passwd. They differ, so code that takes one for the
// other fails, and neither is 65534, which the kernel also shows for an ID without a mapping.
const ordinary, ordinaryGroup = 12345, 23456

// user is whom a test runs the program as.
type user struct {
	name string
	uid  int
}

// gid is the user's group.
func (u user) gid() int {
	switch u.uid {
	case os.Getuid():
		return os.Getgid()
	case ordinary:
		return ordinaryGroup
	}
	return u.uid
}

// asEveryUser runs a test as root and as an ordinary user; where the tests themselves are run by
// an ordinary user, as that one only.
func asEveryUser(t *testing.T, test func(*testing.T, user)) {
	users := []user{{"user", os.Getuid()}}
	if os.Getuid() == 0 {
		users = []user{{"root", 0}, {"user", ordinary}}
	}
	for _, u := range users {
		t.Run(u.name, func(t *testing.T) {
			if u.name == "user" {
				if err := program(u, "test:userns").Run(); err != nil {
					steptest.Skip(t, "an ordinary user may not make user namespaces here (%v)%s",
						err, forbiddenHint())
				}
			}
			ready(t, u)
			test(t, u)
		})
	}
}

// init adds test:userns, which tells whether a user namespace can be made and is worth something.
// It doesn't use the step's code, or a fault in that would look like a forbidding system.
func init() {
	experiments["test:userns"] = func(args []string) error {
		if len(args) > 0 { // Ubuntu's AppArmor lets the namespaces be made, and refuses this
			return unix.Sethostname([]byte(args[0]))
		}
		cmd := exec.Command("/proc/self/exe", "test:userns", "name")
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWUTS,
			UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		}
		return cmd.Run()
	}
}

// program prepares the step's program to be run by a user, in a session of its own.
func program(u user, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Args[0] = step
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if u.uid != os.Getuid() {
		cmd.SysProcAttr.Credential = &syscall.Credential{
			Uid: uint32(u.uid), Gid: uint32(u.gid()),
		}
	}
	lend(u, cmd)
	return cmd
}

// A step whose program needs something of root's before an ordinary user can run it sets these:
// ready skips a test for a user who hasn't got it, lend gives it to one, takeBack ends that.
var (
	ready    = func(*testing.T, user) {}
	lend     = func(user, *exec.Cmd) {}
	takeBack = func() {}
)

// result is what a command left for its caller.
type result struct {
	stdout, stderr string
	status         int // as a shell has it in $?: 128+n for signal n
}

// finish runs a command to its end, which it must reach within five minutes.
func finish(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = time.Minute // for what it may leave behind with its output open
	err := cmd.Start()
	if err == nil {
		late := time.AfterFunc(5*time.Minute, func() { cmd.Process.Kill() })
		if err = cmd.Wait(); !late.Stop() {
			err = errors.New("killed, after five minutes")
		}
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%v: %v; standard error %q", cmd.Args, err, stderr.String())
	}
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	code := status.ExitStatus()
	if status.Signaled() {
		code = 128 + int(status.Signal())
	}
	return result{stdout.String(), stderr.String(), code}
}

// expect runs a command that must succeed, without a word on standard error, and returns its
// output.
func expect(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	r := finish(t, cmd)
	if r.status != 0 || r.stderr != "" {
		t.Fatalf("%v: exit status %d, standard error %q", cmd.Args, r.status, r.stderr)
	}
	return r.stdout
}

// contains fails the test for every one of the texts that isn't in output.
func contains(t *testing.T, output string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(output, text) {
			t.Errorf("no %q in:\n%s", text, output)
		}
	}
}

// watch is what a test compares to know that nothing is left: it holds the state of things before,
// and a mark in the environment that every process of the program inherits.
type watch struct {
	mark   string
	tmp    string
	before []string
}

// newWatch notes the state before. The programs to be watched must be started with its env.
func newWatch(t *testing.T) *watch {
	tmp, err := os.MkdirTemp("", "watch-") // t.TempDir's parent isn't open to other users
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(tmp) }) // never with what is in it: something may be mounted there
	if err := os.Chmod(tmp, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	return &watch{fmt.Sprintf("WATCH=%s-%d", t.Name(), time.Now().UnixNano()), tmp, globalState(t)}
}

// env is the environment for a program that is watched.
func (w *watch) env() []string {
	return append(os.Environ(), w.mark, "TMPDIR="+w.tmp)
}

// globalState lists what a step might leave on a host: mounts, System V objects, files, cgroups.
// The tests of other steps run at the same time, so only what stays counts.
func globalState(t *testing.T) []string {
	var state []string
	for _, file := range []string{"mounts", "sysvipc/msg", "sysvipc/sem", "sysvipc/shm"} {
		text, err := os.ReadFile("/proc/self/" + file)
		if strings.HasPrefix(file, "sysvipc/") {
			text, err = os.ReadFile("/proc/" + file)
		}
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(file, "sysvipc/") { // key and identifier; the rest are times
				line = strings.Join(strings.Fields(line)[:2], " ")
			}
			state = append(state, file+" "+line)
		}
	}
	// A queue is a file where mqueue is mounted.
	for _, pattern := range []string{
		"/dev/shm/lesson-*", "/dev/mqueue/lesson-*", "/var/tmp/secret-*", "/below",
	} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		state = append(state, files...)
	}
	// A cgroup of ours has the step's name; where there are no cgroups, there is nothing to walk.
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.IsDir() && strings.HasPrefix(entry.Name(), step+"-") {
			state = append(state, path)
		}
		return nil // a cgroup may go while we walk
	})
	return state
}

// processes returns the processes that carry the mark: in their environment, where that is ours to
// read, or as an argument.
func (w *watch) processes() []string {
	var found []string
	all, _ := filepath.Glob("/proc/[0-9]*") // the pattern is well formed: no error
	for _, dir := range all {
		environ, _ := os.ReadFile(dir + "/environ")
		cmdline, _ := os.ReadFile(dir + "/cmdline")
		words := strings.Split(string(environ)+"\x00"+string(cmdline), "\x00")
		if slices.Contains(words, w.mark) {
			found = append(found, fmt.Sprintf("%s %q", dir, cmdline))
		}
	}
	return found
}

// kill ends the processes that carry the mark.
func (w *watch) kill() {
	for _, process := range w.processes() {
		var pid int
		if _, err := fmt.Sscanf(process, "/proc/%d", &pid); err == nil && pid != os.Getpid() {
			_ = unix.Kill(pid, unix.SIGKILL) // it may have ended
		}
	}
}

// nothingLeft ends the test if something is left behind: it would only be found again. What the
// death of a process sets off takes its time, so it looks again until all is gone, for at most ten
// seconds.
func (w *watch) nothingLeft(t *testing.T) {
	t.Helper()
	var left, found []string
	for range 200 {
		left = w.processes()
		if entries, err := os.ReadDir(w.tmp); err != nil || len(entries) > 0 {
			left = append(left, fmt.Sprintf("%s: %v %v", w.tmp, entries, err))
		}
		state := slices.DeleteFunc(globalState(t), func(line string) bool {
			return slices.Contains(w.before, line)
		})
		if len(left) == 0 && found != nil {
			// Nobody is left who could have made what is new now: that is another test's.
			state = slices.DeleteFunc(state, func(line string) bool {
				return !slices.Contains(found, line)
			})
		}
		if found = state; len(left)+len(found) == 0 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("left behind:\n%s", strings.Join(append(left, found...), "\n"))
}

// verdicts tells the lesson in this process, expects so many held and LEAK, and judges its answers
// again. Where the container answers what the host does, nothing holds; where the answers are
// swapped, no attack does.
func verdicts(t *testing.T, holds, leaks int) {
	t.Helper()
	runtime.LockOSThread() // as main does: what it starts dies with this thread
	defer runtime.UnlockOSThread()
	stdout := os.Stdout
	defer func() { os.Stdout = stdout }()
	var err error
	if os.Stdout, err = os.Create(filepath.Join(t.TempDir(), "lesson")); err != nil {
		t.Fatal(err)
	}
	n := &narrator{}
	if err := lesson(n); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(os.Stdout.Name())
	if err != nil {
		t.Fatal(err)
	}
	count := map[verdict]int{}
	for _, e := range n.told {
		v := e.rule(e.host, e.inside)
		count[v]++
		if v != e.expect && v != noCase { // the caller counts
			t.Errorf("%s: %s, want %s: %q, %q", e.what, v, e.expect, e.host, e.inside)
		}
		if e.rule(e.host, e.host) == held {
			t.Errorf("%s holds where the container answers %q, as the host does", e.what, e.host)
		}
	}
	if count[held] != holds || count[leak] != leaks {
		t.Errorf("%v, want %d held and %d LEAK", count, holds, leaks)
	}
	for line := range strings.Lines(string(text)) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > width {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}
