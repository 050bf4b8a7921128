//go:build linux

// What the caller may do here, and what may forbid it. The same file in every step.

package main

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// holds reports whether this thread has the capability in its effective set (capget(2)).
func holds(capability int) bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData // version 3 splits 64 bits in two
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return false
	}
	return sets[capability/32].Effective&(1<<(capability%32)) != 0
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
