//go:build linux

// Hosts on which the ordinary user has subordinate IDs, ones that tell users and groups apart. The
// same file in every step from 05 on.

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"jail-to-container/scripts/steptest"
)

// giveIDs makes these texts /etc/subuid and /etc/subgid in this process's mount namespace, which
// must be its own. newuidmap(1) also wants to find the caller and its group in /etc/passwd.
func giveIDs(uids, gids string) error {
	accounts, err := os.ReadFile("/etc/passwd")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "ids-")
	if err != nil {
		return err
	}
	err = unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	for path, text := range map[string]string{
		"/etc/subuid": uids, "/etc/subgid": gids,
		"/etc/passwd": string(accounts) + fmt.Sprintf("ordinary:x:%d:%d::/:/bin/sh\n",
			ordinary, ordinaryGroup),
	} {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("%w (it comes in the package passwd or uidmap)", err)
		}
		file := filepath.Join(dir, filepath.Base(path))
		err = errors.Join(err, os.WriteFile(file, []byte(text), 0o644),
			unix.Mount(file, path, "", unix.MS_BIND, ""), os.Remove(file)) // the mount holds it
	}
	return errors.Join(err, os.Remove(dir))
}

// TestRootsRanges gives root ranges of its own, other groups than users, and looks for them inside.
func TestRootsRanges(t *testing.T) {
	text, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		t.Fatal(err)
	}
	if os.Getuid() != 0 || !strings.Contains(string(text), "4294967295") {
		steptest.Skip(t,
			"only the host's root can give ranges away; run it as root, in no user namespace")
	}
	for given, want := range map[string]string{
		"root:500000:65536": "0 500000 65536 0 700000 65536",
		"root:500000:65535": "0 2100000000 65536 0 700000 65536", // too few
	} {
		cmd := self("test:roots-ranges", given)
		cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWNS
		if out := strings.Join(strings.Fields(expect(t, cmd)), " "); out != want {
			t.Errorf("with %s: maps of users and groups: %q, want %q", given, out, want)
		}
	}
}

// init adds root's ranges.
func init() {
	experiments["test:roots-ranges"] = func(args []string) error {
		if err := giveIDs(args[0]+"\n", "root:700000:65536\n"); err != nil {
			return err
		}
		cmd := program(user{"root", 0}, "cat", "/proc/self/uid_map", "/proc/self/gid_map")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		return cmd.Run()
	}
}
