//go:build linux

// The matrix for others than a terminal.

package main

import (
	"encoding/json"
	"fmt"
	"html"
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

// fills are the colours of the picture: a green and a red that those who can't tell these apart
// still see as light and dark. The word stands in each field.
var fills = map[string][2]string{ // background, letters
	held: {"#c8e6c9", "#14401a"}, leaks: {"#b3261e", "#ffffff"},
	na: {"#eceff1", "#546e7a"}, "": {"#ffffff", "#90a4ae"},
}

// svg is a picture of it, in pixels.
func (m *matrix) svg() (string, error) {
	const (
		left, width, height = 150, 52, 18
		top                 = 56
	)
	totalWidth := left + width*len(m.Columns) + 10
	remarks := m.remarks()
	totalHeight := top + height*(len(m.Rows)+4+len(remarks)) + 10
	var out strings.Builder
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" `+
		`viewBox="0 0 %[1]d %[2]d" role="img" font-family="sans-serif" font-size="11">
<title>What leaks, by system</title>
<desc>%s. Rows are attacks, columns are systems; each field says held, LEAK or n/a.</desc>
<rect width="100%%" height="100%%" fill="#ffffff"/>
`, totalWidth, totalHeight, html.EscapeString(m.heading()))
	say := func(x, y int, more, text string) {
		fmt.Fprintf(&out, "<text x=\"%d\" y=\"%d\"%s>%s</text>\n", x, y, more,
			html.EscapeString(text))
	}
	say(8, 18, ` font-size="10" fill="#455a64"`, m.heading())
	for i, c := range m.Columns {
		say(left+i*width+width/2, top-8, ` text-anchor="middle" font-weight="bold"`, c.Name)
	}
	for j, r := range m.Rows {
		y := top + j*height
		say(8, y+13, "", r.Name)
		for i, c := range m.Columns {
			verdict := c.verdict(r.Name)
			x := left + i*width
			fmt.Fprintf(&out, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"%s\"/>\n",
				x, y, width-2, height-2, fills[verdict][0])
			look := fmt.Sprintf(` text-anchor="middle" font-size="10" fill="%s"`, fills[verdict][1])
			say(x+width/2-1, y+12, look, words[verdict])
		}
	}
	y := top + len(m.Rows)*height + 6
	for _, verdict := range []string{held, leaks, na} {
		y += height
		say(8, y, "", "total "+words[verdict])
		for i, c := range m.Columns {
			count := "-"
			if c.Failed == "" {
				count = fmt.Sprint(c.total()[verdict])
			}
			say(left+i*width+width/2-1, y, ` text-anchor="middle"`, count)
		}
	}
	for _, remark := range remarks {
		y += height
		say(8, y, ` font-size="10" fill="#455a64"`, remark)
	}
	out.WriteString("</svg>\n")
	return out.String(), nil
}
