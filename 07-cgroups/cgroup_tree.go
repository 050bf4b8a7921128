//go:build linux

// Where the cgroup hierarchies are mounted, and where in them this process is.

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// cgroupTree is a cgroup hierarchy as this process sees it.
type cgroupTree struct {
	top string // the directory of its root, or of the topmost cgroup that we can see
	own string // the directory of our own cgroup
}

// cgroupTrees finds the hierarchies. The keys are the controllers of v1, and "" for v2.
// /proc/self/mountinfo says where a hierarchy is mounted, /proc/self/cgroup where in it we are.
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

// parseTrees reads both files: paths as in cgroups(7), /proc/PID/cgroup, and the table as in
// proc_pid_mountinfo(5).
func parseTrees(paths, table string) (map[string]cgroupTree, error) {
	trees := map[string]cgroupTree{}
	for line := range strings.Lines(paths) {
		// hierarchy-ID:controller-list:cgroup-path
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(fields) != 3 {
			return nil, fmt.Errorf("/proc/self/cgroup: can't read the line %q", line)
		}
		for _, controller := range strings.Split(fields[1], ",") {
			if tree, ok := findMount(table, controller, fields[2]); ok {
				trees[controller] = tree
			}
		}
	}
	return trees, nil
}

// findMount looks for a mount that shows a path in the hierarchy of a controller.
func findMount(table, controller, path string) (cgroupTree, bool) {
	for line := range strings.Lines(table) {
		mount, filesystem, _ := strings.Cut(line, " - ")
		if !strings.HasPrefix(filesystem, "cgroup") {
			continue // quickly, as most mounts are no cgroups and each controller asks
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
		// The mount shows another part of the hierarchy, or one outside our cgroup namespace.
		if err != nil || strings.HasPrefix(below, "..") || strings.HasPrefix(path, "/..") {
			continue
		}
		return cgroupTree{point, filepath.Join(point, below)}, true
	}
	return cgroupTree{}, false
}

// lists reports whether a file has all the words.
func lists(file string, words ...string) bool { return len(unlisted(file, words)) == 0 }

// unlisted returns the words that a file doesn't have.
func unlisted(file string, words []string) []string {
	text, _ := os.ReadFile(file) // a missing file has none of them
	have := strings.Fields(string(text))
	return slices.DeleteFunc(slices.Clone(words), func(word string) bool {
		return slices.Contains(have, word)
	})
}
