//go:build linux

// Version 1: a tree for each controller (cgroups(7); Linux, Documentation/admin-guide/cgroup-v1).

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
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
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	if err := apply(c.settings()); err != nil {
		return err
	}
	for _, dir := range c.dirs() {
		if err := os.Mkdir(dir+"/inner", 0o755); err != nil {
			return err
		}
	}
	return nil
}

// settings are the limits. That of memory and swap together may not be below that of memory, and a
// limit of memory holds for the cgroups below since Linux 5.11 always, and before if one says so.
func (c cgroup1) settings() []setting {
	memory := strconv.Itoa(memoryLimit)
	return []setting{
		{file: c.memory + "/memory.use_hierarchy", value: "1"},
		{file: c.memory + "/memory.limit_in_bytes", value: memory},
		{file: c.memory + "/memory.memsw.limit_in_bytes", value: memory, swap: true},
		{file: c.pids + "/pids.max", value: strconv.Itoa(pidsLimit)},
		{file: c.cpu + "/cpu.cfs_period_us", value: strconv.Itoa(cpuPeriod)},
		{file: c.cpu + "/cpu.cfs_quota_us", value: strconv.Itoa(cpuLimit)},
	}
}

// start starts a program and moves it in, with the memory that it will have from then on. In
// between it is outside; so it must be one that waits to be told to go on.
func (c cgroup1) start(cmd *exec.Cmd) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	for _, dir := range c.dirs() {
		err := writeFile(dir+"/inner/cgroup.procs", strconv.Itoa(cmd.Process.Pid))
		if err != nil {
			return abandon(cmd, fmt.Errorf("move process %d: %w", cmd.Process.Pid, err))
		}
	}
	return nil
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
		err = errors.Join(err, removeCgroup(dir+"/inner", kill), removeCgroup(dir, kill))
	}
	return err
}
