//go:build linux

// The lesson of 07: limits on memory, processes and CPU time, and whether the container can lift
// them.

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// experiments are the programs that the lesson runs inside, and some of them also outside, to
// compare. Each prints what it measured. Keepers aren't experiments, but start in the same way.
var experiments = map[string]func([]string) error{
	"keep:pasta":       keepPasta,
	"keeper:undo":      undo,
	"lesson:unlimited": runUnlimited,
	"lesson:touch":     touch,
	"lesson:fork":      forkMany,
	"lesson:busy":      beBusy,
	"lesson:find":      findCgroup,
	"lesson:lift":      liftLimit,
	"lesson:try":       tryAll,
}

// undoings are the kinds of things that the keeper can undo.
var undoings = map[string]func(which string) error{"cgroup": undoCgroup, "nat": removeNAT}

// lesson hits each limit, with the kernel's own counters as the witness.
func lesson(n *narrator) error {
	if os.Args[0] != role(standIn) { // playHost has printed that line already
		say("host", "process %d, uid %d", os.Getpid(), os.Getuid())
	}
	trees, err := cgroupTrees()
	if err != nil {
		return err
	}
	if lists(trees[""].top+"/cgroup.controllers", controllers...) {
		say("host", "cgroup v2: one hierarchy, %s", trees[""].top)
	} else {
		say("host", "cgroup v1: a hierarchy for each controller, as %s", trees["memory"].top)
	}
	refusal, err := tryCgroup()
	if err != nil {
		return err
	}
	parts := []func(*narrator) error{readLimits, hitLimits, lookOutside, whatLeaks}
	if refusal != "" {
		sayLong("host", "I can't make a cgroup: "+refusal, "")
		say("host", "so this lesson's containers have no limits")
		noLimits = []string{"lesson:unlimited"}
		parts = []func(*narrator) error{hitLimits, whatLeaks}
	}
	for _, part := range parts {
		if err := part(n); err != nil {
			return err
		}
	}
	return nil
}

// noLimits are arguments for the lesson's containers where no cgroup can be made, otherwise none.
var noLimits []string

// within prepares an experiment to be run in a container, as a reader would run any command.
func within(args ...string) *exec.Cmd {
	return self(slices.Concat(noLimits, []string{"/proc/self/exe"}, args)...)
}

// runUnlimited runs an experiment in a container without limits.
func runUnlimited(args []string) error { return host(unlimited{}, args, os.Stdout) }

// sayLong prints a fact on as many lines as it needs. Each but the last ends in end.
func sayLong(who, text, end string) {
	for most := width - margin; len(text) > most; {
		blank := strings.LastIndex(text[:most-len(end)+1], " ")
		if blank < most/2 { // a long word follows: say cuts that
			if blank = most + strings.Index(text[most:], " "); blank < most {
				break
			}
		}
		say(who, "%s", text[:blank]+end)
		text = "  " + text[blank+1:]
	}
	say(who, "%s", text)
}

// tryCgroup makes a cgroup and removes it. If the kernel refuses, it returns the reason.
func tryCgroup() (refusal string, err error) {
	_, release, err := newCgroup()
	if err != nil {
		return err.Error(), nil
	}
	return "", release()
}

// readLimits makes a cgroup and reads back its limits.
func readLimits(n *narrator) error {
	n.part("A cgroup is a directory, a limit is a file in it")
	return inCgroup(func(group cgroup) error {
		for dir := range strings.SplitSeq(group.String(), "\t") {
			say("host", "mkdir %s", dir)
		}
		for _, s := range group.settings() {
			value, err := os.ReadFile(s.file)
			if (s.swap || s.optional) && errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			say("host", "%s: %s", filepath.Base(s.file), strings.TrimSpace(string(value)))
		}
		if reason := noCPULimit(group); reason != "" {
			sayLong("host", "there is no CPU limit: "+reason, "")
		}
		return nil
	})
}

// hitLimits uses more than each limit allows, outside and inside. The first row, which stays within
// the limit, is the control.
func hitLimits(n *narrator) error {
	n.part("What happens at each limit?")
	memory := func(c counters) string {
		text := c.oomKills.show()
		if peak, err := c.peak.read(); err == nil {
			text += fmt.Sprintf(", peak %d MiB", peak>>20)
		}
		return text
	}
	rows := [][]string{{"limit", "tried", "host", inside, "kernel's counter", ""}}
	for _, a := range []struct {
		limit, tried string
		args         []string
		rule         rule
		counted      func(counters) string
	}{
		{mib(memoryLimit), "use " + mib(memoryLimit/2),
			[]string{"lesson:touch", strconv.Itoa(memoryLimit / 2)}, nil, memory},
		{mib(memoryLimit), "use " + mib(4*memoryLimit),
			[]string{"lesson:touch", strconv.Itoa(4 * memoryLimit)}, reaches("done"), memory},
		{fmt.Sprint(pidsLimit, " tasks"), fmt.Sprint("start ", 2*pidsLimit),
			[]string{"lesson:fork", strconv.Itoa(2 * pidsLimit)}, reaches("done"),
			func(c counters) string { return c.refused.show() }},
	} {
		host, err := ask(self(a.args...))
		if err != nil {
			return err
		}
		inside, counted, err := limited(a.counted, a.args...)
		if err != nil {
			return err
		}
		e := experiment{a.tried, host, inside, a.rule, atLimit()}
		rows = append(rows,
			[]string{a.limit, a.tried, e.host, e.inside, counted, string(n.judge(e))})
	}
	e, counted, err := useCPU()
	if err != nil {
		return err
	}
	limit := fmt.Sprint(100*cpuLimit/cpuPeriod, " % CPU")
	columns(append(rows, []string{limit, e.what, e.host, e.inside, counted, string(n.judge(e))}))
	return nil
}

// limited runs an experiment in a container with limits, where it can have some, and returns its
// answer and what the kernel has counted.
func limited(count func(counters) string, args ...string) (answer, counted string, err error) {
	if noLimits != nil {
		answer, err = ask(within(args...))
		return answer, "no cgroup", err
	}
	err = inCgroup(func(group cgroup) (err error) {
		answer, err = runIn(group, args...)
		counted = count(group.counters())
		return err
	})
	return answer, counted, err
}

// atLimit is the verdict to expect.
func atLimit() verdict {
	if noLimits != nil {
		return leak
	}
	return held
}

// useCPU runs a loop outside and inside. How much CPU time it gets also depends on other programs,
// so that proves nothing. What counts is whether the kernel's own counter says that it was stopped.
func useCPU() (e experiment, counted string, err error) {
	e = experiment{what: "busy for 1 s", rule: isStopped, expect: atLimit()}
	trees, err := cgroupTrees()
	if err != nil {
		return e, "", err
	}
	tree, ok := trees["cpu"]
	if !ok {
		tree = trees[""]
	}
	mine := counter{tree.own + "/cpu.stat", "nr_throttled"} // the topmost cgroup of v2 has none
	before, _ := mine.read()
	if e.host, err = ask(self("lesson:busy")); err != nil {
		return e, "", err
	}
	if after, _ := mine.read(); after > before {
		e.host += stopped
	}
	suffix := ""
	e.inside, counted, err = limited(func(seen counters) string {
		if throttled, _ := seen.throttled.read(); throttled > 0 {
			suffix = stopped
		}
		periods, err := seen.periods.read()
		if errors.Is(err, fs.ErrNotExist) { // there is no controller cpu
			e.expect = leak
			return "no CPU limit"
		}
		return fmt.Sprintf("%s of %d", seen.throttled.show(), periods)
	}, "lesson:busy")
	e.inside += suffix
	return e, counted, err
}

// mib formats a number of bytes in MiB.
func mib(bytes int) string { return fmt.Sprintf("%d MiB", bytes>>20) }

// stopped ends the answer of a loop that has used up its CPU time.
const stopped = ", throttled"

// isStopped is the rule for such a loop.
func isStopped(host, inside string) verdict {
	switch {
	case strings.HasSuffix(host, stopped):
		return noCase
	case strings.HasSuffix(inside, stopped):
		return held
	}
	// If other programs leave it less than the limit, there is nothing to stop.
	var seconds float64
	_, err := fmt.Sscan(inside, &seconds)
	if err == nil && seconds < float64(cpuLimit)/cpuPeriod {
		return noCase
	}
	return leak
}

// lookOutside looks from inside for the cgroup with the limits, and tries to lift one.
func lookOutside(n *narrator) error {
	return inCgroup(func(group cgroup) error {
		n.part("Can it get at its limits?")
		dir, _, _ := strings.Cut(group.String(), "\t")
		name := filepath.Base(dir)
		outside, err := ask(self("lesson:find", name))
		if err != nil {
			return err
		}
		found, err := runIn(group, "lesson:find", name, "mount")
		if err != nil {
			return err
		}
		answers := strings.Split(found, "\n")
		rules := []rule{isShared, nil, nil, reaches(name + ": found")}
		for i, answer := range strings.Split(outside, "\n") {
			n.compare(experiment{answer, answer, answers[i], rules[i], held})
		}
		size := strconv.Itoa(4 * memoryLimit)
		touched, err := ask(self("lesson:touch", size))
		if err != nil {
			return err
		}
		lifted, err := runIn(group, "lesson:lift", size)
		if err != nil {
			return err
		}
		answers = strings.Split(lifted, "\n")
		last := len(answers) - 1
		for _, answer := range answers[:last] {
			say(inside, "%s", answer)
		}
		tried := "use " + mib(4*memoryLimit) + " of memory: "
		n.compare(experiment{
			what: "lift the limit", host: tried + touched, inside: tried + answers[last],
			rule: reaches("done"), expect: held,
		})
		return nil
	})
}

// runIn runs an experiment in a container in a cgroup. It returns what the experiment printed, and,
// on a line of its own, the signal that killed it, if one did.
func runIn(group cgroup, args ...string) (string, error) {
	var out bytes.Buffer
	err := host(group, append([]string{"/proc/self/exe"}, args...), &out)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if status := exit.Sys().(syscall.WaitStatus); status.Signaled() {
			fmt.Fprintln(&out, unix.SignalName(status.Signal()))
			err = nil
		}
	}
	return strings.TrimSpace(out.String()), err
}

// show returns the kernel's name for a counter and its value, if this kernel counts it.
func (c counter) show() string {
	number, err := c.read()
	if err != nil {
		return c.key + " not counted"
	}
	return fmt.Sprint(c.key, " ", number)
}

// whatLeaks tries something that takes a capability, and something that takes only a system call.
func whatLeaks(n *narrator) error {
	n.part("What is still root's: all capabilities, all system calls")
	answers, err := n.ask("lesson:try")
	if err != nil {
		return err
	}
	outside, within := strings.Split(answers.host, "\n"), strings.Split(answers.inside, "\n")
	var rows []experiment
	for i, what := range []string{"capabilities", "seccomp mode", "mount a tmpfs", "keyctl"} {
		e := experiment{what: what, host: outside[i], inside: within[i]}
		if i >= 2 {
			e.rule, e.expect = reaches("ok"), leak
		}
		rows = append(rows, e)
	}
	n.table("", rows...)
	next := "go run ./08-full-container"
	if noLimits != nil && !isRoot() && !inContainer() {
		next = remedy() // to see the limits
	}
	n.next(next)
	return nil
}

// touch asks for memory and writes to each page. Only then does the kernel have to provide it
// (overcommit, proc_sys_vm(5)).
func touch(args []string) error {
	size, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	flags := unix.MAP_PRIVATE | unix.MAP_ANONYMOUS
	memory, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, flags)
	if err != nil {
		return os.NewSyscallError("mmap", err)
	}
	for at := 0; at < size; at += os.Getpagesize() {
		memory[at] = 1
	}
	fmt.Println("done")
	return nil
}

// forkMany starts so many waiting processes, or as many as the kernel allows, and ends them.
func forkMany(args []string) error {
	count, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	// The garbage collector would want to start a thread, and the limit will leave room for none.
	debug.SetGCPercent(-1)
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		return err
	}
	var pids []int
	for range count {
		pid, failed := syscall.ForkExec(sleep, []string{"sleep", "60"},
			&syscall.ProcAttr{Sys: &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}})
		if err = failed; err != nil {
			break
		}
		pids = append(pids, pid)
	}
	for _, pid := range pids {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			return os.NewSyscallError("kill", err)
		}
		if _, err := unix.Wait4(pid, nil, 0, nil); err != nil {
			return os.NewSyscallError("wait4", err)
		}
	}
	if err != nil {
		name, _, _ := strings.Cut(errno(err), " ")
		fmt.Printf("%s after %d\n", name, len(pids))
		return nil
	}
	fmt.Println("done")
	return nil
}

// beBusy runs a loop for a second, and prints how much CPU time it got.
func beBusy([]string) error {
	start, used := time.Now(), cpuUsed()
	for time.Since(start) < time.Second {
	}
	fmt.Printf("%.2f s\n", (cpuUsed() - used).Seconds())
	return nil
}

// cpuUsed returns the CPU time that this process has used (getrusage(2)).
func cpuUsed() time.Duration {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// findCgroup prints where in the cgroup hierarchy this process is, by its own view, how many
// cgroups it sees, and whether one has that name. With "mount" it mounts the hierarchy first.
func findCgroup(args []string) error {
	view, err := viewOfTree(len(args) > 1)
	if err != nil {
		return err
	}
	cgroups, found := 0, "nowhere"
	err = filepath.WalkDir(view.top, func(_ string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // a cgroup has been removed meanwhile
			return nil
		}
		if err == nil && entry.IsDir() {
			cgroups++
			if entry.Name() == args[0] {
				found = "found"
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	fmt.Println("cgroup namespace", strings.Trim(view.namespace, "cgroup:[]"))
	fmt.Println("/proc/self/cgroup:", view.path)
	if view.refused != nil {
		fmt.Println("mount the hierarchy =", errno(view.refused))
	} else {
		fmt.Println("cgroups in the hierarchy:", cgroups)
	}
	fmt.Printf("cgroup %s: %s\n", args[0], found)
	return nil
}

// treeView is what a process sees of the hierarchy of the memory controller.
type treeView struct {
	namespace string // the cgroup namespace
	path      string // where in it the process is
	top       string // where it is mounted
	two       bool   // it is the one of cgroup v2
	refused   error  // why it can't be mounted
}

// viewOfTree finds out. With mountIt, it mounts the hierarchy at /tmp.
func viewOfTree(mountIt bool) (v treeView, err error) {
	if v.namespace, err = os.Readlink("/proc/self/ns/cgroup"); err != nil {
		return v, err
	}
	trees, err := cgroupTrees()
	if err != nil {
		return v, err
	}
	paths, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return v, err
	}
	for line := range strings.Lines(string(paths)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		v.two, v.path = fields[1] == "", fields[2] // the line of cgroup v2 is always the last
		if fields[1] == "memory" {
			break
		}
	}
	v.top = trees["memory"].top
	kind, option := "cgroup", "memory"
	if v.two {
		v.top, kind, option = trees[""].top, "cgroup2", ""
	}
	if mountIt {
		v.top = "/tmp"
		v.refused = mount("cgroup", v.top, kind, 0, option)
	}
	return v, nil
}

// liftLimit mounts the hierarchy, tries to lift the memory limit that it finds there, prints what
// the kernel says, and touches memory.
func liftLimit(args []string) error {
	view, err := viewOfTree(true)
	if err != nil {
		return err
	}
	files, lifted := []string{"memory.memsw.limit_in_bytes", "memory.limit_in_bytes"}, "-1"
	if view.two {
		files, lifted = []string{"memory.max"}, "max"
	}
	if view.refused != nil {
		fmt.Println("mount the hierarchy =", errno(view.refused))
		files = nil
	}
	for _, file := range files {
		err := writeFile(view.top+"/"+file, lifted)
		name, _, _ := strings.Cut(errno(err), " ")
		fmt.Printf("write(%q, %q) = %s\n", view.top+"/"+file, lifted, name)
	}
	return touch(args)
}

// tryAll prints this process's capabilities and seccomp(2) mode. Then it tries a call that takes
// one of the capabilities, and one that takes none.
func tryAll([]string) error {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(status)) {
		switch name, value, _ := strings.Cut(line, ":"); name {
		case "CapEff", "Seccomp": // in this order (proc_pid_status(5))
			fmt.Println(strings.TrimSpace(value))
		}
	}
	for _, try := range []func() error{
		func() error {
			// In a private mount namespace, so that no other process sees the mount.
			if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
				return err
			}
			if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
				return err
			}
			if err := unix.Mount("tmpfs", "/tmp", "tmpfs", 0, ""); err != nil {
				return err
			}
			return unix.Unmount("/tmp", 0)
		},
		func() error {
			_, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false)
			return err
		},
	} {
		name, _, _ := strings.Cut(errno(try()), " ")
		fmt.Println(name)
	}
	return nil
}
