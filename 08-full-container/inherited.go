//go:build linux

// What a container must not inherit from its caller, besides descriptors and variables: the session
// keyring, limits, and how likely the kernel is to kill it when memory runs out.

package main

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// newKeyring gives this thread, and what it starts, a session keyring of its own, with nothing in
// it. Keyrings have no namespace: without this the container would possess the keyring of the user
// who started it, with all rights. A kernel without keyrings has none to leak.
//
// The name is NULL, which makes a nameless one. One with a name, even an empty one as
// KeyctlJoinSessionKeyring would pass, can be joined by the next container that asks for it.
func newKeyring() error {
	_, err := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0)
	if errors.Is(err, unix.ENOSYS) {
		return nil
	}
	return os.NewSyscallError("keyctl(KEYCTL_JOIN_SESSION_KEYRING)", err)
}

// setLimits sets limits for this process and what it starts.
func setLimits() error { return errors.Join(limitCores(), limitFiles()) }

// limitCores disables core dumps here and in our children, because one setting of the whole machine
// says where they go, and that may be a program on the host (core(5)). A limit of 0 stops files
// only; 1 also stops dumps that core_pattern pipes to a program (fs/coredump.c).
func limitCores() error {
	err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 1, Max: 1})
	// EPERM: the hard limit is 0 already, as sudo(8) sets it, and only the host's root may raise
	// it. Then there are at least no files. (The container's root couldn't do this: so we do.)
	if err != nil && !errors.Is(err, unix.EPERM) {
		return os.NewSyscallError("setrlimit(RLIMIT_CORE)", err)
	}
	return nil
}

// limitFiles gives a container the limits on open files that systemd gives a service, which most
// programs expect: some close every descriptor up to the limit, one by one. It never raises the
// caller's limits.
func limitFiles() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return os.NewSyscallError("getrlimit(RLIMIT_NOFILE)", err)
	}
	limit.Max = min(limit.Max, 524288)
	limit.Cur = min(limit.Max, 1024)
	return os.NewSyscallError("setrlimit(RLIMIT_NOFILE)",
		unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
}

// resetOOMScore makes a process, and what that starts, as likely to be killed as any other when
// memory runs out (proc_pid_oom_score_adj(5)). The caller may be a daemon with -1000, which the
// kernel never kills: then nothing enforces the limit on memory.
func resetOOMScore(pid int) error {
	file := fmt.Sprintf("/proc/%d/oom_score_adj", pid)
	err := writeFile(file, "0")
	if errors.Is(err, unix.EACCES) {
		// To lower it can take CAP_SYS_RESOURCE on the host. Above 0, it stays.
		if score, failed := readNumber(file); failed == nil && score > 0 {
			return nil
		}
	}
	return err
}
