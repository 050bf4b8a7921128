//go:build linux

// The result as text.

package main

import (
	"fmt"
	"slices"
	"strings"
)

// table prints what was measured, and what it is beside crun and runc.
func table(all []*system, starts, containers int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "start: from nothing until true has run and everything is gone; "+
		"%d starts of each, in shuffled rounds\n", starts)
	if containers > 0 {
		fmt.Fprintf(&b, "held:  %d containers at once; processes beside the command, and their "+
			"memory (PSS), for each\n", containers)
	}
	fmt.Fprintf(&b, "\n%-14s %9s %7s %7s %10s %9s %7s  %s\n", "", "start", "beside", "beside",
		"held:", "held:", "beside", "")
	fmt.Fprintf(&b, "%-14s %9s %7s %7s %10s %9s %7s  %s\n", "", "median", "crun", "runc",
		"processes", "memory", "runc", "sets up")
	crun, runc := find(all, "crun"), find(all, "runc")
	for _, s := range all {
		if s.missing != "" {
			fmt.Fprintf(&b, "%-14s %s\n", s.name, s.missing)
			continue
		}
		fmt.Fprintf(&b, "%-14s %6.1f ms %7s %7s", s.name, 1000*median(s.times),
			ratio(median(s.times), median(crun.times)), ratio(median(s.times), median(runc.times)))
		switch {
		case containers == 0 || s.bare:
			fmt.Fprintf(&b, " %10s %9s %7s", "-", "-", "-")
		case s.notHeld != "":
			fmt.Fprintf(&b, " %-28s", s.notHeld)
		default:
			fmt.Fprintf(&b, " %10.1f %6.0f kB %7s", s.held.processes, s.held.pss,
				ratio(s.held.pss, runc.held.pss))
		}
		fmt.Fprintf(&b, "  %s\n", s.has)
	}
	b.WriteString("\nOnly the ratios mean something, and only within one run.\n")
	return b.String()
}

// find returns the system of a name.
func find(all []*system, name string) *system {
	i := slices.IndexFunc(all, func(s *system) bool { return s.name == name })
	if i < 0 {
		return &system{}
	}
	return all[i]
}

// ratio says how many times the other one a number is.
func ratio(number, other float64) string {
	if other == 0 {
		return "?"
	}
	return fmt.Sprintf("%.2f", number/other)
}
