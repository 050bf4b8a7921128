//go:build linux

// Changing a step's text: what an exercise takes out, and what a solution puts in.

package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// edit changes one file of a step. An edit that finds nothing adds the file.
type edit struct {
	file string

	// find is the text to replace. It must be in the file exactly once; the tabs at the beginning
	// of its lines don't matter. A comment right above it, inside a function, goes with it.
	find string

	// stmt is how the statement to replace begins: all of it goes.
	stmt string

	// fn is a function, "container", whose body is to be replaced.
	fn string

	// text is what comes in its place.
	text string
}

// apply returns a file's text with the edit made.
func (e edit) apply(old string) (string, error) {
	switch {
	case e.fn != "":
		return replaceBody(old, e.fn, e.text)
	case e.stmt != "":
		from, to, err := findStatement(old, e.stmt)
		if err != nil {
			return "", err
		}
		return splice(old, from, to, e.text), nil
	case e.find == "":
		return e.text, nil
	}
	var lines []string
	for line := range strings.SplitSeq(strings.Trim(e.find, "\t\n"), "\n") {
		lines = append(lines, regexp.QuoteMeta(strings.TrimLeft(line, "\t")))
	}
	pattern := regexp.MustCompile(strings.Join(lines, `\n\t*`))
	places := pattern.FindAllStringIndex(old, -1)
	if len(places) != 1 {
		return "", fmt.Errorf("this text is in %s %d times, not once: %s", e.file, len(places),
			strings.TrimSpace(e.find))
	}
	return splice(old, places[0][0], places[0][1], e.text), nil
}

// splice puts a text in the place of another one, and of a comment right above that.
func splice(old string, from, to int, text string) string {
	before, after := old[:from], old[to:]
	if comment := regexp.MustCompile(`(\n\t+//.*)+\n\t+$`).FindStringIndex(before); comment != nil {
		indent := before[strings.LastIndexByte(before, '\n'):]
		before = before[:comment[0]] + indent
	}
	if text == "" && strings.HasPrefix(after, "\n") { // no empty line in its place
		before = strings.TrimRight(before, "\t")
		after = strings.TrimPrefix(after, "\n")
	}
	return before + text + after
}

// findStatement returns where the one statement that begins like this begins and ends.
func findStatement(source, beginning string) (from, to int, err error) {
	file, err := parser.ParseFile(token.NewFileSet(), "", source, parser.SkipObjectResolution)
	if err != nil {
		return 0, 0, err
	}
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		s, ok := n.(ast.Stmt)
		if !ok || !strings.HasPrefix(source[s.Pos()-file.FileStart:], beginning) {
			return true
		}
		found++
		from, to = int(s.Pos()-file.FileStart), int(s.End()-file.FileStart)
		return false // a part of it may begin in the same way
	})
	if found != 1 {
		err = fmt.Errorf("%d statements begin with %q, not one", found, beginning)
	}
	return from, to, err
}

// replaceBody returns Go source with another body for a function.
func replaceBody(source, name, body string) (string, error) {
	file, err := parser.ParseFile(token.NewFileSet(), "", source, parser.SkipObjectResolution)
	if err != nil {
		return "", err
	}
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == name && f.Body != nil {
			from, to := f.Body.Pos()-file.FileStart, f.Body.End()-file.FileStart
			return source[:from] + "{\n" + body + "\n}" + source[to:], nil
		}
	}
	return "", fmt.Errorf("there is no function %s", name)
}

// applyTo makes edits in the files of a directory.
func applyTo(dir string, edits []edit) error {
	for _, e := range edits {
		path := filepath.Join(dir, e.file)
		old, err := os.ReadFile(path)
		if err != nil && (e.find+e.stmt+e.fn != "" || !errors.Is(err, os.ErrNotExist)) {
			return err
		}
		text, err := e.apply(string(old))
		if err != nil {
			return fmt.Errorf("%s: %w", e.file, err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// copyStep copies a step's program, without its tests, and makes edits in the copy.
func copyStep(from, to string, edits []edit) error {
	files, err := sources(from)
	if err != nil {
		return err
	}
	for _, name := range files {
		text, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, name), text, 0o644); err != nil {
			return err
		}
	}
	return applyTo(to, edits)
}

// sources lists the names of a directory's Go files, without tests.
func sources(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		name := e.Name()
		if strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") &&
			name[0] != '.' {
			names = append(names, name)
		}
	}
	return names, err
}

// readSources returns the text of a directory's Go files, by name.
func readSources(dir string) (map[string]string, error) {
	names, err := sources(dir)
	if err != nil {
		return nil, err
	}
	texts := map[string]string{}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		texts[name] = string(text)
	}
	return texts, nil
}
