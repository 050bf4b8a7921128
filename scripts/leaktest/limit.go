//go:build linux

// What the host sees better. From inside, a limit on CPU time can't be felt on a machine that is
// busy, and a container doesn't see the cgroup that has it. Nor does it see whose quotas it uses.
// So the host looks as well.

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// seenByHost ends the name of a line that the host's part adds to those of the container's part.
const seenByHost = ", seen by the host"

// watch waits until the probe of that name runs, wherever that is: its process has the facts among
// its arguments, and the host sees all processes. Then it prints what look sees of that process.
func watch(name, told string, look func(pid string) (result, error), done <-chan struct{}) {
	argument := []byte("\x00probe\x00" + name + "\x00" + told)
	for {
		select {
		case <-done:
			return
		case <-time.After(100 * time.Millisecond):
		}
		for _, pid := range processes("/proc") {
			cmdline, err := os.ReadFile("/proc/" + pid + "/cmdline")
			if err != nil || !bytes.Contains(cmdline, argument) {
				continue
			}
			found, err := look(pid)
			if err != nil {
				continue // it has just ended
			}
			found.Name = name + seenByHost
			_ = json.NewEncoder(os.Stdout).Encode(found)
			return
		}
	}
}

// cpuLimitOf looks for a limit on the CPU time of a process.
func cpuLimitOf(pid string) (result, error) {
	table, err := os.ReadFile("/proc/" + pid + "/cgroup")
	return limitOf(string(table), "/sys/fs/cgroup"), err
}

// limitOf looks for a limit in the cgroups of a process, from its own up to those that this process
// is in as well: what limits both is no merit of the container's.
func limitOf(table, root string) result {
	own, _ := os.ReadFile("/proc/self/cgroup")
	last := isLeak("no limit in its cgroups")
	for line := range strings.Lines(table) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) < 3 {
			continue
		}
		base, name := root, "cpu.max"
		switch {
		case fields[0] == "0":
		case fields[1] == "cpu" || strings.HasPrefix(fields[1], "cpu,"):
			base, name = filepath.Join(root, fields[1]), "cpu.cfs_quota_us"
			if _, err := os.Stat(base); err != nil {
				base = filepath.Join(root, "cpu")
			}
		default:
			continue
		}
		ours := ""
		for mine := range strings.Lines(string(own)) {
			if rest, ok := strings.CutPrefix(strings.TrimSpace(mine),
				fields[0]+":"+fields[1]+":"); ok {
				ours = rest
			}
		}
		for dir := fields[2]; dir != "/" && dir != "." && dir != ours; dir = filepath.Dir(dir) {
			path := filepath.Join(base, dir, name)
			text, err := os.ReadFile(path)
			value := strings.TrimSpace(string(text))
			if err == nil && value != "-1" && !strings.HasPrefix(value, "max") {
				return isHeld("%s says %s", name, value)
			}
			last = isLeak("no limit in its cgroups, by %s", name)
		}
	}
	return last
}
