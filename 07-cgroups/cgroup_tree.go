//go:build linux

// Where the trees of cgroups are, and where in them this process is.

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// cgroupTree is a tree of cgroups, as this process sees it.
type cgroupTree struct {
	top string // the directory that is its root, or as much of a root as we are shown
	own string // the directory of the cgroup that we are in
}

// cgroupTrees finds the trees: by the name of a controller those of version 1, and as "" that of
// version 2. /proc/self/mountinfo says where they are mounted, /proc/self/cgroup where we are.
func cgroupTrees() (map[string]cgroupTree, error) {
	paths, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	return parseTrees(string(paths), string(table))
}

// parseTrees reads cgroups(7), /proc/PID/cgroup, and proc_pid_mountinfo(5).
func parseTrees(paths, table string) (map[string]cgroupTree, error) {
	trees := map[string]cgroupTree{}
	for line := range strings.Lines(paths) {
		// hierarchy-ID:controller-list:cgroup-path
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(fields) != 3 {
			return nil, fmt.Errorf("/proc/self/cgroup: not understood: %q", line)
		}
		for _, controller := range strings.Split(fields[1], ",") {
			if tree, ok := findMount(table, controller, fields[2]); ok {
				trees[controller] = tree
			}
		}
	}
	return trees, nil
}

// findMount looks for a mount that shows a path of the tree of a controller.
func findMount(table, controller, path string) (cgroupTree, bool) {
	for line := range strings.Lines(table) {
		mount, filesystem, _ := strings.Cut(line, " - ")
		if !strings.HasPrefix(filesystem, "cgroup") {
			continue // as most are, and this is asked for each controller
		}
		what, how := strings.Fields(filesystem), strings.Fields(mount)
		if len(what) < 3 || len(how) < 5 {
			continue
		}
		if controller == "" && what[0] != "cgroup2" || controller != "" && (what[0] != "cgroup" ||
			!slices.Contains(strings.Split(what[2], ","), controller)) {
			continue
		}
		root, point := unescape.Replace(how[3]), unescape.Replace(how[4])
		below, err := filepath.Rel(root, path)
		// Another part of the tree, or beside all that our cgroup namespace shows of it.
		if err != nil || strings.HasPrefix(below, "..") || strings.HasPrefix(path, "/..") {
			continue
		}
		return cgroupTree{point, filepath.Join(point, below)}, true
	}
	return cgroupTree{}, false
}

// lists reports whether all the words are in a file.
func lists(file string, words ...string) bool { return len(unlisted(file, words)) == 0 }

// unlisted returns the words that are not in a file.
func unlisted(file string, words []string) []string {
	text, _ := os.ReadFile(file) // without it, there are none in it
	have := strings.Fields(string(text))
	return slices.DeleteFunc(slices.Clone(words), func(word string) bool {
		return slices.Contains(have, word)
	})
}
