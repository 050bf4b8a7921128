// What an altered step leaves in the host's cgroup hierarchies: no namespace keeps it out of them.

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// cgroupsOf lists the cgroups below top whose names say that a step has made them, each one after
// those that are in it. Where there is no such tree, there are none.
func cgroupsOf(top, step string) []string {
	var dirs []string
	_ = filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		below := strings.Contains(strings.TrimPrefix(path, top), "/"+step+"-")
		if err == nil && entry.IsDir() && below {
			dirs = append(dirs, path)
		}
		return nil // one may have gone since it was listed
	})
	slices.Reverse(dirs) // WalkDir has a directory first, and then what is in it
	return dirs
}

// removeCgroups removes those that weren't there before. No process of the run is in them any more:
// they ended with its PID namespace. One that is busy belongs to another process.
func removeCgroups(top, step string, before []string) (err error) {
	for _, dir := range cgroupsOf(top, step) {
		if slices.Contains(before, dir) {
			continue
		}
		failed := os.Remove(dir)
		if errors.Is(failed, fs.ErrNotExist) || errors.Is(failed, syscall.EBUSY) {
			continue
		}
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("left by an altered step: %w", failed))
		}
	}
	return err
}
