//go:build !linux

// What this program says where there are no namespaces.

package main

import "log"

// main names what helps.
func main() { log.Fatal("compare-ps.sh: this needs Linux: Lima, WSL 2 or the devcontainer") }
