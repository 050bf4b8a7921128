//go:build linux

// Not root? Then a step borrows what 05-user-namespace explains. The same file in every step.

package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// borrowRoot lets an ordinary user follow. The kernel doesn't ask for uid 0, it asks for a
// capability, and the first process of a new user namespace has them all, over that namespace
// and what is made in it (user_namespaces(7)). Its root is the caller's own uid by another name.
func borrowRoot(attr *syscall.SysProcAttr, capability int) {
	if holds(capability) {
		return
	}
	attr.Cloneflags |= unix.CLONE_NEWUSER
	attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
}

// holds reports whether this thread has the capability in its effective set (capget(2)).
func holds(capability int) bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData // version 3 splits 64 bits in two
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return false
	}
	return sets[capability/32].Effective&(1<<(capability%32)) != 0
}

// whoami is the lesson's first fact: which process, which user, and whether it had to borrow.
func whoami(capability int) string {
	line := fmt.Sprintf("I am process %d, uid %d", os.Getpid(), os.Getuid())
	if !holds(capability) {
		line += "; not root, so the inside gets a user namespace too (05 explains it)"
	}
	return line
}

// whyForbidden names what on this system keeps namespaces from the caller, and what helps: the
// kernel itself only says EPERM, or ENOSPC where a limit is 0 (namespaces(7)).
func whyForbidden() string {
	for _, setting := range []struct{ name, forbids, mend string }{
		// Ubuntu since 23.10: user namespaces may be made, but are worth nothing.
		{"kernel.apparmor_restrict_unprivileged_userns", "1", "0"},
		// Debian and Arch carry this switch as a patch of their own.
		{"kernel.unprivileged_userns_clone", "0", "1"},
		{"user.max_user_namespaces", "0", "15000"},
	} {
		file := "/proc/sys/" + strings.ReplaceAll(setting.name, ".", "/")
		value, err := os.ReadFile(file)
		if err == nil && strings.TrimSpace(string(value)) == setting.forbids {
			return fmt.Sprintf(" (this system forbids user namespaces to ordinary users: %s = %s. "+
				"Allow them, `sudo sysctl -w %s=%s`, or run as root, `go run -exec sudo ./%s`)",
				setting.name, setting.forbids, setting.name, setting.mend, step)
		}
	}
	// A runtime's seccomp filter answers for the kernel (prctl(2), PR_GET_SECCOMP).
	mode, err := unix.PrctlRetInt(unix.PR_GET_SECCOMP, 0, 0, 0, 0)
	filtered := err == nil && mode == unix.SECCOMP_MODE_FILTER
	if filtered && (exists("/.dockerenv") || exists("/run/.containerenv")) {
		return " (this seems to be a container whose runtime forbids it: start that one with " +
			"--privileged, or run this on the host)"
	}
	return ""
}
