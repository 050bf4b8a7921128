//go:build linux

// What a process brings along from outside, and what it is left with; and what all containers on a
// machine share, whatever they do.

package main

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// environment looks for a variable of the caller's.
func environment(f *facts) result {
	variables := os.Environ()
	for _, variable := range variables {
		name, value, _ := strings.Cut(variable, "=")
		if sum(value) == f.StartSum {
			return isLeak("%s has come along from outside", name)
		}
	}
	return isHeld("%d variables, the secret one isn't among them", len(variables))
}

// usual are the capabilities that Docker leaves to a container, and its critics find too many: what
// is beyond them is about the machine.
const usual = 1<<unix.CAP_CHOWN | 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_FSETID |
	1<<unix.CAP_FOWNER | 1<<unix.CAP_MKNOD | 1<<unix.CAP_NET_RAW | 1<<unix.CAP_SETGID |
	1<<unix.CAP_SETUID | 1<<unix.CAP_SETFCAP | 1<<unix.CAP_SETPCAP |
	1<<unix.CAP_NET_BIND_SERVICE | 1<<unix.CAP_SYS_CHROOT | 1<<unix.CAP_KILL |
	1<<unix.CAP_AUDIT_WRITE

// bounding looks at the capabilities that a process here can ever have (capabilities(7)).
func bounding(*facts) result {
	var all, beyond int
	for capability := range 64 {
		has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(capability), 0, 0, 0)
		if err != nil || has == 0 {
			continue
		}
		all++
		if uint64(usual)&(1<<capability) == 0 {
			beyond++
		}
	}
	if beyond > 0 {
		return isLeak("%d capabilities, %d of them beyond Docker's 14", all, beyond)
	}
	return isHeld("%d capabilities, none beyond Docker's 14", all)
}

// noNewPrivs looks whether execve(2) may still give privileges.
func noNewPrivs(*facts) result {
	set, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	if err == nil && set == 1 {
		return isHeld("no_new_privs is set")
	}
	return isLeak("no_new_privs isn't set")
}

// seccomp looks whether there is a filter at all.
func seccomp(*facts) result {
	if filtered() {
		return isHeld("a seccomp filter is on")
	}
	return isLeak("no seccomp filter")
}

// coreDump looks whether a crash here leaves the container: the kernel writes the memory image, or
// hands it to a program, as the host's core_pattern says (core(5)). For a program no limit is
// enforced but that of 1 (fs/coredump.c). A process that wants its core handled may lower it to 0:
// this is about those who crash without having meant to.
func coreDump(*facts) result {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil {
		return isHeld("getrlimit: %s", errno(err))
	}
	pattern, _ := os.ReadFile("/proc/sys/kernel/core_pattern") // without, take it for a program
	file := len(pattern) > 0 && pattern[0] != '|'
	switch {
	case limit.Cur == 1 && limit.Max == 1:
		return isHeld("RLIMIT_CORE is 1, and can't be raised")
	case limit.Max == 0 && file:
		return isHeld("RLIMIT_CORE is 0, and can't be raised")
	case limit.Max == 0:
		return isLeak("RLIMIT_CORE is 0, and a program of the host's gets the core nevertheless")
	}
	size := fmt.Sprint(limit.Max)
	if limit.Max == unix.RLIM_INFINITY {
		size = "unlimited"
	}
	return isLeak("RLIMIT_CORE may be raised to %s", size)
}

// openFiles looks whether the limits on open files are the odd ones that the host's part has set,
// soft and hard alike. (Go raises a soft limit that is lower, to one less than the hard limit.)
func openFiles(f *facts) result {
	if why := f.Missing["limit"]; why != "" {
		return cannot("the host's part has set none: %s", why)
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return cannot("getrlimit: %s", errno(err))
	}
	if limit.Cur == f.OpenFiles {
		return isLeak("RLIMIT_NOFILE is the caller's %d", limit.Cur)
	}
	return isHeld("RLIMIT_NOFILE isn't the caller's %d", f.OpenFiles)
}

// oomScore looks whether oom_score_adj is the odd one that the host's part has set.
func oomScore(f *facts) result {
	if why := f.Missing["score"]; why != "" {
		return cannot("the host's part has set none that could be undone: %s", why)
	}
	text, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		return cannot("%v", err)
	}
	if score := trim(text); score != oddScore {
		return isHeld("oom_score_adj is %s, not the caller's %s", score, oddScore)
	}
	return isLeak("oom_score_adj is the caller's %s", oddScore)
}

// sharedKernel asks for the kernel's version. A virtual machine has its own; a container can't.
func sharedKernel(f *facts) result {
	if here := kernel(); here != f.Kernel {
		return isHeld("the kernel here is %s", here)
	}
	return isLeak("it is the host's kernel: %s", f.Kernel)
}

// kernel is what uname(2) says, version and build.
func kernel() string {
	var name unix.Utsname
	_ = unix.Uname(&name) // fails for a bad pointer only
	return unix.ByteSliceToString(name.Release[:]) + " " + unix.ByteSliceToString(name.Version[:])
}

// sharedMemory asks how much memory the machine has. No namespace covers that.
func sharedMemory(f *facts) result {
	if here := totalMemory(); here != f.Memory {
		return isHeld("sysinfo says %d MiB of memory, the host has %d", here>>20, f.Memory>>20)
	}
	return isLeak("sysinfo says what the host has: %d MiB of memory", f.Memory>>20)
}

// totalMemory is what sysinfo(2) says, in bytes.
func totalMemory() uint64 {
	var info unix.Sysinfo_t
	_ = unix.Sysinfo(&info) // fails for a bad pointer only
	return uint64(info.Totalram) * uint64(info.Unit)
}

// bootTime asks for how long the machine has been up; a time namespace can give another answer
// number (time_namespaces(7)).
func bootTime(f *facts) result {
	const atLeast, near = 120, 60 // seconds
	here := uptime()
	switch {
	case f.Uptime < atLeast:
		return cannot("the host booted only %d s ago: that would be near to anything", f.Uptime)
	case here >= f.Uptime-near && here <= f.Uptime+near:
		return isLeak("the clock says %d s since boot, the host's %d", here, f.Uptime)
	}
	return isHeld("the clock says %d s since boot, the host's %d", here, f.Uptime)
}

// uptime is the time since boot, in seconds.
func uptime() int64 {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) // fails for a bad argument only
	return int64(now.Sec)
}

// trim makes one line of what a program has said.
func trim(out []byte) string {
	return strings.Join(strings.Fields(string(out)), " ")
}
