//go:build linux

// The matrix for others than a terminal.

package main

import (
	"encoding/json"
	"fmt"
	"strings"
)

// formats are the ways in which the matrix can be had.
var formats = map[string]func(*matrix) (string, error){
	"text": (*matrix).text, "markdown": (*matrix).markdown,
	"json": (*matrix).json, "svg": (*matrix).svg,
}

// json has everything, the evidence too.
func (m *matrix) json() (string, error) {
	text, err := json.MarshalIndent(m, "", "  ")
	return string(text) + "\n", err
}

// markdown is a table. Leaks are bold: colour there is none.
func (m *matrix) markdown() (string, error) {
	var out strings.Builder
	fmt.Fprintf(&out, "Made %s.\n\n| what leaks |", m.heading())
	for _, c := range m.Columns {
		fmt.Fprintf(&out, " %s |", c.Name)
	}
	out.WriteString("\n|---|" + strings.Repeat("---|", len(m.Columns)) + "\n")
	for _, r := range m.Rows {
		fmt.Fprintf(&out, "| `%s`: %s |", r.Name, strings.ReplaceAll(r.Leaks, "|", "\\|"))
		for _, c := range m.Columns {
			word := words[c.verdict(r.Name)]
			if c.verdict(r.Name) == leaks {
				word = "**" + word + "**"
			}
			fmt.Fprintf(&out, " %s |", word)
		}
		out.WriteString("\n")
	}
	for _, verdict := range []string{held, leaks, na} {
		fmt.Fprintf(&out, "| total %s |", words[verdict])
		for _, c := range m.Columns {
			if c.Failed != "" {
				out.WriteString(" - |")
				continue
			}
			fmt.Fprintf(&out, " %d |", c.total()[verdict])
		}
		out.WriteString("\n")
	}
	for _, remark := range m.remarks() {
		fmt.Fprintf(&out, "\n%s\n", remark)
	}
	return out.String(), nil
}
