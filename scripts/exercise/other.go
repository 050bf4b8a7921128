//go:build !linux

// Elsewhere there are no containers of this kind.

package main

import (
	"fmt"
	"os"
)

// main refuses.
func main() {
	fmt.Fprintln(os.Stderr, "exercise.sh: this needs Linux: Lima, WSL 2 or the devcontainer")
	os.Exit(1)
}
