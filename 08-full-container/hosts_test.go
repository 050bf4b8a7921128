//go:build linux

// Hosts that aren't like the one on which the tests run. The same file in every step from 03 on.

package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"jail-to-container/scripts/steptest"
)

// TestSharedTmp runs the step where every mount is shared, as systemd makes them, and where /tmp is
// a mount of its own, over which the step builds its root: neither may notice the other.
func TestSharedTmp(t *testing.T) {
	if os.Getuid() != 0 {
		steptest.Skip(t, "only root can make the host's mounts shared; run it as root")
	}
	asEveryUser(t, func(t *testing.T, u user) {
		cmd := self("test:shared-tmp", u.name)
		cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWNS
		want := "inside: ran\nthe host: file, file, no new mounts\n"
		if out := expect(t, cmd); out != want {
			t.Errorf("got:\n%swant:\n%s", out, want)
		}
	})
}

// init adds the host whose mounts are shared.
func init() {
	experiments["test:shared-tmp"] = func(args []string) error {
		const place = "/etc/alternatives" // what the container sees as well
		err := errors.Join(
			unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
			unix.Mount("tmpfs", "/tmp", "tmpfs", 0, "mode=1777"),
			os.WriteFile("/tmp/file", nil, 0o644))
		if exists(place) {
			err = errors.Join(err, unix.Mount(place, place, "", unix.MS_BIND, ""))
		}
		err = errors.Join(err, unix.Mount("none", "/", "", unix.MS_REC|unix.MS_SHARED, ""))
		if err != nil {
			return err
		}
		look := func() (files string, mounts int) {
			entries, err := os.ReadDir("/tmp")
			for _, entry := range entries {
				files += entry.Name()
			}
			table, err2 := os.ReadFile("/proc/self/mountinfo")
			if err := errors.Join(err, err2); err != nil {
				files = err.Error()
			}
			return files, strings.Count(string(table), "\n")
		}
		u := user{"user", ordinary}
		if args[0] == "root" {
			u = user{"root", 0}
		}
		_, before := look()
		p, said, err := start(program(u, "sh", "-c", `
			cat /proc/self/mountinfo | while read -r line; do
				case $line in *shared:*|*master:*) echo "not private: $line";; esac
			done
			echo ran; cat`))
		if err != nil {
			return err
		}
		fmt.Println("inside:", said)
		during, mounts := look()
		if err := p.end(); err != nil {
			return err
		}
		after, _ := look()
		state := "no new mounts"
		if mounts != before {
			state = fmt.Sprint(mounts-before, " new mounts")
		}
		fmt.Printf("the host: %s, %s, %s\n", during, after, state)
		return nil
	}
}
