//go:build linux

// Signals on their way to the command. Each half passes on what it gets to the next, and each is in
// a session of its own (setsid(2)). So a key such as Ctrl-C, which a terminal turns into a signal
// for a whole group of processes, comes in at one place, the outer half, and arrives once.

package main

import (
	"os"
	"os/exec"
	"os/signal"
	"slices"

	"golang.org/x/sys/unix"
)

// kept are the signals that aren't passed on (signal(7)): two that nobody can catch; what the
// kernel tells a process about its own children, sockets and faults (of SIGURG, Go's runtime makes
// a use of its own); and what stops a background process that reaches for the terminal: that has to
// stop us.
var kept = []unix.Signal{
	unix.SIGKILL, unix.SIGSTOP, unix.SIGCHLD, unix.SIGURG, unix.SIGPIPE, unix.SIGTTIN, unix.SIGTTOU,
	unix.SIGSEGV, unix.SIGBUS, unix.SIGFPE, unix.SIGILL, unix.SIGTRAP, unix.SIGSYS,
}

// catchSignals returns all others, from now on. What this program was started to ignore, as
// nohup(1) does it, the command ignores as well: that needs no passing on.
func catchSignals() <-chan os.Signal {
	signals := make(chan os.Signal, 64)
	for number := unix.Signal(1); number <= 64; number++ { // SIGRTMAX
		if !slices.Contains(kept, number) && !signal.Ignored(number) {
			signal.Notify(signals, number)
		}
	}
	return signals
}

// waitAndRelay waits for the next half to end, and passes on to it what signals come.
func waitAndRelay(cmd *exec.Cmd) error {
	signals := catchSignals()
	quiet()
	go relay(signals, cmd.Process, nil)
	return cmd.Wait()
}

// relay passes signals on to the next half, and returns when there is one that would end this
// process while there is nobody left to have it.
//
// Ctrl-Z stops us all: PID 1 stops the command, and we stop ourselves, for which the caller's shell
// is waiting. When it says SIGCONT, that goes the same way.
func relay(signals <-chan os.Signal, to *os.Process, at *terminal) {
	for s := range signals {
		if s == unix.SIGWINCH && at != nil {
			at.resize() // the kernel signals those in the container who should know
			continue
		}
		err := to.Signal(s)
		switch s {
		case unix.SIGTSTP:
			at.pause(func() { _ = unix.Kill(os.Getpid(), unix.SIGSTOP) })
		case unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM:
			if err != nil {
				return
			}
		}
	}
}

// forward is PID 1's part: it passes signals on to the command. What is a key at a terminal goes to
// its whole process group, as there: a shell that waits for a program that doesn't end would seem
// deaf.
func forward(signals <-chan os.Signal, command int) {
	for s := range signals {
		number, to := s.(unix.Signal), command
		switch number {
		case unix.SIGINT, unix.SIGQUIT, unix.SIGCONT:
			to = -command
		case unix.SIGTSTP:
			// The kernel wouldn't stop it: with a parent in another session, nobody there could
			// wake it again (setpgid(2), "orphaned"). SIGSTOP it does heed.
			number, to = unix.SIGSTOP, -command
		}
		_ = unix.Kill(to, number) // it may have ended just now
	}
}
