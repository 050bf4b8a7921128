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
// kernel itself only says EPERM, or ENOSPC where a limit is 0 (namespaces(7)). A container comes
// first: no setting helps in it, nor does sudo.
func whyForbidden() string {
	if inContainer() {
		return " (" + remedy() + ")"
	}
	for _, setting := range []struct{ name, forbids, mend string }{
		// Ubuntu since 23.10: user namespaces may be made, but are worth nothing.
		{"kernel.apparmor_restrict_unprivileged_userns", "1", "0"},
		// Debian and Arch carry this switch as a patch of their own.
		{"kernel.unprivileged_userns_clone", "0", "1"},
		{"user.max_user_namespaces", "0", "15000"},
	} {
		file := "/proc/sys/" + strings.ReplaceAll(setting.name, ".", "/")
		value, err := os.ReadFile(file)
		if err != nil || strings.TrimSpace(string(value)) != setting.forbids {
			continue
		}
		forbids := setting.name + " = " + setting.forbids
		allow := "sysctl -w " + setting.name + "=" + setting.mend
		if isRoot() {
			return fmt.Sprintf(" (this system forbids user namespaces: %s. Allow them: `%s`)",
				forbids, allow)
		}
		return fmt.Sprintf(" (this system forbids user namespaces to ordinary users: %s. "+
			"Allow them, `sudo %s`, or run as root, `%s`)", forbids, allow, remedy())
	}
	return ""
}

// remedy is how this caller comes by what only root has.
func remedy() string {
	switch {
	case inContainer():
		return "this is a container whose runtime forbids it: start that one with --privileged, " +
			"or run this on the host"
	case isRoot():
		return "you are root, but this root may not: run this outside, as the host's root"
	}
	return "go run -exec sudo ./" + step
}

// inContainer reports whether this is a container with less than root's powers. The runtime's file
// isn't enough: virtual machines are made of images that have it.
func inContainer() bool {
	if !exists("/.dockerenv") && !exists("/run/.containerenv") {
		return false
	}
	// A filter answers for the kernel, and nothing brings back what isn't in the bounding set
	// (prctl(2)).
	mode, err1 := unix.PrctlRetInt(unix.PR_GET_SECCOMP, 0, 0, 0, 0)
	admin, err2 := unix.PrctlRetInt(unix.PR_CAPBSET_READ, unix.CAP_SYS_ADMIN, 0, 0, 0)
	return err1 == nil && mode == unix.SECCOMP_MODE_FILTER || err2 == nil && admin == 0
}

// isRoot reports whether the caller is root, and not only in a user namespace of an ordinary user.
func isRoot() bool {
	var inside, outside int
	text, _ := os.ReadFile("/proc/self/uid_map") // without it, root is root
	_, _ = fmt.Sscan(string(text), &inside, &outside)
	return os.Geteuid() == 0 && outside == 0
}
