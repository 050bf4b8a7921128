// Package steptest is what the tests of all steps share.
package steptest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// listed is where this package of tests lists what it skips, for scripts/skips.sh: go test itself
// doesn't mention skipped tests. The empty string is nowhere, as in a virtual machine that has the
// tests without the tree.
var listed string

// init starts the list anew. It also makes the tests find nft, which Debian keeps out of a user's
// PATH. (The steps look for it themselves.)
func init() {
	if !strings.HasSuffix(os.Args[0], ".test") { // the test binary is the step's program as well
		return
	}
	os.Setenv("PATH", os.Getenv("PATH")+":/usr/local/sbin:/usr/sbin:/sbin")
	root, err := os.Getwd() // go test starts it in the package's directory
	if err != nil {
		return
	}
	dir := root
	for ; ; root = filepath.Dir(root) {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			break
		}
		if root == filepath.Dir(root) {
			return
		}
	}
	name, err := filepath.Rel(root, dir)
	if err != nil {
		return
	}
	listed = filepath.Join(root, ".skips", strings.ReplaceAll(name, "/", "."))
	_ = os.Remove(listed) // there may be none
}

// Need skips a test where a program isn't installed, and returns its path. pkg is the package that
// has it, by Debian's name.
func Need(t testing.TB, program, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		Skip(t, "no %s here: apt-get install %s", program, pkg)
	}
	return path
}

// Skip skips a test and lists it. The reason is what was found before the test, never that the test
// fails, and says what would make it run.
func Skip(t testing.TB, format string, args ...any) {
	t.Helper()
	List(t.Name(), fmt.Sprintf(format, args...))
	t.Skipf(format, args...)
}

// List lists something that isn't run, and why. A list that can't be written is no reason to fail:
// the tree may be read-only.
func List(name, why string) {
	if listed == "" {
		return
	}
	_ = os.MkdirAll(filepath.Dir(listed), 0o777)
	file, err := os.OpenFile(listed, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666)
	if err != nil {
		return
	}
	defer file.Close()
	fmt.Fprintf(file, "%s\t%s\n", name, strings.Join(strings.Fields(why), " "))
}
