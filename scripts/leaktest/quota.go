//go:build linux

// Whose quotas a container uses up. The kernel counts some things against the owner of the user
// namespace as well (kernel/ucount.c): queued signals, inotify instances, POSIX message queues.
// Only queued signals can be counted without leaving the host short of them.

package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// manySignals is how many rootQuota queues.
const manySignals = 100

// rootQuota queues signals for its own thread, which doesn't take them, and stays for as long as
// the host's part needs to look.
func rootQuota(f *facts) result {
	if f.HostUID != 0 {
		return cannot("user %d has started this; it is about root's quotas", f.HostUID)
	}
	runtime.LockOSThread()
	const number = unix.Signal(40) // others than real-time signals are queued once
	var blocked unix.Sigset_t
	bits := 1024 / len(blocked.Val) // in each of these words
	blocked.Val[int(number-1)/bits] |= 1 << (int(number-1) % bits)
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &blocked, nil); err != nil {
		return cannot("rt_sigprocmask: %s", errno(err))
	}
	for range manySignals {
		if err := unix.Tgkill(os.Getpid(), unix.Gettid(), number); err != nil {
			return cannot("tgkill: %s", errno(err))
		}
	}
	time.Sleep(1500 * time.Millisecond)
	return cannot("%d signals queued; only the host knows for which user", manySignals)
}

// countedForRoot notes how many signals are queued for this user, and returns what looks how many
// more there are once a process has queued its own.
func countedForRoot() func(pid string) (result, error) {
	before, failed := queuedSignals("self")
	return func(pid string) (result, error) {
		for range 100 {
			theirs, err := queuedSignals(pid)
			if err != nil || failed != nil {
				return result{}, fmt.Errorf("%v, %v", err, failed)
			}
			if theirs < manySignals {
				time.Sleep(10 * time.Millisecond)
				continue
			}
			ours, err := queuedSignals("self")
			if more := ours - before; more >= manySignals/2 {
				return isLeak("%d signals queued inside are %d more for root", theirs, more), err
			}
			return isHeld("%d signals queued inside; %d for root, %d before", theirs, ours,
				before), err
		}
		return cannot("no signals are queued inside"), nil
	}
}

// queuedSignals is how many signals are queued for the user of a process (proc_pid_status(5)).
func queuedSignals(pid string) (count int, err error) {
	text, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "\nSigQ:")
	_, err = fmt.Sscanf(rest, "%d/", &count)
	return count, err
}
