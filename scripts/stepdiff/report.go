// What is printed: the declarations of two steps against each other, file by file.

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fatih/color"
)

// report is what is printed of one file, and what was counted in all.
type report struct {
	strings.Builder
	code, comment, gone int
}

// compare tells what the second step has and the first hasn't, and the other way round.
func compare(from, to step) string {
	names := maps.Clone(from)
	maps.Copy(names, to)
	// main.go is the first, since what is new in the others is called from there.
	delete(names, "main.go")
	var parts []string
	var r report
	for _, name := range append([]string{"main.go"}, slices.Sorted(maps.Keys(names))...) {
		old, inOld := from[name]
		new, inNew := to[name]
		r.Reset()
		switch {
		case inOld && inNew:
			r.both(old.body, new.body)
		case inNew:
			name += " (new file)"
			for i, c := range slices.Concat(new.head, new.body) {
				if i > 0 {
					r.show('+', "")
				}
				r.show('+', c.lines...)
			}
		case inOld:
			name += " (removed file)"
			for _, c := range old.body {
				r.show('-', c.lines...)
			}
			r.Reset() // they count, but nobody wants to read them
		}
		if r.Len() > 0 || inOld && !inNew {
			parts = append(parts, color.New(color.Bold).Sprint(name)+"\n"+r.String())
		}
	}
	counts := fmt.Sprintf("+%d code, +%d comment, -%d\n", r.code, r.comment, r.gone)
	return strings.Join(append(parts, counts), "\n")
}

// both shows how a file differs that both steps have. What is gone is shown where it was.
func (r *report) both(old, new []chunk) {
	showGone := func(chunks []chunk) {
		for _, c := range chunks {
			if find(new, c.key) >= 0 {
				return
			}
			r.heading(c.title + " (removed)")
			r.show('-', c.lines...)
		}
	}
	showGone(old)
	for _, c := range new {
		i := find(old, c.key)
		if i < 0 {
			r.heading(c.title)
			r.show('+', c.lines...)
			continue
		}
		if c.title != "const step" { // the name of a step differs by nature
			r.changes(c.title, align(old[i].lines, c.lines))
		}
		showGone(old[i+1:])
	}
}

// find returns the place of the chunk with this key, or -1.
func find(chunks []chunk, k key) int {
	return slices.IndexFunc(chunks, func(c chunk) bool { return c.key == k })
}

// changes shows the lines that differ in a declaration, and two around them.
func (r *report) changes(title string, edits []edit) {
	next := -1 // the line after the last that was shown
	for i, e := range edits {
		around := edits[max(i-2, 0):min(i+3, len(edits))]
		if !slices.ContainsFunc(around, func(e edit) bool { return e.op != ' ' }) {
			continue
		}
		if i != next {
			r.heading(title)
		}
		r.show(e.op, e.line)
		next = i + 1
	}
}

// heading names the declaration that the lines below it are from.
func (r *report) heading(title string) { fmt.Fprintln(r, color.CyanString("@@ %s", title)) }

// show prints lines of the diff and counts them, blank ones aside.
func (r *report) show(op byte, lines ...string) {
	for _, line := range lines {
		code := strings.TrimSpace(line)
		paint, count := fmt.Sprintf, new(int)
		switch {
		case op == '-':
			paint, count = color.RedString, &r.gone
		case op == '+' && strings.HasPrefix(code, "//"):
			paint, count = color.GreenString, &r.comment
		case op == '+':
			paint, count = color.GreenString, &r.code
		}
		if code != "" {
			*count++
		}
		text := string(op) + line
		if text == " " {
			text = "" // chapters quote this, without blanks at the end of a line
		}
		fmt.Fprintln(r, paint("%s", text))
	}
}
