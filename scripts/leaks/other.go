//go:build !linux

// Elsewhere there is nothing to be judged.

package main

import (
	"fmt"
	"os"
)

// main refuses.
func main() {
	fmt.Fprintln(os.Stderr, "leaks.sh: this needs Linux: Lima, WSL 2 or the devcontainer")
	os.Exit(1)
}
