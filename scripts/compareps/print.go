//go:build linux

// How a comparison is printed: both lists, then the counts and the reasons.

package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/fatih/color"
)

// hue paints a text. What a colour says, a word says as well.
type hue func(...any) string

// The colours: none on a pipe.
var (
	cyan  hue = color.New(color.FgCyan).Sprint
	green hue = color.New(color.FgGreen).Sprint
	red   hue = color.New(color.FgRed).Sprint
	faint hue = color.New(color.Faint).Sprint
)

// sharedProc reports whether the container's ps prints the host's PIDs: then it lists the
// container's own processes under those.
func (c *comparison) sharedProc() bool {
	for pid := range c.pids {
		if c.container.byPID[pid] == nil {
			return false
		}
	}
	return true
}

// row is one process as the host lists it and as the container does; nil where one of them doesn't.
type row [2]*process

// rows pairs the two lists and marks each process.
func (c *comparison) rows() (rows []row) {
	for _, q := range c.container.processes {
		q.mark, q.paint = "leak", red
	}
	shared, paired := c.sharedProc(), map[*process]bool{}
	for _, p := range c.host.processes {
		own, isOwn := c.pids[p.pid]
		q := c.container.byPID[own]
		if shared {
			q = c.container.byPID[p.pid]
		}
		switch {
		case isOwn:
			p.mark, p.paint = fmt.Sprint("= container ", own), green
			if shared {
				q.mark, q.paint = p.mark, p.paint
			} else if q != nil {
				q.mark, q.paint = fmt.Sprint("= host ", p.pid), cyan
			}
		case c.step[p.pid]:
			p.mark, p.paint = "the step", cyan
		}
		rows = append(rows, row{p, q})
		paired[q] = true
	}
	for _, q := range c.container.processes {
		if !paired[q] { // it came or went between the two lists
			rows = append(rows, row{nil, q})
		}
	}
	return rows
}

// shorten keeps the marked rows and some others, and counts the rest in a row of its own.
func shorten(rows []row, others int) []row {
	var short []row
	gap, more := -1, row{}
	count := [2]int{}
	for _, r := range rows {
		if r[0] == nil || r[0].mark != "" || others > 0 {
			if r[0] != nil && r[0].mark == "" {
				others--
			}
			short = append(short, r)
			continue
		}
		if gap < 0 {
			gap = len(short)
		}
		for side, p := range r {
			if p != nil {
				count[side]++
				more[side] = &process{name: fmt.Sprintf("and %d more (-a: all)", count[side])}
			}
		}
	}
	if gap < 0 {
		return short
	}
	return slices.Insert(short, gap, more)
}

// widths are those of a list's columns.
type widths struct{ pid, name, mark int }

// between separates two lists.
const between = "   "

// measure returns the widths that show everything, side by side on a screen of so many columns. The
// kernel keeps 15 bytes of a name (proc_pid_comm(5)); they give way first.
func measure(rows []row, screen int) widths {
	w := widths{len("PID"), 15, 0}
	for _, r := range rows {
		for _, p := range r {
			if p != nil {
				w.pid = max(w.pid, len(strconv.Itoa(p.pid)))
				w.mark = max(w.mark, len(p.mark))
			}
		}
	}
	w.name = min(w.name, max(7, (screen-len(between))/2-(w.list()-w.name)))
	return w
}

// list is the width of a whole list.
func (w widths) list() int { return w.pid + 2 + w.name + 2 + w.mark }

// cell returns one process as a line of a list.
func (w widths) cell(p *process) string {
	switch {
	case p == nil:
		return strings.Repeat(" ", w.list())
	case p.pid == 0:
		return fmt.Sprintf("%*s  %-*s", w.pid, "...", w.list()-w.pid-2, p.name)
	}
	text := fmt.Sprintf("%*d  %-*.*s  ", w.pid, p.pid, w.name, w.name, p.name)
	blanks := strings.Repeat(" ", w.mark-len(p.mark))
	if p.mark == "" {
		return text + blanks
	}
	return text + p.paint(p.mark) + blanks
}

// lists writes the list of one side (0 is the host, 1 the container), or of both side by side.
func (w widths) lists(s *strings.Builder, rows []row, sides ...int) {
	line := func(cells []string) {
		if text := strings.TrimRight(strings.Join(cells, between), " "); text != "" {
			fmt.Fprintln(s, text)
		}
	}
	var titles, heads []string
	for _, side := range sides {
		who, paint := []string{"host", "container"}[side], []hue{cyan, green}[side]
		title := fmt.Sprintf("%-*s", w.list()-len(who), ": what ps lists")
		titles = append(titles, paint(who)+title)
		heads = append(heads, fmt.Sprintf("%*s  %-*s", w.pid, "PID", w.list()-w.pid-2, "COMMAND"))
	}
	line(titles)
	line(heads)
	for _, r := range rows {
		var cells []string
		for _, side := range sides {
			cells = append(cells, w.cell(r[side]))
		}
		line(cells)
	}
	fmt.Fprintln(s)
}

// text is all of it, for a screen of so many columns (0: not a terminal).
func (c *comparison) text(screen, others int) string {
	var s strings.Builder
	rows := shorten(c.rows(), others)
	if screen >= 80 {
		measure(rows, screen).lists(&s, rows, 0, 1)
	} else {
		w := measure(rows, 1000)
		w.lists(&s, rows, 0)
		w.lists(&s, rows, 1)
	}
	c.conclude(&s)
	return s.String()
}

// say writes one fact: who, then what, on as many lines as it takes.
func say(s *strings.Builder, paint hue, who string, what ...string) {
	fmt.Fprintf(s, "%s%*s%s\n", paint(who), 11-len(who), "", what[0])
	for _, line := range what[1:] {
		fmt.Fprintf(s, "%11s%s\n", "", line)
	}
}

// conclude writes how many processes each side lists, whose they are, and why.
func (c *comparison) conclude(s *strings.Builder) {
	own, strangers, both, me := 0, 0, 0, os.Getpid()
	for _, p := range c.host.processes {
		if _, isOwn := c.pids[p.pid]; isOwn {
			own++
		}
	}
	for _, p := range c.container.processes {
		if p.mark == "leak" {
			strangers++
		}
		if q := c.host.byPID[p.pid]; q != nil && q.name == p.name {
			both++
		}
	}
	say(s, cyan, "host", fmt.Sprintf("lists %s; %d are the container's",
		c.host.count(" processes"), own))
	whose := fmt.Sprintf("lists %s; %d are not its own", c.container.count(""), strangers)
	if strangers == 0 {
		whose = fmt.Sprintf("lists %d, all its own", len(c.container.processes))
	}
	say(s, green, "container", whose,
		fmt.Sprintf("both lists were taken within %d ms", c.took.Milliseconds()+1))
	if !c.sharedProc() {
		if c.inner.mnt != c.outer.mnt {
			say(s, green, "container",
				fmt.Sprintf("in mount namespace %s, the host in %s:", c.inner.mnt, c.outer.mnt),
				"it has a /proc of its own, and ps reads nothing but /proc")
		}
		return
	}
	leak := []string{fmt.Sprintf("%d are in both lists, by the same PID and name", both)}
	if c.host.byPID[me] != nil && c.container.byPID[me] != nil {
		leak = append(leak, fmt.Sprintf("%d, this program, is one of them", me))
	}
	if c.inner.mnt == c.outer.mnt {
		leak = append(leak, fmt.Sprintf("both sides are in mount namespace %s: the same /proc,",
			c.outer.mnt), "and ps reads nothing but /proc")
	}
	say(s, red, "leak", leak...)
	say(s, green, "container",
		fmt.Sprintf("in PID namespace %s, the host in %s:", c.inner.pid, c.outer.pid),
		fmt.Sprintf("kill -0 %d, this program's PID, says: %s", me, c.verdict))
	say(s, faint, "next", "scripts/compare-ps.sh 03")
}

// count says how many processes are listed; kernel threads count apart.
func (l listing) count(what string) string {
	if l.kernel == 0 {
		return fmt.Sprint(len(l.processes), what)
	}
	return fmt.Sprintf("%d%s (+ %d kernel threads)", len(l.processes), what, l.kernel)
}
