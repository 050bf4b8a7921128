//go:build linux

// Which keyring and limits a container has instead of its caller's. The limits on core files are in
// main_test.go.

package main

import (
	"crypto/rand"
	"fmt"
	"math/big"
	"os"
	"regexp"
	"strconv"
	"strings"
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
	steptest.Ready(t, steptest.Root)
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

// TestOpenFiles starts under limits on open files, and asks for them inside. The control asks
// outside.
func TestOpenFiles(t *testing.T) {
	var ours unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &ours); err != nil {
		t.Fatal(err)
	}
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		ask := []string{"sh", "-c", "echo $(ulimit -n) $(ulimit -Hn)"}
		for limits, want := range map[string]string{
			"3000 4000": "1024 4000\n", "900 900": "900 900\n",
			"600000 600000": "1024 524288\n",
		} {
			most, _ := strconv.ParseUint(strings.Fields(limits)[1], 10, 64)
			if most > ours.Max {
				t.Logf("%s aren't ours to set: %d is the most", limits, ours.Max)
				continue
			}
			cmd := u.Program(ask...)
			cmd.Args = append([]string{step, "test:files", limits}, cmd.Args[1:]...)
			if out := steptest.Output(t, cmd); out != want {
				t.Errorf("inside, with %s: %q, want %q", limits, out, want)
			}
			cmd = u.Program(append([]string{"test:become"}, ask...)...)
			cmd.Args = append([]string{step, "test:files", limits}, cmd.Args[1:]...)
			if out := steptest.Output(t, cmd); out != limits+"\n" {
				t.Errorf("outside: %q", out)
			}
		}
	})
}

// TestOOMScore starts as a process that is more likely to be killed than others when memory runs
// out and, where that is allowed, as one that never is. The control looks at itself, outside.
func TestOOMScore(t *testing.T) {
	if now, err := readNumber("/proc/self/oom_score_adj"); err != nil || now > 0 {
		steptest.Skip(t, "oom_score_adj is %d here (%v), and only root lowers it: choom -n 0 -p $$",
			now, err)
	}
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		for _, score := range []string{"500", "-1000"} {
			if !setOOMScore(t, score) {
				continue
			}
			want := "0\n0\n"
			if score == "500" && !lowersOOMScore(u) {
				want = "500\n500\n"
			}
			cat := []string{"cat", "/proc/1/oom_score_adj", "/proc/self/oom_score_adj"}
			if out := u.Output(t, cat...); out != want {
				t.Errorf("inside, with %s: %q, want %q", score, out, want)
			}
			cat = []string{"test:become", "cat", "/proc/self/oom_score_adj"}
			if out := u.Output(t, cat...); out != score+"\n" {
				t.Errorf("outside: %q, want %s", out, score)
			}
		}
	})
}

// lowersOOMScore reports whether a user can lower what this process has set. Set with
// CAP_SYS_RESOURCE, it takes that to lower it.
func lowersOOMScore(u steptest.User) bool {
	return u.UID == os.Getuid() || !holds(unix.CAP_SYS_RESOURCE)
}

// setOOMScore sets the test's own, for as long as the test takes, and reports whether it could. A
// lower one takes CAP_SYS_RESOURCE.
func setOOMScore(t *testing.T, score string) bool {
	t.Helper()
	const file = "/proc/self/oom_score_adj"
	before, err := readNumber(file)
	if err == nil {
		err = writeFile(file, score)
	}
	if err != nil {
		t.Logf("%s can't be set: %v", score, err)
		return false
	}
	t.Cleanup(func() {
		if err := writeFile(file, strconv.Itoa(before)); err != nil {
			t.Error(err)
		}
	})
	return true
}

// init adds what these tests run in the program's place.
func init() {
	// test:files LIMITS ARG... becomes the program, under these limits.
	experiments["test:files"] = func(args []string) error {
		var limit unix.Rlimit
		if _, err := fmt.Sscan(args[0], &limit.Cur, &limit.Max); err != nil {
			return err
		}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			return err
		}
		return unix.Exec("/proc/self/exe", append([]string{step}, args[1:]...), os.Environ())
	}
	// test:become COMMAND ARG... runs a command outside.
	experiments["test:become"] = func(args []string) error {
		path, err := lookPath(args[0], defaultEnv)
		if err != nil {
			return err
		}
		return unix.Exec(path, args, os.Environ())
	}
}
