//go:build linux

// What a command inherits from the process that started the step: its standard streams, and no
// other descriptor. The same file in every step from 03 on.

package main

import (
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// closeDescriptors closes every descriptor above standard error, but for some to keep. One open
// directory of the host would be a way out of all this: 01's escape (b), and, in runc,
// CVE-2024-21626. Go's runtime has brought some files of the host along, too, from which it has
// read the CPU limit.
//
// It comes first: while one is open, every path that is looked up may lead to it. Marking them for
// execve(2) to close, as CLOSE_RANGE_CLOEXEC does (close_range(2)), would be too late even for that
// call, which looks its path up before it closes: /proc/self/fd/5/bin/sh would be the host's.
func closeDescriptors(keep ...int) error {
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, entry := range open {
		fd, _ := strconv.Atoi(entry.Name())
		file, _ := os.Readlink("/proc/self/fd/" + entry.Name()) // fails for ReadDir's own
		switch {
		case fd <= 2, slices.Contains(keep, fd):
		case strings.HasPrefix(file, "anon_inode:"):
			// Go's runtime waits on these and ends the program if they are gone. They are in no
			// directory, so closing them at exec is early enough.
			unix.CloseOnExec(fd)
		default:
			unix.Close(fd)
		}
	}
	return nil
}
