//go:build linux

// The lesson of 05: one process and one file as both sides see them, and what root in another user
// namespace can do.

package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// experiments are the programs that the lesson runs inside, and some of them also outside, to
// compare. Each prints what it measured.
var experiments = map[string]func([]string) error{
	"lesson:stay":    makeAndStay,
	"lesson:wait":    func([]string) error { return waitForEOF("ready") },
	"lesson:try":     tryAll,
	"lesson:network": printNetwork,
	"lesson:hear":    hear,
}

// patience is how long the lesson waits for an answer that never comes.
const patience = 2 * time.Second

// lesson compares what both sides call the same user, and has root try thirteen things.
func lesson(n *narrator) error {
	say("host", "process %d, uid %d", os.Getpid(), os.Getuid())
	for _, part := range []func(*narrator) error{oneProcess, whatRootMay, whatLeaks} {
		if err := part(n); err != nil {
			return err
		}
	}
	return nil
}

// startTarget starts a host process for the container to reach for. In a small PID namespace, such
// as another container's, the host's PIDs are as low as the container's own, and the same PID
// inside would be another process. So the target's is higher than any that the container uses.
func startTarget(args ...string) (target *helper, line string, err error) {
	for {
		if target, line, err = start(self(args...)); err != nil || target.cmd.Process.Pid >= 100 {
			return target, line, err
		}
		if err := target.end(); err != nil {
			return nil, "", err
		}
	}
}

// within prepares an experiment to be run in a container, as a reader would run any command.
func within(args ...string) *exec.Cmd {
	return self(append([]string{"/proc/self/exe"}, args...)...)
}

// oneProcess looks at one process, and a file that it has made, from both sides.
func oneProcess(n *narrator) (err error) {
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
	n.part("One process, two uids")
	var rows []experiment
	answers := strings.Split(facts, "|")
	for i, row := range strings.Split(outer, "|") {
		what, answer, _ := strings.Cut(row, "=")
		_, answerInside, _ := strings.Cut(answers[i], "=")
		rows = append(rows, experiment{what: what, host: answer, inside: answerInside})
	}
	n.table("", rows...)
	for line := range strings.Lines(string(table)) {
		var first, outside, count int
		if _, err := fmt.Sscan(line, &first, &outside, &count); err != nil {
			return fmt.Errorf("read %q in /proc/%d/uid_map: %w", line, pid, err)
		}
		say("host", "/proc/%d/uid_map: %d %d %d (inside, outside, count)",
			pid, first, outside, count)
	}
	n.compare(experiment{
		what:   "user namespace",
		host:   labelled("user namespace", namespaceOf("self", "user")),
		inside: labelled("user namespace", namespaceOf(strconv.Itoa(pid), "user")),
		rule:   isShared, expect: held,
	})
	return nil
}

// view says who a process is and who owns a file and /usr, as a line "what=number|what=number".
func view(pid int, file string) (string, error) {
	process := fmt.Sprintf("/proc/%d/", pid)
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
	var usr unix.Stat_t
	if err := unix.Stat("/usr", &usr); err != nil {
		return "", &os.PathError{Op: "stat", Path: "/usr", Err: err}
	}
	return strings.Join([]string{
		fmt.Sprint("PID=", pid),
		"uid=" + strings.Fields(field["Uid"])[0],
		"gid=" + strings.Fields(field["Gid"])[0],
		fmt.Sprint("owner of a file it made=", made.Uid),
		fmt.Sprint("owner of /usr=", usr.Uid),
		"capabilities=" + field["CapEff"],
	}, "|"), nil
}

// makeAndStay makes a file, prints its own view, and stays until standard input ends.
func makeAndStay(args []string) error {
	if err := os.WriteFile(args[0], nil, 0o600); err != nil {
		return err
	}
	facts, err := view(os.Getpid(), args[0])
	if err != nil {
		return err
	}
	return waitForEOF(facts)
}

// whatRootMay runs all trials on the host, in a user namespace that owns no other namespace, and in
// the container.
func whatRootMay(n *narrator) error {
	target, _, err := startTarget("lesson:wait")
	if err != nil {
		return err
	}
	defer target.end()
	pid := strconv.Itoa(target.cmd.Process.Pid)
	outside := self("lesson:try", pid)
	if holds(unix.CAP_SYS_ADMIN) { // so that no success changes the host
		outside.SysProcAttr.Cloneflags = unix.CLONE_NEWNS | unix.CLONE_NEWUTS
	}
	alone := self("lesson:try", pid)
	alone.SysProcAttr.Cloneflags = unix.CLONE_NEWUSER
	if _, err := mapIDs(alone.SysProcAttr); err != nil {
		return err
	}
	if alone.SysProcAttr.Credential == nil { // not root: one ID will do
		alone.SysProcAttr = &syscall.SysProcAttr{
			Pdeathsig: unix.SIGKILL, Cloneflags: unix.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		}
	}
	var answers [3][]string
	for i, cmd := range []*exec.Cmd{outside, alone, within("lesson:try", pid)} {
		var err error
		if answers[i], err = askTrials(cmd); err != nil {
			return err
		}
	}
	tabulate := func(trials []trial, first int, rule rule) {
		rows := [][]string{{"", "host", "only user namespace", inside, ""}}
		for i, t := range trials {
			e := experiment{t.what, answers[0][first+i], answers[2][first+i], rule, held}
			rows = append(rows,
				[]string{e.what, e.host, answers[1][first+i], e.inside, string(n.judge(e))})
		}
		columns(rows)
	}
	n.part("What may root do to its own things?")
	tabulate(ownThings, 0, nil)
	n.part("What may root do to the host's things?")
	tabulate(hostThings, len(ownThings), reaches("ok"))
	return nil
}

// askTrials runs the trials, with the host's UTS namespace as standard input, since only the
// standard descriptors get inside.
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
	if want := len(ownThings) + len(hostThings); len(lines) != want {
		return nil, fmt.Errorf("%d answers about %d trials: %q", len(lines), want, lines)
	}
	return lines, nil
}

// whatLeaks connects to a port on which only the host itself should be heard.
func whatLeaks(n *narrator) error {
	n.part("What is still the host's: the network")
	namespace, err := n.ask("lesson:network")
	if err != nil {
		return err
	}
	namespace.rule, namespace.expect = isShared, leak
	n.compare(namespace)
	port, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer port.Close()
	secret := rand.Text()[:8]
	go answerAll(port, secret)
	heard, err := n.ask("lesson:hear", port.Addr().String())
	if err != nil {
		return err
	}
	heard.rule, heard.expect = reaches(secret), leak
	n.compare(heard)
	n.next("go run ./06-network")
	return nil
}

// printNetwork prints which network namespace it is in.
func printNetwork([]string) error {
	fmt.Println("network namespace", namespaceOf("self", "net"))
	return nil
}

// hear connects to an address and prints what it hears.
func hear(args []string) error {
	word, err := call(args[0])
	if err != nil {
		word = errno(err)
	}
	fmt.Printf("%s says %s\n", args[0], word)
	return nil
}

// call connects to an address and returns what it hears.
func call(address string) (string, error) {
	network := "tcp4"
	if strings.HasPrefix(address, "@") {
		network = "unix"
	}
	connection, err := net.DialTimeout(network, address, patience)
	if err != nil {
		return "", err
	}
	defer connection.Close()
	connection.SetDeadline(time.Now().Add(patience))
	word, err := bufio.NewReader(connection).ReadString('\n')
	return strings.TrimSpace(word), err
}

// answerAll says a word to every caller.
func answerAll(listener net.Listener, word string) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return // it has been closed
		}
		fmt.Fprintln(connection, word)
		connection.Close()
	}
}

// childOf returns the PID of a process's only child.
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

// namespaceOf returns the inode number that names a process's namespace of a kind, such as "pid"
// (namespaces(7)). Two processes are in the same one if they have the same number.
func namespaceOf(process, kind string) string {
	link, err := os.Readlink("/proc/" + process + "/ns/" + kind)
	if err != nil {
		return "" // n/a: isShared
	}
	return strings.Trim(link, kind+":[]")
}

// labelled puts a label before a value, and is empty without one.
func labelled(label, value string) string {
	if value == "" {
		return ""
	}
	return label + " " + value
}
