//go:build linux

// What the chapter of 02 claims.

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestLesson reads the lesson's numbers and compares them with each other.
func TestLesson(t *testing.T) {
	asEveryUser(t, func(t *testing.T, u user) {
		out := expect(t, program(u))
		contains(t, out,
			"getpid() = 1, getppid() = 0",
			"= ok\n",
			"= ESRCH (no such process)",
			"PID 1 sends itself SIGTERM, for which it has no handler: still here",
			"PID 1 sends itself SIGKILL, for which it has no handler: still here",
			", in the container 1: init adopted it",
			"in state Z: a zombie",
			"is gone\n",
			"(signal: killed); left of its family: 0\n",
		)
		// The two namespaces are two.
		inodes := regexp.MustCompile(`PID namespace (\d+)`).FindAllStringSubmatch(out, -1)
		if len(inodes) != 2 || inodes[0][1] == inodes[1][1] {
			t.Errorf("PID namespaces of host and container: %q", inodes)
		}
		// The table: four processes, each with two numbers; init is 1 inside and not outside.
		rows := regexp.MustCompile(`(?m)^ +(\d+) +(\d+)   (\w+)$`).FindAllStringSubmatch(out, -1)
		if len(rows) != 4 {
			t.Fatalf("%d rows in the table, want 4:\n%s", len(rows), out)
		}
		if rows[0][2] != "1" || rows[0][3] != "init" {
			t.Errorf("the first row isn't init: %q", rows[0])
		}
		for _, row := range rows {
			if row[1] == row[2] {
				t.Errorf("%s has the same number on both sides: %s", row[3], row[1])
			}
		}
		contains(t, out, "a child that I call "+rows[0][1])
		// What leaks is the host's list.
		counts := regexp.MustCompile(`processes listed in /proc: (\d+)`)
		listed := counts.FindAllStringSubmatch(out, -1)
		if len(listed) != 2 {
			t.Fatalf("counts %q", listed)
		}
		if n, _ := strconv.Atoi(listed[1][1]); n < 3 {
			t.Errorf("inside, /proc lists %d processes; here it should still be the host's", n)
		}
	})
}

// TestCommandIsPID1 asks a shell for its own number, inside and, to compare, outside.
func TestCommandIsPID1(t *testing.T) {
	if out := expect(t, exec.Command("sh", "-c", "echo $$")); out == "1\n" {
		t.Error("outside, the shell is PID 1 as well")
	}
	asEveryUser(t, func(t *testing.T, u user) {
		if out := expect(t, program(u, "sh", "-c", "echo $$")); out != "1\n" {
			t.Errorf("the command is PID %q", out)
		}
	})
}

// TestSignalsToPID1 sends PID 1 what ends every other process.
func TestSignalsToPID1(t *testing.T) {
	for _, signal := range []string{"TERM", "KILL"} {
		script := "kill -" + signal + " $$; echo still here"
		if r := finish(t, exec.Command("sh", "-c", script)); r.stdout != "" || r.status < 128 {
			t.Errorf("outside, SIG%s: %+v", signal, r)
		}
		asEveryUser(t, func(t *testing.T, u user) {
			if out := expect(t, program(u, "sh", "-c", script)); out != "still here\n" {
				t.Errorf("SIG%s to PID 1: %q", signal, out)
			}
		})
	}
}

// TestHostProcessHasNoNumber signals the test itself, by its number on the host.
func TestHostProcessHasNoNumber(t *testing.T) {
	// A shell may speak the user's language, so it is told to speak English.
	script := fmt.Sprintf("LC_ALL=C; kill -0 %d", os.Getpid())
	if r := finish(t, exec.Command("sh", "-c", script)); r.status != 0 {
		t.Errorf("outside: %+v", r)
	}
	asEveryUser(t, func(t *testing.T, u user) {
		r := finish(t, program(u, "sh", "-c", script))
		if r.status == 0 || !strings.Contains(r.stderr, "No such process") {
			t.Errorf("inside: %+v", r)
		}
	})
}

// init adds what these tests run in the program's place.
func init() {
	// In the role of the container, with the right parent's PID or another.
	noProof = map[string]string{
		"outside": "not as PID 1 of a container", "another": "isn't my parent"}
	experiments["test:role"] = func(args []string) error {
		pid, err := os.Readlink("/proc/self")
		if args[0] == "another" {
			pid = "1"
		}
		return errors.Join(err, asFirst(nil, role(inside), pid, "echo", "ran"))
	}
}
