//go:build linux

// Which user a command runs as when the image's tables are made to mislead.

package main

import (
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	"jail-to-container/scripts/steptest"
)

// TestNumbers has users and groups whose names are numbers, but not their own.
func TestNumbers(t *testing.T) {
	expectUsers(t, "root:x:0:0:root:/root:/bin/sh\n1000:x:0:0::/root:/bin/sh\n"+
		"mine:x:7:8::/mine:/bin/sh\n4294967296:x:0:0::/root:/bin/sh\n:x:9:9::/:/bin/sh\n",
		"root:x:0:1000\n2000:x:0:\nmore:x:30:mine,other\n4294967296:x:0:\n",
		map[string]string{
			"1000": "1000 0 / []", "7": "7 8 /mine [30]", "mine": "7 8 /mine [30]",
			"9": "9 9 / []", "7:2000": "7 2000 /mine []", "mine:more": "7 30 /mine []",
			"1000:1000": "1000 1000 / []", "4294967296": "no such name",
			"0:4294967296": "value out of range", "0": "0 0 /root []",
		})
}

// TestMissingFields has lines that end early, as images have them. The right values are those of
// docker, which takes an ID that is missing for 0 (github.com/moby/sys/user).
func TestMissingFields(t *testing.T) {
	expectUsers(t, "\n  \n# users\nshort:x:7:8\nhomeless:x:9:10:::\n"+
		"long:x:11:12::/long:/bin/sh:more\nnogroup:x:13\nname\nbad:x:one:2::/bad:/bin/sh\n",
		"\n# groups\nusers:x:30:short\nthree:x:31\nlong:x:32:long,short:more\nnumberless\n",
		map[string]string{
			"short": "7 8 / [30 32]", "homeless": "9 10 / []", "9": "9 10 / []",
			"long": "11 12 /long [32]", "nogroup": "13 0 / []", "name": "0 0 / []",
			"short:three": "7 31 / []", "short:numberless": "7 0 / []", "": "0 0 / []",
			"bad": "invalid syntax", "absent": "no such name", "# users": "no such name",
		})
}

// expectUsers has a container with these two files say who the wanted users are.
func expectUsers(t *testing.T, passwd, group string, wanted map[string]string) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		b := newBench(t, u)
		args := []string{"-net=false",
			"-volume", b.write(t, "passwd", []byte(passwd)) + ":/etc/passwd",
			"-volume", b.write(t, "group", []byte(group)) + ":/etc/group",
			"/proc/self/exe", "test:look-up"}
		texts := slices.Sorted(maps.Keys(wanted))
		out := u.Output(t, append(args, texts...)...)
		for i, line := range slices.Collect(strings.Lines(out)) {
			if want := wanted[texts[i]]; !strings.HasSuffix(line, want+"\n") {
				t.Errorf("-user %q: %q, want %q", texts[i], line, want)
			}
		}
		if strings.Count(out, "\n") != len(texts) {
			t.Errorf("%d answers to %d questions", strings.Count(out, "\n"), len(texts))
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
	steptest.Ready(t, steptest.Root)
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
				return asSubUser(append(flags, args...)...)
			})
			if got != "ok" {
				t.Errorf("a user's -user %s, /dev/%s: %s", id, name, got)
			}
		}
	}
}

// asSubUser prepares the program to be run by an ordinary user with subordinate IDs.
func asSubUser(args ...string) *exec.Cmd {
	cmd := steptest.Root.Program(slices.Insert(args, 0, "test:as-user")...)
	cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWNS
	return cmd
}

// TestGroups compares the command's groups: those that the image's /etc/group gives its user, and
// none of the caller's, which is in 4.
func TestGroups(t *testing.T) {
	if os.Getuid() != 0 {
		steptest.Skip(t, "only root can give an ordinary user IDs; run it as root")
	}
	b := newBench(t, steptest.Root)
	passwd := b.write(t, "passwd", []byte("root:x:0:0::/:/bin/sh\nmine:x:7:8::/:/bin/sh\n"))
	group := b.write(t, "group", []byte("root:x:0:\nmore:x:30:mine,other\nthird:x:40:mine\n"))
	for id, want := range map[string]string{
		"mine": "8 30 40\n", "7": "8 30 40\n", "mine:more": "30\n", "7:8": "8\n",
		"1000": "0\n", "root": "0\n", "": "0\n",
	} {
		args := []string{"-net=false", "-volume", passwd + ":/etc/passwd",
			"-volume", group + ":/etc/group", "-user", id, "id", "-G"}
		root := steptest.Root.Program(args...)
		root.SysProcAttr.Credential = &syscall.Credential{Groups: []uint32{4}}
		if out := steptest.Output(t, root); out != want {
			t.Errorf("root's -user %q: groups %q, want %q", id, out, want)
		}
		if _, err := exec.LookPath("newuidmap"); err != nil {
			continue // it comes in the package uidmap (or shadow)
		}
		if out := steptest.Output(t, asSubUser(args...)); out != want {
			t.Errorf("a user's -user %q: groups %q, want %q", id, out, want)
		}
	}
	few := b.write(t, "few", []byte("more:x:30:mine\nlarge:x:70000:mine\n"))
	r := steptest.Root.Run(t, "-net=false", "-volume", passwd+":/etc/passwd",
		"-volume", few+":/etc/group", "-user", "mine", "id", "-G")
	if r.Status != 125 || r.Stdout != "" {
		t.Errorf("a group without an ID in the container: %+v", r)
	}
	steptest.Contains(t, r.Stderr, "gid 70000 isn't one of the container's")
	control := exec.Command("id", "-G")
	control.SysProcAttr = &syscall.SysProcAttr{
		Credential: &syscall.Credential{Groups: []uint32{4}},
	}
	if out := steptest.Output(t, control); out != "0 4\n" {
		t.Errorf("the control: groups %q", out)
	}
}

// TestUserOwnsTerminal opens the container's terminal by its names, as the user of -user, who owns
// it.
func TestUserOwnsTerminal(t *testing.T) {
	if os.Getuid() != 0 {
		steptest.Skip(t, "only root can give an ordinary user IDs; run it as root")
	}
	steptest.Ready(t, steptest.Root)
	commands := []func(...string) *exec.Cmd{func(args ...string) *exec.Cmd {
		return steptest.Root.Program(args...)
	}}
	if _, err := exec.LookPath("newuidmap"); err == nil { // of the package uidmap (or shadow)
		commands = append(commands, asSubUser)
	}
	for _, id := range []string{"0", "1000"} {
		for i, command := range commands {
			script := "stat -c '%a %u' /dev/pts/0; " +
				"for f in /dev/pts/0 /dev/stdout /dev/stderr /dev/tty; do echo $f > $f; done"
			s := sit(t, command("-net=false", "-user", id, "sh", "-c", script))
			want := "620 " + id + "\r\n/dev/pts/0\r\n/dev/stdout\r\n/dev/stderr\r\n/dev/tty\r\n"
			if got := s.look().end(0); got != want {
				t.Errorf("-user %s, caller %d: %q, want %q", id, i, got, want)
			}
		}
	}
}

// TestPasswdIsNoStream runs a root whose /etc/passwd is a link to standard input: the caller's
// descriptors are no part of the image, so the user there is unknown.
func TestPasswdIsNoStream(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		root := newBench(t, u).busyboxRoot(t)
		etc := filepath.Join(root, "etc")
		if err := os.MkdirAll(etc, 0o755); err != nil {
			t.Fatal(err)
		}
		passwd := filepath.Join(etc, "passwd")
		me := "me:x:0:0::/:/bin/sh\n"
		for _, linked := range []bool{false, true} { // the first is the control
			err := os.WriteFile(passwd, []byte(me), 0o644)
			if linked {
				err = errors.Join(err, os.Remove(passwd), os.Symlink("/proc/self/fd/0", passwd))
			}
			if err != nil {
				t.Fatal(err)
			}
			cmd := u.Program("-root", root, "-user", "me", "/bin/busybox", "true")
			cmd.Stdin = strings.NewReader(me)
			r := steptest.Run(t, cmd)
			if !linked && r.Status != 0 ||
				linked && (r.Status != 125 || !strings.Contains(r.Stderr, "no such name")) {
				t.Errorf("with a link %v: %+v", linked, r)
			}
		}
	})
}

// init adds an ordinary user with subordinate IDs who runs the program.
func init() {
	asUser := func(groups string) func(args []string) error {
		return func(args []string) error {
			if err := steptest.GiveIDs(steptest.SubUIDs, groups); err != nil {
				return err
			}
			cmd := steptest.Ordinary.Program(args...)
			cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
			return cmd.Run()
		}
	}
	experiments["test:as-user"] = asUser(steptest.SubGIDs)
	experiments["test:as-user-of-low-groups"] = asUser("12345:2000:5000\n")
}
