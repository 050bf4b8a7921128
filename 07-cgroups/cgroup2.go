//go:build linux

// Version 2: one tree (cgroups(7); Linux, Documentation/admin-guide/cgroup-v2.rst).

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// cgroup2 is the directory that has the limits.
type cgroup2 struct{ limits string }

// inner is the cgroup for the processes.
func (c cgroup2) inner() string { return c.limits + "/inner" }

// String is the directory.
func (c cgroup2) String() string { return c.limits }

// create makes both.
func (c cgroup2) create() error {
	if err := enable(filepath.Dir(c.limits)); err != nil {
		return err
	}
	if err := os.Mkdir(c.limits, 0o755); err != nil {
		return err
	}
	if err := apply(c.settings()); err != nil {
		return err
	}
	return os.Mkdir(c.inner(), 0o755)
}

// settings are the limits.
func (c cgroup2) settings() []setting {
	return []setting{
		{file: c.limits + "/memory.max", value: strconv.Itoa(memoryLimit)},
		{file: c.limits + "/memory.swap.max", value: "0", swap: true},
		// If memory runs out, all die together: half a container is of no use to anybody.
		{file: c.limits + "/memory.oom.group", value: "1"},
		{file: c.limits + "/pids.max", value: strconv.Itoa(pidsLimit)},
		{file: c.limits + "/cpu.max", value: fmt.Sprint(cpuLimit, " ", cpuPeriod)},
	}
}

// start starts a program, which is born in the cgroup: there is no moment in which it is outside
// (CLONE_INTO_CGROUP of clone3(2), from Linux 5.7 on).
func (c cgroup2) start(cmd *exec.Cmd) error {
	dir, err := os.Open(c.inner())
	if err != nil {
		return err
	}
	defer dir.Close()
	cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(dir.Fd())
	return cmd.Start()
}

// counters are the kernel's.
func (c cgroup2) counters() counters {
	return counters{
		oomKills:  counter{c.limits + "/memory.events", "oom_kill"},
		peak:      counter{c.limits + "/memory.peak", ""}, // since Linux 5.19
		refused:   counter{c.limits + "/pids.events", "max"},
		periods:   counter{c.limits + "/cpu.stat", "nr_periods"},
		throttled: counter{c.limits + "/cpu.stat", "nr_throttled"},
	}
}

// remove ends whoever is in it and takes it away.
func (c cgroup2) remove() error {
	kill := func() error {
		err := writeFile(c.limits+"/cgroup.kill", "1") // since Linux 5.14
		if errors.Is(err, fs.ErrNotExist) {
			return killAll(c.inner())
		}
		return err
	}
	return errors.Join(removeCgroup(c.inner(), kill), removeCgroup(c.limits, kill))
}

// delegation says how an ordinary user comes by a part of the tree.
const delegation = "as root it works, and systemd lends an ordinary user one: " +
	"systemd-run --user --scope -p Delegate=yes go run ./" + step

// aside is where processes go that have to leave a cgroup; see stepAside.
const aside = "outside"

// placeInTree returns the cgroup in which to make another. Root may take any. The one that has a
// use already for the controllers in those below it, and is nearest to our own, is the one in
// which least has to be changed. An ordinary user may take what was handed to him ("delegated"),
// if we are in it.
func placeInTree(tree cgroupTree) (string, error) {
	if owns(tree.top) {
		var up []string
		for dir := tree.own; strings.HasPrefix(dir, tree.top); dir = filepath.Dir(dir) {
			if lists(dir+"/cgroup.subtree_control", controllers...) {
				return dir, nil
			}
			up = append(up, dir)
		}
		for _, dir := range up {
			// None yet. The kernel lets us enable what the cgroup above has enabled, unless there
			// are processes right in it: it wants them in the leaves of the tree.
			if enable(dir) == nil {
				return dir, nil
			}
		}
		return tree.top, nil // which will say why it can't be
	}
	own := tree.own
	if filepath.Base(own) == aside {
		own = filepath.Dir(own)
	}
	// All below a user's service manager belongs to the user, and yet only this is for others to
	// use: what systemd-run has made for it.
	handedOver := !owns(filepath.Dir(own)) || strings.HasPrefix(filepath.Base(own), "run-")
	if !owns(own) || !handedOver {
		return "", fmt.Errorf("this process is in the cgroup %s: that isn't yours to divide (%s)",
			tree.own, delegation)
	}
	if lists(own+"/cgroup.subtree_control", controllers...) {
		return own, nil
	}
	return own, stepAside(own)
}

// owns reports whether a directory is the caller's.
func owns(dir string) bool {
	info, err := os.Stat(dir)
	return err == nil && int(info.Sys().(*syscall.Stat_t).Uid) == os.Geteuid()
}

// enable gives the cgroups in dir the controllers.
func enable(dir string) error {
	file := dir + "/cgroup.subtree_control"
	if lists(file, controllers...) {
		return nil
	}
	if missing := unlisted(dir+"/cgroup.controllers", controllers); len(missing) > 0 {
		return fmt.Errorf("%s has no controller %s", dir, strings.Join(missing, ", "))
	}
	return writeFile(file, "+"+strings.Join(controllers, " +"))
}

// stepAside moves the processes of a cgroup, us among them, into one below it, for a cgroup that
// divides its share has none itself ("no internal processes", cgroups(7)).
func stepAside(dir string) error {
	if err := os.Mkdir(dir+"/"+aside, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	for range 100 { // for they may have children meanwhile
		pids, err := os.ReadFile(dir + "/cgroup.procs")
		if err != nil || len(pids) == 0 {
			return err
		}
		for _, pid := range strings.Fields(string(pids)) {
			err := writeFile(dir+"/"+aside+"/cgroup.procs", pid)
			if err != nil && !errors.Is(err, unix.ESRCH) { // it has ended
				return fmt.Errorf("move process %s aside: %w", pid, err)
			}
		}
	}
	return fmt.Errorf("%s doesn't get empty", dir)
}
