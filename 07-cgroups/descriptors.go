//go:build linux

// What a command inherits from the process that started the step: its standard streams, and no
// other descriptor. The same file in every step from 03 on.

package main

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// closeDescriptors closes every descriptor above standard error. One open directory of the host is
// enough to escape: 01's escape (b), and CVE-2024-21626 in runc. Go's runtime also holds some of
// the host's files open, from which it has read the CPU limit.
//
// It comes before anything is built, because while a descriptor is open any path may lead to it.
// Marking them close-on-exec, as CLOSE_RANGE_CLOEXEC does (close_range(2)), would be too late:
// execve(2) looks its path up before it closes them, so /proc/self/fd/5/bin/sh would be the host's.
func closeDescriptors() error {
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, entry := range open {
		fd, _ := strconv.Atoi(entry.Name())
		file, _ := os.Readlink("/proc/self/fd/" + entry.Name()) // fails for ReadDir's own
		switch {
		case fd <= 2:
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
