//go:build linux

// What every lesson must be: true, and no wider than a terminal.

package steptest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// Experiment is a question of a lesson with both answers, and the rule that judges them.
type Experiment struct {
	What, Host, Inside string
	Expect             string
	Rule               func(host, inside string) string
}

// Verdicts runs the lesson in this process, expects so many held and LEAK, and judges its answers
// again. Where the container answers as the host does, nothing holds.
func Verdicts(t *testing.T, lesson func() ([]Experiment, error), holds, leaks int) {
	t.Helper()
	Ready(t, Caller())
	runtime.LockOSThread() // as main does: what it starts dies with this thread
	defer runtime.UnlockOSThread()
	stdout := os.Stdout
	defer func() { os.Stdout = stdout }()
	var err error
	if os.Stdout, err = os.Create(filepath.Join(t.TempDir(), "lesson")); err != nil {
		t.Fatal(err)
	}
	asked, err := lesson()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(os.Stdout.Name())
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, e := range asked {
		v := e.Rule(e.Host, e.Inside)
		count[v]++
		if v != e.Expect && v != "n/a" { // the caller counts
			t.Errorf("%s: %s, want %s: %q, %q", e.What, v, e.Expect, e.Host, e.Inside)
		}
		if e.Rule(e.Host, e.Host) == "held" {
			t.Errorf("%s holds where the container answers %q, as the host does", e.What, e.Host)
		}
	}
	if count["held"] != holds || count["LEAK"] != leaks {
		t.Errorf("%v, want %d held and %d LEAK", count, holds, leaks)
	}
	// Where the tests run at a terminal, the lesson has colours.
	plain := regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(string(text), "")
	for v, meaning := range map[string]string{
		"held": "held: isolated", "LEAK": "LEAK: not isolated",
		"n/a": "n/a: fails even on the host",
	} {
		if strings.Contains(plain, meaning) != (count[v] > 0) {
			t.Errorf("%d %s, and it must say what that means only if there is one:\n%s",
				count[v], v, plain)
		}
	}
	for line := range strings.Lines(plain) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

// AnotherHost tests the lesson again on a host with the longest name there can be, and with another
// network. What it prints about its host must be true there, too, and fit.
func AnotherHost(t *testing.T) {
	if os.Getuid() != 0 {
		Skip(t, "only root can give a host another name; run it as root")
	}
	Need(t, "ip", "iproute2")
	if slices.Contains(step.Namespaces, "net") {
		Need(t, "nft", "nftables") // 06's lesson needs it
	}
	cmd := self("test:another-host", strings.Repeat("another-", 8))
	cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWUTS | unix.CLONE_NEWNET
	r := Run(t, cmd)
	if r.Status != 0 || strings.Count(r.Stdout, "\n--- PASS: ") != 2 {
		t.Errorf("exit status %d:\n%s%s", r.Status, r.Stdout, r.Stderr)
	}
}

// init adds the other host, which runs the tests.
func init() {
	experiments["test:another-host"] = func(args []string) error {
		out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput()
		if err != nil {
			return fmt.Errorf("ip link set lo up: %w: %s", err, out)
		}
		if err := unix.Sethostname([]byte(args[0])); err != nil {
			return err
		}
		return unix.Exec("/proc/self/exe", []string{
			"another.test", "-test.v", "-test.run=^(TestLesson|TestVerdicts)$",
		}, os.Environ())
	}
}

// LessonLeavesNothing runs the lesson, with its output on a pipe, and looks for what is left.
func LessonLeavesNothing(t *testing.T) {
	AsEveryUser(t, func(t *testing.T, u User) {
		w := NewWatch(t)
		cmd := u.Program()
		cmd.Env = w.Env()
		if out := Output(t, cmd); strings.Contains(out, "\x1b") {
			t.Errorf("colours on a pipe:\n%q", out)
		}
		w.NothingLeft(t)
	})
}

// KilledLesson ends the outer process in the middle of the lesson, at a different moment each time,
// by a signal that it could handle and by one that no process can.
func KilledLesson(t *testing.T) {
	AsEveryUser(t, func(t *testing.T, u User) {
		w := NewWatch(t)
		for i := range 12 {
			cmd := u.Program()
			cmd.Env = w.Env()
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(i) * 4 * time.Millisecond)
			cmd.Process.Signal([]os.Signal{unix.SIGKILL, unix.SIGTERM, unix.SIGINT}[i%3])
			cmd.Wait() // how it ended is not the question
		}
		w.NothingLeft(t)
	})
}
