//go:build !linux

// For other systems, which have no namespaces: they belong to the Linux kernel. The same file in
// every step.

package main

import (
	"fmt"
	"os"
	"runtime"
)

// main says how to get a Linux on this system.
func main() {
	fmt.Fprintf(os.Stderr, `These steps talk to the Linux kernel, and this is %s. To get a Linux:
  macOS      brew install lima && limactl start .lima/steps.yaml, then: limactl shell steps
  Windows    wsl --install, then work in that Linux (WSL 2)
  anywhere   open this repository in its devcontainer (VS Code, Codespaces)
`, runtime.GOOS)
	os.Exit(1)
}
