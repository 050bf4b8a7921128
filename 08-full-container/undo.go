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
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// keeperScript is what the keeper runs. A line on its standard input is something to undo. "done"
// says that nothing is left; the end, without that, that the process on the other side has died.
const keeperScript = `trap '' HUP INT TERM
while IFS= read -r line; do [ "$line" = done ] && exit; set -- "$@" "$line"; done
exec /proc/self/fd/3 keeper:undo "$@"`

// keeper is the process that tidies up if this one can't, while there is anything to tidy up.
var keeper struct {
	*helper
	jobs   int   // so much isn't undone yet
	failed error // what this process has tried to undo itself, in vain
}

// keep tells the keeper what is to be undone, and how: two words, see undoings. That has to be said
// before it is made. If this process ends without having undone it, be it by SIGKILL, the keeper
// runs this program once more, to do so. It outlives us by just the moment that takes.
func keep(kind, which string) error {
	if keeper.jobs == 0 {
		if err := startKeeper(); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintln(keeper.stdin, kind, which); err != nil {
		return fmt.Errorf("tell the keeper: %w", err)
	}
	keeper.jobs++
	return nil
}

// startKeeper starts the keeper. It is a shell, since one that waits takes a tenth of the memory of
// a Go program that does.
func startKeeper() error {
	program, err := os.Open("/proc/self/exe") // `go run` may have removed it by then
	if err != nil {
		return err
	}
	defer program.Close()
	cmd := exec.Command("/bin/sh", "-c", keeperScript, "keeper")
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{program} // descriptor 3 there
	// Away from the terminal, whose Ctrl-C is for us.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	keeper.helper, keeper.failed = &helper{cmd: cmd, stdin: stdin}, nil
	return startDeaf(cmd)
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

// errInside says that something can't be undone while this process is in it.
var errInside = errors.New("this process is in it itself")

// undoNow undoes something from here, which is faster. If that fails, say since Ctrl-C has ended a
// program of ours that was at it, the keeper tries, too, in the end: when all else is undone.
func undoNow(undo func() error) error {
	keeper.failed = errors.Join(keeper.failed, undo())
	keeper.jobs--
	switch {
	case keeper.jobs > 0:
		return nil
	case keeper.failed == nil:
		_, _ = io.WriteString(keeper.stdin, "done\n") // somebody may have killed it
		_ = keeper.end()
		return nil
	}
	if errors.Is(keeper.failed, errInside) {
		return keeper.failed // the keeper would kill us first; once we have ended, it won't have to
	}
	if again := keeper.end(); again != nil {
		// With %v: how the keeper ended is no exit status of ours.
		return fmt.Errorf("%w; the keeper has tried, too: %v", keeper.failed, again)
	}
	return nil
}

// cleanUp undoes something after a command, which ended with err. Where that is a status of the
// command's own, report prints nothing; so a failure to undo is said here.
func cleanUp(err error, undo func() error) error {
	left := undo()
	if exit := (*exec.ExitError)(nil); left != nil && errors.As(err, &exit) {
		fmt.Fprintf(os.Stderr, "%s: clean up: %v\n", step, left)
		return err
	}
	return errors.Join(err, left)
}

// undo is what the keeper runs, with all that it was told. Nobody comes after it: so no signal that
// can be ignored ends it.
func undo(jobs []string) (err error) {
	signal.Ignore(unix.SIGHUP, unix.SIGINT, unix.SIGTERM)
	for _, job := range slices.Backward(jobs) {
		kind, which, _ := strings.Cut(job, " ")
		if undoings[kind] == nil {
			err = errors.Join(err, fmt.Errorf("undo %q: no such kind", job))
			continue // with what else there is
		}
		err = errors.Join(err, undoings[kind](which))
	}
	return err
}
