//go:build linux

// The step at a terminal: a shell may have it, and Ctrl-C ends the rest.

package steptest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal makes a pseudo-terminal (pty(7)) and returns both its ends.
func terminal(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close() })
	conn, err := ours.SyscallConn() // Fd would make it blocking, and deadlines would do nothing
	if err != nil {
		t.Fatal(err)
	}
	var number int
	var err1, err2 error
	err = conn.Control(func(fd uintptr) {
		err1 = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0)
		number, err2 = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
	})
	if err := errors.Join(err, err1, err2); err != nil {
		t.Fatal(err)
	}
	theirs, err = os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return ours, theirs
}

// Terminal types at a terminal: to a shell, which has jobs there and ends on `exit`, and
// to a command, which Ctrl-C has to end although PID 1 could ignore it.
func Terminal(t *testing.T, prompt string) {
	AsEveryUser(t, func(t *testing.T, u User) {
		for _, c := range []struct {
			command []string
			dialog  []string // what appears and what is typed then, in turn
			status  int
		}{
			{[]string{"sh"}, []string{prompt, "exit 3\n"}, 3},
			{[]string{"sh"}, []string{
				// A shell that edits lines itself gives the terminal back only before the first
				// of these commands, and what is typed sooner is lost. It says when: 42.
				prompt, "echo $((6*7)); cat\n", "42\r\n",
				"it runs\n", "it runs\r\nit runs", "\x03",
				prompt, "exit 4\n",
			}, 4},
			{[]string{"sh", "-i"}, []string{prompt, "exit 5\n"}, 5},
			{[]string{"env", "-u", "A", "B=c", "sh", "-i"}, []string{prompt, "exit 6\n"}, 6},
			{[]string{"sh", "-c", "echo ready; exec cat"}, []string{
				"ready\r\n", "it runs\n", "it runs\r\nit runs", "\x03",
			}, 130},
			{[]string{"env", "A=b", "cat", "/proc/self/comm", "-"}, []string{
				"cat\r\n", "it runs\n", "it runs\r\nit runs", "\x03",
			}, 130},
			{[]string{"cat", "/proc/self/comm", "-"}, []string{
				"cat\r\n", "it runs\n", "it runs\r\nit runs", "\x03",
			}, 130},
			{[]string{"test:background", "sh"}, []string{prompt, "exit 7\n"}, 100 + 7},
			{[]string{"test:background", "cat", "/proc/self/comm"}, nil, 0},
		} {
			screen, status := Converse(t, u.Program(c.command...), c.dialog)
			if status != c.status || strings.Contains(screen, "tty") {
				t.Errorf("%q: exit status %d, want %d; on the screen:\n%s",
					c.command, status, c.status, screen)
			}
		}
	})
}

// init adds test:background, which starts the program in the background, as a shell does with "&".
// If it stops there, it is brought to the foreground, and its exit status gets 100 more.
func init() {
	experiments["test:background"] = func(args []string) error {
		cmd := self(args...)
		cmd.Args[0] = step.Name
		cmd.SysProcAttr.Setpgid = true
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		if err := cmd.Start(); err != nil {
			return err
		}
		var status unix.WaitStatus
		_, err := unix.Wait4(cmd.Process.Pid, &status, unix.WUNTRACED, nil)
		if err != nil || !status.Stopped() {
			return err
		}
		if err := unix.IoctlSetPointerInt(0, unix.TIOCSPGRP, cmd.Process.Pid); err != nil {
			return err
		}
		if err := unix.Kill(-cmd.Process.Pid, unix.SIGCONT); err != nil {
			return err
		}
		_ = cmd.Wait() // its error is the exit status
		os.Exit(100 + statusOf(cmd.ProcessState))
		return nil
	}
}

// StartsShell tells the shells that read what is typed from all other commands.
func StartsShell(t *testing.T, startsShell func(command []string) bool) {
	for command, want := range map[string]bool{
		"sh": true, "/bin/bash": true, "sh -i": true, "bash -l": true, "bash --norc -i": true,
		"env A=b sh": true, "env -i /bin/sh -l": true, "busybox ash": true, "chroot / sh": true,
		"cat": false, "ssh": false, "sh -c cat": false, "sh script": false, "sh -e script": false,
		"env": false, "env A=b cat": false, "env sh -c cat": false, "find / -name sh": false,
	} {
		if got := startsShell(strings.Fields(command)); got != want {
			t.Errorf("%s: %t, want %t", command, got, want)
		}
	}
}

// Converse runs a command at a terminal, where it answers what appears on the screen, and returns
// the screen and the exit status.
func Converse(t *testing.T, cmd *exec.Cmd, dialog []string) (screen string, status int) {
	t.Helper()
	ours, theirs := terminal(t)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs, theirs, theirs
	cmd.SysProcAttr.Setctty = true
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	if err := ours.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	seen := 0 // so much of the screen has been answered
	buffer := make([]byte, 1024)
	for {
		if len(dialog) > 0 && strings.Contains(screen[seen:], dialog[0]) {
			seen = len(screen)
			if _, err := ours.WriteString(dialog[1]); err != nil {
				t.Fatal(err)
			}
			dialog = dialog[2:]
		}
		n, err := ours.Read(buffer)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%q: a process still has the terminal open", cmd.Args)
			_ = cmd.Process.Kill() // it may be gone
			ours.Close()           // and any process that is left there reads its end
			break
		}
		if err != nil {
			break // no process has the other end open any more
		}
		screen += string(buffer[:n])
	}
	cmd.Wait() // its error is the exit status
	return screen, statusOf(cmd.ProcessState)
}
