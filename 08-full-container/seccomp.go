//go:build linux && (amd64 || arm64 || riscv64)

// The seccomp filter: which system calls are refused before the kernel has looked at them
// (seccomp(2)). Namespaces and capabilities decide what a call may do. The filter decides whether
// the kernel's code for it runs at all, bugs included.
//
// Docker's list, for runc, names what is allowed: a call that its authors didn't think of is
// refused, and every new call breaks something until they add it. This one, in seccomp_refused.go,
// names what is refused, with the reason, because that is what a reader wants to know. The price is
// the calls that the list forgets, and those that later kernels add. Against the second kind, every
// call newer than the list answers ENOSYS. An older call that the list forgets stays allowed.

package main

import (
	"fmt"
	"os"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// newest is the newest system call known at the time of writing. From 424 on, numbers are the same
// on all architectures.
const newest = unix.SYS_RSEQ_SLICE_YIELD

// Where the words of struct seccomp_data are (linux/seccomp.h). An argument has 64 bits, the lower
// 32 of them first on these three architectures.
const (
	offsetNumber    = 0
	offsetArch      = 4
	offsetArguments = 16
)

// argument loads the lower 32 bits of an argument. Where the kernel takes an int, it ignores the
// rest. So must the filter: otherwise ioctl(fd, TIOCSTI | 1<<32) gets through (CVE-2019-10063).
func argument(n uint32) line { return load(offsetArguments + 8*n) }

// upperBits loads the upper 32 bits.
func upperBits(n uint32) line { return load(offsetArguments + 8*n + 4) }

// newNamespaces are the flags of clone(2) that make namespaces. There is none for time.
const newNamespaces = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID |
	unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWCGROUP

// unshareable is what unshare(2) may do here: nothing with namespaces. It says what is allowed,
// since the flags that it takes still grow.
const unshareable = unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SYSVSEM

// What the kernel's headers call PER_LINUX32 and UNAME26 (personality(2)).
const (
	perLinux32 = 0x8
	uname26    = 0x20000
)

// filter is the whole program. First it checks which architecture the numbers belong to: a process
// on amd64 can also make i386's system calls, whose numbers mean other calls. Such a program is
// killed, because it could do nothing useful with an error.
func filter() []line {
	return slices.Concat(
		[]line{
			load(offsetArch),
			compare(unix.BPF_JEQ, auditArch, "", kill),
			load(offsetNumber),
		},
		decide(nil, "call", spans()),
		named(lookIntoClone,
			argument(0),
			compare(unix.BPF_JSET, newNamespaces, eperm, allow),
		),
		named(lookIntoUnshare,
			argument(0),
			compare(unix.BPF_JSET, ^uint32(unshareable), eperm, ""),
			upperBits(0),
			compare(unix.BPF_JEQ, 0, allow, eperm),
		),
		named(lookIntoIoctl, decide([]line{argument(1)}, "request", requests())...),
		named(lookIntoSocket,
			argument(0),
			compare(unix.BPF_JEQ, unix.AF_UNIX, allow, ""),
			compare(unix.BPF_JEQ, unix.AF_INET, allow, ""),
			compare(unix.BPF_JEQ, unix.AF_INET6, allow, ""),
			compare(unix.BPF_JEQ, unix.AF_NETLINK, allow, ""),
			compare(unix.BPF_JEQ, unix.AF_PACKET, allow, eafnosupport),
		),
		named(lookIntoPersonality,
			argument(0),
			compare(unix.BPF_JEQ, 0xffffffff, allow, ""), // only asks
			compare(unix.BPF_JSET, ^uint32(perLinux32|uname26), eperm, allow),
		),
		// A filter sees the address of the new limit, not the limit. Daemons set 0, and give up if
		// that fails: so the answer is 0, and nothing happens. A caller that also asks for the old
		// limit would notice, and gets EPERM.
		named(lookIntoPrlimit,
			argument(1),
			compare(unix.BPF_JEQ, unix.RLIMIT_CORE, "", allow),
			argument(2), // the new limit: NULL only asks
			compare(unix.BPF_JEQ, 0, "", "sets"),
			upperBits(2),
			compare(unix.BPF_JEQ, 0, allow, "sets"),
		),
		named("sets",
			argument(3), // where the old one goes
			compare(unix.BPF_JEQ, 0, "", eperm),
			upperBits(3),
			compare(unix.BPF_JEQ, 0, pretend, eperm),
		),
		named(lookIntoSetrlimit,
			argument(0),
			compare(unix.BPF_JEQ, unix.RLIMIT_CORE, pretend, allow),
		),
		[]line{
			answer(allow, unix.SECCOMP_RET_ALLOW),
			answer(eperm, unix.SECCOMP_RET_ERRNO|uint32(unix.EPERM)),
			answer(enosys, unix.SECCOMP_RET_ERRNO|uint32(unix.ENOSYS)),
			answer(eafnosupport, unix.SECCOMP_RET_ERRNO|uint32(unix.EAFNOSUPPORT)),
			answer(pretend, unix.SECCOMP_RET_ERRNO), // errno 0: success
			answer(kill, unix.SECCOMP_RET_KILL_PROCESS),
		},
	)
}

// span is some numbers in a row, up to where the next begins, and where the filter goes on then.
type span struct {
	first uint32
	then  string
}

// spans puts the table in the order of the numbers. The last one has no end: unsigned, the numbers
// of x32 are in it too, which are those of amd64 with bit 30 set.
func spans() []span {
	then := [newest + 2]string{newest + 1: enosys}
	for _, gap := range gaps {
		for n := gap.first; n <= gap.last; n++ {
			then[n] = enosys
		}
	}
	for _, r := range slices.Concat(refused, refusedHere) {
		then[r.call] = r.then
	}
	var all []span
	for n, t := range then {
		if t == "" {
			t = allow
		}
		if len(all) == 0 || all[len(all)-1].then != t {
			all = append(all, span{uint32(n), t})
		}
	}
	return all
}

// requests puts the refused requests of ioctl(2) in the same form.
func requests() []span {
	all := []span{{0, allow}}
	for _, r := range refusedRequests {
		all = append(all, span{r.first, eperm}, span{r.last + 1, allow})
	}
	return all
}

// decide adds a binary search among spans for the number that was loaded, of a "call" or a
// "request". It finds the last one that begins at or below that number. Some seven comparisons do
// for every call, where a list needs a hundred. Since Linux 5.11 the kernel runs the filter once
// for each number when it is loaded, and no more for those that are always allowed; so it is the
// start of the container that gets faster.
func decide(lines []line, what string, s []span) []line {
	if len(s) == 1 {
		return lines
	}
	low, high := s[:len(s)/2], s[len(s)/2:]
	top := compare(unix.BPF_JGE, high[0].first, name(what, high), name(what, low))
	top.label = name(what, s)
	return decide(decide(append(lines, top), what, low), what, high)
}

// name is the label of the search among some spans, or of what it has found.
func name(what string, s []span) string {
	if len(s) == 1 {
		return s[0].then
	}
	return fmt.Sprintf("%s: %d from %d", what, len(s), s[0].first)
}

// loadSeccomp puts this process under the filter, and all that it starts; nothing takes it off
// again. Without CAP_SYS_ADMIN that takes noNewPrivs before: a set-user-ID program could be
// confused by answers that it doesn't expect. SECCOMP_FILTER_FLAG_TSYNC means every thread of the
// process, or none.
func loadSeccomp() error {
	program, err := assemble(filter())
	if err != nil {
		return err
	}
	fprog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	thread, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&fprog)))
	if errno != 0 {
		return fmt.Errorf("load the seccomp filter: %w", os.NewSyscallError("seccomp", errno))
	}
	if thread != 0 {
		return fmt.Errorf("load the seccomp filter: thread %d has another one already", thread)
	}
	return nil
}
