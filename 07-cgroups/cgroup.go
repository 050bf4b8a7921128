//go:build linux

// The container's cgroup: what it may use up, and what the kernel counts (cgroups(7)).

package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// What a container may use up.
const (
	memoryLimit = 64 << 20 // bytes of memory, and no swap beside it
	pidsLimit   = 50       // processes, and each of their threads counts
	cpuLimit    = 20_000   // microseconds of CPU time in each period
	cpuPeriod   = 100_000  // microseconds; the kernel's own default
)

// cgroup is a group of processes with limits. The kernel has two interfaces for it: version 2,
// which systems have had since about 2021, is one tree for all controllers; in version 1 each
// controller has a tree of its own.
//
// In both, it is a directory that has the limits, and another one in it, "inner", for the
// processes. That is all of the tree that they will see. So the limits are out of reach even where
// the files belong to the user who is root inside.
type cgroup interface {
	create() error             // makes it, with its limits
	start(cmd *exec.Cmd) error // starts a program in it
	settings() []setting       // the limits, by their files
	counters() counters        // what the kernel counts
	remove() error             // ends whoever is in it, and takes it away
	String() string            // its directories, with tabs between them
}

// controllers are the parts of the kernel that the limits are for.
var controllers = []string{"memory", "pids", "cpu"}

// setting is a control file and what is written to it.
type setting struct {
	file, value string
	swap        bool // only for machines that have swap
	optional    bool // not every kernel has it
}

// counters are the numbers that prove a limit.
type counters struct {
	oomKills  counter // processes killed for want of memory
	peak      counter // the most memory that was in use, in bytes
	refused   counter // attempts to make one process too many
	periods   counter // periods in which there was something to run
	throttled counter // … and in which it had to stop
}

// counter is a number in a file: the one behind a word, or the only one.
type counter struct{ file, key string }

// inCgroup makes a cgroup, does something with it, and takes it away.
func inCgroup(do func(group cgroup) error) error {
	group, release, err := newCgroup()
	if err != nil {
		return err
	}
	return cleanUp(do(group), release)
}

// newCgroup makes a cgroup for a container, and returns what removes it. The keeper sees to it
// that it is removed.
func newCgroup() (group cgroup, release func() error, err error) {
	trees, err := cgroupTrees()
	if err != nil {
		return nil, nil, err
	}
	group, err = choosePlace(trees, step+"-"+strings.ToLower(rand.Text()[:8]))
	if err != nil {
		return nil, nil, err
	}
	if err := keep("cgroup", group.String()); err != nil {
		return nil, nil, err
	}
	release = func() error { return undoNow(group.remove) }
	if err := group.create(); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%w%s", err, whyRefused(err, group)), release())
	}
	return group, release, nil
}

// undoCgroup is for the keeper. It knows a cgroup by its String.
func undoCgroup(which string) error {
	if dirs := strings.Split(which, "\t"); len(dirs) == 3 {
		return cgroup1{dirs[0], dirs[1], dirs[2]}.remove()
	}
	return cgroup2{which}.remove()
}

// choosePlace says where a cgroup by that name is to be, and by which interface. On a host that has
// both, a controller belongs to one of them.
func choosePlace(trees map[string]cgroupTree, name string) (cgroup, error) {
	if tree, ok := trees[""]; ok && lists(tree.top+"/cgroup.controllers", controllers...) {
		parent, err := placeInTree(tree)
		return cgroup2{parent + "/" + name}, err
	}
	var dirs [3]string
	for i, controller := range controllers {
		tree, ok := trees[controller]
		if !ok {
			return nil, fmt.Errorf("no cgroup can limit %s here: no tree under /sys/fs/cgroup has "+
				"that controller (is it switched off on the kernel's command line?)", controller)
		}
		dirs[i] = tree.own + "/" + name
	}
	return cgroup1{dirs[0], dirs[1], dirs[2]}, nil
}

// mkdirCgroup makes a cgroup that every user can look into, whatever the caller's umask. The
// container's root is another user of the host, and reads its own limits there.
func mkdirCgroup(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	return os.Chmod(dir, 0o755)
}

// apply writes settings to their files.
func apply(settings []setting) error {
	for _, s := range settings {
		err := writeFile(s.file, s.value)
		if errors.Is(err, fs.ErrNotExist) && (s.optional || s.swap && !machineSwaps()) {
			continue // and so nothing needs to be forbidden
		}
		if err != nil {
			return fmt.Errorf("set a limit of %s: %w", s.value, err)
		}
	}
	return nil
}

// whyRefused is the likely cause of an error with a file of a tree, and its mend.
func whyRefused(err error, group cgroup) string {
	_, one := group.(cgroup2)
	switch {
	case errors.Is(err, fs.ErrPermission) && one:
		return " (that part of the tree isn't yours; " + delegation() + ")"
	case errors.Is(err, fs.ErrPermission) && (inContainer() || isRoot()):
		return " (" + remedy() + ")"
	case errors.Is(err, fs.ErrPermission):
		return " (in version 1 only root divides the tree: " + remedy() +
			", or lends a part of it: scripts/delegate.sh)"
	case errors.Is(err, unix.EROFS):
		return " (read-only, as in most containers: run this on the host)"
	case errors.Is(err, fs.ErrNotExist):
		return " (a controller isn't enabled in the cgroup above: see its cgroup.subtree_control)"
	}
	return ""
}

// machineSwaps reports whether there is swap on this machine.
func machineSwaps() bool {
	table, err := os.ReadFile("/proc/swaps") // one line of headings, and one for each
	return err != nil || strings.Count(string(table), "\n") > 1
}

// read returns the number. That a kernel doesn't keep it yet is fs.ErrNotExist.
func (c counter) read() (int, error) {
	text, err := os.ReadFile(c.file)
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text))
	for i := range fields {
		if c.key == "" {
			return strconv.Atoi(fields[i])
		}
		if fields[i] == c.key && i+1 < len(fields) {
			return strconv.Atoi(fields[i+1])
		}
	}
	return 0, fmt.Errorf("%s: no %s in it: %w", c.file, c.key, fs.ErrNotExist)
}

// warnOfOOM tells the reader what a status of 137 doesn't: that it was the limit.
func warnOfOOM(group cgroup) {
	counter := group.counters().oomKills
	if kills, err := counter.read(); err == nil && kills > 0 {
		fmt.Fprintf(os.Stderr, "%s: killed by the kernel, for more than %d MiB of memory "+
			"(%s: %s %d)\n", step, memoryLimit>>20, counter.file, counter.key, kills)
	}
}

// removeCgroup removes a cgroup's directory. While a process is in it, it is busy, and a process
// that has been killed takes a moment to be gone.
func removeCgroup(dir string, kill func() error) error {
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		err := os.Remove(dir)
		if err == nil || !exists(dir) { // a read-only tree says that first
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return err
		}
		if err := kill(); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
}

// killAll sends SIGKILL to each process in a cgroup.
func killAll(dir string) error {
	pids, err := os.ReadFile(dir + "/cgroup.procs")
	if err != nil {
		return err
	}
	for _, field := range strings.Fields(string(pids)) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			return err
		}
		if pid == os.Getpid() { // a thread of ours couldn't leave it
			return fmt.Errorf("kill all in %s: %w", dir, errInside)
		}
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && err != unix.ESRCH {
			return fmt.Errorf("kill %d, in %s: %w", pid, dir, err)
		}
	}
	return nil
}
