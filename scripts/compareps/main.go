//go:build linux

// Compareps shows the host's ps beside the container's, of the same moment. Every number is
// measured. This is the program behind scripts/compare-ps.sh, which builds it and says what for.
//
//	compareps [-a] PROGRAM    PROGRAM is a step, built; -a: all processes, on a terminal too
//
// take.go starts the container and takes both lists, list.go reads them, print.go prints what comes
// of it. COMPARE_PS_TMP in the environment is a directory to remove as soon as PROGRAM runs.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// removeTmp removes the directory with this program in it, and the step's. A program runs on
// without its file: so whatever ends this one later, kill -9 too, leaves none.
func removeTmp() { os.RemoveAll(os.Getenv("COMPARE_PS_TMP")) }

// main has a comparison made, prints it, and makes an exit status of what went wrong.
func main() {
	ctx := untilSignal()
	all := flag.Bool("a", false, "all processes, on a terminal too")
	flag.Parse()
	c, err := take(ctx, flag.Arg(0))
	removeTmp() // if it never came so far

	var ended interruption
	if errors.As(context.Cause(ctx), &ended) { // what a signal breaks is no news
		os.Exit(128 + int(ended.Signal))
	}
	// There is nothing left to clean up: from here on a signal simply ends the program.
	signal.Reset(syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM) // SIGQUIT's end is a stack trace
	if err == nil {
		width, most := 0, len(c.host.processes) // not a terminal
		if size, err := unix.IoctlGetWinsize(1, unix.TIOCGWINSZ); err == nil {
			width = cmp.Or(int(size.Col), 80)
			if !*all {
				most = 20
			}
		}
		_, err = os.Stdout.WriteString(c.text(width, most))
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "compare-ps.sh: %v\n", err)
		os.Exit(1)
	}
}

// interruption is the signal that has ended the work half-way.
type interruption struct{ syscall.Signal }

// Error says which; the signal's own text is its name.
func (i interruption) Error() string { return i.String() }

// untilSignal returns a context that a signal ends, with an interruption as its cause. (Before Go
// 1.26 signal.NotifyContext has none.)
func untilSignal() context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM)
	go func() { cancel(interruption{(<-signals).(syscall.Signal)}) }()
	return ctx
}
