//go:build linux

// Which host users the container's users map to: the ID maps of its user namespace, and who owns
// that namespace.

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapIDs prepares the ID maps of a user namespace that the caller is about to create. Root maps the
// IDs from 0 up to IDs that no user of the host has. An ordinary user may map one ID, their own. Go
// writes either map between clone(2) and execve(2). If /etc/subuid grants the user more IDs,
// newuidmap(1) maps them. It needs a PID, so call later once the process exists.
func mapIDs(attr *syscall.SysProcAttr) (later func(pid int) error, err error) {
	later = func(int) error { return nil }
	if attr.Cloneflags&unix.CLONE_NEWUSER == 0 {
		// Given a map, Go would wait for the child (vfork(2)) while the child waits for its map.
		return func(int) error { return errors.New("no user namespace to map ids in") }, nil
	}
	if holds(unix.CAP_SETUID) && holds(unix.CAP_SETGID) {
		uids, uidErr := toGive("uid")
		gids, gidErr := toGive("gid")
		setgroups, err := setgroupsAllowed()
		attr.UidMappings, attr.GidMappings = uids, gids
		attr.GidMappingsEnableSetgroups = setgroups
		attr.Credential = &syscall.Credential{NoSetGroups: !setgroups} // uid 0, gid 0 inside
		return later, errors.Join(uidErr, gidErr, err)
	}
	_, missing := exec.LookPath("newuidmap")
	more, err := subordinateIDs("uid")
	if missing != nil || err != nil || more.count == 0 {
		attr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
		return later, err
	}
	// Until the map is written, the new process isn't root, so execve(2) clears its capabilities.
	// Ambient ones survive (capabilities(7)).
	last, err := readNumber("/proc/sys/kernel/cap_last_cap")
	for capability := range last + 1 {
		attr.AmbientCaps = append(attr.AmbientCaps, uintptr(capability))
	}
	return mapByHelpers, err
}

// mapByHelpers writes the ID maps of a process's user namespace: 0 is the caller, and from 1 on
// come the IDs that /etc/subuid and /etc/subgid grant the caller. The helpers, newuidmap and
// newgidmap, are set-user-ID root and check those files themselves.
func mapByHelpers(pid int) error {
	proc := fmt.Sprintf("/proc/%d/", pid)
	for kind, own := range map[string]int{"uid": os.Getuid(), "gid": os.Getgid()} {
		more, err := subordinateIDs(kind)
		if err != nil {
			return err
		}
		if more.count > 0 {
			helper := exec.Command("new"+kind+"map", strconv.Itoa(pid), "0", strconv.Itoa(own), "1",
				"1", fmt.Sprint(more.first), fmt.Sprint(more.count))
			if helper.Run() == nil {
				continue
			}
			// Set-user-ID programs don't work everywhere. Mapping our own ID needs no helper.
		}
		if kind == "gid" {
			// Otherwise a user could drop a group that a file's permissions deny
			// (user_namespaces(7)).
			if err := writeFile(proc+"setgroups", "deny"); err != nil {
				return err
			}
		}
		if err := writeFile(proc+kind+"_map", fmt.Sprintf("0 %d 1", own)); err != nil {
			return err
		}
	}
	return nil
}

// dropHostIdentity runs in the inner process once it is root. It leaves the host's supplementary
// groups, unless setgroups(2) is denied, and clears the inheritable capabilities, which programs
// that it starts as another user would get again. The kernel clears the ambient ones with them.
func dropHostIdentity() error {
	if allowed, err := setgroupsAllowed(); err != nil {
		return err
	} else if allowed {
		if err := unix.Setgroups(nil); err != nil {
			return os.NewSyscallError("setgroups", err)
		}
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return os.NewSyscallError("capget", err)
	}
	sets[0].Inheritable, sets[1].Inheritable = 0, 0
	return os.NewSyscallError("capset", unix.Capset(&header, &sets[0]))
}

// setgroupsAllowed reports whether this user namespace allows setgroups(2).
func setgroupsAllowed() (bool, error) {
	text, err := os.ReadFile("/proc/self/setgroups")
	return string(text) == "allow\n", err
}

// toGive returns the map, of kind "uid" or "gid", that root can give to a container: the IDs that
// /etc/subuid grants root, if they are enough, otherwise IDs that no user of the host has. If this
// process is in a user namespace that has no such IDs, the container shares all that it has.
func toGive(kind string) ([]syscall.SysProcIDMap, error) {
	found, err := subordinateIDs(kind)
	if err == nil && found.count < idsPerContainer {
		found, err = freeIDs()
	}
	if err != nil {
		return nil, err
	}
	own, err := ownIDs(kind)
	if err != nil {
		return nil, err
	}
	if found.count > 0 {
		return []syscall.SysProcIDMap{{HostID: int(found.first), Size: int(found.count)}}, nil
	}
	var shared []syscall.SysProcIDMap
	for _, r := range own {
		first := int(r.first)
		shared = append(shared,
			syscall.SysProcIDMap{ContainerID: first, HostID: first, Size: int(r.count)})
	}
	return shared, nil
}

// readNumber reads a file that holds one number.
func readNumber(file string) (int, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

// writeFile writes to an existing file, such as those in /proc. os.WriteFile would try to create a
// missing one, and the error would be "permission denied".
func writeFile(path, text string) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Close())
}

// startOwned starts a command in the user namespace that mapIDs has prepared. The kernel counts
// some of what the container uses against the namespace's owner too: inotify instances, queued
// signals, POSIX message queues (kernel/ucount.c). If root owned it, a container could use up the
// quotas of the host's root. So where root gives it IDs of its own, the first of them is the owner.
func startOwned(cmd *exec.Cmd) error {
	maps, own := cmd.SysProcAttr.UidMappings, os.Geteuid()
	// Only the owner can open /proc/PID/ns, or a process with CAP_SYS_PTRACE, which Docker drops.
	if len(maps) == 0 || maps[0].HostID == own || !holds(unix.CAP_SYS_PTRACE) {
		return cmd.Start()
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return os.NewSyscallError("capget", err)
	}
	var deathSignal int32
	_, _, failed := unix.Syscall(unix.SYS_PRCTL, unix.PR_GET_PDEATHSIG,
		uintptr(unsafe.Pointer(&deathSignal)), 0)
	if failed != 0 {
		return os.NewSyscallError("prctl(PR_GET_PDEATHSIG)", failed)
	}
	// The owner is the effective user of the thread that calls clone(2). Changing that user clears
	// the thread's effective capabilities and its parent-death signal, so both are set again.
	err := setThreadUser(maps[0].HostID)
	if err == nil {
		err = unix.Capset(&header, &sets[0])
	}
	if err == nil {
		err = cmd.Start()
	}
	return errors.Join(err, setThreadUser(own), unix.Capset(&header, &sets[0]),
		unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(deathSignal), 0, 0, 0))
}

// setThreadUser sets the effective user of this thread alone. Go's syscall.Setresuid sets it for
// all threads.
func setThreadUser(uid int) error {
	number, same := uintptr(unix.SYS_SETRESUID), ^uintptr(0)
	if runtime.GOARCH == "386" || runtime.GOARCH == "arm" { // SYS_SETRESUID is for 16-bit IDs
		number = 208
	}
	_, _, failed := unix.Syscall(number, same, uintptr(uid), same)
	if failed != 0 {
		return os.NewSyscallError("setresuid", failed)
	}
	return nil
}
