//go:build linux

// Which tests may be skipped.

package main

import (
	"fmt"
	"os"
	"path"
	"strings"
)

// An allowedSkip is one line of skips.txt.
type allowedSkip struct {
	// Patterns, as of path.Match; where is for KERNEL/ARCH/CGROUPS.
	step, user, test, where string
	line                    int  // its number
	used                    bool // something has been skipped by it
}

// readSkips reads skips.txt.
func readSkips(file string) ([]*allowedSkip, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	skips, err := parseSkips(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s, %w", file, err)
	}
	return skips, nil
}

// parseSkips reads lines of four patterns and a reason.
func parseSkips(text string) ([]*allowedSkip, error) {
	var all []*allowedSkip
	number := 0
	for line := range strings.Lines(text) {
		number++
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if len(fields) < 5 {
			return nil, fmt.Errorf("line %d: want STEP USER TEST WHERE and a reason", number)
		}
		for _, pattern := range fields[:4] {
			if _, err := path.Match(pattern, ""); err != nil {
				return nil, fmt.Errorf("line %d: %s: %w", number, pattern, err)
			}
		}
		all = append(all, &allowedSkip{fields[0], fields[1], fields[2], fields[3], number, false})
	}
	return all, nil
}

// allow says whether a test may be skipped, and marks all lines that say so.
func allow(all []*allowedSkip, which run, s *suite, test string) bool {
	allowed := false
	for _, a := range all {
		if matches(a.step, s.step) && matches(a.user, s.user) && matches(a.test, test) &&
			matches(a.where, which.String()) {
			a.used, allowed = true, true
		}
	}
	return allowed
}

// matches is path.Match with a pattern that is known to be well formed.
func matches(pattern, name string) bool {
	matched, _ := path.Match(pattern, name)
	return matched
}
