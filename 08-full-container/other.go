//go:build !linux

// Elsewhere there is nothing to show: namespaces are the Linux kernel's. The same file in every
// step.

package main

import (
	"fmt"
	"os"
	"runtime"
)

// main says what is needed, and how to get it on this system.
func main() {
	fmt.Fprintf(os.Stderr, `These steps talk to the Linux kernel, and this is %s. A Linux is near:
  macOS      brew install lima && limactl start, then: limactl shell default
  Windows    wsl --install, then work in that Linux (WSL 2)
  anywhere   open this repository in its devcontainer (VS Code, Codespaces)
`, runtime.GOOS)
	os.Exit(1)
}
