//go:build linux

// What the keeper undoes, and what it leaves to this process.

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"jail-to-container/scripts/steptest"
)

// init adds something to undo that leaves a trace.
func init() {
	undoings["test:trace"] = func(which string) error { return os.WriteFile(which, nil, 0o644) }
	undoings["test:fail"] = func(which string) error { return errors.New(which) }
	// test:untidy runs a shell's command, and cleans up after it in vain.
	experiments["test:untidy"] = func(args []string) error {
		return cleanUp(exec.Command("sh", "-c", args[0]).Run(),
			func() error { return errors.New("it stays") })
	}
}

// TestStartDeaf compares the blocked signals (SigBlk of proc_pid_status(5)) of a program that
// startDeaf starts, SIGHUP, SIGINT and SIGTERM, and of one that this thread starts afterwards.
func TestStartDeaf(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for _, c := range []struct {
		start func(*exec.Cmd) error
		want  string
	}{
		{startDeaf, "0000000000004003"},
		{(*exec.Cmd).Start, "0000000000000000"},
	} {
		cmd, out := exec.Command("grep", "SigBlk", "/proc/self/status"), strings.Builder{}
		cmd.Stdout = &out
		if err := errors.Join(c.start(cmd), cmd.Wait()); err != nil {
			t.Fatal(err)
		}
		if _, blocked, _ := strings.Cut(strings.TrimSpace(out.String()), "\t"); blocked != c.want {
			t.Errorf("blocked: %s, want %s", blocked, c.want)
		}
	}
}

// TestKeeper entrusts the keeper with two things, and undoes them here, or fails to, or dies, or
// has a keeper that is dead.
func TestKeeper(t *testing.T) {
	fine, failing := func() error { return nil }, func() error { return errors.New("not me") }
	nothing := func() error { return nil }
	kill := func() error { return keeper.cmd.Process.Kill() }
	for name, c := range map[string]struct {
		between func() error
		undo    []func() error // nil: this process is gone by then
		second  string         // kind of the second thing
		traces  int
		err     string
	}{
		"undone here":      {nothing, []func() error{fine, fine}, "test:trace", 0, ""},
		"the first failed": {nothing, []func() error{failing, fine}, "test:trace", 2, ""},
		"the last failed":  {nothing, []func() error{fine, failing}, "test:trace", 2, ""},
		"both tried": {nothing, []func() error{fine, failing}, "test:fail", 1,
			"not me; the keeper has tried, too: exit status 125"},
		"died":                    {nothing, nil, "test:trace", 2, ""},
		"died, and one can't be":  {nothing, nil, "test:fail", 1, ""},
		"keeper killed":           {kill, []func() error{fine, fine}, "test:trace", 0, ""},
		"keeper killed, and fail": {kill, []func() error{failing, fine}, "test:trace", 0, "not me"},
	} {
		t.Run(name, func(t *testing.T) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			dir := filepath.Join(t.TempDir(), "with a space")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			err := errors.Join(keep("test:trace", dir+"/1"), keep(c.second, dir+"/2"))
			if err != nil {
				t.Fatal(err)
			}
			pid := keeper.cmd.Process.Pid
			if err := c.between(); err != nil {
				t.Fatal(err)
			}
			for _, undo := range c.undo {
				err = errors.Join(err, undoNow(undo))
			}
			if c.undo == nil {
				_ = keeper.end() // as the kernel would close the pipe
				keeper.jobs = 0
			}
			if c.err == "" && err != nil || err != nil && !strings.Contains(err.Error(), c.err) ||
				c.err != "" && err == nil {
				t.Errorf("undoNow: %v, want %q", err, c.err)
			}
			traces, err := os.ReadDir(dir)
			if err != nil || len(traces) != c.traces {
				t.Errorf("%d traces, want %d: %v, %v", len(traces), c.traces, traces, err)
			}
			if err := unix.Kill(pid, 0); err != unix.ESRCH {
				t.Errorf("the keeper, %d: %v, want that it is gone", pid, err)
			}
		})
	}
}

// TestCleanUpFails cleans up in vain, after commands that went well, and not. It is said once, and
// doesn't hide a status of the command's.
func TestCleanUpFails(t *testing.T) {
	for command, want := range map[string]steptest.Result{
		"true":          {Stderr: step + ": it stays\n", Status: 125},
		"exit 7":        {Stderr: step + ": clean up: it stays\n", Status: 7},
		"kill -KILL $$": {Stderr: step + ": clean up: it stays\n", Status: 137},
	} {
		got := steptest.Caller().Run(t, "test:untidy", command)
		if got != want {
			t.Errorf("%s: %+v, want %+v", command, got, want)
		}
	}
}
