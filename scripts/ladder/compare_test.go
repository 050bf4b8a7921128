// Reading a step and comparing two: functions of text alone, no file system but an fs.FS, so that
// made-up steps can be compared as well as the real ones (madeup_test.go).

package ladder

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// wholeFile is the name under which a difference outside of any shared declaration is reported.
const wholeFile = "(the file)"

// ownFiles are the files that every step has a version of its own of: only what they share by name
// is compared. Every other file that two neighbours both have is compared as a whole.
var ownFiles = []string{"main.go", "demo.go", "README.md", "main_test.go", "other.go"}

// step is one step's directory, read and parsed.
type step struct {
	name  string            // of the directory: 02-pid-namespace
	files map[string]source // by path within the step
}

// source is one file of a step.
type source struct {
	text string
	// The rest is for Go files only.
	ast     *ast.File
	decls   []decl // in the file's order
	outline string // the text with a mark in each declaration's place
}

// decl is one name declared at the top level of a file.
type decl struct {
	name string // host, link.up
	text string // from the doc comment to the end of the last line
}

// decl returns the declaration of that name, and whether there is one.
func (s source) decl(name string) (decl, bool) {
	i := slices.IndexFunc(s.decls, func(d decl) bool { return d.name == name })
	if i < 0 {
		return decl{}, false
	}
	return s.decls[i], true
}

// short is the number that a step goes by in a pair: 02.
func (s *step) short() string {
	number, _, _ := strings.Cut(s.name, "-")
	return number
}

// fileNames returns the names of the step's files, sorted, so that reports have an order.
func (s *step) fileNames() []string {
	names := make([]string, 0, len(s.files))
	for name := range s.files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// loadSteps reads all steps, sorted. A directory without any file is none yet: git doesn't even
// record it.
func loadSteps(fsys fs.FS) ([]*step, error) {
	dirs, err := fs.Glob(fsys, "[0-9][0-9]-*")
	if err != nil {
		return nil, err
	}
	var steps []*step
	for _, dir := range dirs {
		s, err := loadStep(fsys, dir)
		if err != nil {
			return nil, err
		}
		if len(s.files) > 0 {
			steps = append(steps, s)
		}
	}
	return steps, nil
}

// loadStep reads and parses one directory, whatever lies deeper included.
func loadStep(fsys fs.FS, dir string) (*step, error) {
	s := &step{name: dir, files: map[string]source{}}
	err := fs.WalkDir(fsys, dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || built(name) {
			return err
		}
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		src := source{text: string(data)}
		if path.Ext(name) == ".go" {
			if src, err = parse(name, src.text); err != nil {
				return err
			}
		}
		s.files[strings.TrimPrefix(name, dir+"/")] = src
		return nil
	})
	return s, err
}

// built says whether a file is what building and testing in place leave behind (.gitignore has the
// same list): a binary bears the name of its step.
func built(name string) bool {
	base, ext := path.Base(name), path.Ext(name)
	return base == path.Base(path.Dir(name)) || ext == ".test" || ext == ".out"
}

// parse finds a Go file's declarations. Build constraints don't matter to the parser, so what is
// for another operating system is read like the rest.
func parse(name, text string) (source, error) {
	fset := token.NewFileSet()
	mode := parser.ParseComments | parser.SkipObjectResolution
	file, err := parser.ParseFile(fset, name, text, mode)
	if err != nil {
		return source{}, err
	}
	src := source{text: text, ast: file}
	offset := func(pos token.Pos) int { return int(pos - file.FileStart) }
	seen := map[string]int{} // init and _ may be there more than once
	done := 0                // how much of the text the outline has

	// add takes the lines from one position to another for the declaration of these names.
	add := func(prefix string, from, to token.Pos, names ...string) {
		end := offset(to)
		if n := strings.IndexByte(text[end:], '\n'); n >= 0 {
			end += n // a comment on the same line belongs to it
		}
		for _, name := range names {
			seen[name]++
			if n := seen[name]; n > 1 {
				name = fmt.Sprintf("%s#%d", name, n)
			}
			src.decls = append(src.decls, decl{name, prefix + text[offset(from):end]})
		}
		src.outline += text[done:offset(from)] + "«" + strings.Join(names, ", ") + "»"
		done = end
	}

	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			add("", start(d.Doc, d), d.End(), funcName(d))
		case *ast.GenDecl:
			switch {
			case d.Tok == token.IMPORT:
			case !d.Lparen.IsValid():
				add("", start(d.Doc, d), d.End(), specNames(d.Specs[0])...)
			default:
				// One name of a group is its own lines and what the group says of all of them.
				prefix := text[offset(start(d.Doc, d)):offset(d.Lparen)] + "(\n"
				for _, spec := range d.Specs {
					add(prefix, start(specDoc(spec), spec), spec.End(), specNames(spec)...)
				}
			}
		}
	}
	src.outline += text[done:]
	return src, nil
}

// start is where a declaration begins for a reader: at its doc comment, if it has one.
func start(doc *ast.CommentGroup, node ast.Node) token.Pos {
	if doc != nil {
		return doc.Pos()
	}
	return node.Pos()
}

// funcName names a function as it is, and a method with its type: link.up.
func funcName(d *ast.FuncDecl) string {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return d.Name.Name
	}
	recv := d.Recv.List[0].Type
	for {
		switch t := recv.(type) {
		case *ast.StarExpr:
			recv = t.X
		case *ast.IndexExpr:
			recv = t.X
		case *ast.IndexListExpr:
			recv = t.X
		case *ast.Ident:
			return t.Name + "." + d.Name.Name
		default:
			return d.Name.Name
		}
	}
}

// specDoc is the comment above one line of a group.
func specDoc(spec ast.Spec) *ast.CommentGroup {
	switch spec := spec.(type) {
	case *ast.ValueSpec:
		return spec.Doc
	case *ast.TypeSpec:
		return spec.Doc
	}
	return nil
}

// specNames are the names that one const, var or type line declares.
func specNames(spec ast.Spec) []string {
	var names []string
	switch spec := spec.(type) {
	case *ast.ValueSpec:
		for _, ident := range spec.Names {
			names = append(names, ident.Name)
		}
	case *ast.TypeSpec:
		names = append(names, spec.Name.Name)
	}
	return names
}

// finding is one difference between two neighbours that should not be there.
type finding struct {
	pair, file, name string
	what             string
	// always is set where no exception helps, since there is never a reason for it.
	always bool
}

// String gives a finding in one line, or in three with the two texts.
func (f finding) String() string {
	return fmt.Sprintf("%s %s: %s: %s", f.pair, f.file, f.name, f.what)
}

// compare returns everything in which two neighbours differ and may not.
func compare(a, b *step) []finding {
	var found []finding
	for _, file := range a.fileNames() {
		if _, both := b.files[file]; both {
			found = append(found, compareFile(a, b, file)...)
		}
	}
	return append(found, moved(a, b)...)
}

// compareFile compares a file that both steps have.
func compareFile(a, b *step, file string) []finding {
	var found []finding
	pair, one, two := pairOf(a, b), a.files[file], b.files[file]
	for _, d := range one.decls {
		if other, ok := two.decl(d.name); ok && other.text != d.text {
			what := firstDifference(d.text, other.text)
			found = append(found, finding{pair: pair, file: file, name: d.name, what: what})
		}
	}
	for _, f := range order(one, two) {
		f.pair, f.file = pair, file
		found = append(found, f)
	}
	if slices.Contains(ownFiles, file) {
		return found
	}
	// Declarations have been compared; what is left is which there are, and the text between.
	left, right := one.outline, two.outline
	if one.ast == nil || two.ast == nil {
		left, right = one.text, two.text
	}
	if left != right {
		what := firstDifference(left, right)
		found = append(found, finding{pair: pair, file: file, name: wholeFile, what: what})
	}
	return found
}

// comebacks compares the files that a step has from an earlier one which is not its neighbour: 03
// tries the escape of 01 again, and says that it is the same.
func comebacks(steps []*step) []finding {
	var found []finding
	for i, s := range steps {
		for _, file := range s.fileNames() {
			if slices.Contains(ownFiles, file) {
				continue
			}
			for j := i - 1; j >= 0; j-- {
				if _, ok := steps[j].files[file]; !ok {
					continue
				}
				if j < i-1 {
					found = append(found, compareFile(steps[j], s, file)...)
				}
				break
			}
		}
	}
	return found
}

// pairOf names two steps: 02-03.
func pairOf(a, b *step) string { return a.short() + "-" + b.short() }

// order reports the shared declarations of a file that stand in another order in the second: each
// one that followed its neighbour there and precedes it here.
func order(a, b source) []finding {
	var found []finding
	last, lastName := -1, ""
	for _, d := range a.decls {
		i := slices.IndexFunc(b.decls, func(other decl) bool { return other.name == d.name })
		if i < 0 {
			continue
		}
		if i < last {
			what := "stands after " + lastName + " in the first step, before it in the second"
			found = append(found, finding{name: d.name, what: what, always: true})
		}
		last, lastName = i, d.name
	}
	return found
}

// moved reports the names that both steps declare, but in no file of the same name. Tests are
// apart: what is a test's helper in one step may be part of the program in the next.
func moved(a, b *step) []finding {
	var found []finding
	for _, file := range a.fileNames() {
		for _, d := range a.files[file].decls {
			there := declaredIn(b, d.name, isTest(file))
			shared := slices.ContainsFunc(declaredIn(a, d.name, isTest(file)), func(f string) bool {
				return slices.Contains(there, f)
			})
			if len(there) == 0 || shared {
				continue
			}
			what := "is in " + strings.Join(there, ", ") + " in the second step"
			found = append(found, finding{pair: pairOf(a, b), file: file, name: d.name, what: what})
		}
	}
	return found
}

// declaredIn lists the files of a step, tests or not tests, that declare a name.
func declaredIn(s *step, name string, tests bool) []string {
	var files []string
	for _, file := range s.fileNames() {
		if _, ok := s.files[file].decl(name); ok && isTest(file) == tests {
			files = append(files, file)
		}
	}
	return files
}

// isTest says whether a file belongs to the tests.
func isTest(file string) bool { return strings.HasSuffix(file, "_test.go") }

// firstDifference shows the first line in which two texts differ.
func firstDifference(a, b string) string {
	left, right := strings.Split(a, "\n"), strings.Split(b, "\n")
	line := func(lines []string, i int) string {
		if i < len(lines) {
			return fmt.Sprintf("%q", lines[i])
		}
		return "(ends here)"
	}
	i := 0
	for i < len(left) && i < len(right) && left[i] == right[i] {
		i++
	}
	return fmt.Sprintf("line %d differs:\n\t\t%s\n\t\t%s", i+1, line(left, i), line(right, i))
}

// compareAll compares each step with the next, and what comes back later. It returns the findings
// that no exception excuses, and what is wrong with the exceptions themselves. Steps are what an
// exception is measured by, so with no two of them nothing is said of the table.
func compareAll(steps []*step, table []exception) (bad []finding, stale []string) {
	var found []finding
	for i := 1; i < len(steps); i++ {
		found = append(found, compare(steps[i-1], steps[i])...)
	}
	used := make([]bool, len(table))
	for _, f := range append(found, comebacks(steps)...) {
		n := slices.IndexFunc(table, func(e exception) bool { return e.excuses(f) })
		if n < 0 {
			bad = append(bad, f)
		} else {
			used[n] = true
		}
	}
	for i, e := range table {
		entry := fmt.Sprintf("exception {%s, %s, %s}", e.pair, e.file, e.name)
		if e.reason == "" {
			stale = append(stale, entry+" gives no reason")
		}
		if !used[i] && len(steps) > 1 {
			stale = append(stale, entry+" isn't needed: nothing differs, or an earlier one fits")
		}
	}
	return bad, stale
}

// excuses says whether an exception is leave for this finding.
func (e exception) excuses(f finding) bool {
	return !f.always && e.name == f.name &&
		(e.pair == every || e.pair == f.pair) && (e.file == every || e.file == f.file)
}
