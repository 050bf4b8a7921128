//go:build linux

// What the chapter of 08 claims, of the container as a whole.

package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
	"jail-to-container/scripts/steptest"
)

// init lets the mark by which a test finds its processes into the containers as well: nothing else
// of the caller's environment is.
func init() {
	if mark := os.Getenv("WATCH"); mark != "" {
		defaultEnv = append(defaultEnv, "WATCH="+mark)
	}
}

// TestLesson reads the lesson's facts, and compares them with what the test reads itself.
func TestLesson(t *testing.T) {
	asEveryUser(t, func(t *testing.T, u user) {
		out := expect(t, program(u))
		hostname, err := os.Hostname()
		if err != nil {
			t.Fatal(err)
		}
		// 08 capabilities are those of the outer process on the host's side: all that root has.
		for _, pattern := range []string{
			`(?m)^PID +\d{2,} +1$`,
			`(?m)^uid +[1-9]\d* +0$`,
			`(?m)^02 processes in /proc +\d+ +2$`,
			`(?m)^03 file system at / +\S+ +tmpfs$`,
			`(?m)^04 hostname +` + regexp.QuoteMeta(fit(hostname, 30)) + ` +container$`,
			`(?m)^07 /proc/self/cgroup +\S+ +/$`,
			`(?m)^08 capabilities +[34]\d +14$`,
			`(?m)^08 seccomp mode +\d +2$`,
			`(?m)^08 no_new_privs +\d +1$`,
			`(?m)^02 signal a process of the host's +ok +ESRCH +held  not measured$`,
			`(?m)^03 open the host's /var +ok +ENOENT +held  not measured$`,
			`(?m)^06 connect to \S+ ?\S* 127.0.0.1 +ok +ECONNREFUSED +held  net$|` +
				`(?m)^06 connect to th…host's 127.0.0.1 +ok +ECONNREFUSED +held  net$`,
			`(?m)^07 start 200 processes +200 +\d+, EAGAIN +held  limits$`,
			`(?m)^08 make a UTS namespace +ok +EPERM +held  several$`,
			`(?m)^08 mount a nonexistent path +ENOENT +EPERM +held  seccomp$`,
			`(?m)^08 bpf, an unknown command +(EINVAL +EPERM +held  seccomp|E\w+ +EPERM +n/a)$`,
			`(?m)^08 keyctl, to find a keyring +(ok +\w+ +held  seccomp|E\w+ +E\w+ +n/a)$`,
			`(?m)^08 io_uring_setup, a bad address +` +
				`(EFAULT +ENOSYS +held  seccomp|\w+ +ENOSYS +n/a)$`,
			`(?m)^08 write /proc/sys/vm/swappiness +(ok +E\w+ +held  .*|E\w+ +E\w+ +n/a)$`,
			`(?m)^08 read /proc/timer_list +\S.* (held  .*|n/a)$`,
			`(?m)^host       (9|1\d) of 12 got through$`,
			`(?m)^container  0 of 12$`,
			`(?m)^container  Linux .* LEAK$`,
		} {
			if !regexp.MustCompile(pattern).MatchString(out) {
				t.Errorf("no line like %s in:\n%s", pattern, out)
			}
		}
	})
}

// TestVerdicts judges the lesson's answers again.
func TestVerdicts(t *testing.T) {
	if notRoot() == "" { // else it is another process that runs the lesson
		verdicts(t, 12, 1)
	}
}

// TestWithout takes one wall away at a time, and reads in /proc what is missing. The other walls
// stand, which makes each the control of the others.
func TestWithout(t *testing.T) {
	asEveryUser(t, func(t *testing.T, u user) {
		script := `sed -n 's/^\(CapBnd\|NoNewPrivs\|Seccomp\):[[:space:]]*//p' /proc/self/status;
			wc -c </proc/keys; grep -c ' /proc/sys ' /proc/self/mounts;
			ls /sys | wc -l`
		look := func(flags ...string) []string {
			return strings.Fields(expect(t, program(u, append(flags, "sh", "-c", script)...)))
		}
		all := look()
		names := []string{"capabilities", "no-new-privs", "seccomp", "masks", "read-only", "net"}
		for i, name := range names {
			cmd := program(u, "-without", name, "sh", "-c", script)
			r := finish(t, cmd)
			if want := "this container is without " + name; !strings.Contains(r.stderr, want) {
				t.Errorf("-without %s says %q", name, r.stderr)
			}
			for j, word := range strings.Fields(r.stdout) {
				if (word != all[j]) != (i == j) {
					t.Errorf("-without %s: %s is %s, with it %s", name, names[j], word, all[j])
				}
			}
		}
		if r := finish(t, program(u, "-without", "mount", "true")); r.status != 125 ||
			!strings.Contains(r.stderr, `no wall "mount"`) {
			t.Errorf("-without mount: %+v", r)
		}
	})
}

// TestNoCoreDump lets a program crash, with as high a limit as it may have. The control crashes
// outside, unless that would bother a program that collects such things on this machine, or write
// elsewhere than here.
func TestNoCoreDump(t *testing.T) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil {
		t.Fatal(err)
	}
	// Inside, the filter doesn't let it be raised: so it is high from the start.
	high := unix.Rlimit{Cur: limit.Max, Max: limit.Max}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &high); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_CORE, &limit)
	asEveryUser(t, func(t *testing.T, u user) {
		if out := expect(t, program(u, "/proc/self/exe", "test:crash")); out != "no core\n" {
			t.Errorf("inside: %q", out)
		}
	})
	pattern, err := os.ReadFile("/proc/sys/kernel/core_pattern")
	if err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(string(pattern), "|/@") || limit.Max < 1<<24 {
		t.Logf("no control: core_pattern is %q, the limit %d", pattern, limit.Max)
		return
	}
	control := self("test:crash")
	control.Dir = t.TempDir()
	if out := expect(t, control); out != "a core\n" {
		t.Errorf("outside: %q", out)
	}
}

// TestCoreLimit starts with a limit of 0, as sudo(8) sets it for what it starts. Only the host's
// root may raise that; the container runs in any case.
func TestCoreLimit(t *testing.T) {
	asEveryUser(t, func(t *testing.T, u user) {
		want := "0 0\n"
		if u.uid == 0 && holds(unix.CAP_SYS_RESOURCE) {
			want = "1 1\n"
		}
		limits := []string{"sh", "-c", "sed -n 's/Max core file size *//p' /proc/self/limits | " +
			"cut -d b -f 1 | xargs echo"}
		cmd := program(u, limits...)
		cmd.Args = append([]string{step, "test:no-cores"}, cmd.Args[1:]...)
		if out := expect(t, cmd); out != want {
			t.Errorf("with a limit of 0: %q, want %q", out, want)
		}
		var ours unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_CORE, &ours); err != nil {
			t.Fatal(err)
		}
		if ours.Max > 0 {
			want = "1 1\n"
		}
		if out := expect(t, program(u, limits...)); out != want {
			t.Errorf("with one of %d: %q, want %q", ours.Max, out, want)
		}
	})
}

// TestCoreLimitStays lowers it inside, by each call that there is for it. The control does the same
// outside, where it is lowered.
func TestCoreLimitStays(t *testing.T) {
	asEveryUser(t, func(t *testing.T, u user) {
		var ours unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_CORE, &ours); err != nil {
			t.Fatal(err)
		}
		if ours.Max == 0 && !(u.uid == 0 && holds(unix.CAP_SYS_RESOURCE)) {
			steptest.Skip(t,
				"the limit is 0 already, and can't be raised to 1; raise it: ulimit -Hc 1")
		}
		for call, want := range map[string]string{
			"setrlimit": "ok, 1 1\n", "prlimit64": "ok, 1 1\n", "prlimit64-old": "EPERM, 1 1\n",
		} {
			inside := program(u, "/proc/self/exe", "test:lower-cores", call)
			if out := expect(t, inside); out != want {
				t.Errorf("%s inside: %q, want %q", call, out, want)
			}
			if out := expect(t, program(u, "test:lower-cores", call)); out != "ok, 0 0\n" {
				t.Errorf("%s outside: %q", call, out)
			}
		}
	})
}

// init adds a limit, a crash, and what the kernel says of it (wait(2), WCOREDUMP).
func init() {
	experiments["test:lower-cores"] = func(args []string) error {
		var none, old, limit unix.Rlimit
		var errno unix.Errno
		switch args[0] {
		case "setrlimit":
			_, _, errno = unix.Syscall(unix.SYS_SETRLIMIT, unix.RLIMIT_CORE,
				uintptr(unsafe.Pointer(&none)), 0)
		case "prlimit64":
			_, _, errno = unix.Syscall6(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_CORE,
				uintptr(unsafe.Pointer(&none)), 0, 0, 0)
		default:
			_, _, errno = unix.Syscall6(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_CORE,
				uintptr(unsafe.Pointer(&none)), uintptr(unsafe.Pointer(&old)), 0, 0)
		}
		answer := "ok"
		if errno != 0 {
			answer = unix.ErrnoName(errno)
		}
		err := unix.Getrlimit(unix.RLIMIT_CORE, &limit)
		fmt.Printf("%s, %d %d\n", answer, limit.Cur, limit.Max)
		return err
	}
	// In the role of the container, with no line, with another file in its place, or with all that
	// the outer process gives it.
	noProof = map[string]string{
		"outside": "not as PID 1 of a container",
		"nothing": "wait for the outer process: ",
		"pipe":    "wait for the outer process: socket operation on non-socket",
		"wrong":   "read what the host's half says",
		"right":   "it is also that of the process which has started me",
		"unseen":  "/proc/0/ns/mnt", // its parent, in a /proc that doesn't show that
	}
	experiments["test:role"] = func(args []string) error {
		line, theirs, err := newLine()
		if err != nil {
			return err
		}
		files := []*os.File{theirs}
		text := (&spec{Args: []string{"echo", "ran"}}).encode()
		switch args[0] {
		case "nothing":
			files = nil
		case "wrong":
			text = []byte("?")
		case "pipe":
			files[0], _, err = os.Pipe()
		}
		name, command := role(inside), []string{"echo", "ran"}
		if args[0] == "unseen" {
			name, command = step, append([]string{"test:first", name}, command...)
		}
		_, err2 := line.Write(append(text, 0))
		return errors.Join(err, err2, asFirst(files, name, command...))
	}
	experiments["test:no-cores"] = func(args []string) error {
		return errors.Join(unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}),
			unix.Exec("/proc/self/exe", append([]string{step}, args...), os.Environ()))
	}
	experiments["test:crash"] = func([]string) error {
		var limit unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil {
			return err
		}
		limit.Cur = limit.Max
		if err := unix.Setrlimit(unix.RLIMIT_CORE, &limit); err != nil {
			return err
		}
		cmd := exec.Command("sh", "-c", "kill -SEGV $$")
		var exit *exec.ExitError
		if err := cmd.Run(); !errors.As(err, &exit) {
			return fmt.Errorf("no crash: %v", err)
		}
		if exit.Sys().(syscall.WaitStatus).CoreDump() {
			fmt.Println("a core")
		} else {
			fmt.Println("no core")
		}
		return nil
	}
}

// TestCleanEnvironment looks for what the caller has in its environment.
func TestCleanEnvironment(t *testing.T) {
	asEveryUser(t, func(t *testing.T, u user) {
		cmd := program(u, "-env", "OURS=1", "-env", "OURS=2", "env")
		cmd.Env = append(os.Environ(), "SECRET=hunter2")
		out := expect(t, cmd)
		if strings.Contains(out, "SECRET") || strings.Contains(out, "OURS=1") {
			t.Errorf("the environment inside:\n%s", out)
		}
		contains(t, out, "OURS=2\n", "HOME=/root\n", "HOSTNAME=container\n",
			"PATH=/usr/local/sbin:")
	})
}

// ownEnvironment is that of the inner process and of the unpacker, with the mark of a test.
const ownEnvironment = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n" +
	"PS1=container# \n"

// environment returns a process's environment from its start on, as only root can read all of them
// (proc_pid_environ(5)).
func environment(t *testing.T, pid int) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), "\x00", "\n")
}

// TestEnvironmentOfPID1 looks from the host at what PID 1 has of the caller's environment: a fault
// that lets the command read PID 1's memory must not find a password there.
func TestEnvironmentOfPID1(t *testing.T) {
	if os.Getuid() != 0 {
		steptest.Skip(t, "PID 1 hides its environment from an ordinary user; run it as root")
	}
	asEveryUser(t, func(t *testing.T, u user) {
		w := newWatch(t)
		cmd := program(u, "-net=false", "sh", "-c", waiting)
		cmd.Env = append(w.env(), "SECRET=hunter2")
		s := begin(t, cmd)
		var first int
		for _, process := range w.processes() {
			var pid int
			if _, err := fmt.Sscanf(process, "/proc/%d", &pid); err != nil {
				t.Fatal(err)
			}
			numbers, err := statusOf(strconv.Itoa(pid), "NSpid")
			if err == nil && len(numbers) > 1 && numbers[len(numbers)-1] == "1" {
				first = pid
			}
		}
		want := ownEnvironment + w.mark + "\nGOMAXPROCS=1\n"
		if got := environment(t, first); got != want {
			t.Errorf("PID 1 has the environment:\n%swant:\n%s", got, want)
		}
		contains(t, environment(t, s.Process.Pid), "SECRET=hunter2\n") // the control
		if err := s.Process.Signal(unix.SIGTERM); err != nil {
			t.Fatal(err)
		}
		s.status()
		w.nothingLeft(t)
	})
}

// TestDescriptorsAreClosed leaves a file open, and looks for it inside. Descriptor 3, too, which is
// the line between the halves, isn't the command's.
func TestDescriptorsAreClosed(t *testing.T) {
	file, err := os.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	script := "for n in 3 4 5 6 7 8 9; do test -e /proc/self/fd/$n && echo $n; done; echo done"
	control := exec.Command("sh", "-c", script)
	control.ExtraFiles = []*os.File{file, file, file}
	if out := expect(t, control); out != "3\n4\n5\ndone\n" {
		t.Errorf("the control: %q", out)
	}
	asEveryUser(t, func(t *testing.T, u user) {
		cmd := program(u, "sh", "-c", script)
		cmd.ExtraFiles = []*os.File{file, file, file}
		if out := expect(t, cmd); out != "done\n" {
			t.Errorf("open inside: %q", out)
		}
		// PID 1 has its own, and nothing of a directory of the host's.
		held := program(u, "-tty=false", "sh", "-c", "echo on; cat")
		p, _, err := start(held)
		if err != nil {
			t.Fatal(err)
		}
		defer p.end()
		pid, err := firstProcess(p.cmd.Process.Pid)
		if err != nil {
			if u.uid == 0 { // an ordinary user's is one further down
				t.Error(err)
			}
			return
		}
		open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range open {
			target, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, entry.Name()))
			if strings.HasPrefix(target, "/") && !strings.HasPrefix(target, "/dev/null") {
				t.Errorf("PID 1 has %s open", target)
			}
		}
	})
}

// TestLocalhost looks up "localhost" inside: in the file, and by the C library where there is a
// getent.
func TestLocalhost(t *testing.T) {
	script := "cat /etc/hosts; type getent > /dev/null || exit 0; getent ahostsv4 localhost"
	asEveryUser(t, func(t *testing.T, u user) {
		out := expect(t, program(u, "sh", "-c", script))
		contains(t, out, "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n")
		if _, err := exec.LookPath("getent"); err == nil {
			contains(t, out, "127.0.0.1       STREAM localhost\n")
		}
	})
}

// TestManyKilled starts ten containers, each with a link, a table and cgroups on the host, and
// kills them all from outside. Nothing of them may be left.
func TestManyKilled(t *testing.T) {
	asEveryUser(t, func(t *testing.T, u user) {
		w := newWatch(t)
		var running []*helper
		var links []string
		for range 10 {
			cmd := program(u, "-tty=false", "sh", "-c",
				"sed -n '/host LOCAL/{x; s/.*-- //; /^127/!{p; q;}}; h' /proc/net/fib_trie; cat")
			cmd.Env = w.env()
			p, address, err := start(cmd)
			if err != nil {
				t.Fatal(err)
			}
			inside, err := netip.ParseAddr(address)
			if err != nil {
				t.Fatalf("the container's address: %v", err)
			}
			links = append(links, fmt.Sprintf("jail%08x", number(inside)-2)) // see chooseCable
			running = append(running, p)
		}
		here := func() (found []string) {
			tables, _ := exec.Command("nft", "list", "tables").Output()
			for _, link := range links {
				if exists("/sys/class/net/"+link) || strings.Contains(string(tables), link) {
					found = append(found, link)
				}
			}
			return found
		}
		if found := here(); u.uid == 0 && len(found) != 10 { // the control
			t.Errorf("links and tables while ten run: %q", found)
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
		for range 200 {
			if len(here()) == 0 {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
		t.Errorf("links and tables that are left: %q", here())
	})
}
