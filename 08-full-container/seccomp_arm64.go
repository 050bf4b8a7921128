//go:build linux

// What the filter has to know about arm64, and about the 32-bit ARM that its kernel may understand
// too.

package main

import "golang.org/x/sys/unix"

// auditArch is what struct seccomp_data calls this architecture. ARM's calls bear another name.
const auditArch = unix.AUDIT_ARCH_AARCH64

// gaps are the numbers that no call has: 244 to 259 are for an architecture's own, and this one has
// none.
var gaps = []gap{{244, 259}, {295, 423}}

// refusedHere is what only arm64 has: nothing.
var refusedHere []callRule
