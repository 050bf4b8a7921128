//go:build linux

// How a lesson runs: it asks the host and the container the same question, prints both answers, and
// computes the verdict from them. The same file in every step.

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/fatih/color"
	"golang.org/x/sys/unix"
)

// A verdict is the result of comparing two answers to one question.
type verdict string

const (
	held   = verdict("held") // it works on the host, but not in the container
	leak   = verdict("LEAK") // it works in both
	noCase = verdict("n/a")  // it fails on the host, too, so it proves nothing
)

// A rule computes the verdict from the answers of host and container.
type rule func(host, inside string) verdict

// reaches is the rule for an attack: it got through if its answer contains the proof.
func reaches(proof string) rule {
	return func(host, inside string) verdict {
		switch {
		case !strings.Contains(host, proof):
			return noCase
		case strings.Contains(inside, proof):
			return leak
		}
		return held
	}
}

// isShared is the rule for things with an identity, such as a namespace or a name. Without one, as
// where it can't be read, there is no verdict.
func isShared(host, inside string) verdict {
	switch {
	case host == "" || inside == "":
		return noCase
	case host == inside:
		return leak
	}
	return held
}

// An experiment is one question and the answers of host and container.
type experiment struct {
	what         string
	host, inside string
	rule         rule    // nil: show the answers without a verdict
	expect       verdict // leak: a later step closes this
}

// A narrator runs one lesson.
type narrator struct {
	pause  bool          // wait for Enter before each part
	keys   *bufio.Reader // the terminal's
	told   []experiment  // every experiment with a rule
	broken []string      // what leaked and should have held
}

// tell runs the lesson. It is an error if something leaks that this step should have closed.
func tell(pause bool) error {
	n := &narrator{pause: pause && isTerminal(os.Stdin), keys: bufio.NewReader(os.Stdin)}
	if err := lesson(n); err != nil {
		return err
	}
	if len(n.broken) > 0 {
		return &leakError{strings.Join(n.broken, "; ")}
	}
	return nil
}

// leakError says what leaks although this step should have closed it.
type leakError struct{ what string }

// Error names what leaks.
func (e *leakError) Error() string { return "LEAK, where it should have held: " + e.what }

// part prints a heading and so begins a part of the lesson.
func (n *narrator) part(heading string) {
	put("\n" + color.New(color.Bold).Sprint(heading) + "\n")
	if n.pause { // so that a room can guess what the part will show
		put(color.New(color.Faint).Sprint("Enter: "))
		_, _ = n.keys.ReadString('\n') // at the end of standard input, just go on
	}
}

// next ends the lesson: it says what the verdicts mean that the lesson has reached, and what to do
// now.
func (n *narrator) next(what string) {
	put("\n")
	var meanings []string
	for _, v := range []struct {
		verdict
		means string
	}{{held, "isolated"}, {leak, "not isolated"}, {noCase, "fails even on the host"}} {
		if slices.ContainsFunc(n.told, func(e experiment) bool {
			return e.rule(e.host, e.inside) == v.verdict
		}) {
			meanings = append(meanings, fmt.Sprintf("%s: %s", v.verdict, v.means))
		}
	}
	if len(meanings) > 0 {
		say("verdicts", "%s", strings.Join(meanings, "   "))
	}
	say("next", "%s", what)
}

// ask runs an experiment outside and inside and returns both answers.
func (n *narrator) ask(args ...string) (e experiment, err error) {
	e.what = strings.Join(args, " ")
	if e.host, err = ask(self(args...)); err != nil {
		return e, err
	}
	e.inside, err = ask(within(args...))
	return e, err
}

// judge computes the verdict and records it.
func (n *narrator) judge(e experiment) verdict {
	if e.rule == nil {
		return ""
	}
	n.told = append(n.told, e)
	v := e.rule(e.host, e.inside)
	if v == leak && e.expect != leak {
		n.broken = append(n.broken, e.what)
	}
	return v
}

// compare prints an experiment as two lines, with the verdict at the end of the second.
func (n *narrator) compare(e experiment) {
	say("host", "%s", e.host)
	v := n.judge(e)
	if v == "" {
		say(inside, "%s", e.inside)
		return
	}
	text := fit(e.inside, width-margin-len(" held"))
	pad := strings.Repeat(" ", width-margin-len("held")-utf8.RuneCountInString(text))
	blanks := strings.Repeat(" ", margin-len(inside))
	put(colours[inside].Sprint(inside) + blanks + text + pad + colours[string(v)].Sprint(v) + "\n")
}

// table prints experiments as rows, with one column for the host and one for the container.
func (n *narrator) table(title string, experiments ...experiment) {
	rows := [][]string{{title, "host", inside, ""}}
	for _, e := range experiments {
		rows = append(rows, []string{e.what, e.host, e.inside, string(n.judge(e))})
	}
	columns(rows)
}

// columns prints rows, the first of them as the header, and cuts the widest cells until all fit.
func columns(rows [][]string) {
	widths := make([]int, len(rows[0]))
	total := 0
	for i := range widths {
		for _, row := range rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
		total += widths[i] + 2
	}
	for ; total-2 > width; total-- {
		widest := 0
		for i := range widths {
			if widths[i] > widths[widest] {
				widest = i
			}
		}
		widths[widest]--
	}
	for r, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			cell = fit(cell, widths[i])
			pad := widths[i] - utf8.RuneCountInString(cell)
			if paint := colours[cell]; paint != nil && (r == 0 || i > 0) {
				cell = paint.Sprint(cell)
			}
			if i < len(row)-1 {
				pad += 2
			}
			line.WriteString(cell + strings.Repeat(" ", pad))
		}
		put(strings.TrimRight(line.String(), " ") + "\n")
	}
}

// width is the narrowest terminal that the lessons are written for.
const width = 80

// margin is the column where a line's text begins, after the word for its side.
const margin = len("container  ")

// fit cuts the middle out of a text that has more than most characters.
func fit(text string, most int) string {
	runes := []rune(text)
	if len(runes) <= most {
		return text
	}
	head := (most - 1) / 2
	return string(runes[:head]) + "…" + string(runes[len(runes)-(most-1-head):])
}

// colours are for the verdicts and the words that begin a line. On a pipe, or with NO_COLOR set,
// the package prints the plain word, which says the same.
var colours = map[string]*color.Color{
	"host":         color.New(color.FgCyan),
	"jail":         color.New(color.FgGreen),
	"container":    color.New(color.FgGreen),
	string(held):   color.New(color.FgGreen),
	string(leak):   color.New(color.FgRed, color.Bold),
	string(noCase): color.New(color.Faint),
	"verdicts":     color.New(color.Faint),
	"next":         color.New(color.Faint),
}

// say prints one fact: the side that it is about, then the text.
func say(who, format string, args ...any) {
	blanks := strings.Repeat(" ", margin-len(who))
	put(colours[who].Sprint(who) + blanks + fit(fmt.Sprintf(format, args...), width-margin) + "\n")
}

// lost is why a line couldn't be printed, as on a full disk. It makes the lesson fail in the end.
var lost error

// put prints a piece of the lesson.
func put(text string) {
	if _, err := io.WriteString(os.Stdout, text); err != nil && lost == nil {
		lost = err
	}
}

// isTerminal reports whether someone can type into this file.
func isTerminal(file *os.File) bool {
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil
}

// self prepares to run this program again outside: the control for an experiment that runs inside.
func self(args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	return cmd
}

// ask runs an experiment and returns what it printed on standard output. Its errors go to the
// reader.
func ask(cmd *exec.Cmd) (string, error) {
	cmd.Stdin, cmd.Stdout = nil, nil
	answer, err := cmd.Output()
	if err != nil {
		// %v: its exit status mustn't become ours, without a word.
		return "", fmt.Errorf("experiment %s: %v", strings.Join(cmd.Args, " "), err)
	}
	return strings.TrimSpace(string(answer)), nil
}

// errno names the result of a system call as errno(3) does.
func errno(err error) string {
	var number unix.Errno
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &number):
		return fmt.Sprintf("%s (%s)", unix.ErrnoName(number), number)
	}
	return err.Error()
}

// A helper is an experiment that keeps running while the lesson goes on; the lesson talks to it
// through its standard input and output.
type helper struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines *bufio.Reader
}

// start starts a helper and returns it with its first line, which says that it is ready. The helper
// ends when its standard input closes: at the latest when this process ends, even by SIGKILL.
func start(cmd *exec.Cmd) (*helper, string, error) {
	cmd.Stdin, cmd.Stdout = nil, nil
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, "", err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := cmd.Start(); err != nil {
		return nil, "", fmt.Errorf("start %s: %w", strings.Join(cmd.Args, " "), err)
	}
	h := &helper{cmd, stdin, bufio.NewReader(stdout)}
	line, err := h.listen()
	return h, line, err
}

// listen returns the helper's next line. If there is none, the helper has failed, and the error
// says how it ended.
func (h *helper) listen() (string, error) {
	line, err := h.lines.ReadString('\n')
	if err == nil {
		return strings.TrimSuffix(line, "\n"), nil
	}
	if ended := h.end(); ended != nil {
		err = ended
	}
	return "", fmt.Errorf("experiment %s: %v", strings.Join(h.cmd.Args, " "), err)
}

// end closes the conversation and waits until the helper has ended.
func (h *helper) end() error {
	return errors.Join(h.stdin.Close(), h.cmd.Wait())
}

// waitForEOF runs in the helper: it prints the line and returns when standard input closes, because
// the lesson is over or killed. If it is killed already, SIGPIPE must not stop our clean-up.
func waitForEOF(line string) error {
	signal.Ignore(unix.SIGPIPE)
	fmt.Println(line)
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}
