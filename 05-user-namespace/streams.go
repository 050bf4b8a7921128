//go:build linux

// The standard streams, opened by name.

package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// sharePipes lets the command open by name a pipe that is one of its standard streams, as in `echo
// hi > /dev/stdout`; many images log that way. The name leads to /proc/self/fd/1 and so to the
// pipe. To open it the command needs the permissions of a file. A pipe has those too: mode 0600,
// owned by the user who made it. In the container that user has no ID, or isn't the command's.
//
// So every user may write to a pipe that is an output and read from one that is the input. A pipe
// is in no directory, so only processes that already hold one of its ends can use that. The owner
// stays, so the pipe works as before for the caller's other programs and for a second container.
// (runc and crun change the owner, which lets the command read from its output.)
//
// Nothing else changes. Files, FIFOs and terminals have names, so every user could open them. An
// idmapped mount of a file (mount_setattr(2)) would make root in the container its owner, who can
// read it and can turn it into a set-user-ID root program on the host. No Linux lets a process open
// a socket by name.
func sharePipes() {
	for fd := range 3 {
		var system unix.Statfs_t
		if unix.Fstatfs(fd, &system) != nil || system.Type != unix.PIPEFS_MAGIC {
			continue
		}
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		if err != nil {
			continue
		}
		const read, write = 0o044, 0o022 // for group and others
		addPermission(fd, map[int]uint32{
			unix.O_RDONLY: read, unix.O_WRONLY: write, unix.O_RDWR: read | write,
		}[flags&unix.O_ACCMODE])
	}
}

// addPermission adds a permission to a pipe. In `08 a | 08 b` two processes do that at the same
// time. The lock keeps one from undoing the other's change.
func addPermission(pipe int, permission uint32) {
	for range 100 { // at most 100 ms, in case another program never lets go of the lock
		if !errors.Is(unix.Flock(pipe, unix.LOCK_EX|unix.LOCK_NB), unix.EWOULDBLOCK) {
			break
		}
		time.Sleep(time.Millisecond)
	}
	defer unix.Flock(pipe, unix.LOCK_UN)
	var info unix.Stat_t
	if unix.Fstat(pipe, &info) == nil {
		// EPERM: another user made the pipe, so the caller couldn't open it by name either.
		_ = unix.Fchmod(pipe, info.Mode&0o777|permission)
	}
}

// explainStreams says what to type if the command names a stream that it can't open. It asks the
// kernel from inside, so the command gets the same answer. It can't see what a script or a program
// of an image opens.
func explainStreams(command []string) {
	const read, write = 4, 2 // access(2)
	line := strings.Join(command, " ")
	for fd, stream := range []struct {
		name  string
		want  uint32
		piped string
	}{
		{"/dev/stdin", read, "cat FILE | COMMAND"},
		{"/dev/stdout", write, "COMMAND | cat > FILE"},
		{"/dev/stderr", write, "COMMAND 2>&1 | cat > FILE"},
	} {
		if strings.Contains(line, stream.name) &&
			unix.Access(fmt.Sprint("/proc/self/fd/", fd), stream.want) == unix.EACCES {
			fmt.Fprintf(os.Stderr, "%s: the command can't open %s by name, because its owner is a "+
				"user of the host (use a pipe: %s)\n", step, stream.name, stream.piped)
		}
	}
}
