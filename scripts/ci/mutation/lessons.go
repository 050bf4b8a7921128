// The verdicts of the lessons: with a leak closed, the lesson must say held, and with a hole
// opened, LEAK.

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// flip is a change to a step that flips verdicts of its lesson. Every verdict of every lesson is
// flipped by one, or is an exception.
type flip struct {
	// step is the directory, and edits are changes to its files, as in a row of the other table.
	step  string
	edits []edit

	// says is what the lesson must say then: held after a gift, which closes a leak, and LEAK after
	// a cut. The exit status must be 0 after a gift and 1 after a cut.
	says string

	// lines are regular expressions for the lines that must say it, as "heading: line" with single
	// blanks, such as "Where do paths begin\?: / ". All other lines must stay as they are or turn
	// to n/a.
	lines []string
}

// of is its step.
func (f flip) of() string { return f.step }

// exception is a verdict that no change to the step flips.
type exception struct{ step, line, why string }

// What a lesson says of what it has tried.
const held, leak = "held", "LEAK"

// verdict is a line of a lesson that ends with one, or has one before its last column.
type verdict struct{ line, says string }

var verdictLine = regexp.MustCompile(`^(.*) (held|LEAK|n/a)(  .*)?$`)

// verdictsIn finds the verdicts in what a lesson printed.
func verdictsIn(output string) (all []verdict) {
	heading, before := "", "-"
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if before == "" {
			heading = line
		} else if m := verdictLine.FindStringSubmatch(line); m != nil {
			text := strings.Join(strings.Fields(m[1]), " ")
			all = append(all, verdict{heading + ": " + text, m[2]})
		}
		before = line
	}
	return all
}

// told is the result of running a lesson.
type told struct {
	verdicts []verdict
	status   int
	output   string // of both streams
	stderr   string
	err      error // why it wasn't run
}

// flipAll makes the changes, and says whether each flipped what it should, and whether the table
// flips every verdict of the lessons.
func (s *mutator) flipAll(rows []flip) bool {
	sameStep := func(a, b flip) bool { return a.step == b.step }
	steps := slices.CompactFunc(slices.Clone(rows), sameStep) // the first row of each
	plain := make([]told, len(steps))
	s.inLanes(lanesOf(steps), func(i int) { plain[i] = s.tell(steps[i].step) })()
	controls, bad := map[string]told{}, 0
	for i, f := range steps {
		controls[f.step] = plain[i]
		for _, complaint := range unflipped(f.step, plain[i]) {
			bad++
			fmt.Fprintf(s.out, "MISSING  %-18s  %s\n", f.step, complaint)
		}
	}
	changed := make([]told, len(rows))
	finished := s.inOrder(lanesOf(rows), func(i int) {
		changed[i] = s.tell(rows[i].step, rows[i].edits...)
	}, func(i int) {
		f, word := rows[i], rows[i].says
		if s.verbose {
			fmt.Fprint(s.out, changed[i].output)
		}
		lines, err := f.flipped(controls[f.step], changed[i])
		if err != nil {
			bad++
			word, lines = "WRONG", []string{fmt.Sprintf("with %s: %v", f.edits[0].replace, err)}
		}
		for _, line := range lines {
			fmt.Fprintf(s.out, "%-7s  %-18s  %s\n", word, f.step, line)
		}
	})
	fmt.Fprintf(s.out, "\n%d changes to lessons, %d wrong\n", len(rows), bad)
	return finished && bad == 0
}

// unflipped complains of a lesson that fails as it is, and of its verdicts that no row flips.
func unflipped(step string, control told) (complaints []string) {
	if control.err != nil || control.status != 0 {
		return []string{fmt.Sprintf("as it is, the lesson exits with %d: %v %s",
			control.status, control.err, control.stderr)}
	}
	for _, v := range control.verdicts {
		matches := func(line string) bool { return regexp.MustCompile(line).MatchString(v.line) }
		flips := slices.ContainsFunc(flips, func(f flip) bool {
			return f.step == step && f.says != v.says && slices.ContainsFunc(f.lines, matches)
		})
		excepted := slices.ContainsFunc(exceptions, func(e exception) bool {
			return e.step == step && matches(e.line)
		})
		if v.says != "n/a" && !flips && !excepted {
			complaints = append(complaints, "no row flips: "+v.line+" "+v.says)
		}
	}
	return complaints
}

// flipped returns the lines that a change has flipped, if those are the ones that it should. It
// can't flip what is n/a here, because the attack fails outside the container too.
func (f flip) flipped(control, changed told) (lines []string, err error) {
	for _, line := range f.lines {
		var found []verdict
		for _, v := range control.verdicts {
			if regexp.MustCompile(line).MatchString(v.line) {
				found = append(found, v)
			}
		}
		switch {
		case len(found) != 1:
			return nil, fmt.Errorf("%s is %d lines of the lesson: %q", line, len(found), found)
		case found[0].says == f.says:
			return nil, fmt.Errorf("it says that already: %q", found[0])
		case found[0].says != "n/a":
			lines = append(lines, found[0].line)
		}
	}
	status := map[string]int{held: 0, leak: 1}[f.says]
	switch {
	case changed.err != nil:
		return nil, changed.err
	case changed.status != status || len(changed.verdicts) != len(control.verdicts):
		return nil, fmt.Errorf("it exits with %d, after %d verdicts of %d: %q",
			changed.status, len(changed.verdicts), len(control.verdicts), changed.stderr)
	}
	for i, v := range changed.verdicts {
		before := control.verdicts[i]
		should := before.says
		if slices.Contains(lines, before.line) {
			should = f.says
		} else if before.says == "n/a" || v.says == "n/a" {
			continue
		}
		if v.says != should {
			err = errors.Join(err, fmt.Errorf("%s %s becomes %s %s",
				before.line, before.says, v.line, v.says))
		}
	}
	return lines, err
}

// tell builds a step, changed or not, and runs its lesson.
func (s *mutator) tell(step string, edits ...edit) (t told) {
	overlay, err := s.alter(step, edits...)
	if err != nil {
		return told{err: err}
	}
	program := filepath.Join(filepath.Dir(overlay), step)
	ctx, cancel := context.WithTimeout(s.ctx, s.timeout)
	defer cancel()
	build := exec.CommandContext(ctx, "go", "build", "-overlay", overlay, "-o", program, "./"+step)
	build.Dir = s.root
	if out, err := build.CombinedOutput(); err != nil {
		return told{err: fmt.Errorf("it doesn't build: %w: %s", err, out)}
	}
	run := `ip link set lo up 2>/dev/null; exec "$0"`
	lesson := exec.CommandContext(ctx, "/bin/sh", "-c", run, program)
	lesson.Env = append(os.Environ(), "HOME=/root", "TMPDIR="+filepath.Dir(overlay))
	lesson.WaitDelay = 10 * time.Second
	var stdout, stderr bytes.Buffer
	lesson.Stdout, lesson.Stderr = &stdout, &stderr
	if err := s.contain(lesson); err != nil {
		return told{err: err}
	}
	before := cgroupsOf(cgroupTree, step)
	err = lesson.Run()
	if ctx.Err() != nil || lesson.ProcessState == nil {
		return told{err: fmt.Errorf("%w: %v: %s", err, ctx.Err(), stderr.String())}
	}
	t = told{status: lesson.ProcessState.ExitCode(), stderr: strings.TrimSpace(stderr.String())}
	t.verdicts, t.output = verdictsIn(stdout.String()), stdout.String()+stderr.String()
	t.err = removeCgroups(cgroupTree, step, before)
	return t
}
