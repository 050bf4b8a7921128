//go:build !linux

// Elsewhere there is neither apt nor /dev/kvm.

package main

import (
	"fmt"
	"os"
)

// main refuses.
func main() {
	fmt.Fprintln(os.Stderr, "vm: this needs Linux with apt: Lima, WSL 2 or the devcontainer")
	os.Exit(2)
}
