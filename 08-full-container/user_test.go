//go:build linux

// As whom a command runs, where the image's tables are made to mislead.

package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"jail-to-container/scripts/steptest"
)

// TestNumbers has users and groups whose names are numbers, but not their own.
func TestNumbers(t *testing.T) {
	passwd := "root:x:0:0:root:/root:/bin/sh\n1000:x:0:0::/root:/bin/sh\n" +
		"mine:x:7:8::/mine:/bin/sh\n4294967296:x:0:0::/root:/bin/sh\n:x:9:9::/:/bin/sh\n"
	group := "root:x:0:1000\n2000:x:0:\nmore:x:30:mine,other\n4294967296:x:0:\n"
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		b := newBench(t, u)
		wanted := map[string]string{
			"1000": "1000 0 / []", "7": "7 8 /mine [30]", "mine": "7 8 /mine [30]",
			"9": "9 9 / []", "7:2000": "7 2000 /mine []", "mine:more": "7 30 /mine []",
			"1000:1000": "1000 1000 / []", "4294967296": "no such name",
			"0:4294967296": "value out of range", "0": "0 0 /root []",
		}
		args := []string{"-net=false",
			"-volume", b.write(t, "passwd", []byte(passwd)) + ":/etc/passwd",
			"-volume", b.write(t, "group", []byte(group)) + ":/etc/group",
			"/proc/self/exe", "test:look-up"}
		for text := range wanted {
			args = append(args, text)
		}
		out := u.Output(t, args...)
		for line := range strings.Lines(out) {
			text, got, _ := strings.Cut(strings.TrimSpace(line), ": ")
			text = strings.Trim(text, `"`)
			if want := wanted[text]; want == "" || !strings.HasSuffix(got, want) {
				t.Errorf("-user %s: %q, want %q", text, got, want)
			}
			delete(wanted, text)
		}
		if len(wanted) > 0 {
			t.Errorf("no answer to %v", wanted)
		}
	})
}

// TestUserIsQuoted has a user, a group and a directory with commands for the terminal in their
// names, which may be an image's.
func TestUserIsQuoted(t *testing.T) {
	const title, quoted = "\x1b]0;title\a", `\x1b]0;title\a`
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		for _, option := range []string{
			"-user=" + title, "-user=0:" + title, "-workdir=/proc/" + title,
		} {
			r := u.Run(t, "-net=false", option, "true")
			if r.Status != 125 || strings.Contains(r.Stderr, title) {
				t.Errorf("%q: %+v", option, r)
			}
			steptest.Contains(t, r.Stderr, quoted)
		}
	})
}

// TestUserOpensPipes opens the standard streams by name as another user than the container's root:
// in root's container, and in that of an ordinary user with subordinate IDs.
func TestUserOpensPipes(t *testing.T) {
	if os.Getuid() != 0 {
		steptest.Skip(t, "only root can give an ordinary user IDs; run it as root")
	}
	for _, id := range []string{"1000", "1000:1000"} {
		for fd, name := range []string{"stdin", "stdout", "stderr"} {
			u, flags := steptest.Root, []string{"-net=false", "-user", id}
			got := steptest.OpenByName(t, u, "pipe", fd, func(args ...string) *exec.Cmd {
				return u.Program(append(flags, args...)...)
			})
			if got != "ok" {
				t.Errorf("root's -user %s, /dev/%s: %s", id, name, got)
			}
			if _, err := exec.LookPath("newuidmap"); err != nil {
				continue // it comes in the package uidmap (or shadow)
			}
			u = steptest.Ordinary
			got = steptest.OpenByName(t, u, "pipe", fd, func(args ...string) *exec.Cmd {
				flags := append([]string{"test:as-user"}, flags...)
				cmd := steptest.Root.Program(append(flags, args...)...)
				cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWNS
				return cmd
			})
			if got != "ok" {
				t.Errorf("a user's -user %s, /dev/%s: %s", id, name, got)
			}
		}
	}
}

// init adds an ordinary user with subordinate IDs who runs the program.
func init() {
	experiments["test:as-user"] = func(args []string) error {
		if err := steptest.GiveIDs(steptest.SubUIDs, steptest.SubGIDs); err != nil {
			return err
		}
		cmd := steptest.Ordinary.Program(args...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		return cmd.Run()
	}
}
