//go:build linux

// 04-uts-ipc: a name of its own, and no queue or shared memory of the host's.
//
//	go run ./04-uts-ipc             the lesson
//	go run ./04-uts-ipc hostname    any command, on a machine called "container"
//
// What holds: it may rename itself, and the host isn't renamed; System V objects and POSIX message
// queues of the host can't be found by any key or name.
// What doesn't yet: root inside is root outside, where root has started it (05 fixes that).
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// step is the name of this directory, and of this program where it speaks of itself.
const step = "04-uts-ipc"

// inside is the part that this program plays when it starts itself again, in the container.
const inside = "container"

// namespaces is what the container doesn't share with the host. New are CLONE_NEWUTS, which is
// two strings, the hostname and the NIS domain (uts_namespaces(7)), and CLONE_NEWIPC, which is
// what is found by a key or a name that is no path (ipc_namespaces(7)).
const namespaces = unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC

// init keeps main on the process's first thread, where Go would move it about. Pdeathsig, below,
// belongs to threads, not to processes: it is sent when the *thread* that called clone ends
// (prctl(2)), and it is lost if any thread but the one that it was set for calls execve.
func init() { runtime.LockOSThread() }

// main runs this program in one of its roles, and ends with the exit status that comes of it.
func main() { os.Exit(exitStatus(run(os.Args[1:]))) }

// run tells apart the ways in which this program is started.
func run(args []string) error {
	switch {
	case os.Args[0] == role(inside) && len(args) > 1: // the PID of the parent, and the command
		return container(args[0], args[1:])
	case len(args) == 0, len(args) == 1 && args[0] == "--":
		return tell(false)
	case len(args) == 1 && args[0] == "-pause":
		return tell(true)
	case experiments[args[0]] != nil:
		return experiments[args[0]](args[1:])
	case args[0] == "--": // here the flags end, and what follows is the command
		args = args[1:]
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
	pid, _ := os.Readlink("/proc/self") // without it, the container refuses to start
	cmd.Args = append([]string{role(inside), pid}, command...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: namespaces,
		// If we die, by whatever signal, the kernel kills PID 1, and with it its namespace.
		Pdeathsig: unix.SIGKILL,
	}
	addUserNamespace(cmd.SysProcAttr, unix.CAP_SYS_ADMIN)
	return cmd
}

// container is the inner half, already in the new namespaces. It builds a root out of nothing,
// moves into it, forgets the host's, takes a name, and becomes the command. It returns only if
// one of these failed, and then nothing was run.
func container(outer string, command []string) error {
	// argv[0] proves nothing: go on only as PID 1 of a new PID namespace.
	if pid := os.Getpid(); pid != 1 {
		return fmt.Errorf("started as %q, and not as PID 1 of a container: I am process %d",
			os.Args[0], pid)
	}
	if err := checkParent(outer); err != nil {
		return err
	}
	if err := ownMounts(); err != nil {
		return err
	}
	if err := closeDescriptors(); err != nil {
		return err
	}
	// Where the host's mounts are "shared", as systemd makes them, the copies are their peers:
	// what is mounted here would appear there. So make all of them private first. Go does this
	// for Unshareflags, but not for Cloneflags.
	if err := mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := buildRoot(); err != nil {
		return err
	}
	if err := pivotRoot(rootfs); err != nil {
		return err
	}
	if err := setNames("container", "jail.example"); err != nil {
		return err
	}
	return execCommand(command)
}

// setNames gives the machine another name in this UTS namespace, which is where uname(2) reads it
// from. (UTS, "UNIX Time-sharing System", is part of the name of that call's structure.) Were it
// not for CLONE_NEWUTS, root would rename the host here.
func setNames(host, domain string) error {
	if err := unix.Sethostname([]byte(host)); err != nil {
		return fmt.Errorf("set the hostname to %s: %w", host, err)
	}
	if err := unix.Setdomainname([]byte(domain)); err != nil {
		return fmt.Errorf("set the NIS domain to %s: %w", domain, err)
	}
	return nil
}

// checkParent refuses to go on if the outer process has died. The kernel kills us when it dies, but
// only since Pdeathsig was set, just before exec: a parent that died sooner is no longer ours.
func checkParent(outer string) error {
	parent, err := parentPID()
	if err == nil && parent != outer {
		err = fmt.Errorf("the outer process, %q, isn't my parent: that is %s", outer, parent)
	}
	return err
}

// parentPID returns our parent's PID as /proc has it, which still is the host's: the second field
// behind the name (proc_pid_stat(5)). getppid(2) says 0, as the parent is in another PID namespace.
func parentPID() (string, error) {
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return "", err
	}
	return strings.Fields(string(stat[strings.LastIndex(string(stat), ")")+1:]))[1], nil
}

// ownMounts refuses to go on in our parent's mount namespace: all that follows would be done to its
// mounts, which may be the host's. We would be there without CLONE_NEWNS, or if anything but host
// had started this program in this role.
func ownMounts() error {
	mine, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return err
	}
	parent, err := parentPID()
	if err != nil {
		return err
	}
	theirs, err := os.Readlink("/proc/" + parent + "/ns/mnt")
	// EPERM and ENOENT come from proc's mount option hidepid (proc(5)).
	hidden := errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) ||
		errors.Is(err, unix.ENOENT)
	if hidden && parent != "0" {
		return nil // we are in a user namespace of our own: the kernel protects all other mounts
	}
	if err == nil && mine == theirs {
		err = errors.New("it is also that of the process which has started me")
	}
	if err != nil {
		return fmt.Errorf("change the mounts of this namespace, %s: %w", mine, err)
	}
	return nil
}

// pivotRoot makes newRoot the root of this mount namespace, and takes the host's out of it.
// chroot(2) would only move this process's idea of "/", and 01 has walked back from that.
func pivotRoot(newRoot string) error {
	if err := os.Chdir(newRoot); err != nil {
		return err
	}
	// With "." for both, the old root is stacked on top of the new one at the same place, and
	// no directory is needed to put it in (pivot_root(2), NOTES).
	if err := unix.PivotRoot(".", "."); err != nil {
		return &os.PathError{Op: "pivot_root", Path: newRoot, Err: err}
	}
	// umount2(2) takes the uppermost mount at ".", which is the old root. MNT_DETACH takes it with
	// everything mounted below, though this very program still runs from there.
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return &os.PathError{Op: "unmount the old root at", Path: "/", Err: err}
	}
	return os.Chdir("/")
}

// addUserNamespace lets an ordinary user follow. The kernel doesn't ask for uid 0, it asks for a
// capability, and the first process of a new user namespace has them all, over that namespace
// and what is made in it (user_namespaces(7)). Its root is the caller's own uid by another name.
func addUserNamespace(attr *syscall.SysProcAttr, capability int) {
	if holds(capability) {
		return
	}
	attr.Cloneflags |= unix.CLONE_NEWUSER
	attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
}
