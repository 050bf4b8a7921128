//go:build !linux

// What this program says where there is no 08.

package main

import "log"

// main names what helps.
func main() { log.Fatal("compare-vm.sh: this needs Linux: Lima, WSL 2 or the devcontainer") }
