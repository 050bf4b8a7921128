//go:build linux

// Which user the command runs as, and where: what the image's own files say about a user.

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// process is what PID 1 is to run.
func (s *spec) process() (process, error) {
	p := process{args: s.Args, env: s.Env, terminal: s.TTY}
	uid, gid, home, groups, err := lookUp(s.User)
	if err != nil {
		return p, fmt.Errorf("user %q: %w", s.User, err)
	}
	if !slices.ContainsFunc(p.env, func(v string) bool { return strings.HasPrefix(v, "HOME=") }) {
		p.env = append(p.env, "HOME="+home)
	}
	if s.User != "" {
		if p.user, err = asUser(uid, gid, groups); err != nil {
			return p, err
		}
	}
	return p, nil
}

// enterDir changes to the command's working directory, which the command inherits. Like Docker, it
// first makes that directory and those that the image declares as VOLUMEs.
func (s *spec) enterDir() error {
	for _, dir := range s.Dirs {
		place, err := openInRoot(dir, unix.S_IFDIR)
		if err == nil {
			place.Close()
		} else if !errors.Is(err, unix.EROFS) { // of a root without overlay, or of /sys
			return fmt.Errorf("the image's VOLUME: %w", err)
		}
	}
	place, err := openInRoot(s.Dir, unix.S_IFDIR)
	if err == nil {
		err = errors.Join(place.Chdir(), place.Close())
	}
	if err != nil {
		return fmt.Errorf("working directory: %w", err)
	}
	return nil
}

// uid is the user that the process runs as.
func (p process) uid() int {
	if p.user == nil {
		return 0
	}
	return int(p.user.Uid)
}

// lookUp finds a user in the container's /etc/passwd, and the groups in /etc/group (passwd(5),
// group(5)). Text is what docker takes, too: a name or a number, perhaps ":", and the same for a
// group. A number is always an ID, even if an image has a user of that name (CVE-2016-3697 in
// runc), and needs no entry.
func lookUp(text string) (uid, gid uint32, home string, groups []uint32, err error) {
	name, group, _ := strings.Cut(text, ":")
	if name == "" {
		name = "0"
	}
	users, err1 := readTable("/etc/passwd", "", "", "0", "0", "", "/", "")
	all, err2 := readTable("/etc/group", "", "", "0", "")
	if err := errors.Join(err1, err2); err != nil {
		return 0, 0, "", nil, err
	}
	home = "/"
	uid, err = readID(name)
	field := 2
	if errors.Is(err, strconv.ErrSyntax) { // and not because it is too large
		field = 0
	}
	known := slices.IndexFunc(users, func(u []string) bool { return u[field] == name })
	switch {
	case known >= 0:
		u, err1 := readID(users[known][2])
		g, err2 := readID(users[known][3])
		if err = errors.Join(err1, err2); err != nil {
			return 0, 0, "", nil, err
		}
		uid, gid, name, home = u, g, users[known][0], users[known][5]
	case err != nil:
		return 0, 0, "", nil, errors.New("the container's /etc/passwd has no such name")
	default:
		name = "" // and so it isn't in any group's list
	}
	if group == "" {
		for _, g := range all {
			if name != "" && slices.Contains(strings.Split(g[3], ","), name) {
				id, err := readID(g[2])
				if err != nil {
					return 0, 0, "", nil, err
				}
				groups = append(groups, id)
			}
		}
		return uid, gid, home, groups, nil
	}
	if gid, err = readID(group); !errors.Is(err, strconv.ErrSyntax) {
		return uid, gid, home, nil, err
	}
	known = slices.IndexFunc(all, func(g []string) bool { return g[0] == group })
	if known >= 0 {
		gid, err = readID(all[known][2])
	} else {
		err = fmt.Errorf("the container's /etc/group has no %s", group)
	}
	return uid, gid, home, nil, err
}

// readTable reads a file of lines with colons between their fields. Fields that are missing or
// empty have a default: images have such lines, and docker (github.com/moby/sys/user) takes them.
// Without the file there are no lines.
func readTable(file string, defaults ...string) (table [][]string, err error) {
	place, err := openInRoot(file, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer place.Close()
	// A FIFO there would keep -exec waiting for ever, and all others with it.
	if kind, err := kindOf(int(place.Fd())); err != nil || kind != unix.S_IFREG {
		return nil, errors.Join(fmt.Errorf("%s isn't a file", file), err)
	}
	text, err := os.ReadFile(fmt.Sprint("/proc/self/fd/", place.Fd()))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		entry := slices.Clone(defaults)
		for i, field := range strings.Split(line, ":") {
			if i < len(entry) && field != "" {
				entry[i] = field
			}
		}
		table = append(table, entry)
	}
	return table, nil
}

// readID reads an id.
func readID(text string) (uint32, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	return uint32(n), err
}
