//go:build linux

// Who tidies up if this process can't: what is made on the host doesn't go by itself.

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// keeperScript is what a keeper runs. A line on its standard input says that there is nothing left
// to do; the end of it, without one, that the process on the other side has died.
const keeperScript = `trap '' HUP INT TERM; read -r line || exec /proc/self/fd/3 "$@"`

// keep starts a keeper, before there is anything to undo. If this process ends without having
// relieved it, be it by SIGKILL, it runs this program once more, with arguments that say what to
// undo: an experiment, see undoing. It outlives us by just the moment that takes.
//
// It is a shell, since one that waits takes a tenth of the memory of a Go program that does.
func keep(undo ...string) (keeper *partner, err error) {
	program, err := os.Open("/proc/self/exe") // `go run` may have removed it by then
	if err != nil {
		return nil, err
	}
	defer program.Close()
	cmd := exec.Command("/bin/sh", append([]string{"-c", keeperScript, "keeper"}, undo...)...)
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{program} // descriptor 3 there
	// Away from the terminal, whose Ctrl-C is for us.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	return &partner{cmd: cmd, stdin: stdin}, startDeaf(cmd)
}

// startDeaf starts a program with the signals blocked that ask one to end. A keeper ignores them,
// but it takes the shell a millisecond to say so. A new process has its mask of signals from the
// thread that makes it, here main's or one locked like it, and keeps it through execve (signal(7)).
func startDeaf(cmd *exec.Cmd) error {
	blocked, before := unix.Sigset_t{}, unix.Sigset_t{}
	for _, number := range []unix.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGTERM} {
		blocked.Val[0] |= 1 << (number - 1)
	}
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &blocked, &before); err != nil {
		return os.NewSyscallError("rt_sigprocmask", err)
	}
	return errors.Join(cmd.Start(), unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil))
}

// relieve undoes what a keeper is there for, from here, which is faster. If that fails, say since
// Ctrl-C has ended a program of ours that was at it, the keeper tries, too.
func relieve(keeper *partner, undo func() error) error {
	err := undo()
	if err == nil {
		_, _ = io.WriteString(keeper.stdin, "done\n") // somebody may have killed it
		_ = keeper.end()
		return nil
	}
	if again := keeper.end(); again != nil {
		// With %v: how the keeper ended is no exit status of ours.
		return fmt.Errorf("%w; the keeper has tried, too: %v", err, again)
	}
	return nil
}

// undoing makes an experiment of what a keeper is to run. Nobody comes after it: so no signal that
// can be ignored ends it.
func undoing(undo func(args []string) error) func(args []string) error {
	return func(args []string) error {
		signal.Ignore(unix.SIGHUP, unix.SIGINT, unix.SIGTERM)
		return undo(args)
	}
}
