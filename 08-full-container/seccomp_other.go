//go:build linux && !amd64 && !arm64 && !riscv64

// Architectures whose system call numbers aren't written down here.

package main

import (
	"fmt"
	"runtime"
)

// loadSeccomp fails, so that no container starts without its filter.
func loadSeccomp() error {
	return fmt.Errorf("load the seccomp filter: there is one for amd64, arm64 and riscv64, "+
		"not for %s", runtime.GOARCH)
}
