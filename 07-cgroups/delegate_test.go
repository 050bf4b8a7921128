//go:build linux

// An ordinary user's part of the tree of cgroups. Where the tests run as root, root hands one out,
// as systemd does ("delegation", cgroups(7)), and each program of that user begins in it.

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
	"jail-to-container/scripts/steptest"
)

// delegated holds, for each user, the directories that have been handed out.
var delegated = map[int][]string{}

// delegating is held by whoever reads or changes that.
var delegating sync.Mutex

// delegatedDirs makes the cgroups that are a user's, once, and returns their directories.
func delegatedDirs(u user) (dirs []string, err error) {
	delegating.Lock()
	defer delegating.Unlock()
	if delegated[u.uid] != nil {
		return delegated[u.uid], nil
	}
	defer func() { delegated[u.uid] = dirs }()
	trees, err := cgroupTrees()
	if err != nil {
		return nil, err
	}
	group, err := choosePlace(trees, fmt.Sprint(step, "-delegated-", u.uid, "-", os.Getpid()))
	if err != nil {
		return nil, err
	}
	for dir := range strings.SplitSeq(group.String(), "\t") {
		// It is there already if a test run that had our PID was killed before it took it back.
		err := divided(filepath.Dir(dir), func() error { return os.Mkdir(dir, 0o755) })
		if err != nil && !errors.Is(err, os.ErrExist) {
			return dirs, err
		}
		dirs = append(dirs, dir)
		// What is the user's: the directory, and the files that move processes and controllers
		// about, if there are any. The limits aren't.
		for _, file := range []string{"", "cgroup.procs", "cgroup.threads", "tasks",
			"cgroup.subtree_control"} {
			err := os.Chown(filepath.Join(dir, file), u.uid, u.gid())
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				return dirs, err
			}
		}
	}
	return dirs, nil
}

// divided does something in a cgroup that hands the controllers on, as each does in version 1.
func divided(dir string, do func() error) error {
	if !exists(dir + "/cgroup.controllers") {
		return do()
	}
	return exclusively(dir, func() error {
		if err := divide(dir); err != nil {
			return err
		}
		return do()
	})
}

// init has an ordinary user's programs begin in cgroups of that user's.
func init() {
	ready = func(t *testing.T, u user) {
		if r := finish(t, program(u, "test:cgroup")); r.status != 0 {
			steptest.Skip(t, "this user has no cgroup to divide: %s", delegation())
		}
	}
	lend = func(u user, cmd *exec.Cmd) {
		if u.uid == os.Getuid() {
			return // this one has them, or has not
		}
		dirs, err := delegatedDirs(u)
		if err != nil {
			return // the program will miss them, and say so
		}
		join := []string{step, "test:join", strings.Join(dirs, "\t"), strconv.Itoa(u.uid),
			strconv.Itoa(u.gid())}
		cmd.Args = append(join, cmd.Args[1:]...)
		cmd.SysProcAttr.Credential = nil
	}
	// The keepers of programs that were killed may be at it still, and the ordinary user's tree has
	// cgroups for those who step aside.
	takeBack = func() {
		for _, dirs := range delegated {
			for _, dir := range dirs {
				parent := filepath.Dir(dir)
				err := errors.Join(
					removeCgroup(filepath.Join(dir, aside), func() error { return nil }),
					removeCgroup(dir, func() error { return nil }),
					exclusively(parent, func() error { return stepBack(parent) }))
				if err != nil {
					fmt.Fprintln(os.Stderr, "take an ordinary user's cgroups back:", err)
				}
			}
		}
	}
	// test:cgroup makes a cgroup and takes it away again.
	experiments["test:cgroup"] = func([]string) error {
		return inCgroup(func(cgroup) error { return nil })
	}
	// test:join moves this process into cgroups, makes it another user's, and becomes the program.
	experiments["test:join"] = func(args []string) error {
		for dir := range strings.SplitSeq(args[0], "\t") {
			join(dir)
		}
		uid, err1 := strconv.Atoi(args[1])
		gid, err2 := strconv.Atoi(args[2])
		err := errors.Join(err1, err2)
		if err == nil && uid != os.Getuid() {
			err = errors.Join(unix.Setgroups(nil), unix.Setgid(gid), unix.Setuid(uid))
		}
		if err != nil {
			return err
		}
		return unix.Exec("/proc/self/exe", append([]string{step}, args[3:]...), os.Environ())
	}
}

// join moves this process into a cgroup. If others in there have stepped aside, and divided it,
// they have left no room but where they are (see divide). In a user namespace it may be refused:
// then the program will miss it, and say so.
func join(dir string) {
	for range 200 {
		for _, place := range []string{dir, filepath.Join(dir, aside)} {
			if writeFile(place+"/cgroup.procs", strconv.Itoa(os.Getpid())) == nil {
				return
			}
		}
		if !exists(filepath.Join(dir, aside)) {
			return
		}
	}
}
