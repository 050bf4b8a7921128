//go:build linux

// The matrix, and how it looks on a terminal.

package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fatih/color"
)

// The verdicts, as leaktest has them. trying is none yet.
const (
	held   = "held"
	leaks  = "leaks"
	na     = "n/a"
	trying = "trying"
)

// asRoot is what a matrix says that root has made.
const asRoot = "root"

// matrix is all that was found.
type matrix struct {
	Date    string    `json:"date"`
	Kernel  string    `json:"kernel"`
	As      string    `json:"as"`
	Cgroup  string    `json:"cgroup"`
	Rows    []row     `json:"rows"`
	Columns []*column `json:"columns"`
}

// row is a probe, as leaktest describes it.
type row struct {
	Name   string `json:"name"`
	Area   string `json:"area"`
	Leaks  string `json:"leaks"`
	Closed string `json:"closed"`
	See    string `json:"see"`
}

// column is a system. Failed says why it couldn't be made; then it has no cells.
type column struct {
	Name    string            `json:"name"`
	Step    bool              `json:"step"`
	Version string            `json:"version,omitempty"`
	Note    string            `json:"note,omitempty"`
	Failed  string            `json:"failed,omitempty"`
	Cells   map[string]cell   `json:"cells,omitempty"`
	seen    map[string]result // by the host, of these rows
}

// cell is what a probe found in a system.
type cell struct {
	Verdict  string `json:"verdict"`
	Evidence string `json:"evidence"`
}

// words are what a verdict is called, so that it needs no colour. "-" is for a column that isn't.
var words = map[string]string{held: "held", leaks: "LEAK", na: "n/a", "": "-"}

// colors are the verdicts' colours.
var colors = map[string]*color.Color{
	held: color.New(color.FgGreen), leaks: color.New(color.FgRed, color.Bold),
	na: color.New(color.Faint), "": color.New(color.Faint),
}

// verdict is that of a cell, or "" where there is none.
func (c *column) verdict(name string) string { return c.Cells[name].Verdict }

// total counts the verdicts of a column.
func (c *column) total() map[string]int {
	count := map[string]int{}
	for _, cell := range c.Cells {
		count[cell.Verdict]++
	}
	return count
}

// column returns the column of that name, if it was made.
func (m *matrix) column(name string) *column {
	for _, c := range m.Columns {
		if c.Name == name && c.Failed == "" {
			return c
		}
	}
	return nil
}

// heading says on what the matrix was made.
func (m *matrix) heading() string {
	text := fmt.Sprintf("as %s, Linux %s, cgroup %s, %s", m.As, m.Kernel, m.Cgroup, m.Date)
	for _, c := range m.Columns {
		if c.Version != "" && c.Failed == "" {
			text += fmt.Sprintf(", %s %s", c.Name, c.Version)
		}
	}
	return text
}

// remarks are what is to be said about columns.
func (m *matrix) remarks() []string {
	var all []string
	for _, c := range m.Columns {
		switch {
		case c.Failed != "":
			all = append(all, fmt.Sprintf("no column for %s: %s", c.Name, c.Failed))
		case c.Note != "":
			all = append(all, c.Note)
		}
	}
	return all
}

// text is the matrix for a terminal.
func (m *matrix) text() (string, error) {
	var out strings.Builder
	fmt.Fprintf(&out, "%s\n\n%-16s", m.heading(), "")
	for _, c := range m.Columns {
		fmt.Fprintf(&out, " %-6s", c.Name)
	}
	area := ""
	for _, r := range m.Rows {
		if r.Area != area {
			area = r.Area
			fmt.Fprintf(&out, "\n%s", color.New(color.Faint).Sprint(area))
		}
		fmt.Fprintf(&out, "\n%-16s", r.Name)
		for _, c := range m.Columns {
			verdict := c.verdict(r.Name)
			// Blanks outside of the colour: its codes have no width, and Printf would count them.
			fmt.Fprintf(&out, " %s%*s", colors[verdict].Sprint(words[verdict]),
				6-len(words[verdict]), "")
		}
	}
	out.WriteString("\n")
	for _, verdict := range []string{held, leaks, na} {
		fmt.Fprintf(&out, "\n%-16s", "total "+words[verdict])
		for _, c := range m.Columns {
			count := "-"
			if c.Failed == "" {
				count = fmt.Sprint(c.total()[verdict])
			}
			fmt.Fprintf(&out, " %-6s", count)
		}
	}
	out.WriteString("\n")
	for _, remark := range m.remarks() {
		fmt.Fprintf(&out, "\n%s", remark)
	}
	text := out.String() + "\n"
	var lines []string
	for line := range strings.Lines(text) {
		lines = append(lines, strings.TrimRight(line, " \n"))
	}
	return strings.Join(lines, "\n") + "\n", nil
}

// changed shows the rows in which two columns differ, with the evidence.
func (m *matrix) changed(from, to string) (string, error) {
	first, last := m.column(from), m.column(to)
	if first == nil || last == nil {
		return "", errors.New(strings.Join(append(m.remarks(), "nothing to compare"), "; "))
	}
	differ := *m
	differ.Rows = slices.DeleteFunc(slices.Clone(m.Rows), func(r row) bool {
		return first.verdict(r.Name) == last.verdict(r.Name)
	})
	return fmt.Sprintf("%d of %d rows differ between %s and %s:\n%s", len(differ.Rows), len(m.Rows),
		from, to, differ.evidence()), nil
}

// evidence is what -why adds.
func (m *matrix) evidence() string {
	var out strings.Builder
	for _, r := range m.Rows {
		closed := "no container closes it"
		if r.Closed != "" {
			closed = "closed by " + r.Closed
		}
		fmt.Fprintf(&out, "\n%s: %s (%s; %s)\n", r.Name, r.Leaks, closed, r.See)
		for _, c := range m.Columns {
			if c.Failed == "" {
				fmt.Fprintf(&out, "    %-6s %-4s  %s\n", c.Name, words[c.verdict(r.Name)],
					c.Cells[r.Name].Evidence)
			}
		}
	}
	return out.String()
}
