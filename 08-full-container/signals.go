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

// notRelayed are the signals that aren't passed on (signal(7)): two that nobody can catch; what the
// kernel tells a process about its own children, sockets and faults; what Go's runtime needs itself
// (SIGURG to interrupt goroutines, SIGPROF to profile); what stops a background process that
// reaches for the terminal: that has to stop us; and three that C libraries use for their threads,
// which Go hands out to nobody.
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
// It takes Go some 30 microseconds for each, so it is done beside whatever else there is to do.
// They are all caught once the channel has been received.
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

// surviveFaults keeps PID 1 alive when somebody inside sends it one of those. The kernel drops what
// a PID 1 has no handler for (pid_namespaces(7)), but here Go's runtime has one, which would end
// the program. Now it sends them to a channel that nobody reads. A fault of ours still ends it.
func surviveFaults() { signal.Notify(make(chan os.Signal, 1), faults...) }

// endable lets a signal that asks this process to end do so at once while the container is being
// made. That may hang, say where an image has a FIFO in the place of a file, and nobody is there
// yet to pass the signal on to. When started is called, this is over: it returns the signals, which
// are the command's from then on.
func endable(caught <-chan chan os.Signal) (started func() chan os.Signal) {
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
				// Half of the channel's room is left to those that come now: a full one would
				// stop us here.
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

// listen reads signals off the line to the half before this one: each is a byte, its number. As
// signals, on their way from half to half, they might overtake one another: of two that are
// pending, the kernel and Go hand out the lower number first, so that SIGCONT (18) would come
// before the SIGTSTP (20) that it was to end. And a process that isn't ready for a signal yet may
// die of it. A zero byte brings a client's connection.
func listen(line *os.File, signals chan<- os.Signal, client func(connection int)) {
	number := make([]byte, 1)
	for {
		_, connection, err := receiveMessage(line, number)
		switch {
		case err != nil:
			return // if that half is dead, so are we, soon
		case len(connection) > 0:
			client(connection[0])
		case number[0] != 0:
			signals <- unix.Signal(number[0])
		}
	}
}

// relay passes signals on to the next half, and returns when there is one that would end this
// process while there is nobody left to have it.
//
// Ctrl-Z stops the command, by PID 1, and the first of us, for which the caller's shell waits. When
// that says SIGCONT, it goes the same way.
func relay(signals <-chan os.Signal, line *os.File, at *terminal, first bool) {
	for s := range signals {
		if s == unix.SIGWINCH && at != nil {
			at.resize() // the kernel signals those in the container who should know
			continue
		}
		_, err := line.Write([]byte{byte(s.(unix.Signal))})
		switch {
		case s == unix.SIGTSTP:
			at.restore()
			if first {
				_ = unix.Kill(os.Getpid(), unix.SIGSTOP) // can't fail
			}
		case s == unix.SIGCONT:
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
		// The kernel wouldn't stop it: with a parent in another session, nobody there could
		// wake it again (setpgid(2), "orphaned"). SIGSTOP it does heed.
		number, to = unix.SIGSTOP, -command
	}
	_ = unix.Kill(to, number) // it may have ended just now
}
