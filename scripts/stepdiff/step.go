// Reading a step. go/parser says where each declaration of a file begins and ends; its lines are
// taken as they stand in the file.

package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// lesson lists what a step has beside its mechanism: the lesson with its helpers, and the word to
// other systems. A file that isn't listed is shown.
var lesson = []string{
	"demo.go", "escape.go", "hold.go", "inode.go", "narrate.go", "objects.go", "other.go",
	"partner.go", "sysv.go",
}

// step is the mechanism of a step: its files by name.
type step map[string]source

// source is a Go file without its build constraint, its package clause and its imports.
type source struct {
	head []chunk // the comments above the package clause
	body []chunk // the rest
}

// chunk is a declaration with the comment above it, or a comment that stands alone.
type chunk struct {
	key
	lines []string
}

// key is what a chunk is matched by. Several may have one title, such as "func init", so they are
// numbered.
type key struct {
	title string // what its heading says: "func container", "func (l *link) up", "const (...)"
	nth   int
}

// load reads what the user calls a step: a number, a name, or the path of a directory.
func load(root, name string) (step, error) {
	mains, _ := fs.Glob(os.DirFS(root), "[0-9][0-9]-*/main.go") // no error but of the pattern
	all := ""
	dirs := []string{filepath.Join(root, name)}
	for _, file := range mains {
		all += " " + path.Dir(file)
		if strings.HasPrefix(file, name+"-") {
			dirs = append(dirs, filepath.Join(root, path.Dir(file)))
		}
	}
	for _, dir := range append(dirs, name) {
		// The go command too skips what begins with a dot; editors make such files.
		names, _ := fs.Glob(os.DirFS(dir), "[^.]*.go")
		files := step{}
		for _, file := range names {
			if slices.Contains(lesson, file) || strings.HasSuffix(file, "_test.go") {
				continue
			}
			var err error
			if files[file], err = parse(filepath.Join(dir, file)); err != nil {
				return nil, err
			}
		}
		if len(files) > 0 {
			return files, nil
		}
	}
	return nil, fmt.Errorf("there is no step %s; there are:%s", name, all)
}

var (
	// naming is the beginning of a declaration up to its name, or to the bracket of a group.
	naming = regexp.MustCompile(`^(func \(.*?\)|[a-z]+) ([\pL\d_]+|\()`)
	// common is what every file begins with.
	common = regexp.MustCompile(`^(//go:build|package|import) `)
)

// parse cuts a file up.
func parse(path string) (src source, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return src, err
	}
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, text, parser.ParseComments)
	if err != nil {
		return src, err
	}
	var nodes []ast.Node
	for _, decl := range file.Decls {
		nodes = append(nodes, decl)
	}
	for _, comment := range file.Comments {
		nodes = append(nodes, comment)
	}
	// In the order of the file, and a declaration before its comment, with which it begins.
	slices.SortStableFunc(nodes, func(a, b ast.Node) int { return cmp.Compare(start(a), start(b)) })

	lines := strings.Split(string(text), "\n")
	line := func(pos token.Pos) int { return fset.Position(pos).Line }
	times := map[string]int{}
	done := 0 // the last line of the node before
	for _, node := range nodes {
		first, last := line(start(node)), line(node.End())
		if first <= done {
			continue // a comment that belongs to it
		}
		done = last
		title := lines[line(node.Pos())-1]
		if common.MatchString(title) {
			continue
		}
		title = cmp.Or(naming.FindString(title), title) // of a comment it is the first line
		if strings.HasSuffix(title, " (") {
			title += "...)"
		}
		times[title]++
		part := &src.body
		if node.Pos() < file.Package {
			part = &src.head
		}
		*part = append(*part, chunk{key{title, times[title]}, lines[first-1 : last]})
	}
	return src, nil
}

// start is where a node begins for a reader: at the comment above it, if it has one.
func start(node ast.Node) token.Pos {
	var doc *ast.CommentGroup
	switch node := node.(type) {
	case *ast.FuncDecl:
		doc = node.Doc
	case *ast.GenDecl:
		doc = node.Doc
	}
	if doc != nil {
		return doc.Pos()
	}
	return node.Pos()
}
