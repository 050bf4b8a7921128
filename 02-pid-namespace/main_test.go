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
			"container  getpid() = 1, getppid() = 0\n",
			"SIGTERM               signal: terminated  still here\n",
			"SIGKILL               signal: killed      still here\n",
			" now belongs to init, PID 1 inside\n",
			"is a zombie: state Z, until its parent waits\n",
			" is gone\n",
			"(signal: killed); processes left: 0\n",
		)
		// The figure: this program and four processes, each with two PIDs.
		figure := regexp.MustCompile(`(?m)^(\d+) +(\d+|-) +(└─ )?(\S+)$`)
		rows := figure.FindAllStringSubmatch(out, -1)
		if len(rows) != 5 {
			t.Fatalf("%d rows in the figure, want 5:\n%s", len(rows), out)
		}
		contains(t, out, "host       process "+rows[0][1]+", uid "+strconv.Itoa(u.uid))
		depth := func(i int) int {
			return (strings.Index(rows[i][0], "└") - strings.Index(rows[1][0], "└")) / 3
		}
		for i, want := range []struct {
			name  string
			depth int
		}{{step, 0}, {"init", 0}, {"sleep", 1}, {"sh", 1}, {"sleep", 2}} {
			if rows[i][4] != want.name || rows[i][1] == rows[i][2] ||
				i > 0 && depth(i) != want.depth {
				t.Errorf("row %d is %q, want another PID on each side, and %v", i, rows[i], want)
			}
		}
		if rows[0][2] != "-" || rows[1][2] != "1" {
			t.Errorf("PIDs inside: %q of the lesson, %q of init", rows[0][2], rows[1][2])
		}
		contains(t, out, "I kill sh "+rows[3][1]+": its child "+rows[4][1])
		// The same secret name is told three times, of a PID that only the host's side can signal.
		named := regexp.MustCompile(`process (\d+) is named (secret-\w{8})`)
		secret := named.FindStringSubmatch(out)
		if secret == nil {
			t.Fatalf("no secret in:\n%s", out)
		}
		contains(t, out, fmt.Sprintf("host       tgkill(%s, %[1]s, 0) = ok\n", secret[1]),
			fmt.Sprintf("container  tgkill(%s, %[1]s, 0) = ESRCH (no such process)", secret[1]),
			fmt.Sprintf("host       /proc/%s/comm says %s\n", secret[1], secret[2]),
			fmt.Sprintf("container  /proc/%s/comm says %s ", secret[1], secret[2]))
	})
}

// TestVerdicts judges the lesson's answers again.
func TestVerdicts(t *testing.T) { verdicts(t, 2, 1) }

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
