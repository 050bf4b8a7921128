//go:build linux

// The walls around your program: a broken container mustn't reach the machine it is written on.

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The names, argv[0], under which this program starts itself again: as PID 1 of the namespaces
// that play the host, and as the judge in them.
const (
	initName  = "exercise: init"
	judgeName = "exercise: judge"
)

// What your program may use up before PID 1 ends it, and everything with it.
const (
	maxProcesses = 400
	maxMemory    = 1 << 30 // bytes, of all processes together
	maxFile      = 64 << 20
	maxTime      = 90 * time.Second
)

// contain prepares this program to be started again as the judge, in new namespaces that play the
// host. Whatever your program does to its host, it does to these, and they end with the judge.
//
// An ordinary user is root of a new user namespace there. So the same attacks work for everyone.
// With room, a cgroup, it starts there.
func contain(ctx context.Context, room *os.File, args ...string) (*exec.Cmd, error) {
	outer, err := os.Readlink("/proc/self")
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Args = append([]string{initName, outer}, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWNS | unix.CLONE_NEWPID |
			unix.CLONE_NEWNET,
		// PID 1's death ends the namespace, so nothing goes on if we are killed. But this is set
		// after clone: see checkParent for what is killed sooner.
		Pdeathsig: unix.SIGKILL,
		Setpgid:   true, // Ctrl-C is for us
	}
	if room != nil {
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(room.Fd())
	}
	if uid, gid := os.Geteuid(), os.Getegid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: gid, Size: 1}}
		cmd.Env = append(os.Environ(), fmt.Sprint("EXERCISE_NPROC=", threadsOf(uid)+2*maxProcesses))
	}
	return cmd, nil
}

// threadsOf counts a user's threads: RLIMIT_NPROC counts them all, on the whole machine.
func threadsOf(uid int) (count int) {
	tasks, _ := filepath.Glob("/proc/[0-9]*/task/*") // none: then there is only the limit's share
	var info unix.Stat_t
	for _, task := range tasks {
		if unix.Stat(task, &info) == nil && int(info.Uid) == uid {
			count++
		}
	}
	return count
}

// beInit is PID 1 of the namespaces. It gets them ready, starts the judge, watches how much is used
// up, and returns the judge's exit status.
func beInit(args []string) int {
	if os.Getpid() != 1 {
		return trouble("not PID 1 of new namespaces")
	}
	if err := errors.Join(checkParent(args[0]), prepare()); err != nil {
		return trouble("prepare namespaces for your program: %v", err)
	}
	judge, err := syscall.ForkExec("/proc/self/exe", append([]string{judgeName}, args[1:]...),
		&syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}})
	if err != nil {
		return trouble("start the judge: %v", err)
	}
	go watchUse()
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil) // and so reaps what comes to PID 1
		switch {
		case err == unix.EINTR:
		case err != nil:
			return trouble("wait for the judge: %v", err)
		case pid == judge && status.Signaled():
			return trouble("the judge was killed: %v", status.Signal())
		case pid == judge:
			return status.ExitStatus()
		}
	}
}

// watchUse ends PID 1, and with it all processes, when they are too many, use too much memory, or
// take too long. Limits of the kernel's would do it too, but root is exempt from RLIMIT_NPROC, and
// not everyone may make a cgroup.
func watchUse() {
	page := os.Getpagesize()
	for start := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		memory, reason := 0, ""
		statms, _ := filepath.Glob("/proc/[0-9]*/statm")
		for _, statm := range statms {
			text, _ := os.ReadFile(statm) // it may have ended since
			if fields := strings.Fields(string(text)); len(fields) > 2 {
				resident, _ := strconv.Atoi(fields[1])
				shared, _ := strconv.Atoi(fields[2])
				memory += (resident - shared) * page
			}
		}
		switch {
		case len(statms) > maxProcesses:
			reason = fmt.Sprintf("it made more than %d processes", maxProcesses)
		case memory > maxMemory:
			reason = fmt.Sprintf("it used more than %d MiB of memory", maxMemory>>20)
		case time.Since(start) > maxTime:
			reason = fmt.Sprintf("it was still running after %v", maxTime)
		default:
			continue
		}
		say("stopped", "Your program was ended, with all its processes: %s.", reason)
		os.Exit(statusStopped)
	}
}

// checkParent refuses to go on if the process that started this one has died. /proc still is the
// host's, and names the parent in the second field behind the name (proc_pid_stat(5)).
func checkParent(outer string) error {
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return err
	}
	_, fields, _ := bytes.Cut(stat[bytes.LastIndexByte(stat, ')'):], []byte(" "))
	if parent := string(bytes.Fields(fields)[1]); parent != outer {
		return fmt.Errorf("process %s, which started this one, has died", outer)
	}
	return nil
}

// prepare turns copies of the host's mounts and an empty network into a host of their own.
func prepare() error {
	// Or mounts made here would appear on the real host, wherever its own are shared.
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make all mounts private: %w", err)
	}
	flags := uintptr(unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC)
	if err := unix.Mount("proc", "/proc", "proc", flags, ""); err != nil {
		return fmt.Errorf("mount proc (is part of this /proc covered, as in a container?): %w", err)
	}
	for dir, kind := range map[string]string{"/dev/shm": "tmpfs", "/dev/mqueue": "mqueue"} {
		if err := unix.Mount(kind, dir, kind, flags, ""); err != nil && err != unix.ENOENT {
			return fmt.Errorf("mount %s on %s: %w", kind, dir, err)
		}
	}
	// Processes of this host get PIDs that no container has. Without it, they are only small.
	_ = os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte("3000"), 0)
	if err := setUp("lo"); err != nil {
		return err
	}
	limits := map[int]uint64{unix.RLIMIT_FSIZE: maxFile, unix.RLIMIT_CORE: 0}
	if most, err := strconv.ParseUint(os.Getenv("EXERCISE_NPROC"), 10, 64); err == nil {
		limits[unix.RLIMIT_NPROC] = most
	}
	for resource, limit := range limits {
		// EPERM: it is lower already.
		err := unix.Setrlimit(resource, &unix.Rlimit{Cur: limit, Max: limit})
		if err != nil && err != unix.EPERM {
			return os.NewSyscallError("setrlimit", err)
		}
	}
	return nil
}

// setUp sets a link up (netdevice(7)).
func setUp(link string) error { return setFlags(link, unix.IFF_UP) }

// setFlags sets a link's flags.
func setFlags(link string, flags uint16) error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(socket)
	request, err := unix.NewIfreq(link)
	if err != nil {
		return err
	}
	request.SetUint16(flags)
	return os.NewSyscallError("ioctl(SIOCSIFFLAGS)",
		unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, request))
}
