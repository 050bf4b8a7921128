//go:build linux

// An ordinary user's cgroups. Where the tests run as root, root delegates some, as systemd does
// ("delegation", cgroups(7)), and each program of that user begins in them.

package steptest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Cgroups is what the harness needs of a step that makes cgroups.
type Cgroups struct {
	Place  func(name string) (dirs []string, err error) // where the step would make one
	Make   func(dir string) error
	Remove func(dir string) error
	Aside  string        // the child that processes move to: see divide
	Try    func() error  // makes a cgroup and removes it
	Hint   func() string // what it takes, if that fails
}

// delegated holds, for each user, the directories that have been delegated.
var delegated = map[int][]string{}

// delegating is held while that is read or changed.
var delegating sync.Mutex

// tester is the variable by which programs know the PID of the test, which removes its cgroups.
const tester = "STEPTEST"

// delegatedDirs makes the cgroups that are a user's, once, and returns their directories.
func delegatedDirs(u User) (dirs []string, err error) {
	delegating.Lock()
	defer delegating.Unlock()
	if delegated[u.UID] != nil {
		return delegated[u.UID], nil
	}
	defer func() { delegated[u.UID] = dirs }()
	places, err := step.Cgroups.Place(fmt.Sprint(step.Name, "-delegated-", u.UID, "-",
		os.Getenv(tester)))
	if err != nil {
		return nil, err
	}
	for _, dir := range places {
		sweep(filepath.Dir(dir))
		// It is there already if the test has made it, or one that had its PID and was killed.
		if err := step.Cgroups.Make(dir); err != nil && !errors.Is(err, os.ErrExist) {
			return dirs, err
		}
		dirs = append(dirs, dir)
		// What is the user's: the directory, and the files that move processes and controllers
		// about, if there are any. The limits aren't.
		for _, file := range []string{"", "cgroup.procs", "cgroup.threads", "tasks",
			"cgroup.subtree_control"} {
			err := os.Chown(filepath.Join(dir, file), u.UID, u.GID())
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				return dirs, err
			}
		}
	}
	return dirs, nil
}

// sweep removes the cgroups that test runs of this step had delegated in parent when they were
// killed: those whose name ends in the PID of no process. What is in use can't be removed, and
// stays.
func sweep(parent string) {
	left, _ := filepath.Glob(parent + "/" + step.Name + "-delegated-*-*") // well formed: no error
	for _, dir := range left {
		pid, err := strconv.Atoi(dir[strings.LastIndexByte(dir, '-')+1:])
		if err != nil || !errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
			continue
		}
		var below []string
		_ = filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				below = append(below, path)
			}
			return nil // another run may sweep as well
		})
		for _, dir := range slices.Backward(below) {
			_ = unix.Rmdir(dir)
		}
	}
}

// Ready skips a test for a user who may not make the step's cgroups.
func Ready(t *testing.T, u User) {
	t.Helper()
	if step.Cgroups == nil {
		return
	}
	if r := u.Run(t, "test:cgroup"); r.Status != 0 {
		// What helps go run helps go test.
		hint := strings.ReplaceAll(step.Cgroups.Hint(), "go run", "go test")
		Skip(t, "this user has no cgroup to divide: %s", hint)
	}
}

// UnlimitedIsRefused asks for a command where no cgroup can be made: nothing may run. The lesson
// runs: it says why its containers have no limits, prints these lines, and then how to get limits.
// UnlimitedIsRefused returns what starts the program as this user.
func UnlimitedIsRefused(t *testing.T, lines ...string) (start func(args ...string) *exec.Cmd) {
	t.Helper()
	start = func(args ...string) *exec.Cmd {
		cmd := Caller().Program(args...)
		if os.Getuid() == 0 {
			// A user to whom no cgroup is delegated.
			cmd.SysProcAttr.Credential = &syscall.Credential{
				Uid: uint32(Ordinary.UID), Gid: uint32(Ordinary.GID()),
			}
		}
		return cmd
	}
	if err := start("test:userns").Run(); err != nil {
		Skip(t, "an ordinary user may not make user namespaces here (%v)%s", err, step.Hint())
	}
	if os.Getuid() != 0 && Caller().Run(t, "test:cgroup").Status == 0 {
		Skip(t, "a cgroup is delegated to you; run this outside of it, or as root")
	}
	r := Run(t, start("echo", "the command ran"))
	if r.Status != 125 || r.Stdout != "" || strings.Count(r.Stderr, "\n") != 1 {
		t.Errorf("exit status %d, standard output %q, standard error %q",
			r.Status, r.Stdout, r.Stderr)
	}
	helps := "go run -exec sudo ./" + step.Name + ", or "
	if strings.Contains(r.Stderr, "systemd-run") && exists("/run/systemd/system") {
		helps = "systemd-run --user --scope -p Delegate=yes"
	}
	if readOnlyCgroups() {
		helps = "run this on the host"
	}
	Contains(t, r.Stderr, helps)
	r = Run(t, start())
	lines = append([]string{
		"host       I can't make a cgroup: .*(\nhost  .*)+",
		"host       so this lesson's containers have no limits",
	}, append(lines, "next       go run -exec sudo ./"+step.Name)...)
	for _, line := range lines {
		if !regexp.MustCompile("(?m)^" + line + "$").MatchString(r.Stdout) {
			t.Errorf("the lesson has no line %q", line)
		}
	}
	if t.Failed() || r.Status != 0 || r.Stderr != "" {
		t.Errorf("the lesson's exit status %d:\n%s%s", r.Status, r.Stdout, r.Stderr)
	}
	return start
}

// readOnlyCgroups reports whether cgroups are mounted read-only: with cgroup v1 a hierarchy in
// /sys/fs/cgroup, with cgroup v2 all of it.
func readOnlyCgroups() bool {
	entries, _ := filepath.Glob("/sys/fs/cgroup/*") // well formed: no error
	return slices.ContainsFunc(entries, func(path string) bool {
		var fs unix.Statfs_t
		return unix.Statfs(path, &fs) == nil && fs.Flags&unix.ST_RDONLY != 0
	})
}

// lendCgroups has a program of another user begin in cgroups of that user's.
func lendCgroups(u User, cmd *exec.Cmd) {
	if step.Cgroups == nil || u.UID == os.Getuid() {
		return // the caller has them, or hasn't
	}
	dirs, err := delegatedDirs(u)
	if err != nil {
		return // the program will miss them, and say so
	}
	join := []string{step.Name, "test:join", strings.Join(dirs, "\t"), strconv.Itoa(u.UID),
		strconv.Itoa(u.GID())}
	cmd.Args = append(join, cmd.Args[1:]...)
	cmd.SysProcAttr.Credential = nil
}

// takeBack removes the delegated cgroups. The keepers of programs that were killed may still be at
// work, and there may be cgroups for processes that have moved aside.
func takeBack() {
	for _, dirs := range delegated {
		for _, dir := range dirs {
			if err := step.Cgroups.Remove(dir); err != nil {
				fmt.Fprintln(os.Stderr, "take an ordinary user's cgroups back:", err)
			}
		}
	}
}

// init adds what these checks run in the program's place.
func init() {
	// test:cgroup makes a cgroup and takes it away again.
	experiments["test:cgroup"] = func([]string) error { return step.Cgroups.Try() }
	// test:join moves this process into cgroups, makes it another user's, and becomes the program.
	experiments["test:join"] = func(args []string) error {
		for dir := range strings.SplitSeq(args[0], "\t") {
			join(dir)
		}
		uid, err1 := strconv.Atoi(args[1])
		gid, err2 := strconv.Atoi(args[2])
		err := errors.Join(err1, err2)
		if err == nil && uid != os.Getuid() {
			err = errors.Join(unix.Setgroups(nil), unix.Setgid(gid), unix.Setuid(uid))
		}
		if err != nil {
			return err
		}
		return become(args[3:])
	}
}

// join moves this process into a cgroup. If others in it have moved aside and divided it, the only
// room left is where they are (see divide). In a user namespace it may be refused: then the program
// will miss it, and say so.
func join(dir string) {
	aside := filepath.Join(dir, step.Cgroups.Aside)
	for range 200 {
		for _, place := range []string{dir, aside} {
			// Without O_CREATE: in a file system that isn't cgroup's it would make a file.
			procs, err := os.OpenFile(place+"/cgroup.procs", os.O_WRONLY, 0)
			if err != nil {
				continue
			}
			_, err = procs.WriteString(strconv.Itoa(os.Getpid()))
			procs.Close()
			if err == nil {
				return
			}
		}
		if !exists(aside) {
			return
		}
	}
}
