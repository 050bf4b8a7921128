//go:build linux

// The exercises.

package main

import "slices"

// exercise is one exercise.
type exercise struct {
	id, step string
	title    string
	minutes  int
	build    bool   // you write what isn't there, rather than repair what is gone
	v2       string // why it takes cgroup v2, if it does
	task     string

	start    []edit   // from the step to what you get
	solution []edit   // from the step to what you should make of it: nothing, for a repair
	attacks  []string // those that it is about
	except   []string // attacks on the step that don't count here

	hints []string // the attack, the function, the call
	near  []near   // hints that fit what you have written
	why   string
}

// near is a hint for code that has a text and lacks another one, both without blanks.
type near struct{ has, lacks, say string }

// onStep are the attacks that each step withstands.
var onStep = map[string][]string{
	"01-chroot":        {"path", "cwd", "runs"},
	"02-pid-namespace": {"pid1", "kill", "guard", "outlives"},
	"03-mount-namespace": {
		"pid1", "kill", "guard", "path", "oldroot", "descriptors", "works", "proc", "escape",
		"readonly",
		"shared",
	},
	"04-uts-ipc": {
		"pid1", "kill", "guard", "path", "oldroot", "descriptors", "escape", "shared", "rename",
		"names",
		"shm",
	},
	"05-user-namespace": {
		"pid1", "path", "oldroot", "descriptors", "escape", "shared", "rename", "names", "shm",
		"userns",
		"root", "outside", "waits",
	},
	"06-network": {
		"pid1", "path", "descriptors", "shared", "names", "root", "waits", "hostport", "cable",
		"loopback",
		"forwards", "unplugged",
	},
	"07-cgroups": {
		"path", "descriptors", "names", "root", "cable", "memory", "processes", "tree",
		"nothingleft",
	},
	"08-full-container": {
		"path", "descriptors", "names", "root", "cable", "memory", "processes", "tree",
		"nothingleft", "nnp",
		"seccomp", "capabilities", "init", "environment", "orphans",
	},
}

// shownTitle is the title, and whether there is something to build.
func (e *exercise) shownTitle() string {
	if e.build {
		return "build: " + e.title
	}
	return e.title
}

// others are the attacks on an exercise's step that aren't its own.
func (e *exercise) others() (names []string) {
	for _, name := range onStep[e.step] {
		if !slices.Contains(e.attacks, name) && !slices.Contains(e.except, name) {
			names = append(names, name)
		}
	}
	return names
}

// exercises is all of them, in the order in which to do them.
var exercises = slices.Concat(exercises01, exercises02, exercises03, exercises04, exercises05,
	exercises06, exercises07, exercises08)
