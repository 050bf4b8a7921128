// Comparing the lines of two declarations, in a way that reads well.

package main

import "strings"

// edit is a line of a comparison: new ('+'), gone ('-') or in both (' ').
type edit struct {
	op   byte
	line string
}

// align finds the lines that two texts have in common; the others are new or gone. Lines that are
// everywhere, such as a closing brace, weigh little, so they join nothing.
func align(old, new []string) []edit {
	// best[i][j] is the weight of what the lines from i and j on have in common at most.
	best := make([][]int, len(old)+1)
	best[len(old)] = make([]int, len(new)+1)
	for i := len(old) - 1; i >= 0; i-- {
		best[i] = make([]int, len(new)+1)
		for j := len(new) - 1; j >= 0; j-- {
			best[i][j] = max(best[i+1][j], best[i][j+1])
			if old[i] == new[j] {
				weight := 1
				if len(old[i]) > 4 {
					weight = 8
				}
				best[i][j] = max(best[i][j], best[i+1][j+1]+weight)
			}
		}
	}
	var edits []edit
	for i, j := 0, 0; i < len(old) || j < len(new); {
		switch {
		case i < len(old) && j < len(new) && best[i][j] > max(best[i+1][j], best[i][j+1]):
			// Leaving out either line would lose weight: so they are the same.
			edits = append(edits, edit{' ', old[i]})
			i, j = i+1, j+1
		case j == len(new) || i < len(old) && best[i+1][j] >= best[i][j+1]:
			edits = append(edits, edit{'-', old[i]})
			i++
		default:
			edits = append(edits, edit{'+', new[j]})
			j++
		}
	}
	for from, to := 0, 0; from < len(edits); from = to {
		for to = from + 1; to < len(edits) && edits[to].op == edits[from].op; {
			to++
		}
		// Where one run of lines replaces another, both stay.
		apart := (from == 0 || edits[from-1].op == ' ') && (to == len(edits) || edits[to].op == ' ')
		if edits[from].op != ' ' && apart {
			to = slide(edits, from, to)
		}
	}
	return edits
}

// slide moves a run of lines, all new or all gone, to where a reader would begin it, and returns
// its new end. Where the line above a run is the same as its last one, the run one line higher
// says the same.
func slide(edits []edit, from, to int) int {
	op := edits[from].op
	for from > 0 && edits[from-1] == (edit{' ', edits[to-1].line}) {
		from, to = from-1, to-1
		edits[from].op, edits[to].op = op, ' '
	}
	down, least := 0, awkward(edits[from:to])
	for n := 1; to+n <= len(edits) && edits[to+n-1] == (edit{' ', edits[from+n-1].line}); n++ {
		if bad := awkward(edits[from+n : to+n]); bad <= least {
			down, least = n, bad
		}
	}
	for n := range down {
		edits[from+n].op, edits[to+n].op = ' ', op
	}
	return to + down
}

// awkward says how odd it looks for a run of lines to begin here: deep inside, or at a bracket.
func awkward(run []edit) int {
	bad := 0
	for len(run) > 1 && run[0].line == "" {
		run, bad = run[1:], 1
	}
	text := strings.TrimLeft(run[0].line, "\t")
	if strings.IndexAny(text, ")]}") == 0 {
		bad += 3
	}
	return bad + 4*(len(run[0].line)-len(text))
}
