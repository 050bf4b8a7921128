//go:build linux

// Tests of the matrix: one is made of the steps and held against the record and the rules, and each
// row is to have both outcomes in it. The rules themselves are tested with made-up matrices.

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fatih/color"
	"golang.org/x/sys/unix"
	"jail-to-container/scripts/steptest"
)

// init makes the tests independent of where they run.
func init() { color.NoColor = true }

// neverHeld are the rows that no step holds, and where instead they were seen to hold.
var neverHeld = map[string]string{
	"kernel":      "TestFalseFacts of leaktest",
	"memory-size": "TestFalseFacts of leaktest",
}

// TestSteps runs leaktest in the steps: no cell may be worse than recorded, none may break the
// rules, and the host must be as before. As root each row leaks somewhere and is held somewhere, so
// that no row is red or green whatever happens.
func TestSteps(t *testing.T) {
	// go test remembers what a test has passed with, by the files that it has looked at.
	for _, pattern := range []string{"../../[0-9]*-*/*.go", "../leaktest/*.go", "../leaks.sh"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, file := range files {
			if _, err := os.Stat(file); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, capability := range []int{unix.CAP_DAC_READ_SEARCH, unix.CAP_SYS_BOOT,
		unix.CAP_SYS_NICE, unix.CAP_SYS_PACCT, unix.CAP_SYS_TIME, unix.CAP_SYSLOG} {
		if os.Getuid() == 0 && !steptest.Holds(capability) {
			steptest.Skip(t, "the record is of a host's root, who has capability %d; run it there",
				capability)
		}
	}
	steptest.NeedNamespaces(t)
	if os.Getuid() != 0 && steptest.ProcHides() {
		steptest.Skip(t, "the record is of a /proc that hides nothing; run it as root, or after "+
			"mount -o remount,hidepid=0 /proc")
	}
	cmd := exec.Command("../leaks.sh", "-check", "-format", "json")
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	t.Logf("%s", complaint.String())
	if err != nil {
		t.Fatalf("leaks.sh -check: %v", err)
	}
	var m matrix
	if err := json.Unmarshal(out, &m); err != nil {
		t.Fatal(err)
	}
	if len(m.Columns) != 8 || len(m.Rows) < 40 {
		t.Fatalf("%d columns and %d rows, want 8 and at least 40", len(m.Columns), len(m.Rows))
	}
	if m.As != asRoot {
		return
	}
	for _, r := range m.Rows {
		seen := map[string]bool{}
		lacking := false
		for _, c := range m.Columns {
			cell := c.Cells[r.Name]
			if cell.Evidence == "" {
				t.Errorf("%s in %s: no evidence", r.Name, c.Name)
			}
			seen[cell.Verdict] = true
			lacking = lacking || strings.Contains(cell.Evidence, "this kernel has no") ||
				strings.Contains(cell.Evidence, "the host has no")
		}
		if lacking {
			t.Logf("%s can't leak here: the kernel lacks it", r.Name)
			continue
		}
		if !seen[leaks] {
			t.Errorf("%s leaks in no step", r.Name)
		}
		if !seen[held] && neverHeld[r.Name] == "" {
			t.Errorf("%s is held in no step", r.Name)
		}
		if seen[held] && neverHeld[r.Name] != "" {
			t.Errorf("%s is held in a step, and shouldn't be excused any more", r.Name)
		}
	}
}

// made makes a matrix of words: a row each, first its name and the step that closes it, then a word
// for each column.
func made(columns string, rows ...string) *matrix {
	m := &matrix{As: asRoot, Kernel: "6.1.0", Cgroup: "v2", Date: "2026-01-02"}
	for _, name := range strings.Fields(columns) {
		m.Columns = append(m.Columns,
			&column{Name: name, Step: name < "1", Cells: map[string]cell{}})
	}
	for _, text := range rows {
		fields := strings.Fields(text)
		closed := strings.Trim(fields[1], "-")
		m.Rows = append(m.Rows,
			row{Name: fields[0], Area: "area", Leaks: "It | leaks.", Closed: closed})
		for i, word := range fields[2:] {
			for verdict, name := range words {
				if name == word {
					m.Columns[i].Cells[fields[0]] = cell{verdict, "seen <so>"}
				}
			}
		}
	}
	return m
}

// TestRules: what breaks them, and what doesn't.
func TestRules(t *testing.T) {
	for _, test := range []struct {
		name, columns string
		rows          []string
		want          string
	}{
		{"good", "01 02 03", []string{"a 03 held LEAK held"}, ""},
		{"lost", "02 03 04", []string{"a - held LEAK LEAK"},
			"a is held in 02, and leaks again in 03"},
		{"01 stands alone", "01 02 03", []string{"a - held LEAK LEAK"}, ""},
		{"n/a is no loss", "02 03 04", []string{"a 03 held n/a held"}, ""},
		{"lost after n/a", "02 03 04", []string{"a - held n/a LEAK"}, "leaks again in 04"},
		{"not closed", "02 03 04", []string{"a 03 LEAK LEAK held"},
			"a should be closed by 03, and leaks in 03"},
		{"08 alone", "07 08 runc", []string{"a 08 LEAK held LEAK", "b 08 LEAK held LEAK",
			"c 08 LEAK held LEAK", "d 08 LEAK held held"}, ""},
		{"too few", "07 08 runc", []string{"a 08 LEAK held held", "b 08 LEAK held LEAK"},
			"1 rows are held by 08 alone"},
		{"beaten", "07 08 runc", []string{"a 08 LEAK held LEAK", "b 08 LEAK held LEAK",
			"c 08 LEAK held LEAK", "d - LEAK LEAK held"}, "d leaks in 08, and runc holds it"},
		{"own kernel", "08 vm", []string{"kernel - LEAK held", "memory-size - LEAK held",
			"a 08 held n/a"}, ""},
		{"shared kernel", "08 vm", []string{"kernel - LEAK LEAK", "memory-size - LEAK held"},
			"kernel isn't held in a virtual machine"},
		{"no answer", "08 vm", []string{"kernel - LEAK held", "memory-size - LEAK n/a"},
			"memory-size isn't held in a virtual machine"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := made(test.columns, test.rows...).rules()
			switch {
			case test.want == "" && len(got) > 0:
				t.Errorf("complains %q", got)
			case test.want != "" && (len(got) == 0 || !strings.Contains(got[0], test.want)):
				t.Errorf("complains %q, want %q", got, test.want)
			}
		})
	}
}

// TestRecord: what is worse is bad, what is better is bad too (it asks for a new record), and what
// can't be tried any more is a note.
func TestRecord(t *testing.T) {
	recorded, err := parseRecord(made("01 02", "a - held LEAK", "b - LEAK held").record())
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		a, b, bad, note string
	}{
		{"a - held LEAK", "b - LEAK held", "", ""},
		{"a - LEAK LEAK", "b - LEAK held", "a in 01 was held, is LEAK: seen", ""},
		{"a - held held", "b - LEAK held", "a in 02 was LEAK, is held: seen <so>; renew", ""},
		{"a - n/a LEAK", "b - LEAK held", "", "a in 01 was held, is n/a"},
		{"a - held n/a", "b - LEAK held", "", "a in 02 was LEAK, is n/a"},
		{"a - held LEAK", "new - LEAK held", "new in 01 isn't in the record", ""},
		{"a - held LEAK", "b - LEAK -", "", "b in 02 was held, is -"},
	} {
		bad, notes := made("01 02", test.a, test.b).compare(recorded)
		first := func(all []string) string { return strings.Join(all[:min(1, len(all))], "") }
		if !strings.HasPrefix(first(bad), test.bad) || test.bad == "" && len(bad) > 0 {
			t.Errorf("%q, %q: bad is %q, want %q", test.a, test.b, bad, test.bad)
		}
		if !strings.HasPrefix(first(notes), test.note) || test.note == "" && len(notes) > 0 {
			t.Errorf("%q, %q: notes are %q, want %q", test.a, test.b, notes, test.note)
		}
	}
	// A step that doesn't start is no step that holds everything. Only an ordinary user may be
	// without cgroups, and so without 07.
	for _, test := range []struct{ name, as, bad, note string }{
		{"01", "an ordinary user", "no column for 01: why", ""},
		{"07", asRoot, "no column for 07: why", ""},
		{"07", "an ordinary user", "", "no column for 07: why"},
	} {
		m := &matrix{As: test.as, Rows: []row{{Name: "a"}},
			Columns: []*column{{Name: test.name, Step: true, Failed: "why"}}}
		bad, notes := m.compare(recorded)
		if strings.Join(bad, "|") != test.bad || strings.Join(notes, "|") != test.note {
			t.Errorf("%s as %s: %q, %q", test.name, test.as, bad, notes)
		}
	}
	for _, wrong := range []string{"", "row 01\na held LEAK\n", "# only this\n"} {
		if _, err := parseRecord(wrong); err == nil {
			t.Errorf("%q is taken for a record", wrong)
		}
	}
}

// TestRecordsAreComplete: each record in the tree has all the rows and steps that there are.
func TestRecordsAreComplete(t *testing.T) {
	files, err := filepath.Glob("record/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no records: %v", err)
	}
	out, err := exec.Command("go", "run", "../leaktest", "list").Output()
	if err != nil {
		t.Fatalf("leaktest list: %v", err)
	}
	var rows []row
	if err := json.Unmarshal(out, &rows); err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		recorded, err := parseRecord(string(text))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, r := range rows {
			if len(recorded[r.Name]) != 8 {
				t.Errorf("%s: %s has %d cells, want 8", file, r.Name, len(recorded[r.Name]))
			}
		}
		if len(recorded) != len(rows) {
			t.Errorf("%s: %d rows, there are %d probes", file, len(recorded), len(rows))
		}
	}
}

// TestComplete: what a container's sudden end means for the probes without an answer.
func TestComplete(t *testing.T) {
	m := made("07", "a - held", "memory - -", "z - -")
	killed := exec.Command("sh", "-c", "exit 137").Run()
	c := &column{Cells: map[string]cell{"a": {held, "so"}}}
	c.complete(m, result{"memory", trying, "48 MiB touched"}, killed)
	if c.verdict("a") != held || c.verdict("memory") != held || c.verdict("z") != na {
		t.Errorf("after a kill: %v", c.Cells)
	}
	c = &column{Cells: map[string]cell{}}
	c.complete(m, result{"memory", trying, "48 MiB touched"}, nil)
	if c.verdict("memory") != na {
		t.Errorf("without a kill: %v", c.Cells)
	}
	c = &column{Cells: map[string]cell{"cpu": {na, "busy"}},
		seen: map[string]result{"cpu": {"cpu", held, "5"}}}
	c.complete(m, result{}, nil)
	if c.verdict("cpu") != held {
		t.Errorf("a limit that the host sees: %v", c.Cells)
	}
	c.Cells["cpu"] = cell{leaks, "much"}
	c.complete(m, result{}, nil)
	if c.verdict("cpu") != leaks {
		t.Errorf("what was felt counts for more: %v", c.Cells)
	}
}

// TestState: a setting changed, a file left, a process left are each noticed; nothing changed
// isn't.
func TestState(t *testing.T) {
	before := state{"setting a": "0", "file b": "there", "interface veth": "x", "mount m": "rw"}
	after := state{"setting a": "1", "file b": "there", "process 7": "sleep", "mount m": "rw"}
	want := []string{`process 7 is new (sleep)`, `setting a was "0", is "1"`}
	if got := before.diff(after); !slices.Equal(got, want) {
		t.Errorf("differences %q, want %q", got, want)
	}
	dir := t.TempDir()
	for _, sub := range []string{"work", "home"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	own := func() state { s := state{}; s.takeOwn(dir); return s }
	quiet := own()
	if err := os.WriteFile(filepath.Join(dir, "work", "left"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	left := exec.Command("sleep", "60")
	if err := left.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = left.Process.Kill(); _ = left.Wait() }()
	got := quiet.diff(own())
	if len(got) != 2 || got[0] != "file work/left is new (there)" ||
		!strings.HasSuffix(got[1], "is new (sleep)") {
		t.Errorf("differences %q, want the file and the process", got)
	}
	old, fresh := filepath.Join(dir, "old"), filepath.Join(dir, "fresh")
	if err := os.Mkdir(old, 0o755); err != nil {
		t.Fatal(err)
	}
	remove := ifNew(old, fresh)
	if err := errors.Join(os.MkdirAll(fresh+"/below", 0o755), remove()); err != nil {
		t.Fatal(err)
	}
	_, gone := os.Stat(fresh)
	if _, err := os.Stat(old); err != nil || gone == nil {
		t.Errorf("what was there: %v; what was new: %v", err, gone)
	}
	if len(state{}.diff(state{})) != 0 {
		t.Error("nothing is different, and that is noticed")
	}
}

// TestChaptersNameTheirRows compares what the chapters say of the leak test with the record: at the
// end of each stand the rows that leak there and are held from the next step on, and the command
// that shows them.
func TestChaptersNameTheirRows(t *testing.T) {
	recorded, err := os.ReadFile("record/root-v1.txt")
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 8; n++ {
		var want []string
		for line := range strings.Lines(string(recorded)) {
			cells := strings.Fields(line)
			if len(cells) != 9 || cells[n] != "LEAK" || n < 8 && cells[n+1] != "held" {
				continue
			}
			want = append(want, "`"+cells[0]+"`")
		}
		sentence := fmt.Sprintf("these attacks get through in %02d and fail from %02d on: ", n, n+1)
		if n == 8 {
			sentence = "these attacks get through in all eight steps: "
		}
		chapters, err := filepath.Glob(fmt.Sprintf("../../%02d-*/README.md", n))
		if err != nil || len(chapters) != 1 {
			t.Fatalf("chapters of %02d: %q, %v", n, chapters, err)
		}
		text, err := os.ReadFile(chapters[0])
		if err != nil {
			t.Fatal(err)
		}
		sentence += strings.Join(want, ", ") + "."
		first := min(n, 7)
		command := fmt.Sprintf("`scripts/leaks.sh -only %02d,%02d -changed`", first, first+1)
		for _, want := range []string{sentence, command} {
			if !strings.Contains(strings.Join(strings.Fields(string(text)), " "), want) {
				t.Errorf("%s doesn't say: %s", chapters[0], want)
			}
		}
	}
}

// TestChanged: only the rows that differ are shown, and why.
func TestChanged(t *testing.T) {
	m := made("02 03", "a 03 LEAK held", "b - LEAK LEAK", "c 02 held held", "d - held n/a")
	got, err := m.changed("02", "03")
	want := `2 of 4 rows differ between 02 and 03:

a: It | leaks. (closed by 03; )
    02     LEAK  seen <so>
    03     held  seen <so>

d: It | leaks. (no container closes it; )
    02     held  seen <so>
    03     n/a   seen <so>
`
	if err != nil || got != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
	m.Columns[1].Failed = "why"
	if got, err := m.changed("02", "03"); err == nil ||
		err.Error() != "no column for 03: why; nothing to compare" {
		t.Errorf("without 03: %q, %v", got, err)
	}
}
