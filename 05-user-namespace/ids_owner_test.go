//go:build linux

// Whose quotas a container uses up. The same file in every step from 05 on.

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
	"jail-to-container/scripts/steptest"
)

// TestQuotaOfRoot queues a hundred signals inside, and looks how many the host counts as root's.
// The control queues them outside.
func TestQuotaOfRoot(t *testing.T) {
	if os.Getuid() != 0 || !holds(unix.CAP_SYS_PTRACE) {
		steptest.Skip(t, "only root with CAP_SYS_PTRACE starts such containers; run it as root")
	}
	ready(t, user{"root", 0})
	queued := func() (count int) {
		text, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(text), "\nSigQ:")
		if _, err := fmt.Sscanf(rest, "%d/", &count); err != nil {
			t.Fatal(err)
		}
		return count
	}
	for _, c := range []struct {
		args    []string
		counted bool
	}{
		{[]string{"/proc/self/exe", "test:queue"}, false},
		{[]string{"test:queue"}, true},
	} {
		before := queued()
		p, line, err := start(program(user{"root", 0}, c.args...))
		if err != nil || line != "100 queued" {
			t.Fatalf("%v: %q, %v", c.args, line, err)
		}
		more := queued() - before
		if err := p.end(); err != nil {
			t.Errorf("%v: %v", c.args, err)
		}
		if more < 50 == c.counted { // the machine's root may have some of its own meanwhile
			t.Errorf("%v: %d more signals are queued for the host's root", c.args, more)
		}
	}
}

// TestThreadAfterwards compares what a thread is before and after it has started a container: its
// user, its capabilities and the signal that it dies with.
func TestThreadAfterwards(t *testing.T) {
	if out := expect(t, program(user{"", os.Getuid()}, "test:start-owned")); out != "the same\n" {
		t.Error(out)
	}
}

// init adds what these tests run in the program's place.
func init() {
	// test:queue queues signals for this thread, which doesn't take them, and waits.
	experiments["test:queue"] = func([]string) error {
		const number = unix.Signal(40)
		blocked := unix.Sigset_t{}
		bits := 1024 / len(blocked.Val) // in each of these words
		blocked.Val[int(number-1)/bits] |= 1 << (int(number-1) % bits)
		if err := unix.PthreadSigmask(unix.SIG_BLOCK, &blocked, nil); err != nil {
			return err
		}
		for range 100 {
			if err := unix.Tgkill(os.Getpid(), unix.Gettid(), number); err != nil {
				return err
			}
		}
		return waitForEOF("100 queued")
	}
	experiments["test:start-owned"] = func([]string) error {
		state := func() (string, error) {
			var deathSignal int32
			_, _, errno := unix.Syscall(unix.SYS_PRCTL, unix.PR_GET_PDEATHSIG,
				uintptr(unsafe.Pointer(&deathSignal)), 0)
			status, err := os.ReadFile("/proc/thread-self/status")
			kept := fmt.Sprintln("dies with", deathSignal)
			for line := range strings.Lines(string(status)) {
				if strings.HasPrefix(line, "Uid:") || strings.HasPrefix(line, "CapEff:") {
					kept += line
				}
			}
			if errno != 0 {
				err = errors.Join(err, errno)
			}
			return kept, err
		}
		err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGUSR1), 0, 0, 0)
		before, failed := state()
		cmd := exec.Command("true")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER}
		later, err2 := mapIDs(cmd.SysProcAttr)
		if err := errors.Join(err, failed, err2, startOwned(cmd)); err != nil {
			return err
		}
		err = errors.Join(later(cmd.Process.Pid), cmd.Wait())
		after, failed := state()
		if before == after && strings.HasPrefix(before, "dies with 10\n") {
			after = "the same"
		}
		fmt.Println(after)
		return errors.Join(err, failed)
	}
}
