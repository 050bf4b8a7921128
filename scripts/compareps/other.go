//go:build !linux

// Elsewhere there are no namespaces, and no container whose ps could be compared.

package main

import (
	"fmt"
	"os"
)

// main refuses.
func main() {
	fmt.Fprintln(os.Stderr, "compareps: this needs Linux: Lima, WSL 2 or the devcontainer")
	os.Exit(1)
}
