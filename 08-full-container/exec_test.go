//go:build linux

// A second command in a container that runs, and who may start one.

package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"jail-to-container/scripts/steptest"
)

// running is a container and the user that started it.
type running struct {
	*testing.T
	*started
	user steptest.User
}

// runContainer starts a container whose command says "ready" and then runs a script.
func runContainer(t *testing.T, u steptest.User, script string, flags ...string) *running {
	t.Helper()
	cmd := u.Program(append(flags, "sh", "-c", "echo ready; "+script)...)
	r := &running{t, nil, u}
	_, err := cmd.StdinPipe() // open for as long as the test takes
	if err != nil {
		t.Fatal(err)
	}
	r.started = begin(t, cmd)
	return r
}

// pid is what -exec wants.
func (r *running) pid() string { return strconv.Itoa(r.Process.Pid) }

// command prepares a command to be run inside, as the same user.
func (r *running) command(args ...string) *exec.Cmd {
	return r.user.Program(append([]string{"-exec", r.pid()}, args...)...)
}

// output runs a command inside, which must succeed.
func (r *running) output(args ...string) string {
	r.Helper()
	return steptest.Output(r.T, r.command(args...))
}

// inheritance is a script that prints what a process inherits.
const inheritance = `
	sed -n '/^Cap/p; /^Sec/p; /^NoNew/p; /^PPid/p; /^Groups/p; /^SigI/p' /proc/self/status
	for name in pid mnt uts ipc user net cgroup time; do readlink /proc/self/ns/$name; done
	cat /proc/self/cgroup /proc/self/oom_score_adj /proc/self/limits; umask; pwd; env | sort`

// TestExecInherits compares what the first command has, by its birth, with what many have that
// -exec starts at the same time. The control is one that comes in by nsenter(1).
func TestExecInherits(t *testing.T) {
	many := 200
	if testing.Short() {
		many = 20
	}
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		// The shell that runs the script is the parent that it sees: so each has another PPid.
		script := "exec 2>&1;" + inheritance + "; echo that is all; cat"
		r := runContainer(t, u, script, "-pids", "4000", "-memory", "1G")
		var want strings.Builder
		for line := r.line(); line != "that is all"; line = r.line() {
			want.WriteString(line + "\n")
		}
		steptest.Contains(t, want.String(), "CapEff:\t00000000800405fb", "Seccomp:\t2",
			"NoNewPrivs:\t1")
		parent := regexp.MustCompile(`PPid:\t\d+`)
		state := parent.ReplaceAllString(want.String(), "")
		var all sync.WaitGroup
		for range many {
			all.Go(func() {
				got := steptest.Run(t, r.command("sh", "-c", inheritance))
				if got.Status != 0 || parent.ReplaceAllString(got.Stdout, "") != state {
					t.Errorf("%+v; the first command has:\n%s", got, want.String())
				}
			})
		}
		all.Wait()
		if out := r.output("sed", "-n", "s/^PPid://p", "/proc/self/status"); out != "\t1\n" {
			t.Errorf("the parent of a command by -exec is %q, want 1", out)
		}
		if u.UID != 0 {
			return
		}
		nsenter := exec.Command("nsenter", "-t", strconv.Itoa(childOf(t, r.Process.Pid, "init")),
			"-m", "-u", "-i", "-n", "-p", "-U", "cat", "/proc/self/status")
		entered := steptest.Run(t, nsenter).Stdout
		steptest.Contains(t, entered, "Seccomp:\t0", "NoNewPrivs:\t0")
	})
}

// childOf returns the PID of a process's child of that name.
func childOf(t *testing.T, parent int, name string) (pid int) {
	t.Helper()
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		stat, _ := os.ReadFile(file) // it may have ended
		if strings.Contains(string(stat), fmt.Sprintf(" (%s) ", name)) &&
			strings.Fields(string(stat))[3] == strconv.Itoa(parent) {
			if _, err := fmt.Sscan(string(stat), &pid); err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	t.Fatalf("process %d has no child %q", parent, name)
	return 0
}

// TestExecStatus has commands end in every way there is, and others that can't be run.
func TestExecStatus(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		r := runContainer(t, u, "cat")
		self := strconv.Itoa(os.Getpid())
		for _, c := range []struct {
			args   []string
			status int
			says   string
		}{
			{[]string{"-exec", r.pid(), "true"}, 0, ""},
			{[]string{"-exec", r.pid(), "sh", "-c", "exit 7"}, 7, ""},
			{[]string{"-exec", r.pid(), "sh", "-c", "kill -TERM $$"}, 143, ""},
			{[]string{"-exec", r.pid(), "no-such"}, 127, `"no-such": executable`},
			{[]string{"-exec", r.pid(), "/no/\x1b]0;file"}, 127, `/no/\x1b]0;file: no such`},
			{[]string{"-exec", r.pid(), "/usr"}, 126, "/usr"},
			{[]string{"-exec", r.pid(), ""}, 127, "executable file not found"},
			{[]string{"-exec", r.pid(), "-user", "no-such", "true"}, 125, `user "no-such": `},
			{[]string{"-exec", r.pid(), "-workdir", "/etc/hosts", "true"}, 125, "working dir"},
			{[]string{"-exec", r.pid(), "-workdir", "work", "true"}, 125, "an absolute path"},
			{[]string{"-exec", r.pid(), "-i", "-w", "/tmp", "-u", "0", "true"}, 0, ""},
			{[]string{"-exec", r.pid()}, 125, "no COMMAND"},
			{[]string{"-exec", r.pid(), "-memory", "64M", "true"}, 125, "-memory is for a new"},
			{[]string{"-exec", "0", "true"}, 125, "-exec 0: a PID was expected"},
			{[]string{"-exec", self, "true"}, 125, "container " + self + ": no container has that"},
			{[]string{"-ps", "true"}, 125, "-ps takes no COMMAND"},
			{[]string{"-ps", "-exec", r.pid(), "true"}, 125, "-exec is for a new"},
		} {
			got := u.Run(t, c.args...)
			if got.Status != c.status || got.Stdout != "" || (c.says == "") != (got.Stderr == "") {
				t.Errorf("%q: %+v, want status %d", c.args, got, c.status)
			}
			steptest.Contains(t, got.Stderr, c.says)
		}
		if out := r.output("echo", "still here"); out != "still here\n" {
			t.Errorf("afterwards: %q", out)
		}
	})
}

// TestExecStreams passes much through pipes, in both directions. Each side ends when the other
// does, and not before.
func TestExecStreams(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		r := runContainer(t, u, "cat", "-net=false")
		data := bytes.Repeat([]byte("\x00\xff\r\n"), 2_000_000)
		cmd := r.command("sh", "-c", "cat; echo end >&2")
		cmd.Stdin = bytes.NewReader(data)
		got := steptest.Run(t, cmd)
		if got.Stdout != string(data) || got.Stderr != "end\n" || got.Status != 0 {
			t.Errorf("%d bytes of %d, %x, status %d, %q", len(got.Stdout), len(data),
				sha256.Sum256([]byte(got.Stdout)), got.Status, got.Stderr)
		}
		// The command closes its output, and goes on until its input ends.
		cmd = r.command("sh", "-c", "echo first; exec >/dev/null; cat; exit 5")
		stdin, err1 := cmd.StdinPipe()
		stdout, err2 := cmd.StdoutPipe()
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if first, err := io.ReadAll(io.LimitReader(stdout, 6)); string(first) != "first\n" {
			t.Errorf("%q, %v", first, err)
		}
		stdin.Close()
		if rest, err := io.ReadAll(stdout); err != nil || len(rest) > 0 {
			t.Errorf("then %q, %v", rest, err)
		}
		if status := (&started{Cmd: cmd}).status(); status != 5 {
			t.Errorf("exit status %d, want 5", status)
		}
		// The reader goes away.
		cmd = r.command("sh", "-c", "trap - PIPE; exec yes")
		if stdout, err1 = cmd.StdoutPipe(); err1 != nil {
			t.Fatal(err1)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		stdout.Close()
		if status := (&started{Cmd: cmd}).status(); status != 141 {
			t.Errorf("yes, whose reader is gone: exit status %d", status)
		}
		cmd = r.command("true")
		if cmd.Stdin, err1 = os.Open("/"); err1 != nil {
			t.Fatal(err1)
		}
		if got := steptest.Run(t, cmd); got.Status != 125 {
			t.Errorf("with a directory of the host's as a stream: %+v", got)
		}
	})
}

// TestExecAtATerminal is a second shell: whose terminal it is, keys for the jobs in it, and a
// window that changes its size. A job that is left behind keeps the terminal, but not the client.
func TestExecAtATerminal(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		r := runContainer(t, u, "cat")
		s := sit(t, r.command("sh"))
		before := s.settings()
		s.look().dialog(
			prompt, "tty\n",
			"/dev/pts/0\r\n", "stty size\n",
			"24 80\r\n", "test -t 2 && echo $((6 * 7)); cat\n",
			"42\r\n", "it runs\n", "it runs\r\nit runs\r\n", "\x03",
			prompt, "echo status $?\n",
			"status 130\r\n"+prompt, "echo $((6 * 8)); cat\n",
			"48\r\n", "still\n", "still\r\nstill\r\n", "\x1a",
			"Stopped", "", prompt, "fg\n",
			"cat\r\n", "on again\n", "on again\r\non again\r\n", "\x04",
			prompt, "",
		)
		size := &unix.Winsize{Row: 50, Col: 132}
		if err := unix.IoctlSetWinsize(int(s.keyboard.Fd()), unix.TIOCSWINSZ, size); err != nil {
			t.Fatal(err)
		}
		s.dialog("", "while [ \"$(stty size)\" != '50 132' ]; do :; done; stty size\n",
			"stty size\r\n", "", "50 132\r\n"+prompt, "(trap '' HUP; exec sleep 1000) & exit 3\n")
		s.end(3)
		if after := s.settings(); before != after {
			t.Errorf("the terminal's settings were %+v before, and are %+v", before, after)
		}
		// Each has a terminal of its own; and all of a long output comes.
		s = sit(t, r.command("sh", "-c", "tty; seq 20000; exit 4"))
		out := s.look().end(4)
		if lines := strings.Count(out, "\r\n"); lines != 20001 {
			t.Errorf("%d lines on the screen", lines)
		}
		if strings.HasPrefix(out, "/dev/pts/0\r\n") {
			t.Error("the second terminal is the first")
		}
	})
}

// TestExecKeepsTerminal starts a second command without a terminal of its own, at one. It gets none
// of the caller's, which a process that it leaves behind could read. The control is the first
// command, which does: it ends with the step.
func TestExecKeepsTerminal(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		script := "echo ready; for fd in 0 1 2; do test -t $fd && echo terminal $fd; done; " +
			"read line; echo got $line; exec 3<&0; sleep 2 <&3 &"
		talk := func(cmd *exec.Cmd) string {
			s := sit(t, cmd).look()
			s.dialog("ready\r\n", "one\n")
			return s.end(0)
		}
		out := talk(u.Program("-net=false", "-tty=false", "sh", "-c", script))
		steptest.Contains(t, out, "terminal 0", "terminal 1", "terminal 2", "got one\r\n")
		r := runContainer(t, u, "cat", "-net=false")
		out = talk(r.command("-tty=false", "sh", "-c", script))
		steptest.Contains(t, out, "got one\r\n")
		if strings.Contains(out, "terminal") {
			t.Errorf("it has the caller's terminal: %q", out)
		}
	})
}

// TestExecUser: what the flags don't say is as for the first command.
func TestExecUser(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		script := "id -u; id -g; pwd; echo $NAME $OTHER $HOME"
		r := runContainer(t, u, "cat", "-workdir", "/tmp", "-env", "NAME=first")
		if out := r.output("sh", "-c", script); out != "0\n0\n/tmp\nfirst /root\n" {
			t.Errorf("by default: %q", out)
		}
		out := r.output("-workdir", "/etc", "-env", "NAME=second", "-env", "OTHER=x", "sh", "-c",
			script)
		if out != "0\n0\n/etc\nsecond x /root\n" {
			t.Errorf("with flags: %q", out)
		}
		if u.UID != 0 {
			return // there may be one user only
		}
		out = r.output("-user", "1234:5678", "sh", "-c", script)
		if out != "1234\n5678\n/tmp\nfirst /\n" {
			t.Errorf("with -user: %q", out)
		}
		r = runContainer(t, u, "cat", "-user", "1234")
		if out := r.output("id", "-u"); out != "1234\n" {
			t.Errorf("in a container with -user 1234: %q", out)
		}
	})
}

// TestExecSignals sends signals to the client.
func TestExecSignals(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		r := runContainer(t, u, "cat")
		for _, c := range []struct {
			script string
			signal unix.Signal
			status int
		}{
			{"echo ready; exec sleep 100", unix.SIGTERM, 143},
			{"trap 'exit 42' TERM; " + waiting, unix.SIGTERM, 42},
			{"trap 'exit 43' USR1; " + waiting, unix.SIGUSR1, 43},
			{"sh -c 'echo ready; exec sleep 100'; exit 8", unix.SIGINT, 130},
		} {
			s := begin(t, r.command("sh", "-c", c.script))
			s.Process.Signal(c.signal)
			if status := s.status(); status != c.status {
				t.Errorf("%s: exit status %d, want %d", c.script, status, c.status)
			}
		}
	})
}

// TestExecClientKilled kills the client. Its command is hung up, and one that ignores this stays
// until the container ends.
func TestExecClientKilled(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		w := steptest.NewWatch(t)
		cmd := u.Program("sh", "-c", "echo ready; exec sleep 1000")
		cmd.Env = w.Env()
		r := &running{t, begin(t, cmd), u}
		count := func(what string) string {
			return r.output("sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -o '"+
				what+" ' | wc -l")
		}
		for _, c := range []struct{ trap, left string }{
			{"trap : USR1", "0\n"}, {"trap '' HUP", "1\n"},
		} {
			s := begin(t, r.command("sh", "-c", c.trap+"; echo ready; exec sleep 1001"))
			if n := count("sleep 100[1]"); n != "1\n" {
				t.Fatalf("%s while the client lives", n)
			}
			s.Process.Kill()
			s.Wait()
			for i := 0; i < 40 && count("sleep 100[1]") != c.left; i++ {
				time.Sleep(50 * time.Millisecond)
			}
			if n := count("sleep 100[1]"); n != c.left {
				t.Errorf("%s: %s are left, want %s", c.trap, n, c.left)
			}
		}
		r.Process.Signal(unix.SIGTERM)
		if status := r.status(); status != 143 {
			t.Errorf("exit status %d", status)
		}
		w.NothingLeft(t)
	})
}

// TestExecContainerEnds ends the container while a second command runs: by its first command, and
// by SIGKILL for its outermost process. Nothing is left, no socket either.
func TestExecContainerEnds(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		for _, kill := range []bool{false, true} {
			w := steptest.NewWatch(t)
			cmd := u.Program("sh", "-c", "echo ready; read line; exit 3")
			cmd.Env = w.Env()
			stdin, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			r := &running{t, begin(t, cmd), u}
			client := r.command("sh", "-c", "trap '' HUP TERM; "+waiting)
			client.Env = w.Env()
			s := begin(t, client)
			if sockets(t, r.pid()) == 0 { // the control
				t.Error("no socket while the container runs")
			}
			want := 3
			if kill {
				r.Process.Kill()
				want = 137
			} else {
				stdin.Close()
			}
			if status := r.status(); status != want {
				t.Errorf("the container: exit status %d, want %d", status, want)
			}
			if status := s.status(); status != 137 {
				t.Errorf("the second command: exit status %d, want 137", status)
			}
			w.NothingLeft(t)
			if n := sockets(t, r.pid()); n > 0 {
				t.Errorf("%d sockets are left", n)
			}
		}
	})
}

// sockets counts those that have the name of a container's.
func sockets(t *testing.T, pid string) int {
	t.Helper()
	table, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(table), " @jail-to-container/"+pid+"\n")
}

// TestExecCollectsGarbage sends much more than the container's memory, bit by bit.
func TestExecCollectsGarbage(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		r := runContainer(t, u, "cat", "-net=false", "-memory", "24M")
		args := []string{}
		for i := range 10 {
			args = append(args, "-env", fmt.Sprint("V", i, "=", strings.Repeat("v", 100_000)))
		}
		for range 30 {
			if out := r.output(append(args, "sh", "-c", "echo ${#V9}")...); out != "100000\n" {
				t.Fatalf("%q", out)
			}
		}
	})
}

// TestExecInAFullContainer has many clients connect to a container that has no room for another
// process, nor for another thread of PID 1. Each gets an error, and the container lives on.
func TestExecInAFullContainer(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		// A shell that can't fork exits. This one tries again, and stays.
		fill := `echo 'trap "exec sh /tmp/fill x$1" EXIT; test ${#1} -lt 50 || read line
			while :; do sleep 1000 & done' >/tmp/fill; exec sh /tmp/fill 2>/dev/null`
		r := runContainer(t, u, fill, "-pids", "24")
		for i := 0; r.command("true").Run() == nil; i++ {
			if i > 100 {
				t.Fatal("the container is never full")
			}
		}
		if out := u.Output(t, "test:crowd", r.pid()); out != "100 of 100 got EAGAIN\n" {
			t.Errorf("%q", out)
		}
		if out := u.Output(t, "-ps"); !strings.Contains(out, "\n"+r.pid()+" ") {
			t.Errorf("it isn't listed:\n%s", out)
		}
		r.Process.Signal(unix.SIGTERM)
		if status := r.status(); status != 143 {
			t.Errorf("exit status %d", status)
		}
	})
}

// init adds a crowd of clients.
func init() {
	experiments["test:crowd"] = func(args []string) error {
		pid, err := strconv.Atoi(args[0])
		if err != nil {
			return err
		}
		lines := make([]*os.File, 100)
		for i := range lines {
			if lines[i], _, err = dial(pid, 10*time.Second); err != nil {
				return err
			}
		}
		request := append((&spec{Args: []string{"true"}}).encode(), 0)
		for _, line := range lines {
			if err := sendMessage(line, request, 0, 1, 2); err != nil {
				return err
			}
		}
		refused := 0
		for _, line := range lines {
			if _, err := takeOver(line); err != nil {
				return err
			}
			if _, err := line.Write([]byte{0}); err != nil {
				return err
			}
			answer, err := io.ReadAll(line)
			if err != nil {
				return err
			}
			if strings.HasSuffix(string(answer), unix.EAGAIN.Error()) {
				refused++
			}
		}
		_, err = fmt.Printf("%d of %d got EAGAIN\n", refused, len(lines))
		return err
	}
}
