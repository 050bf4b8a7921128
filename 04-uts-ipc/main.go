//go:build linux

// 04-uts-ipc: its own name, and none of the host's queues or shared memory.
//
//	go run ./04-uts-ipc             the lesson
//	go run ./04-uts-ipc hostname    any command, on a machine called "container"
//
// What holds: it can rename itself without renaming the host, and no key or name finds the host's
// System V objects and POSIX message queues.
// What doesn't yet: if root starts it, root inside is root outside (05 fixes that).
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

// step is the name of this directory, and of this program in its messages.
const step = "04-uts-ipc"

// inside is the part that this program plays when it starts itself again in the container.
const inside = "container"

// namespaces is what the container doesn't share with the host. New here are CLONE_NEWUTS, for two
// strings, the hostname and the NIS domain (uts_namespaces(7)), and CLONE_NEWIPC, for objects that
// a process finds by a key or a name that isn't a path (ipc_namespaces(7)).
const namespaces = unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC

// init keeps main on the process's first thread; otherwise Go may move it to another. Pdeathsig,
// below, goes by threads, not processes: the kernel sends it when the *thread* that called clone
// ends (prctl(2)), and drops it if any thread but the one it was set for calls execve.
func init() { runtime.LockOSThread() }

// main runs this program in one of its roles and exits with that role's status.
func main() { os.Exit(exitStatus(run(os.Args[1:]))) }

// run looks at the arguments and runs the lesson, an experiment, a command or the inner process.
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
	case args[0] == "--": // the flags end here; the rest is the command
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

// host is the outer process. It prepares to start this same program again, as the first process of
// new namespaces. /proc/self/exe finds the program wherever `go run` has put it.
func host(command ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	pid, _ := os.Readlink("/proc/self") // for checkParent, which refuses an empty one
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

// container is the inner process, already in the new namespaces. It builds a root from nothing,
// moves into it, drops the host's, takes a name, and executes the command. It returns only if a
// call failed, and then it has run nothing.
func container(outer string, command []string) error {
	// argv[0] proves nothing: go on only as PID 1 of a new PID namespace.
	if pid := os.Getpid(); pid != 1 {
		return fmt.Errorf("started as %q, but not as PID 1 of a container: I am process %d",
			os.Args[0], pid)
	}
	if err := checkParent(outer); err != nil {
		return err
	}
	if err := ownMounts(); err != nil {
		return err
	}
	if err := notInChroot(); err != nil {
		return err
	}
	if err := closeDescriptors(); err != nil {
		return err
	}
	// Where the host's mounts are "shared", as systemd makes them, root's copies are their peers:
	// what is mounted here would appear there (mount_namespaces(7)). So make all of them private
	// first. Go does this for Unshareflags, but not for Cloneflags.
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

// setNames renames the machine in this UTS namespace, where uname(2) reads the names. (UTS, "UNIX
// Time-sharing System", is part of the name of the structure that it fills.) Without CLONE_NEWUTS,
// root would rename the host here.
func setNames(host, domain string) error {
	if err := unix.Sethostname([]byte(host)); err != nil {
		return fmt.Errorf("set the hostname to %s: %w", host, err)
	}
	if err := unix.Setdomainname([]byte(domain)); err != nil {
		return fmt.Errorf("set the NIS domain to %s: %w", domain, err)
	}
	return nil
}

// checkParent refuses to go on if the outer process has died. Pdeathsig kills us when it dies, but
// only from the moment it is set, just before exec. If it died sooner, we have another parent now.
func checkParent(outer string) error {
	parent, err := parentPID()
	if err == nil && parent != outer {
		err = fmt.Errorf("the outer process, %q, isn't my parent: that is %s", outer, parent)
	}
	return err
}

// parentPID returns our parent's PID from /proc, which is still the host's: the second field after
// the name (proc_pid_stat(5)). getppid(2) says 0, because the parent is in another PID namespace.
func parentPID() (string, error) {
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return "", err
	}
	return strings.Fields(string(stat[strings.LastIndex(string(stat), ")")+1:]))[1], nil
}

// ownMounts refuses to go on in our parent's mount namespace: what follows would change its mounts,
// which may be the host's. That happens without CLONE_NEWNS, or if anything but host started
// this program in this role.
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
	// EACCES means that our parent is in another user namespace, and so do EPERM and ENOENT, with
	// proc's mount option hidepid (proc(5)).
	hidden := errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) ||
		errors.Is(err, unix.ENOENT)
	if hidden && parent != "0" {
		return nil // we are in a new user namespace: the kernel protects all other mounts
	}
	if err == nil && mine == theirs {
		err = errors.New("it is also my parent's")
	}
	if err != nil {
		return fmt.Errorf("change the mounts of this namespace, %s: %w", mine, err)
	}
	return nil
}

// notInChroot refuses to go on if root started this in a chroot: pivot_root(2) would replace the
// chroot's root, and 01's escape would lead from the new one to what is above. This tries that way:
// from a directory outside the root, ".." leads on. From 05 on no check is needed: the kernel makes
// no user namespace in a chroot.
func notInChroot() error {
	root, err := os.Open("/")
	if err != nil {
		return err
	}
	defer root.Close()
	var top, above unix.Statx_t
	if err := errors.Join(
		unix.Chroot("/proc"), root.Chdir(),
		unix.Statx(unix.AT_FDCWD, ".", 0, unix.STATX_MNT_ID, &top),
		unix.Statx(unix.AT_FDCWD, "..", 0, unix.STATX_MNT_ID, &above),
		unix.Chroot("."),
	); err != nil {
		return fmt.Errorf("look what is above /: %w", err)
	}
	if top.Mnt_id != above.Mnt_id {
		return errors.New("this is a chroot, and 01's escape would lead out of a container in " +
			"it: start this step outside")
	}
	return nil
}

// pivotRoot makes newRoot the root of this mount namespace and removes the host's from it.
// chroot(2) would only change this process's "/", and 01 escapes from that.
func pivotRoot(newRoot string) error {
	if err := os.Chdir(newRoot); err != nil {
		return err
	}
	// With "." for both, the old root ends up on top of the new one, and no directory is needed
	// to put it in (pivot_root(2), NOTES).
	if err := unix.PivotRoot(".", "."); err != nil {
		return &os.PathError{Op: "pivot_root", Path: newRoot, Err: err}
	}
	// umount2(2) removes the topmost mount at ".", which is the old root. MNT_DETACH removes it
	// with everything mounted below, although this very program still runs from there.
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return &os.PathError{Op: "unmount the old root at", Path: "/", Err: err}
	}
	return os.Chdir("/")
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
