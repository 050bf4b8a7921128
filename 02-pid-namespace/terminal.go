//go:build linux

// A shell at a terminal. The same file in every step from 02 on.

package main

import (
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"

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
	ours, err := unix.IoctlGetInt(0, unix.TIOCGPGRP)
	if err != nil || ours != unix.Getpgrp() || !startsShell(command) {
		return func() {}
	}
	cmd.SysProcAttr.Foreground, cmd.SysProcAttr.Ctty = true, 0
	return func() {
		// Without this, setting it from the background would stop us (tcsetpgrp(3)).
		signal.Ignore(unix.SIGTTOU)
		_ = unix.IoctlSetPointerInt(0, unix.TIOCSPGRP, ours) // the terminal may be gone
	}
}

// startsShell reports whether the command starts a shell that reads what is typed: a shell with no
// arguments but flags, perhaps started by another program, as in `env A=b bash -l`. All we have is
// the names, so a shell that a script starts, as in `sh -c sh`, doesn't count.
func startsShell(command []string) bool {
	shells := []string{"sh", "ash", "bash", "dash", "ksh", "zsh"}
	starters := []string{"busybox", "chroot", "env", "nice", "setpriv", "unshare"}
	isShell := func(word string) bool { return slices.Contains(shells, filepath.Base(word)) }
	isNoFlag := func(word string) bool { return !strings.HasPrefix(word, "-") }
	shell := 0
	if slices.Contains(starters, filepath.Base(command[0])) {
		shell = slices.IndexFunc(command, isShell)
	}
	return shell >= 0 && isShell(command[shell]) &&
		!slices.ContainsFunc(command[shell+1:], isNoFlag)
}
