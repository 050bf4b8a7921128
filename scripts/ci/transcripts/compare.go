// When two outputs are the same: rules for what differs from run to run.

package transcripts

import (
	"regexp"
	"strconv"
	"strings"
)

// sameText reports whether two outputs say the same, line by line, by these rules:
//
//   - Spacing doesn't count, so that a wider number may shift a column.
//   - In want, a number of three or more digits stands for any number: process ids, byte counts,
//     inode numbers, times. One of fewer digits stands for itself, since “I am PID 1” is a claim.
//     So is that something is not 1: a number of four digits or more never stands for a single
//     digit.
//   - But after the words “status” and “exit code” every number counts, as it does with a leading
//     zero (0755, 0o755), which is a file mode.
//   - A hexadecimal id of sixteen or more characters stands for any other of the same length. With
//     four leading zeros it is a bit mask, as in /proc/PID/status, and counts.
//   - ps shows a terminal as pts/N or, where there is none, as “?”; these are the same.
//
// exact is the index in want of a line in which all numbers count, or -1.
func sameText(want, got []string, exact int) bool {
	if len(want) != len(got) {
		return false
	}
	for i := range want {
		if !sameLine(want[i], got[i], i == exact) {
			return false
		}
	}
	return true
}

// sameLine compares two lines by the rules of [sameText].
func sameLine(want, got string, exact bool) bool {
	w, g := strings.Fields(want), strings.Fields(got)
	if len(w) != len(g) {
		return false
	}
	for i := range w {
		if w[i] == g[i] {
			continue
		}
		if exact || isStatus(w[:i]) || !sameWord(w[i], g[i]) {
			return false
		}
	}
	return true
}

// isStatus reports whether the word after these is an exit status.
func isStatus(before []string) bool {
	word := func(fromEnd int) string {
		if len(before) < fromEnd {
			return ""
		}
		return strings.ToLower(strings.Trim(before[len(before)-fromEnd], `:=,.()"'`+"`"))
	}
	return word(1) == "status" || word(1) == "code" && word(2) == "exit"
}

var (
	ttyName  = regexp.MustCompile(`^(pts/\d+|\?)$`)
	dotDigit = regexp.MustCompile(`^\.\d`)

	// What looks like a number, the longest reading first: an id, a status or a number of another
	// base, a number with a fraction, and a plain one.
	number = regexp.MustCompile(`[0-9a-f]{16,}` +
		`|(?i:status[=:]|0[xob])[0-9a-f]+` +
		`|\d+\.\d{3,}` +
		`|\d+`)
)

// sameWord compares two words that are not identical, by the rules of [sameText]: it makes want a
// pattern and looks whether got matches it.
func sameWord(want, got string) bool {
	if ttyName.MatchString(want) && ttyName.MatchString(got) {
		return true
	}
	var pattern strings.Builder
	pattern.WriteString(`^`)
	last := 0
	for _, at := range number.FindAllStringIndex(want, -1) {
		pattern.WriteString(regexp.QuoteMeta(want[last:at[0]]))
		pattern.WriteString(numberPattern(want, at[0], at[1]))
		last = at[1]
	}
	pattern.WriteString(regexp.QuoteMeta(want[last:]) + `$`)
	return regexp.MustCompile(pattern.String()).MatchString(got)
}

// numberPattern returns the pattern for the number word[from:to].
func numberPattern(word string, from, to int) string {
	n := word[from:to]
	switch {
	case strings.Trim(n, "0123456789") == "":
		switch {
		case len(n) < 3 || n[0] == '0':
			return n
		case len(n) == 3:
			return `\d+`
		default:
			return `\d\d+`
		}
	case strings.Trim(n, "0123456789.") == "":
		// A number with a fraction is one number, 1.234s. In a longer chain of dots, as
		// addresses and versions are, each part is one of its own.
		if from > 0 && word[from-1] == '.' || dotDigit.MatchString(word[to:]) {
			whole, fraction, _ := strings.Cut(n, ".")
			return numberPattern(whole, 0, len(whole)) + `\.` +
				numberPattern(fraction, 0, len(fraction))
		}
		return `\d+(\.\d+)?`
	case isHexID(n):
		return `[0-9a-f]{` + strconv.Itoa(len(n)) + `}`
	}
	return regexp.QuoteMeta(n)
}

// isHexID reports whether n is a long hexadecimal number that isn't a bit mask.
func isHexID(n string) bool {
	return len(n) >= 16 && strings.Trim(n, "0123456789abcdef") == "" &&
		!strings.HasPrefix(n, "0000")
}
