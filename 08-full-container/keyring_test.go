//go:build linux

// Which session keyring the command has.

package main

import (
	"crypto/rand"
	"fmt"
	"math/big"
	"os"
	"regexp"
	"testing"

	"golang.org/x/sys/unix"
	"jail-to-container/scripts/steptest"
)

// needsKeys skips the test where the kernel has no keyrings.
func needsKeys(t *testing.T) {
	if !exists("/proc/key-users") {
		steptest.Skip(t, "this kernel has no keyrings (CONFIG_KEYS): run it on one that has")
	}
}

// TestNewKeyring puts a random key into a session keyring, and looks for it from two children of
// that session. One has called newKeyring.
func TestNewKeyring(t *testing.T) {
	needsKeys(t)
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		word := rand.Text()
		out := u.Output(t, "test:session", word)
		if want := "the same session: " + word + "\nanother one: ENOKEY\n"; out != want {
			t.Errorf("got:\n%swant:\n%s", out, want)
		}
	})
}

// TestContainersKeyring starts a container as a user with no other process. Inside, keyctl(2) is
// refused; but the kernel counts keys by their owner, and this user owns the container's session
// keyring.
func TestContainersKeyring(t *testing.T) {
	needsKeys(t)
	if os.Getuid() != 0 {
		steptest.Skip(t, "only root can become a user with no other process; run it as root")
	}
	random, err := rand.Int(rand.Reader, big.NewInt(1<<30))
	if err != nil {
		t.Fatal(err)
	}
	nobodyElse := steptest.User{Name: "user", UID: 1<<30 + int(random.Int64())}
	out := nobodyElse.Output(t, "cat", "/proc/key-users")
	if !regexp.MustCompile(`(?m)^ *0: +\d+ 1/1 `).MatchString(out) {
		t.Errorf("the container's user doesn't own one key: %q", out)
	}
}

// init adds the session and who looks for its key.
func init() {
	experiments["test:session"] = func(args []string) error {
		if err := newKeyring(); err != nil {
			return err
		}
		_, err := unix.AddKey("user", "jail:test", []byte(args[0]), unix.KEY_SPEC_SESSION_KEYRING)
		if err != nil {
			return os.NewSyscallError("add_key", err)
		}
		for _, who := range [][2]string{{"the same session", ""}, {"another one", "new"}} {
			heard, err := ask(self("test:find-key", who[1]))
			if err != nil {
				return err
			}
			fmt.Printf("%s: %s\n", who[0], heard)
		}
		return nil
	}
	experiments["test:find-key"] = func(args []string) error {
		if args[0] == "new" {
			if err := newKeyring(); err != nil {
				return err
			}
		}
		session := unix.KEY_SPEC_SESSION_KEYRING
		key, err := unix.KeyctlSearch(session, "user", "jail:test", 0)
		if err != nil {
			fmt.Println(firstWord(errno(err)))
			return nil
		}
		text := make([]byte, 64)
		n, err := unix.KeyctlBuffer(unix.KEYCTL_READ, key, text, 0)
		if err != nil {
			return os.NewSyscallError("keyctl(KEYCTL_READ)", err)
		}
		fmt.Printf("%s\n", text[:n])
		return nil
	}
}
