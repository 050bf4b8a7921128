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
// untouched, Ctrl-C too, and as it was, before and after. There is none, nil, where -tty was asked
// for without one.
type terminal struct {
	fd     int
	before *unix.Termios // its settings as we found them
	master *os.File      // the container's, whose size follows
	using  sync.Mutex    // held while the settings change
	left   bool          // no more of it
}

// takeTerminal makes the terminal raw, if one of our standard streams is one. leave must undo that.
// After kill -9 the terminal stays raw: `stty sane` helps, or reset(1).
func takeTerminal(master *os.File) (*terminal, error) {
	// A reader of our output that goes away must not kill us before leave.
	signal.Ignore(unix.SIGPIPE)
	t := &terminal{fd: terminalAt(0, 1), master: master}
	if t.fd < 0 {
		return nil, nil
	}
	var err error
	if t.before, err = unix.IoctlGetTermios(t.fd, unix.TCGETS); err != nil {
		return nil, fmt.Errorf("read the terminal's settings: %w", err)
	}
	t.makeRaw()
	return t, nil
}

// makeRaw has the terminal hand on every byte as it is (cfmakeraw(3)). In the background, the
// kernel stops us here, until the shell says fg.
func (t *terminal) makeRaw() {
	if t == nil {
		return
	}
	t.using.Lock()
	defer t.using.Unlock()
	raw := *t.before
	raw.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR |
		unix.ICRNL | unix.IXON
	raw.Oflag &^= unix.OPOST
	raw.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	raw.Cflag = raw.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
	if !t.left {
		_ = unix.IoctlSetTermios(t.fd, unix.TCSETS, &raw) // it may be gone
		t.resize()
	}
}

// restore puts the settings back.
func (t *terminal) restore() {
	if t != nil {
		t.using.Lock()
		defer t.using.Unlock()
		_ = unix.IoctlSetTermios(t.fd, unix.TCSETS, t.before) // it may be gone
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
