// The walls around a run of the tests.

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// initName is the name under which this program starts itself again, as the first process of the
// namespaces in which the tests run.
const initName = "mutation: init"

// contain prepares a command to be run in new namespaces: what an altered step does to the name of
// the machine, to mounts, to message queues and to processes, it does to these, and they end with
// the command. (The network and the cgroups remain the host's.) Each run has its own, because the
// one before may have damaged them: a pivot_root without a mount namespace takes the root away from
// every process.
//
// An ordinary user needs a user namespace for that. Inside, the uid stays the same, not root's:
// tests ask who they are and do something else as root.
func contain(cmd *exec.Cmd) error {
	if cmd.Err != nil {
		return cmd.Err
	}
	outer, err := os.Readlink("/proc/self")
	if err != nil {
		return err
	}
	cmd.Args = append([]string{initName, outer, cmd.Path}, cmd.Args...)
	cmd.Path = "/proc/self/exe"
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWNS | unix.CLONE_NEWPID,
		// With PID 1 its whole namespace dies, so nothing goes on if we are killed. But it is set
		// after clone: see checkParent for what is killed sooner.
		Pdeathsig: unix.SIGKILL,
	}
	if uid, gid := os.Geteuid(), os.Getegid(); uid != 0 {
		attr := cmd.SysProcAttr
		attr.Cloneflags |= unix.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
		// An ordinary user loses all capabilities at execve(2), except those in the ambient set
		// (capabilities(7)). Mounting takes this one.
		attr.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN}
	}
	return nil
}

// containLesson is contain with a network namespace of its own too: an altered step may take the
// host's network for the container's. Only root can run all lessons inside it.
func containLesson(cmd *exec.Cmd) error {
	if err := contain(cmd); err != nil {
		return err
	}
	cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWNET
	return nil
}

// beInit is the first process of the namespaces. It gets them ready, starts the command, and
// returns its exit status. The command isn't started if something failed, since then it might
// reach the host.
func beInit(args []string) int {
	if len(args) < 3 {
		fmt.Fprintln(os.Stderr, "mutation: no command for the namespaces")
		return 2
	}
	err := checkParent(args[0])
	if err == nil {
		err = prepare()
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "mutation: prepare namespaces for the tests: %v\n", err)
		return 1
	}
	child, err := syscall.ForkExec(args[1], args[2:], &syscall.ProcAttr{
		Env:   os.Environ(),
		Files: []uintptr{0, 1, 2},
	})
	if err != nil {
		fmt.Fprintf(os.Stderr, "mutation: run %s: %v\n", args[1], err)
		return 1
	}
	// Orphans come to PID 1, and stay zombies until it asks for them. Tests wait for processes to
	// be gone, so it must.
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			fmt.Fprintf(os.Stderr, "mutation: wait for %s: %v\n", args[1], err)
			return 1
		case pid != child:
		case status.Signaled():
			return 128 + int(status.Signal())
		case status.Exited():
			return status.ExitStatus()
		}
	}
}

// checkParent refuses to go on if the process that started this one, by its PID, has died. /proc is
// the host's still, and names the parent in the second field behind the name (proc_pid_stat(5)).
func checkParent(outer string) error {
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return err
	}
	_, fields, _ := bytes.Cut(stat, []byte(") "))
	if parent := string(bytes.Fields(fields)[1]); parent != outer {
		return fmt.Errorf("process %s, which has started this one, has died: the parent is %s",
			outer, parent)
	}
	return nil
}

// prepare makes of a copy of the host's mounts a world of its own.
func prepare() error {
	// Until then mounts made here appear on the host, wherever its own are shared: Cloneflags
	// doesn't see to that (Unshareflags does).
	if err := mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE); err != nil {
		return err
	}
	// This /proc shows the processes of the new namespace. A test takes it for the host's.
	flags := uintptr(unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC)
	if err := mount("proc", "/proc", "proc", flags); err != nil {
		return err
	}
	// POSIX shared memory is files, so the IPC namespace doesn't hide it; and message queues are
	// listed by the file system that was mounted in their namespace.
	// In /var/tmp a lesson hides a file, and other tests that run at the same time find it.
	for _, dir := range []string{"/dev/shm", "/var/tmp"} {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			continue
		}
		if err := mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV); err != nil {
			return err
		}
	}
	var fs unix.Statfs_t
	if unix.Statfs("/dev/mqueue", &fs) == nil && fs.Type == mqueueMagic {
		if err := mount("mqueue", "/dev/mqueue", "mqueue", flags); err != nil {
			return err
		}
	}
	if os.Geteuid() == 0 {
		return nil
	}
	// The capability isn't needed any longer. It is dropped for this thread only; main's
	// LockOSThread makes that the thread that the child inherits from.
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	return os.NewSyscallError("capset", unix.Capset(&header, &none[0]))
}

// mqueueMagic is the type of the file system of message queues (ipc/mqueue.c).
const mqueueMagic = 0x19800202

// mount is mount(2) with an error that says what was to be mounted, and where.
func mount(source, target, fstype string, flags uintptr) error {
	if err := unix.Mount(source, target, fstype, flags, ""); err != nil {
		return fmt.Errorf("mount %s on %s: %w", source, target, err)
	}
	return nil
}
