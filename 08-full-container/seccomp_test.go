//go:build linux && (amd64 || arm64 || riscv64)

// The filter, tested twice: as a program, by the interpreter, and as part of the kernel.

package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
	"jail-to-container/scripts/steptest"
)

// meaning is what a filter's answer is called in the table.
func meaning(answer uint32) string {
	switch answer {
	case unix.SECCOMP_RET_ALLOW:
		return allow
	case unix.SECCOMP_RET_KILL_PROCESS:
		return kill
	}
	if answer == unix.SECCOMP_RET_ERRNO {
		return pretend
	}
	if answer&unix.SECCOMP_RET_ACTION_FULL == unix.SECCOMP_RET_ERRNO {
		return unix.ErrnoName(unix.Errno(answer & unix.SECCOMP_RET_DATA))
	}
	return fmt.Sprintf("%#x", answer)
}

// judge asks the filter about a call, by the interpreter.
func judge(t *testing.T, program []unix.SockFilter, c call) string {
	t.Helper()
	answer, steps, err := interpret(program, c)
	if err != nil {
		t.Fatalf("call %d: %v", c.number, err)
	}
	if steps > 20 {
		t.Errorf("call %d takes %d instructions: is this a binary search?", c.number, steps)
	}
	return meaning(answer)
}

// assembled returns the filter as the kernel gets it.
func assembled(t *testing.T) []unix.SockFilter {
	t.Helper()
	program, err := assemble(filter())
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// refusals are the calls that are refused when all their arguments are 0: name, number on amd64,
// number on arm64 and riscv64, answer. It is written by hand from asm/unistd_64.h and
// asm-generic/unistd.h, so that a row that is dropped from seccomp_refused.go is missed here.
const refusals = `
acct 163 89 EPERM
add_key 248 217 ENOSYS
bpf 321 280 EPERM
clock_settime 227 112 EPERM
clone3 435 435 ENOSYS
create_module 174 - ENOSYS
delete_module 176 106 EPERM
fanotify_init 300 262 EPERM
finit_module 313 273 EPERM
fsconfig 431 431 EPERM
fsmount 432 432 EPERM
fsopen 430 430 EPERM
fspick 433 433 EPERM
get_kernel_syms 177 - ENOSYS
get_mempolicy 239 236 ENOSYS
init_module 175 105 EPERM
io_uring_enter 426 426 ENOSYS
io_uring_register 427 427 ENOSYS
io_uring_setup 425 425 ENOSYS
ioperm 173 - EPERM
iopl 172 - EPERM
kcmp 312 272 ENOSYS
kexec_file_load 320 294 EPERM
kexec_load 246 104 EPERM
keyctl 250 219 ENOSYS
listns 470 470 ENOSYS
lookup_dcookie 212 18 ENOSYS
mbind 237 235 ENOSYS
migrate_pages 256 238 ENOSYS
modify_ldt 154 - ENOSYS
mount 165 40 EPERM
mount_setattr 442 442 EPERM
move_mount 429 429 EPERM
move_pages 279 239 ENOSYS
nfsservctl 180 42 ENOSYS
open_by_handle_at 304 265 EPERM
open_tree 428 428 EPERM
open_tree_attr 467 467 EPERM
perf_event_open 298 241 EPERM
pidfd_getfd 438 438 EPERM
pivot_root 155 41 EPERM
query_module 178 - ENOSYS
quotactl 179 60 EPERM
quotactl_fd 443 443 EPERM
reboot 169 142 EPERM
request_key 249 218 ENOSYS
set_mempolicy 238 237 ENOSYS
set_mempolicy_home_node 450 450 ENOSYS
setdomainname 171 162 EPERM
sethostname 170 161 EPERM
setns 308 268 EPERM
settimeofday 164 170 EPERM
socket 41 198 EAFNOSUPPORT
socketpair 53 199 EAFNOSUPPORT
swapoff 168 225 EPERM
swapon 167 224 EPERM
_sysctl 156 - ENOSYS
sysfs 139 - ENOSYS
syslog 103 116 EPERM
umount2 166 39 EPERM
uselib 134 - ENOSYS
userfaultfd 323 282 ENOSYS
ustat 136 - ENOSYS
vhangup 153 58 EPERM
`

// notCalls are the numbers that no call has, first and last in turn. newestCall is the last one
// that seccomp_refused.go knows.
var notCalls = map[string][]uint32{
	"amd64":   {337, 423},
	"arm64":   {244, 259, 295, 423},
	"riscv64": {38, 38, 244, 257, 295, 423},
}

const newestCall = 471 // rseq_slice_yield, Linux 7.0

// refusal is a row of refusals, for this architecture.
type refusal struct {
	call         uint32
	name, answer string
}

// readRefusals reads them.
func readRefusals() (all []refusal) {
	for row := range strings.Lines(strings.TrimSpace(refusals)) {
		fields := strings.Fields(row)
		number := fields[1]
		if runtime.GOARCH != "amd64" {
			number = fields[2]
		}
		if call, err := strconv.ParseUint(number, 10, 32); err == nil { // or "-"
			all = append(all, refusal{uint32(call), fields[0], fields[3]})
		}
	}
	return all
}

// TestFilterNumbers asks about every number there is, and some that there aren't, with every
// argument 0.
func TestFilterNumbers(t *testing.T) {
	program := assembled(t)
	want := map[uint32]string{}
	for _, r := range readRefusals() {
		want[r.call] = r.answer
	}
	for pair := range slices.Chunk(notCalls[runtime.GOARCH], 2) {
		for n := pair[0]; n <= pair[1]; n++ {
			want[n] = enosys
		}
	}
	for n := range uint32(2048) {
		expected := cmp.Or(want[n], allow)
		if n > newestCall {
			expected = enosys
		}
		if got := judge(t, program, call{number: n, arch: auditArch}); got != expected {
			t.Errorf("call %d: %s, want %s", n, got, expected)
		}
	}
	const x32 = 1 << 30
	for _, n := range []uint32{
		x32 | unix.SYS_GETPID, x32 | 520, x32 | unix.SYS_MOUNT, 1 << 31, 0xffffffff,
	} {
		if got := judge(t, program, call{number: n, arch: auditArch}); got != enosys {
			t.Errorf("call %#x: %s, want %s", n, got, enosys)
		}
	}
}

// TestTableOfCalls: every row has a reason, and no call has two.
func TestTableOfCalls(t *testing.T) {
	seen := map[uint32]bool{}
	for _, r := range slices.Concat(refused, refusedHere) {
		if seen[r.call] || r.why == "" {
			t.Errorf("call %d is in the table twice, or without a reason", r.call)
		}
		seen[r.call] = true
	}
}

// withheld are the calls that Docker's default profile for runc doesn't let a container make, as of
// 2024, on all three architectures: a list that was made by others, to hold this one against.
var withheld = []uint32{
	unix.SYS_ACCT, unix.SYS_ADD_KEY, unix.SYS_BPF, unix.SYS_CLOCK_SETTIME, unix.SYS_CLONE3,
	unix.SYS_DELETE_MODULE, unix.SYS_FANOTIFY_INIT, unix.SYS_FINIT_MODULE, unix.SYS_FSCONFIG,
	unix.SYS_FSMOUNT, unix.SYS_FSOPEN, unix.SYS_FSPICK, unix.SYS_GET_MEMPOLICY,
	unix.SYS_INIT_MODULE, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER,
	unix.SYS_IO_URING_SETUP, unix.SYS_KCMP, unix.SYS_KEXEC_FILE_LOAD, unix.SYS_KEXEC_LOAD,
	unix.SYS_KEYCTL, unix.SYS_LOOKUP_DCOOKIE, unix.SYS_MBIND, unix.SYS_MIGRATE_PAGES,
	unix.SYS_MOUNT, unix.SYS_MOUNT_SETATTR, unix.SYS_MOVE_MOUNT, unix.SYS_MOVE_PAGES,
	unix.SYS_NFSSERVCTL, unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_OPEN_TREE,
	unix.SYS_PERF_EVENT_OPEN, unix.SYS_PIDFD_GETFD, unix.SYS_PIVOT_ROOT, unix.SYS_QUOTACTL,
	unix.SYS_QUOTACTL_FD, unix.SYS_REBOOT, unix.SYS_REQUEST_KEY, unix.SYS_SETDOMAINNAME,
	unix.SYS_SETHOSTNAME, unix.SYS_SETNS, unix.SYS_SETTIMEOFDAY, unix.SYS_SET_MEMPOLICY,
	unix.SYS_SET_MEMPOLICY_HOME_NODE, unix.SYS_SWAPOFF, unix.SYS_SWAPON, unix.SYS_SYSLOG,
	unix.SYS_UMOUNT2, unix.SYS_USERFAULTFD, unix.SYS_VHANGUP,
}

// TestFilterWithholds asks about them. Two more are missing there, and allowed here: unshare(2) of
// what is no namespace, and process_madvise(2), which does no harm without CAP_SYS_NICE.
func TestFilterWithholds(t *testing.T) {
	program := assembled(t)
	for _, n := range withheld {
		got := judge(t, program, call{number: n, arch: auditArch})
		if got != eperm && got != enosys {
			t.Errorf("call %d: %s", n, got)
		}
	}
}

// TestFilterArchitecture asks about calls by the ways of other architectures.
func TestFilterArchitecture(t *testing.T) {
	program := assembled(t)
	for _, arch := range []uint32{
		unix.AUDIT_ARCH_I386, unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_ARM, unix.AUDIT_ARCH_AARCH64,
		unix.AUDIT_ARCH_RISCV32, unix.AUDIT_ARCH_RISCV64, 0, auditArch ^ 1,
	} {
		want := kill
		if arch == auditArch {
			want = allow
		}
		for _, number := range []uint32{unix.SYS_GETPID, unix.SYS_EXIT_GROUP} {
			if got := judge(t, program, call{number: number, arch: arch}); got != want {
				t.Errorf("call %d of architecture %#x: %s, want %s", number, arch, got, want)
			}
		}
	}
}

// examined are calls whose arguments decide, and the answers.
var examined = []struct {
	call      uint32
	arguments [6]uint64
	want      string
}{
	{unix.SYS_CLONE, [6]uint64{uint64(unix.SIGCHLD)}, allow},
	{unix.SYS_CLONE, [6]uint64{ // a thread
		unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_THREAD |
			unix.CLONE_SYSVSEM | unix.CLONE_SETTLS | unix.CLONE_PARENT_SETTID |
			unix.CLONE_CHILD_CLEARTID}, allow},
	{unix.SYS_CLONE, [6]uint64{unix.CLONE_VFORK | unix.CLONE_VM | unix.CLONE_PIDFD}, allow},
	{unix.SYS_CLONE, [6]uint64{unix.CLONE_NEWUSER | uint64(unix.SIGCHLD)}, eperm},
	{unix.SYS_CLONE, [6]uint64{unix.CLONE_NEWNS}, eperm},
	{unix.SYS_CLONE, [6]uint64{unix.CLONE_NEWPID}, eperm},
	{unix.SYS_CLONE, [6]uint64{unix.CLONE_NEWNET}, eperm},
	{unix.SYS_CLONE, [6]uint64{unix.CLONE_NEWUTS}, eperm},
	{unix.SYS_CLONE, [6]uint64{unix.CLONE_NEWIPC}, eperm},
	{unix.SYS_CLONE, [6]uint64{unix.CLONE_NEWCGROUP}, eperm},
	{unix.SYS_CLONE, [6]uint64{1<<32 | unix.CLONE_NEWUSER}, eperm},
	{unix.SYS_UNSHARE, [6]uint64{unix.CLONE_FS | unix.CLONE_FILES}, allow},
	{unix.SYS_UNSHARE, [6]uint64{unix.CLONE_SYSVSEM}, allow},
	{unix.SYS_UNSHARE, [6]uint64{unix.CLONE_NEWUSER}, eperm},
	{unix.SYS_UNSHARE, [6]uint64{unix.CLONE_FS | unix.CLONE_NEWNS}, eperm},
	{unix.SYS_UNSHARE, [6]uint64{unix.CLONE_NEWTIME}, eperm},
	{unix.SYS_UNSHARE, [6]uint64{1 << 20}, eperm}, // a flag to come
	{unix.SYS_UNSHARE, [6]uint64{1 << 40}, eperm}, // and one in the upper 32 bits
	{unix.SYS_IOCTL, [6]uint64{0, 0x4aff}, allow},
	{unix.SYS_IOCTL, [6]uint64{0, 0x4b00}, eperm}, // the keyboard of a Linux console
	{unix.SYS_IOCTL, [6]uint64{0, 0x4b45}, eperm}, // KDSKBMODE
	{unix.SYS_IOCTL, [6]uint64{0, 0x4bff}, eperm},
	{unix.SYS_IOCTL, [6]uint64{0, 0x4c00}, allow},
	{unix.SYS_IOCTL, [6]uint64{0, 0x5401}, allow}, // TCGETS
	{unix.SYS_IOCTL, [6]uint64{0, 0x5402}, allow}, // TCSETS
	{unix.SYS_IOCTL, [6]uint64{0, 0x540a}, eperm}, // TCXONC
	{unix.SYS_IOCTL, [6]uint64{0, 0x540c}, eperm}, // TIOCEXCL
	{unix.SYS_IOCTL, [6]uint64{0, 0x540e}, allow}, // TIOCSCTTY
	{unix.SYS_IOCTL, [6]uint64{0, 0x5410}, allow}, // TIOCSPGRP
	{unix.SYS_IOCTL, [6]uint64{0, 0x5412}, eperm}, // TIOCSTI
	{unix.SYS_IOCTL, [6]uint64{0, 0x5413}, allow}, // TIOCGWINSZ
	{unix.SYS_IOCTL, [6]uint64{0, 0x5414}, allow}, // TIOCSWINSZ
	{unix.SYS_IOCTL, [6]uint64{0, 0x541b}, allow}, // FIONREAD
	{unix.SYS_IOCTL, [6]uint64{0, 0x541c}, eperm}, // TIOCLINUX
	{unix.SYS_IOCTL, [6]uint64{0, 0x541d}, eperm}, // TIOCCONS
	{unix.SYS_IOCTL, [6]uint64{0, 0x541e}, allow}, // TIOCGSERIAL
	{unix.SYS_IOCTL, [6]uint64{0, 0x5421}, allow}, // FIONBIO
	{unix.SYS_IOCTL, [6]uint64{0, 0x5423}, eperm}, // TIOCSETD
	{unix.SYS_IOCTL, [6]uint64{0, 0x5424}, allow}, // TIOCGETD
	{unix.SYS_IOCTL, [6]uint64{0, 0x5437}, eperm}, // TIOCVHANGUP
	{unix.SYS_IOCTL, [6]uint64{0, 0x5441}, allow}, // TIOCGPTPEER
	{unix.SYS_IOCTL, [6]uint64{0, 0x5457}, eperm}, // TIOCSLCKTRMIOS
	{unix.SYS_IOCTL, [6]uint64{0, 0x55ff}, allow},
	{unix.SYS_IOCTL, [6]uint64{0, 0x5600}, eperm}, // the screens of Linux consoles
	{unix.SYS_IOCTL, [6]uint64{0, 0x56ff}, eperm},
	{unix.SYS_IOCTL, [6]uint64{0, 0x5700}, allow},
	{unix.SYS_IOCTL, [6]uint64{0, 0x80045430}, allow}, // TIOCGPTN
	{unix.SYS_IOCTL, [6]uint64{0, 1<<32 | unix.TIOCSTI}, eperm},
	{unix.SYS_IOCTL, [6]uint64{0, 1<<32 | unix.TIOCSETD}, eperm},
	{unix.SYS_IOCTL, [6]uint64{0, 1<<63 | unix.TIOCLINUX}, eperm},
	{unix.SYS_IOCTL, [6]uint64{unix.TIOCSTI, 0}, allow}, // that is the descriptor
	{unix.SYS_SOCKET, [6]uint64{unix.AF_UNIX}, allow},
	{unix.SYS_SOCKET, [6]uint64{unix.AF_INET}, allow},
	{unix.SYS_SOCKET, [6]uint64{unix.AF_INET6}, allow},
	{unix.SYS_SOCKET, [6]uint64{unix.AF_NETLINK}, allow},
	{unix.SYS_SOCKET, [6]uint64{unix.AF_PACKET}, allow},
	{unix.SYS_SOCKET, [6]uint64{unix.AF_ALG}, eafnosupport},
	{unix.SYS_SOCKET, [6]uint64{unix.AF_VSOCK}, eafnosupport},
	{unix.SYS_SOCKET, [6]uint64{1<<32 | unix.AF_VSOCK}, eafnosupport},
	{unix.SYS_SOCKET, [6]uint64{unix.AF_BLUETOOTH}, eafnosupport},
	{unix.SYS_SOCKET, [6]uint64{unix.AF_RDS}, eafnosupport},
	{unix.SYS_SOCKETPAIR, [6]uint64{unix.AF_UNIX}, allow},
	{unix.SYS_SOCKETPAIR, [6]uint64{unix.AF_VSOCK}, eafnosupport},
	{unix.SYS_PERSONALITY, [6]uint64{0xffffffff}, allow},
	{unix.SYS_PERSONALITY, [6]uint64{0}, allow},
	{unix.SYS_PERSONALITY, [6]uint64{perLinux32}, allow},
	{unix.SYS_PERSONALITY, [6]uint64{perLinux32 | uname26}, allow},
	{unix.SYS_PERSONALITY, [6]uint64{0x0040000}, eperm},         // ADDR_NO_RANDOMIZE
	{unix.SYS_PERSONALITY, [6]uint64{1<<32 | 0x0400000}, eperm}, // READ_IMPLIES_EXEC
	{unix.SYS_PERSONALITY, [6]uint64{0x0100000}, eperm},         // MMAP_PAGE_ZERO
	// RLIMIT_CORE is 4. A new limit alone is pretended, whichever bit of its address is set.
	{unix.SYS_PRLIMIT64, [6]uint64{0, 4, 0, 0x1000}, allow},
	{unix.SYS_PRLIMIT64, [6]uint64{0, 4, 0, 0}, allow},
	{unix.SYS_PRLIMIT64, [6]uint64{0, 4, 0x1000, 0}, pretend},
	{unix.SYS_PRLIMIT64, [6]uint64{0, 4, 1 << 32, 0}, pretend},
	{unix.SYS_PRLIMIT64, [6]uint64{0, 4, 0x1000, 0x1000}, eperm},
	{unix.SYS_PRLIMIT64, [6]uint64{0, 4, 1 << 32, 1 << 32}, eperm},
	{unix.SYS_PRLIMIT64, [6]uint64{1, 1<<32 | 4, 0x1000, 0}, pretend},
	{unix.SYS_PRLIMIT64, [6]uint64{0, 3, 0x1000, 0x1000}, allow},
	{unix.SYS_PRLIMIT64, [6]uint64{0, 7, 0x1000, 0}, allow}, // RLIMIT_NOFILE
	{unix.SYS_SETRLIMIT, [6]uint64{4, 0x1000}, pretend},
	{unix.SYS_SETRLIMIT, [6]uint64{1<<32 | 4, 0x1000}, pretend},
	{unix.SYS_SETRLIMIT, [6]uint64{7, 0x1000}, allow},
}

// TestFilterArguments asks the interpreter about them.
func TestFilterArguments(t *testing.T) {
	program := assembled(t)
	for _, e := range examined {
		c := call{number: e.call, arch: auditArch, arguments: e.arguments}
		if got := judge(t, program, c); got != e.want {
			t.Errorf("call %d with %#x: %s, want %s", e.call, e.arguments, got, e.want)
		}
	}
}

// TestKernelRefuses lets the kernel answer what the filter refuses: each of these calls, with
// arguments that no call could do anything with. Without the filter the answer is another, except
// for calls that this kernel hasn't got, and those that this user may not make in any case.
func TestKernelRefuses(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		with := answers(t, u, "test:filtered", "test:refused")
		without := answers(t, u, "test:refused")
		shown := 0
		for _, r := range readRefusals() {
			if with[r.name] != r.answer {
				t.Errorf("%s: %s, want %s", r.name, with[r.name], r.answer)
			}
			if without[r.name] != r.answer {
				shown++
				continue
			}
			t.Logf("%s: %s without the filter too", r.name, r.answer)
		}
		t.Logf("%d calls are answered in another way without the filter", shown)
		if shown < 15 {
			t.Errorf("the controls: only %d answers differ", shown)
		}
		for i, e := range examined {
			key := fmt.Sprint("examined ", i)
			if e.want != allow && (with[key] != e.want || without[key] == e.want) {
				t.Errorf("call %d with %#x: %s, without the filter %s, want %s",
					e.call, e.arguments, with[key], without[key], e.want)
			}
		}
		for key, want := range map[string]string{
			"beyond": enosys, "fork": "ok", "thread": "ok",
		} {
			if with[key] != want || without[key] != want {
				t.Errorf("%s: %s, without the filter %s, want %s twice",
					key, with[key], without[key], want)
			}
		}
	})
}

// TestOtherFilterIsAnError loads the filter where another thread has one that this one hasn't, so
// that they can't be made the same.
func TestOtherFilterIsAnError(t *testing.T) {
	r := steptest.Caller().Run(t, "test:two-filters")
	if r.Status != 125 {
		t.Errorf("exit status %d, want 125", r.Status)
	}
	steptest.Contains(t, r.Stderr, "load the seccomp filter: thread ", " has another one already")
}

// answers runs an experiment that prints a word and an answer in each line. It is in namespaces of
// its own, for the case that one of its calls does something.
func answers(t *testing.T, u steptest.User, args ...string) map[string]string {
	t.Helper()
	cmd := u.Program(args...)
	if u.UID == 0 && os.Getuid() == 0 {
		cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
			unix.CLONE_NEWPID | unix.CLONE_NEWNET
	}
	all := map[string]string{}
	for line := range strings.Lines(steptest.Output(t, cmd)) {
		name, answer, _ := strings.Cut(strings.TrimSpace(line), ": ")
		all[name] = answer
	}
	return all
}

// init adds what asks the kernel.
func init() {
	// test:filtered loads the filter and runs another experiment under it.
	experiments["test:filtered"] = func(args []string) error {
		if err := noNewPrivs(); err != nil {
			return err
		}
		if err := loadSeccomp(); err != nil {
			return err
		}
		return experiments[args[0]](args[1:])
	}
	// test:two-filters gives a thread a filter first that allows everything.
	experiments["test:two-filters"] = func([]string) error {
		loaded := make(chan error)
		go func() {
			runtime.LockOSThread()
			program := []unix.SockFilter{{
				Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW,
			}}
			fprog := unix.SockFprog{Len: 1, Filter: &program[0]}
			err := noNewPrivs()
			if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0,
				uintptr(unsafe.Pointer(&fprog))); errno != 0 {
				err = errno
			}
			loaded <- err
			select {}
		}()
		return errors.Join(<-loaded, noNewPrivs(), loadSeccomp())
	}
	experiments["test:refused"] = func([]string) error {
		const nonsense = ^uintptr(0)
		name := func(errno syscall.Errno) string {
			if errno == 0 {
				return "ok"
			}
			return unix.ErrnoName(errno)
		}
		for _, r := range readRefusals() {
			_, _, errno := unix.RawSyscall6(uintptr(r.call),
				nonsense, nonsense, nonsense, nonsense, nonsense, nonsense)
			fmt.Printf("%s: %s\n", r.name, name(errno))
		}
		for i, e := range examined {
			if e.want == allow {
				continue
			}
			a := e.arguments
			switch e.call {
			case unix.SYS_CLONE: // CLONE_SIGHAND without CLONE_VM: EINVAL from the kernel
				a[0] |= unix.CLONE_SIGHAND
			case unix.SYS_UNSHARE: // more than there is: EINVAL
				a[0] |= 1 << 63
			case unix.SYS_IOCTL: // no such descriptor: EBADF
				a[0] = uint64(nonsense)
			case unix.SYS_SOCKET, unix.SYS_SOCKETPAIR: // no such type: EINVAL
				a[1] = uint64(nonsense)
			} // and nothing is mapped at the addresses for prlimit64: EFAULT
			_, _, errno := unix.RawSyscall6(uintptr(e.call),
				uintptr(a[0]), uintptr(a[1]), uintptr(a[2]), uintptr(a[3]), 0, 0)
			fmt.Printf("examined %d: %s\n", i, name(errno))
		}
		_, _, errno := unix.RawSyscall6(newest+1000, 0, 0, 0, 0, 0, 0)
		fmt.Printf("beyond: %s\n", name(errno))
		fmt.Printf("fork: %s\n", errnoOf(exec.Command("true").Run()))
		done := make(chan bool)
		go func() {
			runtime.LockOSThread() // a thread of its own, which ends with it
			done <- true
		}()
		<-done
		fmt.Println("thread: ok")
		return nil
	}
}

// errnoOf is errno without the description.
func errnoOf(err error) string { return strings.Fields(errno(err))[0] }
