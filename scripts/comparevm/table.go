//go:build linux

// What was measured, as a table.

package main

import (
	"fmt"
	"strings"
)

// row is one line of the table: what it says of a system, given that and the plain process.
type row struct {
	label string
	cell  func(s, process *system) string
}

// rows are all of them.
var rows = []row{
	{"time to the first instruction", number("start", 1000, "ms")},
	{"time to the end", number("end", 1000, "ms")},
	{"memory, one running", number("pss 1", 1./1024, "MB")},
	{"memory, ten running", number("pss many", 1./1024, "MB")},
	{"kernel's memory: page tables", number("page tables", 1, "kB")},
	{"kernel's memory: its cgroup", func(s, process *system) string {
		if s.last("cgroup kernel") == "" {
			return "no cgroup of its own"
		}
		return number("cgroup kernel", 1, "kB")(s, process)
	}},
	{"a million getpid(2)", number("calls", 1000, "ms")},
	{"100 MB written to its root", func(s, process *system) string {
		if why := s.last("write-failed"); why != "" {
			return "not measured: " + why
		}
		return number("write", 1000, "ms")(s, process) + ", " + s.last("filesystem")
	}},
	{"kernel seen inside", text("kernel")},
	{"boot ID seen inside", text("boot-id")},
	{"CPUs seen inside", text("cpus")},
	{"memory seen inside, MB", text("memory")},
	{"uptime seen inside, s", text("uptime")},
	{"the host's ps shows", text("ps")},
	{"processes between it and the shell", text("between")},
	{"its calls that strace sees in those", text("traced others")},
	{"its calls that strace sees in itself", text("traced itself")},
}

// last returns what was said last.
func (s *system) last(key string) string {
	if n := len(s.said[key]); n > 0 {
		return s.said[key][n-1]
	}
	return ""
}

// text makes cells of words.
func text(key string) func(s, process *system) string {
	return func(s, _ *system) string {
		value := s.last(key)
		if key == "boot-id" {
			value, _, _ = strings.Cut(value, "-") // enough to tell two apart
		}
		if i := strings.Index(value, "/comparevm payload"); i >= 0 {
			value = value[i+1:]
			value = strings.Join(strings.Fields(value)[:2], " ")
		}
		return value
	}
}

// number makes cells of medians, with how many times that of the process they are.
func number(key string, scale float64, unit string) func(s, process *system) string {
	return func(s, process *system) string {
		value, ok := s.median(key)
		if !ok {
			return "not measured"
		}
		cell := digits(value*scale) + " " + unit
		if plain, ok := process.median(key); ok && plain > 0 && s != process {
			cell += fmt.Sprintf(" (%sx)", digits(value/plain))
		}
		return cell
	}
}

// digits shows a number with two digits that count, or with all before the point.
func digits(value float64) string {
	switch {
	case value < 0.1 && value > -0.1:
		return fmt.Sprintf("%.2f", value)
	case value < 10 && value > -10:
		return fmt.Sprintf("%.1f", value)
	}
	return fmt.Sprintf("%.0f", value)
}

// cells are the table: a heading, and a line for each row.
func (c *comparison) cells() [][]string {
	head := []string{""}
	for _, s := range c.systems {
		head = append(head, s.name)
	}
	all := [][]string{head}
	for _, r := range rows {
		line := []string{r.label}
		for _, s := range c.systems {
			line = append(line, r.cell(s, c.systems[0]))
		}
		all = append(all, line)
	}
	return all
}

// text is the table for a terminal.
func (c *comparison) text() string {
	cells := c.cells()
	widths := make([]int, len(cells[0]))
	for _, line := range cells {
		for i, cell := range line {
			widths[i] = max(widths[i], len(cell))
		}
	}
	var out strings.Builder
	fmt.Fprintln(&out, c.heading)
	for _, line := range cells {
		text := ""
		for i, cell := range line {
			text += fmt.Sprintf("%-*s  ", widths[i], cell)
		}
		fmt.Fprintln(&out, strings.TrimRight(text, " "))
	}
	return out.String()
}

// markdown is the table for a page.
func (c *comparison) markdown() string {
	var out strings.Builder
	for i, line := range c.cells() {
		fmt.Fprintf(&out, "| %s |\n", strings.Join(line, " | "))
		if i == 0 {
			fmt.Fprintln(&out, strings.Repeat("|---", len(line))+"|")
		}
	}
	fmt.Fprintf(&out, "\n%s.\n", c.heading)
	return out.String()
}
