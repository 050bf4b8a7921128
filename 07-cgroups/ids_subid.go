//go:build linux

// Which host IDs the container gets: those in /etc/subuid and /etc/subgid, or unused ones.

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
	"sync"
)

// idRange is a contiguous range of user or group IDs on the host. IDs go up to 2^32, which is too
// much for an int on a 32-bit machine.
type idRange struct{ first, count int64 }

// idsPerContainer is how many IDs root gives a container unless /etc/subuid grants root more: all
// that a Linux distribution uses.
const idsPerContainer = 65536

// candidates returns the ranges in which root looks for IDs that no user or group of the host has,
// in this order. useradd hands out IDs up to 600,100,000 (login.defs(5)), systemd-nspawn up to
// 1,879,048,191 (systemd's UIDS-GIDS), directory services up to 2,000,200,000 (sssd-ldap(5)), and
// some programs read an ID from 2^31 on as a negative number. So the first range is free nearly
// everywhere, and stays free. The ones from 100,000 on are for user namespaces with fewer IDs.
func candidates() (all []idRange) {
	for _, first := range []int64{2_100_000_000, 700_000_000, 100_000} {
		for n := range int64(10) {
			all = append(all, idRange{first + n*100_000, idsPerContainer})
		}
	}
	return all
}

// pickRange returns the first candidate that exists in this user namespace (own), overlaps no taken
// range, and isn't known. If none exists here, it returns an empty range.
func pickRange(own, taken []idRange, known func(idRange) bool) (idRange, error) {
	var err error
	for _, r := range candidates() {
		if !slices.ContainsFunc(own, r.isWithin) {
			continue
		}
		if !slices.ContainsFunc(taken, r.overlaps) && !known(r) {
			return r, nil
		}
		err = fmt.Errorf("no %d contiguous IDs are free for a container: give root its own, by a "+
			"line root:FIRST:%[1]d in both /etc/subuid and /etc/subgid", idsPerContainer)
	}
	return idRange{}, err
}

// isWithin reports whether another range contains all of this one.
func (r idRange) isWithin(other idRange) bool {
	return other.first <= r.first && r.first+r.count <= other.first+other.count
}

// overlaps reports whether two ranges have an ID in common.
func (r idRange) overlaps(other idRange) bool {
	return other.first < r.first+r.count && r.first < other.first+other.count
}

// freeIDs chooses a range for root's containers, and asks the host only once.
var freeIDs = sync.OnceValues(func() (idRange, error) {
	own, err1 := ownIDs("uid")
	taken, err2 := takenIDs()
	if err := errors.Join(err1, err2); err != nil {
		return idRange{}, err
	}
	return pickRange(own, taken, isKnown)
})

// ownIDs returns the IDs that exist in this process's user namespace.
func ownIDs(kind string) (own []idRange, err error) {
	text, err := os.ReadFile("/proc/self/" + kind + "_map")
	for line := range strings.Lines(string(text)) {
		var r idRange
		var outside int64
		if _, err := fmt.Sscan(line, &r.first, &outside, &r.count); err != nil {
			return nil, fmt.Errorf("read %q in /proc/self/%s_map: %w", line, kind, err)
		}
		own = append(own, r)
	}
	return own, err
}

// takenIDs returns the IDs that the host's files give to users, groups and their containers.
func takenIDs() (taken []idRange, err error) {
	for _, kind := range []string{"uid", "gid"} {
		all, err := entries(kind)
		if err != nil {
			return nil, err
		}
		for _, e := range all {
			taken = append(taken, e.idRange)
		}
	}
	for _, file := range []string{"/etc/passwd", "/etc/group"} {
		text, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		for line := range strings.Lines(string(text)) {
			fields := strings.Split(line, ":") // name:password:ID:...
			if len(fields) < 3 {
				continue
			}
			if id, err := strconv.ParseInt(fields[2], 10, 64); err == nil {
				taken = append(taken, idRange{id, 1})
			}
		}
	}
	return taken, nil
}

// isKnown reports whether the first or the last ID of a range belongs to a user or group. Not all
// of them are in the host's files: getent(1) asks services such as LDAP too.
func isKnown(r idRange) bool {
	if !asksOthers() {
		return false // without the milliseconds that getent takes
	}
	first, last := fmt.Sprint(r.first), fmt.Sprint(r.first+r.count-1)
	// getent fails if it doesn't know one of them. Without getent, the files are all there is.
	users, _ := exec.Command("getent", "passwd", first, last).Output()
	groups, _ := exec.Command("getent", "group", first, last).Output()
	return len(users)+len(groups) > 0
}

// asksOthers reports whether the host looks up users or groups anywhere but in its files and in
// systemd (nsswitch.conf(5)). systemd's own IDs are all below the first candidate.
func asksOthers() bool {
	text, _ := os.ReadFile("/etc/nsswitch.conf") // without it, only the files count
	for line := range strings.Lines(string(text)) {
		database, services, _ := strings.Cut(line, ":")
		for _, service := range strings.Fields(services) {
			usual := []string{"files", "compat", "systemd"}
			if (database == "passwd" || database == "group") && !slices.Contains(usual, service) {
				return true
			}
		}
	}
	return false
}

// subordinateIDs returns the largest range that /etc/subuid or /etc/subgid grants the caller, or an
// empty one. A range that this user namespace doesn't have can't be given on.
func subordinateIDs(kind string) (most idRange, err error) {
	names := []string{strconv.Itoa(os.Getuid())}
	if u, err := account.LookupId(names[0]); err == nil {
		names = append(names, u.Username)
	}
	all, err1 := entries(kind)
	own, err2 := ownIDs(kind)
	for _, e := range all {
		if slices.Contains(names, e.owner) && e.count > most.count &&
			slices.ContainsFunc(own, e.isWithin) {
			most = e.idRange
		}
	}
	return most, errors.Join(err1, err2)
}

// entry is a line of /etc/subuid or /etc/subgid: an owner and the owner's IDs (subuid(5)).
type entry struct {
	owner string
	idRange
}

// entries reads /etc/subuid or /etc/subgid. Without that file, no user has subordinate IDs.
func entries(kind string) ([]entry, error) {
	text, err := os.ReadFile("/etc/sub" + kind)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var all []entry
	for line := range strings.Lines(string(text)) {
		e, fields := entry{}, strings.Split(strings.TrimSpace(line), ":")
		if len(fields) != 3 {
			continue // a comment or an empty line
		}
		var err1, err2 error
		e.owner = fields[0]
		e.first, err1 = strconv.ParseInt(fields[1], 10, 64)
		e.count, err2 = strconv.ParseInt(fields[2], 10, 64)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("read %q in /etc/sub%s: %w", line, kind, err)
		}
		all = append(all, e)
	}
	return all, nil
}
