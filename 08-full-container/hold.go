//go:build linux

// The partner's own side of it. The same file wherever an experiment holds something for a lesson.

package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// holdOn says the line and returns when standard input ends: when the lesson is done with us, or
// dead. It may be dead already; SIGPIPE, which the line would bring then, must not keep us from
// tidying up.
func holdOn(line string) error {
	signal.Ignore(unix.SIGPIPE)
	fmt.Println(line)
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}
