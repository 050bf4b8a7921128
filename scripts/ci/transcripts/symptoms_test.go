package transcripts

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestSymptoms: page one and scripts/README.md quote each message as a step prints it, with … for
// what differs. The two that other programs print are provoked.
func TestSymptoms(t *testing.T) {
	messages := append(stepMessages(t), provoke(t)...)
	for name, least := range map[string]int{"README.md": 10, "scripts/README.md": 3} {
		page, err := os.ReadFile("../../../" + name)
		if err != nil {
			t.Fatal(err)
		}
		_, table, _ := strings.Cut(string(page), "| message | what to do |")
		table, _, _ = strings.Cut(table, "\n\n")
		rows := regexp.MustCompile("(?m)^\\| `([^`]+)` \\| .").FindAllStringSubmatch(table, -1)
		if len(rows) < least {
			t.Fatalf("%d symptoms in %s, want at least %d", len(rows), name, least)
		}
		for _, row := range rows {
			prints := func(message string) bool { return strings.Contains(message, row[1]) }
			if !slices.ContainsFunc(messages, prints) {
				t.Errorf("%s has a message that nothing prints: %s", name, row[1])
			}
		}
	}
}

// verb is a placeholder in a format string.
var verb = regexp.MustCompile(`%(\[\d\])?[a-z]`)

// stepMessages returns the texts in the steps' programs, with … for what is only known when they
// run. A text that is put together from several is one.
func stepMessages(t *testing.T) (messages []string) {
	files, err := filepath.Glob("../../../0[1-8]-*/*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(len(files), err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if e, ok := n.(ast.Expr); ok {
				if text := textOf(e); text != "…" {
					messages = append(messages, verb.ReplaceAllString(text, "…"))
					return false
				}
			}
			return true
		})
	}
	return messages
}

// textOf returns the text that an expression makes, with … for what isn't a literal.
func textOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if text, err := strconv.Unquote(e.Value); err == nil && e.Kind == token.STRING {
			return text
		}
	case *ast.BinaryExpr:
		if e.Op == token.ADD {
			return strings.ReplaceAll(textOf(e.X)+textOf(e.Y), "……", "…")
		}
	}
	return "…"
}

// provoke makes env(1) and go print the errors that page one quotes, and returns them.
func provoke(t *testing.T) []string {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"crlf":   "#!/usr/bin/env bash\r\n",
		"go.mod": "module m\n\ngo 1.999.0\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	crlf, old := exec.Command("./crlf"), exec.Command("go", "list", "-m")
	var said []string
	for _, cmd := range []*exec.Cmd{crlf, old} {
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "GOTOOLCHAIN=local", "GOFLAGS=")
		out, err := cmd.CombinedOutput()
		if err == nil {
			t.Errorf("%v didn't fail", cmd)
		}
		said = append(said, regexp.MustCompile(`\d[\d.]*\d`).ReplaceAllString(string(out), "…"))
	}
	return said
}

// TestLeftFiles: page one names all temporary files of the steps that a power cut could leave.
func TestLeftFiles(t *testing.T) {
	page, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../../../0[1-8]-*/*.go")
	if err != nil {
		t.Fatal(err)
	}
	var patterns []string
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		made := regexp.MustCompile(`os\.(?:Mkdir|Create)Temp\([^,]*, "?([\w-]+)`)
		for _, m := range made.FindAllStringSubmatch(string(text), -1) {
			if !strings.HasSuffix(name, "_test.go") {
				patterns = append(patterns, strings.TrimSuffix(m[1], "-")+"-*")
			}
		}
	}
	slices.Sort(patterns)
	patterns = slices.Compact(patterns)
	if want := []string{"jail-*", "partial-*", "secret-*"}; !slices.Equal(patterns, want) {
		t.Errorf("temporary files %q, want %q", patterns, want)
	}
	for _, pattern := range patterns {
		if !strings.Contains(string(page), pattern) {
			t.Errorf("page one doesn't say that a power cut can leave %s", pattern)
		}
	}
}
