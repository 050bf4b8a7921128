//go:build linux

// How this program prints: a word, and text beside it, in 80 columns.

package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/fatih/color"
)

// colours of the words that have one.
var colours = map[string]*color.Color{
	string(held):    color.New(color.FgGreen),
	string(leaked):  color.New(color.FgRed),
	string(failed):  color.New(color.FgRed),
	string(missing): color.New(color.FgYellow),
	"stopped":       color.New(color.FgRed),
	"done":          color.New(color.FgGreen, color.Bold),
}

// columns is the width of a line, and margin that of the word before the text.
const columns, margin = 80, 11

// say prints a word and a text beside it, broken into lines.
func say(word, format string, args ...any) {
	padded := fmt.Sprintf("%-*s", margin-1, word)
	if c := colours[word]; c != nil {
		padded = c.Sprint(padded)
	}
	line, rest := padded, margin-1
	var b strings.Builder
	for _, w := range strings.Fields(fmt.Sprintf(format, args...)) {
		if rest+1+len(w) > columns && rest > margin {
			b.WriteString(strings.TrimRight(line, " ") + "\n")
			line, rest = strings.Repeat(" ", margin-1), margin-1
		}
		line += " " + w
		rest += 1 + len(w)
	}
	fmt.Print(b.String() + strings.TrimRight(line, " ") + "\n")
}

// trouble says why this program couldn't do its work, and returns the exit status for that.
func trouble(format string, args ...any) int {
	fmt.Fprintf(os.Stderr, "exercise.sh: "+format+"\n", args...)
	return statusTrouble
}
