//go:build linux

// Attacks on a running container: what -exec starts in it, and who may use -exec.

package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// rights is a command that prints what a process may do.
const rights = `grep -E '^(Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs|Seccomp):' /proc/self/status`

var execAttacks = []attack{
	{
		name: "guest",
		tried: "in a running container, start a second command by -exec: read the first one's " +
			"file, and exit 7; then true, ten times",
		try:  func(h *host) verdict { return h.whileUp(h.guest) },
		leak: "The command doesn't run, or not beside the first one.",
	},
	{
		name: "guestrights",
		tried: "compare what the container's first command may do with what a command of -exec " +
			"may do",
		try: func(h *host) verdict { return h.whileUp(h.guestRights) },
		leak: "The second command has more rights than the first. Capabilities, no_new_privs and " +
			"the filter belong to a thread, and a child has those of the thread that started it. " +
			"Which of PID 1's threads was that?",
	},
	{
		name: "guestsignals",
		tried: "send SIGTERM to the client of -exec, whose command catches it and exits 3; kill " +
			"-9 another client",
		try: func(h *host) verdict { return h.whileUp(h.guestSignals) },
		leak: "The client is dead, and its command still runs: no process waits for it, and no " +
			"user sees it.",
	},
	{
		name:  "stranger",
		tried: "as uid 65534, connect to the socket of a container that root runs",
		try:   func(h *host) verdict { return h.whileUp(h.stranger) },
		leak: "The container has let another user in, and waits for a request. A command that it " +
			"starts for that user runs as root of the container.",
	},
}

// whileUp does something with a running container: with its PID, and what its first command may do.
func (h *host) whileUp(do func(pid, first string) verdict) verdict {
	said, done := h.background("", "echo the first was here >/tmp/first; "+rights+"; echo up; "+
		"exec sleep 60")
	if !said.up {
		a := done(unix.SIGTERM)
		return a.worksIf(false).otherwise("The container's first command didn't run.")
	}
	v := do(strconv.Itoa(said.pid), said.text)
	done(unix.SIGTERM)
	return v
}

// running is a command that was started, and what it printed before it said "up".
type running struct {
	pid  int
	text string
	up   bool
}

// background starts a script in a new container, or in the one with a PID, and waits until the
// script prints "up". done sends a signal to your program and waits for the end.
func (h *host) background(pid, script string) (said running, done func(unix.Signal) answer) {
	command := []string{"sh", "-c", script}
	if pid != "" {
		command = append([]string{"-exec", pid}, command...)
	}
	reader, writer, err := os.Pipe()
	hostNeeds(err)
	cmd, wait := h.start(run{stdout: writer, limit: 40 * time.Second}, command...)
	writer.Close()
	_ = reader.SetReadDeadline(time.Now().Add(10 * time.Second)) // a pipe can
	for lines := bufio.NewScanner(reader); !said.up && lines.Scan(); {
		said.up = lines.Text() == "up"
		if !said.up {
			said.text += lines.Text() + "\n"
		}
	}
	if cmd.Process != nil {
		said.pid = cmd.Process.Pid
	}
	return said, func(number unix.Signal) answer {
		defer reader.Close()
		if cmd.Process != nil {
			// It may have ended already. If it doesn't end now, that is what it should have done.
			_ = cmd.Process.Signal(number)
			defer time.AfterFunc(5*time.Second, func() { _ = cmd.Process.Kill() }).Stop()
		}
		return wait()
	}
}

// guest runs commands in a running container.
func (h *host) guest(pid, _ string) verdict {
	a := h.inside("-exec", pid, "sh", "-c", "cat /tmp/first; exit 7")
	switch {
	case a.late:
		return verdict{failed, "nothing: the client still waited after 15 s", "The client waits " +
			"for an exit status. The kernel gives that to reap, which waits for every child of " +
			"PID 1. Who passes it on?"}
	case a.status == 125:
		return a.worksIf(false)
	case a.status != 7:
		return verdict{failed, fmt.Sprintf("exit 7: exit status %d, not 7", a.status), "The " +
			"client's exit status isn't its command's. The kernel tells reap how a process " +
			"ended: that waits for every child of PID 1."}
	case !strings.Contains(a.out, "the first was here"):
		return a.worksIf(false)
	}
	for range 10 {
		_, done := h.start(run{limit: 5 * time.Second}, "-exec", pid, "true")
		if a := done(); a.late || a.status != 0 {
			return verdict{failed, fmt.Sprintf("true: exit status %d, after at most 5 s", a.status),
				"This command ends at once. Then reap may hear of its end before your code has " +
					"noted its PID."}
		}
	}
	return verdict{outcome: held, came: "the first one's file; 7; and ten times 0"}
}

// guestRights compares the first command's rights with a guest's.
func (h *host) guestRights(pid, first string) verdict {
	a := h.inside("-exec", pid, "sh", "-c", rights)
	if a.out == "" {
		return a.worksIf(false).otherwise("The command doesn't run.")
	}
	firsts, seconds := strings.Split(first, "\n"), strings.Split(a.out, "\n")
	for i := range min(len(firsts), len(seconds)) {
		if firsts[i] != seconds[i] {
			name, value, _ := strings.Cut(seconds[i], "\t")
			_, wanted, _ := strings.Cut(firsts[i], "\t")
			return verdict{outcome: leaked, came: fmt.Sprintf("%s %s, and the first command's is "+
				"%s", name, value, wanted)}
		}
	}
	if len(firsts) != len(seconds) {
		return a.worksIf(false).otherwise("The first command printed %q.", first)
	}
	return verdict{outcome: held, came: "no difference"}
}

// guestSignals sends signals to clients.
func (h *host) guestSignals(pid, _ string) verdict {
	said, done := h.background(pid, `trap "exit 3" TERM; echo up; while :; do sleep 0.1; done`)
	a := done(unix.SIGTERM)
	switch {
	case !said.up:
		return a.worksIf(false).otherwise("The command doesn't run.")
	case a.status != 3:
		return verdict{failed, fmt.Sprintf("SIGTERM: exit status %d, not 3", a.status), "The " +
			"client writes each signal that it gets to its line, one byte, the number. The " +
			"command has never heard of it."}
	}
	before := len(sleepers(marker))
	said, done = h.background(pid, "echo up; exec sleep "+marker)
	more := func() bool { return len(sleepers(marker)) > before }
	ran := said.up && eventually(3*time.Second, more)
	done(unix.SIGKILL)
	switch {
	case !ran:
		return verdict{failed, "nothing", "The second command in a row didn't run."}
	case eventually(3*time.Second, func() bool { return !more() }):
		return verdict{outcome: held, came: "3; and the other client's command has ended"}
	}
	return verdict{outcome: leaked, came: "\"sleep " + marker + "\" still runs"}
}

// stranger knocks at a container's socket, as root and as another user.
func (h *host) stranger(pid, _ string) verdict {
	knock := func(uid uint32) (string, error) {
		cmd := exec.Command("/proc/self/exe", probeFlag, "knock", pid)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = nil
		}
		return strings.TrimSpace(string(out)), err
	}
	own, err1 := knock(0)
	other, err2 := knock(65534)
	if err := errors.Join(err1, err2); err != nil {
		return verdict{missing, "change the user: " + err.Error(),
			"Only root can become another user: run this as root."}
	}
	if !strings.HasPrefix(own, letIn) {
		return verdict{failed, "root: " + own, "Now not even the container's own user can enter."}
	}
	if strings.HasPrefix(other, letIn) {
		return verdict{outcome: leaked, came: other}
	}
	return verdict{outcome: held, came: other}
}

// letIn is what a probe says when a container waits for its request.
const letIn = "it let me in"

// knock connects to a container's socket (door.go of 08) and waits for what happens.
func knock(args []string) error {
	c, err := net.Dial("unix", "@jail-to-container/"+args[0])
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(2 * time.Second)) // a socket can
	if _, err = c.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
		fmt.Printf("%s, uid %d, and waits\n", letIn, os.Getuid())
		return nil
	}
	return fmt.Errorf("it hung up on uid %d: %w", os.Getuid(), err)
}
