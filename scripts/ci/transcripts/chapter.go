// How a chapter is read: its executed blocks, the comments that steer them, and edits to the byte.

package transcripts

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// document is a Markdown file, taken apart as far as the tests need it.
type document struct {
	name     string   // as problems name it
	lines    []string // all of it; joined by newlines they are the file again
	blocks   []block
	problems []string // what is wrong with its form
}

// block is one fenced code block.
type block struct {
	language string // the first word after the fence
	fence    int    // index in document.lines of the opening fence
	indent   string // what stands before the fence, and before each line of the block
	body     []string
	asRoot   bool   // the commands of the host are root's, by their prompts
	notRun   string // the reason, if the block is not to be run
	needs    []need // the programs that it runs only with
	oneID    bool   // it shows a container of a user without subordinate IDs
	allProcs bool   // it finds processes of other users in /proc
	varies   []*regexp.Regexp
}

// need is a program that a block needs and that not every system has.
type need struct{ program, pkg string }

var (
	fenceLine = regexp.MustCompile("^( *)(`{3,}|~{3,})([^`]*)$")
	directive = regexp.MustCompile(`(?s)^<!--\s*(not run|varies|needs)\b:?(.*?)-->$`)
	needRE    = regexp.MustCompile(`^([\w.-]+) \(([\w.+-]+)\)$`)
	comment   = regexp.MustCompile(`(?s)<!--.*?-->`)
	promptRE  = regexp.MustCompile(`^(\$|host\$|container#|jail#) (.*)$`)
	rootsRE   = regexp.MustCompile(`^(#|host#|container#|jail#) (.*)$`)
)

// parse takes a Markdown file apart. Mistakes in its form end up in document.problems, so that one
// run of the tests shows all of them.
func parse(name, text string) *document {
	d := &document{name: name, lines: strings.Split(text, "\n")}
	used := map[int]bool{} // lines that hold a comment which belongs to a block
	fenced := map[int]bool{}
	for i := 0; i < len(d.lines); i++ {
		m := fenceLine.FindStringSubmatch(d.lines[i])
		if m == nil {
			continue
		}
		end := closingFence(d.lines, i+1, m[2])
		if end < 0 {
			d.problem(i, "the code block that begins here has no end")
			end = len(d.lines)
		}
		b := block{fence: i, indent: m[1]}
		if words := strings.Fields(m[3]); len(words) > 0 {
			b.language = words[0]
		}
		for _, line := range d.lines[i+1 : end] {
			b.body = append(b.body, cutIndent(line, b.indent))
		}
		if b.language == "console" {
			d.directives(&b, used)
			first := strings.Join(b.body[:min(1, len(b.body))], "")
			b.asRoot = strings.HasPrefix(first, "# ") || strings.HasPrefix(first, "host# ")
		}
		d.blocks = append(d.blocks, b)
		for j := i; j <= end; j++ {
			fenced[j] = true
		}
		i = end
	}
	for i, line := range d.lines {
		if fenced[i] {
			continue
		}
		// In a quotation, say, or after the dash of a list.
		if strings.HasPrefix(strings.TrimLeft(line, " \t>*+-0123456789."), "```console") {
			d.problem(i, "not the beginning of a block that the tests can run")
		}
		if t := strings.TrimSpace(line); !used[i] && directivePrefix(t) {
			d.problem(i, "this comment belongs straight before a console block: %s", t)
		}
	}
	return d
}

// problem notes that something is wrong at a line, given by its index.
func (d *document) problem(index int, format string, args ...any) {
	d.problems = append(d.problems, d.at(index)+": "+fmt.Sprintf(format, args...))
}

// at names a line the way editors and compilers do; index counts from 0.
func (d *document) at(index int) string {
	return fmt.Sprintf("%s:%d", d.name, index+1)
}

// closingFence returns the index of the line that ends a block opened by fence, or -1.
func closingFence(lines []string, from int, fence string) int {
	for i := from; i < len(lines); i++ {
		t := strings.TrimSpace(lines[i])
		if len(t) >= len(fence) && strings.Trim(t, fence[:1]) == "" {
			return i
		}
	}
	return -1
}

// cutIndent removes as much of indent from the front of line as is there.
func cutIndent(line, indent string) string {
	for n := len(indent); n > 0; n-- {
		if rest, ok := strings.CutPrefix(line, indent[:n]); ok {
			return rest
		}
	}
	return line
}

// directivePrefix reports whether a line begins a comment that is meant for the tests.
func directivePrefix(line string) bool {
	rest, ok := strings.CutPrefix(line, "<!--")
	rest = strings.TrimSpace(rest)
	for _, word := range []string{"not run", "varies", "needs"} {
		if ok && strings.HasPrefix(rest, word) {
			return true
		}
	}
	return false
}

// directives reads the comments straight before a block: upwards from its fence, over blank lines
// and comments, to the first line that is neither. A comment may take several lines.
func (d *document) directives(b *block, used map[int]bool) {
	top := b.fence
	for i := b.fence - 1; i >= 0; i-- {
		t := strings.TrimSpace(d.lines[i])
		if t == "" {
			continue
		}
		if !strings.HasSuffix(t, "-->") {
			break
		}
		for i >= 0 && !strings.HasPrefix(strings.TrimSpace(d.lines[i]), "<!--") {
			i--
		}
		if i < 0 {
			break
		}
		top = i
	}
	for i := top; i < b.fence; i++ {
		used[i] = true
	}
	for _, c := range comment.FindAllString(strings.Join(d.lines[top:b.fence], "\n"), -1) {
		m := directive.FindStringSubmatch(c)
		if m == nil {
			continue
		}
		value := strings.Join(strings.Fields(m[2]), " ")
		if m[1] == "not run" {
			b.notRun = value
			if value == "" {
				d.problem(b.fence, "“not run” needs a reason: <!-- not run: REASON -->")
				b.notRun = "no reason given"
			}
			continue
		}
		if m[1] == "needs" {
			for part := range strings.SplitSeq(value, ", ") {
				if part == "no subordinate IDs" {
					b.oneID = true
					continue
				}
				if part == "all processes in /proc" {
					b.allProcs = true
					continue
				}
				p := needRE.FindStringSubmatch(part)
				if p == nil {
					d.problem(b.fence, "<!-- needs: %s -->: want PROGRAM (PACKAGE), …", value)
					break
				}
				b.needs = append(b.needs, need{p[1], p[2]})
			}
			continue
		}
		re, err := regexp.Compile("(?m)" + strings.TrimSpace(m[2]))
		switch {
		case err != nil:
			d.problem(b.fence, "<!-- varies: %s -->: %v", value, err)
		case value == "" || re.MatchString(""):
			// It would match between any two characters, in any output.
			d.problem(b.fence, "<!-- varies: %s --> matches the empty text", value)
		default:
			b.varies = append(b.varies, re)
		}
	}
}

// command is one prompt of a transcript with what follows it.
type command struct {
	prompt string
	line   int    // index in document.lines of the prompt
	text   string // what was typed, continuation lines joined as bash would read them
	output int    // index in document.lines of the first line of the output
	want   []string
}

// inside reports whether a command is for the shell in the container.
func (c command) inside() bool {
	return c.prompt == "container#" || c.prompt == "jail#"
}

// prompt returns what tells commands from what they print. A line of the output may begin with “#
// ”, so that is a prompt only in a block of root's.
func (b *block) prompt() *regexp.Regexp {
	if b.asRoot {
		return rootsRE
	}
	return promptRE
}

// commands splits a console block into its commands. Blank lines that end an output are there for
// the reader's eye and are no part of it.
func (b *block) commands() ([]command, error) {
	var cmds []command
	for i := 0; i < len(b.body); i++ {
		m := b.prompt().FindStringSubmatch(b.body[i])
		if m == nil {
			if len(cmds) == 0 {
				return nil, fmt.Errorf("a console block begins with a prompt, not %q", b.body[i])
			}
			c := &cmds[len(cmds)-1]
			c.want = append(c.want, b.body[i])
			continue
		}
		c := command{prompt: m[1], line: b.fence + 1 + i, text: m[2]}
		for strings.HasSuffix(c.text, `\`) && i+1 < len(b.body) {
			more, ok := strings.CutPrefix(b.body[i+1], "> ")
			if !ok {
				break
			}
			c.text += "\n" + more
			i++
		}
		c.output = b.fence + 1 + i + 1
		cmds = append(cmds, c)
	}
	if len(cmds) == 0 {
		return nil, fmt.Errorf("the console block is empty")
	}
	for i := range cmds {
		cmds[i].want = trimBlank(cmds[i].want)
	}
	return cmds, nil
}

// containerShell returns the index of the command that is the shell inside, or -1 where the block
// has no lines for one. It is the first on the host that ends in the word sh.
func containerShell(cmds []command) (int, error) {
	inside := slices.IndexFunc(cmds, command.inside)
	if inside < 0 {
		return -1, nil
	}
	for i, c := range cmds[:inside] {
		words := strings.Fields(c.text)
		if len(words) > 0 && words[len(words)-1] == "sh" {
			return i, nil
		}
	}
	return -1, fmt.Errorf("no command before this one starts a shell for it (its last word: sh)")
}

// trimBlank removes blank lines from the end.
func trimBlank(lines []string) []string {
	for len(lines) > 0 && strings.TrimSpace(lines[len(lines)-1]) == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// edit replaces some lines of a document.
type edit struct {
	from, to int // indexes in document.lines; to is the first line that stays
	lines    []string
}

// apply returns the text of the document after the edits, which are in ascending order.
func (d *document) apply(edits []edit) string {
	lines := slices.Clone(d.lines)
	for _, e := range slices.Backward(edits) {
		lines = slices.Replace(lines, e.from, e.to, e.lines...)
	}
	return strings.Join(lines, "\n")
}

// newOutput returns the edit that makes lines the output of c. It refuses what would be read back
// as something else.
func (b *block) newOutput(c command, lines []string) (edit, error) {
	e := edit{from: c.output, to: c.output + len(c.want)}
	for _, line := range lines {
		line = strings.TrimRight(line, " \t\r")
		if b.prompt().MatchString(line) || fenceLine.MatchString(line) {
			return e, fmt.Errorf("a line of the output would read as a prompt or a fence: %q", line)
		}
		if line != "" {
			line = b.indent + line
		}
		e.lines = append(e.lines, line)
	}
	return e, nil
}
