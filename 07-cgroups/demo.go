//go:build linux

// The lesson of 07: memory, processes, CPU time, and the way to the rest of the tree.

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
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// experiments are the programs that the lesson runs inside, and some outside, to compare. Each
// prints what it measured. Keepers are none, but are started in the same way.
var experiments = map[string]func([]string) error{
	"keep:pasta":    keepPasta,
	"keeper:undo":   undo,
	"lesson:touch":  touch,
	"lesson:fork":   forkMany,
	"lesson:busy":   beBusy,
	"lesson:tree":   lookAtTree,
	"lesson:powers": printPowers,
}

// undoings are what the keeper can undo.
var undoings = map[string]func(which string) error{"cgroup": undoCgroup, "nat": removeNAT}

// lesson runs into each limit, with the kernel as the witness.
func lesson() error {
	if os.Args[0] != role(played) { // which has said so itself
		say("host", "I am process %d, uid %d", os.Getpid(), os.Getuid())
	}
	trees, err := cgroupTrees()
	if err != nil {
		return err
	}
	if lists(trees[""].top+"/cgroup.controllers", controllers...) {
		say("host", "cgroup version 2: one tree, %s", trees[""].top)
	} else {
		say("host", "cgroup version 1: a tree for each controller, as %s", trees["memory"].top)
	}
	refusal, err := tryCgroup()
	if err != nil {
		return err
	}
	if refusal != "" {
		say("host", "I can't make a cgroup: %s", refusal)
		say("host", "so nothing is run: without limits it would be 06 again")
		say("next", "%s", remedy())
		return nil
	}
	for _, part := range []func() error{
		readLimits, memoryRunsOut, tooManyProcesses, cpuTime, lookOutside, whatLeaks,
	} {
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

// tryCgroup makes a cgroup and takes it away again. If that is refused, it returns the reason.
func tryCgroup() (refusal string, err error) {
	_, release, err := newCgroup()
	if err != nil {
		return err.Error(), nil
	}
	return "", release()
}

// readLimits makes a cgroup and reads back what was set.
func readLimits() error {
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
		return nil
	})
}

// memoryRunsOut touches half of what is allowed, and four times as much.
func memoryRunsOut() error {
	var touched, status, kills, peaks []string
	var seen counters
	for _, size := range []int{memoryLimit / 2, 4 * memoryLimit} {
		err := limited(func(group cgroup, out string, code int) error {
			seen = group.counters()
			touched = append(touched, lastLine(out))
			status = append(status, strconv.Itoa(code))
			kills = append(kills, seen.oomKills.show())
			peaks = append(peaks, seen.peak.show())
			return nil
		}, "lesson:touch", strconv.Itoa(size))
		if err != nil {
			return err
		}
	}
	fmt.Println()
	row("to touch", fmt.Sprint(memoryLimit/2, " bytes"), fmt.Sprint(4*memoryLimit, " bytes"))
	row("it touched", touched...)
	row("its exit status", status...)
	row(seen.oomKills.name(), kills...)
	row(seen.peak.name(), peaks...)
	fmt.Println()
	return nil
}

// row prints a line of a table with two columns.
func row(name string, columns ...string) {
	fmt.Printf("%40s  %-18s %s\n", name, columns[0], columns[1])
}

// tooManyProcesses starts more than is allowed. It stops after twice as many: a fork bomb that is
// bounded in itself, in case that the kernel's limit isn't there.
func tooManyProcesses() error {
	return limited(func(group cgroup, out string, _ int) error {
		say("container", "%s", lastLine(out))
		refused := group.counters().refused
		say("host", "%s: %s", refused.name(), refused.show())
		return nil
	}, "lesson:fork", strconv.Itoa(2*pidsLimit))
}

// cpuTime runs a loop for a second. The control is the same loop outside.
func cpuTime() error {
	outside, err := ask(self("lesson:busy"))
	if err != nil {
		return err
	}
	say("host", "%s", outside)
	return limited(func(group cgroup, out string, _ int) error {
		say("container", "%s", lastLine(out))
		seen := group.counters()
		say("host", "%s: %s, %s: %s", seen.periods.name(), seen.periods.show(),
			seen.throttled.key, seen.throttled.show())
		return nil
	}, "lesson:busy")
}

// lookOutside looks for the rest of the tree from inside.
func lookOutside() error {
	outside, err := ask(self("lesson:tree"))
	if err != nil {
		return err
	}
	for line := range strings.Lines(outside) {
		say("host", "%s", strings.TrimSpace(line))
	}
	return limited(func(_ cgroup, out string, status int) error {
		for line := range strings.Lines(out) {
			say("container", "%s", strings.TrimSpace(line))
		}
		say("container", "then I touch %d bytes all the same: exit status %d",
			4*memoryLimit, status)
		return nil
	}, "lesson:tree", "mount")
}

// whatLeaks shows what root inside has beside all these limits.
func whatLeaks() error {
	return limited(func(_ cgroup, out string, _ int) error {
		for line := range strings.Lines(out) {
			say("leak", "%s", strings.TrimSpace(line))
		}
		say("next", "go run ./08-full-container")
		return nil
	}, "lesson:powers")
}

// limited runs an experiment in a container, and hands its cgroup over, as long as it is there,
// with what the experiment printed and its exit status.
func limited(look func(group cgroup, out string, status int) error, args ...string) error {
	return inCgroup(func(group cgroup) error {
		var out bytes.Buffer
		err := host(group, append([]string{"/proc/self/exe"}, args...), &out)
		status := 0
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			status, err = report(err), nil
		}
		if err != nil {
			return err
		}
		return look(group, out.String(), status)
	})
}

// lastLine is the last line of what a program printed, or what says that there is none.
func lastLine(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if last := lines[len(lines)-1]; last != "" {
		return last
	}
	return "-"
}

// name is what the kernel calls a counter.
func (c counter) name() string { return strings.TrimSpace(filepath.Base(c.file) + " " + c.key) }

// show is what it is now, if this kernel keeps it.
func (c counter) show() string {
	number, err := c.read()
	if err != nil {
		return "not counted by this kernel"
	}
	return strconv.Itoa(number)
}

// touch asks for memory and writes to each page of it: only then the kernel has to come up with it
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
	fmt.Println(size, "bytes")
	return nil
}

// forkMany starts so many processes that only wait, or as many as it may, and ends them.
func forkMany(args []string) error {
	count, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	// Go's runtime would want a thread for this now and then, and there will be none to have.
	debug.SetGCPercent(-1)
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		return err
	}
	var pids []int
	for range count {
		pid, failed := syscall.ForkExec(sleep, []string{"sleep", "60"}, nil)
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
	fmt.Printf("I start %d processes: %d are there, then fork = %s\n",
		count, len(pids), errno(err))
	return nil
}

// beBusy runs a loop for a second, and prints how much of that a CPU has really worked for it.
func beBusy([]string) error {
	start, used := time.Now(), cpuUsed()
	for time.Since(start) < time.Second {
	}
	busy, passed := cpuUsed()-used, time.Since(start)
	fmt.Printf("I am busy for %.1f s, and had a CPU for %.2f s of them: %.0f %%\n",
		passed.Seconds(), busy.Seconds(), 100*busy.Seconds()/passed.Seconds())
	return nil
}

// cpuUsed is the CPU time that this process has had (getrusage(2)).
func cpuUsed() time.Duration {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// lookAtTree prints where in the tree of cgroups this process thinks that it is, and how much there
// is of it; "mount" mounts the tree first. Then it tries to lift its own limit.
func lookAtTree(args []string) error {
	trees, err := cgroupTrees()
	if err != nil {
		return err
	}
	paths, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return err
	}
	top, kind, option, lifted := trees["memory"].top, "cgroup", "memory", "-1"
	files := []string{"memory.memsw.limit_in_bytes", "memory.limit_in_bytes"}
	for line := range strings.Lines(string(paths)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if fields[1] == "memory" {
			fmt.Printf("/proc/self/cgroup: %s\n", fields[2])
			break
		}
		if fields[1] == "" { // always the last line
			fmt.Printf("/proc/self/cgroup: %s\n", fields[2])
			top, kind, option, lifted = trees[""].top, "cgroup2", "", "max"
			files = []string{"memory.max"}
		}
	}
	if len(args) > 0 {
		top = "/tmp"
		if err := mount("cgroup", top, kind, 0, option); err != nil {
			return err
		}
	}
	cgroups := 0
	err = filepath.WalkDir(top, func(_ string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // it has gone meanwhile
			return nil
		}
		if err == nil && entry.IsDir() {
			cgroups++
		}
		return err
	})
	if err != nil {
		return err
	}
	fmt.Printf("cgroups in the tree: %d\n", cgroups)
	if len(args) == 0 {
		return nil
	}
	for _, file := range files {
		err := writeFile(top+"/"+file, lifted)
		fmt.Printf("write(%q, %q) = %s\n", top+"/"+file, lifted, errno(err))
	}
	return touch([]string{strconv.Itoa(4 * memoryLimit)})
}

// printPowers prints what the kernel would still do for this process.
func printPowers([]string) error {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		switch name {
		case "CapEff":
			fmt.Println("all capabilities, in this user namespace:", strings.TrimSpace(value))
		case "Seccomp":
			fmt.Println("all system calls: seccomp mode", strings.TrimSpace(value))
		}
	}
	return nil
}
