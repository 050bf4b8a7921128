//go:build !linux

// What the tests of scripts call that aren't for Linux alone.

package steptest

import "testing"

// NeedNamespaces skips a test that makes namespaces: only Linux has them.
func NeedNamespaces(t testing.TB) {
	t.Helper()
	Skip(t, "only Linux has namespaces; run it there")
}
