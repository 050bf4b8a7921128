// What is done at the same time, and what is not.

package main

import (
	"runtime"
	"slices"
	"strings"
	"sync"
)

// hostsCgroups are the steps that make cgroups, in the host's tree: no namespace around a run hides
// those of another run. A test that looks for what is left would find them.
var hostsCgroups = []string{"07-", "08-"}

// lanesOf sorts rows, by their numbers, into lanes. The rows of a lane have to be tried one after
// the other: there is one for each of the steps that make cgroups, and one for every other row. The
// longest come first, so that they aren't alone at the end.
//
// What the lanes still share doesn't tell them apart: the steps' own tests run at the same time in
// "go test ./..." too, on the same network and under cgroups of different names.
func lanesOf[R stepRow](rows []R) [][]int {
	var lanes [][]int
	of := map[string]int{} // the lane of a step
	for i, r := range rows {
		shared := slices.ContainsFunc(hostsCgroups, func(prefix string) bool {
			return strings.HasPrefix(r.of(), prefix)
		})
		lane, begun := of[r.of()]
		if !shared || !begun {
			lane = len(lanes)
			of[r.of()], lanes = lane, append(lanes, nil)
		}
		lanes[lane] = append(lanes[lane], i)
	}
	slices.SortStableFunc(lanes, func(a, b []int) int { return len(b) - len(a) })
	return lanes
}

// inLanes starts to do something for each number of each lane, several lanes at a time, and returns
// a function that waits for the end. When the run is interrupted, no more is begun.
func (s *mutator) inLanes(lanes [][]int, do func(int)) (wait func()) {
	next := make(chan []int, len(lanes))
	for _, lane := range lanes {
		next <- lane
	}
	close(next)
	var all sync.WaitGroup
	for range min(s.atOnce, len(lanes)) {
		all.Go(func() {
			runtime.LockOSThread() // the children die with their thread: it is to last (see main)
			for lane := range next {
				for _, i := range lane {
					if s.ctx.Err() == nil {
						do(i)
					}
				}
			}
		})
	}
	return all.Wait
}

// inOrder does something for each number of each lane, and reports on each in the order of the
// numbers. It returns false if the run is interrupted.
func (s *mutator) inOrder(lanes [][]int, do, report func(int)) bool {
	ended := map[int]chan bool{}
	for _, lane := range lanes {
		for _, i := range lane {
			ended[i] = make(chan bool)
		}
	}
	wait := s.inLanes(lanes, func(i int) {
		do(i)
		close(ended[i])
	})
	defer wait() // also where this returns before the end: they are at work in our directory
	for i := range len(ended) {
		select {
		case <-s.ctx.Done():
		case <-ended[i]:
		}
		if s.ctx.Err() != nil {
			return false
		}
		report(i)
	}
	return true
}
