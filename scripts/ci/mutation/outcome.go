// Reading what "go test -json" says.

package main

import (
	"bufio"
	"encoding/json"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// event is one line of "go test -json" ("go doc test2json", "go help buildjson").
type event struct {
	Action      string
	Test        string
	Output      string
	FailedBuild string
}

// outcome is what came of one run of tests.
type outcome struct {
	results     map[string]string   // by test: pass, fail or skip
	lines       map[string][]string // by test, and what no test said by ""
	build       []string            // what the compiler said
	output      strings.Builder     // everything, as without -json
	buildFailed bool
	timedOut    bool
}

// readEvents reads a whole run. What isn't JSON is the output of something that got in between.
func readEvents(r io.Reader) *outcome {
	o := &outcome{results: map[string]string{}, lines: map[string][]string{}}
	reader := bufio.NewReader(r)
	for {
		line, err := reader.ReadString('\n')
		if line != "" {
			var e event
			if json.Unmarshal([]byte(line), &e) != nil {
				e = event{Action: "output", Output: line}
			}
			o.add(e)
		}
		if err != nil {
			return o
		}
	}
}

// add takes in one event.
func (o *outcome) add(e event) {
	o.output.WriteString(e.Output)
	switch e.Action {
	case "build-output":
		o.build = append(o.build, e.Output)
	case "build-fail":
		o.buildFailed = true
	case "output":
		o.lines[e.Test] = append(o.lines[e.Test], e.Output)
		if strings.HasPrefix(e.Output, "panic: test timed out after ") {
			o.timedOut = true
		}
	case "pass", "fail", "skip":
		if e.Test != "" {
			o.results[e.Test] = e.Action
		}
		if e.FailedBuild != "" {
			o.buildFailed = true
		}
	}
}

// selected returns the tests that a regular expression for -run stands for, sorted: for one of two
// parts the subtests, without their parents, which ran for their sake.
func (o *outcome) selected(run string) []string {
	var parts []*regexp.Regexp
	for part := range strings.SplitSeq(run, "/") {
		pattern, err := regexp.Compile(part)
		if err != nil {
			return nil // "go test" has refused it
		}
		parts = append(parts, pattern)
	}
	var names []string
	for name := range o.results {
		at := strings.Split(name, "/")
		matches := len(at) == len(parts)
		for i := 0; matches && i < len(at); i++ {
			matches = parts[i].MatchString(at[i])
		}
		if matches {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// place is how a message of a test begins: with the line of the source that it comes from.
var place = regexp.MustCompile(`^\s*\S+\.go:\d+: `)

// message returns the first thing that a test and its subtests had to say, of those with the same
// result: what failed, if it failed. An error looks like a log line there, so a test that logs
// before it fails is quoted with its log.
func (o *outcome) message(test string) string {
	var names []string
	for name, result := range o.results {
		if (name == test || strings.HasPrefix(name, test+"/")) && result == o.results[test] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, begins := range []*regexp.Regexp{place, regexp.MustCompile(`^(panic|fatal error): `)} {
		for _, name := range names {
			for i, line := range o.lines[name] {
				if !begins.MatchString(line) {
					continue
				}
				line = strings.TrimSpace(line)
				if strings.HasSuffix(line, ":") && i+1 < len(o.lines[name]) {
					line += " " + strings.TrimSpace(o.lines[name][i+1])
				}
				return line
			}
		}
	}
	return "it gave no message"
}

// skips tells of a subtest that skipped: with it a test that "passes" has looked at less than its
// name says.
func (o *outcome) skips(test string) string {
	for _, name := range slices.Sorted(maps.Keys(o.results)) {
		if strings.HasPrefix(name, test+"/") && o.results[name] == "skip" {
			return "; " + name + " skips: " + o.message(name)
		}
	}
	return ""
}

// complaint returns the first thing that the compiler had to say.
func (o *outcome) complaint() string {
	for _, line := range o.build {
		if !strings.HasPrefix(line, "#") && strings.TrimSpace(line) != "" {
			return strings.TrimSpace(line)
		}
	}
	return o.last()
}

// last returns the last line of the output that says something.
func (o *outcome) last() string {
	lines := strings.Split(strings.TrimSpace(o.output.String()), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}
