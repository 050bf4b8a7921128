//go:build linux

// What a broken step leaves in the host's cgroups, which no namespace keeps it out of.

package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// cgroupTop is where the host's cgroups are.
const cgroupTop = "/sys/fs/cgroup"

// cgroupsOf lists the cgroups whose names say that a step made them, each after those in it.
func cgroupsOf(step string) (dirs []string) {
	if step < "07" {
		return nil
	}
	_ = filepath.WalkDir(cgroupTop, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && strings.Contains(path, "/"+step+"-") {
			dirs = append(dirs, path)
		}
		return nil // one may have gone since it was listed
	})
	slices.Reverse(dirs) // WalkDir has a directory first, and then what is in it
	return dirs
}

// removeCgroups removes those that weren't there before. No process is in them any more: your
// program's ended with its PID namespace.
func removeCgroups(step string, before []string) {
	for _, dir := range cgroupsOf(step) {
		if !slices.Contains(before, dir) {
			_ = os.Remove(dir)
		}
	}
}
