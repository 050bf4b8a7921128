//go:build linux

// The container's cgroup: its limits, and what the kernel counts (cgroups(7)).

package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
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

// cgroup is a group of processes with limits. The kernel has two interfaces for it: cgroup v2, the
// default since about 2021, has one hierarchy for all controllers; in v1 each controller has a
// hierarchy of its own.
//
// In both we make a directory with the limits, and in it another one, "inner", for the processes.
// The hierarchy that the processes see starts at inner, so they can't reach the limits, not even if
// the files belong to the user who is root inside.
type cgroup interface {
	create() error             // makes the cgroup, with its limits
	start(cmd *exec.Cmd) error // starts a program in it
	settings() []setting       // its limits, as control files
	counters() counters        // where the kernel counts
	remove() error             // kills its processes and removes it
	String() string            // its directories, separated by tabs
}

// controllers are the parts of the kernel that the limits are for.
var controllers = []string{"memory", "pids", "cpu"}

// setting is a control file and what to write to it.
type setting struct {
	file, value string
	swap        bool // only for machines that have swap
	optional    bool // not every kernel has that file
}

// counters are the kernel's numbers that prove a limit.
type counters struct {
	oomKills  counter // processes killed because memory ran out
	peak      counter // the most memory ever in use, in bytes
	refused   counter // how often fork or clone hit the limit of processes
	periods   counter // CPU periods in which the cgroup wanted to run
	throttled counter // … and in which the kernel stopped it
}

// counter is a number in a file: the one after the word key, or the only one.
type counter struct{ file, key string }

// unlimited stands in for a cgroup where none can be made. All that a container does with its
// cgroup is to start in it.
type unlimited struct{ cgroup }

// start starts a program in its caller's cgroup.
func (unlimited) start(cmd *exec.Cmd) error { return startOwned(cmd) }

// inCgroup makes a cgroup, does something with it, and removes it.
func inCgroup(do func(group cgroup) error) error {
	group, release, err := newCgroup()
	if err != nil {
		return err
	}
	return cleanUp(do(group), release)
}

// newCgroup makes a cgroup for a container and returns a function that removes it. If this process
// is killed, the keeper removes it.
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

// undoCgroup is for the keeper, which knows a cgroup by its String.
func undoCgroup(which string) error {
	if dirs := strings.Split(which, "\t"); len(dirs) == 3 {
		return cgroup1{dirs[0], dirs[1], dirs[2]}.remove()
	}
	return cgroup2{which}.remove()
}

// choosePlace says where to make a cgroup of that name, and through which interface. A host can
// have both mounted, but each controller belongs to only one.
func choosePlace(trees map[string]cgroupTree, name string) (cgroup, error) {
	missing := unlisted(trees[""].top+"/cgroup.controllers", controllers)
	switch len(missing) {
	case 0:
		parent, err := placeInTree(trees[""])
		return cgroup2{parent + "/" + name}, err
	case len(controllers): // cgroup v2 has none of them
		missing = slices.DeleteFunc(missing, func(name string) bool {
			_, ok := trees[name]
			return ok
		})
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("no cgroup can limit %s here: no hierarchy under /sys/fs/cgroup "+
			"has that controller (is it mounted? does the kernel's command line turn it off?)",
			strings.Join(missing, ", "))
	}
	dir := func(controller string) string { return trees[controller].own + "/" + name }
	return cgroup1{dir("memory"), dir("pids"), dir("cpu")}, nil
}

// mkdirCgroup makes a cgroup that every user can look into, whatever the caller's umask. The
// container's root is another user of the host and has to read its own limits.
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
			continue // the kernel doesn't have what this would limit
		}
		if err != nil {
			return fmt.Errorf("set a limit of %s: %w", s.value, err)
		}
	}
	return nil
}

// whyRefused returns the likely cause of an error with a control file, and how to fix it.
func whyRefused(err error, group cgroup) string {
	_, one := group.(cgroup2)
	switch {
	case errors.Is(err, fs.ErrPermission) && one:
		return " (that cgroup isn't delegated to you: " + delegation() + ")"
	case errors.Is(err, fs.ErrPermission) && (inContainer() || isRoot()):
		return " (" + remedy() + ")"
	case errors.Is(err, fs.ErrPermission):
		return " (with cgroup v1 only root can make cgroups: " + remedy() +
			", or root delegates one: scripts/delegate.sh)"
	case errors.Is(err, unix.EINVAL) && !one:
		return " (with cgroup v1 a limit can't exceed that of the cgroup above)"
	case errors.Is(err, unix.EROFS) && !inContainer(): // else hint says so
		return " (read-only, as in most containers: run this on the host)"
	case errors.Is(err, fs.ErrNotExist):
		return " (the parent cgroup doesn't enable that controller: see its cgroup.subtree_control)"
	}
	return ""
}

// machineSwaps reports whether this machine has swap.
func machineSwaps() bool {
	table, err := os.ReadFile("/proc/swaps") // a line of headings, and one for each swap area
	return err != nil || strings.Count(string(table), "\n") > 1
}

// read returns the number. An older kernel may not count it: that is fs.ErrNotExist.
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

// warnOfNoCPULimit tells the reader which limit is missing.
func warnOfNoCPULimit(group cgroup) {
	if reason := noCPULimit(group); reason != "" && cpuLimit >= 0 {
		fmt.Fprintf(os.Stderr, "%s: there is no CPU limit: %s\n", step, reason)
	}
}

// warnOfOOM tells the reader what an exit status of 137 doesn't: that the limit was the reason.
func warnOfOOM(group cgroup) {
	counter := group.counters().oomKills
	if kills, err := counter.read(); err == nil && kills > 0 {
		fmt.Fprintf(os.Stderr, "%s: killed by the kernel, for more than %d MiB of memory, "+
			"written files included (%s: %s %d)\n",
			step, memoryLimit>>20, counter.file, counter.key, kills)
	}
}

// removeCgroup removes a cgroup's directory. While a process is in it, rmdir(2) fails with EBUSY,
// and a killed process takes a moment to be gone.
func removeCgroup(dir string, kill func() error) error {
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		err := os.Remove(dir)
		if err == nil || !exists(dir) { // a read-only mount says EROFS even then
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
		if pid == os.Getpid() { // one of our threads couldn't leave the cgroup
			return fmt.Errorf("kill all in %s: %w", dir, errInside)
		}
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && err != unix.ESRCH {
			return fmt.Errorf("kill %d, in %s: %w", pid, dir, err)
		}
	}
	return nil
}
