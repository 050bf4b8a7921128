//go:build linux

// Which capabilities root keeps inside, and whether the command can get at PID 1, which has more.

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"jail-to-container/scripts/steptest"
)

// TestCapabilities reads what the kernel says of a command, of PID 1, and of each of its threads.
func TestCapabilities(t *testing.T) {
	// Of the 14, by their numbers: 0, 1, 3 to 8, 10, 13, 18, 27, 29, 31.
	const fourteen = "00000000a80425fb"
	if len(kept) != 14 {
		t.Errorf("%d capabilities are kept", len(kept))
	}
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		out := u.Output(t, "/proc/self/exe", "test:status")
		views := 0
		for view := range strings.Lines(out) {
			who, fields, _ := strings.Cut(strings.TrimSpace(view), ": ")
			views++
			steptest.Contains(t, fields, "NoNewPrivs 1", "Seccomp 2") // every thread
			if strings.HasPrefix(who, "/proc/1/task/") && who != "/proc/1/task/1/status" {
				continue // its other threads keep theirs; TestInitIsClosed is about that
			}
			steptest.Contains(t, fields,
				"CapInh 0000000000000000", "CapPrm "+fourteen, "CapEff "+fourteen,
				"CapBnd "+fourteen, "CapAmb 0000000000000000")
		}
		if views < 4 {
			t.Errorf("only %d views:\n%s", views, out)
		}
	})
}

// TestInitIsClosed tries to read and write what belongs to PID 1, whose other threads can do more
// than the command. The control is a process of the command's own.
func TestInitIsClosed(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		out := u.Output(t, "/proc/self/exe", "test:reach-init")
		want := "PID 1: mem EACCES, environ EACCES, fd/0 EACCES, ptrace EPERM\n" +
			"its child: mem ok, environ ok, fd/0 ok, ptrace ok\n"
		if out != want {
			t.Errorf("got:\n%swant:\n%s", out, want)
		}
	})
}

// init adds what runs inside.
func init() {
	experiments["test:status"] = func([]string) error {
		threads, err := filepath.Glob("/proc/1/task/*/status")
		if err != nil {
			return err
		}
		for _, file := range append(threads, "/proc/1/status", "/proc/self/status") {
			text, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			var fields []string
			for line := range strings.Lines(string(text)) {
				name, value, _ := strings.Cut(strings.TrimSpace(line), ":\t")
				if strings.HasPrefix(name, "Cap") || name == "NoNewPrivs" || name == "Seccomp" {
					fields = append(fields, name+" "+value)
				}
			}
			fmt.Printf("%s: %s\n", file, strings.Join(fields, ", "))
		}
		return nil
	}
	experiments["test:reach-init"] = func([]string) error {
		try := func(who string, pid int) {
			proc := fmt.Sprintf("/proc/%d/", pid)
			var answers []string
			file, err := os.OpenFile(proc+"mem", os.O_RDWR, 0)
			answers = append(answers, "mem "+firstWord(errno(err)))
			file.Close()
			_, err = os.ReadFile(proc + "environ")
			answers = append(answers, "environ "+firstWord(errno(err)))
			_, err = os.Readlink(proc + "fd/0")
			answers = append(answers, "fd/0 "+firstWord(errno(err)))
			err = unix.PtraceSeize(pid)
			answers = append(answers, "ptrace "+firstWord(errno(err)))
			fmt.Printf("%s: %s\n", who, strings.Join(answers, ", "))
		}
		try("PID 1", 1)
		child, _, err := start(self("test:hold"))
		if err != nil {
			return err
		}
		try("its child", child.cmd.Process.Pid)
		// Being traced, it would stop at the next signal, as Go's runtime sends itself some.
		err = child.cmd.Process.Kill()
		child.end() // "signal: killed", as meant
		return err
	}
	experiments["test:hold"] = func([]string) error { return waitForEOF("ready") }
}

// firstWord is the name of an errno without its description.
func firstWord(text string) string { return strings.Fields(text)[0] }
