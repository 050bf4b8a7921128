//go:build linux

// What the machine says, by the serial line: lines of init.sh, which begin with "vm: ", and between
// them the output of the tests (go test -v).

package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// users are those that the tests run as.
var users = []string{"root", "user"}

// A suite is the tests of one step, or the leak test, run by one user. Of the leak test, a column
// that was made is a test that has passed: what it holds is judged by scripts/leaks.
type suite struct {
	step, user     string
	passed, failed int
	skipped        []skip
	status         int      // what they ended with; -1 if they have not ended
	lines          []string // what they said
	current        string   // the test that runs
	reasons        map[string]string
	file           string   // name of the leak test's record; "" as long as there is none
	record         []string // its lines
}

// A skip is one test that was skipped.
type skip struct{ test, reason string }

// results is what one machine has said.
type results struct {
	steps   []string // that are to be tested
	release string   // of the kernel; "" as long as it isn't up
	suites  []*suite
	open    bool     // the last suite hasn't ended
	exit    string   // the marker: the exit status, "" if there was none
	loose   []string // lines that belong to no suite
}

// newResults begins with nothing heard.
func newResults(steps []string) *results { return &results{steps: steps} }

// up says whether the machine has got as far as to run tests.
func (r *results) up() bool { return r.release != "" }

// The lines of go test -v that count. A subtest is indented.
var (
	outcomeLine = regexp.MustCompile(`^ *--- (PASS|FAIL|SKIP): (\S+) \(`)
	currentLine = regexp.MustCompile(`^=== (?:RUN|CONT|NAME) +(\S+)`)
	messageLine = regexp.MustCompile(`^ +\w+\.go:\d+: (.*)`)
	columnLine  = regexp.MustCompile(`^\d\d +\d+ held +\d+ leak +\d+ n/a `) // scripts/leaks
)

// read takes in one line.
func (r *results) read(line string) {
	words := strings.Fields(line)
	if len(words) < 2 || words[0] != "vm:" {
		if r.open {
			r.suites[len(r.suites)-1].read(line)
		} else {
			r.loose = append(r.loose, line)
		}
		return
	}
	switch {
	case words[1] == "up" && len(words) == 3:
		r.release = words[2]
	case words[1] == "exit" && len(words) == 3:
		r.exit = words[2]
	case words[1] == "begin" && len(words) == 4:
		s := &suite{step: words[2], user: words[3], status: -1, reasons: map[string]string{}}
		r.suites, r.open = append(r.suites, s), true
	case words[1] == "record" && len(words) == 3 && r.open:
		r.suites[len(r.suites)-1].file = words[2]
	case words[1] == "end" && len(words) == 5 && r.open:
		s := r.suites[len(r.suites)-1]
		r.open = false
		if s.step != words[2] || s.user != words[3] {
			return // and so it has not ended
		}
		if _, err := fmt.Sscan(words[4], &s.status); err != nil {
			s.status = -1
		}
	default:
		r.loose = append(r.loose, line)
	}
}

// read takes in one line of the tests' output.
func (s *suite) read(line string) {
	s.lines = append(s.lines, line)
	if s.file != "" {
		s.record = append(s.record, line)
	} else if columnLine.MatchString(line) {
		s.passed++
	} else if m := currentLine.FindStringSubmatch(line); m != nil {
		s.current = m[1]
	} else if m := messageLine.FindStringSubmatch(line); m != nil {
		s.reasons[s.current] = m[1]
	} else if m := outcomeLine.FindStringSubmatch(line); m != nil {
		switch m[1] {
		case "PASS":
			s.passed++
		case "FAIL":
			s.failed++
		case "SKIP":
			s.skipped = append(s.skipped, skip{m[2], s.reasons[m[2]]})
		}
	}
}

// saveRecords writes the records of the leak test into the repository, where that has succeeded.
func (r *results) saveRecords(root string) error {
	for _, s := range r.suites {
		if s.file == "" || s.status != 0 {
			continue
		}
		file := filepath.Join(root, "scripts", "leaks", "record", filepath.Base(s.file))
		text := strings.Join(s.record, "\n") + "\n"
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// problems lists all for which the machine's run isn't a success.
func (r *results) problems(which run, allowed []*allowedSkip) []string {
	var all []string
	add := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	i := 0
	for _, step := range r.steps {
		for _, user := range users {
			if i >= len(r.suites) || r.suites[i].step != step || r.suites[i].user != user {
				add("%s as %s was not run", step, user)
				continue
			}
			s := r.suites[i]
			i++
			switch {
			case s.status == -1:
				add("%s as %s has not ended", step, user)
			case s.status != 0 || s.failed > 0:
				add("%s as %s: %d failed, exit status %d", step, user, s.failed, s.status)
			case s.passed == 0:
				add("%s as %s: no test has passed", step, user)
			}
			for _, one := range s.skipped {
				if !allow(allowed, which, s, one.test) {
					add("%s as %s: %s was skipped (%s), and skips.txt doesn't say that it may be",
						step, user, one.test, one.reason)
				}
			}
		}
	}
	switch r.exit {
	case "0":
	case "":
		add("the machine went off without a word, as after a panic")
	default:
		add("the machine says %s", r.exit)
	}
	return all
}

// print prints what there is to know in the end: numbers, skips, and the output of what failed.
func (r *results) print(w io.Writer, which run, problems []string) {
	fmt.Fprintf(w, "\n%-20s %-5s %7s %7s %8s\n", which, "user", "passed", "failed", "skipped")
	for _, s := range r.suites {
		fmt.Fprintf(w, "%-20s %-5s %7d %7d %8d\n",
			s.step, s.user, s.passed, s.failed, len(s.skipped))
	}
	for _, s := range r.suites {
		for _, one := range s.skipped {
			fmt.Fprintf(w, "skipped: %s as %s: %s: %s\n", s.step, s.user, one.test, one.reason)
		}
	}
	for _, s := range r.suites {
		if s.status == 0 {
			continue
		}
		fmt.Fprintf(w, "\n%s as %s said:\n", s.step, s.user)
		for _, line := range s.lines {
			if !currentLine.MatchString(line) && !strings.Contains(line, "--- PASS: ") {
				fmt.Fprintln(w, line)
			}
		}
	}
	if r.exit == "" {
		fmt.Fprintf(w, "\nbeside the tests, it said:\n%s\n", strings.Join(r.loose, "\n"))
	}
	for _, problem := range problems {
		fmt.Fprintf(w, "FAILED: %s\n", problem)
	}
}

// heading is the first line of the table.
var heading = fmt.Sprintf(rowFormat, "kernel", "arch", "cgroups", "passed", "failed", "skipped",
	"minutes", "")

const rowFormat = "%-28s %-5s %-7s %7s %7s %8s %8s  %s\n"

// row is a machine's line in the table.
func row(which run, r *results, problems []string, took time.Duration) string {
	passed, failed, skipped := 0, 0, 0
	for _, s := range r.suites {
		passed, failed, skipped = passed+s.passed, failed+s.failed, skipped+len(s.skipped)
	}
	cgroups, verdict := "v2", "ok"
	if which.v1 {
		cgroups = "v1"
	}
	if len(problems) > 0 {
		verdict = "FAILED"
	}
	return fmt.Sprintf(rowFormat, r.release, which.arch, cgroups, fmt.Sprint(passed),
		fmt.Sprint(failed), fmt.Sprint(skipped), fmt.Sprintf("%.1f", took.Minutes()), verdict)
}
