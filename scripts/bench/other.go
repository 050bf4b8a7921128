//go:build !linux

// Other systems have no containers of this kind.

package main

import "log"

// main refuses.
func main() { log.Fatal("bench.sh: this needs Linux: Lima, WSL 2 or the devcontainer") }
