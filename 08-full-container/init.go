//go:build linux

// PID 1's duties. In earlier steps the command itself was PID 1, and few commands know how to be:
// PID 1 ignores every signal that it has no handler for, and is the parent of every orphan
// (pid_namespaces(7)). So now this program stays, as an init.

package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// process is the command that PID 1 runs, and how.
type process struct {
	args     []string
	env      []string            // the whole of it, as K=V
	user     *syscall.Credential // nil: the user that PID 1 is
	terminal bool                // standard input is to be its controlling terminal
}

// runCommand starts the command from this thread, so that it inherits this thread's capabilities
// and filter. The other threads have kept all capabilities, so this one also starts the commands of
// -exec. It returns only if the command couldn't be started.
func runCommand(p process, signals <-chan os.Signal) error {
	// The name that ps shows. The kernel took it from /proc/self/fd/4, so it would be "4".
	if err := writeFile("/proc/self/comm", "init"); err != nil {
		return err
	}
	if err := hideFromCommand(); err != nil {
		return err
	}
	explainStreams(p.args)
	reserveThreads(7)
	command, err := p.start(0, 1, 2)
	if err != nil {
		return err
	}
	go passOn(signals, command)
	go reap(command)
	quiet()
	for start := range starts {
		start()
	}
	return nil
}

// reserveThreads has Go make threads now that PID 1 may need later. Once the container has reached
// its limit on processes and threads, the kernel refuses another thread, and Go ends a program that
// can't have one: so the next client of -exec or -ps would end the container.
func reserveThreads(n int) {
	var all sync.WaitGroup
	all.Add(n)
	for range n {
		go func() {
			runtime.LockOSThread() // while it waits, no other goroutine can have its thread
			defer runtime.UnlockOSThread()
			all.Done()
			all.Wait()
		}()
	}
	all.Wait()
}

// starts is for the first thread: what it is to do after the command's start.
var starts = make(chan func())

// onFirstThread runs a function on the first thread. What PID 1 does for a client, it does there,
// with no more rights than the command.
func onFirstThread(f func() error) error {
	done := make(chan error)
	starts <- func() { done <- f() }
	return <-done
}

// start starts a command, with these descriptors as its standard streams, from this thread.
func (p process) start(streams ...uintptr) (pid int, err error) {
	path, err := lookPath(p.args[0], p.env)
	if err != nil {
		return 0, &commandError{err}
	}
	// Not with os/exec: its Wait and reap's would take each other's children.
	pid, err = syscall.ForkExec(path, p.args, &syscall.ProcAttr{
		Env:   p.env,
		Files: streams,
		Sys:   &syscall.SysProcAttr{Setsid: true, Setctty: p.terminal, Credential: p.user},
	})
	if err != nil {
		return 0, &commandError{&fs.PathError{Op: "exec", Path: path, Err: err}}
	}
	return pid, nil
}

// reap waits for every process that ends, ours or orphaned: it would otherwise stay a zombie and
// count against the limit (wait(2)). When the command ends, PID 1 exits with its status, and the
// kernel kills the rest.
func reap(command int) {
	for {
		var status unix.WaitStatus
		child, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			os.Exit(exitStatus(os.NewSyscallError("wait4", err)))
		case child == command:
			code, reason := ending(status)
			if reason != "" {
				fmt.Fprintf(os.Stderr, "%s: %s\n", step, reason)
			}
			os.Exit(code)
		default:
			guests.ended(child, status)
		}
	}
}

// ending returns how a command ended: its exit status, as a shell has it in $?, and what to say
// about it.
func ending(status unix.WaitStatus) (code int, reason string) {
	if !status.Signaled() {
		return status.ExitStatus(), ""
	}
	if status.Signal() == unix.SIGSYS {
		reason = "killed by the seccomp filter (SIGSYS): system calls of 32-bit programs and of " +
			"other architectures aren't allowed"
	}
	return 128 + int(status.Signal()), reason
}

// hideFromCommand makes PID 1's memory, descriptors and program, all below /proc/1, inaccessible to
// the command. Both run as the same user, and the other threads of this process still have what the
// command has lost: Go can't change all threads of a program that is linked with C. To look into a
// process that isn't "dumpable" takes CAP_SYS_PTRACE (ptrace(2), "access mode checking"), which the
// container doesn't have. execve(2) resets this, so the command itself isn't hidden.
func hideFromCommand() error {
	return os.NewSyscallError("prctl(PR_SET_DUMPABLE)",
		unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0))
}

// quiet is for a process that only waits from now on. It switches off Go's garbage collector, which
// would run every two minutes for nothing, on threads of its own. But clients of -exec and -ps
// leave garbage, so the collector runs once the process takes that much memory.
func quiet() {
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(collectFrom)
}

// collectFrom is a little more than this program has after its start.
const collectFrom = 6 << 20

// lookPath finds a program on the PATH of another environment than this process's. As for
// execvp(3), a PATH may lead to the working directory: Go warns of that with an error.
func lookPath(program string, env []string) (string, error) {
	os.Unsetenv("PATH")
	for _, variable := range env {
		if path, found := strings.CutPrefix(variable, "PATH="); found {
			os.Setenv("PATH", cmp.Or(path, "."))
		}
	}
	path, err := exec.LookPath(program)
	if errors.Is(err, exec.ErrDot) {
		err = nil
	}
	return path, err
}

// asUser returns what makes the command run as a user of the container. An ordinary user's
// container may have only one ID, 0; for any other the kernel would say just "invalid argument".
func asUser(uid, gid uint32, groups []uint32) (*syscall.Credential, error) {
	user := &syscall.Credential{Uid: uid, Gid: gid, Groups: groups}
	setgroups, err := os.ReadFile("/proc/self/setgroups")
	if err != nil {
		return nil, err
	}
	user.NoSetGroups = string(setgroups) == "deny\n" // user_namespaces(7)
	type id struct {
		kind   string
		number uint32
	}
	ids := []id{{"uid", uid}, {"gid", gid}}
	if !user.NoSetGroups {
		for _, group := range groups {
			ids = append(ids, id{"gid", group})
		}
	}
	for _, id := range ids {
		mapped, err := isMapped(id.kind, id.number)
		if err != nil {
			return nil, err
		}
		if !mapped {
			return nil, fmt.Errorf("%s %d isn't one of the container's: its user namespace "+
				"has no map for it (run as root, or with newuidmap and a line in /etc/sub%[1]s)",
				id.kind, id.number)
		}
	}
	return user, nil
}

// isMapped reports whether an id, "uid" or "gid", exists in this user namespace.
func isMapped(kind string, id uint32) (bool, error) {
	own, err := ownIDs(kind)
	return slices.ContainsFunc(own, idRange{int64(id), 1}.isWithin), err
}
