//go:build linux

// What makes a step a good command: it becomes what it was asked to run, its errors say what
// to do, and its exit statuses are the shell's. The same file in every step.

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// role is the name, argv[0], under which this program starts itself again to play a part. It is one
// that no other program has: "go build -o container" makes one that is called "container".
func role(part string) string { return part + " of " + step }

// become turns this process into the command: same PID, same namespaces, another program
// (execve(2)). It returns only if that fails.
func become(command []string) error {
	// A shell started without a terminal doesn't prompt; one with a terminal says where it is.
	os.Setenv("PS1", inside+"# ")
	path, err := exec.LookPath(command[0])
	if err == nil {
		err = &fs.PathError{Op: "exec", Path: path, Err: unix.Exec(path, command, os.Environ())}
	}
	return &commandError{err}
}

// commandError says that isolation was complete, but the command couldn't be started in it.
type commandError struct{ error }

// Unwrap lets errors.Is see why.
func (e *commandError) Unwrap() error { return e.error }

// report prints what went wrong, if anything did, and returns the exit status, as env(1) and
// docker do: the command's own, or 128+n where signal n ended it; 127 for a command that isn't
// there, 126 for one that can't be executed, 125 for a container that couldn't be built. A lesson
// ends with 1 if something leaks that this step closes.
func report(err error) int {
	if err == nil {
		err = lost
	}
	var exit *exec.ExitError
	var command *commandError
	var leaked *leakError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		// A process of ours ended so, and has said why where there was something to say.
		status := exit.Sys().(syscall.WaitStatus)
		if status.Signaled() {
			return 128 + int(status.Signal())
		}
		return status.ExitStatus()
	}
	fmt.Fprintf(os.Stderr, "%s: %s%s\n", step, legible(err.Error()), explain(err))
	switch {
	case errors.As(err, &leaked):
		return 1
	case !errors.As(err, &command):
		return 125
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return 127
	}
	return 126
}

// maxError is how many bytes of an error are shown. An image can have a name of megabytes.
const maxError = 4096

// legible spells out what can't be seen in a text, as %q would. Names in it come from an image or
// a command line, and may be commands for the terminal (console_codes(4)).
func legible(text string) string {
	if len(text) > maxError { // the reason comes last
		text = text[:maxError/2] + " ... " + text[len(text)-maxError/2:]
	}
	var b strings.Builder
	for _, r := range text {
		if strconv.IsPrint(r) {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return b.String()
}

// explain returns the likely cause of an error and its mend, in brackets, or nothing where the
// error speaks for itself.
func explain(err error) string {
	var command *commandError
	var path *fs.PathError
	switch {
	case errors.As(err, &command):
		// execve(2) says ENOENT as well if the loader or the interpreter of a file is missing.
		if errors.Is(err, fs.ErrNotExist) && errors.As(err, &path) && exists(path.Path) {
			return " (the file is there; the loader or interpreter that it names is not)"
		}
		if errors.Is(err, unix.ELOOP) && errors.As(err, &path) && exists(path.Path) {
			return " (it is a script, its interpreter is one, too, and so on)"
		}
		if onNoexec(err) {
			return " (its file system is mounted noexec; 01 makes its jail in $TMPDIR)"
		}
	case errors.Is(err, unix.EROFS) && inContainer():
		return whyForbidden()
	case errors.As(err, &path) && path.Op != "fork/exec":
		// About a file; not about what the kernel lets us make.
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES), errors.Is(err, unix.ENOSPC),
		errors.Is(err, unix.EUSERS):
		return whyForbidden()
	}
	return ""
}

// exists reports whether there is a file at path.
func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// onNoexec reports whether a command wasn't found, or not executed, because nothing can be executed
// where it is (mount(8)).
func onNoexec(err error) bool {
	var search *exec.Error
	if !errors.As(err, &search) {
		return false
	}
	name := "/bin"
	if strings.Contains(search.Name, "/") {
		name = search.Name
	}
	var where unix.Statfs_t
	return unix.Statfs(name, &where) == nil && where.Flags&unix.MS_NOEXEC != 0
}

// usage answers -h, and refuses every other flag: steps 01 to 07 have none.
func usage(flag string) error {
	text := fmt.Sprintf("usage: %[1]s [COMMAND [ARG...]]\n"+
		"       %[1]s -pause\n"+
		"Runs COMMAND inside and exits with its status; without a command, runs the lesson.\n"+
		"With -pause, the lesson waits for Enter before each part.\n"+
		"As root: go run -exec sudo ./%[1]s\n", step)
	if strings.TrimLeft(flag, "-") == "h" || strings.TrimLeft(flag, "-") == "help" {
		_, err := fmt.Print(text)
		return err
	}
	return fmt.Errorf("unknown flag %s (for the usage: %s -h)", flag, step)
}
