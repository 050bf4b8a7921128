package transcripts

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// foreign are words that give away a sentence translated into English, with what to say instead. A
// page without them can still read badly: this only keeps the worst habits out.
var foreign = []struct{ word, instead string }{
	{"whoever", "name the actor"},
	{"of which", "start a new sentence"},
	{"mend(s|ed|ing)?", "fix"},
	{"lent", "delegated"},
	{"in there", "inside"},
	{"out there", "on the host"},
	{"out here", "outside"},
	{"beside each other", "side by side"},
	{"cgroups of version", "cgroup v1, cgroup v2"},
	{"ways? out", "escape"},
	{"(some|any)body", "a process, a user"},
}

// comments are those of a Go file or a shell script.
var comments = regexp.MustCompile(`(?m)(?://|^\s*#) (.*)$`)

// TestWords looks for these words in the prose of every page, in every picture and in the comments
// of every program.
func TestWords(t *testing.T) {
	var pages []string
	for _, pattern := range []string{"*.md", "0*/*.md", "scripts/*.md", "scripts/*/*.md",
		".pictures/*.svg", "0*/*.svg", "0*/*.go", "scripts/*/*.go", "scripts/ci/*/*.go",
		"scripts/*.sh", "scripts/ci/*.sh", "scripts/ci/*/*.sh"} {
		found, err := filepath.Glob(filepath.Join("../../..", pattern))
		if err != nil || len(found) == 0 {
			t.Fatal(pattern, len(found), err)
		}
		pages = append(pages, found...)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		if ext := filepath.Ext(page); ext == ".go" || ext == ".sh" {
			var lines []string
			for _, comment := range comments.FindAllSubmatch(text, -1) {
				lines = append(lines, string(comment[1]))
			}
			text = []byte(strings.Join(lines, "\n"))
		}
		for _, f := range foreignWords(page, string(text)) {
			t.Error(f)
		}
	}
}

// foreignWords finds them outside of code, in one paragraph at a time: a line may end within them.
func foreignWords(page, text string) (found []string) {
	d := parse(page, text)
	lines := append([]string(nil), d.lines...)
	for _, b := range d.blocks {
		for i := range b.body {
			lines[b.fence+1+i] = ""
		}
	}
	prose := codeSpan.ReplaceAllString(strings.Join(lines, "\n"), "")
	for paragraph := range strings.SplitSeq(prose, "\n\n") {
		paragraph = strings.Join(strings.Fields(paragraph), " ")
		for _, f := range foreign {
			re := regexp.MustCompile(`(?i)(?:\S+ ){0,4}\b` + f.word + `\b(?: \S+){0,4}`)
			for _, passage := range re.FindAllString(paragraph, -1) {
				found = append(found, page+": “"+passage+"”: "+f.instead)
			}
		}
	}
	return found
}

// TestForeignWords finds them at the end of a line and in a list, and not in code or within words.
func TestForeignWords(t *testing.T) {
	for text, want := range map[string]int{
		"What runs in\nthere is small.":                                1,
		"- Whoever reads this, mends it.":                              2,
		"Run `lent in there`, silently, the amendment and the talent.": 0,
		"```text\nin there\n```":                                       0,
		"It was put in.\n\nThere it was.":                              0,
	} {
		if got := foreignWords("page", text); len(got) != want {
			t.Errorf("%q: found %q, want %d", text, got, want)
		}
	}
}
