// Stepdiff shows what one step adds to the mechanism of another: a diff without what a reader has
// to skip. This is the program behind scripts/diff.sh, which builds it.
//
//	stepdiff ROOT [-h] FROM TO    ROOT is the repository
//
// It is not diff(1) or git-diff(1), for two reasons. It knows that it reads Go: declarations are
// matched by name, so a new function never begins with the closing brace of the one before. And
// chapters quote the output, which must not depend on the version or the settings of a tool.
//
// step.go cuts files up into declarations, align.go compares the lines of two, report.go prints.
package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/fatih/color"
)

// usage has a gap for the names in lesson.
const usage = `usage: scripts/diff.sh [-h] FROM TO

Shows what step TO adds to step FROM, for example: scripts/diff.sh 02 03

FROM and TO are a number (02), a name (02-pid-namespace) or the path of a directory.
Left out: the lesson and what is no part of the mechanism (README.md, *_test.go,
%s),
and in every file the comment at its head, the imports and the step's name. A new file is shown
with its comment.

A line "@@ func container" names the function that the lines below it are from. The last line
counts: lines of code and of comment that are new, and lines that are gone, blank ones aside.
In colour on a terminal, unless NO_COLOR is set.
`

// main leaves all to run. color.Output is standard output, with colours on Windows too.
func main() { os.Exit(run(os.Args[1:], color.Output, os.Stderr)) }

// run does what the arguments ask for and returns the exit status: 2 if it can't be done.
func run(args []string, stdout, stderr io.Writer) int {
	help := fmt.Sprintf(usage, strings.Join(lesson, " "))
	if len(args) > 1 && slices.Contains([]string{"-h", "--help"}, args[1]) {
		fmt.Fprint(stdout, help)
		return 0
	}
	if len(args) != 3 {
		fmt.Fprint(stderr, help)
		return 2
	}
	from, err := load(args[0], args[1])
	if err == nil {
		var to step
		if to, err = load(args[0], args[2]); err == nil {
			_, err = io.WriteString(stdout, compare(from, to))
		}
	}
	if err != nil {
		fmt.Fprintf(stderr, "diff.sh: %v\n", err)
		return 2
	}
	return 0
}
