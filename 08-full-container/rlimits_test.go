//go:build linux

// The limits that a container has instead of its caller's. Those on core files are in main_test.go.

package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"jail-to-container/scripts/steptest"
)

// TestOpenFiles starts under limits on open files, and asks for them inside. The control asks
// outside.
func TestOpenFiles(t *testing.T) {
	var ours unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &ours); err != nil {
		t.Fatal(err)
	}
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		ask := []string{"sh", "-c", "echo $(ulimit -n) $(ulimit -Hn)"}
		for limits, want := range map[string]string{
			"3000 4000": "1024 4000\n", "900 900": "900 900\n",
			"600000 600000": "1024 524288\n",
		} {
			most, _ := strconv.ParseUint(strings.Fields(limits)[1], 10, 64)
			if most > ours.Max {
				t.Logf("%s aren't ours to set: %d is the most", limits, ours.Max)
				continue
			}
			cmd := u.Program(ask...)
			cmd.Args = append([]string{step, "test:files", limits}, cmd.Args[1:]...)
			if out := steptest.Output(t, cmd); out != want {
				t.Errorf("inside, with %s: %q, want %q", limits, out, want)
			}
			cmd = u.Program(append([]string{"test:become"}, ask...)...)
			cmd.Args = append([]string{step, "test:files", limits}, cmd.Args[1:]...)
			if out := steptest.Output(t, cmd); out != limits+"\n" {
				t.Errorf("outside: %q", out)
			}
		}
	})
}

// TestOOMScore starts as a process that is more likely to be killed than others when memory runs
// out and, where that is allowed, as one that never is. The control looks at itself, outside.
func TestOOMScore(t *testing.T) {
	if now, err := readNumber("/proc/self/oom_score_adj"); err != nil || now > 0 {
		steptest.Skip(t, "oom_score_adj is %d here (%v), and only root lowers it: choom -n 0 -p $$",
			now, err)
	}
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		for _, score := range []string{"500", "-1000"} {
			if !setOOMScore(t, score) {
				continue
			}
			want := "0\n0\n"
			if score == "500" && !lowersOOMScore(u) {
				want = "500\n500\n"
			}
			cat := []string{"cat", "/proc/1/oom_score_adj", "/proc/self/oom_score_adj"}
			if out := u.Output(t, cat...); out != want {
				t.Errorf("inside, with %s: %q, want %q", score, out, want)
			}
			cat = []string{"test:become", "cat", "/proc/self/oom_score_adj"}
			if out := u.Output(t, cat...); out != score+"\n" {
				t.Errorf("outside: %q, want %s", out, score)
			}
		}
	})
}

// lowersOOMScore reports whether a user can lower what this process has set. Set with
// CAP_SYS_RESOURCE, it takes that to lower it.
func lowersOOMScore(u steptest.User) bool {
	return u.UID == os.Getuid() || !holds(unix.CAP_SYS_RESOURCE)
}

// setOOMScore sets the test's own, for as long as the test takes, and reports whether it could. A
// lower one takes CAP_SYS_RESOURCE.
func setOOMScore(t *testing.T, score string) bool {
	t.Helper()
	const file = "/proc/self/oom_score_adj"
	before, err := readNumber(file)
	if err == nil {
		err = writeFile(file, score)
	}
	if err != nil {
		t.Logf("%s can't be set: %v", score, err)
		return false
	}
	t.Cleanup(func() {
		if err := writeFile(file, strconv.Itoa(before)); err != nil {
			t.Error(err)
		}
	})
	return true
}

// init adds what these tests run in the program's place.
func init() {
	// test:files LIMITS ARG... becomes the program, under these limits.
	experiments["test:files"] = func(args []string) error {
		var limit unix.Rlimit
		if _, err := fmt.Sscan(args[0], &limit.Cur, &limit.Max); err != nil {
			return err
		}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			return err
		}
		return unix.Exec("/proc/self/exe", append([]string{step}, args[1:]...), os.Environ())
	}
	// test:become COMMAND ARG... runs a command outside.
	experiments["test:become"] = func(args []string) error {
		path, err := lookPath(args[0], defaultEnv)
		if err != nil {
			return err
		}
		return unix.Exec(path, args, os.Environ())
	}
}
