//go:build linux

// What makes a step a good command: it becomes what it was asked to run, its errors say what to do
// and what forbids it here, and its exit statuses are the shell's. The same file in every step.

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

// execCommand turns this process into the command: same PID, same namespaces, another program
// (execve(2)). It returns only if that fails.
func execCommand(command []string) error {
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

// exitStatus prints what went wrong, if anything did, and returns the exit status, as env(1) and
// docker do: the command's own, or 128+n where signal n ended it; 127 for a command that isn't
// there, 126 for one that can't be executed, 125 for a container that couldn't be built. A lesson
// ends with 1 if something leaks that this step closes.
func exitStatus(err error) int {
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
	fmt.Fprintf(os.Stderr, "%s: %s%s\n", step, legible(err.Error()), hint(err))
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

// hint returns the likely cause of an error and its mend, in brackets, or nothing where the
// error speaks for itself.
func hint(err error) string {
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
		return forbiddenHint()
	case errors.As(err, &path) && path.Op != "fork/exec":
		// About a file; not about what the kernel lets us make.
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES), errors.Is(err, unix.ENOSPC),
		errors.Is(err, unix.EUSERS):
		return forbiddenHint()
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

// holds reports whether this thread has the capability in its effective set (capget(2)).
func holds(capability int) bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData // version 3 splits 64 bits in two
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return false
	}
	return sets[capability/32].Effective&(1<<(capability%32)) != 0
}

// forbiddenHint names what on this system keeps namespaces from the caller, and what helps: the
// kernel itself only says EPERM, or ENOSPC where a limit is 0 (namespaces(7)). A container comes
// first: no setting helps in it, nor does sudo.
func forbiddenHint() string {
	if inContainer() {
		return " (" + remedy() + ")"
	}
	for _, setting := range []struct{ name, forbids, mend string }{
		// Ubuntu since 23.10: user namespaces may be made, but are worth nothing.
		{"kernel.apparmor_restrict_unprivileged_userns", "1", "0"},
		// Debian and Arch carry this switch as a patch of their own.
		{"kernel.unprivileged_userns_clone", "0", "1"},
		{"user.max_user_namespaces", "0", "15000"},
	} {
		file := "/proc/sys/" + strings.ReplaceAll(setting.name, ".", "/")
		value, err := os.ReadFile(file)
		if err != nil || strings.TrimSpace(string(value)) != setting.forbids {
			continue
		}
		forbids := setting.name + " = " + setting.forbids
		allow := "sysctl -w " + setting.name + "=" + setting.mend
		if isRoot() {
			return fmt.Sprintf(" (this system forbids user namespaces: %s. Allow them: `%s`)",
				forbids, allow)
		}
		return fmt.Sprintf(" (this system forbids user namespaces to ordinary users: %s. "+
			"Allow them, `sudo %s`, or run as root, `%s`)", forbids, allow, remedy())
	}
	return ""
}

// remedy is how this caller comes by what only root has.
func remedy() string {
	switch {
	case inContainer():
		return "this is a container whose runtime forbids it: start that one with --privileged, " +
			"or run this on the host"
	case isRoot():
		return "you are root, but this root may not: run this outside, as the host's root"
	}
	return "go run -exec sudo ./" + step
}

// inContainer reports whether this is a container with less than root's powers. The runtime's file
// isn't enough: virtual machines are made of images that have it.
func inContainer() bool {
	if !exists("/.dockerenv") && !exists("/run/.containerenv") {
		return false
	}
	// A filter answers for the kernel, and nothing brings back what isn't in the bounding set
	// (prctl(2)).
	mode, err1 := unix.PrctlRetInt(unix.PR_GET_SECCOMP, 0, 0, 0, 0)
	admin, err2 := unix.PrctlRetInt(unix.PR_CAPBSET_READ, unix.CAP_SYS_ADMIN, 0, 0, 0)
	return err1 == nil && mode == unix.SECCOMP_MODE_FILTER || err2 == nil && admin == 0
}

// isRoot reports whether the caller is root, and not only in a user namespace of an ordinary user.
func isRoot() bool {
	var inside, outside int
	text, _ := os.ReadFile("/proc/self/uid_map") // without it, root is root
	_, _ = fmt.Sscan(string(text), &inside, &outside)
	return os.Geteuid() == 0 && outside == 0
}
