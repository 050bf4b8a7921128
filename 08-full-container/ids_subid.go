//go:build linux

// Which ids are whose on this host: /etc/subuid and /etc/subgid.

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

// idRange is some ids in a row: users or groups, by their numbers on the host. They go up to 2^32,
// for which int is too small on a 32-bit machine.
type idRange struct{ first, count int64 }

// enough is how many IDs root gives a container where /etc/subuid doesn't give it more: all those
// that a Linux distribution uses.
const enough = 65536

// candidates is where root looks for IDs that no user or group of the host has, in this order.
// useradd hands out IDs up to 600,100,000 (login.defs(5)), systemd-nspawn up to 1,879,048,191
// (systemd's UIDS-GIDS), directory services up to 2,000,200,000 (sssd-ldap(5)), and from 2^31 on
// some programs take an ID for a negative number. So the first is free nearly everywhere, and stays
// so. The others down to 100,000 are for user namespaces that have no more than that.
func candidates() (all []idRange) {
	for _, first := range []int64{2_100_000_000, 700_000_000, 100_000} {
		for n := range int64(10) {
			all = append(all, idRange{first + n*100_000, enough})
		}
	}
	return all
}

// choose returns the first candidate that lies in this process's own IDs, overlaps no range that is
// taken, and isn't known. If it has none of them, it returns none.
func choose(own, taken []idRange, known func(idRange) bool) (idRange, error) {
	var err error
	for _, r := range candidates() {
		if !slices.ContainsFunc(own, r.isWithin) {
			continue
		}
		if !slices.ContainsFunc(taken, r.overlaps) && !known(r) {
			return r, nil
		}
		err = fmt.Errorf("no %d IDs in a row are free for a container: give root its own, by a "+
			"line root:FIRST:%[1]d in both /etc/subuid and /etc/subgid", enough)
	}
	return idRange{}, err
}

// isWithin reports whether all IDs of a range are in another one.
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
	return choose(own, taken, isKnown)
})

// ownIDs returns the IDs that this process's user namespace has.
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

// takenIDs returns the IDs of users, groups and their containers, as the host's files have them.
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

// isKnown reports whether the first or the last ID of a range is a user's or a group's. The files
// don't have all of those: getent(1) asks services such as LDAP as well, and prints what they know.
func isKnown(r idRange) bool {
	if !asksOthers() {
		return false // and no millisecond is lost
	}
	first, last := fmt.Sprint(r.first), fmt.Sprint(r.first+r.count-1)
	// It fails if one of them isn't known. Without getent, the files are all there is.
	users, _ := exec.Command("getent", "passwd", first, last).Output()
	groups, _ := exec.Command("getent", "group", first, last).Output()
	return len(users)+len(groups) > 0
}

// asksOthers reports whether the host asks more for users or groups than its files and systemd,
// whose own IDs are below the first candidate (nsswitch.conf(5)).
func asksOthers() bool {
	text, _ := os.ReadFile("/etc/nsswitch.conf") // without it, there are the files
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

// setAside returns the IDs that the system has set aside for the caller, if any: of several ranges,
// the largest.
func setAside(kind string) (most idRange, err error) {
	names := []string{strconv.Itoa(os.Getuid())}
	if u, err := account.LookupId(names[0]); err == nil {
		names = append(names, u.Username)
	}
	all, err := entries(kind)
	for _, e := range all {
		if slices.Contains(names, e.owner) && e.count > most.count {
			most = e.idRange
		}
	}
	return most, err
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
		e.first, err1 = strconv.ParseInt(fields[1], 10, 64)
		e.count, err2 = strconv.ParseInt(fields[2], 10, 64)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("read %q in /etc/sub%s: %w", line, kind, err)
		}
		all = append(all, e)
	}
	return all, nil
}
