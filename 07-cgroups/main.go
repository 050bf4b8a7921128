//go:build linux

// 07-cgroups: limits on what a container may use up.
//
//	go run -exec sudo ./07-cgroups       the lesson
//	go run -exec sudo ./07-cgroups sh    any command, with its share of the machine
//
// What holds: memory, processes and CPU time have limits, and the kernel keeps count. What doesn't
// yet: all capabilities, every system call, a root that isn't an image (08 mends that).
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

// step is the name of this directory, and of this program where it speaks of itself.
const step = "07-cgroups"

// inside is the name under which this program starts itself again, on the container's side.
const inside = "container"

// played is the name under which it runs where a network namespace plays the host's part.
const played = "host"

// namespaces is what the container doesn't share with the host, from its first moment on. The
// cgroup namespace is not among them: it comes later (see container).
const namespaces = unix.CLONE_NEWUSER | unix.CLONE_NEWNET |
	unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC

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
	case len(args) > 0 && experiments[args[0]] != nil:
		return experiments[args[0]](args[1:])
	case len(args) > 0 && strings.HasPrefix(args[0], "-"):
		return usage(args[0])
	case os.Args[0] == played:
		if err := beHost(); err != nil {
			return err
		}
	default:
		if reason := notRoot(); reason != "" {
			return playHost(args, reason)
		}
	}
	if len(args) == 0 {
		return lesson()
	}
	err := inCgroup(func(group cgroup) error {
		defer warnOfOOM(group)
		return host(group, args, os.Stdout)
	})
	if err != nil {
		return fmt.Errorf("run a container: %w", err)
	}
	return nil
}

// host is the outer half. It starts this same program once more, in a cgroup, as the first process
// of new namespaces (/proc/self/exe finds it, wherever `go run` has put it), does what can be done
// only from here, and waits for the end.
func host(group cgroup, command []string, stdout io.Writer) error {
	wait, ready, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = append([]string{inside}, command...)
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

// abandon kills a container that can't be completed, and returns the reason. How that process ended
// is of no interest then.
func abandon(cmd *exec.Cmd, reason error) error {
	reason = errors.Join(reason, cmd.Process.Kill())
	_ = cmd.Wait()
	return reason
}

// container is the inner half, already in the new namespaces. It waits for its ids and its network,
// builds a root out of nothing, moves into it, forgets the host's, takes a name, and becomes the
// command. It returns only if one of these failed, and then nothing was run.
func container(command []string) error {
	// Anybody can start us by that name, but what follows is for new namespaces alone.
	if pid := os.Getpid(); pid != 1 {
		return fmt.Errorf("started as %q, and not as PID 1 of a container: I am process %d",
			inside, pid)
	}
	resolvConf, err := awaitHost()
	if err != nil {
		return err
	}
	if err := closeDescriptors(); err != nil {
		return err
	}
	if err := settle(); err != nil {
		return err
	}
	// From now on our cgroup is the root of all that we see of the tree (cgroup_namespaces(7)). It
	// is the cgroup that we are in at this moment: with clone's flags it would be our parent's.
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return os.NewSyscallError("unshare(CLONE_NEWCGROUP)", err)
	}
	// The copied mounts are still peers of the host's wherever those are "shared", as systemd
	// makes them: what is mounted here would appear there. So private first, all of them. Go
	// does this by itself for Unshareflags, and doesn't for Cloneflags.
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
	return become(command)
}

// awaitHost waits until the outer half has done its part, and sends the text of /etc/resolv.conf
// with a zero byte after it. If that byte is missing, it died first.
func awaitHost() (resolvConf string, err error) {
	pipe := os.NewFile(3, "pipe from the host's half")
	defer pipe.Close()
	text, err := bufio.NewReader(pipe).ReadString(0)
	if err != nil {
		return "", fmt.Errorf("wait for the host's half: %w", err)
	}
	return strings.TrimSuffix(text, "\x00"), nil
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
