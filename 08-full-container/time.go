//go:build linux

// The container's own time: clocks that count from the machine's start count from the container's
// instead (time_namespaces(7)). The time of day is the host's; there is no namespace for it.

package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// startClocks makes the clocks of the next container that this thread starts begin at zero, or does
// nothing where that can't be had.
//
// A time namespace is made differently from its siblings. Its clocks can be set only while no
// process is in it, so clone(2) has no flag for it (clone3(2) has one, but then the clocks stay as
// they are): unshare(2) makes it, this thread stays outside, and the children that it starts enter.
//
// The outer process has to do this. PID 1 could make a time namespace for the command, too. But
// before Linux 6.2 a child that shares its parent's memory can't enter, and Go's children do until
// execve(2), to spare the copy. A child for which Go makes a user namespace doesn't, and the
// container is such a child. All other children come from another thread: see elsewhere.
func startClocks() error {
	if noClocks() != "" {
		return nil
	}
	if err := unix.Unshare(unix.CLONE_NEWTIME); err != nil {
		return os.NewSyscallError("unshare a time namespace", err)
	}
	// This file is about the namespace of our children. A line is a clock, seconds, nanoseconds:
	// what to add to the host's clock. We may be in a time namespace ourselves, which is where the
	// new one has them from; so what our clock has counted goes off what is there.
	const offsets = "/proc/self/timens_offsets"
	text, err := os.ReadFile(offsets)
	if err != nil {
		return err
	}
	set := ""
	for line := range strings.Lines(string(text)) {
		var name string
		var seconds, nanoseconds int64
		if _, err := fmt.Sscan(line, &name, &seconds, &nanoseconds); err != nil {
			return fmt.Errorf("read %q in %s: %w", line, offsets, err)
		}
		clock, known := map[string]int32{
			"monotonic": unix.CLOCK_MONOTONIC, "boottime": unix.CLOCK_BOOTTIME,
		}[name]
		if !known {
			continue
		}
		var now unix.Timespec
		if err := unix.ClockGettime(clock, &now); err != nil {
			return os.NewSyscallError("clock_gettime", err)
		}
		set += fmt.Sprintln(name, seconds-int64(now.Sec), nanoseconds)
	}
	return writeFile(offsets, set)
}

// noClocks says why the container can't have clocks of its own here, or nothing if it can. They
// keep nothing out and nothing in, so it runs without.
func noClocks() string {
	switch {
	case !exists("/proc/self/ns/time"):
		return "this kernel has no time namespaces (CONFIG_TIME_NS, Linux 5.6)"
	case !holds(unix.CAP_SYS_TIME):
		return "setting clocks takes CAP_SYS_TIME, which root lacks here, as in most containers"
	}
	return ""
}

// elsewhere runs a function on another thread than this one, which the main goroutine never leaves.
// It has that thread for itself, as what it does may be about the thread (setns(2)).
func elsewhere(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := f()
		if err == nil { // else the thread may be anywhere, and ends with this goroutine
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}
