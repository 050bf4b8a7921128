//go:build linux

// cgroup v2: one hierarchy (cgroups(7); Linux, Documentation/admin-guide/cgroup-v2.rst).

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// cgroup2 is the directory with the limits.
type cgroup2 struct{ limits string }

// inner returns the cgroup for the processes.
func (c cgroup2) inner() string { return c.limits + "/inner" }

// String returns the directory.
func (c cgroup2) String() string { return c.limits }

// create makes both cgroups.
func (c cgroup2) create() error {
	parent := filepath.Dir(c.limits)
	return exclusively(parent, func() error {
		if err := divide(parent); err != nil {
			return err
		}
		if err := mkdirCgroup(c.limits); err != nil {
			return err
		}
		if err := errors.Join(apply(c.settings()), enable(c.limits)); err != nil {
			return err
		}
		if err := mkdirCgroup(c.inner()); err != nil {
			return err
		}
		return apply(c.shown(c.inner()))
	})
}

// settings are the limits.
func (c cgroup2) settings() []setting {
	if noCPULimit(c) != "" {
		return c.shown(c.limits)
	}
	quota := strconv.Itoa(cpuLimit)
	if cpuLimit < 0 {
		quota = "max" // none; cgroup v1 says -1
	}
	cpu := setting{file: c.limits + "/cpu.max", value: fmt.Sprint(quota, " ", cpuPeriod)}
	return append(c.shown(c.limits), cpu)
}

// shown are the limits that the inner cgroup has too, for programs that want to know how much there
// is for them.
func (c cgroup2) shown(dir string) []setting {
	return []setting{
		{file: dir + "/memory.max", value: strconv.Itoa(memoryLimit)},
		{file: dir + "/memory.swap.max", value: "0", swap: true},
		// If memory runs out, the kernel kills the whole container, not just its largest process.
		{file: dir + "/memory.oom.group", value: "1"},
		{file: dir + "/pids.max", value: strconv.Itoa(pidsLimit)},
	}
}

// start starts a program that is born in the cgroup and is never outside it (CLONE_INTO_CGROUP of
// clone3(2), since Linux 5.7).
func (c cgroup2) start(cmd *exec.Cmd) error {
	dir, err := os.Open(c.inner())
	if err != nil {
		return err
	}
	defer dir.Close()
	cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(dir.Fd())
	return startOwned(cmd)
}

// counters says where the kernel counts.
func (c cgroup2) counters() counters {
	return counters{
		oomKills:  counter{c.limits + "/memory.events", "oom_kill"},
		peak:      counter{c.limits + "/memory.peak", ""}, // since Linux 5.19
		refused:   counter{c.inner() + "/pids.events", "max"},
		periods:   counter{c.limits + "/cpu.stat", "nr_periods"},
		throttled: counter{c.limits + "/cpu.stat", "nr_throttled"},
	}
}

// remove kills the cgroup's processes and removes it.
func (c cgroup2) remove() error {
	kill := func() error {
		err := writeFile(c.limits+"/cgroup.kill", "1") // since Linux 5.14
		if errors.Is(err, fs.ErrNotExist) {
			return killAll(c.inner())
		}
		return err
	}
	parent := filepath.Dir(c.limits)
	return errors.Join(removeCgroup(c.inner(), kill), removeCgroup(c.limits, kill),
		exclusively(parent, func() error { return stepBack(parent) }))
}

// delegation says how an ordinary user gets a cgroup. Only a running systemd can delegate one
// (sd_booted(3)).
func delegation() string {
	switch {
	case inContainer(), isRoot():
		return remedy()
	case exists("/run/systemd/system"):
		return "run it as root, or let systemd delegate a cgroup: " +
			"systemd-run --user --scope -p Delegate=yes go run ./" + step
	}
	return "run it as root, " + remedy() + ", or let root delegate a cgroup: scripts/delegate.sh"
}

// aside is where processes go that have to leave a cgroup, if there are any (see divide).
const aside = "outside"

// placeInTree returns the cgroup in which to make another. Root may take any, and takes the nearest
// one upwards that enables the controllers for its children already, so that nothing has to change.
// An ordinary user may take a cgroup that was delegated to them, if we are in it.
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
			if divisible(dir) {
				return dir, nil
			}
		}
		return tree.top, nil // making a cgroup there will fail, and say why
	}
	own := tree.own
	if filepath.Base(own) == aside {
		own = filepath.Dir(own)
	}
	// A user owns all cgroups below their service manager, but that manager runs them. Only those
	// that systemd-run has made for us are ours to divide.
	handedOver := !owns(filepath.Dir(own)) || strings.HasPrefix(filepath.Base(own), "run-")
	if !owns(own) || !handedOver {
		return "", fmt.Errorf("this process is in the cgroup %s, which isn't delegated to you (%s)",
			tree.own, delegation())
	}
	return own, nil
}

// divisible reports whether a cgroup can enable the controllers for its children: it has them, and
// it has no processes, which the kernel allows only in leaves. The root cgroup is exempt from that.
func divisible(dir string) bool {
	_, typed := os.Stat(dir + "/cgroup.type") // every cgroup but the root has one
	pids, err := os.ReadFile(dir + "/cgroup.procs")
	return len(unlisted(dir+"/cgroup.controllers", controllers)) == 0 &&
		(errors.Is(typed, fs.ErrNotExist) || err == nil && len(pids) == 0)
}

// divide enables the controllers for a cgroup's children. It makes the child "outside" too, which
// marks that it was us, so that stepBack can undo it.
func divide(dir string) error {
	if lists(dir+"/cgroup.subtree_control", enabled(dir)...) {
		return nil
	}
	if err := mkdirCgroup(dir + "/" + aside); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	err := enable(dir)
	// A cgroup that enables controllers for its children can't have processes of its own ("no
	// internal processes", cgroups(7)). So all of them, us included, move aside. Until the
	// controllers are on, more may come in.
	for tries := 0; errors.Is(err, unix.EBUSY) && tries < 100; tries++ {
		if err = moveAll(dir, dir+"/"+aside); err == nil {
			err = enable(dir)
		}
	}
	if err != nil {
		return errors.Join(err, stepBack(dir))
	}
	return nil
}

// stepBack undoes what divide did, once no other cgroup uses the controllers.
func stepBack(dir string) error {
	// Not filepath.Glob: it would take a backslash in the path, as systemd has it, for an escape.
	below, err := fs.Glob(os.DirFS(dir), "*/cgroup.procs")
	if err != nil || !exists(dir+"/"+aside) {
		return err
	}
	for _, file := range below {
		if usesControllers(filepath.Join(dir, filepath.Dir(file))) {
			return nil
		}
	}
	none := "-" + strings.Join(controllers, " -")
	if err := writeFile(dir+"/cgroup.subtree_control", none); err != nil {
		return err
	}
	return errors.Join(moveAll(dir+"/"+aside, dir), os.Remove(dir+"/"+aside))
}

// usesControllers reports whether a cgroup has a limit, enables the controllers for its children,
// or is delegated to another user, who may be about to.
func usesControllers(dir string) bool {
	for file, unused := range map[string]string{
		"cgroup.subtree_control": "",
		"memory.max":             "max", "pids.max": "max", "cpu.max": "max 100000",
	} {
		text, err := os.ReadFile(dir + "/" + file)
		if err == nil && strings.TrimSpace(string(text)) != unused {
			return true
		}
	}
	return !owns(dir)
}

// enable enables the controllers for the cgroups in dir.
func enable(dir string) error {
	return writeFile(dir+"/cgroup.subtree_control", "+"+strings.Join(enabled(dir), " +"))
}

// enabled lists the controllers to enable for the cgroups in dir. Those are all of them, but for
// one: systemd before version 252, as on Ubuntu 22.04, delegates no cpu to a user.
func enabled(dir string) []string {
	missing := unlisted(dir+"/cgroup.controllers", controllers)
	if slices.Equal(missing, []string{"cpu"}) {
		return []string{"memory", "pids"}
	}
	return controllers
}

// noCPULimit returns why a container has no limit on CPU time, or "" if it has one.
func noCPULimit(group cgroup) string {
	c, one := group.(cgroup2)
	if !one {
		return ""
	}
	dir := filepath.Dir(c.limits)
	if slices.Contains(enabled(dir), "cpu") {
		return ""
	}
	return fmt.Sprintf("%s has no controller cpu (systemd delegates it from version 252 on; %s)",
		dir, remedy())
}

// moveAll moves all processes of a cgroup to another one.
func moveAll(from, to string) error {
	for range 100 { // in the meantime they may have children
		pids, err := os.ReadFile(from + "/cgroup.procs")
		if err != nil || len(pids) == 0 {
			return err
		}
		for _, pid := range strings.Fields(string(pids)) {
			err := writeFile(to+"/cgroup.procs", pid)
			if err != nil && !errors.Is(err, unix.ESRCH) { // ESRCH: it has ended
				return fmt.Errorf("move process %s: %w", pid, err)
			}
		}
	}
	return fmt.Errorf("%s keeps getting new processes", from)
}

// exclusively does something with a cgroup while no other step or keeper does (flock(2)).
func exclusively(dir string, do func() error) error {
	file, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		return &os.PathError{Op: "flock", Path: dir, Err: err}
	}
	return do()
}

// owns reports whether a directory belongs to the caller.
func owns(dir string) bool {
	info, err := os.Stat(dir)
	return err == nil && int(info.Sys().(*syscall.Stat_t).Uid) == os.Geteuid()
}
