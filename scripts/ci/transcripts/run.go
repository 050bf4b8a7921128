//go:build linux

// Running one document: block by block, command by command.

package transcripts

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"jail-to-container/scripts/steptest"
)

// runner runs the transcripts of documents.
type runner struct {
	root    string // where the documents are, to be read and, in an update, written
	dir     string // where the commands run: the same, or a copy of it
	env     []string
	user    *syscall.Credential // the user they run as; nil for the user of the tests
	names   []naming
	timeout time.Duration // of each command
	grace   time.Duration // for what a block leaves behind, to go
	rootEnv []string      // of blocks that are root's; without it they are not run
	until   time.Time     // when all must have ended; zero for no such time
	update  bool
	manyIDs bool // the user has subordinate IDs, which newuidmap maps
	lacking bool // skip the blocks that need a program that isn't here; CI has them all
}

// naming gives a path of this machine the name that chapters have for it.
type naming struct{ path, name string }

// report is what came of a document.
type report struct {
	problems []string
	notes    []string // what was not run, what was rewritten
	lacking  []string // the reasons of blocks that need what isn't here
	ran      int      // commands
}

// document runs the transcripts of one file below root and compares, or in an update rewrites.
func (r *runner) document(name string) (report, error) {
	file := filepath.Join(r.root, name)
	text, err := os.ReadFile(file)
	if err != nil {
		return report{}, err
	}
	d := parse(name, string(text))
	rep := report{problems: d.problems}
	var edits []edit
	for _, b := range d.blocks {
		if b.language != "console" {
			continue
		}
		if b.notRun != "" {
			rep.notes = append(rep.notes, fmt.Sprintf("%s: not run: %s", d.at(b.fence), b.notRun))
			continue
		}
		if b.asRoot && r.rootEnv == nil {
			rep.notes = append(rep.notes, d.at(b.fence)+
				": not run: only root's tests run what root does")
			continue
		}
		if why := r.lacks(&b); why != "" {
			note := fmt.Sprintf("%s: not run: %s", d.at(b.fence), why)
			if r.lacking || why == hasIDs || why == hidesProcs {
				rep.lacking = append(rep.lacking, why)
				rep.notes = append(rep.notes, note)
			} else {
				rep.problems = append(rep.problems, note)
			}
			continue
		}
		edits = append(edits, r.block(d, &b, &rep)...)
	}
	if len(edits) == 0 {
		return rep, nil
	}
	// WriteFile keeps the mode of a file that is there.
	return rep, os.WriteFile(file, []byte(d.apply(edits)), 0o644)
}

// hasIDs is why a block isn't run for some users. Root's tests run it as nobody, without such IDs.
const hasIDs = "this user has subordinate IDs; run it as one without (/etc/subuid)"

// hidesProcs is why a block isn't run on such a machine.
const hidesProcs = "this /proc hides other users' processes (its mount option hidepid); run it " +
	"on a host where it doesn't"

// lacks says what a block needs that isn't here: a program in the PATH of its user, mostly.
func (r *runner) lacks(b *block) string {
	env := r.env
	if b.asRoot {
		env = r.rootEnv
	}
	path := ""
	for _, v := range env {
		if value, ok := strings.CutPrefix(v, "PATH="); ok {
			path = value
		}
	}
	if b.oneID && r.manyIDs {
		return hasIDs
	}
	if b.allProcs && steptest.ProcHides() {
		return hidesProcs
	}
	for _, n := range b.needs {
		if !slices.ContainsFunc(filepath.SplitList(path), func(dir string) bool {
			_, err := exec.LookPath(filepath.Join(dir, n.program))
			return err == nil
		}) {
			return fmt.Sprintf("no %s here: apt-get install %s", n.program, n.pkg)
		}
	}
	return ""
}

// block runs one transcript and reports on it. The result is what an update is to change.
func (r *runner) block(d *document, b *block, rep *report) (edits []edit) {
	problem := func(line int, format string, args ...any) {
		rep.problems = append(rep.problems, d.at(line)+": "+fmt.Sprintf(format, args...))
	}
	cmds, err := b.commands()
	if err != nil {
		problem(b.fence, "%v", err)
		return nil
	}
	shell, err := containerShell(cmds)
	if err != nil {
		problem(cmds[slices.IndexFunc(cmds, command.inside)].line, "%v", err)
		return nil
	}
	who := r
	if b.asRoot {
		root := *r
		root.user, root.env = nil, r.rootEnv
		who = &root
	}
	t, err := who.open(shell >= 0)
	if err != nil {
		problem(b.fence, "%v", err)
		return nil
	}
	defer func() {
		for _, p := range t.close(r.left(), r.grace) {
			problem(b.fence, "%s", p)
		}
	}()

	var want, got [][]string // the outputs, command by command
	differs := false
	for i, c := range cmds {
		var text string
		switch {
		case i == shell:
			text, err = t.start(c.text, r.left())
		case c.inside():
			text, err = t.inside(c.text, r.left())
		default:
			text, err = t.host(c.text, r.left())
		}
		rep.ran++
		lines := r.lines(text)
		typed := c.prompt + " " + c.text
		if err != nil {
			if err == errTimeout {
				err = fmt.Errorf("did not end within %v", r.timeout)
			}
			said := ""
			if len(lines) > 0 {
				said = "; printed until then:\n      " + strings.Join(lines, "\n      ")
			}
			t.kill()
			problem(c.line, "%s\n    %v%s", typed, err, said)
			return nil
		}
		want, got = append(want, c.want), append(got, lines)
		if !matches(c, b.varies, lines) {
			differs = true
			if !r.update {
				problem(c.line, "%s\n    - expected, + got:%s%s", typed,
					listed("-", c.want), listed("+", lines))
			}
		}
	}
	if differs && r.update {
		// All of the block, since the numbers in its outputs belong together.
		for i, c := range cmds {
			e, err := b.newOutput(c, got[i])
			if err != nil {
				problem(c.line, "%s %s: %v", c.prompt, c.text, err)
				return nil
			}
			edits = append(edits, e)
		}
		rep.notes = append(rep.notes, d.at(b.fence)+": rewritten")
		want = got
	}
	for _, re := range b.varies {
		found := func(lines []string) bool { return re.MatchString(strings.Join(lines, "\n")) }
		if !slices.ContainsFunc(want, found) {
			problem(b.fence, "<!-- varies: %s --> matches nothing in this block",
				strings.TrimPrefix(re.String(), "(?m)"))
		}
	}
	return edits
}

// printsStatus matches a command that ends by showing an exit status.
var printsStatus = regexp.MustCompile(`\becho\b[^|;&]*\$\?["']?\s*$`)

// listed puts each line on a line of its own, with a sign before it.
func listed(sign string, lines []string) (text string) {
	for _, line := range lines {
		text += "\n    " + sign + " " + line
	}
	return text
}

// matches reports whether got is what the document says a command prints.
func matches(c command, varies []*regexp.Regexp, got []string) bool {
	want, exact := mask(c.want, varies), -1
	if printsStatus.MatchString(c.text) {
		exact = len(want) - 1
	}
	return sameText(want, mask(got, varies), exact)
}

// mask replaces what varies by #.
func mask(lines []string, varies []*regexp.Regexp) []string {
	if len(lines) == 0 {
		return nil
	}
	text := strings.Join(lines, "\n")
	for _, re := range varies {
		var s strings.Builder
		last := 0
		for _, at := range re.FindAllStringSubmatchIndex(text, -1) {
			spans := at[2:]
			if len(spans) == 0 {
				spans = at
			}
			for i := 0; i < len(spans); i += 2 {
				// Not every group takes part in every match, and groups can be nested.
				if from, to := spans[i], spans[i+1]; from >= last && from >= 0 {
					s.WriteString(text[last:from] + "#")
					last = to
				}
			}
		}
		s.WriteString(text[last:])
		text = s.String()
	}
	return strings.Split(text, "\n")
}

// lines splits an output, with the machine's paths by their names in chapters.
func (r *runner) lines(text string) []string {
	for _, n := range r.names {
		text = rename(text, n.path, n.name)
	}
	if text == "" {
		return nil
	}
	return trimBlank(strings.Split(text, "\n"))
}

// rename replaces a path, but not where it is a part of another name: /home/jo in /home/joe.
func rename(text, path, name string) string {
	if path == "" || path == "/" {
		return text
	}
	var s strings.Builder
	for {
		before, after, found := strings.Cut(text, path)
		if !found {
			return s.String() + text
		}
		s.WriteString(before)
		if within(before, after) {
			s.WriteString(path)
		} else {
			s.WriteString(name)
		}
		text = after
	}
}

// within reports whether what stands between these two is a part of a longer name.
func within(before, after string) bool {
	const ofName = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
	return before != "" && strings.IndexByte(ofName+".", before[len(before)-1]) >= 0 ||
		after != "" && strings.IndexByte(ofName, after[0]) >= 0
}

// left is how long a command may take. It ends early enough before the tests' own time limit,
// which would end them without a word about the command.
func (r *runner) left() time.Duration {
	if r.until.IsZero() {
		return r.timeout
	}
	return max(0, min(r.timeout, time.Until(r.until)))
}
