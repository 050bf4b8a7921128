//go:build linux

// A cgroup for an ordinary user, where systemd can delegate one. The same file in 07 and 08.

package main

import (
	"os"
	"os/exec"

	"golang.org/x/sys/unix"
)

// scoped is the variable that marks a step which has been started again, so it is done only once.
const scoped = "JAIL_TO_CONTAINER_SCOPED"

// enterScope starts this program again in a scope of the user's systemd, if a cgroup is what it
// lacks. systemd-run(1) delegates one and then becomes the program: same PID, same terminal, and so
// the same exit status. If that doesn't work here it returns, and making the cgroup says why not.
func enterScope(isLesson bool) {
	again := os.Getenv(scoped) != ""
	os.Unsetenv(scoped)
	// Version 1 has no delegation to users.
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
	scope := []string{
		"systemd-run", "--user", "--scope", "--quiet", "--property=Delegate=yes", "--",
	}
	if exec.Command(systemdRun, append(scope[1:], "true")...).Run() != nil {
		return // it has reasons of its own, which aren't the command's
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
