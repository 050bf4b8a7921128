//go:build linux

// What the filter has to know about riscv64.

package main

import "golang.org/x/sys/unix"

// auditArch is what struct seccomp_data calls this architecture.
const auditArch = unix.AUDIT_ARCH_RISCV64

// gaps are the numbers that no call has: of those for an architecture's own, 244 to 259, this one
// has two, and renameat(2), 38, came before its time.
var gaps = []gap{{38, 38}, {244, 257}, {295, 423}}

// refusedHere is what only riscv64 has: nothing.
var refusedHere []callRule
