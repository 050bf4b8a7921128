// Tests of scripts/diff.sh on made-up steps: chapters quote what it prints, so it is held here to
// the letter, with each awk that this machine has.

package ladder

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// diffFrom is a step with all that the script has to tell apart.
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

// diffOutput is what the script has to print for the two.
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

// diffTree makes a repository of the two steps and the script, and returns the script's path. It is
// no git checkout.
func diffTree(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("no bash here")
	}
	top := t.TempDir()
	script, err := os.ReadFile(filepath.Join(root, "scripts", "diff.sh"))
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		file := filepath.Join(top, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write("scripts/diff.sh", string(script))
	for name, text := range diffFrom {
		write("02-two/"+name, text)
	}
	for name, text := range diffTo {
		write("03-three/"+name, text)
	}
	return filepath.Join(top, "scripts", "diff.sh")
}

// run runs the script and returns what it printed on both streams, and its exit status.
func run(t *testing.T, path string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	var out, complaint strings.Builder
	cmd := exec.Command("bash", args...)
	cmd.Stdout, cmd.Stderr = &out, &complaint
	cmd.Env = append(os.Environ(), "PATH="+path)
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), complaint.String(), cmd.ProcessState.ExitCode()
}

func TestDiffScript(t *testing.T) {
	script := diffTree(t)
	tried := 0
	for _, awk := range []string{"awk", "gawk", "mawk", "original-awk", "busybox"} {
		found, err := exec.LookPath(awk)
		if err != nil {
			continue
		}
		tried++
		t.Run(awk, func(t *testing.T) {
			// A directory in which this awk is called awk comes first in PATH.
			bin := t.TempDir()
			if err := os.Symlink(found, filepath.Join(bin, "awk")); err != nil {
				t.Fatal(err)
			}
			path := bin + string(os.PathListSeparator) + os.Getenv("PATH")
			stdout, stderr, status := run(t, path, script, "02", "03")
			if stdout != diffOutput || stderr != "" || status != 0 {
				t.Errorf("status %d, printed:\n%s%s\nwant:\n%s", status, stdout, stderr, diffOutput)
			}
		})
	}
	if tried == 0 {
		t.Skip("no awk here")
	}
}

func TestDiffScriptArguments(t *testing.T) {
	script := diffTree(t)
	top := filepath.Dir(filepath.Dir(script))
	path := os.Getenv("PATH")
	for _, test := range []struct {
		about          string
		args           []string
		status         int
		stdout, stderr string // the beginning
	}{
		{"names", []string{"02-two", "03-three"}, 0, "main.go\n", ""},
		{"paths", []string{filepath.Join(top, "02-two"), top + "/03-three/"}, 0, "main.go\n", ""},
		{"nothing to show", []string{"02", "02"}, 0, "+0 code, +0 comment, -0\n", ""},
		{"backwards", []string{"03", "02"}, 0, "main.go\n", ""},
		{"unknown", []string{"02", "09"}, 2, "",
			"diff.sh: there is no step 09; there are: 02-two 03-three\n"},
		{"too few", []string{"02"}, 2, "", "usage: scripts/diff.sh"},
		{"help", []string{"-h"}, 0, "usage: scripts/diff.sh", ""},
	} {
		stdout, stderr, status := run(t, path, append([]string{script}, test.args...)...)
		if status != test.status || !strings.HasPrefix(stdout, test.stdout) ||
			!strings.HasPrefix(stderr, test.stderr) || (stdout == "") != (test.stdout == "") ||
			(stderr == "") != (test.stderr == "") {
			t.Errorf("%s: status %d, want %d; printed:\n%s%s",
				test.about, status, test.status, stdout, stderr)
		}
	}
}
