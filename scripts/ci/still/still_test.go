package main

import (
	"html"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// drawn is a word in a picture.
var drawn = regexp.MustCompile(`(?m)^<text x="([\d ]+)" y="(\d+)"(.*?)>(.*)</text>$`)

// parseSVG reads a picture's words back into the cells where they stand.
func parseSVG(picture string) (s screen) {
	for _, m := range drawn.FindAllStringSubmatch(picture, -1) {
		y, _ := strconv.Atoi(m[2]) // the expression has digits only
		row := (y - margin) / height
		for len(s) <= row {
			s = append(s, nil)
		}
		for i, char := range []rune(html.UnescapeString(m[4])) {
			x, _ := strconv.Atoi(strings.Fields(m[1])[i])
			for column := (x - margin) / width; len(s[row]) <= column; {
				s[row] = append(s[row], cell{char: ' '})
			}
			s[row][len(s[row])-1] = cell{char, m[3]}
		}
	}
	return s
}

// TestStills: each chapter has a picture of its lesson, which says the same as the transcript, to
// the letter, and is what this program draws.
func TestStills(t *testing.T) {
	chapters, err := filepath.Glob("../../../0*/README.md")
	if err != nil || len(chapters) != 8 {
		t.Fatalf("%d chapters: %v", len(chapters), err)
	}
	for _, name := range chapters {
		step := filepath.Base(filepath.Dir(name))
		chapter, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		block, _, err := transcript(step, string(chapter))
		if err != nil {
			t.Fatal(err)
		}
		picture, err := os.ReadFile(filepath.Join(filepath.Dir(name), "lesson.svg"))
		if err != nil {
			t.Error(err)
			continue
		}
		s := parseSVG(string(picture))
		if s.text() != block || s.svg() != string(picture) {
			t.Errorf("%s/lesson.svg isn't the chapter's transcript. Make both again:\n"+
				"script -qec 'go run ./%[1]s' /dev/null | go run ./scripts/ci/still %[1]s", step)
		}
		for _, word := range []string{`fill="#67d7e5">host<`, `fill="#7ee787">held<`} {
			if !strings.Contains(string(picture), word) {
				t.Errorf("%s/lesson.svg has no %s", step, word)
			}
		}
		if !strings.Contains(string(chapter), "](lesson.svg)") {
			t.Errorf("%s doesn't show lesson.svg", name)
		}
	}
}

// TestFigures: the PIDs, IDs, addresses and names in a chapter's figures are those in its text.
func TestFigures(t *testing.T) {
	figures, err := filepath.Glob("../../../0*/*.svg")
	if err != nil || len(figures) < 16 {
		t.Fatalf("%d pictures: %v", len(figures), err)
	}
	name := regexp.MustCompile(`\d{5,}|\d+\.\d+\.\d+\.\d+|\b0\d-\w+-\w{8}\b`)
	for _, figure := range figures {
		picture, err1 := os.ReadFile(figure)
		chapter, err2 := os.ReadFile(filepath.Join(filepath.Dir(figure), "README.md"))
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		for _, text := range regexp.MustCompile(`>[^<]+<`).FindAllString(string(picture), -1) {
			for _, found := range name.FindAllString(text, -1) {
				if !strings.Contains(string(chapter), found) {
					t.Errorf("%s shows %s, which isn't in its chapter", figure, found)
				}
			}
		}
	}
}

// TestScreen reads what a terminal shows, draws it, and reads the picture.
func TestScreen(t *testing.T) {
	s, err := parseTerminal("\x1b[36mhost\x1b[0m  <a>\r\n\r\n" +
		"  \x1b[31;1mLEAK\x1b[0;22m \x1b[2mn\x1b[22m/a \r\n")
	if err != nil {
		t.Fatal(err)
	}
	if want := "host  <a>\n\n  LEAK n/a\n"; s.text() != want || parseSVG(s.svg()).text() != want {
		t.Errorf("read %q, and from the picture %q, want %q", s.text(), parseSVG(s.svg()), want)
	}
	for _, want := range []string{
		`viewBox="0 0 752 89"`,
		`<text x="16 25 34 43" y="31" fill="#67d7e5">host</text>`,
		`<text x="70 79 88" y="31">&lt;a&gt;</text>`,
		`<text x="34 43 52 61" y="69" fill="#ff8a80" font-weight="bold">LEAK</text>`,
		`<text x="79" y="69" fill="#9aa7b4">n</text>` + "\n" + `<text x="88 97" y="69">/a</text>`,
	} {
		if !strings.Contains(s.svg(), want) {
			t.Errorf("no %s in\n%s", want, s.svg())
		}
	}
	for _, wrong := range []string{strings.Repeat("x", 81), "\x1b[H", "\x1b[35mx", "a\tb"} {
		if s, err := parseTerminal(wrong); err == nil {
			t.Errorf("%q is read as %q", wrong, s.text())
		}
	}
}
