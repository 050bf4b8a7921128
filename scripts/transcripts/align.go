// The alignment of two texts by their lines, for messages that a person can read.

package transcripts

import "strings"

// pair is one line of an alignment: indexes into the two sides, -1 where a side has no line.
type pair struct{ want, got int }

// align pairs the lines of two texts with n and m lines so that as many as possible are the same
// (the longest common subsequence).
func align(n, m int, same func(i, j int) bool) []pair {
	const most = 4_000_000 // cells; beyond, texts this different are best shown one after the other
	var pairs []pair
	i, j := 0, 0
	if n*m <= most {
		// common[i][j] counts the pairs to be had from the lines i… and j….
		common := make([][]int, n+1)
		for i := range common {
			common[i] = make([]int, m+1)
		}
		for i := n - 1; i >= 0; i-- {
			for j := m - 1; j >= 0; j-- {
				common[i][j] = max(common[i+1][j], common[i][j+1])
				if same(i, j) {
					common[i][j] = max(common[i][j], common[i+1][j+1]+1)
				}
			}
		}
		for i < n && j < m {
			switch {
			case same(i, j) && common[i][j] == common[i+1][j+1]+1:
				pairs = append(pairs, pair{i, j})
				i++
				j++
			case common[i][j] == common[i+1][j]:
				pairs = append(pairs, pair{i, -1})
				i++
			default:
				pairs = append(pairs, pair{-1, j})
				j++
			}
		}
	}
	for ; i < n; i++ {
		pairs = append(pairs, pair{i, -1})
	}
	for ; j < m; j++ {
		pairs = append(pairs, pair{-1, j})
	}
	return pairs
}

// showDiff shows what was expected and what came, in the manner of diff -u without its headers.
func showDiff(want, got []string, same func(i, j int) bool) string {
	var s strings.Builder
	s.WriteString("    - expected, + got:")
	for _, p := range align(len(want), len(got), same) {
		switch {
		case p.got < 0:
			s.WriteString("\n    - " + want[p.want])
		case p.want < 0:
			s.WriteString("\n    + " + got[p.got])
		default:
			s.WriteString("\n      " + want[p.want])
		}
	}
	return s.String()
}
