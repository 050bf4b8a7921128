// Package ladder holds the tests that keep the steps of this repository a ladder: each step is the
// one before it plus one thing, and what two neighbours share is the same to the letter.
//
//	go test ./scripts/ladder
//
// The steps repeat code on purpose, so that a reader can take one directory away and run it. The
// price of repeated code is that it drifts apart: a comment mended in one step and not in the next,
// a function that moved. Then the diff between two steps shows the drift beside the one thing that
// the reader is to see. So here every pair of neighbouring steps is parsed and compared, comments
// included, and what differs for a reason is listed with that reason in one table
// (exceptions_test.go). An entry of the table that nothing needs any more fails too.
//
// The other promises about the shape of the repository are tested beside it: the names at the top
// level, the direct dependencies, the files a step has, doc comments, and the width of a line.
//
// All of it reads text and starts nothing of a step, so it runs on any operating system.
package ladder
