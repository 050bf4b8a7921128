//go:build linux

// PID 1 as an init: signals arrive, orphans are reaped, statuses come back, and the command can't
// reach into it.

package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"jail-to-container/scripts/steptest"
)

// waiting is a command that waits for signals, in such a way that a shell's trap runs at once.
const waiting = "echo ready; while :; do sleep 100 & wait; done"

// started is a command that has been started and has said "ready".
type started struct {
	*exec.Cmd
	lines *bufio.Scanner
}

// begin starts a command with its standard output on a pipe, and waits for the word. A command that
// takes more than a minute fails the test, and ends.
func begin(t *testing.T, cmd *exec.Cmd) *started {
	t.Helper()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() }) // does nothing if it has ended, as it should
	late := time.AfterFunc(time.Minute, func() {
		if cmd.Process.Kill() == nil { // else it has ended
			t.Errorf("killed, after a minute: %q", cmd.Args)
		}
	})
	t.Cleanup(func() { late.Stop() })
	s := &started{cmd, bufio.NewScanner(stdout)}
	if line := s.line(); line != "ready" {
		t.Fatalf("%v said %q, want ready", cmd.Args, line)
	}
	return s
}

// line returns the next line of output, or what is wrong with it.
func (s *started) line() string {
	if !s.lines.Scan() {
		return fmt.Sprint("no line: ", s.lines.Err())
	}
	return s.lines.Text()
}

// status waits for the end.
func (s *started) status() int {
	_ = s.Wait() // how it ended is in the state
	state := s.ProcessState.Sys().(syscall.WaitStatus)
	if state.Signaled() {
		return 128 + int(state.Signal())
	}
	return state.ExitStatus()
}

// TestSignalsReachTheCommand sends every signal to the outer process, one after another. Those that
// aren't sent have no meaning from outside, stop a process, or belong to Go (SIGURG,
// SIGPROF) and to C libraries (32 to 34).
func TestSignalsReachTheCommand(t *testing.T) {
	without := []unix.Signal{
		unix.SIGILL, unix.SIGTRAP, unix.SIGBUS, unix.SIGFPE, unix.SIGKILL, unix.SIGSEGV,
		unix.SIGPIPE, unix.SIGCHLD, unix.SIGSTOP, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU,
		unix.SIGURG, unix.SIGPROF, unix.SIGSYS, 32, 33, 34,
	}
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		script := "for s in %s; do trap \"echo $s\" $s; done; " + waiting
		var signals []unix.Signal
		var numbers []string
		for s := unix.Signal(1); s <= 64; s++ {
			if !slices.Contains(without, s) && !signal.Ignored(s) { // as nohup(1) has it
				signals = append(signals, s)
				numbers = append(numbers, fmt.Sprint(int(s)))
			}
		}
		s := begin(t, u.Program("sh", "-c", fmt.Sprintf(script, strings.Join(numbers, " "))))
		for i, signal := range signals {
			if err := s.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			if line := s.line(); line != numbers[i] {
				t.Fatalf("signal %d (%v): the command said %q", int(signal), signal, line)
			}
		}
	})
}

// TestEnds has the command end by itself, by signals of its own, and by signals to the outer
// process. In the steps before, where it was PID 1, it couldn't even have killed itself.
func TestEnds(t *testing.T) {
	steptest.AsEveryUserAtOnce(t, func(t *testing.T, u steptest.User) {
		for _, c := range []struct {
			name, script string
			signal       syscall.Signal
			status       int
		}{
			{"status", "echo ready; exit 7", 0, 7},
			{"own SIGTERM", "echo ready; kill -TERM $$", 0, 143},
			{"own SIGKILL", "echo ready; kill -KILL $$", 0, 137},
			{"SIGTERM", "echo ready; exec sleep 100", unix.SIGTERM, 143},
			{"SIGHUP", "echo ready; exec sleep 100", unix.SIGHUP, 129},
			{"SIGINT, shell and child", "sh -c 'echo ready; exec sleep 100'; exit 8",
				unix.SIGINT, 130},
			{"SIGTERM, trapped", "trap 'exit 42' TERM; " + waiting, unix.SIGTERM, 42},
			{"SIGTERM to PID 1 from inside",
				"trap 'exit 43' TERM; echo ready; kill -TERM 1; sleep 100 & wait; exit 8", 0, 43},
			{"SIGKILL", "trap : TERM INT HUP; " + waiting, unix.SIGKILL, 137},
			{"others stay behind",
				"setsid sleep 100 & setsid sleep 100 & echo ready; exit 9", 0, 9},
		} {
			t.Run(c.name, func(t *testing.T) {
				w := steptest.NewWatch(t)
				cmd := u.Program("sh", "-c", c.script)
				cmd.Env = w.Env()
				s := begin(t, cmd)
				if c.signal != 0 {
					if err := s.Process.Signal(c.signal); err != nil {
						t.Fatal(err)
					}
				}
				if status := s.status(); status != c.status {
					t.Errorf("exit status %d, want %d", status, c.status)
				}
				w.NothingLeft(t)
			})
		}
	})
}

// TestPathOfCommand looks up a program as execvp(3) does: an element that is relative or empty
// counts from the working directory. The control's PATH leads elsewhere.
func TestPathOfCommand(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		b := newBench(t, u)
		tool := b.write(t, "tool", []byte("#!/bin/sh\necho found\n"))
		if err := os.Chmod(tool, 0o755); err != nil {
			t.Fatal(err)
		}
		for path, status := range map[string]int{
			"/nowhere:.": 0, ":/nowhere": 0, "/nowhere:": 0, "": 0, "../tmp": 0, "/tmp": 0,
			"/nowhere": 127, "bin": 127,
		} {
			r := u.Run(t, "-net=false", "-volume", tool+":/tmp/tool:ro", "-workdir", "/tmp",
				"-env", "PATH="+path, "tool")
			if r.Status != status || (r.Stdout == "found\n") != (status == 0) {
				t.Errorf("PATH=%s: %+v, want status %d", path, r, status)
			}
		}
	})
}

// TestSignalAtAnyTime ends the outer process by SIGTERM at ever other moments of the start. Whether
// the signal comes before the command or after, it is what ends it, and nothing is left.
func TestSignalAtAnyTime(t *testing.T) {
	steptest.AsEveryUserAtOnce(t, func(t *testing.T, u steptest.User) {
		w := steptest.NewWatch(t)
		for i := range 30 {
			cmd := u.Program("sleep", "100")
			cmd.Env = w.Env()
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(i) * time.Millisecond)
			if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
				t.Fatal(err)
			}
			s := started{Cmd: cmd}
			if status := s.status(); status != 143 {
				t.Errorf("after %d ms: exit status %d, want 143", i, status)
			}
		}
		w.NothingLeft(t)
	})
}

// TestIgnoredSignal starts the program as nohup(1) does.
func TestIgnoredSignal(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		cmd := u.Program("test:nohup", "sh", "-c", "kill -HUP $$; echo ready; kill -TERM $$")
		if status := begin(t, cmd).status(); status != 143 {
			t.Errorf("exit status %d, want 143: SIGHUP was to be ignored", status)
		}
	})
}

// init adds what becomes the program with SIGHUP ignored, which execve(2) leaves so.
func init() {
	experiments["test:nohup"] = func(args []string) error {
		signal.Ignore(unix.SIGHUP)
		return unix.Exec("/proc/self/exe", append([]string{step}, args...), os.Environ())
	}
}

// TestOrphansReaped makes hundreds of orphans, which all end, and looks for zombies. The control is
// what one of them says of its parent.
func TestOrphansReaped(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		out := u.Output(t, "sh", "-c", `
			(sh -c 'while ! grep -q "^PPid:.1$" /proc/$$/status; do :; done; echo orphaned' &)
			i=0
			while [ $i -lt 300 ]; do (: & ); i=$((i + 1)); done
			i=0
			while grep -qs "^State:.Z" /proc/[0-9]*/status && [ $i -lt 200 ]; do
				sleep 0.05; i=$((i + 1))
			done
			cat /proc/[0-9]*/status 2>&- | grep -c "^State:.Z"
			:`)
		lines := strings.Fields(out)
		slices.Sort(lines)
		if !slices.Equal(lines, []string{"0", "orphaned"}) {
			t.Errorf("want an orphan and 0 zombies; got:\n%s", out)
		}
	})
}

// TestStopAndContinue is Ctrl-Z and fg, where the command has no terminal of its own: the outer
// process stops, for the caller's shell to see, and the command as well.
func TestStopAndContinue(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		w := steptest.NewWatch(t)
		cmd := u.Program("sh", "-c", "echo ready; cat; :")
		cmd.Env = w.Env()
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		s := begin(t, cmd)
		fmt.Fprintln(stdin, "it runs")
		line, state := s.line(), states(w, "cat")
		if line != "it runs" || len(state) != 1 || state == "T" {
			t.Fatalf("cat said %q and has state %q", line, state)
		}
		s.Process.Signal(unix.SIGTSTP)
		var status unix.WaitStatus
		if _, err := unix.Wait4(s.Process.Pid, &status, unix.WUNTRACED, nil); err != nil {
			t.Fatal(err)
		}
		if !status.Stopped() {
			t.Fatalf("the outer process hasn't stopped, but has status %#x", status)
		}
		for i := 0; i < 200 && state != "T"; i++ {
			time.Sleep(50 * time.Millisecond)
			state = states(w, "cat")
		}
		if state != "T" {
			t.Errorf("cat has state %q, want T", state)
		}
		s.Process.Signal(unix.SIGCONT)
		fmt.Fprintln(stdin, "on again")
		if line := s.line(); line != "on again" {
			t.Errorf("after SIGCONT: %q", line)
		}
		stdin.Close()
		if status := s.status(); status != 0 {
			t.Errorf("exit status %d", status)
		}
		w.NothingLeft(t)
	})
}

// states returns the states (proc_pid_stat(5)) of the watched processes of a name.
func states(w *steptest.Watch, name string) string {
	states := ""
	for _, found := range w.Processes() {
		stat, err := os.ReadFile(filepath.Join(strings.Fields(found)[0], "stat"))
		if _, rest, is := strings.Cut(string(stat), "("+name+") "); err == nil && is {
			states += rest[:1]
		}
	}
	return states
}

// TestPID1IsHidden has the command look into PID 1, whose threads can do what it can't. The control
// is that it can look into itself.
func TestPID1IsHidden(t *testing.T) {
	looks := []string{
		"readlink /proc/%s/exe", "readlink /proc/%s/fd/0", "cat /proc/%s/environ",
		"cat /proc/%s/maps", "test -r /proc/%[1]s/mem && exec 3<>/proc/%[1]s/mem",
	}
	script, want := "", ""
	for n, look := range looks {
		for _, who := range []string{"self", "1"} {
			script += fmt.Sprintf("("+look+") >/dev/null 2>&1 && echo %[2]d %[1]s\n", who, n)
		}
		want += fmt.Sprintf("%d self\n", n)
	}
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		out := u.Output(t, "sh", "-c", script+"true")
		if out != want {
			t.Errorf("what can be looked into:\n%swant:\n%s", out, want)
		}
	})
}

// TestPID1Stays has root inside send PID 1 the signals of faults, and SIGKILL. It lives on, as the
// command, which has no handlers, does not.
func TestPID1Stays(t *testing.T) {
	steptest.AsEveryUserAtOnce(t, func(t *testing.T, u steptest.User) {
		script := ""
		for _, s := range append(slices.Clone(faults), unix.SIGKILL) {
			script += fmt.Sprintf("kill -%d 1; ", s)
		}
		r := u.Run(t, "sh", "-c", script+"sleep 1; echo alive")
		if r.Status != 0 || r.Stdout != "alive\n" || r.Stderr != "" {
			t.Errorf("%+v", r)
		}
		for _, s := range faults {
			r := u.Run(t, "sh", "-c", fmt.Sprintf("kill -%d $$", s))
			if r.Status != 128+int(s.(unix.Signal)) {
				t.Errorf("signal %d for the command: %+v", s, r)
			}
		}
	})
}

// TestUser runs the command as another user, where there is one inside.
func TestUser(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		r := u.Run(t, "-user=1000", "id", "-u")
		if u.UID == 0 && (r.Stdout != "1000\n" || r.Status != 0) {
			t.Errorf("root's container: %+v", r)
		}
		// An ordinary user may have more ids, where the system has set some aside.
		if u.UID != 0 && r.Status != 0 {
			steptest.Contains(t, r.Stderr, "uid 1000 isn't one of the container's")
		}
	})
}

// TestEndWhileStarting starts a container on a root whose user table takes 45 s to open, because
// this test has a lease on it (fcntl(2)). A signal that asks it to end must do so at once, and
// other signals must not end it.
func TestEndWhileStarting(t *testing.T) {
	steptest.AsEveryUserAtOnce(t, func(t *testing.T, u steptest.User) {
		b := newBench(t, u)
		for _, dir := range []string{"etc", "proc", "sys", "dev"} {
			if err := os.Mkdir(b.dir+"/"+dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		table, err := os.Create(b.dir + "/etc/passwd")
		if err != nil {
			t.Fatal(err)
		}
		defer table.Close()
		_, err = unix.FcntlInt(table.Fd(), unix.F_SETLEASE, unix.F_WRLCK)
		if err != nil {
			t.Fatal(err)
		}
		untilCaught := 200 * time.Millisecond // the signals
		if testing.Short() {
			untilCaught = 3 * time.Second // on an emulated machine
		}
		for _, signal := range []unix.Signal{
			unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT,
		} {
			w := steptest.NewWatch(t)
			cmd := u.Program("-net=false", "-root", b.dir, "/bin/true")
			cmd.Env = w.Env()
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(untilCaught) // else it is easy
			hung := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
			for _, other := range []unix.Signal{
				unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM, unix.SIGWINCH, unix.SIGCONT, unix.SIGIO,
			} {
				if err := cmd.Process.Signal(other); err != nil {
					t.Error(err)
				}
			}
			time.Sleep(20 * time.Millisecond) // one that ends it has the time to
			if err := cmd.Process.Signal(signal); err != nil {
				t.Error(err)
			}
			_ = cmd.Wait()
			hung.Stop()
			if signal == unix.SIGQUIT {
				signal = unix.SIGTERM // of SIGQUIT, Go would print a page
			}
			if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != signal {
				t.Errorf("asked to end with %v: %v", signal, cmd.ProcessState)
			}
			w.NothingLeft(t)
		}
	})
}
