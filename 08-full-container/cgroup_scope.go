//go:build linux

// A cgroup for an ordinary user, if systemd can delegate one.

package main

import (
	"os"
	"os/exec"

	"golang.org/x/sys/unix"
)

// scoped is the environment variable that marks a step as started again, so that this happens once.
const scoped = "JAIL_TO_CONTAINER_SCOPED"

// enterScope starts this program again in a scope of the user's systemd, if it can't make a cgroup
// otherwise. systemd-run(1) gets a delegated cgroup and then executes the program: same PID, same
// terminal, same exit status. If that doesn't work here, enterScope returns, and newCgroup will say
// what is missing.
func enterScope(isLesson bool) {
	again := os.Getenv(scoped) != ""
	os.Unsetenv(scoped)
	// systemd delegates no cgroup v1 to users.
	if again || !exists("/sys/fs/cgroup/cgroup.controllers") ||
		!exists(os.Getenv("XDG_RUNTIME_DIR")+"/systemd/private") {
		return
	}
	if refusal, err := tryCgroup(); refusal == "" || err != nil {
		return
	}
	systemdRun, err := exec.LookPath("systemd-run")
	if err != nil {
		return
	}
	// By default the scope's description is the whole command line, and the journal keeps it.
	scope := []string{
		"systemd-run", "--user", "--scope", "--quiet", "--property=Delegate=yes",
		"--description=" + step, "--",
	}
	if exec.Command(systemdRun, append(scope[1:], "true")...).Run() != nil {
		return // the reason is systemd's; the command mustn't fail with it
	}
	self, err := os.Executable()
	if err != nil {
		return
	}
	if isLesson {
		say("host", "systemd delegates a cgroup to me: systemd-run --user --scope (see 07)")
	}
	os.Setenv(scoped, "yes")
	_ = unix.Exec(systemdRun, append(append(scope, self), os.Args[1:]...), os.Environ())
	os.Unsetenv(scoped)
}
