//go:build linux

// Bench compares what containers cost in 08 and in other runtimes. scripts/bench.sh prepares a
// directory and namespaces for it.
//
//	bench [-rounds N] [-containers N] [-image MB] [-format text|markdown] DIR
//
// systems.go lists what is compared, and how each system starts a command. many.go measures many
// containers at once, image.go makes an image, and table.go prints the results.
package main

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	startsPerRound = 5 // of each system
	slowRounds     = 3 // of what takes long: many containers, and images
)

// main exits with status 1 if something failed. A runtime that isn't installed is no failure.
func main() {
	rounds := flag.Int("rounds", 12, "rounds of starts")
	containers := flag.Int("containers", 100, "containers to run at the same time; 0 skips that")
	megabytes := flag.Int64("image", 100, "size of the image in MB; 0 skips it")
	format := flag.String("format", "text", "text or markdown")
	flag.Parse()
	err := bench(flag.Arg(0), *rounds, *containers, *megabytes*1e6, *format == "markdown")
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench.sh: %v\n", err)
		os.Exit(1)
	}
}

// bench measures the three parts, and prints each when it is done.
func bench(dir string, rounds, containers int, imageSize int64, markdown bool) error {
	fmt.Println(versions())
	all := systems(dir)
	for _, s := range all {
		progress("trying " + s.name)
		s.try()
	}
	table := func(heading string, all []*system, columns ...column) {
		fmt.Printf("\n%s\n\n%s", heading, align(rows(all, columns), markdown))
	}
	inRounds("start", rounds, all, (*system).measureStarts)
	table(fmt.Sprintf("Start: until true has run and the container is gone. Medians of %d "+
		"starts, in shuffled rounds.", rounds*startsPerRound), all,
		column{"start", "%.1f ms", ""}, column{"start", "", "crun"}, column{"start", "", "runc"})

	if containers > 0 {
		counted := slices.DeleteFunc(slices.Clone(all), func(s *system) bool { return !s.counted })
		many := func(s *system) error { return s.runMany(containers) }
		inRounds("many", slowRounds, counted, many)
		table(fmt.Sprintf("Many: %d containers, %d started at a time, and then all told to end. "+
			"Processes and memory\n(PSS) are those of a container's supervisors. Medians of %d "+
			"rounds.", containers, atATime, slowRounds), counted,
			column{"up", "%.0f/s", ""}, column{"up", "", "crun"},
			column{"all gone", "%.2f s", ""}, column{"all gone", "", "crun"},
			column{"processes", "%.1f", ""},
			column{"memory", "%.0f kB", ""}, column{"memory", "", "runc"})
	}

	images := unpackers(dir)
	if imageSize > 0 {
		progress("writing the image")
		size, err := writeImage(dir, imageSize)
		if err != nil {
			return fmt.Errorf("image: %w", err)
		}
		inRounds("image", slowRounds, images, func(s *system) error { return s.unpack(dir) })
		table(fmt.Sprintf("Image: the first start of an image of %d MB, with an empty cache. "+
			"Medians of %d rounds.", size/1e6, slowRounds), images,
			column{"image", "%.2f s", ""}, column{"image", "", "tar x"})
	}

	fmt.Println("\nCompare the ratios, and only within one run: machines differ, and so do hours.")
	for _, s := range slices.Concat(all, images) {
		if strings.HasPrefix(s.problem, "FAILED") {
			return errors.New("some measurements failed: see the tables")
		}
	}
	return nil
}

// inRounds measures all systems in each round, in a new order every time: a slow minute of the
// machine then doesn't hit the same system in each of them.
func inRounds(part string, rounds int, all []*system, measure func(*system) error) {
	for round := range rounds {
		for _, i := range rand.Perm(len(all)) {
			s := all[i]
			if s.problem != "" {
				continue
			}
			progress(fmt.Sprintf("%s: round %d of %d, %s", part, round+1, rounds, s.name))
			if err := measure(s); err != nil {
				s.problem = "FAILED: " + err.Error()
			}
		}
	}
	progress("")
}

// progress shows what is being done, in one line, if standard error is a terminal. An empty text
// clears the line.
func progress(text string) {
	if _, err := unix.IoctlGetTermios(2, unix.TCGETS); err == nil {
		fmt.Fprintf(os.Stderr, "\r%-60s\r", text)
	}
}
