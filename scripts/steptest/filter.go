//go:build linux

// A seccomp filter that asks the test about system calls, as seccomp_unotify(2) describes. So a
// test can refuse a call of the program from outside, and the program needs no switch for it.

package steptest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// asked are the system calls that the filter asks about, those that make a container. path is the
// index of the argument that is a path, or -1.
var asked = map[uint32]struct {
	name string
	path int
}{
	unix.SYS_MOUNT: {"mount", 1}, unix.SYS_UMOUNT2: {"umount2", 0},
	unix.SYS_PIVOT_ROOT: {"pivot_root", 0}, unix.SYS_MOUNT_SETATTR: {"mount_setattr", 1},
	unix.SYS_OPEN_TREE: {"open_tree", 1}, unix.SYS_MOVE_MOUNT: {"move_mount", 3},
	unix.SYS_CHDIR: {"chdir", 0}, unix.SYS_FCHDIR: {"fchdir", -1}, unix.SYS_CHROOT: {"chroot", 0},
	unix.SYS_OPENAT: {"openat", 1}, unix.SYS_OPENAT2: {"openat2", 1},
	unix.SYS_MKDIRAT: {"mkdirat", 1}, unix.SYS_SYMLINKAT: {"symlinkat", 2},
	unix.SYS_FCHMODAT: {"fchmodat", 1}, unix.SYS_FCHOWN: {"fchown", -1},
	unix.SYS_CLONE: {"clone", -1}, unix.SYS_CLONE3: {"clone3", -1},
	unix.SYS_UNSHARE: {"unshare", -1}, unix.SYS_SETNS: {"setns", -1},
	unix.SYS_SETHOSTNAME: {"sethostname", -1}, unix.SYS_SETDOMAINNAME: {"setdomainname", -1},
	unix.SYS_SETGROUPS: {"setgroups", -1}, unix.SYS_SETUID: {"setuid", -1},
	unix.SYS_SETGID: {"setgid", -1}, unix.SYS_SETRESUID: {"setresuid", -1},
	unix.SYS_SETSID: {"setsid", -1},
	unix.SYS_CAPSET: {"capset", -1}, unix.SYS_PRCTL: {"prctl", -1},
	unix.SYS_SECCOMP: {"seccomp", -1}, unix.SYS_KEYCTL: {"keyctl", -1},
	unix.SYS_PRLIMIT64: {"prlimit64", -1}, unix.SYS_SOCKET: {"socket", -1},
	unix.SYS_SENDTO: {"sendto", -1}, unix.SYS_SENDMSG: {"sendmsg", -1},
	unix.SYS_BIND: {"bind", -1}, unix.SYS_DUP3: {"dup3", -1}, unix.SYS_IOCTL: {"ioctl", -1},
	unix.SYS_MEMFD_CREATE: {"memfd_create", -1}, unix.SYS_SOCKETPAIR: {"socketpair", -1},
	unix.SYS_PIPE2: {"pipe2", -1},
}

// notification is struct seccomp_notif, verdict struct seccomp_notif_resp.
type (
	notification struct {
		id         uint64
		pid, flags uint32
		nr, arch   uint32
		ip         uint64
		args       [6]uint64
	}
	verdict struct {
		id    uint64
		value int64
		errno int32
		flags uint32
	}
)

// init adds what loads the filter.
func init() { experiments["test:filter"] = withFilter }

// withFilter loads the filter, hands it to the test, and then executes the step. The arguments are
// the system call to ask about, if it is only one, and the step's. Descriptor 3 takes our PID and
// the filter's descriptor, and 4 ends when the test has it.
func withFilter(args []string) error {
	runtime.LockOSThread()
	fd, err := loadFilter(args[0])
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(os.NewFile(3, "answer"), os.Getpid(), fd); err != nil {
		return err
	}
	_, _ = os.NewFile(4, "end").Read([]byte{0}) // end of file
	unix.CloseOnExec(3)
	unix.CloseOnExec(4)
	return unix.Exec("/proc/self/exe", append(os.Args[:1:1], args[1:]...), os.Environ())
}

// loadFilter loads the filter into this thread and returns the descriptor on which it asks.
func loadFilter(only string) (int, error) {
	// It loads the call's number.
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}}
	for nr, call := range asked {
		if only != "" && only != call.name {
			continue
		}
		filter = append(filter,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: nr},
			unix.SockFilter{Code: unix.BPF_RET, K: unix.SECCOMP_RET_USER_NOTIF})
	}
	filter = append(filter, unix.SockFilter{Code: unix.BPF_RET, K: unix.SECCOMP_RET_ALLOW})
	if os.Getuid() != 0 {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return -1, err
		}
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}

// filtered is a command that runs under the filter, and the descriptor on which that asks.
type filtered struct {
	cmd *exec.Cmd
	fd  int
}

// start starts a step's command under the filter.
func start(cmd *exec.Cmd, only string) (*filtered, error) {
	answer, theirs, err1 := os.Pipe()
	end, ours, err2 := os.Pipe()
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	defer answer.Close()
	defer ours.Close()                       // then the step goes on
	cmd.ExtraFiles = []*os.File{theirs, end} // descriptors 3 and 4 there
	cmd.Args = append([]string{cmd.Args[0], "test:filter", only}, cmd.Args[1:]...)
	err := cmd.Start()
	theirs.Close()
	end.Close()
	if err != nil {
		return nil, err
	}
	var pid, fd int
	if _, err := fmt.Fscan(answer, &pid, &fd); err != nil {
		return nil, errors.Join(err, cmd.Wait())
	}
	process, err := unix.PidfdOpen(pid, 0)
	if err == nil {
		fd, err = unix.PidfdGetfd(process, fd, 0)
		unix.Close(process)
	}
	if err != nil {
		return nil, errors.Join(err, cmd.Process.Kill(), cmd.Wait())
	}
	return &filtered{cmd, fd}, nil
}

// serve answers what the filter asks until no process is under it any more, and the command has
// ended. 0 lets a call go on.
func (f *filtered) serve(answer func(*notification) unix.Errno) {
	defer unix.Close(f.fd)
	ended := make(chan error, 1)
	f.cmd.WaitDelay = time.Minute // for what may be left with its output open
	go func() { ended <- f.cmd.Wait() }()
	// A signal may interrupt a call that waits for the answer. Then the kernel asks once more about
	// the same call, and gets the same answer.
	interrupted := map[notification]unix.Errno{}
	for {
		waiting := []unix.PollFd{{Fd: int32(f.fd), Events: unix.POLLIN}}
		_, err := unix.Poll(waiting, -1)
		if events := waiting[0].Revents; err == nil && events&unix.POLLIN == 0 {
			break // POLLHUP: the last process has ended
		}
		var n notification
		if err != nil || ioctl(f.fd, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n)) != 0 {
			continue // it was killed meanwhile
		}
		v := verdict{id: n.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
		q := n
		q.id, q.flags = 0, 0
		errno, again := interrupted[q]
		if !again {
			errno = answer(&n)
		}
		delete(interrupted, q)
		if errno != 0 {
			v.errno, v.flags = -int32(errno), 0
		}
		if ioctl(f.fd, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&v)) != 0 {
			interrupted[q] = errno
		}
	}
	<-ended // its exit status is in f.cmd.ProcessState
}

// ioctl is ioctl(2) with a pointer.
func ioctl(fd int, request uintptr, argument unsafe.Pointer) unix.Errno {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(argument))
	return errno
}

// random matches what differs from run to run in a path.
var random = regexp.MustCompile(`0[1-8]-[a-z-]+-[a-z0-9]{8}|/proc/[0-9]+|jail-?[0-9a-f]{8,}`)

// name names a call of the step by the role of its process, the system call, and its object. ours
// is false for calls of other programs, which have just the program's name, and for those that only
// read.
func (n *notification) name() (call string, ours bool) {
	cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", n.pid))
	words := strings.Split(string(cmdline), "\x00")
	role, inner := strings.CutSuffix(words[0], " of "+step.Name)
	switch {
	case inner:
	case role == step.Name && len(words) > 1 && strings.HasPrefix(words[1], "test:"):
		return "", false // it isn't the step yet
	case role == step.Name:
		role = "outer"
	case role == "/proc/self/exe" && len(words) > 1:
		role = words[1] // such as the keeper
	default:
		return role, false
	}
	about, object := asked[n.nr], ""
	if about.path >= 0 {
		path, _, _ := strings.Cut(string(n.memory(n.args[about.path])), "\x00")
		object = random.ReplaceAllString(path, "*")
	}
	switch about.name {
	case "openat": // what is only read can't be left undone, except for these
		const write = unix.O_WRONLY | unix.O_RDWR | unix.O_CREAT
		if n.args[2]&write == 0 && object != "/proc/self/fd" && object != "/proc/self/setgroups" {
			return "", false
		}
	case "prctl":
		switch object = fmt.Sprint(n.args[0]); n.args[0] {
		case unix.PR_CAPBSET_READ, unix.PR_GET_PDEATHSIG, unix.PR_SET_VMA:
			return "", false // questions, and the names that Go's runtime gives memory
		}
	case "prlimit64":
		if object = fmt.Sprint(n.args[1]); n.args[2] == 0 {
			return "", false // it reads the limit
		}
	case "ioctl":
		object = fmt.Sprintf("%#x", n.args[1])
	case "clone", "clone3":
		flags := n.args[0]
		if arguments := n.memory(flags); about.name == "clone3" && arguments != nil {
			flags = binary.NativeEndian.Uint64(arguments) // struct clone_args begins with them
		}
		if object = fmt.Sprintf("%#x", flags); flags&unix.CLONE_THREAD != 0 {
			return "", false
		}
	case "sendto": // the type of a netlink message (netlink(7))
		if message := n.memory(n.args[1]); message != nil {
			object = fmt.Sprint(binary.NativeEndian.Uint16(message[4:]))
		}
	case "unshare", "socket":
		object = fmt.Sprintf("%#x", n.args[0])
	}
	return strings.TrimSpace(role + " " + about.name + " " + object), true
}

// memory reads at most 256 bytes from the process that asks.
func (n *notification) memory(address uint64) []byte {
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", n.pid))
	if err != nil {
		return nil
	}
	defer memory.Close()
	bytes := make([]byte, 256)
	_, _ = memory.ReadAt(bytes, int64(address)) // fewer at the end of a mapping
	return bytes
}
