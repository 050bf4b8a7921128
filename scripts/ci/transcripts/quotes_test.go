package transcripts

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// chapters returns README.md and the chapters, as far as they are there, relative to root.
func chapters(t *testing.T, root string) []string {
	t.Helper()
	var names []string
	for _, pattern := range []string{"README.md", "0*/README.md"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			name, err := filepath.Rel(root, file)
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, filepath.ToSlash(name))
		}
	}
	return names
}

// read returns a chapter, taken apart.
func read(t *testing.T, root, name string) *document {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return parse(name, string(text))
}

// TestQuotes compares the code and the diffs in the chapters with what they are quoted from.
func TestQuotes(t *testing.T) {
	const root = "../../.."
	for _, name := range chapters(t, root) {
		if name == "README.md" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			for _, problem := range quoteProblems(root, read(t, root, name)) {
				t.Error(problem)
			}
		})
	}
}

// TestLinks looks where the relative links of README.md, the chapters and scripts' pages point.
func TestLinks(t *testing.T) {
	const root = "../../.."
	pages := append(chapters(t, root), "scripts/README.md", "scripts/workshop.md",
		"scripts/ci/README.md", "scripts/leaktest/README.md")
	for _, name := range pages {
		t.Run(name, func(t *testing.T) {
			for _, problem := range linkProblems(root, read(t, root, name)) {
				t.Error(problem)
			}
		})
	}
}

// quoteProblems finds the code blocks of a chapter that are no quotes. A go block must occur in one
// file of the step, a diff block in what scripts/diff.sh prints for the step before and this one.
// In both a line that is only … (or, in Go, // …) stands for lines left out.
func quoteProblems(root string, d *document) (problems []string) {
	step := filepath.Dir(d.name)
	problem := func(b block, format string, args ...any) {
		problems = append(problems, d.at(b.fence)+": "+fmt.Sprintf(format, args...))
	}
	var diff []string
	for _, b := range d.blocks {
		switch b.language {
		case "go":
			files, err := filepath.Glob(filepath.Join(root, step, "*.go"))
			if err != nil {
				return append(problems, err.Error())
			}
			found := slices.ContainsFunc(files, func(file string) bool {
				text, err := os.ReadFile(file)
				return err == nil && quoted(b.body, strings.Split(string(text), "\n"), dedent)
			})
			if !found {
				problem(b, "this code is in no .go file of %s:\n%s",
					step, strings.Join(b.body, "\n"))
			}
		case "diff":
			if diff == nil {
				var err error
				if diff, err = diffFromLast(root, step); err != nil {
					problem(b, "%v", err)
					return problems
				}
			}
			if !quoted(b.body, diff, slices.Clone) {
				problem(b, "this is not in the output of scripts/diff.sh for %s:\n%s",
					step, strings.Join(b.body, "\n"))
			}
		}
	}
	return problems
}

// diffFromLast returns what scripts/diff.sh prints for a step and the one before it, all files in
// full.
func diffFromLast(root, step string) ([]string, error) {
	steps, err := filepath.Glob(filepath.Join(root, "[0-9][0-9]-*"))
	if err != nil {
		return nil, err
	}
	i := slices.Index(steps, filepath.Join(root, step))
	if i <= 0 {
		return nil, fmt.Errorf("there is no step before %s to differ from", step)
	}
	args := []string{"scripts/diff.sh", filepath.Base(steps[i-1]), step, "main.go"}
	files, err := filepath.Glob(filepath.Join(root, step, "*.go"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		if name := filepath.Base(file); name != "main.go" {
			args = append(args, name)
		}
	}
	cmd := exec.Command("bash", args...)
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		if exit, ok := err.(*exec.ExitError); ok {
			return nil, fmt.Errorf("%v: %v\n%s", cmd, err, exit.Stderr)
		}
		return nil, fmt.Errorf("%v: %v", cmd, err)
	}
	return strings.Split(string(out), "\n"), nil
}

// quoted reports whether the parts of a quote occur in text one after the other, each in one piece.
// shape makes pieces of the same text alike that may be set differently. Spaces at the ends of
// lines don't count.
func quoted(quote, text []string, shape func([]string) []string) bool {
	text = trimLines(text)
	var part []string
	parts := 0
	// next finds the part in what is left of the text, as early as it can.
	next := func() bool {
		part = trimBlank(part)
		for len(part) > 0 && part[0] == "" {
			part = part[1:]
		}
		if len(part) == 0 {
			return true
		}
		parts++
		want := shape(part)
		for i := 0; i+len(part) <= len(text); i++ {
			if slices.Equal(shape(text[i:i+len(part)]), want) {
				text = text[i+len(part):]
				part = nil
				return true
			}
		}
		return false
	}
	for _, line := range trimLines(quote) {
		if t := strings.TrimSpace(line); t != "…" && t != "// …" {
			part = append(part, line)
		} else if !next() {
			return false
		}
	}
	return next() && parts > 0
}

// trimLines returns the lines without the spaces at their ends.
func trimLines(lines []string) []string {
	trimmed := make([]string, len(lines))
	for i, line := range lines {
		trimmed[i] = strings.TrimRight(line, " \t\r")
	}
	return trimmed
}

// dedent returns the lines without the indentation that they have in common.
func dedent(lines []string) []string {
	common := ""
	first := true
	for _, line := range lines {
		if line == "" {
			continue
		}
		indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
		if first {
			common, first = indent, false
		}
		for !strings.HasPrefix(indent, common) {
			common = common[:len(common)-1]
		}
	}
	shorter := make([]string, len(lines))
	for i, line := range lines {
		shorter[i] = strings.TrimPrefix(line, common)
	}
	return shorter
}

var (
	codeSpan = regexp.MustCompile("``[^`].*?``|`[^`]*`")
	link     = regexp.MustCompile(`\]\(\s*<?([^)>\s]+)` + // [text](target "title")
		`|^ {0,3}\[[^\]]+\]:\s*<?([^>\s]+)` + // [name]: target
		`|(?:href|src)="([^"]+)"`)
	scheme  = regexp.MustCompile(`^([a-zA-Z][a-zA-Z0-9+.-]*:|//)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	unnamed = regexp.MustCompile(`[^\pL\pN _-]`) // what GitHub leaves out of an anchor
)

// hasAnchor reports whether a page has a heading that GitHub gives this anchor.
func hasAnchor(page []byte, anchor string) bool {
	return slices.ContainsFunc(heading.FindAllSubmatch(page, -1), func(m [][]byte) bool {
		name := unnamed.ReplaceAllString(strings.ToLower(string(m[1])), "")
		return strings.ReplaceAll(name, " ", "-") == anchor
	})
}

// linkProblems finds the relative links of a document that lead nowhere in the tree. On GitHub a
// leading slash means the top directory.
func linkProblems(root string, d *document) (problems []string) {
	inBlock := map[int]bool{}
	for _, b := range d.blocks {
		for i := range b.body {
			inBlock[b.fence+1+i] = true
		}
	}
	for i, line := range d.lines {
		if inBlock[i] {
			continue
		}
		problem := func(format string, args ...any) {
			problems = append(problems, d.at(i)+": "+fmt.Sprintf(format, args...))
		}
		for _, m := range link.FindAllStringSubmatch(codeSpan.ReplaceAllString(line, ""), -1) {
			target := m[1] + m[2] + m[3]
			if scheme.MatchString(target) {
				continue
			}
			u, err := url.Parse(target)
			if err != nil {
				problem("%v", err)
				continue
			}
			name := filepath.Join(filepath.Dir(d.name), filepath.FromSlash(u.Path))
			if strings.HasPrefix(u.Path, "/") {
				name = filepath.FromSlash(strings.TrimPrefix(u.Path, "/"))
			}
			page := []byte(strings.Join(d.lines, "\n"))
			if u.Path != "" {
				page, _ = os.ReadFile(filepath.Join(root, name)) // below: whether it is there
			}
			if !filepath.IsLocal(name) {
				problem("%s leads out of the tree", target)
			} else if _, err := os.Stat(filepath.Join(root, name)); err != nil {
				problem("%s leads nowhere", target)
			} else if u.Fragment != "" && !hasAnchor(page, u.Fragment) {
				problem("%s: there is no such heading", target)
			}
		}
	}
	return problems
}

// tree makes files in a directory of the test's own and returns its name.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// TestQuoteProblems quotes rightly and wrongly.
func TestQuoteProblems(t *testing.T) {
	root := tree(t, map[string]string{
		"01-a/main.go": "package main\n",
		"02-b/main.go": "package main\n\nfunc main() {\n\tif true {\n\t\tone()\n\n\t\ttwo()\n" +
			"\t}\n\tthree()\n}\n",
		"02-b/demo.go": "package main\n\nfunc four() {}\n",
		"scripts/diff.sh": "echo \"--- $1\"\necho \"+++ $2\"\n" +
			"echo ' func main() {'\necho '+	one()'\n",
	})
	tests := []struct {
		name, step, block string
		want              string // part of the problem
	}{
		{"as it is", "02-b", "'''go\nfunc main() {\n\tif true {\n'''", ""},
		{"dedented", "02-b", "'''go\none()\n\ntwo()\n'''", ""},
		{"dedented by one", "02-b", "'''go\nif true {\n\tone()\n'''", ""},
		{"indented", "02-b", "- '''go\n  '''\n\n  '''go\n  one()  \n\n  two()\n  '''", ""},
		{"left out", "02-b", "'''go\nfunc main() {\n\t// …\n\tthree()\n}\n'''", ""},
		{"another file", "02-b", "'''go\nfunc four() {}\n'''", ""},
		{"wrong order", "02-b", "'''go\nthree()\n…\none()\n'''", "no .go file"},
		{"two files", "02-b", "'''go\nthree()\n…\nfunc four() {}\n'''", "no .go file"},
		{"not contiguous", "02-b", "'''go\none()\ntwo()\n'''", "no .go file"},
		{"other indentation", "02-b", "'''go\nif true {\none()\n'''", "no .go file"},
		{"another step", "01-a", "'''go\nfunc main() {\n'''", "no .go file of 01-a"},
		{"nothing", "02-b", "'''go\n…\n'''", "no .go file"},
		{"diff", "02-b", "'''diff\n func main() {\n+	one()\n'''", ""},
		{"diff with its header", "02-b", "'''diff\n--- 01-a\n…\n+	one()\n'''", ""},
		{"wrong diff", "02-b", "'''diff\n+	two()\n'''", "not in the output"},
		{"first step", "01-a", "'''diff\n+	two()\n'''", "no step before"},
		{"not ours", "02-b", "'''text\nfoo()\n'''", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			text := strings.ReplaceAll(test.block, "'''", "```")
			got := strings.Join(quoteProblems(root, parse(test.step+"/README.md", text)), "\n")
			if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	t.Run("no diff.sh", func(t *testing.T) {
		root := tree(t, map[string]string{"01-a/x": "", "02-b/x": ""})
		got := quoteProblems(root, parse("02-b/README.md", "```diff\n+x\n```\n"))
		if len(got) != 1 || !strings.Contains(got[0], "diff.sh") {
			t.Errorf("problems: %q", got)
		}
	})
}

// TestLinkProblems links to what is there and what isn't.
func TestLinkProblems(t *testing.T) {
	root := tree(t, map[string]string{"01-a/main.go": "", "01-a/b c.go": "", "01-a/README.md": "",
		"README.md": "## The top: `x`, and `y_z`\n"})
	tests := []struct {
		text string
		good bool
	}{
		{"[`main.go`](main.go)", true},
		{"[x](../01-a/) and [y](../README.md#the-top-x-and-y_z)", true},
		{"[y](../README.md#top)", false},
		{"[x](b%20c.go 'title')", true},
		{"[x](/README.md)", true},
		{"# Here\n[x](#here) [y](https://example.org/x#z)", true},
		{"# Here\n[x](#there)", false},
		{"[z](mailto:x@example.org) [w](//example.org)", true},
		{"`[x](nowhere)`", true},
		{"```\n[x](nowhere)\n```", true},
		{"[x]: main.go", true},
		{"[x](nowhere)", false},
		{"![x](nowhere.png)", false},
		{"[x]: nowhere", false},
		{`<img src="nowhere.png">`, false},
		{"[x](../../README.md)", false},
		{"[a](main.go) [b](../02-b)", false},
	}
	for _, test := range tests {
		got := linkProblems(root, parse("01-a/README.md", test.text))
		if len(got) == 0 != test.good || len(got) > 1 {
			t.Errorf("%s: problems %q", test.text, got)
		}
	}
}
