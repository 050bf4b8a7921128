//go:build linux

// 07-cgroups: limits on what a container can use up.
//
//	go run -exec sudo ./07-cgroups       the lesson
//	go run -exec sudo ./07-cgroups sh    any command, with its share of the machine
//
// What holds: memory, processes and CPU time have limits, and the kernel keeps count. What doesn't
// yet: it has all capabilities, every system call, and the host's /usr (08 fixes that).
//
// New here: cgroup*.go (the limits for v1 and v2, and where in the hierarchy they go). Carried from
// 06: net_*.go, undo.go, rootfs.go, ids_*.go, streams.go, descriptors.go, terminal.go. The lesson:
// demo.go, told by narrate.go. cli.go is what makes it a command.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// step is the name of this directory, and of this program in its messages.
const step = "07-cgroups"

// inside is the part that this program plays when it starts itself again in the container.
const inside = "container"

// standIn is its part where a network namespace plays the host.
const standIn = "host"

// namespaces is what the container doesn't share with the host from the start. The cgroup namespace
// comes later (see container).
const namespaces = unix.CLONE_NEWUSER | unix.CLONE_NEWNET |
	unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC

// init keeps main on the process's first thread; otherwise Go may move it to another. Pdeathsig,
// below, goes by threads, not processes: the kernel sends it when the *thread* that called clone
// ends (prctl(2)), and drops it if any thread but the one it was set for calls execve.
func init() { runtime.LockOSThread() }

// main runs this program in one of its roles and exits with that role's status.
func main() { os.Exit(exitStatus(run(os.Args[1:]))) }

// run looks at the arguments and runs the lesson, an experiment, a command or the inner process.
func run(args []string) error {
	switch {
	case os.Args[0] == role(inside):
		return container(args)
	case len(args) == 1 && args[0] == "--":
		return run(nil)
	case len(args) > 0 && experiments[args[0]] != nil:
		return experiments[args[0]](args[1:])
	case !asksForLesson(args) && args[0] != "--" && strings.HasPrefix(args[0], "-"):
		return usage(args[0])
	case os.Args[0] == role(standIn):
		if err := beHost(); err != nil {
			return err
		}
	default:
		if reason := notRoot(); reason != "" {
			enterScope(asksForLesson(args))
			return playHost(args, reason)
		}
	}
	if asksForLesson(args) {
		return tell(len(args) > 0)
	}
	if args[0] == "--" { // here the flags end, and what follows is the command
		args = args[1:]
	}
	err := inCgroup(func(group cgroup) error {
		warnOfNoCPULimit(group)
		defer warnOfOOM(group)
		return host(group, args, os.Stdout)
	})
	if err != nil {
		return fmt.Errorf("run a container: %w", err)
	}
	return nil
}

// host is the outer process. It starts this same program again, in a cgroup and as the first
// process of new namespaces. /proc/self/exe finds the program wherever `go run` has put it. Then
// host does what can only be done from here, and waits for the end.
func host(group cgroup, command []string, stdout io.Writer) error {
	wait, ready, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = append([]string{role(inside)}, command...)
	sharePipes()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{wait} // descriptor 3 there
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: namespaces,
		// If we die, by whatever signal, the kernel kills PID 1, and with it its namespace.
		Pdeathsig: unix.SIGKILL,
	}
	mapLater, err := mapIDs(cmd.SysProcAttr)
	if err != nil {
		return err
	}
	defer lendTerminal(cmd, command)()
	err = group.start(cmd)
	wait.Close()
	if err != nil {
		return err
	}
	if err := mapLater(cmd.Process.Pid); err != nil {
		return abandon(cmd, err)
	}
	disconnect, err := connect(cmd.Process.Pid)
	if err != nil {
		return errors.Join(abandon(cmd, err), disconnect())
	}
	if _, err := ready.WriteString(resolvConf() + "\x00"); err != nil {
		return errors.Join(abandon(cmd, err), disconnect())
	}
	return cleanUp(cmd.Wait(), disconnect)
}

// abandon kills a container that can't be completed, and returns the reason. How the killed process
// ended doesn't matter.
func abandon(cmd *exec.Cmd, reason error) error {
	reason = errors.Join(reason, cmd.Process.Kill())
	_ = cmd.Wait()
	return reason
}

// container is the inner process, already in the new namespaces. It waits for its IDs and its
// network, builds a root from nothing and moves into it, detaches the host's, takes a name, and
// executes the command. It returns only if a step fails, and then it has run nothing.
func container(command []string) error {
	// argv[0] proves nothing: go on only as PID 1 of a new PID namespace.
	if pid := os.Getpid(); pid != 1 {
		return fmt.Errorf("started as %q, but not as PID 1 of a container: I am process %d",
			os.Args[0], pid)
	}
	resolvConf, err := awaitHost()
	if err != nil {
		return err
	}
	if err := closeDescriptors(); err != nil {
		return err
	}
	if err := ownMounts(); err != nil {
		return err
	}
	if err := dropHostIdentity(); err != nil {
		return err
	}
	// From now on our cgroup is the root of the hierarchy that we see (cgroup_namespaces(7)). A new
	// cgroup namespace starts at its maker's cgroup: with clone that would be our parent's.
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return os.NewSyscallError("unshare(CLONE_NEWCGROUP)", err)
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
	err = os.WriteFile("/etc/resolv.conf", []byte(resolvConf), 0o644)
	if err := errors.Join(err, os.Chmod("/etc/resolv.conf", 0o644)); err != nil {
		return err
	}
	explainStreams(command)
	return execCommand(command)
}

// awaitHost waits until the outer process has done its part and sends the text of /etc/resolv.conf
// with a zero byte after it. If that byte is missing, it died first.
func awaitHost() (resolvConf string, err error) {
	pipe, err := outerPipe()
	if err != nil {
		return "", err
	}
	defer pipe.Close()
	text, err := bufio.NewReader(pipe).ReadString(0)
	if err != nil {
		return "", fmt.Errorf("wait for the outer process: %w", err)
	}
	return strings.TrimSuffix(text, "\x00"), nil
}

// outerPipe returns descriptor 3, the pipe from the outer process. Without one, 3 would be whatever
// Go's runtime has opened, such as a file of our cgroup.
func outerPipe() (*os.File, error) {
	var info unix.Stat_t
	if unix.Fstat(3, &info) != nil || info.Mode&unix.S_IFMT != unix.S_IFIFO {
		return nil, errors.New("descriptor 3 isn't the pipe from the outer process")
	}
	return os.NewFile(3, "pipe from the outer process"), nil
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
