//go:build linux

// Which ids are whose on this host: /etc/subuid and /etc/subgid.

package main

import (
	"errors"
	"fmt"
	"os"
	account "os/user"
	"slices"
	"strconv"
	"strings"
)

// idRange is some ids in a row: users or groups, by their numbers on the host.
type idRange struct{ first, count int }

// enough is how many ids root gives a container: all those that a Linux distribution uses.
const enough = 65536

// choose returns the ids set aside for root, if they are enough, or else the first ones from 100000
// on, where such ids begin, that are set aside for nobody (subuid(5)).
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
