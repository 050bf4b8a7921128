//go:build linux

// 02-pid-namespace: the first process of a new PID namespace is number 1.
//
//	go run ./02-pid-namespace                    the lesson
//	go run ./02-pid-namespace sh -c 'echo $$'    any command, as PID 1
//
// What holds: the command can't name, and so can't signal, any process but its own.
// What doesn't yet: /proc is the host's, so ps lists what it listed before (03 mends that).
package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// step is the name of this directory, and of this program where it speaks of itself.
const step = "02-pid-namespace"

// inside is the name under which this program starts itself again, on the container's side.
const inside = "container"

// namespaces is what the container doesn't share with the host. One flag is this step's whole
// lesson: the child, not the caller, is in the new namespace, for a process keeps its PID for
// life (pid_namespaces(7)).
const namespaces = unix.CLONE_NEWPID

// init keeps main on the process's first thread, where Go would move it about. Pdeathsig, below,
// belongs to threads, not to processes: it is sent when the *thread* that called clone ends
// (prctl(2)), and it is lost if any thread but the one that it was set for calls execve.
func init() { runtime.LockOSThread() }

// main runs this program in one of its roles, and ends with the exit status that comes of it.
func main() { os.Exit(report(run(os.Args[1:]))) }

// run tells apart the ways in which this program is started.
func run(args []string) error {
	switch {
	case os.Args[0] == inside:
		return container(args)
	case len(args) == 0:
		return lesson()
	case experiments[args[0]] != nil:
		return experiments[args[0]](args[1:])
	case strings.HasPrefix(args[0], "-"):
		return usage(args[0])
	}
	cmd := host(args...)
	defer lendTerminal(cmd, args)()
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run a container: %w", err)
	}
	return nil
}

// host is the outer half. It prepares this same program to be started once more, as the first
// process of new namespaces; /proc/self/exe finds it, wherever `go run` has put it.
func host(command ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = append([]string{inside}, command...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: namespaces,
		// If we die, by whatever signal, the kernel kills PID 1, and with it its namespace.
		Pdeathsig: unix.SIGKILL,
	}
	borrowRoot(cmd.SysProcAttr, unix.CAP_SYS_ADMIN)
	return cmd
}

// container is the inner half, already in the new namespaces: all that is left to do is to
// become the command. It returns only if something failed, and then nothing was run.
func container(command []string) error {
	// Anybody can start us by that name, but what follows is for new namespaces alone.
	if pid := os.Getpid(); pid != 1 {
		return fmt.Errorf("started as %q, and not as PID 1 of a container: I am process %d",
			inside, pid)
	}
	return become(command)
}
