//go:build linux

// The host's processes: seen, signalled, traced, read.

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// processes are the numbers in a proc directory.
func processes(proc string) []string {
	entries, _ := os.ReadDir(proc) // what can't be read has no processes for us
	var pids []string
	for _, entry := range entries {
		if name := entry.Name(); name[0] >= '1' && name[0] <= '9' {
			pids = append(pids, name)
		}
	}
	return pids
}

// inAll looks for a secret in a file that each process has, made of strings with a zero byte after
// each. cut is what comes before the secret in its string, up to the first such character.
func inAll(file, cut, want string) result {
	proc, err := procDir()
	if err != nil {
		return cannot("%v", err)
	}
	pids, read := processes(proc), 0
	for _, pid := range pids {
		text, err := os.ReadFile(filepath.Join(proc, pid, file))
		if err != nil {
			continue
		}
		read++
		for part := range strings.SplitSeq(string(text), "\x00") {
			if _, after, ok := strings.Cut(part, cut); ok && cut != "" {
				part = after
			}
			if sum(part) == want {
				return isLeak("found the victim's secret in /proc/%s/%s", pid, file)
			}
		}
	}
	return isHeld("%d processes in /proc, %d could be read, none is the victim", len(pids), read)
}

// seen looks for the victim by its arguments.
func seen(f *facts) result { return inAll("cmdline", "", f.VictimSum) }

// environ looks for the victim by its environment.
func environ(f *facts) result { return inAll("environ", "=", f.EnvSum) }

// sameVictim reports whether the victim's PID on the host means the victim here, too. It leads a
// session of its own; in another PID namespace probably no process has that PID.
func sameVictim(f *facts) error {
	sid, err := unix.Getsid(f.Victim)
	if err == nil && sid != f.Victim {
		return unix.ESRCH
	}
	return err
}

// signal0 sends signal 0 to the victim: the kernel does all but deliver it (kill(2)).
func signal0(f *facts) result {
	if err := sameVictim(f); err != nil {
		return isHeld("PID %d: %s", f.Victim, errno(err))
	}
	if err := unix.Tgkill(f.Victim, f.Victim, 0); err != nil {
		return isHeld("tgkill(%d): %s", f.Victim, errno(err))
	}
	return isLeak("the host's process %d can be signalled", f.Victim)
}

// ptraceVictim attaches to the victim without stopping it. The end of this process detaches.
func ptraceVictim(f *facts) result {
	if err := sameVictim(f); err != nil {
		return isHeld("PID %d: %s", f.Victim, errno(err))
	}
	if err := unix.PtraceSeize(f.Victim); err != nil {
		return isHeld("ptrace(PTRACE_SEIZE, %d): %s", f.Victim, errno(err))
	}
	return isLeak("the host's process %d is traced: its memory and registers are open", f.Victim)
}

// exeWrite tries to open to write, and writes nothing, the program that a process here runs and
// that is the host's: its init, or the runtime itself (CVE-2019-5736). ETXTBSY means that it only
// waits for that process to end.
func exeWrite(f *facts) result {
	proc, err := procDir()
	if err != nil {
		return cannot("%v", err)
	}
	last := "no process here runs a program of the host"
	for _, pid := range processes(proc) {
		path := filepath.Join(proc, pid, "exe")
		if !sameFile(path, f.HostExes...) {
			continue
		}
		fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			unix.Close(fd)
		}
		// That a program is busy is said before that its mount is read-only.
		var at unix.Statfs_t
		if unix.Statfs(path, &at) == nil && at.Flags&unix.ST_RDONLY != 0 {
			err = unix.EROFS
		}
		if err == nil || errors.Is(err, unix.ETXTBSY) {
			return isLeak("/proc/%s/exe is a program of the host, and opens to write: %s", pid,
				openOr(err))
		}
		last = fmt.Sprintf("/proc/%s/exe is a program of the host; to write: %s", pid, errno(err))
	}
	return isHeld("%s", last)
}

// openOr names the outcome of an open.
func openOr(err error) string {
	if err == nil {
		return "opened"
	}
	return errno(err)
}
