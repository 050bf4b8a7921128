//go:build linux

// How long a start takes: hyperfine(1) runs everything once, in rounds.

package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// startsPerRound is how often a system is started before it is the next one's turn.
const startsPerRound = 5

// measureStart has one hyperfine measure all systems, and gives each its times. A machine has good
// and bad minutes: so each round starts every system once, in another order each time.
func measureStart(all []*system, dir string, rounds int) error {
	export := filepath.Join(dir, "hyperfine.json")
	args := []string{"--shell=none", "--warmup=1", "--runs=" + strconv.Itoa(startsPerRound),
		"--style=none", "--export-json", export}
	present := slices.DeleteFunc(slices.Clone(all), func(s *system) bool { return s.missing != "" })
	for _, round := range shuffled(len(present), rounds) {
		for _, i := range round {
			words, err := present[i].command("start", "true")
			if err != nil {
				return err
			}
			args = append(args, "--command-name", present[i].name, quote(words))
		}
	}
	// It warns about outliers, which there always are. It fails if a command does.
	if out, err := exec.Command("hyperfine", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("hyperfine: %w: %s", err, strings.TrimSpace(string(out)))
	}
	text, err := os.ReadFile(export)
	if err != nil {
		return err
	}
	times, err := parseTimes(text)
	if err != nil {
		return fmt.Errorf("%s: %w", export, err)
	}
	for _, s := range present {
		s.times = times[s.name]
		if len(s.times) != rounds*startsPerRound {
			return fmt.Errorf("hyperfine measured %s %d times, not %d", s.name, len(s.times),
				rounds*startsPerRound)
		}
	}
	return nil
}

// shuffled returns so many rounds: each is the numbers of all systems in another order.
func shuffled(systems, rounds int) [][]int {
	all := make([][]int, rounds)
	for i := range all {
		all[i] = rand.Perm(systems)
	}
	return all
}

// quote makes of words the text that hyperfine, which splits it as a shell would, makes those words
// of.
func quote(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return strings.Join(quoted, " ")
}

// parseTimes reads what hyperfine exports, and puts together what has the same name.
func parseTimes(text []byte) (map[string][]float64, error) {
	var export struct {
		Results []struct {
			Command string
			Times   []float64
		}
	}
	if err := json.Unmarshal(text, &export); err != nil {
		return nil, err
	}
	times := map[string][]float64{}
	for _, r := range export.Results {
		times[r.Command] = append(times[r.Command], r.Times...)
	}
	return times, nil
}

// median is the one in the middle, or between the two there.
func median(times []float64) float64 {
	sorted := slices.Sorted(slices.Values(times))
	half := len(sorted) / 2
	switch {
	case len(sorted) == 0:
		return 0
	case len(sorted)%2 == 0:
		return (sorted[half-1] + sorted[half]) / 2
	}
	return sorted[half]
}
