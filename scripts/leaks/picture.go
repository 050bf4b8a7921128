//go:build linux

// The matrix as a picture: a heat map.

package main

import (
	"fmt"
	"html"
	"slices"
	"strings"
)

// A look is how the picture shows a verdict: by a colour and by a sign, so that it takes no eye for
// colours.
type look struct {
	fill, ink, sign string
	stroke          int // of the sign: how wide
}

// looks has a dot, a cross and a dash.
var looks = map[string]look{
	held:  {"#cfe8d0", "#2e7d32", "h0", 5},
	leaks: {"#b3261e", "#ffffff", "m-5-5l10 10m-10 0l10-10", 2},
	na:    {"#e1e7ea", "#607d8b", "m-5 0h10", 2},
}

// group says which columns the picture shows next to each other: host, steps, virtual machine,
// other runtimes.
func (c *column) group() int {
	switch {
	case c.Name == "host":
		return 0
	case c.Step:
		return 1
	case c.Name == "vm":
		return 2
	}
	return 3
}

// svg is a heat map: a row for each attack, a column for each system.
func (m *matrix) svg() (string, error) {
	const left, top, width, height, gap = 150, 150, 40, 20, 8 // in pixels
	columns := slices.Clone(m.Columns)
	slices.SortStableFunc(columns, func(a, b *column) int { return a.group() - b.group() })
	x := make([]int, len(columns)) // where each begins
	for i := range columns {
		x[i] = left
		if i > 0 {
			x[i] = x[i-1] + width + gap*(columns[i].group()-columns[i-1].group())
		}
	}
	var texts strings.Builder
	say := func(x, y int, more, text string) {
		fmt.Fprintf(&texts, "<text x=\"%d\" y=\"%d\"%s>%s</text>\n", x, y, more,
			html.EscapeString(text))
	}
	boxes, signs := map[string]string{}, map[string]string{}
	put := func(verdict string, x, y int) {
		boxes[verdict] += fmt.Sprintf("M%d %dh%dv%dh-%[3]dz", x, y, width-2, height-2)
		signs[verdict] += fmt.Sprintf("M%d %d%s", x+width/2-1, y+height/2-1, looks[verdict].sign)
	}

	say(16, 34, ` font-size="20" font-weight="bold"`, "What leaks")
	for i, verdict := range []string{leaks, held, na} {
		put(verdict, 16, 50+i*(height+4))
		say(64, 65+i*(height+4), "", words[verdict])
	}
	for i, c := range columns {
		fmt.Fprintf(&texts, "<text transform=\"translate(%d %d) rotate(-50)\">%s</text>\n",
			x[i]+width/2+2, top-6, html.EscapeString(c.Name))
	}
	y := top
	for i, r := range m.Rows {
		if i == 0 || r.Area != m.Rows[i-1].Area {
			say(16, y+18, ` font-weight="bold"`, r.Area)
			y += height + 6
		}
		say(16, y+14, "", r.Name)
		for i, c := range columns {
			if verdict := c.verdict(r.Name); verdict != "" {
				put(verdict, x[i], y)
			}
		}
		y += height
	}
	for _, verdict := range []string{held, leaks, na} {
		y += height + 2
		say(16, y+10, ` font-weight="bold"`, words[verdict])
		for i, c := range columns {
			if c.Failed == "" {
				say(x[i]+width/2-1, y+10, ` text-anchor="middle"`, fmt.Sprint(c.total()[verdict]))
			}
		}
	}
	y += height + 10
	for _, remark := range append([]string{m.heading()}, m.remarks()...) {
		for _, line := range wrap(remark, 110) {
			y += 16
			say(16, y, ` font-size="12" fill="#455a64"`, line)
		}
	}

	var out strings.Builder
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" `+
		`font-family="system-ui, sans-serif" font-size="15" fill="#1b2a33">
<title>What leaks, by system</title>
<desc>%s. Rows are attacks, columns are systems. A field with a cross says LEAK, `+
		`one with a dot held, one with a dash n/a.</desc>
<rect width="100%%" height="100%%" rx="10" fill="#f7f9fa"/>
`, x[len(x)-1]+width+30, y+20, html.EscapeString(m.heading()))
	for _, verdict := range []string{held, leaks, na} {
		look := looks[verdict]
		fmt.Fprintf(&out, "<path d=\"%s\" fill=\"%s\"/>\n<path d=\"%s\" stroke=\"%s\" "+
			"stroke-width=\"%d\" stroke-linecap=\"round\" fill=\"none\"/>\n", boxes[verdict],
			look.fill, signs[verdict], look.ink, look.stroke)
	}
	return out.String() + texts.String() + "</svg>\n", nil
}

// wrap breaks a text into lines of at most so many bytes, if its words allow.
func wrap(text string, most int) (lines []string) {
	for _, word := range strings.Fields(text) {
		if last := len(lines) - 1; last >= 0 && len(lines[last])+1+len(word) <= most {
			lines[last] += " " + word
		} else {
			lines = append(lines, word)
		}
	}
	return lines
}
