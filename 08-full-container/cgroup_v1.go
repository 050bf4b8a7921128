//go:build linux

// cgroup v1: a hierarchy for each controller (cgroups(7); Linux,
// Documentation/admin-guide/cgroup-v1).

package main

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// cgroup1 is three directories with limits, in three hierarchies, for the same processes.
type cgroup1 struct{ memory, pids, cpu string }

// dirs returns the three.
func (c cgroup1) dirs() []string { return []string{c.memory, c.pids, c.cpu} }

// String puts them on one line.
func (c cgroup1) String() string { return strings.Join(c.dirs(), "\t") }

// create makes them below the cgroups that we are in, so that our limits apply to them too.
func (c cgroup1) create() error {
	for _, dir := range c.dirs() {
		if err := mkdirCgroup(dir); err != nil {
			return err
		}
	}
	if err := apply(c.settings()); err != nil {
		return err
	}
	for _, dir := range c.dirs() {
		if err := mkdirCgroup(dir + "/inner"); err != nil {
			return err
		}
	}
	return apply(c.shown(c.memory+"/inner", c.pids+"/inner"))
}

// settings are the limits.
func (c cgroup1) settings() []setting {
	return append(c.shown(c.memory, c.pids),
		setting{file: c.cpu + "/cpu.cfs_period_us", value: strconv.Itoa(cpuPeriod)},
		setting{file: c.cpu + "/cpu.cfs_quota_us", value: strconv.Itoa(cpuLimit)})
}

// shown are the limits that the inner cgroups have too, for programs that want to know how much
// there is for them. The order matters: use_hierarchy first, without which a limit doesn't apply to
// the cgroups below (since Linux 5.11 it always does), and memory before memsw, memory and swap
// together, which can't be the smaller. The limit of memory leaves out socket buffers: they have
// one of their own, and without it the kernel doesn't even count them.
func (c cgroup1) shown(memoryDir, pidsDir string) []setting {
	memory := strconv.Itoa(memoryLimit)
	return []setting{
		{file: memoryDir + "/memory.use_hierarchy", value: "1"},
		{file: memoryDir + "/memory.limit_in_bytes", value: memory},
		{file: memoryDir + "/memory.memsw.limit_in_bytes", value: memory, swap: true},
		{file: memoryDir + "/memory.kmem.tcp.limit_in_bytes", value: memory, optional: true},
		{file: pidsDir + "/pids.max", value: strconv.Itoa(pidsLimit)},
	}
}

// start starts a program in the cgroup. v1 has no CLONE_INTO_CGROUP, but a child is born in the
// cgroup of the thread that makes it. So this thread, and no other, moves in and back out. It must
// be main's, which is locked to main. The file "tasks" takes threads, and 0 means the writing one.
//
// Moving the child afterwards, by its PID, would leave it outside for a moment. It would also take
// some milliseconds, while the kernel waits for all forks and exits under way.
func (c cgroup1) start(cmd *exec.Cmd) error {
	err := c.enter()
	if err == nil {
		err = startOwned(cmd)
	}
	back := c.leave()
	if err == nil && back != nil {
		return abandon(cmd, back)
	}
	return errors.Join(err, back)
}

// enter moves this thread into the inner cgroups.
func (c cgroup1) enter() error {
	for _, dir := range c.dirs() {
		if err := writeFile(dir+"/inner/tasks", "0"); err != nil {
			return fmt.Errorf("move this thread: %w", err)
		}
	}
	return nil
}

// leave moves it back to the cgroups of the process.
func (c cgroup1) leave() (err error) {
	for _, dir := range c.dirs() {
		err = errors.Join(err, writeFile(filepath.Dir(dir)+"/tasks", "0"))
	}
	return err
}

// counters says where the kernel counts. The counters of a limit are next to the limit. The kernel
// counts events, in v1, in the process's own cgroup.
func (c cgroup1) counters() counters {
	return counters{
		oomKills:  counter{c.memory + "/inner/memory.oom_control", "oom_kill"}, // since Linux 4.13
		peak:      counter{c.memory + "/memory.max_usage_in_bytes", ""},
		refused:   counter{c.pids + "/inner/pids.events", "max"},
		periods:   counter{c.cpu + "/cpu.stat", "nr_periods"},
		throttled: counter{c.cpu + "/cpu.stat", "nr_throttled"},
	}
}

// remove kills the cgroup's processes and removes it.
func (c cgroup1) remove() (err error) {
	for _, dir := range c.dirs() {
		kill := func() error { return killAll(dir + "/inner") }
		failed := removeCgroup(dir+"/inner", kill)
		if failed == nil {
			failed = removeCgroup(dir, kill)
		}
		err = errors.Join(err, failed)
	}
	return err
}
