// Tests of stepdiff on made-up steps: chapters quote what it prints, so it is held here to the
// letter. One test runs the script that readers call.

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/fatih/color"
)

// init makes the tests independent of where they run: without colours, until a test wants them.
func init() {
	color.NoColor = true
	os.Unsetenv("NO_COLOR") // color would heed it for good
}

// diffFrom is a step with all that has to be told apart.
var diffFrom = map[string]string{
	"main.go": `//go:build linux

// 02-two: the head is noise.
package main

import "fmt"

// step is the step's own name.
const step = "02-two"

// namespaces is one flag.
const namespaces = one

// gone is in the first step only.
func gone() {
	fmt.Println()
}

// container is the inner half.
func container() error {
	// A reason.
	if err := first(); err != nil {
		return err
	}

	if err := second(); err != nil {
		return err
	}
	last()
	return nil
}

// same is in both.
func same() {}
`,
	"demo.go":      "package main\n\n// lesson of two.\n",
	"main_test.go": "package main\n",
	"old.go":       "// A part.\n\npackage main\n\nfunc old() {\n\n}\n",
	"alike.go":     "// A part of 02.\n\npackage main\n\nimport \"os\"\n\nvar a = os.Args\n",
}

// diffTo is the step after it.
var diffTo = map[string]string{
	"main.go": `//go:build linux

// 03-three: another head.
package main

import (
	"fmt"
	"os"
)

// step is the step's own name.
const step = "03-three"

// namespaces is one flag.
const namespaces = one | two

// A comment that stands alone.

// container is the inner half.
func container() error {
	// A reason.
	if err := first(); err != nil {
		return err
	}
	if err := between(); err != nil {
		return err
	}

	if err := second(); err != nil {
		return err
	}
	last()
	return nil
}

// text has a line that looks like the end of something.
const text = ` + "`" + `
}
func noFunction() {
` + "`" + `

// same is in both.
func same() {}

func (l *link) up() {
}
`,
	"demo.go":      "package main\n\n// lesson of three.\n",
	"main_test.go": "package main\n\n// more\n",
	"alike.go":     "// A part of 03.\n\npackage main\n\nimport \"os\"\n\nvar a = os.Args\n",
	"new.go": `//go:build linux

// A new part.

package main

import "os"

// fresh is new.
func fresh() {

	os.Exit(1)
}
`,
}

// diffOutput is what has to be printed for the two.
const diffOutput = `main.go
@@ const namespaces
 // namespaces is one flag.
-const namespaces = one
+const namespaces = one | two
@@ func gone (removed)
-// gone is in the first step only.
-func gone() {
-	fmt.Println()
-}
@@ // A comment that stands alone.
+// A comment that stands alone.
@@ func container
 		return err
 	}
+	if err := between(); err != nil {
+		return err
+	}

 	if err := second(); err != nil {
@@ const text
+// text has a line that looks like the end of something.
+const text = ` + "`" + `
+}
+func noFunction() {
+` + "`" + `
@@ func (l *link) up
+func (l *link) up() {
+}

new.go (new file)
+// A new part.
+
+// fresh is new.
+func fresh() {
+
+	os.Exit(1)
+}

old.go (removed file)

+13 code, +4 comment, -7
`

// madeUp makes a repository of the two steps and returns its path. It is no git checkout.
func madeUp(t *testing.T) string {
	t.Helper()
	top := t.TempDir()
	for dir, files := range map[string]map[string]string{"02-two": diffFrom, "03-three": diffTo} {
		if err := os.Mkdir(filepath.Join(top, dir), 0o755); err != nil {
			t.Fatal(err)
		}
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(top, dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return top
}

func TestArguments(t *testing.T) {
	top := madeUp(t)
	broken := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(broken, []byte("package main\n\nfunc {\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	two, three := filepath.Join(top, "02-two"), filepath.Join(top, "03-three")
	for _, test := range []struct {
		about          string
		args           []string
		status         int
		stdout, stderr string // the beginning
	}{
		{"numbers", []string{"02", "03"}, 0, diffOutput, ""},
		{"names", []string{"02-two", "03-three"}, 0, diffOutput, ""},
		{"paths", []string{two, three + "/"}, 0, diffOutput, ""},
		{"nothing to show", []string{"02", "02"}, 0, "+0 code, +0 comment, -0\n", ""},
		{"backwards", []string{"03", "02"}, 0, "main.go\n", ""},
		{"unknown", []string{"02", "09"}, 2, "",
			"diff.sh: there is no step 09; there are: 02-two 03-three\n"},
		{"no Go", []string{"02", filepath.Dir(broken)}, 2, "", "diff.sh: " + broken + ":3:6: "},
		{"empty", []string{"", "02"}, 2, "", "diff.sh: there is no step ;"},
		{"too few", []string{"02"}, 2, "", "usage: scripts/diff.sh"},
		{"too many", []string{"02", "03", "04"}, 2, "", "usage: scripts/diff.sh"},
		{"none", nil, 2, "", "usage: scripts/diff.sh"},
		{"help", []string{"-h"}, 0, "usage: scripts/diff.sh", ""},
		{"long help", []string{"--help"}, 0, "usage: scripts/diff.sh", ""},
	} {
		var stdout, stderr strings.Builder
		status := run(append([]string{top}, test.args...), &stdout, &stderr)
		check(t, test.about, status, test.status, stdout.String(), test.stdout,
			stderr.String(), test.stderr)
	}
}

// check compares an exit status, and the beginnings of both streams.
func check(t *testing.T, about string, status, wantStatus int, streams ...string) {
	t.Helper()
	ok := status == wantStatus
	for pair := range slices.Chunk(streams, 2) {
		got, want := pair[0], pair[1]
		ok = ok && strings.HasPrefix(got, want) && (got == "") == (want == "")
	}
	if !ok {
		t.Errorf("%s: status %d, want %d; printed and wanted, standard output and error:\n%s",
			about, status, wantStatus, strings.Join(streams, "\n--\n"))
	}
}

// TestScript runs scripts/diff.sh itself, which has to find its repository, to keep the exit status
// and to leave nothing behind.
func TestScript(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash here: install the package bash")
	}
	script, err := filepath.Abs("../diff.sh")
	if err != nil {
		t.Fatal(err)
	}
	noGo := t.TempDir() // a PATH with all that the script needs before it needs go
	dirname, err := exec.LookPath("dirname")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dirname, filepath.Join(noGo, "dirname")); err != nil {
		t.Fatal(err)
	}
	tmp, top := t.TempDir(), madeUp(t)
	for _, test := range []struct {
		about          string
		path           string
		args           []string
		status         int
		stdout, stderr string // the beginning
	}{
		{"paths", os.Getenv("PATH"), []string{"02-two", "./03-three"}, 0, diffOutput, ""},
		{"unknown", os.Getenv("PATH"), []string{"01-chroot", "no such"}, 2, "",
			"diff.sh: there is no step no such; there are: 01-chroot 02-"},
		{"no go", noGo, []string{"-h"}, 1, "", "diff.sh: no go command in PATH"},
	} {
		var stdout, stderr strings.Builder
		cmd := exec.Command(bash, append([]string{script}, test.args...)...)
		cmd.Dir = top
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		cmd.Env = append(os.Environ(), "TMPDIR="+tmp, "PATH="+test.path)
		if err := cmd.Run(); cmd.ProcessState == nil {
			t.Fatal(err)
		}
		check(t, test.about, cmd.ProcessState.ExitCode(), test.status,
			stdout.String(), test.stdout, stderr.String(), test.stderr)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left behind in TMPDIR: %v, %v", left, err)
	}
}

func TestColours(t *testing.T) {
	color.NoColor = false
	t.Cleanup(func() { color.NoColor = true })
	var stdout, stderr strings.Builder
	run([]string{madeUp(t), "02", "03"}, &stdout, &stderr)
	for _, line := range []string{
		"\x1b[1mmain.go\x1b", "\x1b[36m@@ const namespaces\x1b", "\n // namespaces is one flag.\n",
		"\x1b[31m-const namespaces = one\x1b", "\x1b[32m+const namespaces = one | two\x1b",
	} {
		if !strings.Contains(stdout.String(), line) {
			t.Errorf("there is no %q in:\n%q", line, stdout.String())
		}
	}
	plain := regexp.MustCompile(`\x1b\[[0-9;]*m`).ReplaceAllString(stdout.String(), "")
	if plain != diffOutput {
		t.Errorf("without the colours it is not the same:\n%s", plain)
	}
}

// TestParse: what a file is cut up into, and how that is called.
func TestParse(t *testing.T) {
	file := filepath.Join(t.TempDir(), "main.go")
	text := `//go:build linux

// Head.

// More of it.
package main // not this

// Not this.
import "os"

import ()

const a, b = 1, 2 // beside it
// above c
type c[T any] struct {
	// within
}

var d = ` + "`" + `
import "x"

func no() {
` + "`" + `

// alone

/* alone
too */

const (
	e = iota
)

const ()

func (x *c[T]) f() {}

// g is.
//
//go:noinline
func g[T any](
	x int,
) {
}

func init() {}
func init() {}

// last`
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	src, err := parse(file)
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, c := range slices.Concat(src.head, src.body) {
		got += fmt.Sprintf("%s|%d|%d|%s\n", c.title, c.nth, len(c.lines), c.lines[0])
	}
	want := `// Head.|1|1|// Head.
// More of it.|1|1|// More of it.
const a|1|1|const a, b = 1, 2 // beside it
type c|1|4|// above c
var d|1|5|var d = ` + "`" + `
// alone|1|1|// alone
/* alone|1|2|/* alone
const (...)|1|3|const (
const (...)|2|1|const ()
func (x *c[T]) f|1|1|func (x *c[T]) f() {}
func g|1|7|// g is.
func init|1|1|func init() {}
func init|2|1|func init() {}
// last|1|1|// last
`
	if got != want {
		t.Errorf("cut up into:\n%s\nwant:\n%s", got, want)
	}
}

// TestAlign: where several answers are right, the one that reads best. A line is a word here.
func TestAlign(t *testing.T) {
	for _, test := range []struct{ old, new, want string }{
		{"", "", ""},
		{"", "one", "+one"},
		{"one two", "", "-one -two"},
		{"one two three", "one 2 three", " one -two +2  three"},
		// A brace in common is less than a line.
		{"first } second", "second }", "-first -}  second +}"},
		// Which of two equal blocks is new: the second one, and whole.
		{"{ body }", "{ body } { body }", " {  body  } +{ +body +}"},
		{"{ \tx } { \ty }", "{ \tx } { \tz } { \ty }", " {  \tx  } +{ +\tz +}  {  \ty  }"},
		{"{ \tx } { \tz } { \ty }", "{ \tx } { \ty }", " {  \tx  } -{ -\tz -}  {  \ty  }"},
	} {
		var got []string
		for _, e := range align(words(test.old), words(test.new)) {
			got = append(got, string(e.op)+e.line)
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%q and %q: got %q, want %q", test.old, test.new, got, test.want)
		}
	}
}

// words splits at single spaces, and nothing into nothing.
func words(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, " ")
}

// TestLesson: a name is to be taken off the list when no step has such a file any more.
func TestLesson(t *testing.T) {
	for _, name := range lesson {
		found, err := filepath.Glob("../../[0-9][0-9]-*/" + name)
		if err != nil || len(found) == 0 {
			t.Errorf("no step has a %s (%v)", name, err)
		}
	}
}
