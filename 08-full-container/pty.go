//go:build linux

// The two terminals of an interactive container (pty(7)): its own, and the one that the step was
// started at. The command's end of its own, the slave, is /dev/pts/0 in the container's devpts. The
// other end, the master, goes to the outer process, which copies between it and the terminal of the
// host. That one itself stays outside.

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// newLine connects an outer process to the inner one that it is about to start, by a pair of
// sockets. The inner process gets theirs, as descriptor 3. Signals travel on the line, and
// descriptors can be sent along (unix(7), SCM_RIGHTS).
func newLine() (ours, theirs *os.File, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	ours = newSocket(pair[0], "line to the inner process")
	theirs = os.NewFile(uintptr(pair[1]), "line to the outer process")
	return ours, theirs, nil
}

// newSocket makes a file of a socket. Go waits for all of them on one thread (epoll(7)).
func newSocket(fd int, name string) *os.File {
	_ = unix.SetNonblock(fd, true) // fails only if it isn't open
	return os.NewFile(uintptr(fd), name)
}

// openTerminal makes a pseudo-terminal, and its slave this process's standard streams. It returns
// the master.
func openTerminal(owner int) (master int, err error) {
	streams := []int{0, 1, 2}
	master, slave, err := newTerminal(owner, streams)
	if err != nil {
		return -1, err
	}
	for _, stream := range slaveStreams(streams) {
		if err := unix.Dup3(slave, stream, 0); err != nil {
			return -1, os.NewSyscallError("dup3", err)
		}
	}
	return master, unix.Close(slave)
}

// newTerminal makes a pseudo-terminal of the devpts at /dev/pts, for a command whose streams are
// these so far. The owner, a uid inside, can open it by name.
func newTerminal(owner int, streams []int) (master, slave int, err error) {
	const ptmx = "/dev/pts/ptmx"
	flags := unix.O_RDWR | unix.O_NOCTTY | unix.O_CLOEXEC // it's to be the command's, not ours
	master, err = unix.Open(ptmx, flags, 0)
	if err != nil {
		return -1, -1, &os.PathError{Op: "open", Path: ptmx, Err: err}
	}
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		unix.Close(master)
		return -1, -1, &os.PathError{Op: "unlock the slave of", Path: ptmx, Err: err}
	}
	// This opens the slave that belongs to the master, and not what lies at /dev/pts/0
	// (ioctl_tty(2)).
	number, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(master), unix.TIOCGPTPEER,
		uintptr(flags))
	if errno != 0 {
		unix.Close(master)
		return -1, -1, &os.PathError{Op: "open the slave of", Path: ptmx, Err: errno}
	}
	slave = int(number)
	if err := unix.Fchown(slave, owner, -1); err != nil {
		unix.Close(master)
		unix.Close(slave)
		return -1, -1, &os.PathError{Op: "chown the slave of", Path: ptmx, Err: err}
	}
	if theirs := terminalAt(streams...); theirs >= 0 {
		// What the user is used to: which key erases, UTF-8, and the size of the window.
		if settings, err := unix.IoctlGetTermios(theirs, unix.TCGETS); err == nil {
			_ = unix.IoctlSetTermios(slave, unix.TCSETS, settings) // for comfort only
		}
		copySize(master, theirs)
	}
	return master, slave, nil
}

// slaveStreams are the streams that the slave takes the place of. Standard error that goes
// elsewhere, as with 2>file, is meant so.
func slaveStreams(streams []int) []int {
	if terminalAt(streams[2]) >= 0 {
		return streams
	}
	return streams[:2]
}

// handOver tells the outer process that the command is next, sends it the master unless that is -1,
// and closes the master here. It returns once every outer process relays signals and the terminal.
func handOver(line *os.File, master int) error {
	var terminal []int
	if master >= 0 {
		terminal = []int{master}
		defer unix.Close(master)
	}
	if err := sendMessage(line, []byte{0}, terminal...); err != nil {
		return err
	}
	if _, err := line.Read([]byte{0}); err != nil {
		return fmt.Errorf("wait for the outer process: %w", err)
	}
	return nil
}

// takeOver waits for that and returns the master, or nil if there is none. It returns io.EOF if the
// inner process has failed before.
func takeOver(line *os.File) (master *os.File, err error) {
	_, terminal, err := receiveMessage(line, make([]byte, 1))
	if err != nil || len(terminal) == 0 {
		return nil, err
	}
	return os.NewFile(uintptr(terminal[0]), "the container's terminal"), nil
}

// supervise waits for the inner process to end. Until then it relays signals over the line and, if
// the command has a terminal, copies what is typed and what is shown. (A command without one has
// our own standard streams, so there is nothing to copy.) A process that plays the host has another
// line, to the outer process that started it, and gets its signals from there.
//
// Before the command starts, a signal can end this process, and the container with it. supervise
// calls started when the command is about to start; from there on signals are the command's. If
// started is nil, supervise catches them at that moment.
func supervise(cmd *exec.Cmd, line, outer *os.File, started func() chan os.Signal) error {
	master, err := takeOver(line)
	if errors.Is(err, io.EOF) {
		return cmd.Wait()
	}
	if err != nil {
		return abandon(cmd, err)
	}
	if outer != nil {
		if err := handOver(outer, -1); err != nil {
			return abandon(cmd, err)
		}
	}
	if started == nil {
		started = func() chan os.Signal { return <-catchSignals(lastSignal) }
	}
	signals := started()
	if outer != nil {
		go listen(outer, signals, func(client int) { passOnClient(line, client) })
	}
	quiet()
	var at *terminal
	if master != nil {
		at = takeTerminal(master)
		defer at.leave()
	}
	var door *os.File
	if outer == nil && cmd.SysProcAttr.Cloneflags&unix.CLONE_NEWNET != 0 {
		door = openDoor() // out of the container's reach: it has another network namespace
	}
	if _, err := line.Write([]byte{0}); err != nil { // what handOver waits for, there
		return abandon(cmd, err)
	}
	if door != nil {
		go admit(door, line)
	}
	deaf, shown := make(chan bool), make(chan bool)
	go func() { defer close(deaf); relay(signals, line, at, outer == nil) }()
	if master == nil {
		return cmd.Wait()
	}
	go func() { defer close(shown); copyOut(master) }()
	go copyIn(master, at)
	err = cmd.Wait()
	// A slow reader may not have taken the last of the output yet.
	select {
	case <-shown:
	case <-deaf:
	}
	return err
}

// copyOut copies what the container writes until no process there has the terminal open: once
// everything has been read, read(2) answers EIO. If our output fails, closing the master hangs up
// the container's terminal, and the kernel sends SIGHUP.
func copyOut(master *os.File) {
	defer master.Close()
	buffer := make([]byte, 4096) // the kernel has no more at a time
	for {
		n, err := master.Read(buffer)
		if err != nil {
			return
		}
		if _, err := os.Stdout.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// copyIn copies what is typed. Where input comes from a file, the command learns of its end as it
// would at a terminal: by Ctrl-D, pressed twice in the middle of a line.
//
// In the background it waits: there the kernel stops a process that reads from the terminal, or the
// shell would miss keys. A shell's fg sends no signal to a job that runs, so this looks.
func copyIn(master *os.File, at *terminal) {
	if at != nil && !inForeground() {
		for !inForeground() {
			time.Sleep(100 * time.Millisecond)
		}
		at.makeRaw()
	}
	buffer := make([]byte, 4096)
	last := byte('\n')
	for {
		n, err := os.Stdin.Read(buffer)
		if err != nil {
			break
		}
		if _, err := master.Write(buffer[:n]); err != nil {
			return
		}
		last = buffer[n-1]
	}
	settings, err := unix.IoctlGetTermios(int(master.Fd()), unix.TCGETS)
	if err != nil || settings.Lflag&unix.ICANON == 0 {
		return // to a program that reads single keys, Ctrl-D is a key like others
	}
	end := []byte{settings.Cc[unix.VEOF]}
	if last != '\n' {
		end = append(end, end[0])
	}
	_, _ = master.Write(end) // it may have ended
}

// terminalAt returns the first of some descriptors that is a terminal, or -1.
func terminalAt(descriptors ...int) int {
	for _, fd := range descriptors {
		if _, err := unix.IoctlGetTermios(fd, unix.TCGETS); err == nil {
			return fd
		}
	}
	return -1
}

// copySize gives one terminal the size that another has, in rows and columns.
func copySize(to, from int) {
	if size, err := unix.IoctlGetWinsize(from, unix.TIOCGWINSZ); err == nil {
		_ = unix.IoctlSetWinsize(to, unix.TIOCSWINSZ, size) // for good looks only
	}
}

// terminal is the host's: raw while the command runs, so that each key goes to the container
// untouched, Ctrl-C too, and as it was, before and after. There is none, nil, where -tty was asked
// for without one.
type terminal struct {
	fd     int
	before *unix.Termios // its settings as we found them; nil if we haven't changed them
	master *os.File      // the container's, whose size follows
	using  sync.Mutex    // held while the settings change
	left   bool          // no more of it
}

// takeTerminal makes the terminal raw, if one of our standard streams is one. leave must undo that.
// After kill -9 the terminal stays raw: `stty sane` helps, or reset(1).
func takeTerminal(master *os.File) *terminal {
	// A reader of our output that goes away must not kill us before leave.
	signal.Ignore(unix.SIGPIPE)
	t := &terminal{fd: terminalAt(0, 1), master: master}
	if t.fd < 0 {
		return nil
	}
	if inForeground() { // else see copyIn
		t.makeRaw()
	}
	return t
}

// inForeground reports whether the terminal is the caller's, and not that of another job of its
// shell, as in `08 sleep 100 &`. A stand-in for the host is in a session of its own, so it asks
// about the process that started it (proc_pid_stat(5): pgrp and tpgid). That process has opened the
// file, since proc's mount option hidepid hides it from a user namespace.
func inForeground() bool {
	stat, err := os.ReadFile("/proc/self/stat")
	if os.Args[0] == role(standIn) {
		stat = make([]byte, 1024)
		_, err = unix.Pread(4, stat, 0)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	return err != nil || fields[5] == "-1" || fields[5] == fields[2]
}

// makeRaw has the terminal hand on every byte as it is (cfmakeraw(3)). In the background, the
// kernel stops us here, until the shell says fg.
func (t *terminal) makeRaw() {
	if t == nil {
		return
	}
	t.using.Lock()
	defer t.using.Unlock()
	settings, err := unix.IoctlGetTermios(t.fd, unix.TCGETS)
	if t.left || err != nil { // it may be gone
		return
	}
	if t.before == nil {
		t.before = settings
	}
	raw := *t.before
	raw.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR |
		unix.ICRNL | unix.IXON
	raw.Oflag &^= unix.OPOST
	raw.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	raw.Cflag = raw.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
	_ = unix.IoctlSetTermios(t.fd, unix.TCSETS, &raw)
	t.resize()
}

// restore puts the settings back.
func (t *terminal) restore() {
	if t != nil {
		t.using.Lock()
		defer t.using.Unlock()
		if t.before != nil {
			_ = unix.IoctlSetTermios(t.fd, unix.TCSETS, t.before) // it may be gone
		}
	}
}

// leave puts them back for good.
func (t *terminal) leave() {
	if t == nil {
		return
	}
	t.using.Lock()
	t.left = true
	t.using.Unlock()
	// If we are in the background, the kernel would stop us for this. But the settings are those
	// that the foreground process had before.
	signal.Ignore(unix.SIGTTOU)
	t.restore()
}

// resize gives the container's terminal the size of this one.
func (t *terminal) resize() {
	copySize(int(t.master.Fd()), t.fd)
}
