//go:build linux

// What root tries: some things that a container's root may do, and some that it may not. An attempt
// that succeeds does no harm and is undone.

package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// trial is one attempt. It gets the PID of a host process.
type trial struct {
	what string
	try  func(hostPID int) error
}

// ownThings are attempts on what the container's user namespace owns.
var ownThings = []trial{
	{"sethostname, to the same name", func(int) error {
		name, err := os.Hostname()
		if err != nil {
			return err
		}
		return unix.Sethostname([]byte(name))
	}},
	{"mount a tmpfs", func(int) error {
		// Private first, so that no other mount namespace sees the mount. It takes the same
		// capability as mounting.
		if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return err
		}
		if err := unix.Mount("tmpfs", "/tmp", "tmpfs", 0, ""); err != nil {
			return err
		}
		return unix.Unmount("/tmp", 0)
	}},
	{"kill a child process", func(int) error {
		child := exec.Command("sleep", "60")
		child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
		if err := child.Start(); err != nil {
			return err
		}
		err := child.Process.Kill()
		child.Wait() // "signal: killed", as it should be
		return err
	}},
	{"chroot, to /", func(int) error { return unix.Chroot("/") }},
}

// hostThings are attempts on what only the host's user namespace owns.
var hostThings = []trial{
	{"settimeofday", func(int) error {
		// Without a time and a time zone the kernel only checks the permission.
		_, _, number := unix.Syscall(unix.SYS_SETTIMEOFDAY, 0, 0, 0)
		return answer(number)
	}},
	{"mknod, of another /dev/null", func(int) error {
		node := fmt.Sprintf("/tmp/null-%d", os.Getpid())
		err := unix.Mknod(node, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3)))
		if err == nil {
			err = os.Remove(node)
		}
		return err
	}},
	{"load a module", func(int) error {
		// From a file that isn't open: a process that may load modules gets as far as EBADF.
		_, _, number := unix.Syscall(unix.SYS_FINIT_MODULE, ^uintptr(0), 0, 0)
		if number == unix.EBADF {
			return nil
		}
		return answer(number)
	}},
	{"open sysctl kernel.panic to write", func(int) error {
		return open("/proc/sys/kernel/panic", unix.O_WRONLY)
	}},
	{"open /proc/kmsg to read, mode 0400", func(int) error {
		return open("/proc/kmsg", unix.O_RDONLY|unix.O_NONBLOCK)
	}},
	{"access /usr to write", func(int) error { return unix.Access("/usr", unix.W_OK) }},
	{"raise a hard limit", func(int) error {
		lower, higher := unix.Rlimit{}, unix.Rlimit{Max: 1}
		if err := unix.Setrlimit(unix.RLIMIT_CORE, &lower); err != nil {
			return err
		}
		return unix.Setrlimit(unix.RLIMIT_CORE, &higher)
	}},
	{"signal a host process", func(hostPID int) error {
		// kill(2) also accepts a thread's ID, and a thread in here may happen to have that number.
		return unix.Tgkill(hostPID, hostPID, 0)
	}},
	{"setns to the host's UTS namespace", func(int) error {
		return unix.Setns(0, unix.CLONE_NEWUTS) // standard input is that namespace (askTrials)
	}},
}

// open opens a file and closes it again.
func open(path string, flags int) error {
	fd, err := unix.Open(path, flags, 0)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// answer turns the errno of a raw system call into an error, and 0 into nil.
func answer(number unix.Errno) error {
	if number == 0 {
		return nil
	}
	return number
}

// tryAll makes all attempts and prints a line for each: "ok" or the name of the errno.
func tryAll(args []string) error {
	var hostPID int
	if _, err := fmt.Sscan(args[0], &hostPID); err != nil {
		return err
	}
	for _, t := range slices.Concat(ownThings, hostThings) {
		name, _, _ := strings.Cut(errno(t.try(hostPID)), " ")
		fmt.Println(name)
	}
	return nil
}
