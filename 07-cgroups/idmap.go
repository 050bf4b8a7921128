//go:build linux

// Who the container's users are on the host: the maps of its user namespace.

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	account "os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// idRange is some ids in a row: users or groups, by their numbers on the host.
type idRange struct{ first, count int }

// enough is how many ids root gives a container: those that a Linux system hands out by itself.
const enough = 65536

// mapIDs prepares the maps of a user namespace that is about to be made, for one of three callers.
// Root maps 0 and up to ids that belong to nobody on the host. An ordinary user may map one id, the
// own one. Go writes either map between clone(2) and execve(2). The third is a user who may have
// more by the help of newuidmap(1), which needs a PID: so there is a function to be called once the
// namespace is there.
func mapIDs(attr *syscall.SysProcAttr) (later func(pid int) error, err error) {
	later = func(int) error { return nil }
	uids, uidErr := nobodys("uid")
	gids, gidErr := nobodys("gid")
	if err := errors.Join(uidErr, gidErr); err != nil {
		return nil, err
	}
	if uids.count > 0 && gids.count > 0 && holds(unix.CAP_SETUID) && holds(unix.CAP_SETGID) {
		attr.UidMappings = []syscall.SysProcIDMap{{HostID: uids.first, Size: uids.count}}
		attr.GidMappings = []syscall.SysProcIDMap{{HostID: gids.first, Size: gids.count}}
		attr.GidMappingsEnableSetgroups = true
		attr.Credential = &syscall.Credential{} // uid 0 and gid 0, of the new namespace
		return later, nil
	}
	_, missing := exec.LookPath("newuidmap")
	more, err := setAside("uid")
	if missing != nil || err != nil || more.count == 0 {
		attr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
		return later, err
	}
	// Until it is mapped, its first process has no uid that means anything, so execve(2) would take
	// its capabilities away. Ambient ones stay (capabilities(7)).
	last, err := readNumber("/proc/sys/kernel/cap_last_cap")
	for capability := range last + 1 {
		attr.AmbientCaps = append(attr.AmbientCaps, uintptr(capability))
	}
	return mapByHelpers, err
}

// mapByHelpers writes the maps of a process's user namespace: 0 is the caller, and from 1 on there
// are the ids that the system has set aside for the caller in /etc/subuid and /etc/subgid. The
// helpers are set-uid root, and look there as well.
func mapByHelpers(pid int) error {
	proc := fmt.Sprintf("/proc/%d/", pid)
	for kind, own := range map[string]int{"uid": os.Getuid(), "gid": os.Getgid()} {
		more, err := setAside(kind)
		if err != nil {
			return err
		}
		if more.count > 0 {
			helper := exec.Command("new"+kind+"map", strconv.Itoa(pid), "0", strconv.Itoa(own), "1",
				"1", strconv.Itoa(more.first), strconv.Itoa(min(more.count, enough-1)))
			if helper.Run() == nil {
				continue
			}
			// It may not, as in most containers. The one id needs no helper.
		}
		if kind == "gid" {
			// Else one could leave a group that a file is closed to (user_namespaces(7)).
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

// settle is for the inner half, now that it is root. It leaves the supplementary groups of the
// host, where that isn't denied, and keeps no inheritable capabilities, which would turn up again
// in programs that it starts as another user. Without them there are no ambient ones either.
func settle() error {
	setgroups, err := os.ReadFile("/proc/self/setgroups")
	if err != nil {
		return err
	}
	if string(setgroups) == "allow\n" {
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

// nobodys finds ids, "uid" or "gid", that root can give to a container. Where this process is in a
// user namespace itself, and that hasn't so many, there are none.
func nobodys(kind string) (idRange, error) {
	own, err := setAside(kind)
	if err != nil {
		return idRange{}, err
	}
	all, err := entries(kind)
	if err != nil {
		return idRange{}, err
	}
	ours, err := os.ReadFile("/proc/self/" + kind + "_map")
	if err != nil {
		return idRange{}, err
	}
	found := choose(own, all)
	for line := range strings.Lines(string(ours)) {
		var first, outside, count int
		if _, err := fmt.Sscan(line, &first, &outside, &count); err != nil {
			return idRange{}, fmt.Errorf("read %q in /proc/self/%s_map: %w", line, kind, err)
		}
		if first <= found.first && found.first+found.count <= first+count {
			return found, nil
		}
	}
	return idRange{}, nil
}

// choose returns the ids set aside for root, if they are enough, or else the first from 100000 on,
// where such ids begin, that are set aside for nobody (subuid(5)).
func choose(own idRange, all []entry) idRange {
	if own.count >= enough {
		return idRange{own.first, enough}
	}
	free := idRange{100_000, enough}
	overlaps := func(e entry) bool {
		return e.first < free.first+free.count && free.first < e.first+e.count
	}
	for i := slices.IndexFunc(all, overlaps); i >= 0; i = slices.IndexFunc(all, overlaps) {
		free.first = all[i].first + all[i].count
	}
	return free
}

// setAside returns the ids that the system has set aside for the caller, if any.
func setAside(kind string) (idRange, error) {
	names := []string{strconv.Itoa(os.Getuid())}
	if u, err := account.LookupId(names[0]); err == nil {
		names = append(names, u.Username)
	}
	all, err := entries(kind)
	for _, e := range all {
		if slices.Contains(names, e.owner) {
			return e.idRange, err
		}
	}
	return idRange{}, err
}

// entry is a line of /etc/subuid or /etc/subgid: whose ids these are.
type entry struct {
	owner string
	idRange
}

// entries reads /etc/subuid or /etc/subgid. Without that file nothing is set aside.
func entries(kind string) ([]entry, error) {
	text, err := os.ReadFile("/etc/sub" + kind)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var all []entry
	for line := range strings.Lines(string(text)) {
		e, fields := entry{}, strings.Split(strings.TrimSpace(line), ":")
		if len(fields) != 3 {
			continue // a comment, or nothing
		}
		var err1, err2 error
		e.owner = fields[0]
		e.first, err1 = strconv.Atoi(fields[1])
		e.count, err2 = strconv.Atoi(fields[2])
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("read %q in /etc/sub%s: %w", line, kind, err)
		}
		all = append(all, e)
	}
	return all, nil
}

// readNumber reads a file that holds one.
func readNumber(file string) (int, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

// writeFile writes to a file that must be there already, as those of /proc are: os.WriteFile would
// ask the kernel to make it, and be told "permission denied".
func writeFile(path, text string) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Close())
}
