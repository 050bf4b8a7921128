//go:build linux

// What root may still do in the container: the capabilities that it keeps (capabilities(7)). They
// work on what belongs to the container's user namespace; on the host they are worth nothing.

package main

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// kept are the 11 capabilities that podman keeps, out of some 40 (containers.conf(5)). They make
// package managers and servers work that are started as root. Docker keeps three more: for raw
// packets (openPorts does for ping), to make devices, and to write to the audit log; the user
// namespace refuses the last two anyway. CAP_SYS_ADMIN is the one that matters among those dropped:
// with it a container could mount.
var kept = []struct {
	capability int
	why        string
}{
	{unix.CAP_CHOWN, "give files away, as a package manager does"},
	{unix.CAP_DAC_OVERRIDE, "read and write files whatever their modes"},
	{unix.CAP_FSETID, "keep the set-user-ID bit of a file that is written to"},
	{unix.CAP_FOWNER, "change modes and times of other users' files"},
	{unix.CAP_SETGID, "become another group, as servers do after their start"},
	{unix.CAP_SETUID, "become another user"},
	{unix.CAP_SETFCAP, "write file capabilities, as packages with ping in them do"},
	{unix.CAP_SETPCAP, "drop more capabilities"},
	{unix.CAP_NET_BIND_SERVICE, "listen on ports below 1024"},
	{unix.CAP_SYS_CHROOT, "chroot(2), as sshd and postfix do; 01's escape ends in the container"},
	{unix.CAP_KILL, "send signals to other users' processes"},
}

// dropCapabilities leaves this thread, and what it starts, with those in kept, in every set there
// is. It must be the thread that starts the command: capabilities belong to threads. The other
// threads of Go's runtime keep theirs; hideFromCommand is about that.
func dropCapabilities() error {
	var keep uint64
	for _, k := range kept {
		keep |= 1 << k.capability
	}
	// First the bounding set, which limits what execve(2) can give to root: it takes CAP_SETPCAP
	// in the effective one. Those that this program has no name for go as well; EINVAL says that
	// there are no more.
	for capability := range 64 {
		if keep&(1<<capability) != 0 {
			continue
		}
		err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(capability), 0, 0, 0)
		if errors.Is(err, unix.EINVAL) {
			break
		}
		if err != nil {
			return fmt.Errorf("drop capability %d from the bounding set: %w", capability, err)
		}
	}
	// The inheritable set stays empty: it would give a program what its file allows for, and with
	// it goes the ambient one, which would make other users than root privileged.
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	sets := [2]unix.CapUserData{
		{Effective: uint32(keep), Permitted: uint32(keep)},
		{Effective: uint32(keep >> 32), Permitted: uint32(keep >> 32)},
	}
	if err := unix.Capset(&header, &sets[0]); err != nil {
		return fmt.Errorf("drop capabilities: %w", os.NewSyscallError("capset", err))
	}
	return nil
}

// openPorts lets every user inside do on the container's own network what would take a capability
// on the host's: ping(8), and listen on ports below 1024 (icmp(7), ip(7)). After protectPaths these
// files are read-only.
func openPorts() error {
	groups, err := ownIDs("gid")
	if err != nil {
		return err
	}
	last := groups[len(groups)-1]
	const dir, pings = "/proc/sys/net/ipv4/", "ping_group_range"
	everyone := fmt.Sprintf("0\t%d\n", last.first+last.count-1)
	err = errors.Join(writeFile(dir+"ip_unprivileged_port_start", "0"),
		writeFile(dir+pings, everyone))
	// The kernel compares the host's IDs. If they are in another order, the range is empty: then
	// root alone may, as in podman.
	if got, _ := os.ReadFile(dir + pings); err == nil && string(got) != everyone {
		err = writeFile(dir+pings, "0 0")
	}
	return err
}

// noNewPrivs makes this thread, and what it starts, never get more by execve(2) than they have:
// set-user-ID programs and file capabilities become plain ones (PR_SET_NO_NEW_PRIVS of prctl(2)).
// loadSeccomp carries it over to the other threads.
func noNewPrivs() error {
	err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	return os.NewSyscallError("prctl(PR_SET_NO_NEW_PRIVS)", err)
}
