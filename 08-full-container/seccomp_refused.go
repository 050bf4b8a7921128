//go:build linux && (amd64 || arm64 || riscv64)

// Which system calls the filter refuses, and why. Most need a capability that the container doesn't
// have, and would be refused anyway. For those the filter is a second lock, for the day on which
// the kernel checks the wrong capability, or none.

package main

import "golang.org/x/sys/unix"

// Where the filter goes on for a call. EPERM is the answer to what needs a privilege. ENOSYS says
// that this kernel hasn't got the call, as kernels exist that haven't: programs know then what to
// do without it. The others look into the arguments first.
const (
	allow               = "allow"
	eperm               = "EPERM"
	enosys              = "ENOSYS"
	eafnosupport        = "EAFNOSUPPORT"
	pretend             = "ok" // answers 0 and does nothing
	kill                = "kill"
	lookIntoClone       = "clone"
	lookIntoUnshare     = "unshare"
	lookIntoIoctl       = "ioctl"
	lookIntoSocket      = "socket"
	lookIntoPersonality = "personality"
	lookIntoPrlimit     = "prlimit64"
	lookIntoSetrlimit   = "setrlimit"
)

// callRule is what happens to one system call.
type callRule struct {
	call uint32
	then string
	why  string
}

// gap is numbers that no call has, both ends included. Some get one later on, as 335 and 336 did on
// amd64.
type gap struct{ first, last uint32 }

// refused is the table for all architectures; the few calls that only one has are in seccomp_*.go.
//
// Not in it, on purpose: ptrace(2) and process_vm_readv(2) reach only the container's own
// processes, and debuggers need them (before Linux 4.8 a tracer could step around the filter);
// adjtimex(2), with which any process may read the clock's state but only the host's root set it;
// chroot(2) and mknod(2), which need capabilities of their own.
var refused = []callRule{
	// Other code in the kernel, or another kernel.
	{unix.SYS_BPF, eperm, "loads programs into the kernel; its verifier was fooled often"},
	{unix.SYS_INIT_MODULE, eperm, "loads code into the kernel"},
	{unix.SYS_FINIT_MODULE, eperm, "loads code into the kernel, from a file"},
	{unix.SYS_DELETE_MODULE, eperm, "removes code from the kernel"},
	{unix.SYS_KEXEC_LOAD, eperm, "prepares the start of another kernel"},
	{unix.SYS_KEXEC_FILE_LOAD, eperm, "prepares the start of another kernel, from a file"},
	{unix.SYS_REBOOT, eperm, "starts it, or ends this one"},

	// More of what the container is made of: mounts and namespaces.
	{unix.SYS_CLONE, lookIntoClone, "a new user namespace would bring all capabilities back"},
	{unix.SYS_CLONE3, enosys, "its flags are in memory, which no filter sees; libc has clone"},
	{unix.SYS_UNSHARE, lookIntoUnshare, "as with clone"},
	{unix.SYS_SETNS, eperm, "enters other namespaces"},
	{unix.SYS_MOUNT, eperm, "would uncover what is masked"},
	{unix.SYS_UMOUNT2, eperm, "would uncover what is masked"},
	{unix.SYS_PIVOT_ROOT, eperm, "changes the root"},
	{unix.SYS_FSOPEN, eperm, "the new way to mount"},
	{unix.SYS_FSCONFIG, eperm, "the new way to mount (CVE-2022-0185)"},
	{unix.SYS_FSMOUNT, eperm, "the new way to mount"},
	{unix.SYS_FSPICK, eperm, "the new way to remount"},
	{unix.SYS_OPEN_TREE, eperm, "the new way to bind"},
	{unix.SYS_OPEN_TREE_ATTR, eperm, "the new way to bind"},
	{unix.SYS_MOVE_MOUNT, eperm, "the new way to bind"},
	{unix.SYS_MOUNT_SETATTR, eperm, "would make writable what is read-only"},
	{unix.SYS_SETHOSTNAME, eperm, "the name has been given"},
	{unix.SYS_SETDOMAINNAME, eperm, "the name has been given"},
	{unix.SYS_LISTNS, enosys, "lists namespaces, which are the host's affair"},

	// What has no namespace: it is one thing, and the host's.
	{unix.SYS_ADD_KEY, enosys, "keys go by uid, through all containers of it (keyrings(7))"},
	{unix.SYS_REQUEST_KEY, enosys, "as add_key; starts a program on the host (request-key(8))"},
	{unix.SYS_KEYCTL, enosys, "as add_key; its faults have been escapes (CVE-2016-0728)"},
	{unix.SYS_SETTIMEOFDAY, eperm, "sets the clock"},
	{unix.SYS_CLOCK_SETTIME, eperm, "sets the clock"},
	{unix.SYS_SYSLOG, eperm, "reads the kernel's log, and empties it"},
	{unix.SYS_ACCT, eperm, "has the kernel write down every process that ends"},
	{unix.SYS_SWAPON, eperm, "the machine's memory"},
	{unix.SYS_SWAPOFF, eperm, "the machine's memory"},
	{unix.SYS_QUOTACTL, eperm, "the disk's limits for users"},
	{unix.SYS_QUOTACTL_FD, eperm, "the disk's limits for users"},
	{unix.SYS_MBIND, enosys, "on which node memory lies is the machine's affair (numa(7))"},
	{unix.SYS_SET_MEMPOLICY, enosys, "as mbind"},
	{unix.SYS_SET_MEMPOLICY_HOME_NODE, enosys, "as mbind"},
	{unix.SYS_GET_MEMPOLICY, enosys, "as mbind"},
	{unix.SYS_MIGRATE_PAGES, enosys, "as mbind, for other processes"},
	{unix.SYS_MOVE_PAGES, enosys, "as mbind, for other processes"},
	{unix.SYS_VHANGUP, eperm, "hangs up the terminal"},

	// Files by other ways than their path.
	{unix.SYS_OPEN_BY_HANDLE_AT, eperm, "opens by inode number, outside the root (Shocker, 2014)"},
	{unix.SYS_PIDFD_GETFD, eperm, "takes an open file out of another process"},
	{unix.SYS_FANOTIFY_INIT, eperm, "watches all files of a file system, and holds others up"},

	// Large, young, or with a history of faults, and programs get along without.
	{unix.SYS_IO_URING_SETUP, enosys, "does other calls' work, and no filter sees it"},
	{unix.SYS_IO_URING_ENTER, enosys, "as io_uring_setup"},
	{unix.SYS_IO_URING_REGISTER, enosys, "as io_uring_setup"},
	{unix.SYS_USERFAULTFD, enosys, "holds the kernel up in mid-copy; half of many exploits"},
	{unix.SYS_PERF_EVENT_OPEN, eperm, "measures the kernel and its neighbours"},
	{unix.SYS_KCMP, enosys, "compares objects by their place in the kernel's memory"},
	{unix.SYS_PERSONALITY, lookIntoPersonality, "can switch off what makes addresses random"},
	{unix.SYS_IOCTL, lookIntoIoctl, "the terminal may be the caller's: see refusedRequests"},
	{unix.SYS_PRLIMIT64, lookIntoPrlimit, "RLIMIT_CORE lowered from 1 to 0 would open the way " +
		"to the program in the host's core_pattern (core(5))"},
	{unix.SYS_SETRLIMIT, lookIntoSetrlimit, "as prlimit64"},
	{unix.SYS_SOCKET, lookIntoSocket, "five families are of use here. AF_VSOCK calls the " +
		"hypervisor, AF_ALG the kernel's ciphers, and most others would load a module"},
	{unix.SYS_SOCKETPAIR, lookIntoSocket, "as socket, for a pair of them"},

	// Gone from the kernel, or a stub there.
	{unix.SYS_LOOKUP_DCOOKIE, enosys, "until 6.7: paths of the profiler's"},
	{unix.SYS_NFSSERVCTL, enosys, "until 3.1: the NFS server"},
}

// refusedRequests are the requests of ioctl(2) that the filter refuses, in the order of their
// numbers. In a pipeline such as "… | less" the command has a descriptor of the caller's terminal,
// and each of these types into it or makes it unusable (ioctl_tty(2), ioctl_console(2)). The
// command can still change settings such as echo; "stty sane" undoes that.
var refusedRequests = []struct {
	first, last uint32
	why         string
}{
	{0x4b00, 0x4bff, "a Linux console's keyboard, fonts and graphics mode (KDSKBMODE)"},
	{unix.TCXONC, unix.TCXONC, "stops output for good: Ctrl-Q doesn't undo TCOOFF"},
	{unix.TIOCEXCL, unix.TIOCEXCL, "makes every other open of the terminal fail"},
	{unix.TIOCSTI, unix.TIOCSTI, "types into the terminal (CVE-2017-5226)"},
	{unix.TIOCLINUX, unix.TIOCLINUX, "pastes into a console (CVE-2023-1523)"},
	{unix.TIOCCONS, unix.TIOCCONS, "takes over the output to /dev/console"},
	{unix.TIOCSETD, unix.TIOCSETD, "sets a line discipline; N_NULL takes no output"},
	{unix.TIOCVHANGUP, unix.TIOCVHANGUP, "as vhangup"},
	{unix.TIOCSLCKTRMIOS, unix.TIOCSLCKTRMIOS, "locks the settings, against stty(1) too"},
	{0x5600, 0x56ff, "switches between Linux consoles, and locks them (VT_ACTIVATE)"},
}
