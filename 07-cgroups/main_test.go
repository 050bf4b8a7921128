//go:build linux

// What the chapter of 07 claims.

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	"jail-to-container/scripts/steptest"
)

// TestLesson reads the lesson's facts and compares them with each other.
func TestLesson(t *testing.T) {
	asEveryUser(t, func(t *testing.T, u user) {
		out := expect(t, program(u))
		one := func(pattern string) []string {
			t.Helper()
			found := regexp.MustCompile("(?m)^"+pattern+"$").FindAllStringSubmatch(out, -1)
			if len(found) != 1 {
				t.Fatalf("%d times, not once %q in:\n%s", len(found), pattern, out)
			}
			return found[0]
		}
		number := func(text string) int {
			t.Helper()
			n, err := strconv.Atoi(text)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		one(fmt.Sprintf(`host       process \d+, uid %d(?:, .*)?`, u.uid))
		one(`host       memory\.(?:max|limit_in_bytes): 67108864`)
		one(`host       pids\.max: 50`)
		one(`64 MiB    touch 32 MiB   done    done +oom_kill 0(?:, peak \d+ MiB)?`)
		// The kernel may count a victim twice: see the chapter. The peak is near the limit, where
		// the kernel records it (Linux 5.19, in version 2).
		killed := one(`64 MiB    touch 256 MiB  done    SIGKILL +` +
			`oom_kill [12](?:, peak (\d+) MiB)? +held`)
		if killed[1] != "" && (number(killed[1]) < 58 || number(killed[1]) > 70) {
			t.Errorf("peak %s MiB, limit 64 MiB", killed[1])
		}
		started := one(`50 tasks  start 100      done    EAGAIN after (\d+) +max [1-9]\d* +held`)
		if n := number(started[1]); n < 30 || n >= 50 {
			t.Errorf("%d processes, limit 50, of which this program has some threads", n)
		}
		// The kernel gives no more than 20 %, and less if others want the CPU as well. (Outside it
		// is what they leave, so that says nothing.)
		busy := one(`20 %      busy for 1 s   \d\.\d\d s  0\.(\d\d) s, stopped +` +
			`nr_throttled ([1-9]\d*) of (\d+) +held`)
		if number(busy[1]) > 30 || number(busy[2]) > number(busy[3]) {
			t.Errorf("0.%s s of CPU time, throttled in %s of %s periods", busy[1], busy[2], busy[3])
		}
		own, err := os.Readlink("/proc/self/ns/cgroup")
		if err != nil {
			t.Fatal(err)
		}
		space := one(`host       cgroup namespace (\d+)\ncontainer  cgroup namespace (\d+) +held`)
		if "cgroup:["+space[1]+"]" != own || space[1] == space[2] {
			t.Errorf("cgroup namespaces %q, the test's is %s", space[1:], own)
		}
		one(`container  /proc/self/cgroup: /`)
		seen := one(`host       cgroups in the hierarchy: (\d+)\n` +
			`container  cgroups in the hierarchy: 1`)
		if number(seen[1]) < 2 {
			t.Errorf("the host sees %s cgroups", seen[1])
		}
		one(`host       (07-cgroups-\w{8}): found\ncontainer  07-cgroups-\w{8}: nowhere +held`)
		if !regexp.MustCompile(`(?m)^container  write\("/tmp/memory\.\w+", "(max|-1)"\) = \w+$`).
			MatchString(out) {
			t.Errorf("it hasn't tried to lift the limit:\n%s", out)
		}
		one(`host       touch 256 MiB: done\ncontainer  touch 256 MiB: SIGKILL +held`)
		one(`capabilities   [0-9a-f]{16}  0+[1-9a-f][0-9a-f]+`)
		one(`seccomp mode   \d +\d`)
		one(`mount a tmpfs  ok +ok +LEAK`)
		one(`keyctl         (?:ok +ok +LEAK|E\w+ +E\w+ +n/a)`)
	})
}

// TestVerdicts judges the lesson's answers again.
func TestVerdicts(t *testing.T) {
	if notRoot() != "" {
		return // a lesson that another process tells
	}
	leaks := 2
	if _, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false); err != nil {
		leaks-- // a kernel without keys
	}
	verdicts(t, 6, leaks)
}

// TestMemory touches half of the limit, and four times as much, which the host allows.
func TestMemory(t *testing.T) {
	half, four := strconv.Itoa(memoryLimit/2), strconv.Itoa(4*memoryLimit)
	if out := expect(t, self("lesson:touch", four)); out != "done\n" {
		t.Errorf("the control: %q", out)
	}
	asEveryUser(t, func(t *testing.T, u user) {
		out := expect(t, program(u, "/proc/self/exe", "lesson:touch", half))
		if out != "done\n" {
			t.Errorf("half of the limit: %q", out)
		}
		r := finish(t, program(u, "/proc/self/exe", "lesson:touch", four))
		if r.status != 137 || r.stdout != "" {
			t.Errorf("four times the limit: exit status %d, output %q", r.status, r.stdout)
		}
		contains(t, r.stderr, "killed by the kernel, for more than 64 MiB of memory")
	})
}

// TestProcesses starts twice as many processes as there may be, which the host allows.
func TestProcesses(t *testing.T) {
	many := strconv.Itoa(2 * pidsLimit)
	if out := expect(t, self("lesson:fork", many)); out != "done\n" {
		t.Errorf("the control: %q", out)
	}
	asEveryUser(t, func(t *testing.T, u user) {
		out := expect(t, program(u, "/proc/self/exe", "lesson:fork", many))
		var there int
		_, err := fmt.Sscanf(out, "EAGAIN after %d\n", &there)
		if err != nil || there >= pidsLimit {
			t.Errorf("inside: %q, %v", out, err)
		}
	})
}

// TestTree looks for cgroups above its own, and for a way to lift a limit.
func TestTree(t *testing.T) {
	const want = "\n/proc/self/cgroup: /\ncgroups in the hierarchy: 1\n"
	if control := expect(t, self("lesson:find", "none")); strings.Contains(control, want) {
		t.Errorf("the control:\n%s", control)
	}
	four := strconv.Itoa(4 * memoryLimit)
	asEveryUser(t, func(t *testing.T, u user) {
		out := expect(t, program(u, "/proc/self/exe", "lesson:find", "none", "mount"))
		if !strings.Contains(out, want) {
			t.Errorf("inside:\n%s", out)
		}
		// It touches too much memory, after it has tried to lift the limit.
		r := finish(t, program(u, "/proc/self/exe", "lesson:lift", four))
		if r.status != 137 || !strings.HasPrefix(r.stdout, `write("/tmp/memory.`) {
			t.Errorf("exit status %d:\n%s%s", r.status, r.stdout, r.stderr)
		}
		if out := expect(t, program(u, "cut", "-d:", "-f3", "/proc/self/cgroup")); strings.Trim(
			out, "/\n") != "" {
			t.Errorf("/proc/self/cgroup inside: %q", out)
		}
	})
}

// TestUmask starts under the strictest umask. The container's root still reads its own limits.
func TestUmask(t *testing.T) {
	defer unix.Umask(unix.Umask(0o077))
	asEveryUser(t, func(t *testing.T, u user) {
		script := "umask; ls -l /etc/resolv.conf | cut -c1-10; mount -t cgroup2 none /root && " +
			"cat /root/pids.max || { mount -t cgroup -o pids none /root && cat /root/pids.max; }"
		r := finish(t, program(u, "sh", "-c", script))
		if r.status != 0 || r.stdout != "0077\n-rw-r--r--\n50\n" {
			t.Errorf("exit status %d, umask, modes, limit: %q %q", r.status, r.stdout, r.stderr)
		}
	})
}

// TestUnlimitedIsRefused asks for a command where no cgroup can be made: nothing may run.
func TestUnlimitedIsRefused(t *testing.T) {
	cmd := program(user{uid: os.Getuid()}, "echo", "the command ran")
	if os.Getuid() == 0 {
		// Somebody who has been lent nothing.
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: ordinary, Gid: ordinaryGroup}
	} else if finish(t, program(user{uid: os.Getuid()}, "test:cgroup")).status == 0 {
		steptest.Skip(t,
			"a part of the tree of cgroups is yours; run this outside of it, or as root")
	}
	r := finish(t, cmd)
	if r.status != 125 || r.stdout != "" || strings.Count(r.stderr, "\n") != 1 {
		t.Errorf("exit status %d, standard output %q, standard error %q",
			r.status, r.stdout, r.stderr)
	}
	asked := strings.Contains(r.stderr, "systemd-run --user --scope -p Delegate=yes")
	if asked && !exists("/run/systemd/system") ||
		!asked && !strings.Contains(r.stderr, "go run -exec sudo ./07-cgroups, or ") {
		t.Errorf("no word of what helps: %q", r.stderr)
	}
}

// TestHandedOnForATime: without systemd, the top cgroup may hand no controllers on to those
// below. For a container it does, and at the end that is undone.
func TestHandedOnForATime(t *testing.T) {
	trees, err := cgroupTrees()
	if err != nil {
		t.Fatal(err)
	}
	group, err := choosePlace(trees, fmt.Sprint(step, "-top-", os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	place, two := group.(cgroup2)
	if !two || os.Getuid() != 0 {
		return // version 1 hands nothing on, and an ordinary user's cgroup is the user's
	}
	top, parent := place.limits, filepath.Dir(place.limits)
	if err := errors.Join(divided(parent, func() error { return os.Mkdir(top, 0o755) }),
		os.Mkdir(top+"/leaf", 0o755)); err != nil {
		t.Fatal(err)
	}
	defer func() {
		none := func() error { return nil }
		if err := errors.Join(removeCgroup(top+"/leaf", none), removeCgroup(top, none),
			exclusively(parent, func() error { return stepBack(parent) })); err != nil {
			t.Error(err)
		}
	}()
	handsOn := func() string {
		text, err := os.ReadFile(top + "/cgroup.subtree_control")
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(text))
	}
	cmd := program(user{"root", 0}, "test:top", top, "sh", "-c", "echo ready; read end; true")
	cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWNS
	cmd.Stderr = os.Stderr
	p, _, err := start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	if got := handsOn(); !strings.Contains(got, "memory") { // the control
		t.Errorf("while a container runs, the controllers handed on are %q", got)
	}
	if err := p.end(); err != nil {
		t.Error(err)
	}
	below, err := filepath.Glob(top + "/*/cgroup.procs")
	if got := handsOn(); got != "" || err != nil || len(below) != 1 {
		t.Errorf("afterwards %q are handed on, to the cgroups %q, %v", got, below, err)
	}
}

// TestThirty runs thirty at once, each with limits of its own, and then kills thirty. No cgroup
// may be left.
// With -short, as on an emulated machine, they are ten.
func TestThirty(t *testing.T) {
	many := 30
	if testing.Short() {
		many = 10
	}
	asEveryUser(t, func(t *testing.T, u user) {
		w := newWatch(t)
		var all sync.WaitGroup
		for i := range many {
			all.Go(func() {
				cmd := program(u, "sh", "-c", fmt.Sprintf("exit %d", i))
				cmd.Env = w.env()
				if r := finish(t, cmd); r.status != i || r.stderr != "" {
					t.Errorf("number %d: %+v", i, r)
				}
			})
		}
		all.Wait()
		w.nothingLeft(t)

		var running []*helper
		for range many {
			cmd := program(u, "sh", "-c", "echo on; cat")
			cmd.Env = w.env()
			p, line, err := start(cmd)
			if err != nil || line != "on" {
				t.Fatalf("%q, %v", line, err)
			}
			running = append(running, p)
		}
		if n := len(ourCgroups(t)); n < many { // the control of nothingLeft
			t.Errorf("%d cgroups while %d containers run", n, many)
		}
		for _, p := range running {
			if err := p.cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		for _, p := range running {
			p.end() // how it ended is not the question
		}
		w.nothingLeft(t)
	})
}

// TestNothingBeforeTheHost starts the inner half without an outer one that says "go".
func TestNothingBeforeTheHost(t *testing.T) {
	for _, text := range []string{"", "nameserver 1.", "\x00"} {
		inner := self("echo", "the command ran")
		inner.Args = append([]string{role(inside)}, inner.Args[1:]...)
		inner.Stderr = nil
		reader, writer, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := writer.WriteString(text); err != nil {
			t.Fatal(err)
		}
		writer.Close()
		inner.ExtraFiles = []*os.File{reader}
		attr := inner.SysProcAttr
		attr.Cloneflags = namespaces
		attr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
		r := finish(t, inner)
		reader.Close()
		switch {
		case text != "\x00" && (r.status != 125 || r.stdout != ""):
			t.Errorf("exit status %d, standard output %q, want 125 and none", r.status, r.stdout)
		case text != "\x00":
			contains(t, r.stderr, "wait for the outer process: EOF")
		case r.stdout != "the command ran\n":
			t.Errorf("the control: %q, %q", r.stdout, r.stderr)
		}
	}
}

// ourCgroups lists the cgroups of this step's containers.
func ourCgroups(t *testing.T) (dirs []string) {
	err := filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.HasPrefix(d.Name(), step+"-") {
			dirs = append(dirs, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}

// TestKeeperKilled ends the keeper while a command runs. The outer half, which lives, doesn't need
// it.
func TestKeeperKilled(t *testing.T) {
	asEveryUser(t, func(t *testing.T, u user) {
		w := newWatch(t)
		cmd := program(u, "sh", "-c", "echo on; cat")
		cmd.Env = w.env()
		p, _, err := start(cmd)
		if err != nil {
			t.Fatal(err)
		}
		killed := 0
		for _, process := range w.processes() {
			var pid int
			if !strings.HasSuffix(process, `\x00keeper\x00"`) {
				continue
			}
			killed++
			if _, err := fmt.Sscanf(process, "/proc/%d", &pid); err != nil {
				t.Fatal(err)
			}
			if err := unix.Kill(pid, unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		if killed == 0 {
			t.Error("there was no keeper")
		}
		if err := p.end(); err != nil {
			t.Errorf("a step that has lost its keeper ends with %v", err)
		}
		w.nothingLeft(t)
	})
}

// TestParseTrees reads what several kinds of systems have in /proc.
func TestParseTrees(t *testing.T) {
	mount := func(root, point, fstype, options string) string {
		return "31 23 0:28 " + root + " " + point + " rw,relatime shared:9 - " +
			fstype + " " + fstype + " " + options + "\n"
	}
	for name, c := range map[string]struct {
		paths, table string
		controller   string
		want         cgroupTree
	}{
		"version 2": {"0::/user.slice/session-1.scope\n",
			mount("/", "/sys/fs/cgroup", "cgroup2", "rw,nsdelegate"), "",
			cgroupTree{"/sys/fs/cgroup", "/sys/fs/cgroup/user.slice/session-1.scope"}},
		"version 1": {"7:cpu,cpuacct:/x\n4:memory:/\n",
			mount("/", "/sys/fs/cgroup/cpu,cpuacct", "cgroup", "rw,cpu,cpuacct"), "cpu",
			cgroupTree{"/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct/x"}},
		"both": {"4:pids:/a\n0::/b\n",
			mount("/", "/sys/fs/cgroup/pids", "cgroup", "rw,pids") +
				mount("/", "/sys/fs/cgroup/unified", "cgroup2", "rw"), "",
			cgroupTree{"/sys/fs/cgroup/unified", "/sys/fs/cgroup/unified/b"}},
		"a part of the tree": {"4:memory:/docker/c/d\n",
			mount("/docker/c", "/sys/fs/cgroup/memory", "cgroup", "rw,memory"), "memory",
			cgroupTree{"/sys/fs/cgroup/memory", "/sys/fs/cgroup/memory/d"}},
		"another part": {"0::/../..\n", mount("/", "/sys/fs/cgroup", "cgroup2", "rw"), "",
			cgroupTree{}},
		"not mounted": {"4:memory:/\n", mount("/", "/", "ext4", "rw"), "memory", cgroupTree{}},
		"a colon": {"0::/a:b\n", mount("/", "/c", "cgroup2", "rw"), "",
			cgroupTree{"/c", "/c/a:b"}},
		"a blank": {"0::/a\n", mount("/", `/c\040d`, "cgroup2", "rw"), "",
			cgroupTree{"/c d", "/c d/a"}},
	} {
		trees, err := parseTrees(c.paths, c.table)
		if err != nil || trees[c.controller] != c.want {
			t.Errorf("%s: %+v, %v", name, trees, err)
		}
	}
	if _, err := parseTrees("nonsense\n", ""); err == nil {
		t.Error("nonsense is understood")
	}
}

// TestPlaceInTree chooses a place in a tree that belongs to the caller, as root's does.
func TestPlaceInTree(t *testing.T) {
	top := t.TempDir()
	write := func(dir, file, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(top, dir, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	all := "cpu io memory pids\n"
	for dir, files := range map[string][2]string{ // controllers, subtree_control
		"":         {all, all},
		"a":        {all, "memory pids\n"},
		"a/b":      {"memory pids\n", ""},
		"x":        {all, all},
		"x/y":      {all, ""},
		"x/y/leaf": {"", ""},
	} {
		if err := os.MkdirAll(filepath.Join(top, dir), 0o755); err != nil {
			t.Fatal(err)
		}
		write(dir, "cgroup.controllers", files[0])
		write(dir, "cgroup.subtree_control", files[1])
		write(dir, "cgroup.procs", "")
		if dir != "" {
			write(dir, "cgroup.type", "domain\n")
		}
	}
	for own, want := range map[string]string{
		"": "", "a": "", "a/b": "", "x": "x", "x/y/leaf": "x",
	} {
		tree := cgroupTree{top, filepath.Join(top, own)}
		got, err := placeInTree(tree)
		if err != nil || got != filepath.Join(top, want) {
			t.Errorf("from %q: %s, %v, want %q", own, got, err, want)
		}
	}
	// Where nothing is enabled, the nearest that can be: one without processes, or the top.
	write("", "cgroup.subtree_control", "")
	write("", "cgroup.procs", "1\n")
	write("x", "cgroup.subtree_control", "")
	for _, c := range []struct{ full, want string }{{"x/y/leaf", "x/y"}, {"x/y", "x"}, {"x", ""}} {
		write(c.full, "cgroup.procs", "2\n")
		got, err := placeInTree(cgroupTree{top, filepath.Join(top, "x/y/leaf")})
		if err != nil || got != filepath.Join(top, c.want) {
			t.Errorf("with processes in %s: %s, %v, want %q", c.full, got, err, c.want)
		}
	}
	if text, err := os.ReadFile(top + "/x/y/cgroup.subtree_control"); len(text) > 0 || err != nil {
		t.Errorf("looking has enabled %q, %v", text, err)
	}
}

// TestNotWritten tries settings that can't be made.
func TestNotWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "memory.max")
	err := apply([]setting{{file: file, value: "1"}})
	if err == nil {
		t.Fatal("a limit in a file that isn't there")
	}
	contains(t, err.Error()+whyRefused(err, cgroup1{}),
		"set a limit of 1: open "+file, "no such file", "cgroup.subtree_control")
	if _, err := os.Stat(file); err == nil {
		t.Error("the file has been made")
	}
	if machineSwaps() {
		return
	}
	if err := apply([]setting{{file: file, value: "0", swap: true}}); err != nil {
		t.Errorf("a limit on swap that doesn't exist: %v", err)
	}
}

// TestCounter reads numbers from control files of either kind.
func TestCounter(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	for text, want := range map[string]string{
		"7\n": "7 -", "oom 1\noom_kill 3\n": "- 3", "": "- -", "max\n": "- -",
	} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, key := range []string{"", "oom_kill"} {
			number, err := counter{file, key}.read()
			if err != nil {
				got = append(got, "-")
			} else {
				got = append(got, strconv.Itoa(number))
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: %q, want %s", text, got, want)
		}
	}
}

// init adds what these tests run in the program's place.
func init() {
	// test:top makes a cgroup the top of the tree, and becomes the program in the leaf below.
	experiments["test:top"] = func(args []string) error {
		runtime.LockOSThread() // the namespace is a thread's
		self := strconv.Itoa(os.Getpid())
		if err := errors.Join(
			writeFile(args[0]+"/cgroup.procs", self),
			unix.Unshare(unix.CLONE_NEWCGROUP),
			mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
			unix.Unmount("/sys/fs/cgroup", unix.MNT_DETACH), // EBUSY else
			mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, ""),
			writeFile("/sys/fs/cgroup/leaf/cgroup.procs", self),
		); err != nil {
			return err
		}
		return unix.Exec("/proc/self/exe", append([]string{step}, args[1:]...), os.Environ())
	}
	noProof = map[string]string{
		"outside": "not as PID 1 of a container",
		"nothing": "descriptor 3 isn't the pipe from the outer process",
		"wrong":   "wait for the outer process: EOF",
		"right":   "it is also that of the process which has started me",
		"unseen":  "/proc/0/ns/mnt", // its parent, in a /proc that doesn't show that
	}
	experiments["test:role"] = func(args []string) error {
		reader, writer, err := os.Pipe()
		if err != nil {
			return err
		}
		files := []*os.File{reader}
		if args[0] == "nothing" {
			files = nil
		}
		name, command := role(inside), []string{"echo", "ran"}
		if args[0] == "unseen" {
			name, command = step, append([]string{"test:first", name}, command...)
		}
		word := map[string]string{"right": "\x00", "unseen": "\x00", "wrong": "?"}[args[0]]
		_, err = writer.WriteString(word)
		return errors.Join(err, writer.Close(), asFirst(files, name, command...))
	}
}
