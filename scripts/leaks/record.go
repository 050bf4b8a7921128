//go:build linux

// What the matrix should be: no worse than what was recorded, and what the steps claim.

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// record is the steps' part of the matrix as a file.
func (m *matrix) record() string {
	var out strings.Builder
	out.WriteString("# What scripts/leaktest finds in the steps, in one kind of environment; " +
		"made by\n" +
		"# scripts/leaks.sh -record, compared by -check. When a cell changes, renew it.\n")
	fmt.Fprintf(&out, "%-16s", "row")
	for _, c := range m.Columns {
		if c.Step {
			fmt.Fprintf(&out, " %-4s", c.Name)
		}
	}
	for _, r := range m.Rows {
		fmt.Fprintf(&out, "\n%-16s", r.Name)
		for _, c := range m.Columns {
			if c.Step {
				fmt.Fprintf(&out, " %-4s", words[c.verdict(r.Name)])
			}
		}
	}
	var lines []string
	for line := range strings.Lines(out.String()) {
		lines = append(lines, strings.TrimRight(line, " \n"))
	}
	return strings.Join(lines, "\n") + "\n"
}

// parseRecord reads such a file: a word for each row and column.
func parseRecord(text string) (map[string]map[string]string, error) {
	var names []string
	all := map[string]map[string]string{}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0 || strings.HasPrefix(line, "#"):
		case names == nil:
			names = fields
		case len(fields) != len(names):
			return nil, fmt.Errorf("%q: %d columns, want %d", fields[0], len(fields), len(names))
		default:
			cells := map[string]string{}
			for i, word := range fields[1:] {
				cells[names[i+1]] = word
			}
			all[fields[0]] = cells
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no rows")
	}
	return all, nil
}

// checkAgainst compares with the record in a file.
func (m *matrix) checkAgainst(file string) (bad, notes []string, err error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		// What the steps claim is checked in any case.
		return nil, []string{"there is no record for this environment; -record makes one"}, nil
	}
	if err != nil {
		return nil, nil, err
	}
	recorded, err := parseRecord(string(text))
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	bad, notes = m.compare(recorded)
	return bad, notes, nil
}

// compare finds cells that are worse than recorded, which is bad, and others that differ. That a
// probe can't be tried any more is a note only, as kernels and the load on machines differ.
func (m *matrix) compare(recorded map[string]map[string]string) (bad, notes []string) {
	const renew = "; renew the record with -record"
	for _, c := range m.Columns {
		if !c.Step {
			continue
		}
		if c.Failed != "" && m.As != asRoot && c.Name >= "07" { // who has no cgroups has no 07
			notes = append(notes, fmt.Sprintf("no column for %s: %s", c.Name, c.Failed))
			continue
		}
		if c.Failed != "" {
			bad = append(bad, fmt.Sprintf("no column for %s: %s", c.Name, c.Failed))
			continue
		}
		for _, r := range m.Rows {
			was, ok := recorded[r.Name][c.Name]
			is := words[c.verdict(r.Name)]
			change := fmt.Sprintf("%s in %s was %s, is %s", r.Name, c.Name, was, is)
			why := c.Cells[r.Name].Evidence
			switch {
			case !ok:
				bad = append(bad,
					fmt.Sprintf("%s in %s isn't in the record%s", r.Name, c.Name, renew))
			case was == is:
			case is == words[leaks] && was == words[held]:
				bad = append(bad, fmt.Sprintf("%s: %s", change, why))
			case is == words[held] && was == words[leaks]:
				bad = append(bad, fmt.Sprintf("%s: %s%s", change, why, renew))
			default:
				notes = append(notes, fmt.Sprintf("%s: %s", change, why))
			}
		}
	}
	return bad, notes
}

// rules are what must be true of the steps in any environment: from 02 on none loses a row that an
// earlier one held, and each row holds from the step on that closes it.
func (m *matrix) rules() (bad []string) {
	for _, r := range m.Rows {
		since := ""
		for _, c := range m.Columns {
			if !c.Step || c.Failed != "" || c.Name < "02" {
				continue
			}
			switch verdict := c.verdict(r.Name); {
			case verdict == held && since == "":
				since = c.Name
			case verdict == leaks && since != "":
				bad = append(bad, fmt.Sprintf("%s is held in %s, and leaks again in %s: %s", r.Name,
					since, c.Name, c.Cells[r.Name].Evidence))
			case verdict == leaks && r.Closed != "" && c.Name >= r.Closed:
				bad = append(bad, fmt.Sprintf("%s should be closed by %s, and leaks in %s: %s",
					r.Name, r.Closed, c.Name, c.Cells[r.Name].Evidence))
			}
		}
	}
	if vm := m.column("vm"); vm != nil { // what no container can hold
		for _, name := range []string{"kernel", "memory-size"} {
			if vm.verdict(name) != held {
				bad = append(bad, fmt.Sprintf("%s isn't held in a virtual machine: %s", name,
					vm.Cells[name].Evidence))
			}
		}
	}
	return append(bad, m.lastBeatsAll()...)
}

// atLeast is how many rows 08 has to hold that no runtime holds.
const atLeast = 3

// lastBeatsAll finds rows that a runtime holds with its defaults and 08 doesn't, and counts those
// that only 08 holds.
func (m *matrix) lastBeatsAll() (bad []string) {
	last := m.column("08")
	var others []*column
	for _, name := range []string{"docker", "podman", "runc", "crun", "bwrap"} {
		if c := m.column(name); c != nil {
			others = append(others, c)
		}
	}
	if last == nil || len(others) == 0 {
		return nil
	}
	only := 0
	for _, r := range m.Rows {
		nobody := true
		for _, c := range others {
			if c.verdict(r.Name) != held {
				continue
			}
			nobody = false
			if last.verdict(r.Name) == leaks {
				bad = append(bad, fmt.Sprintf("%s leaks in 08, and %s holds it: %s", r.Name, c.Name,
					c.Cells[r.Name].Evidence))
			}
		}
		if nobody && last.verdict(r.Name) == held {
			only++
		}
	}
	if only < atLeast {
		bad = append(bad, fmt.Sprintf("%d rows are held by 08 alone, want %d", only, atLeast))
	}
	return bad
}
