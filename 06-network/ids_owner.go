//go:build linux

// Who owns the container's user namespace.

package main

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// startOwned starts a command in the user namespace that mapIDs has prepared. The kernel counts
// some of what the container uses against the namespace's owner too: inotify instances, queued
// signals, POSIX message queues (kernel/ucount.c). If root owned it, a container could use up the
// quotas of the host's root. So where root gives it IDs of its own, the first of them is the owner.
func startOwned(cmd *exec.Cmd) error {
	maps, own := cmd.SysProcAttr.UidMappings, os.Geteuid()
	// Only the owner can open /proc/PID/ns, or a process with CAP_SYS_PTRACE, which Docker drops.
	if len(maps) == 0 || maps[0].HostID == own || !holds(unix.CAP_SYS_PTRACE) {
		return cmd.Start()
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return os.NewSyscallError("capget", err)
	}
	var deathSignal int32
	_, _, failed := unix.Syscall(unix.SYS_PRCTL, unix.PR_GET_PDEATHSIG,
		uintptr(unsafe.Pointer(&deathSignal)), 0)
	if failed != 0 {
		return os.NewSyscallError("prctl(PR_GET_PDEATHSIG)", failed)
	}
	// The owner is the effective user of the thread that calls clone(2). Changing that user clears
	// the thread's effective capabilities and its parent-death signal, so both are set again.
	err := setThreadUser(maps[0].HostID)
	if err == nil {
		err = unix.Capset(&header, &sets[0])
	}
	if err == nil {
		err = cmd.Start()
	}
	return errors.Join(err, setThreadUser(own), unix.Capset(&header, &sets[0]),
		unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(deathSignal), 0, 0, 0))
}

// setThreadUser sets the effective user of this thread alone. Go's syscall.Setresuid sets it for
// all threads.
func setThreadUser(uid int) error {
	number, same := uintptr(unix.SYS_SETRESUID), ^uintptr(0)
	if runtime.GOARCH == "386" || runtime.GOARCH == "arm" { // SYS_SETRESUID is for 16-bit IDs
		number = 208
	}
	_, _, failed := unix.Syscall(number, same, uintptr(uid), same)
	if failed != 0 {
		return os.NewSyscallError("setresuid", failed)
	}
	return nil
}
