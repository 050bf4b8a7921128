//go:build linux

// What can be tested without a machine.

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// twoSteps is what a machine says that tests two steps, without a fault. Kernel and qemu may say
// something before.
const twoSteps = `[    0.1] something of the kernel's
vm: up 6.1.0-9-cloud-amd64
vm: begin 01-a root
=== RUN   TestOne
=== RUN   TestOne/root
=== RUN   TestOne/user
--- PASS: TestOne (0.10s)
    --- PASS: TestOne/root (0.05s)
    --- PASS: TestOne/user (0.05s)
PASS
vm: end 01-a root 0
vm: begin 01-a user
=== RUN   TestOne
--- PASS: TestOne (0.10s)
=== RUN   TestTwo
    main_test.go:7: it rains
--- SKIP: TestTwo (0.00s)
PASS
vm: end 01-a user 0
vm: begin 02-b root
--- PASS: TestOne (0.10s)
vm: end 02-b root 0
vm: begin 02-b user
--- PASS: TestOne (0.10s)
vm: end 02-b user 0
vm: exit 0
`

// problemsOf has a text read as that of a machine with two steps.
func problemsOf(text, skips string) (*results, string) {
	r := newResults([]string{"01-a", "02-b"})
	for line := range strings.Lines(text) {
		r.read(strings.TrimSuffix(line, "\n"))
	}
	allowed, err := parseSkips(skips)
	if err != nil {
		return r, err.Error()
	}
	return r, strings.Join(r.problems(run{"6.1", "amd64", false}, allowed), "\n")
}

// TestProblems alters what the machine says, by one text in place of another, and looks for what is
// made of it.
func TestProblems(t *testing.T) {
	const skips = "01-a user TestTwo */*/* the weather\n"
	for _, c := range []struct{ old, new, skips, want string }{
		{"", "", skips, ""},
		{"vm: exit 0\n", "", skips, "went off without a word"},
		{"vm: exit 0\n", "Kernel panic - not syncing\n", skips, "went off without a word"},
		{"vm: exit 0\n", "vm: exit 1\n", skips, "the machine says 1"},
		{"end 02-b root 0", "end 02-b root 2", skips, "02-b as root: 0 failed, exit status 2"},
		{"PASS: TestOne/user", "FAIL: TestOne/user", skips, "01-a as root: 1 failed"},
		{"vm: end 02-b root 0\n", "", skips, "02-b as root has not ended"},
		{"vm: end 02-b root 0\n", "vm: end 02-b user 0\n", skips, "02-b as root has not ended"},
		{"vm: end 02-b root 0\n", "vm: end 02-b root zero\n", skips, "02-b as root has not ended"},
		{"vm: begin 02-b user\n--- PASS: TestOne (0.10s)\nvm: end 02-b user 0\n", "", skips,
			"02-b as user was not run"},
		{"02-b user\n--- PASS: TestOne (0.10s)\n", "02-b user\n", skips, "no test has passed"},
		{"", "", "", "TestTwo was skipped (it rains)"},
		{"", "", "01-a root TestTwo */*/* why\n", "TestTwo was skipped (it rains)"},
		{"", "", "* * * 6.1/*/v1 why\n", "TestTwo was skipped (it rains)"},
		{"", "", "* * Test* 6.*/amd64/v2 why\n", ""},
		{"SKIP: TestTwo", "SKIP: TestTwo/user", "* * Test* */*/* why\n", "TestTwo/user was"},
	} {
		if !strings.Contains(twoSteps, c.old) {
			t.Fatalf("there is no %q", c.old)
		}
		_, got := problemsOf(strings.Replace(twoSteps, c.old, c.new, 1), c.skips)
		if !strings.Contains(got, c.want) || (c.want == "") != (got == "") {
			t.Errorf("%q for %q, with %q: %q, want %q", c.new, c.old, c.skips, got, c.want)
		}
	}
}

// TestRecords reads what the leak test says, and looks for the records that are written of it.
func TestRecords(t *testing.T) {
	const text = `vm: up 6.1
vm: begin leaks root
01       4 held  59 leak   3 n/a  (7.0 s)
08      60 held   3 leak   3 n/a  (7.0 s)
as root, Linux 6.1
vm: record root-v2.txt
# a comment
row 01
vm: end leaks root 0
vm: begin leaks user
01       4 held  59 leak   3 n/a  (7.0 s)
vm: record user-v2.txt
row 01
vm: end leaks user 1
vm: exit 1
`
	r := newResults([]string{leakTest})
	for line := range strings.Lines(text) {
		r.read(strings.TrimSuffix(line, "\n"))
	}
	if root := r.suites[0]; root.passed != 2 {
		t.Errorf("%d columns, want 2", root.passed)
	}
	dir := t.TempDir()
	record := filepath.Join(dir, "scripts", "leaks", "record")
	if err := os.MkdirAll(record, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := r.saveRecords(dir); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(record, "root-v2.txt"))
	if want := "# a comment\nrow 01\n"; err != nil || string(got) != want {
		t.Errorf("record %q, %v, want %q", got, err, want)
	}
	// That of the run that failed is none.
	if _, err := os.Stat(filepath.Join(record, "user-v2.txt")); !os.IsNotExist(err) {
		t.Errorf("after a failure: %v", err)
	}
}

// TestSkips reads lists.
func TestSkips(t *testing.T) {
	for text, want := range map[string]string{
		"# a comment\n\n 01 root Test */*/* a reason, with words\n": "1",
		"01 root Test */*/*\n":        "line 1: want STEP",
		"\n01 [ Test */*/* reason\n":  "line 2: [: syntax error in pattern",
		"a b c d e\na b c d e\n# end": "2",
	} {
		skips, err := parseSkips(text)
		got := strconv.Itoa(len(skips))
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if _, err := readSkips("skips.txt"); err != nil {
		t.Error(err)
	}
}

// TestScript looks whether init.sh and results.go speak the same language, and about the timeout
// that has to come first.
func TestScript(t *testing.T) {
	text, err := os.ReadFile("init.sh")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`echo "vm: up `, `echo "vm: begin $1 $2"`, `echo "vm: end $1 $2 $status"`,
		`echo "vm: exit $all"`, "echo vm: record $record", "try " + leakTest + ` "$1"`,
		"for user in " + strings.Join(users, " ") + "; do",
		fmt.Sprintf("-test.timeout=%.0fs", testTimeout.Seconds()),
	} {
		if !strings.Contains(string(text), line) {
			t.Errorf("no %q in init.sh", line)
		}
	}
	if testTimeout >= silence {
		t.Errorf("tests end after %v, the machine after %v", testTimeout, silence)
	}
}
