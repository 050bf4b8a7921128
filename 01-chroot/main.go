//go:build linux

// 01-chroot: the jail that isn't one.
//
//	go run ./01-chroot         the lesson
//	go run ./01-chroot sh      any command, with its libraries copied into the jail
//
// What holds: "/" is another directory, and every path begins there.
// What doesn't: everything else. There are two escapes from the jail, and the lesson tries both.
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

// step is the name of this directory, and of this program in its messages.
const step = "01-chroot"

// inside is the part that this program plays when it starts itself again in the jail.
const inside = "jail"

// init keeps main on the process's first thread; otherwise Go may move it to another. Pdeathsig,
// below, goes by threads, not processes: the kernel sends it when the *thread* that called clone
// ends (prctl(2)), and drops it if any thread but the one it was set for calls execve.
func init() { runtime.LockOSThread() }

// main runs this program in one of its roles and exits with that role's status.
func main() { os.Exit(exitStatus(run(os.Args[1:]))) }

// run looks at the arguments and runs the lesson, an experiment, a command or the inner process.
func run(args []string) error {
	switch {
	case os.Args[0] == role(inside) && len(args) > 1: // the directory, and the command
		return jail(args[0], args[1:])
	case len(args) == 0, len(args) == 1 && args[0] == "--":
		return tell(false)
	case len(args) == 1 && args[0] == "-pause":
		return tell(true)
	case experiments[args[0]] != nil:
		return experiments[args[0]](args[1:])
	case args[0] == "--": // the flags end here; the rest is the command
		args = args[1:]
	case strings.HasPrefix(args[0], "-"):
		return usage(args[0])
	}
	tree, err := startJailTree()
	if err != nil {
		return err
	}
	defer tree.end()
	command, err := tree.populate(args)
	if err != nil {
		return err
	}
	if err := host(tree.jail(), command...).Run(); err != nil {
		return fmt.Errorf("run a jail: %w", err)
	}
	return nil
}

// host is the outer process. It prepares to start this same program again, as the inner process of
// a jail at dir. /proc/self/exe finds the program wherever `go run` has put it.
func host(dir string, command ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = append([]string{role(inside), dir}, command...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL} // it dies if we do
	addUserNamespace(cmd.SysProcAttr, unix.CAP_SYS_CHROOT)
	return cmd
}

// jail is the inner process. It returns only if a call failed, and then it has run nothing.
func jail(dir string, command []string) error {
	// The one line of this step. From here on every path that begins with "/" begins at dir, and
	// ".." in dir is dir (chroot(2)).
	if err := unix.Chroot(dir); err != nil {
		return fmt.Errorf("chroot %s: %w", dir, err)
	}
	// That moved the root but not the working directory, which is still outside. Go's
	// SysProcAttr.Chroot doesn't move it either.
	if err := os.Chdir("/"); err != nil {
		return err
	}
	os.Setenv("PATH", "/bin")
	return execCommand(command)
}

// addUserNamespace lets an ordinary user run this step. The kernel doesn't ask for uid 0 but for a
// capability, and the first process of a new user namespace has all of them, over that namespace
// and everything created in it (user_namespaces(7)). Its root is the caller's uid, renamed.
func addUserNamespace(attr *syscall.SysProcAttr, capability int) {
	if holds(capability) {
		return
	}
	attr.Cloneflags |= unix.CLONE_NEWUSER
	attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
}
