// The tests of the repository itself: the steps against each other, and the shape of the tree.

package ladder

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/types"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// root is the repository: a test's working directory is that of its package.
const root = "../.."

// topLevelNames is all that a reader finds on the repository's first page, dot-files aside.
var topLevelNames = []string{
	"01-chroot", "02-pid-namespace", "03-mount-namespace", "04-uts-ipc", "05-user-namespace",
	"06-network", "07-cgroups", "08-full-container", "scripts", "go.mod", "go.sum", "README.md",
}

// directDependencies is all that a step may import beside the standard library.
var directDependencies = []string{"github.com/fatih/color", "golang.org/x/sys"}

// maxWidth is the widest a line of code may be, in columns, where a tab is tabWidth of them: what
// two files side by side on a laptop can show.
const maxWidth, tabWidth = 100, 4

// realSteps reads the steps of this repository.
func realSteps(t *testing.T) []*step {
	t.Helper()
	steps, err := loadSteps(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	return steps
}

// TestSharedCodeIsTheSame is the ladder: what two neighbours share is the same to the letter.
func TestSharedCodeIsTheSame(t *testing.T) {
	steps := realSteps(t)
	if len(steps) < 2 {
		t.Skip("there are no two steps to compare: run it in a whole clone")
	}
	bad, stale := compareAll(steps, exceptions)
	for _, f := range bad {
		t.Error(f)
	}
	for _, s := range stale {
		t.Error(s)
	}
}

// TestTopLevel keeps the first page of the repository to the list.
func TestTopLevel(t *testing.T) {
	for _, name := range notAllowed(topLevel(t)) {
		t.Errorf("%s is at the top level; only these may be: %s", name, topLevelNames)
	}
}

// topLevel lists what stands at the top: as git has it, or, in a tree that came without git, as
// the directory does.
func topLevel(t *testing.T) []string {
	t.Helper()
	cmd := exec.Command("git", "ls-files", "-z")
	cmd.Dir = root
	// "go test" repeats a remembered result until a file that the test has looked at changes, and
	// it doesn't see what git looks at. This file changes with every git add.
	_, _ = os.Stat(filepath.Join(root, ".git", "index"))
	var names []string
	if out, err := cmd.Output(); err == nil {
		for file := range strings.SplitSeq(strings.Trim(string(out), "\x00"), "\x00") {
			name, _, _ := strings.Cut(file, "/")
			names = append(names, name)
		}
	}
	names = slices.DeleteFunc(names, func(name string) bool { return name == "" })
	if len(names) > 0 {
		return names
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// notAllowed returns the names that have no place at the top level. vendor/ is what "go mod vendor"
// makes for a machine without a network; it is never committed.
func notAllowed(names []string) []string {
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return strings.HasPrefix(name, ".") || name == "vendor" ||
			slices.Contains(topLevelNames, name)
	})
	slices.Sort(names)
	return slices.Compact(names)
}

// goMod is the part of "go mod edit -json" that is of use here.
type goMod struct {
	Module  struct{ Path string }
	Require []struct {
		Path     string
		Indirect bool
	}
}

// readGoMod lets the go command read go.mod.
func readGoMod(t *testing.T) goMod {
	t.Helper()
	cmd := exec.Command("go", "mod", "edit", "-json", "go.mod")
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	// The file is looked at here as well so that a remembered result is dropped when it changes.
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go mod edit -json: %v\n%s", err, &stderr)
	}
	var mod goMod
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	return mod
}

// TestDirectDependencies: two, and no more.
func TestDirectDependencies(t *testing.T) {
	var direct []string
	for _, require := range readGoMod(t).Require {
		if !require.Indirect {
			direct = append(direct, require.Path)
		}
	}
	slices.Sort(direct)
	if !slices.Equal(direct, directDependencies) {
		t.Errorf("go.mod requires %s directly, want %s", direct, directDependencies)
	}
}

// TestStepsStandAlone: a step's directory can be taken away and run, so it imports no package of
// this module, its tests neither.
func TestStepsStandAlone(t *testing.T) {
	module := readGoMod(t).Module.Path
	for _, s := range realSteps(t) {
		for _, problem := range ownImports(s, module) {
			t.Error(problem)
		}
	}
}

// ownImports reports a step's imports of the module that it is in.
func ownImports(s *step, module string) []string {
	var found []string
	for _, file := range s.fileNames() {
		if s.files[file].ast == nil {
			continue
		}
		for _, spec := range s.files[file].ast.Imports {
			imported := strings.Trim(spec.Path.Value, "`\"")
			if imported == module || strings.HasPrefix(imported, module+"/") {
				found = append(found, fmt.Sprintf("%s/%s imports %s", s.name, file, imported))
			}
		}
	}
	return found
}

// TestStepsAreComplete: the files that a reader finds in every step.
func TestStepsAreComplete(t *testing.T) {
	for _, s := range realSteps(t) {
		for _, file := range missing(s) {
			t.Errorf("%s has no %s", s.name, file)
		}
	}
}

// missing lists the files that a step should have and doesn't.
func missing(s *step) []string {
	var names []string
	for _, file := range ownFiles {
		if _, ok := s.files[file]; !ok {
			names = append(names, file)
		}
	}
	return names
}

// TestDocComments: each function and each file says what it is for. Tests are left to themselves.
func TestDocComments(t *testing.T) {
	eachGoFile(t, func(name, text string) {
		if isTest(name) {
			return
		}
		src, err := parse(name, text)
		if err != nil {
			t.Error(err)
			return
		}
		for _, problem := range undocumented(src.ast) {
			t.Errorf("%s: %s", name, problem)
		}
	})
}

// undocumented lists the file itself and its functions, as far as they have no comment above them.
// CommentGroup.Text leaves directives out, so a build tag doesn't count as one.
func undocumented(file *ast.File) []string {
	var found []string
	documented := slices.ContainsFunc(file.Comments, func(group *ast.CommentGroup) bool {
		return group.End() < file.Package && group.Text() != ""
	})
	if !documented {
		found = append(found, "the file has no comment at its top")
	}
	for _, d := range file.Decls {
		if d, ok := d.(*ast.FuncDecl); ok && d.Doc.Text() == "" {
			found = append(found, fmt.Sprintf("func %s has no doc comment", funcName(d)))
		}
	}
	return found
}

// TestLineWidth: no line of Go wider than the limit, tests included.
func TestLineWidth(t *testing.T) {
	eachGoFile(t, func(name, text string) {
		for _, problem := range tooWide(text) {
			t.Errorf("%s:%s", name, problem)
		}
	})
}

// tooWide lists the lines that are wider than maxWidth.
func tooWide(text string) []string {
	var found []string
	for i, line := range strings.Split(text, "\n") {
		width := utf8.RuneCountInString(line) + (tabWidth-1)*strings.Count(line, "\t")
		if width > maxWidth {
			found = append(found, fmt.Sprintf("%d: %d columns, not %d", i+1, width, maxWidth))
		}
	}
	return found
}

// TestPointersAsNumbers: a pointer becomes a uintptr only in the argument list of a raw system call
// or of a function with go:uintptrescapes. Anywhere else the compiler doesn't know that it is a
// pointer: when the stack grows, the variable moves and the number doesn't (unsafe.Pointer).
func TestPointersAsNumbers(t *testing.T) {
	eachGoFile(t, func(name, text string) {
		src, err := parse(name, text)
		if err != nil {
			t.Error(err)
			return
		}
		for _, call := range loosePointers(src.ast) {
			t.Errorf("%s: uintptr(unsafe.Pointer(...)) is no argument of a system call: in %s",
				name, call)
		}
	})
}

// loosePointers finds every other uintptr(unsafe.Pointer(...)), and returns the name of the
// function that gets it, or "no call".
func loosePointers(file *ast.File) []string {
	raw := []string{"Syscall", "Syscall6", "RawSyscall", "RawSyscall6", "call"}
	var found []string
	fits := map[ast.Node]bool{}
	givenTo := map[ast.Node]string{}
	ast.Inspect(file, func(node ast.Node) bool {
		outer, ok := node.(*ast.CallExpr)
		if !ok {
			return true
		}
		function := types.ExprString(outer.Fun)
		for _, argument := range outer.Args {
			givenTo[argument] = function
			fits[argument] = slices.Contains(raw, function[strings.LastIndex(function, ".")+1:])
		}
		if function == "uintptr" && !fits[outer] &&
			strings.HasPrefix(types.ExprString(outer.Args[0]), "unsafe.Pointer(") {
			found = append(found, cmp.Or(givenTo[outer], "no call"))
		}
		return true
	})
	return found
}

// eachGoFile calls a function with every Go file of the module, steps and scripts.
func eachGoFile(t *testing.T, do func(name, text string)) {
	t.Helper()
	fsys := os.DirFS(root)
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			base := path.Base(name)
			if name != "." && (base == "vendor" || base == "testdata" || base[0] == '.') {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		do(name, string(data))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
