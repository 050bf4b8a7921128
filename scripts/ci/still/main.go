// Still makes a picture of a lesson from what the lesson prints at a terminal, colours included,
// and puts the same text into the chapter:
//
//	script -qec 'go run ./02-pid-namespace' /dev/null | go run ./scripts/ci/still 02-pid-namespace
package main

import (
	"errors"
	"fmt"
	"html"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// main reads the lesson's output on standard input.
func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go run ./scripts/ci/still NN-name <OUTPUT")
		os.Exit(2)
	}
	if err := still(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "still:", err)
		os.Exit(1)
	}
}

// still writes the picture of a step's lesson, and the same text into the step's chapter.
func still(step string) error {
	output, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	name := filepath.Join(step, "README.md")
	chapter, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	block, command, err := transcript(step, string(chapter))
	if err != nil {
		return err
	}
	s, err := parseTerminal(command + "\n" + string(output))
	if err != nil {
		return err
	}
	text := strings.Replace(string(chapter), block, s.text(), 1)
	return errors.Join(os.WriteFile(filepath.Join(step, "lesson.svg"), []byte(s.svg()), 0o644),
		os.WriteFile(name, []byte(text), 0o644))
}

// transcript finds the block of a chapter that runs the lesson, and nothing else, and its first
// line.
func transcript(step, chapter string) (block, command string, err error) {
	re := regexp.MustCompile("(?s)```console\n(([#$] go run \\./" + step + ")\n.*?)```\n")
	m := re.FindStringSubmatch(chapter)
	if m == nil {
		return "", "", fmt.Errorf("the chapter has no block that runs ./%s", step)
	}
	return m[1], m[2], nil
}

// A screen is what a terminal shows, line by line.
type screen [][]cell

// A cell is one character. Its style is the attributes of the SVG element that it is drawn by.
type cell struct {
	char  rune
	style string
}

// escape is a sequence that sets the style of what follows (console_codes(4)).
var escape = regexp.MustCompile(`^\x1b\[([\d;]*)m`)

// styles are for the sequences that the lessons use.
var styles = map[string]string{
	"36": ` fill="#67d7e5"`, "32": ` fill="#7ee787"`, "2": ` fill="#9aa7b4"`,
	"31;1": ` fill="#ff8a80" font-weight="bold"`, "1": ` font-weight="bold"`,
	"0": "", "22": "", "0;22": "",
}

// parseTerminal reads text with such sequences.
func parseTerminal(text string) (s screen, err error) {
	style := ""
	for line := range strings.Lines(text) {
		var cells []cell
		for line = strings.TrimRight(line, "\r\n"); line != ""; {
			if m := escape.FindStringSubmatch(line); m != nil {
				var known bool
				if style, known = styles[m[1]]; !known {
					return nil, fmt.Errorf("unknown escape sequence in %q", line)
				}
				line = line[len(m[0]):]
				continue
			}
			char := []rune(line)[0]
			if char < ' ' || len(cells) == columns {
				return nil, fmt.Errorf("not 80 columns of text: %q", line)
			}
			cells = append(cells, cell{char, style})
			line = line[len(string(char)):]
		}
		s = append(s, cells)
	}
	return s, nil
}

// text is the screen without its colours.
func (s screen) text() string {
	var out strings.Builder
	for _, cells := range s {
		line := ""
		for _, c := range cells {
			line += string(c.char)
		}
		out.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return out.String()
}

// The measures of the picture, in pixels. Each character has a position of its own, so it doesn't
// matter how wide the reader's font is.
const columns, width, height, margin = 80, 9, 19, 16

// svg draws the screen, word by word, on a dark background of its own.
func (s screen) svg() string {
	var out strings.Builder
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" `+
		`font-family="ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace" `+
		`font-size="15" fill="#e6edf3">
<title>What the lesson prints at a terminal</title>
<rect width="100%%" height="100%%" rx="8" fill="#161b22"/>
`, 2*margin+columns*width, 2*margin+len(s)*height)
	for row, cells := range s {
		for i := 0; i < len(cells); i++ {
			if cells[i].char == ' ' {
				continue
			}
			word, x, style := "", []string(nil), cells[i].style
			for ; i < len(cells) && cells[i].char != ' ' && cells[i].style == style; i++ {
				word += string(cells[i].char)
				x = append(x, strconv.Itoa(margin+i*width))
			}
			i--
			fmt.Fprintf(&out, "<text x=\"%s\" y=\"%d\"%s>%s</text>\n", strings.Join(x, " "),
				margin+row*height+15, style, html.EscapeString(word))
		}
	}
	return out.String() + "</svg>\n"
}
