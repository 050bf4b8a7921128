//go:build linux

// Signals on their way to the command. Each process passes on what it gets, and each is in a
// session of its own (setsid(2)). So a key such as Ctrl-C, which a terminal turns into a signal for
// a whole group of processes, comes in at one place, the outer process, and arrives once.

package main

import (
	"os"
	"os/signal"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// notRelayed are the signals that aren't passed on (signal(7)): two that can't be caught; those by
// which the kernel tells a process about its own children, sockets and faults; those that Go's
// runtime needs itself (SIGURG to interrupt goroutines, SIGPROF to profile); two that stop a
// background process that reaches for the terminal, and have to stop us; and three that C libraries
// use for their threads, which Go doesn't pass to programs.
var notRelayed = []unix.Signal{
	unix.SIGKILL, unix.SIGSTOP, unix.SIGCHLD, unix.SIGURG, unix.SIGPIPE, unix.SIGTTIN, unix.SIGTTOU,
	unix.SIGSEGV, unix.SIGBUS, unix.SIGFPE, unix.SIGILL, unix.SIGTRAP, unix.SIGSYS, unix.SIGPROF,
	32, 33, 34,
}

// quit gets SIGQUIT until catchSignals does.
var quit = make(chan os.Signal, 1)

// quitQuietly lets SIGQUIT, which is Ctrl-\ at a terminal, end this process as SIGTERM does. Left
// alone, Go prints a page about its goroutines. It is for what may take long before the start.
func quitQuietly() {
	signal.Notify(quit, unix.SIGQUIT)
	go func() {
		<-quit
		_ = unix.Kill(os.Getpid(), unix.SIGTERM) // can't fail
	}()
}

// lastStandard is the last of the signals that have names (signal(7)). Those behind it, up to
// lastSignal, mean something only to the program that they are sent to.
const lastStandard, lastSignal = unix.Signal(31), unix.Signal(64)

// catchSignals catches all others up to the last one. SIGHUP and SIGINT that this program was
// started to ignore, as nohup(1) does it, the command ignores as well: that needs no passing on.
// (Go's runtime doesn't leave the others ignored.)
//
// Go takes some 30 microseconds for each, so a goroutine does it while the caller goes on. They are
// all caught once the caller has received the channel.
func catchSignals(last unix.Signal) (caught <-chan chan os.Signal) {
	done := make(chan chan os.Signal, 1)
	go func() {
		signals := make(chan os.Signal, 64)
		for number := unix.Signal(1); number <= last; number++ {
			if !slices.Contains(notRelayed, number) && !signal.Ignored(number) {
				signal.Notify(signals, number)
			}
		}
		signal.Stop(quit)
		done <- signals
	}()
	return done
}

// faults are the signals by which the kernel tells a program of its faults.
var faults = []os.Signal{
	unix.SIGSEGV, unix.SIGBUS, unix.SIGFPE, unix.SIGILL, unix.SIGTRAP, unix.SIGSYS,
}

// surviveFaults keeps PID 1 alive when a process inside sends it one of those. The kernel drops
// signals that PID 1 has no handler for (pid_namespaces(7)), but Go's runtime has one for these,
// and would end the program. Now it sends them to a channel that isn't read. A real fault of ours
// still ends the program.
func surviveFaults() { signal.Notify(make(chan os.Signal, 1), faults...) }

// endOnSignal lets signals such as SIGTERM end this process while it builds the container. Building
// may hang, say on a FIFO where an image should have a file, and there is no command yet to relay
// the signal to. Calling started puts an end to this: from then on signals are the command's, and
// arrive on the channel that it returns, those included that came in the meantime.
func endOnSignal(caught <-chan chan os.Signal) (started func() chan os.Signal) {
	stop, ours := make(chan bool), make(chan chan os.Signal)
	go func() {
		signals := <-caught
		var others []os.Signal
		for {
			select {
			case s := <-signals:
				if !asksToEnd(s) {
					others = append(others, s)
					continue
				}
				// As if it had never been caught; and with us goes the container.
				if s == unix.SIGQUIT {
					s = unix.SIGTERM // of that one, Go would print a page
				}
				signal.Reset(s)
				_ = unix.Kill(os.Getpid(), s.(unix.Signal)) // can't fail
				// If we are PID 1 of a container ourselves, the kernel has just dropped that
				// (pid_namespaces(7)).
				time.Sleep(100 * time.Millisecond)
				os.Exit(128 + int(s.(unix.Signal)))
			case <-stop:
				// Leave half of the channel to signals that arrive now: sending to a full one
				// would block us here.
				for _, s := range others[:min(len(others), cap(signals)/2)] {
					signals <- s
				}
				ours <- signals
				return
			}
		}
	}()
	return func() chan os.Signal {
		close(stop)
		return <-ours
	}
}

// asksToEnd reports whether a signal asks a program to end (signal(7)).
func asksToEnd(s os.Signal) bool {
	return s == unix.SIGHUP || s == unix.SIGINT || s == unix.SIGQUIT || s == unix.SIGTERM
}

// listen reads signals off the line to the outer process: each is a byte, its number. Sent as real
// signals from process to process, they might overtake one another: of two that are pending, the
// kernel and Go deliver the lower number first, so SIGCONT (18) would come before the SIGTSTP (20)
// that it was to end. And a process that isn't ready for a signal yet may die of it. A zero byte
// brings a client's connection.
func listen(line *os.File, signals chan<- os.Signal, client func(connection int)) {
	number := make([]byte, 1)
	for {
		_, connection, err := receiveMessage(line, number)
		switch {
		case err != nil:
			return // the outer process is dead, and the kernel is about to kill us
		case len(connection) > 0:
			client(connection[0])
		case number[0] != 0:
			signals <- unix.Signal(number[0])
		}
	}
}

// relay passes signals on to the inner process. It returns when that has ended and one comes that
// asks to end: there is no command left to get it.
//
// On Ctrl-Z, PID 1 stops the command, and the first outer process, which the caller's shell waits
// for, stops itself. SIGCONT takes the same way.
func relay(signals <-chan os.Signal, line *os.File, at *terminal, first bool) {
	for s := range signals {
		if s == unix.SIGWINCH && at != nil {
			at.resize() // the kernel then signals the container's processes itself
			continue
		}
		_, err := line.Write([]byte{byte(s.(unix.Signal))})
		switch {
		case s == unix.SIGTSTP:
			at.restore()
			if first {
				_ = unix.Kill(os.Getpid(), unix.SIGSTOP) // can't fail
			}
		case s == unix.SIGCONT && inForeground():
			at.makeRaw()
		case asksToEnd(s) && err != nil:
			return
		}
	}
}

// passOn is PID 1's part: it passes signals on to the command.
func passOn(signals <-chan os.Signal, command int) {
	for s := range signals {
		signalCommand(command, s.(unix.Signal))
	}
}

// signalCommand signals a command. What is a key at a terminal goes to its whole process group, as
// there: a shell that waits for a program that doesn't end would seem deaf.
func signalCommand(command int, number unix.Signal) {
	to := command
	switch number {
	case unix.SIGINT, unix.SIGQUIT, unix.SIGCONT:
		to = -command
	case unix.SIGTSTP:
		// The kernel ignores it: the command's parent is in another session, where no process
		// could continue the command (setpgid(2), "orphaned"). SIGSTOP always works.
		number, to = unix.SIGSTOP, -command
	}
	_ = unix.Kill(to, number) // it may have ended just now
}
