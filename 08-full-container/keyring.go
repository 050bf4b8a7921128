//go:build linux

// The session keyring: where a login keeps keys and tickets (session-keyring(7)).

package main

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// newKeyring gives this thread, and what it starts, a session keyring of its own, with nothing in
// it. Keyrings have no namespace: without this the container would possess the keyring of the user
// who started it, with all rights. A kernel without keyrings has none to leak.
//
// The name is NULL, which makes a nameless one. One with a name, even an empty one as
// KeyctlJoinSessionKeyring would pass, can be joined by the next container that asks for it.
func newKeyring() error {
	_, err := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0)
	if errors.Is(err, unix.ENOSYS) {
		return nil
	}
	return os.NewSyscallError("keyctl(KEYCTL_JOIN_SESSION_KEYRING)", err)
}
