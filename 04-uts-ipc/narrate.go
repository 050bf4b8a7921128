//go:build linux

// How a lesson speaks, and how it asks: one line is one fact, and the word before it says whose.
// The same file in every step.

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/fatih/color"
	"golang.org/x/sys/unix"
)

// colours has one colour for each word that begins a line. On a pipe, or with NO_COLOR set, the
// package prints the plain word, which says the same.
var colours = map[string]*color.Color{
	"host":      color.New(color.FgCyan),
	"jail":      color.New(color.FgGreen),
	"container": color.New(color.FgGreen),
	"leak":      color.New(color.FgRed),
	"next":      color.New(color.Faint),
}

// lost is why a line couldn't be printed, as on a full disk. Then the lesson fails in the end.
var lost error

// say prints one fact: who, then what.
func say(who, format string, args ...any) {
	blanks := strings.Repeat(" ", len("container  ")-len(who))
	text := fmt.Sprintf(format, args...)
	if _, err := fmt.Print(colours[who].Sprint(who), blanks, text, "\n"); err != nil {
		lost = err
	}
}

// self prepares this program to be run again as it is, outside: the control of an experiment
// that otherwise runs inside.
func self(args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	return cmd
}

// ask runs an experiment to its end and returns what it printed. Standard error stays the
// reader's.
func ask(cmd *exec.Cmd) (string, error) {
	cmd.Stdin, cmd.Stdout = nil, nil
	answer, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("experiment %s: %w", strings.Join(cmd.Args, " "), err)
	}
	return strings.TrimSpace(string(answer)), nil
}

// errno is what a system call answered, by its name in errno(3).
func errno(err error) string {
	var number unix.Errno
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &number):
		return fmt.Sprintf("%s (%s)", unix.ErrnoName(number), number)
	}
	return err.Error()
}
