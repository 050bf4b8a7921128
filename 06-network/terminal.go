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

// lendTerminal gives the terminal to a shell that is about to start there, and returns a function
// that takes it back.
//
// A shell with job control moves into a new process group and makes that the terminal's foreground
// group. When it ends, it restores the group that it found there. That would be ours, which has no
// ID in its PID namespace, so dash says "Cannot set tty process group". So the shell starts in its
// own group. Any other command stays in ours: there Ctrl-C reaches us, and PID 1 would ignore it.
//
// In the background, as in `02 sh &`, a shell stops itself until it is brought to the foreground. A
// shell inside sees both groups as 0 and would take the terminal, so we stop in its place.
func lendTerminal(cmd *exec.Cmd, command []string) (takeBack func()) {
	ours, err := unix.IoctlGetInt(0, unix.TIOCGPGRP)
	if err != nil || !startsShell(command) {
		return func() {}
	}
	if ours != unix.Getpgrp() {
		_ = unix.Kill(0, unix.SIGTTIN) // to our group, as if we had read; can't fail
		ours, err = unix.IoctlGetInt(0, unix.TIOCGPGRP)
	}
	if err != nil || ours != unix.Getpgrp() {
		return func() {}
	}
	cmd.SysProcAttr.Foreground, cmd.SysProcAttr.Ctty = true, 0
	return func() {
		// Without this, setting the group from the background would stop us (tcsetpgrp(3)).
		signal.Ignore(unix.SIGTTOU)
		_ = unix.IoctlSetPointerInt(0, unix.TIOCSPGRP, ours) // the terminal may be gone
	}
}

// startsShell reports whether the command starts an interactive shell: a shell with no arguments
// but flags, perhaps started by another program, as in `env A=b bash -l`. It goes by names only, so
// it misses a shell that a script starts, as in `sh -c sh`.
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
