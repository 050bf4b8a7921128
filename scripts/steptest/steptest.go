//go:build linux

// Package steptest is what the tests of all steps share: the step as a program, run as each kind of
// user there is here, a search for what it may have left behind, and the checks that are the same
// for every step. Only tests import it, so a step that is copied away still builds.
//
// It doesn't import net or os/user: with those, cgo would link the test binary to shared libraries,
// and it couldn't run in a jail without them.
package steptest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Step is what the harness needs to know about a step.
type Step struct {
	Name        string   // of its directory, and of its program
	Inner       string   // argv[0] of the inner process
	Namespaces  []string // the container's own, as /proc/PID/ns names them
	Main        func()
	Experiments map[string]func([]string) error // what the program runs in place of a command

	Exec   func(command []string) error          // replaces this process with the command
	Hint   func() string                         // names the setting that forbids user namespaces
	Remedy func() string                         // how the caller comes by what only root has
	Say    func(who, format string, args ...any) // prints a line of the lesson

	// NoProof has, by a name, what the inner process says when something other than the outer
	// process starts it, and Role what it gets then: descriptors from 3 on, and arguments. The name
	// "outside" stands for a start in no PID namespace, and "unseen" for one with a /proc that
	// doesn't show the parent.
	NoProof map[string]string
	Role    func(given string) ([]*os.File, []string, error)

	// StartOwned starts a command in a user namespace that has the IDs of a container.
	StartOwned func(cmd *exec.Cmd) error

	Cgroups *Cgroups // of a step that makes some
}

// step is the step that is being tested.
var step Step

// experiments are those of the checks here, by name. Main adds them to the step's own.
var experiments = map[string]func([]string) error{}

// Main runs the tests of a step. It lets the test binary double as the step's program: under any
// name that doesn't end in .test it is the program. So the tests need no compiler, and can run on a
// bare kernel.
func Main(m *testing.M, s Step) {
	step = s
	for name, run := range experiments {
		s.Experiments[name] = run
	}
	if !strings.HasSuffix(os.Args[0], ".test") {
		leaveFirstThread()
		s.Main()
	}
	os.Setenv(tester, fmt.Sprint(os.Getpid()))
	if reason := s.cantRun(); reason != "" {
		List("all tests", reason)
		fmt.Printf("    %s\n--- SKIP: all tests (0.00s)\n", reason) // for those who count skips
		os.Exit(0)
	}
	status := m.Run()
	takeBack()
	os.Exit(status)
}

// init gives the tests a umask that lets every user read and execute. After umask 077, go test has
// made this program for the caller alone, and root's container, which is another user's, couldn't
// start it.
func init() {
	if !strings.HasSuffix(os.Args[0], ".test") { // the test binary is the step's program as well
		return
	}
	unix.Umask(unix.Umask(0) & 0o022)
	if program, err := os.Executable(); err == nil {
		_ = os.Chmod(program, 0o755) // it may be another user's, who has seen to that
	}
}

// cantRun returns why the step can't run here at all, or "".
func (s Step) cantRun() string {
	root := os.Getuid() == 0
	if root && s.Namespaces == nil {
		return "" // as root, 01 needs no namespaces
	}
	if err := noNamespaces(); err != nil {
		return fmt.Sprintf("no namespaces for uid %d here (%v)%s", os.Getuid(), err, s.Hint())
	}
	if slices.Contains(s.Namespaces, "net") && Weak() || root && !Holds(unix.CAP_SYS_ADMIN) {
		return weak
	}
	if err := noProc(); err != nil && s.mountsProc() &&
		(!root || slices.Contains(s.Namespaces, "user")) {
		return err.Error() + s.Hint()
	}
	if root && s.mountsProc() && self("test:chrooted").Run() == nil {
		return "this is a chroot, whose root stays above that of a container; run it outside"
	}
	return ""
}

// init adds test:chrooted, which succeeds in a chroot: another mount is above the root.
func init() {
	experiments["test:chrooted"] = func([]string) error {
		var root, above unix.Statx_t
		err := errors.Join(os.Chdir("/"), unix.Chroot("/proc"), // "/" would end the way up
			unix.Statx(unix.AT_FDCWD, ".", 0, unix.STATX_MNT_ID, &root),
			unix.Statx(unix.AT_FDCWD, "..", 0, unix.STATX_MNT_ID, &above))
		if err == nil && root.Mnt_id == above.Mnt_id {
			err = errors.New("this is the root of the mount namespace")
		}
		return err
	}
}

// mountsProc reports whether the step's container has a /proc of its own.
func (s Step) mountsProc() bool { return slices.Contains(s.Namespaces, "mnt") }

// Weak reports whether the caller is root without the capabilities that 06 to 08 need to connect a
// container to the host, as in most containers. Then a namespace plays the host, and what the tests
// expect of root doesn't hold.
func Weak() bool {
	return os.Getuid() == 0 && !(Holds(unix.CAP_NET_ADMIN) && Holds(unix.CAP_SYS_ADMIN))
}

const weak = "root lacks CAP_NET_ADMIN or CAP_SYS_ADMIN here; run it as an ordinary user"

// leaveFirstThread does what Go's scheduler does now and then: it moves this goroutine off the
// process's first thread. What main relies on must hold every time, and not only most of the time.
func leaveFirstThread() {
	for range 3 { // each makes a thread, and 07 allows only a few
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

// User is the user that a test runs the program as.
type User struct {
	Name string
	UID  int
}

// Root is root, and Ordinary the ordinary user of tests that run as root.
var Root, Ordinary = User{"root", 0}, User{"user", ordinary}

// ordinary and ordinaryGroup are the ordinary user's uid and gid. Neither needs an entry in
// /etc/passwd. They differ, so code that takes one for the other fails, and neither is 65534, which
// the kernel also shows for an ID without a mapping.
const ordinary, ordinaryGroup = 12345, 23456

// Caller is the user who runs the tests.
func Caller() User {
	if os.Getuid() == 0 {
		return Root
	}
	return User{"user", os.Getuid()}
}

// GID is the user's group.
func (u User) GID() int {
	switch u.UID {
	case os.Getuid():
		return os.Getgid()
	case ordinary:
		return ordinaryGroup
	}
	return u.UID
}

// AsEveryUser runs a test as root and as an ordinary user. Where an ordinary user runs the tests,
// it runs as that user only.
func AsEveryUser(t *testing.T, test func(*testing.T, User)) {
	for _, u := range users() {
		asUser(t, u, test)
	}
}

// AsEveryUserAtOnce is AsEveryUser for a test that waits most of its time: it runs as both users
// side by side.
func AsEveryUserAtOnce(t *testing.T, test func(*testing.T, User)) {
	var all sync.WaitGroup
	for _, u := range users() {
		all.Go(func() { asUser(t, u, test) })
	}
	all.Wait()
}

// users returns the users that AsEveryUser runs a test as.
func users() []User {
	if os.Getuid() == 0 {
		return []User{Root, Ordinary}
	}
	return []User{Caller()}
}

// asUser runs a test as one user.
func asUser(t *testing.T, u User, test func(*testing.T, User)) {
	t.Run(u.Name, func(t *testing.T) {
		if u.UID != 0 {
			if err := u.Program("test:userns").Run(); err != nil {
				Skip(t, "an ordinary user may not make user namespaces here (%v)%s", err,
					step.Hint())
			}
			if step.mountsProc() {
				NeedProc(t)
			}
		}
		Ready(t, u)
		test(t, u)
	})
}

// init adds test:userns, which tells whether user namespaces can be made and used here. It doesn't
// use the step's code, or a fault in that would look like a system that forbids them.
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

// Program prepares the step's program to be run by the user, in a session of its own.
func (u User) Program(args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Args[0] = step.Name
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if u.UID != os.Getuid() {
		cmd.SysProcAttr.Credential = &syscall.Credential{
			Uid: uint32(u.UID), Gid: uint32(u.GID()),
		}
	}
	lendCgroups(u, cmd)
	return cmd
}

// self prepares the test binary to be run as the program, by this user and in this session. It dies
// when this thread does.
func self(args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	return cmd
}

// become turns this process into the step's program.
func become(args []string) error {
	return unix.Exec("/proc/self/exe", append([]string{step.Name}, args...), os.Environ())
}

// Result is what a command left for its caller.
type Result struct {
	Stdout, Stderr string
	Status         int // as a shell has it in $?: 128+n for signal n
}

// Run runs a command to its end, which it must reach within five minutes.
func Run(t *testing.T, cmd *exec.Cmd) Result {
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
	return Result{stdout.String(), stderr.String(), statusOf(cmd.ProcessState)}
}

// statusOf is the exit status of a process that has ended, as a shell has it.
func statusOf(ended *os.ProcessState) int {
	status := ended.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

// Output runs a command that must succeed and print nothing on standard error, and returns its
// output.
func Output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	r := Run(t, cmd)
	if r.Status != 0 || r.Stderr != "" {
		t.Fatalf("%v: exit status %d, standard error %q", cmd.Args, r.Status, r.Stderr)
	}
	return r.Stdout
}

// Run runs the step's program as the user, to its end.
func (u User) Run(t *testing.T, args ...string) Result {
	t.Helper()
	return Run(t, u.Program(args...))
}

// Output runs the step's program as the user, which must succeed, and returns its output.
func (u User) Output(t *testing.T, args ...string) string {
	t.Helper()
	return Output(t, u.Program(args...))
}

// Contains fails the test for each of the texts that isn't in output.
func Contains(t *testing.T, output string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(output, text) {
			t.Errorf("no %q in:\n%s", text, output)
		}
	}
}

// begin starts a command that goes on after its first line, and returns that line. The function end
// closes the command's standard input, on which it waits, and waits for it to end.
func begin(cmd *exec.Cmd) (line string, end func() error, err error) {
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	end = func() error { return errors.Join(stdin.Close(), cmd.Wait()) }
	for letter := []byte{0}; ; line += string(letter) {
		if _, err := stdout.Read(letter); err != nil {
			return "", nil, fmt.Errorf("%v said %q: %w", cmd.Args, line, errors.Join(err, end()))
		}
		if letter[0] == '\n' {
			return line, end, nil
		}
	}
}

// waitForEnd is the other side: it prints the line and returns when standard input ends.
func waitForEnd(line string) error {
	signal.Ignore(unix.SIGPIPE)
	fmt.Println(line)
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// exists reports whether there is a file at path.
func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// NeedNamespaces skips a test that makes namespaces where this user may not.
func NeedNamespaces(t testing.TB) {
	t.Helper()
	if err := noNamespaces(); err != nil {
		Skip(t, "this user may not make namespaces here (%v); scripts/doctor.sh says why", err)
	}
	if Weak() {
		Skip(t, weak)
	}
	if step.Name == "" { // a script's test, which runs all steps
		NeedProc(t)
	}
}

// NeedUserNamespaces skips a test that makes user namespaces, root or not, where there are none.
func NeedUserNamespaces(t testing.TB) {
	t.Helper()
	if err := noUserNamespaces(); err != nil {
		Skip(t, "%v", err)
	}
}

// noUserNamespaces returns why this user can't make one, root or not, as in a chroot.
var noUserNamespaces = sync.OnceValue(func() error {
	cmd := exec.Command("true")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("no user namespaces for uid %d here (%w), as in a chroot; "+
			"scripts/doctor.sh says why", os.Getuid(), err)
	}
	return nil
})

// NeedProc skips a test that mounts a /proc in a user namespace where the kernel refuses that.
func NeedProc(t testing.TB) {
	t.Helper()
	if err := noProc(); err != nil {
		Skip(t, "%v", err)
	}
}

// noProc returns why there is no user namespace with a /proc of its own here: the kernel mounts one
// only where no part of another is covered (mount_too_revealing in fs/namespace.c).
var noProc = sync.OnceValue(func() error {
	if err := noUserNamespaces(); err != nil {
		return err
	}
	cmd := exec.Command("mount", "-t", "proc", "proc", "/proc")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) { // it has succeeded, or there is no mount(8)
		return nil
	}
	reason, _, _ := bytes.Cut(out, []byte("\n"))
	return fmt.Errorf("no /proc for a user namespace here (%s): is part of this one covered, as "+
		"in a container? docker run --security-opt systempaths=unconfined uncovers it", reason)
})

// noNamespaces returns why this user can make neither a mount namespace nor, for that, a user
// namespace, as in a container with its runtime's defaults.
var noNamespaces = sync.OnceValue(func() error {
	err := errors.ErrUnsupported
	for _, flags := range []uintptr{unix.CLONE_NEWNS, unix.CLONE_NEWNS | unix.CLONE_NEWUSER} {
		cmd := exec.Command("true")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags}
		if err = cmd.Run(); err == nil {
			return nil
		}
	}
	return err
})

// NeedInsight skips a test that looks into a user's processes where this one may not: into another
// user's takes CAP_SYS_PTRACE (ptrace(2), "access mode checking"), which root lacks in a container.
func (u User) NeedInsight(t *testing.T) {
	t.Helper()
	if u.UID != os.Getuid() && !Holds(unix.CAP_SYS_PTRACE) {
		Skip(t, "only root with CAP_SYS_PTRACE sees another user's descriptors; run it on a host")
	}
}

// Holds reports whether this thread has the capability in its effective set (capget(2)).
func Holds(capability int) bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData // version 3 splits 64 bits in two
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return false
	}
	return sets[capability/32].Effective&(1<<(capability%32)) != 0
}
