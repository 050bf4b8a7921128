//go:build linux

// How a comparison is written: both lists, then the counts and the reasons.

package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/fatih/color"
)

// hue paints a text. A colour never stands alone: there is a word for everything.
type hue func(...any) string

// The colours; off a terminal they are none.
var (
	cyan  hue = color.New(color.FgCyan).Sprint
	green hue = color.New(color.FgGreen).Sprint
	red   hue = color.New(color.FgRed).Sprint
	faint hue = color.New(color.Faint).Sprint
)

// shared tells whether the container's ps prints the host's numbers: the container's own processes
// are all in its list by those.
func (c *comparison) shared() bool {
	for pid := range c.numbers {
		if c.container.byPID[pid] == nil {
			return false
		}
	}
	return true
}

// row is one process, as the host lists it and as the container does, or nil where one doesn't.
type row [2]*process

// rows pairs the two lists, and marks each process: whose it is, or by which number the other side
// has it.
func (c *comparison) rows() []row {
	for _, q := range c.container.processes {
		q.mark, q.paint = "leak", red
	}
	var rows []row
	shared, paired := c.shared(), map[*process]bool{}
	for _, p := range c.host.processes {
		number, own := c.numbers[p.pid]
		there := number // 0, which no process has, if it isn't the container's
		if shared {
			there = p.pid
		}
		q := c.container.byPID[there]
		if own {
			p.mark, p.paint = fmt.Sprint("= container ", number), green
			if shared {
				q.mark, q.paint = p.mark, p.paint
			} else if q != nil {
				q.mark, q.paint = fmt.Sprint("= host ", p.pid), cyan
			}
		} else if c.step[p.pid] {
			p.mark, p.paint = "the step", cyan
		}
		rows = append(rows, row{p, q})
		paired[q] = true
	}
	for _, q := range c.container.processes {
		if !paired[q] { // it came or went between the two
			rows = append(rows, row{nil, q})
		}
	}
	return rows
}

// shorten leaves no more than most of the rows in which the host's process has no mark. One row,
// without a PID, counts the others.
func shorten(rows []row, most int) []row {
	var short []row
	var others row
	gap, more := 0, [2]int{}
	for _, r := range rows {
		if r[0] == nil || r[0].mark != "" {
			short = append(short, r)
			continue
		}
		if most > 0 {
			most--
			short = append(short, r)
			continue
		}
		if others == (row{}) {
			gap = len(short)
		}
		for side, p := range r {
			if p != nil {
				more[side]++
				others[side] = &process{name: fmt.Sprintf("and %d more (-a: all)", more[side])}
			}
		}
	}
	if others == (row{}) {
		return short
	}
	return slices.Insert(short, gap, others)
}

// widths are those of the columns that a list has.
type widths struct{ pid, name, mark int }

// measure returns the widths that show all, side by side on a screen of so many columns.
func measure(rows []row, screen int) widths {
	w := widths{len("PID"), 15, 0} // the kernel keeps no more of a name (proc_pid_comm(5))
	for _, r := range rows {
		for _, p := range r {
			if p != nil {
				w.pid = max(w.pid, len(strconv.Itoa(p.pid)))
				w.mark = max(w.mark, len(p.mark))
			}
		}
	}
	spare := (screen-len(between))/2 - (w.list() - w.name)
	w.name = min(w.name, max(7, spare)) // names give way
	return w
}

// between stands between two lists.
const between = "   "

// list is the width of a whole list.
func (w widths) list() int { return w.pid + 2 + w.name + 2 + w.mark }

// cell returns one process as one line of a list.
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

// lists writes the list of one side (0 is the host, 1 the container), or both side by side.
func (w widths) lists(s *strings.Builder, rows []row, sides ...int) {
	line := func(cells []string) {
		if text := strings.TrimRight(strings.Join(cells, between), " "); text != "" {
			fmt.Fprintln(s, text)
		}
	}
	var titles, headings []string
	for _, side := range sides {
		who := []string{"host", "container"}[side]
		paint := []hue{cyan, green}[side]
		titles = append(titles,
			paint(who)+fmt.Sprintf("%-*s", w.list()-len(who), ": what ps lists"))
		headings = append(headings,
			fmt.Sprintf("%*s  %-*s", w.pid, "PID", w.list()-w.pid-2, "COMMAND"))
	}
	line(titles)
	line(headings)
	for _, r := range rows {
		var cells []string
		for _, side := range sides {
			cells = append(cells, w.cell(r[side]))
		}
		line(cells)
	}
	fmt.Fprintln(s)
}

// text writes it all, for a screen of so many columns, or none. Of the processes without a mark it
// shows no more than most.
func (c *comparison) text(screen, most int) string {
	var s strings.Builder
	rows := shorten(c.rows(), most)
	if screen >= 80 {
		measure(rows, screen).lists(&s, rows, 0, 1)
	} else { // as wide as it takes
		w := measure(rows, 1000)
		w.lists(&s, rows, 0)
		w.lists(&s, rows, 1)
	}
	c.counts(&s)
	c.reasons(&s)
	return s.String()
}

// say writes one fact: who, then what, on as many lines as it takes.
func say(s *strings.Builder, paint hue, who string, what ...string) {
	fmt.Fprintf(s, "%s%*s%s\n", paint(who), 11-len(who), "", what[0])
	for _, line := range what[1:] {
		fmt.Fprintf(s, "%11s%s\n", "", line)
	}
}

// counts writes how many each side lists, and whose they are.
func (c *comparison) counts(s *strings.Builder) {
	own, strangers := 0, 0
	for _, p := range c.host.processes {
		if _, ok := c.numbers[p.pid]; ok {
			own++
		}
	}
	for _, p := range c.container.processes {
		if p.mark == "leak" {
			strangers++
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
}

// count says how many are listed, and the kernel threads apart.
func (l listing) count(what string) string {
	if l.kernel == 0 {
		return fmt.Sprint(len(l.processes), what)
	}
	return fmt.Sprintf("%d%s (+ %d kernel threads)", len(l.processes), what, l.kernel)
}

// reasons writes why the two lists are alike, or not.
func (c *comparison) reasons(s *strings.Builder) {
	if !c.shared() {
		if c.theirs.mnt != c.ours.mnt {
			say(s, green, "container",
				fmt.Sprintf("in mount namespace %s, the host in %s:", c.theirs.mnt, c.ours.mnt),
				"a /proc of its own is mounted there, and ps asks nobody but /proc")
		}
		return
	}
	both, me := 0, os.Getpid()
	for _, p := range c.container.processes {
		if q := c.host.byPID[p.pid]; q != nil && q.name == p.name {
			both++
		}
	}
	leak := []string{fmt.Sprintf("%d are in both lists, by the same number and name", both)}
	if c.host.byPID[me] != nil && c.container.byPID[me] != nil {
		leak = append(leak, fmt.Sprintf("%d, this program, is one of them", me))
	}
	if c.theirs.mnt == c.ours.mnt {
		leak = append(leak, fmt.Sprintf("both sides are in mount namespace %s: the same /proc,",
			c.ours.mnt), "and ps asks nobody but /proc")
	}
	if n := c.container.tries; n > 1 {
		leak = append(leak,
			fmt.Sprintf("(ps took %d tries: it wants its number there to be in /proc)", n))
	}
	say(s, red, "leak", leak...)
	say(s, green, "container",
		fmt.Sprintf("in PID namespace %s, the host in %s:", c.theirs.pid, c.ours.pid),
		fmt.Sprintf("kill -0 %d, this program's number, says: %s", me, c.verdict))
	say(s, faint, "next", "scripts/compare-ps.sh 03")
}
