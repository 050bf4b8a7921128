//go:build linux

// The container's terminal, typed at from the terminal outside; and a container without one.

package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"jail-to-container/scripts/steptest"
)

// terminalPair makes a pseudo-terminal (pty(7)) and returns both its ends.
func terminalPair(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close() })
	fd := int(ours.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err = os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return ours, theirs
}

// sitting is a person at a terminal who has started a command.
type sitting struct {
	*testing.T
	started
	keyboard *os.File
	shown    chan []byte
	screen   string // what has been shown and not yet been waited for
}

// sit starts a command at a terminal of 24 rows and 80 columns. What cmd has for standard streams
// already stays.
func sit(t *testing.T, cmd *exec.Cmd) *sitting {
	t.Helper()
	ours, theirs := terminalPair(t)
	defer theirs.Close()
	size := &unix.Winsize{Row: 24, Col: 80}
	if err := unix.IoctlSetWinsize(int(ours.Fd()), unix.TIOCSWINSZ, size); err != nil {
		t.Fatal(err)
	}
	if cmd.Stderr == nil {
		cmd.Stderr = theirs
	}
	if cmd.Stdin == nil {
		cmd.Stdin = theirs
	}
	cmd.Stdout = theirs
	cmd.SysProcAttr.Setctty, cmd.SysProcAttr.Ctty = true, 1
	s := &sitting{T: t, started: started{Cmd: cmd}, keyboard: ours, shown: make(chan []byte)}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	return s
}

// look begins to read the screen.
func (s *sitting) look() *sitting {
	go func() {
		defer close(s.shown)
		for {
			buffer := make([]byte, 4096)
			n, err := s.keyboard.Read(buffer)
			if err != nil {
				return // no process has the other end open any more
			}
			s.shown <- buffer[:n]
		}
	}()
	return s
}

// dialog waits for a text, types the next, and so on. A text that doesn't come in half a minute
// isn't coming.
func (s *sitting) dialog(texts ...string) {
	s.Helper()
	for i, text := range texts {
		if i%2 == 1 {
			if _, err := s.keyboard.WriteString(text); err != nil {
				s.Fatal(err)
			}
			continue
		}
		for !strings.Contains(s.screen, text) {
			select {
			case bytes, more := <-s.shown:
				if !more {
					s.Fatalf("the end came before %q; on the screen:\n%s", text, s.screen)
				}
				s.screen += string(bytes)
			case <-time.After(30 * time.Second):
				s.Fatalf("no %q; on the screen:\n%s", text, s.screen)
			}
		}
		_, s.screen, _ = strings.Cut(s.screen, text)
	}
}

// end waits until the command has ended, and returns the rest of what it has shown.
func (s *sitting) end(status int) string {
	s.Helper()
	for bytes := range s.shown {
		s.screen += string(bytes)
	}
	if got := s.status(); got != status {
		s.Errorf("%v: exit status %d, want %d; on the screen:\n%s", s.Args, got, status, s.screen)
	}
	return s.screen
}

// settings returns those of the terminal (termios(3)).
func (s *sitting) settings() unix.Termios {
	s.Helper()
	settings, err := unix.IoctlGetTermios(int(s.keyboard.Fd()), unix.TCGETS)
	if err != nil {
		s.Fatal(err)
	}
	return *settings
}

const prompt = inside + "# "

// TestTERM starts at a terminal whose type the caller's TERM says, or nothing does.
func TestTERM(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		for given, want := range map[string]string{
			"TERM=screen": "screen\r\n", "TERM=": "xterm\r\n", "NONE=": "xterm\r\n",
		} {
			cmd := u.Program("-net=false", "sh", "-c", "echo $TERM")
			cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
				return strings.HasPrefix(v, "TERM=")
			})
			cmd.Env = append(cmd.Env, given)
			if got := sit(t, cmd).look().end(0); got != want {
				t.Errorf("with %s: %q, want %q", given, got, want)
			}
		}
	})
}

// TestShellAtATerminal is a sitting with a shell: whose terminal it is, keys for the jobs in it,
// and a window that changes its size.
func TestShellAtATerminal(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		w := steptest.NewWatch(t)
		cmd := u.Program("sh")
		cmd.Env = w.Env()
		s := sit(t, cmd)
		before := s.settings()
		s.look().dialog(
			prompt, "tty\n",
			"/dev/pts/0\r\n", "stty size\n",
			"24 80\r\n", "test -t 2 && echo $((6 * 7))\n",
			// A shell that edits lines itself gives the terminal back only before the first of
			// these commands, and what is typed sooner is lost. It says when: 54. Ctrl-C ends the
			// command, not the shell.
			"42\r\n"+prompt, "echo $((6 * 9)); cat\n",
			"54\r\n", "it runs\n",
			"it runs\r\nit runs\r\n", "\x03",
			prompt, "echo status $?\n",
			"status 130\r\n"+prompt, "echo $((6 * 8)); cat\n", // Ctrl-Z stops it
			"48\r\n", "still\n",
			"still\r\nstill\r\n", "\x1a",
			"Stopped", "", prompt, "fg\n",
			"cat\r\n", "on again\n",
			"on again\r\non again\r\n", "\x04",
			prompt, "",
		)
		if s.settings().Lflag&unix.ISIG != 0 { // else the keys went to us
			t.Error("the terminal isn't raw while the container has its own")
		}
		size := &unix.Winsize{Row: 50, Col: 132}
		if err := unix.IoctlSetWinsize(int(s.keyboard.Fd()), unix.TIOCSWINSZ, size); err != nil {
			t.Fatal(err)
		}
		s.dialog("", "while [ \"$(stty size)\" != '50 132' ]; do :; done; stty size\n",
			"stty size\r\n", "", "50 132\r\n"+prompt, "exit 3\n")
		s.end(3)
		if after := s.settings(); !reflect.DeepEqual(before, after) {
			t.Errorf("the terminal's settings were %+v before, and are %+v", before, after)
		}
		w.NothingLeft(t)
	})
}

// TestTerminalRestored ends a command at a terminal in several ways, and compares the settings.
func TestTerminalRestored(t *testing.T) {
	steptest.AsEveryUserAtOnce(t, func(t *testing.T, u steptest.User) {
		for _, c := range []struct {
			name    string
			command []string
			signal  unix.Signal
			status  int
			says    string
		}{
			{"success", []string{"true"}, 0, 0, ""},
			{"failure", []string{"sh", "-c", "exit 7"}, 0, 7, ""},
			{"not found", []string{"no-such-program"}, 0, 127, "executable file not found"},
			{"SIGTERM", []string{"sh", "-c", "echo ready; exec cat"}, unix.SIGTERM, 143, ""},
			{"SIGHUP", []string{"sh", "-c", "echo ready; exec cat"}, unix.SIGHUP, 129, ""},
			{"SIGTERM, trapped", []string{"sh", "-c", "trap 'exit 42' TERM; " + waiting},
				unix.SIGTERM, 42, ""},
		} {
			t.Run(c.name, func(t *testing.T) {
				w := steptest.NewWatch(t)
				cmd := u.Program(c.command...)
				cmd.Env = w.Env()
				s := sit(t, cmd)
				before := s.settings()
				s.look()
				if c.signal != 0 {
					s.dialog("ready")
					for i := 0; i < 200 && s.settings() == before; i++ {
						time.Sleep(50 * time.Millisecond)
					}
					if s.settings() == before {
						t.Error("the terminal isn't raw while the command runs")
					}
					s.Process.Signal(c.signal)
				}
				steptest.Contains(t, s.end(c.status), c.says)
				if after := s.settings(); after != before {
					t.Errorf("the settings were %+v before, and are %+v", before, after)
				}
				w.NothingLeft(t)
			})
		}
	})
}

// TestKilledAtATerminal kills the outer process, which can't restore anything then; but nothing
// else is left.
func TestKilledAtATerminal(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		w := steptest.NewWatch(t)
		cmd := u.Program("sh", "-c", "trap '' HUP; "+waiting)
		cmd.Env = w.Env()
		s := sit(t, cmd).look()
		s.dialog("ready")
		s.Process.Kill()
		s.end(137)
		w.NothingLeft(t)
	})
}

// TestPausedAtATerminal stops the outer process, which must give the shell that waits for it its
// terminal in order, and take it again.
func TestPausedAtATerminal(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		s := sit(t, u.Program("sh", "-c", "echo ready; cat; exit 4"))
		before := s.settings()
		s.look().dialog("ready\r\n", "it runs\n", "it runs\r\nit runs\r\n")
		s.Process.Signal(unix.SIGTSTP)
		var status unix.WaitStatus
		if _, err := unix.Wait4(s.Process.Pid, &status, unix.WUNTRACED, nil); err != nil {
			t.Fatal(err)
		}
		for i := 0; i < 200 && s.settings() != before; i++ {
			time.Sleep(50 * time.Millisecond)
		}
		if s.settings() != before {
			t.Error("the terminal is raw while the outer process is stopped")
		}
		s.Process.Signal(unix.SIGCONT)
		for i := 0; i < 200 && s.settings() == before; i++ {
			time.Sleep(50 * time.Millisecond)
		}
		s.dialog("", "on again\n", "on again\r\non again\r\n", "\x04")
		s.end(4)
	})
}

// TestInTheBackground starts a container as a shell does with "&". It runs, and what is typed is
// for the shell, until that brings it to the foreground.
func TestInTheBackground(t *testing.T) {
	args := []string{"test:shell", "-net=false", "sh", "-c", "echo started; cat; exit 4"}
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		hosts := []*exec.Cmd{u.Program(args...)}
		if os.Getuid() == 0 { // only root can hide a process
			hosts = append(hosts, u.WhereProcHides("1", args...))
		}
		for _, cmd := range hosts {
			s := sit(t, cmd)
			before := s.settings()
			s.look().dialog("started\r", "")
			time.Sleep(300 * time.Millisecond) // for what would read, or change the settings
			if s.settings() != before {
				t.Errorf("%q: in the background it has made the terminal raw", cmd.Args)
			}
			s.dialog("", "for the host\n", `the host got "for the host\n"`, "")
			for i := 0; i < 200 && s.settings() == before; i++ {
				time.Sleep(50 * time.Millisecond)
			}
			s.dialog("", "for the container\n", "container\r\nfor the container\r\n", "\x04")
			s.end(4)
			if s.settings() != before {
				t.Errorf("%q: the terminal isn't as before", cmd.Args)
			}
		}
	})
}

// TestMegabytesOnTheScreen has the command write much and end, for a reader who is late. With
// -short, as on an emulated machine, it is less, but twice what all the buffers between them hold:
// 64 KiB for each terminal, at most, and the copier's.
func TestMegabytesOnTheScreen(t *testing.T) {
	lines := 300_000
	if testing.Short() {
		lines = 50_000
	}
	var want strings.Builder
	for i := range lines {
		fmt.Fprintf(&want, "%d\r\n", i+1)
	}
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		s := sit(t, u.Program("-net=false", "seq", fmt.Sprint(lines)))
		time.Sleep(200 * time.Millisecond) // the command has to wait for us
		var got bytes.Buffer
		for s.look(); ; {
			bytes, more := <-s.shown
			if !more {
				break
			}
			got.Write(bytes)
		}
		s.end(0)
		if got.String() != want.String() {
			end := got.String()[max(0, got.Len()-40):]
			t.Errorf("%d bytes of %d, or others; at the end %q", got.Len(), want.Len(), end)
		}
	})
}

// TestMegabytesTyped types as much, while the screen isn't read.
func TestMegabytesTyped(t *testing.T) {
	data := bytes.Repeat([]byte("all that is typed, and \x03 and \x04 as well\r\n"), 30_000)
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		s := sit(t, u.Program("sh", "-c", fmt.Sprintf(
			"stty raw -echo; echo ready; head -c %d | sha256sum", len(data)))).look()
		s.dialog("ready", string(data), fmt.Sprintf("%x", sha256.Sum256(data)))
		s.end(0)
	})
}

// TestStandardErrorElsewhere starts a command at a terminal, with its errors to a file.
func TestStandardErrorElsewhere(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		file, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		cmd := u.Program("sh", "-c", "echo output; echo error >&2; tty")
		cmd.Stderr = file
		if screen := sit(t, cmd).look().end(0); screen != "output\r\n/dev/pts/0\r\n" {
			t.Errorf("on the screen: %q", screen)
		}
		if text, err := os.ReadFile(file.Name()); string(text) != "error\n" {
			t.Errorf("in the file: %q, %v", text, err)
		}
	})
}

// TestTerminalOnRequest asks for one where there is none outside. The end of the input arrives, in
// mid-line too.
func TestTerminalOnRequest(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		for _, input := range []string{"one\ntwo\n", "one\ntwo"} {
			// First no echo, which would get between the words of the others.
			cmd := u.Program("-tty", "sh", "-c", "stty -echo; tty; echo ready; cat; echo; exit 5")
			stdin, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			go func() { stdin.Write([]byte(input)); stdin.Close() }()
			r := steptest.Run(t, cmd)
			steptest.Contains(t, r.Stdout, "/dev/pts/0\r\n", "ready\r\n", "one\r\ntwo")
			if r.Status != 5 {
				t.Errorf("%q: %+v", input, r)
			}
		}
	})
}

// TestPipesStayPipes runs filters: without a terminal the command has our descriptors themselves.
func TestPipesStayPipes(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		if r := u.Run(t, "tty"); r.Status != 1 || r.Stdout != "not a tty\n" {
			t.Errorf("tty: %+v", r)
		}
		// The reader goes away first: the writer must hear of it.
		cmd := u.Program("sh", "-c", "trap - PIPE; exec yes")
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := stdout.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		stdout.Close()
		s := started{Cmd: cmd}
		if status := s.status(); status != 128+int(unix.SIGPIPE) {
			t.Errorf("yes, whose reader is gone: exit status %d", status)
		}
		// The writer ends while its output is still read, and input has an end of its own.
		b := newBench(t, u)
		tar := exec.Command("tar", "-c", "-C", filepath.Dir(b.write(t, "name", nil)), "name")
		archive, err := tar.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		list := u.Program("tar", "-t")
		list.Stdin = archive
		if err := tar.Start(); err != nil {
			t.Fatal(err)
		}
		if out := steptest.Output(t, list); out != "name\n" {
			t.Errorf("tar -t: %q", out)
		}
		if err := tar.Wait(); err != nil {
			t.Error(err)
		}
	})
}

// TestCallersTerminalStaysUsable runs a command that has the caller's terminal, as in a pipeline,
// and tries to make that useless. Each control does the same without a container.
func TestCallersTerminalStaysUsable(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		for _, harm := range []string{"TIOCSETD", "TCXONC", "TIOCEXCL"} {
			try := func(args ...string) (answer string, usable bool) {
				_, terminal := terminalPair(t)
				defer terminal.Close()
				cmd := u.Program(args...)
				cmd.Stdin, cmd.Stderr = strings.NewReader(""), terminal
				var stdout bytes.Buffer
				cmd.Stdout = &stdout
				if err := cmd.Run(); err != nil {
					t.Fatalf("%v: %v", args, err)
				}
				fd := int(terminal.Fd())
				if err := unix.SetNonblock(fd, true); err != nil {
					t.Fatal(err)
				}
				_, err := unix.Write(fd, []byte("output"))
				exclusive, _ := unix.IoctlGetInt(fd, unix.TIOCGEXCL)
				return stdout.String(), err == nil && exclusive == 0
			}
			answer, usable := try("/proc/self/exe", "test:harm", harm)
			if answer != "EPERM" || !usable {
				t.Errorf("%s inside: %s, and the terminal is usable: %t", harm, answer, usable)
			}
			if answer, usable = try("test:harm", harm); answer != "ok" || usable {
				t.Errorf("%s outside: %s, and the terminal is usable: %t", harm, answer, usable)
			}
		}
	})
}

// init adds what makes the terminal at standard error useless.
func init() {
	// test:shell starts the program in the background, and after a line of input in the foreground.
	experiments["test:shell"] = func(args []string) error {
		cmd := exec.Command("/proc/self/exe", args...)
		cmd.Args[0] = step
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
		if err := cmd.Start(); err != nil {
			return err
		}
		typed := make([]byte, 100)
		n, err := os.Stdin.Read(typed)
		fmt.Printf("the host got %q\n", typed[:n])
		if err == nil {
			err = unix.IoctlSetPointerInt(0, unix.TIOCSPGRP, cmd.Process.Pid)
		}
		return errors.Join(err, cmd.Wait())
	}
	experiments["test:harm"] = func(args []string) error {
		var err error
		switch args[0] {
		case "TIOCSETD": // to N_NULL, which takes no output
			err = unix.IoctlSetPointerInt(2, unix.TIOCSETD, 27)
		case "TCXONC": // TCOOFF
			err = unix.IoctlSetInt(2, unix.TCXONC, 0)
		case "TIOCEXCL":
			err = unix.IoctlSetInt(2, unix.TIOCEXCL, 0)
		}
		fmt.Print(firstWord(errno(err)))
		return nil
	}
}
