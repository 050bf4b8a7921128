//go:build linux

// The lesson of 05: one process and one file as both sides see them, and what root can do whose
// user namespace isn't the host's.

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// experiments are the programs that the lesson runs inside, and some outside, to compare. Each
// prints what it measured.
var experiments = map[string]func([]string) error{
	"lesson:stay":  makeAndStay,
	"lesson:owner": printOwner,
	"lesson:try":   tryAll,
	"lesson:links": printLinks,
}

// lesson compares what both sides call the same user, and lets root try.
func lesson() error {
	say("host", "I am process %d, uid %d; user namespace %s",
		os.Getpid(), os.Getuid(), namespaceOf("user"))
	for _, part := range []func() error{oneUserTwoNumbers, unmapped, whatRootMay, whatLeaks} {
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

// within prepares an experiment to be run inside, as a reader would run any command there.
func within(args ...string) *exec.Cmd {
	return self(append([]string{"/proc/self/exe"}, args...)...)
}

// oneUserTwoNumbers looks at one process and at a file that it has made, from both sides.
func oneUserTwoNumbers() (err error) {
	inner, facts, err := start(within("lesson:stay", "/tmp/file"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, inner.end()) }()
	pid, err := childOf(inner.cmd.Process.Pid)
	if err != nil {
		return err
	}
	outer, err := view(pid, fmt.Sprintf("/proc/%d/root/tmp/file", pid)) // its root, seen from here
	if err != nil {
		return err
	}
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/uid_map", pid))
	if err != nil {
		return err
	}
	fmt.Printf("\n%26s  %16s  %16s\n", "", "on the host", "in the container")
	rows := strings.Split(facts, "|")
	for i, row := range strings.Split(outer, "|") {
		what, number, _ := strings.Cut(row, "=")
		_, inside, _ := strings.Cut(rows[i], "=")
		fmt.Printf("%26s  %16s  %16s\n", what, number, inside)
	}
	fmt.Println()
	for line := range strings.Lines(string(table)) {
		var inside, outside, count int
		if _, err := fmt.Sscan(line, &inside, &outside, &count); err != nil {
			return fmt.Errorf("read %q in /proc/%d/uid_map: %w", line, pid, err)
		}
		meaning := fmt.Sprintf("uid %d in there is uid %d here", inside, outside)
		if count > 1 {
			meaning = fmt.Sprintf("uids %d to %d in there are %d to %d here",
				inside, inside+count-1, outside, outside+count-1)
		}
		say("host", "/proc/%d/uid_map: %d %d %d: %s", pid, inside, outside, count, meaning)
	}
	return nil
}

// view says who a process is, and who owns a file: one line of "what=number|what=number".
func view(pid int, file string) (string, error) {
	process := fmt.Sprintf("/proc/%d/", pid)
	id, err := os.Readlink(process + "ns/user")
	if err != nil {
		return "", err
	}
	status, err := os.ReadFile(process + "status")
	if err != nil {
		return "", err
	}
	field := map[string]string{} // proc_pid_status(5)
	for line := range strings.Lines(string(status)) {
		key, value, _ := strings.Cut(line, ":")
		field[key] = strings.TrimSpace(value)
	}
	var made unix.Stat_t
	if err := unix.Stat(file, &made); err != nil {
		return "", &os.PathError{Op: "stat", Path: file, Err: err}
	}
	return strings.Join([]string{
		fmt.Sprint("one process=", pid),
		"its uid=" + strings.Fields(field["Uid"])[0],
		"its gid=" + strings.Fields(field["Gid"])[0],
		fmt.Sprint("owner of a file it made=", made.Uid),
		"its capabilities=" + field["CapEff"],
		"its user namespace=" + strings.Trim(id, "user:[]"),
	}, "|"), nil
}

// makeAndStay makes a file, says who it is and whose the file is, and stays until standard input
// ends.
func makeAndStay(args []string) error {
	if err := os.WriteFile(args[0], nil, 0o600); err != nil {
		return err
	}
	facts, err := view(os.Getpid(), args[0])
	if err != nil {
		return err
	}
	return holdOn(facts)
}

// unmapped asks both sides whose the host's programs are.
func unmapped() error {
	outside, err := ask(self("lesson:owner", "/usr"))
	if err != nil {
		return err
	}
	inside, err := ask(within("lesson:owner", "/usr"))
	if err != nil {
		return err
	}
	say("host", "/usr belongs to uid %s", outside)
	say("container", "/usr belongs to uid %s: nobody, since the host's uid %s is not in the map",
		inside, outside)
	return nil
}

// whatRootMay runs all trials in the container, and in a user namespace that owns nothing else.
// Real root also runs them without a user namespace.
func whatRootMay() error {
	host := strconv.Itoa(os.Getpid())
	alone := self("lesson:try", host)
	alone.SysProcAttr.Cloneflags = unix.CLONE_NEWUSER
	if _, err := mapIDs(alone.SysProcAttr); err != nil {
		return err
	}
	if alone.SysProcAttr.Credential == nil { // not root: one id will do
		alone.SysProcAttr = &syscall.SysProcAttr{
			Pdeathsig: unix.SIGKILL, Cloneflags: unix.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		}
	}
	heads := []string{"a user namespace alone", "the container"}
	commands := []*exec.Cmd{alone, within("lesson:try", host)}
	if holds(unix.CAP_SYS_ADMIN) {
		without := self("lesson:try", host)
		without.SysProcAttr.Cloneflags = unix.CLONE_NEWNS | unix.CLONE_NEWUTS
		heads = append([]string{"no user namespace"}, heads...)
		commands = append([]*exec.Cmd{without}, commands...)
	}
	answers := make([][]string, len(commands))
	for i, cmd := range commands {
		var err error
		if answers[i], err = askTrials(cmd); err != nil {
			return err
		}
	}
	fmt.Printf("\n%38s", "tried by root, who has")
	for _, head := range heads {
		fmt.Printf("  %s", head)
	}
	fmt.Println()
	for row, t := range trials {
		line := fmt.Sprintf("%38s", t.what)
		for i, head := range heads {
			line += fmt.Sprintf("  %-*s", len(head), answers[i][row])
		}
		fmt.Println(strings.TrimRight(line, " "))
	}
	fmt.Println()
	return nil
}

// askTrials runs the trials, with the host's UTS namespace as standard input, since no other
// descriptors than the standard ones get inside.
func askTrials(cmd *exec.Cmd) ([]string, error) {
	uts, err := os.Open("/proc/self/ns/uts")
	if err != nil {
		return nil, err
	}
	defer uts.Close()
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout = uts, &out
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("experiment %s: %w", strings.Join(cmd.Args, " "), err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != len(trials) {
		return nil, fmt.Errorf("%d answers about %d trials: %q", len(lines), len(trials), lines)
	}
	return lines, nil
}

// whatLeaks lists the network's links on both sides.
func whatLeaks() error {
	outside, err := ask(self("lesson:links"))
	if err != nil {
		return err
	}
	inside, err := ask(within("lesson:links"))
	if err != nil {
		return err
	}
	say("host", "%s", outside)
	say("leak", "%s: the same", inside)
	ours, _, _ := strings.Cut(outside, " with") // links may come and go
	if !strings.HasPrefix(inside, ours+" with") {
		return fmt.Errorf("that isn't the host's: %s", inside)
	}
	say("next", "go run ./06-network")
	return nil
}

// printLinks prints the links of this network namespace (proc_pid_net(5)).
func printLinks([]string) error {
	table, err := os.ReadFile("/proc/self/net/dev")
	if err != nil {
		return err
	}
	var links []string
	for line := range strings.Lines(string(table)) {
		if name, _, found := strings.Cut(line, ":"); found {
			links = append(links, strings.TrimSpace(name))
		}
	}
	fmt.Printf("network namespace %s with links %s\n",
		namespaceOf("net"), strings.Join(links, " "))
	return nil
}

// printOwner prints who owns a file.
func printOwner(args []string) error {
	var file unix.Stat_t
	if err := unix.Stat(args[0], &file); err != nil {
		return &os.PathError{Op: "stat", Path: args[0], Err: err}
	}
	fmt.Println(file.Uid)
	return nil
}

// childOf returns the child that a process has.
func childOf(parent int) (int, error) {
	files, err := filepath.Glob("/proc/[0-9]*/status")
	if err != nil {
		return 0, err
	}
	for _, file := range files {
		status, err := os.ReadFile(file) // which fails if that process has ended since
		if err == nil && strings.Contains(string(status), fmt.Sprintf("\nPPid:\t%d\n", parent)) {
			return strconv.Atoi(filepath.Base(filepath.Dir(file)))
		}
	}
	return 0, fmt.Errorf("process %d has no child", parent)
}
