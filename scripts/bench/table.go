//go:build linux

// What was measured, as text or as Markdown.

package main

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

// versions returns the date and the versions of what takes part.
func versions() string {
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	list := []string{time.Now().Format("2006-01-02"),
		"Linux " + strings.TrimSpace(string(kernel)),
		fmt.Sprintf("%d CPUs", runtime.NumCPU()), runtime.Version()}
	version := regexp.MustCompile(`\d[^\s,]*`)
	for _, line := range []string{"bwrap --version", "crun --version", "runc --version",
		"podman --version", "docker version --format {{.Server.Version}}"} {
		words := strings.Fields(line)
		out, err := exec.Command("timeout", append([]string{"2"}, words...)...).Output()
		if err == nil { // it is installed, and, in the case of docker, the engine answers
			list = append(list, words[0]+" "+version.FindString(string(out)))
		}
	}
	return strings.Join(list, ", ")
}

// column shows the median of one kind of value, in a format of fmt's, or, with the name of a
// system, as a multiple of that system's median.
type column struct{ kind, format, relative string }

// cell is a system's value, or "-" if there is none.
func (c column) cell(s *system, all []*system) string {
	value, format := median(s.values[c.kind]), c.format
	if c.relative != "" {
		value, format = value/median(find(all, c.relative).values[c.kind]), "%.2f"
	}
	if len(s.values[c.kind]) == 0 || math.IsInf(value, 0) {
		return "-"
	}
	return fmt.Sprintf(format, value)
}

// rows returns a row of titles and one for each system. The last column is text: what the system
// sets up, or why it has no values.
func rows(all []*system, columns []column) [][]string {
	rows := [][]string{{""}}
	for _, c := range columns {
		title := c.kind
		if c.relative != "" {
			title = "/ " + c.relative
		}
		rows[0] = append(rows[0], title)
	}
	rows[0] = append(rows[0], "sets up")
	for _, s := range all {
		row := []string{s.name}
		for _, c := range columns {
			row = append(row, c.cell(s, all))
		}
		rows = append(rows, append(row, cmp.Or(s.problem, s.sets)))
	}
	return rows
}

// align returns rows with aligned columns, those of numbers to the right.
func align(rows [][]string, markdown bool) string {
	before, between, after := "", "  ", ""
	if markdown {
		before, between, after = "| ", " | ", " |"
		rule := slices.Repeat([]string{"---:"}, len(rows[0]))
		rule[0], rule[len(rule)-1] = "---", "---"
		rows = slices.Insert(slices.Clone(rows), 1, rule)
	}
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row[:len(row)-1] {
			widths[i] = max(widths[i], len(cell))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		last := len(row) - 1
		cells := []string{fmt.Sprintf("%-*s", widths[0], row[0])}
		for i := 1; i < last; i++ {
			cells = append(cells, fmt.Sprintf("%*s", widths[i], row[i]))
		}
		fmt.Fprintln(&b, before+strings.Join(append(cells, row[last]), between)+after)
	}
	return b.String()
}

// find returns the system of a name.
func find(all []*system, name string) *system {
	return all[slices.IndexFunc(all, func(s *system) bool { return s.name == name })]
}

// median returns the middle value, or the mean of the two middle ones.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	if len(sorted) == 0 {
		return 0
	}
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}
