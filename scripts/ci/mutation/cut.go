// Taking a text out of a file.

package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// cut returns a file's text with one text in it replaced by another. The text has to be there
// exactly once. The tabs at the beginning of its lines don't matter, so that a row of the table can
// be indented like a row of a table.
func cut(text, find, replace string) (string, error) {
	var lines []string
	for line := range strings.SplitSeq(strings.Trim(find, "\t\n"), "\n") {
		lines = append(lines, regexp.QuoteMeta(strings.TrimLeft(line, "\t")))
	}
	pattern := regexp.MustCompile(strings.Join(lines, `\n\t*`))
	places := pattern.FindAllStringIndex(text, -1)
	switch {
	case strings.TrimSpace(find) == "":
		return "", errors.New("the row doesn't say what to take out")
	case len(places) == 0:
		return "", fmt.Errorf("the text is not in the file: %s", firstLine(find))
	case len(places) > 1:
		return "", fmt.Errorf("the text is in the file %d times: %s", len(places), firstLine(find))
	}
	from, to := places[0][0], places[0][1]
	if text[from:to] == replace {
		return "", errors.New("the replacement is what is there already")
	}
	return text[:from] + replace + text[to:], nil
}
