//go:build linux

// What the filter has to know about amd64, and about i386 and x32, which its kernel may understand
// too.

package main

import "golang.org/x/sys/unix"

// auditArch is what struct seccomp_data calls calls by syscall(2)'s usual way. Those of i386 bear
// another name; those of x32 the same, but numbers beyond newest.
const auditArch = unix.AUDIT_ARCH_X86_64

// gaps are the numbers that no call has.
var gaps = []gap{{337, 423}}

// refusedHere is what only amd64 has.
var refusedHere = []callRule{
	{unix.SYS_IOPL, eperm, "the machine's ports"},
	{unix.SYS_IOPERM, eperm, "the machine's ports"},
	{unix.SYS_MODIFY_LDT, enosys, "segments, for programs of 16 bits (CVE-2017-17053)"},
	{unix.SYS_CREATE_MODULE, enosys, "until 2.6: modules"},
	{unix.SYS_QUERY_MODULE, enosys, "until 2.6: modules"},
	{unix.SYS_GET_KERNEL_SYMS, enosys, "until 2.6: the kernel's addresses"},
	{unix.SYS__SYSCTL, enosys, "until 5.5: /proc/sys by numbers"},
	{unix.SYS_USELIB, enosys, "loads libraries from before ELF"},
	{unix.SYS_USTAT, enosys, "of the host's disks, by their numbers"},
	{unix.SYS_SYSFS, enosys, "which file systems the kernel has; /proc/filesystems says it"},
}
