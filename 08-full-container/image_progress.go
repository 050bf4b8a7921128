//go:build linux

// How far an image has come, for a person who waits for it.

package main

import (
	"fmt"
	"io"
	"os"
	"time"
)

// progress is a reader that says on standard error how much has been read, in one line.
type progress struct {
	io.Reader
	what  string
	done  int64 // bytes
	next  time.Time
	shown bool
}

// interval is how long nothing is said, at first and between two updates.
const interval = 100 * time.Millisecond

// showProgress returns a reader that shows progress, if standard error is a terminal, and a
// function that clears the line in the end.
func showProgress(from io.Reader, what string) (io.Reader, func()) {
	if terminalAt(2) < 0 {
		return from, func() {}
	}
	p := &progress{Reader: from, what: what, next: time.Now().Add(interval)}
	return p, p.clear
}

// Read reads, and shows how far it has come if it is time.
func (p *progress) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	p.done += int64(n)
	if now := time.Now(); now.After(p.next) {
		p.next, p.shown = now.Add(interval), true
		fmt.Fprintf(os.Stderr, "\r%-50s", fmt.Sprintf("%s: %d MB", p.what, p.done/1e6))
	}
	return n, err
}

// clear makes the line blank, without an escape sequence: not every terminal has the same.
func (p *progress) clear() {
	if p.shown {
		fmt.Fprintf(os.Stderr, "\r%50s\r", "")
	}
}
