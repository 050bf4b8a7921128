//go:build !linux

// Elsewhere there are no namespaces to be judged.

package main

import (
	"fmt"
	"os"
)

// main refuses.
func main() {
	fmt.Fprintln(os.Stderr, "leaktest: this needs Linux: Lima, WSL 2 or the devcontainer")
	os.Exit(1)
}
