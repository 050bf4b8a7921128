//go:build linux

// A container without one of its walls, to learn which attack that wall stops.

package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// walls are those that -without can take away. Never the mount, user or PID namespace: the
// container must still end with us and leave nothing.
var walls = []string{
	"seccomp", "capabilities", "no-new-privs", "masks", "read-only", "net", "limits",
}

// parseWalls reads the value of -without: names of walls with commas between them.
func (o *options) parseWalls(text string) error {
	for name := range strings.SplitSeq(text, ",") {
		if !slices.Contains(walls, name) {
			return fmt.Errorf("no wall %q; there are %s", name, strings.Join(walls, ", "))
		}
		o.without = append(o.without, name)
	}
	return nil
}

// leaveOut makes the options those of a container without the walls.
func (o *options) leaveOut() {
	if slices.Contains(o.without, "net") {
		o.net = false // no cable: it shares the host's network
	}
	if slices.Contains(o.without, "limits") {
		o.memory, o.pids = math.MaxInt, maxPIDs // and see check
	}
}

// wall puts up a wall, unless the container is to be without it.
func (s *spec) wall(name string, build func() error) error {
	if slices.Contains(s.Without, name) {
		return nil
	}
	return build()
}

// isExperiment reports whether a command is one of the lesson's experiments.
func isExperiment(command []string) bool {
	return len(command) > 1 && experiments[command[1]] != nil
}
