//go:build linux

// The terminal that this program was started at, while the container has one of its own.

package main

import (
	"fmt"
	"os"
	"os/signal"
	"sync"

	"golang.org/x/sys/unix"
)

// terminal is the host's: raw while the command runs, so that each key goes to the container
// untouched, Ctrl-C too, and as it was before and after.
type terminal struct {
	fd     int           // -1 if there is none, where -tty was asked for all the same
	before *unix.Termios // its settings as we found them
	master *os.File      // the container's, whose size follows
	using  sync.Mutex    // held by whoever changes the settings
}

// enterRaw sets the terminal so that it hands on every byte as it is (cfmakeraw(3)), if one of our
// standard streams is a terminal. What has been set must be taken back by leave. After kill -9
// nobody does: stty sane helps, or reset(1).
func enterRaw(master *os.File) (*terminal, error) {
	// A reader of our output that goes away must not kill us before leave.
	signal.Ignore(unix.SIGPIPE)
	t := &terminal{fd: terminalAt(0, 1), master: master}
	if t.fd < 0 {
		return t, nil
	}
	var err error
	if t.before, err = unix.IoctlGetTermios(t.fd, unix.TCGETS); err != nil {
		return nil, fmt.Errorf("read the terminal's settings: %w", err)
	}
	t.resize()
	if err := t.makeRaw(); err != nil {
		return nil, fmt.Errorf("set the terminal to raw: %w", err)
	}
	return t, nil
}

// makeRaw sets it. In the background, the kernel stops us here until the shell says fg.
func (t *terminal) makeRaw() error {
	raw := *t.before
	raw.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR |
		unix.ICRNL | unix.IXON
	raw.Oflag &^= unix.OPOST
	raw.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	raw.Cflag = raw.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
	return unix.IoctlSetTermios(t.fd, unix.TCSETS, &raw)
}

// leave puts the settings back, for good.
func (t *terminal) leave() {
	t.using.Lock() // and keeps it, so that nobody makes it raw again
	if t.fd >= 0 {
		// In the background, we'd be stopped for it; but whoever is in front had it like this.
		signal.Ignore(unix.SIGTTOU)
		_ = unix.IoctlSetTermios(t.fd, unix.TCSETS, t.before) // it may be gone
	}
}

// pause runs a function, in which this process stops, with the settings as they were.
func (t *terminal) pause(stop func()) {
	if t == nil || t.fd < 0 {
		stop()
		return
	}
	t.using.Lock()
	defer t.using.Unlock()
	_ = unix.IoctlSetTermios(t.fd, unix.TCSETS, t.before)
	stop()
	_ = t.makeRaw()
	t.resize()
}

// resize gives the container's terminal the size of this one.
func (t *terminal) resize() {
	if t.fd >= 0 {
		copySize(int(t.master.Fd()), t.fd)
	}
}
