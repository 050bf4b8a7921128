//go:build linux

// The keeper: it removes what we made on the host if we are killed before we can.

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

// keeperScript is what the keeper runs. Each line on its standard input is something to undo. The
// line "done" means that nothing is left to undo. If the input ends without it, we have died.
const keeperScript = `trap '' HUP INT TERM
while IFS= read -r line; do [ "$line" = done ] && exit; set -- "$@" "$line"; done
exec /proc/self/fd/3 keeper:undo "$@"`

// keeper is the process that cleans up if this one can't. It runs only while there is something to
// undo.
var keeper struct {
	*helper
	jobs   int   // how much is still to be undone
	failed error // why this process couldn't undo it itself
}

// keep tells the keeper what to undo, and how: two words, see undoings. Call it before making that
// thing. If this process ends without having undone it, even by SIGKILL, the keeper runs this
// program once more to do so, and outlives us only for that moment.
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

// startKeeper starts the keeper. It is a shell because a waiting shell takes a tenth of the memory
// of a waiting Go program.
func startKeeper() error {
	program, err := os.Open("/proc/self/exe") // `go run` may remove the file before we need it
	if err != nil {
		return err
	}
	defer program.Close()
	cmd := exec.Command("/bin/sh", "-c", keeperScript, "keeper")
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{program} // descriptor 3 there
	// In a session of its own, where the terminal's Ctrl-C doesn't reach it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	keeper.helper, keeper.failed = &helper{cmd: cmd, stdin: stdin}, nil
	return startDeaf(cmd)
}

// startDeaf starts a program with SIGHUP, SIGINT and SIGTERM blocked. The keeper's shell ignores
// them, but only after a millisecond. A new process inherits the signal mask of the thread that
// makes it, here main's or one locked like it, and keeps it through execve (signal(7)).
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

// errInside means that something can't be undone while this process is in it.
var errInside = errors.New("this process itself is in it")

// undoNow undoes something from here, which is faster than the keeper. If that fails, for example
// because Ctrl-C ended the nft that did it, the keeper tries too, once all else is undone.
func undoNow(undo func() error) error {
	keeper.failed = errors.Join(keeper.failed, undo())
	keeper.jobs--
	switch {
	case keeper.jobs > 0:
		return nil
	case keeper.failed == nil:
		_, _ = io.WriteString(keeper.stdin, "done\n") // fails if the keeper was killed
		_ = keeper.end()
		return nil
	}
	if errors.Is(keeper.failed, errInside) {
		return keeper.failed // now the keeper would kill us; after our end it needn't
	}
	if again := keeper.end(); again != nil {
		// With %v, so that the keeper's exit status doesn't become ours.
		return fmt.Errorf("%w; the keeper has tried, too: %v", keeper.failed, again)
	}
	return nil
}

// cleanUp undoes something after a command, which ended with err. Where that is a status of the
// command's own, report prints nothing; so a failure to undo is said here.
func cleanUp(err error, undo func() error) error {
	left := undo()
	if exit := (*exec.ExitError)(nil); left != nil && errors.As(err, &exit) {
		fmt.Fprintf(os.Stderr, "%s: clean up: %s\n", step, legible(left.Error()))
		return err
	}
	return errors.Join(err, left)
}

// undo is what the keeper runs, with everything that it was told. It is the last to clean up, so it
// ignores every signal that asks a program to end.
func undo(jobs []string) (err error) {
	signal.Ignore(unix.SIGHUP, unix.SIGINT, unix.SIGTERM)
	for _, job := range slices.Backward(jobs) {
		kind, which, _ := strings.Cut(job, " ")
		if undoings[kind] == nil {
			err = errors.Join(err, fmt.Errorf("undo %q: no such kind", job))
			continue // with the other jobs
		}
		err = errors.Join(err, undoings[kind](which))
	}
	return err
}
