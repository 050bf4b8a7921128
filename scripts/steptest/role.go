//go:build linux

// The program under names that it doesn't expect, and in the role of its inner process.

package steptest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// OtherNames starts the program under names that its own parts might have, as a link does, or "go
// build -o container": from a shell, and as the first process of a PID namespace, as in a
// container. It is the same program, and leaves its caller's name and mounts alone.
func OtherNames(t *testing.T) {
	NeedNamespaces(t)
	AsEveryUser(t, func(t *testing.T, u User) {
		for _, name := range []string{"jail", "container", "host", "unpack"} {
			cmd := u.Program("echo", "ran")
			cmd.Args[0] = name
			if r := Run(t, cmd); r != (Result{"ran\n", "", 0}) {
				t.Errorf("as %s: %+v", name, r)
			}
			if u.UID != 0 {
				continue // the rest takes a PID namespace without a user namespace
			}
			cmd = u.Program("test:name", name, "echo", "ran")
			cmd.SysProcAttr.Unshareflags = throwawayHost
			if r := Run(t, cmd); r != (Result{"ran\n", "", 0}) {
				t.Errorf("as %s and PID 1: %+v", name, r)
			}
		}
	})
}

// NameIsNoProof starts the program in the role of the inner process: on the host, and as PID 1 of a
// PID namespace with a part of what the outer process gives it, or with all of that, but among its
// caller's mounts. No command may run, and the caller's name and mounts must stay.
func NameIsNoProof(t *testing.T) {
	AsEveryUser(t, func(t *testing.T, u User) {
		for given, says := range step.NoProof {
			cmd := u.Program("test:role", given)
			if given == "outside" {
				cmd = u.Program("1", "echo", "ran")
				cmd.Args[0] = step.Inner
			}
			switch {
			case u.UID == 0: // in namespaces of its own, for the day on which it succeeds
				cmd.SysProcAttr.Unshareflags = throwawayHost
			case given != "outside":
				continue // it takes a PID namespace without a user namespace
			}
			// One that goes on may wait for its outer process forever.
			deadline := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
			r := Run(t, cmd)
			deadline.Stop()
			if r.Status != 125 || r.Stdout != "" {
				t.Errorf("%s: %+v", given, r)
			}
			Contains(t, r.Stderr, says)
		}
	})
}

// throwawayHost are namespaces for a program that may lose its host's name, queues and mounts.
const throwawayHost = unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC

// asFirst runs this program as PID 1 of a new PID namespace under a name, in our other namespaces,
// with descriptors from 3 on. It fails if that changes our hostname or our mounts.
func asFirst(files []*os.File, name string, args ...string) error {
	cmd := self(args...)
	cmd.Args[0], cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = name, os.Stdout, os.Stderr, files
	cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWPID
	table, err := os.Open("/proc/self/mountinfo") // now: afterwards this /proc may be gone
	if err != nil {
		return err
	}
	defer table.Close()
	world := func() []string {
		name, err1 := os.Hostname()
		_, err2 := table.Seek(0, io.SeekStart)
		mounts, err3 := io.ReadAll(table)
		lines := strings.Split(string(mounts), "\n")
		return append(slices.DeleteFunc(lines, func(line string) bool {
			return strings.Contains(line, " / /proc ") // see test:first
		}), name, fmt.Sprint(errors.Join(err1, err2, err3)))
	}
	before, ended := world(), cmd.Run()
	if after := world(); !slices.Equal(before, after) {
		return fmt.Errorf("our mounts and name were:\n%q\nand are:\n%q", before, after)
	}
	return ended
}

// init adds what starts the program so.
func init() {
	experiments["test:name"] = func(args []string) error {
		return asFirst(nil, step.Name, append([]string{"test:first"}, args...)...)
	}
	// test:first gets a /proc of its own, without which no first process can do much.
	experiments["test:first"] = func(args []string) error {
		return errors.Join(unix.Mount("proc", "/proc", "proc", 0, ""),
			unix.Exec("/proc/self/exe", args, os.Environ()))
	}
	experiments["test:role"] = func(args []string) error {
		files, command, err := step.Role(args[0])
		if err != nil {
			return err
		}
		if args[0] == "unseen" {
			command = append([]string{"test:first", step.Inner}, command...)
			return asFirst(files, step.Name, command...)
		}
		return asFirst(files, step.Inner, command...)
	}
}
