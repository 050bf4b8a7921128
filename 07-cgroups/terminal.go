//go:build linux

// A shell at a terminal. The same file in every step from 02 on.

package main

import (
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// lendTerminal lets a shell that is about to be started at a terminal have it, and returns what
// takes it back.
//
// A shell with job control moves into a process group of its own and makes that the terminal's
// foreground; at its end it hands the terminal back to the group that it found there. That would
// be ours, which has no number in its PID namespace: "Cannot set tty process group", says dash. So
// it begins as a group of its own. Any other command stays in ours, where Ctrl-C reaches us, for
// PID 1 wouldn't mind it.
func lendTerminal(cmd *exec.Cmd, command []string) (takeBack func()) {
	shells := []string{"sh", "ash", "bash", "dash", "ksh", "zsh"}
	ours, err := unix.IoctlGetInt(0, unix.TIOCGPGRP)
	if err != nil || ours != unix.Getpgrp() || len(command) != 1 ||
		!slices.Contains(shells, filepath.Base(command[0])) {
		return func() {}
	}
	cmd.SysProcAttr.Foreground, cmd.SysProcAttr.Ctty = true, 0
	return func() {
		// Without this, setting it from the background would stop us (tcsetpgrp(3)).
		signal.Ignore(unix.SIGTTOU)
		_ = unix.IoctlSetPointerInt(0, unix.TIOCSPGRP, ours) // the terminal may be gone
	}
}
