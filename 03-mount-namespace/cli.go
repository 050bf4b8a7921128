//go:build linux

// What makes a step a good command: it execs the command, its errors say what to do and which
// setting forbids it, and its exit statuses are the shell's. The same file in every step.

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

// role is the argv[0] with which this program starts itself again to play a part. No other program
// has such a name: "container" alone would be what "go build -o container" makes.
func role(part string) string { return part + " of " + step }

// execCommand turns this process into the command: same PID, same namespaces, another program
// (execve(2)). It returns only if that fails.
func execCommand(command []string) error {
	// The prompt of a shell at a terminal. Without a terminal, a shell doesn't prompt.
	os.Setenv("PS1", inside+"# ")
	path, err := exec.LookPath(command[0])
	if err == nil {
		err = &fs.PathError{Op: "exec", Path: path, Err: unix.Exec(path, command, os.Environ())}
	}
	return &commandError{err}
}

// commandError says that the isolation was complete, but the command couldn't be started in it.
type commandError struct{ error }

// Unwrap lets errors.Is see the reason.
func (e *commandError) Unwrap() error { return e.error }

// exitStatus prints the error, if there is one, and returns the exit status that env(1) and docker
// would: the command's own; 128+n if signal n ended it; 127 if the command doesn't exist, 126 if it
// can't be executed, 125 if the container couldn't be built. A lesson ends with 1 if something
// leaks that this step should have closed.
func exitStatus(err error) int {
	if err == nil {
		err = lost
	}
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		// One of our processes ended like this, and has printed its own error, or a signal ended
		// it.
		status := exit.Sys().(syscall.WaitStatus)
		if status.Signaled() {
			return 128 + int(status.Signal())
		}
		return status.ExitStatus()
	}
	fmt.Fprintf(os.Stderr, "%s: %s%s\n", step, legible(err.Error()), hint(err))
	return errorStatus(err)
}

// errorStatus returns the exit status for an error of our own.
func errorStatus(err error) int {
	var command *commandError
	var leaked *leakError
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

// maxError is how many bytes of an error are printed. A name in an image can take megabytes.
const maxError = 4096

// legible escapes the unprintable characters in a text, as %q would. A name from an image or a
// command line could otherwise send commands to the terminal (console_codes(4)).
func legible(text string) string {
	if len(text) > maxError { // keep the end: the reason comes last
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

// hint returns the likely cause of an error and its fix, in brackets, or nothing if the error
// speaks for itself.
func hint(err error) string {
	var command *commandError
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &command):
		// execve(2) also says ENOENT if the file exists but its loader or interpreter doesn't.
		if errors.Is(err, fs.ErrNotExist) && errors.As(err, &path) && exists(path.Path) {
			return " (the file exists, but the loader or interpreter that it names doesn't)"
		}
		if errors.Is(err, unix.ELOOP) && errors.As(err, &path) && exists(path.Path) {
			return " (it is a script, its interpreter is one, too, and so on)"
		}
		if onNoexec(err) {
			return " (its file system is mounted noexec; 01 makes its jail in $TMPDIR)"
		}
	case errors.Is(err, unix.EROFS) && inContainer():
		return forbiddenHint()
	case errors.As(err, &path) && path.Op == "fork/exec" && path.Err == unix.EACCES && isPrivate():
		program, _ := os.Readlink("/proc/self/exe")
		return " (umask 077 lets only its owner run this program: chmod 755 " + program + ")"
	case errors.As(err, &path) && path.Op != "fork/exec", errors.As(err, &link):
		// The error is about a file, not about a namespace that we may not make.
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

// isPrivate reports whether this program's file lets no other user execute it. The container's root
// is one, if the caller is root (05).
func isPrivate() bool {
	info, err := os.Stat("/proc/self/exe")
	return err == nil && info.Mode()&1 == 0
}

// onNoexec reports whether a command wasn't found or couldn't be executed because its file system
// is mounted noexec (mount(8)).
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

// usage answers -h and refuses every other flag: 01 to 07 have no others.
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
	var sets [2]unix.CapUserData // version 3 splits the 64 bits into two words
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return false
	}
	return sets[capability/32].Effective&(1<<(capability%32)) != 0
}

// forbiddenHint names the setting that keeps the caller from making namespaces, and how to change
// it. The kernel only says EPERM, or ENOSPC if a limit is 0 (namespaces(7)). The container comes
// first, because inside one neither a setting nor sudo helps.
func forbiddenHint() string {
	if inContainer() {
		return " (" + remedy() + ")"
	}
	for _, setting := range []struct{ name, forbids, allows string }{
		// Ubuntu since 23.10: you can make a user namespace, but it gives you no capabilities.
		{"kernel.apparmor_restrict_unprivileged_userns", "1", "0"},
		// A patch that Debian and Arch add to the kernel.
		{"kernel.unprivileged_userns_clone", "0", "1"},
		{"user.max_user_namespaces", "0", "15000"},
	} {
		file := "/proc/sys/" + strings.ReplaceAll(setting.name, ".", "/")
		value, err := os.ReadFile(file)
		if err != nil || strings.TrimSpace(string(value)) != setting.forbids {
			continue
		}
		forbids := setting.name + " = " + setting.forbids
		allow := "sysctl -w " + setting.name + "=" + setting.allows
		if isRoot() {
			return fmt.Sprintf(" (this system forbids user namespaces: %s. Allow them with `%s`)",
				forbids, allow)
		}
		return fmt.Sprintf(" (this system forbids user namespaces to ordinary users: %s. "+
			"Allow them with `sudo %s`, or run as root with `%s`)", forbids, allow, remedy())
	}
	return limitHint()
}

// limitHint names a limit of 0 for another kind of namespace, which forbids it to root as well.
func limitHint() string {
	for _, kind := range []string{"mnt", "pid", "uts", "ipc", "net", "cgroup", "time"} {
		setting := "user.max_" + kind + "_namespaces"
		value, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(setting, ".", "/"))
		if err == nil && strings.TrimSpace(string(value)) == "0" {
			return fmt.Sprintf(" (this system forbids %s namespaces: %s = 0. "+
				"As root, allow them with `sysctl -w %[2]s=15000`)", kind, setting)
		}
	}
	return ""
}

// remedy says how this caller gets root's powers.
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
// alone proves nothing: a virtual machine built from a container image has it, too.
func inContainer() bool {
	if !exists("/.dockerenv") && !exists("/run/.containerenv") {
		return false
	}
	// A seccomp filter answers before the kernel does, and a capability that has left the bounding
	// set can't come back (prctl(2)). In a user namespace of our own it seems to; but what the
	// runtime has mounted over /proc/sys stays.
	mode, err1 := unix.PrctlRetInt(unix.PR_GET_SECCOMP, 0, 0, 0, 0)
	admin, err2 := unix.PrctlRetInt(unix.PR_CAPBSET_READ, unix.CAP_SYS_ADMIN, 0, 0, 0)
	mounts, _ := os.ReadFile("/proc/self/mountinfo") // without it, we don't know
	return err1 == nil && mode == unix.SECCOMP_MODE_FILTER || err2 == nil && admin == 0 ||
		strings.Contains(string(mounts), " /proc/sys ")
}

// isRoot reports whether root started this program. An ordinary user is uid 0, too, where this
// program has started itself again in a user namespace: there 0 stands for one uid, the user's.
func isRoot() bool {
	var inside, outside, count int
	text, _ := os.ReadFile("/proc/self/uid_map") // without it, root is root
	_, _ = fmt.Sscan(string(text), &inside, &outside, &count)
	oneUser := outside != 0 && count == 1 && strings.HasSuffix(os.Args[0], role(""))
	return os.Geteuid() == 0 && !oneUser
}
