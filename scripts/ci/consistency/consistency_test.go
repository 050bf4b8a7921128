// Package consistency keeps the steps a ladder: each is the one before it plus one thing, and what
// two of them share is the same to the letter, comments included.
//
// The steps repeat code on purpose, so that a reader can take one directory away and run it.
// Repeated code drifts apart, and then the diff between two steps shows the drift as well as the
// one new thing. So every file is compared with the file of that name in the step before, every
// declaration with its namesake, and what differs for a reason is listed with that reason in
// exceptions_test.go.
//
// The rest is about the shape of the repository: names at the top level, dependencies, comments,
// widths.
package consistency

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf8"
)

// root is the repository, seen from a test's working directory.
const root = "../../.."

// topLevel is all that a reader finds on the first page, besides dot-files.
var topLevel = []string{
	"01-chroot", "02-pid-namespace", "03-mount-namespace", "04-uts-ipc", "05-user-namespace",
	"06-network", "07-cgroups", "08-full-container", "scripts", "go.mod", "go.sum", "README.md",
}

// ownFiles are in every step, each time another version. Only what two of them declare under the
// same name is compared. Every other file is compared as a whole.
var ownFiles = []string{"main.go", "demo.go", "README.md", "main_test.go", "other.go"}

// step is a step's directory, read.
type step struct {
	name  string
	files map[string]file
}

// file is one file: its text, and for Go what it declares and what is left without that.
type file struct {
	text, outline string
	decls         map[string]string
	ast           *ast.File
}

// readSteps reads all of them, in order.
func readSteps(fsys fs.FS) (steps []step, err error) {
	dirs, err := fs.Glob(fsys, "0[1-8]-*")
	for _, dir := range dirs {
		s := step{dir, map[string]file{}}
		entries, err := fs.ReadDir(fsys, dir)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if ext := filepath.Ext(e.Name()); ext != ".go" && ext != ".md" && ext != ".sh" {
				continue // a picture, or what a build has left
			}
			text, err := fs.ReadFile(fsys, dir+"/"+e.Name())
			if err != nil {
				return nil, err
			}
			if s.files[e.Name()], err = read(e.Name(), string(text)); err != nil {
				return nil, err
			}
		}
		steps = append(steps, s)
	}
	return steps, err
}

// read takes a file apart.
func read(name, text string) (file, error) {
	f := file{text: text, outline: text, decls: map[string]string{}}
	if filepath.Ext(name) != ".go" {
		return f, nil
	}
	var err error
	mode := parser.ParseComments | parser.SkipObjectResolution
	if f.ast, err = parser.ParseFile(token.NewFileSet(), name, text, mode); err != nil {
		return f, err
	}
	add := func(name string, doc *ast.CommentGroup, node ast.Node) {
		from, to := node.Pos(), int(node.End()-f.ast.FileStart)
		if doc != nil {
			from = doc.Pos()
		}
		// A comment behind it on the same line is a part of it.
		to += strings.IndexByte(text[to:]+"\n", '\n')
		for f.decls[name] != "" { // init and _ may be there more than once
			name += "'"
		}
		f.decls[name] = text[from-f.ast.FileStart : to]
		f.outline = strings.Replace(f.outline, f.decls[name], "«"+name+"»", 1)
	}
	for _, d := range f.ast.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			add(funcName(d), d.Doc, d)
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				var names []string
				var doc *ast.CommentGroup
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					names, doc = []string{spec.Name.Name}, spec.Doc
				case *ast.ValueSpec:
					for _, name := range spec.Names {
						names = append(names, name.Name)
					}
					doc = spec.Doc
				default: // an import
					continue
				}
				if name := strings.Join(names, ", "); d.Lparen.IsValid() {
					add(name, doc, spec)
				} else {
					add(name, d.Doc, d)
				}
			}
		}
	}
	return f, nil
}

// funcName names a function as it is, and a method with its type: link.up.
func funcName(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return d.Name.Name
	}
	recv := d.Recv.List[0].Type
	if star, ok := recv.(*ast.StarExpr); ok {
		recv = star.X
	}
	return fmt.Sprint(recv, ".", d.Name.Name)
}

// finding is a difference between two steps.
type finding struct{ pair, file, name, what string }

// wholeFile is the name of a difference outside of what both files declare.
const wholeFile = "(the file)"

// compare compares each file with the one of that name in the nearest step before, and each
// declaration with its namesake in the step before, which must be in a file of the same name.
func compare(steps []step) (found []finding) {
	for i, b := range steps {
		for _, name := range slices.Sorted(maps.Keys(b.files)) {
			for _, a := range slices.Backward(steps[:i]) {
				if old, ok := a.files[name]; ok {
					found = append(found, compareFile(pair(a, b), name, old, b.files[name])...)
					break
				}
			}
		}
		if i == 0 {
			continue
		}
		for name, old := range steps[i-1].files {
			for decl := range old.decls {
				there := declaredIn(b, decl, name)
				if len(there) > 0 && !slices.Contains(there, name) &&
					!slices.ContainsFunc(declaredIn(steps[i-1], decl, name),
						func(f string) bool { return slices.Contains(there, f) }) {
					found = append(found, finding{pair(steps[i-1], b), name, decl,
						fmt.Sprintf("it moves to %s", there)})
				}
			}
		}
	}
	return found
}

// compareFile compares one file of two steps.
func compareFile(pair, name string, old, new file) (found []finding) {
	for _, decl := range slices.Sorted(maps.Keys(old.decls)) {
		if text, ok := new.decls[decl]; ok && text != old.decls[decl] {
			found = append(found, finding{pair, name, decl, difference(old.decls[decl], text)})
		}
	}
	if !slices.Contains(ownFiles, name) && old.outline != new.outline {
		found = append(found, finding{pair, name, wholeFile, difference(old.outline, new.outline)})
	}
	return found
}

// pair names two steps: 02-03.
func pair(a, b step) string { return a.name[:2] + "-" + b.name[:2] }

// declaredIn lists a step's files that declare a name: its tests for a test's, else the others.
func declaredIn(s step, decl, like string) (files []string) {
	for name, f := range s.files {
		if _, ok := f.decls[decl]; ok && isTest(name) == isTest(like) {
			files = append(files, name)
		}
	}
	return files
}

// isTest reports whether a file belongs to the tests.
func isTest(name string) bool { return strings.HasSuffix(name, "_test.go") }

// difference shows the first line in which two texts differ.
func difference(a, b string) string {
	x, y := append(strings.Split(a, "\n"), "(end)"), append(strings.Split(b, "\n"), "(end)")
	i := 0
	for i < min(len(x), len(y))-1 && x[i] == y[i] {
		i++
	}
	return fmt.Sprintf("line %d differs:\n\t\t%s\n\t\t%s", i+1, x[i], y[i])
}

// TestSharedCodeIsTheSame compares the steps.
func TestSharedCodeIsTheSame(t *testing.T) {
	steps, err := readSteps(os.DirFS(root))
	if err != nil || len(steps) != 8 {
		t.Fatalf("%d steps, want 8: %v", len(steps), err)
	}
	used := make([]bool, len(exceptions))
	for _, f := range compare(steps) {
		i := slices.IndexFunc(exceptions, func(e exception) bool {
			return e.name == f.name && (e.pair == every || e.pair == f.pair) &&
				(e.file == every || e.file == f.file)
		})
		if i < 0 {
			t.Errorf("%s %s: %s: %s", f.pair, f.file, f.name, f.what)
		} else {
			used[i] = true
		}
	}
	for i, e := range exceptions {
		if !used[i] || e.reason == "" {
			t.Errorf("exception {%s %s %s}: not needed, or no reason", e.pair, e.file, e.name)
		}
	}
}

// TestCompare: what differs is found. The control is that nothing else is.
func TestCompare(t *testing.T) {
	const main = "package main\n\n// f is.\nfunc f() { g() }\n\nconst step = 2\n"
	const part = "// Part.\n\npackage main\n\n// g is.\nfunc g() {} // here\n"
	for _, c := range []struct{ old, new, want string }{
		{"", "", ""},
		{"// f is", "// f", "02-03 main.go f"},
		{"g() }", "g(1) }", "02-03 main.go f"},
		{"= 2", "= 3", "02-03 main.go step"},
		{"package main\n\n// f", "package main\n\nimport _ \"os\"\n\n// f", ""},
		{"Part", "A part", "02-03 part.go (the file)"},
		{"here", "there", "02-03 part.go g"},
		{"func g", "func h", "02-03 part.go (the file)"},
	} {
		steps, err := readSteps(fstest.MapFS{
			"02-two/main.go":   {Data: []byte(main)},
			"02-two/part.go":   {Data: []byte(part)},
			"03-three/main.go": {Data: []byte(strings.Replace(main, c.old, c.new, 1))},
			"03-three/part.go": {Data: []byte(strings.Replace(part, c.old, c.new, 1))},
		})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, f := range compare(steps) {
			got += f.pair + " " + f.file + " " + f.name
		}
		if got != c.want {
			t.Errorf("%q for %q: found %q, want %q", c.new, c.old, got, c.want)
		}
	}
}

// TestTopLevel keeps the first page of the repository to the list, and go.mod to its two modules.
func TestTopLevel(t *testing.T) {
	git := exec.Command("git", "-C", root, "ls-files", "-z")
	// "go test" remembers a result until a file changes that the test has looked at, and doesn't
	// see what git looks at. This file changes with every git add.
	_, _ = os.Stat(filepath.Join(root, ".git", "index"))
	var names []string
	if out, err := git.Output(); err == nil {
		names = strings.Split(strings.Trim(string(out), "\x00"), "\x00")
	} else { // a tree without git
		entries, err := os.ReadDir(root)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			names = append(names, e.Name())
		}
	}
	for _, name := range names {
		top, _, _ := strings.Cut(name, "/")
		// vendor/ is for a machine without a network, _exercise/ is for what its reader writes:
		// neither is ever committed.
		if !strings.HasPrefix(top, ".") && top != "vendor" && top != "_exercise" &&
			!slices.Contains(topLevel, top) {
			t.Errorf("%s: only these may be at the top level: %s", name, topLevel)
		}
	}

	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil { // to be looked at, as above
		t.Fatal(err)
	}
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
	}
	edit := exec.Command("go", "mod", "edit", "-json")
	edit.Dir = root
	out, err := edit.Output()
	if err == nil {
		err = json.Unmarshal(out, &mod)
	}
	if err != nil {
		t.Fatalf("go mod edit -json: %v", err)
	}
	for _, r := range mod.Require {
		if !r.Indirect && r.Path != "github.com/fatih/color" && r.Path != "golang.org/x/sys" {
			t.Errorf("go.mod requires %s", r.Path)
		}
	}
}

// TestStepsStandAlone: a step has its files, and imports no package of this module. Its tests do:
// steptest, which has what the tests of several steps share, and lists what they skip, so they must
// skip by that.
func TestStepsStandAlone(t *testing.T) {
	steps, err := readSteps(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	tested := map[string]string{} // the step that has a file of tests
	for _, s := range steps {
		for _, name := range ownFiles {
			if _, ok := s.files[name]; !ok {
				t.Errorf("%s has no %s", s.name, name)
			}
		}
		for name, f := range s.files {
			if f.ast == nil {
				continue
			}
			if isTest(name) && name != "main_test.go" {
				if tested[name] != "" {
					t.Errorf("%s is in %s and %s: share it in scripts/steptest", name, tested[name],
						s.name)
				}
				tested[name] = s.name
			}
			for _, spec := range f.ast.Imports {
				if strings.HasPrefix(spec.Path.Value, `"jail-to-container/`) &&
					(!isTest(name) || spec.Path.Value != `"jail-to-container/scripts/steptest"`) {
					t.Errorf("%s/%s imports %s", s.name, name, spec.Path.Value)
				}
			}
			if strings.Contains(f.text, "\tt.Skip") {
				t.Errorf("%s/%s: not t.Skip but steptest.Skip, for scripts/skips.sh", s.name, name)
			}
		}
	}
}

// TestComments: each file and each function says what it is for, and no line is wider than two
// files side by side on a laptop can show: 100 columns, with tabs of 4. Tests need no doc comments.
func TestComments(t *testing.T) {
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := entry.Name()
		if entry.IsDir() &&
			(base == "vendor" || base == "_exercise" || base[0] == '.' && base != "..") {
			return fs.SkipDir
		}
		if entry.IsDir() || filepath.Ext(name) != ".go" {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for i, line := range bytes.Split(text, []byte("\n")) {
			if width := utf8.RuneCount(line) + 3*bytes.Count(line, []byte("\t")); width > 100 {
				t.Errorf("%s:%d: %d columns, not 100", name, i+1, width)
			}
		}
		f, err := read(name, string(text))
		if err != nil || isTest(name) {
			return err
		}
		if !slices.ContainsFunc(f.ast.Comments, func(group *ast.CommentGroup) bool {
			return group.End() < f.ast.Package && group.Text() != "" // which leaves //go:build out
		}) {
			t.Errorf("%s: no comment at its top", name)
		}
		for _, d := range f.ast.Decls {
			if d, ok := d.(*ast.FuncDecl); ok && d.Doc.Text() == "" {
				t.Errorf("%s: func %s has no comment", name, funcName(d))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
