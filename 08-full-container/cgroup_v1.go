//go:build linux

// Version 1: a tree for each controller (cgroups(7); Linux, Documentation/admin-guide/cgroup-v1).

package main

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// cgroup1 is three directories that have limits, in three trees, for the same processes.
type cgroup1 struct{ memory, pids, cpu string }

// dirs are the three.
func (c cgroup1) dirs() []string { return []string{c.memory, c.pids, c.cpu} }

// String has them in one line.
func (c cgroup1) String() string { return strings.Join(c.dirs(), "\t") }

// create makes them below the cgroups that we are in, so that what limits us limits them.
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

// shown are those that the inner cgroups have, too, for programs that look how much there is for
// them. That of memory and swap together may not be below that of memory, and a limit of memory
// holds for the cgroups below since Linux 5.11 always, and before if one says so. The limit of
// memory leaves out what sockets buffer; a cgroup without one of its own for that isn't even
// counted.
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

// start starts a program in it. There is no CLONE_INTO_CGROUP in version 1, but a child is born
// where the thread is that makes it: so this thread goes in, alone, and comes back. It must be
// main's own, which is locked to main. "tasks" is the file for threads, and 0 the one that writes.
//
// To move the child afterwards, by its number, would leave a moment outside. It also takes some
// milliseconds, in which the kernel makes sure that no process is just being made or ending.
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

// enter moves this thread in.
func (c cgroup1) enter() error {
	for _, dir := range c.dirs() {
		if err := writeFile(dir+"/inner/tasks", "0"); err != nil {
			return fmt.Errorf("move this thread: %w", err)
		}
	}
	return nil
}

// leave moves it back to where the process is.
func (c cgroup1) leave() (err error) {
	for _, dir := range c.dirs() {
		err = errors.Join(err, writeFile(filepath.Dir(dir)+"/tasks", "0"))
	}
	return err
}

// counters are the kernel's. Those of a limit are where that is, and the others, in this version,
// where the process was.
func (c cgroup1) counters() counters {
	return counters{
		oomKills:  counter{c.memory + "/inner/memory.oom_control", "oom_kill"}, // since Linux 4.13
		peak:      counter{c.memory + "/memory.max_usage_in_bytes", ""},
		refused:   counter{c.pids + "/inner/pids.events", "max"},
		periods:   counter{c.cpu + "/cpu.stat", "nr_periods"},
		throttled: counter{c.cpu + "/cpu.stat", "nr_throttled"},
	}
}

// remove ends whoever is in it and takes it away.
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
