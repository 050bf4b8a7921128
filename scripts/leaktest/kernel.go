//go:build linux

// The one kernel that all share: which of its calls can be reached, and which of them can be used.
// The arguments are such that nothing happens even where the answer is yes.

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// null is a bad pointer, and nowhere a path that doesn't exist.
const null = 0

var nowhere = []byte("/leaktest-does-not-exist\x00")

// bpf makes the smallest map that there is: 4 bytes to 4 bytes, one entry. It ends with us.
func bpf(*facts) result {
	attr := [32]uint32{unix.BPF_MAP_TYPE_ARRAY, 4, 4, 1}
	err := call(unix.SYS_BPF, unix.BPF_MAP_CREATE, uintptr(unsafe.Pointer(&attr)),
		unsafe.Sizeof(attr))
	return gate("bpf(BPF_MAP_CREATE)", err)
}

// perf counts the time that this process itself spends in user mode.
func perf(*facts) result {
	attr := unix.PerfEventAttr{
		Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_TASK_CLOCK,
		Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{})),
		Bits: unix.PerfBitExcludeKernel | unix.PerfBitExcludeHv,
	}
	_, err := unix.PerfEventOpen(&attr, 0, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
	return gate("perf_event_open", err)
}

// keyctl asks for the number of a keyring.
func keyctl(*facts) result {
	_, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false)
	return gate("keyctl(KEYCTL_GET_KEYRING_ID)", err)
}

// sessionKeyring looks for a key of the host's in the session keyring, and reads it.
func sessionKeyring(f *facts) result {
	if why := f.Missing["key"]; why != "" {
		return cannot("the host has no key: %s", why)
	}
	key, err := unix.KeyctlSearch(unix.KEY_SPEC_SESSION_KEYRING, "user", f.Key, 0)
	if err != nil {
		return isHeld("keyctl(KEYCTL_SEARCH): %s", errno(err))
	}
	var payload [messageSize]byte
	n, err := unix.KeyctlBuffer(unix.KEYCTL_READ, key, payload[:], 0)
	switch {
	case err != nil:
		return isHeld("found the host's key; keyctl(KEYCTL_READ): %s", errno(err))
	case n <= len(payload) && sum(string(payload[:n])) == f.KeySum:
		return isLeak("read a key of the host's session keyring")
	}
	return isHeld("a key of that name holds something else")
}

// kexec would load a kernel to reboot into, with too many segments and flags that there aren't.
func kexec(*facts) result {
	return gate("kexec_load", call(unix.SYS_KEXEC_LOAD, 0, 4096, null, 0xffff))
}

// module would load a kernel module, from a file that isn't open.
func module(*facts) result {
	return gate("finit_module",
		call(unix.SYS_FINIT_MODULE, ^uintptr(0), uintptr(unsafe.Pointer(&nowhere[0])), 0))
}

// userfaultfd makes a descriptor that could hold up page faults. That of user mode alone is for
// everyone since Linux 5.11; that of the kernel's own accesses is what exploits like.
func userfaultfd(*facts) result {
	for _, flags := range []uintptr{unix.O_CLOEXEC, unix.O_CLOEXEC | 1 /* UFFD_USER_MODE_ONLY */} {
		err := call(unix.SYS_USERFAULTFD, flags)
		if err == nil && flags == unix.O_CLOEXEC {
			return isLeak("userfaultfd: allowed, for the kernel's accesses too")
		}
		if err == nil {
			return isLeak("userfaultfd(UFFD_USER_MODE_ONLY): allowed")
		}
		if flags != unix.O_CLOEXEC {
			return gate("userfaultfd", err)
		}
	}
	return cannot("not tried")
}

// ioUring makes the smallest ring.
func ioUring(*facts) result {
	var params [120]byte // struct io_uring_params
	err := call(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&params)))
	return gate("io_uring_setup", err)
}

// nestedUser makes a user namespace, and mounts something in it: the way to most of the kernel that
// only root should reach.
func nestedUser(*facts) result {
	cmd := exec.Command(os.Args[0], "mount")
	cmd.Stdin = os.Stdin // or there would have to be a /dev/null
	cmd.SysProcAttr = &syscall.SysProcAttr{
		// Without a map the process is user nobody there, and execve would drop its capabilities;
		// an ambient one stays. (Go would write the map by a PID, which 02's /proc doesn't know.)
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
		AmbientCaps: []uintptr{unix.CAP_SYS_ADMIN},
		Pdeathsig:   unix.SIGKILL,
	}
	out, err := cmd.CombinedOutput()
	if err == nil {
		return isLeak("made a user namespace, and mounted a tmpfs in it")
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return isHeld("made a user namespace, and in it: %s", trim(out))
	}
	return isHeld("clone(CLONE_NEWUSER): %s", errno(err))
}

// tryMount is what runs in that user namespace, and in a mount namespace of its own.
func tryMount([]string) error {
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return os.NewSyscallError("make / private", err)
	}
	return os.NewSyscallError("mount a tmpfs", unix.Mount("tmpfs", "/tmp", "tmpfs", 0, ""))
}

// ownMounts gives this thread a mount namespace of its own, if it may have one: root of a user
// namespace may mount only in a mount namespace that belongs to it, not in the host's.
func ownMounts() { _ = unix.Unshare(unix.CLONE_NEWNS) }

// mount asks to move a mount from no place. Before it looks at that, the kernel asks whether the
// caller may mount at all.
func mount(*facts) result {
	ownMounts()
	root := []byte("/\x00")
	err := call(unix.SYS_MOUNT, null, uintptr(unsafe.Pointer(&root[0])), null, unix.MS_MOVE, null)
	return gate("mount(MS_MOVE)", err)
}

// mountAPI begins to make a file system by the calls that came in Linux 5.2, and doesn't end.
func mountAPI(*facts) result {
	ownMounts()
	fd, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err == nil {
		unix.Close(fd)
	}
	return gate("fsopen(tmpfs)", err)
}

// clock sets neither a time nor a time zone: the kernel checks who asks, and changes nothing.
func clock(*facts) result {
	return gate("settimeofday(NULL, NULL)", call(unix.SYS_SETTIMEOFDAY, null, null))
}

// kernelLog reads the end of the kernel's log, which stays as it is.
func kernelLog(*facts) result {
	const readAll = 3 // SYSLOG_ACTION_READ_ALL (syslog(2))
	var text [256]byte
	n, err := unix.Klogctl(readAll, text[:])
	if err == nil {
		return isLeak("read %d bytes of the kernel's log", n)
	}
	return gate("syslog(SYSLOG_ACTION_READ_ALL)", err)
}

// reboot asks for it with a number that isn't one of those that it takes. In a PID namespace of
// its own it could only end that (pid_namespaces(7)).
func reboot(f *facts) result {
	err := call(unix.SYS_REBOOT, 0, 0, 0, null)
	if errors.Is(err, unix.EINVAL) && sameVictim(f) != nil {
		return isHeld("reboot would end this PID namespace, not the machine")
	}
	return gate("reboot, with a wrong magic number", err)
}

// swaponNowhere would swap to a file that isn't there. Only for the host's CAP_SYS_ADMIN does the
// kernel look for it: else it is EPERM.
func swaponNowhere() error {
	return call(unix.SYS_SWAPON, uintptr(unsafe.Pointer(&nowhere[0])), 0)
}

// swapon tells what came of that.
func swapon(*facts) result { return gate("swapon", swaponNowhere()) }

// quotactl asks about quotas on a device that isn't there.
func quotactl(*facts) result {
	const getFormat = 0x800004 << 8 // QCMD(Q_GETFMT, USRQUOTA)
	return gate("quotactl",
		call(unix.SYS_QUOTACTL, getFormat, uintptr(unsafe.Pointer(&nowhere[0])), 0, null))
}

// acct would have the kernel note each process that ends, in a file that isn't there.
func acct(*facts) result {
	return gate("acct", call(unix.SYS_ACCT, uintptr(unsafe.Pointer(&nowhere[0]))))
}

// personality switches address space randomisation off, for this process and what it starts.
func personality(*facts) result {
	const noRandomize = 0x0040000 // ADDR_NO_RANDOMIZE
	return gate("personality(ADDR_NO_RANDOMIZE)", call(unix.SYS_PERSONALITY, noRandomize))
}

// tiocsti types a character into the terminal, as if the user had (CVE-2017-5226, and others).
func tiocsti(f *facts) result {
	if why := f.Missing["terminal"]; why != "" {
		return cannot("the host has no terminal: %s", why)
	}
	last := "no terminal here"
	tty, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		tty = -1
		last = "/dev/tty: " + errno(err)
	}
	for fd := range 3 {
		for _, fd := range []int{fd, tty} {
			if _, err := unix.IoctlGetTermios(fd, unix.TCGETS); err != nil {
				continue
			}
			letter := []byte("x")
			err := call(unix.SYS_IOCTL, uintptr(fd), unix.TIOCSTI,
				uintptr(unsafe.Pointer(&letter[0])))
			if err == nil {
				return isLeak("ioctl(%d, TIOCSTI) has typed into the terminal", fd)
			}
			last = fmt.Sprintf("ioctl(%d, TIOCSTI): %s", fd, errno(err))
		}
	}
	return isHeld("%s", last)
}
