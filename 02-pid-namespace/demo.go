//go:build linux

// The lesson of 02: the post's figure with live numbers, the life of a PID 1, and what leaks.

package main

import (
	"bufio"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// experiments are the programs that the lesson runs inside, and some of them also outside, to
// compare. Each prints what it measured.
var experiments = map[string]func([]string) error{
	"lesson:init":   initProcess,
	"lesson:stay":   stay,
	"lesson:signal": signalNothing,
	"lesson:count":  countProcesses,
	"lesson:name":   printName,
}

// lesson starts one small family of processes and follows it from both sides to its end.
func lesson(n *narrator) error {
	say("host", "%s", whoami(unix.CAP_SYS_ADMIN))
	init, fact, err := start(within("lesson:init"))
	if err != nil {
		return err
	}
	family, err := familyOf(init.cmd.Process.Pid, 4)
	if err != nil {
		return err
	}
	n.part("One process, two PIDs")
	printTree(family)
	say(inside, "%s", fact)
	n.compare(experiment{
		what:   "PID namespace",
		host:   labelled("PID namespace", namespaceOf("self", "pid")),
		inside: labelled("PID namespace", namespaceOf(strconv.Itoa(family[0].pid), "pid")),
		rule:   isShared, expect: held,
	})

	// The name is the secret: it tells the right process from another with the same PID.
	target, name, err := startTarget("lesson:stay", "secret-"+rand.Text()[:8])
	if err != nil {
		return err
	}
	defer target.end()
	if err := reachTheHost(n, target.cmd.Process.Pid, name); err != nil {
		return err
	}
	if err := lifeOfInit(n, init, family); err != nil {
		return err
	}
	return whatLeaks(n, target.cmd.Process.Pid, name)
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

// within prepares an experiment to run in the container.
func within(args ...string) *exec.Cmd {
	return host(append([]string{"/proc/self/exe"}, args...)...)
}

// printTree prints the post's figure: this program and the container's processes, each with its PID
// on the host and in the container.
func printTree(family []process) {
	rows := [][]string{{"host", inside, ""}, {strconv.Itoa(os.Getpid()), "-", step}}
	depth := map[int]int{family[0].parent: 0}
	for _, p := range family {
		depth[p.pid] = depth[p.parent] + 1
		branch := strings.Repeat("   ", depth[p.pid]-1) + "└─ "
		rows = append(rows, []string{strconv.Itoa(p.pid), strconv.Itoa(p.inner), branch + p.name})
	}
	columns(rows)
}

// reachTheHost signals a process of the host by its PID, from the host and from inside.
func reachTheHost(n *narrator, pid int, name string) error {
	n.part("Can the container signal a process of the host?")
	say("host", "process %d is named %s", pid, name)
	e, err := n.ask("lesson:signal", strconv.Itoa(pid))
	if err != nil {
		return err
	}
	e.rule, e.expect = reaches("= ok"), held
	n.compare(e)
	return nil
}

// lifeOfInit shows what the kernel asks of PID 1, and what it does when PID 1 ends.
func lifeOfInit(n *narrator, init *helper, family []process) error {
	n.part("PID 1 is not like the others")
	// A shell, since a Go program handles some signals, and so isn't what a PID 1 usually is.
	var rows []experiment
	for _, signal := range []string{"TERM", "KILL"} {
		shell := []string{"sh", "-c", "kill -" + signal + " $$ && echo PID $$ is still here"}
		rows = append(rows, experiment{
			what: "SIG" + signal,
			host: outcome(exec.Command(shell[0], shell[1:]...)), inside: outcome(host(shell...)),
		})
	}
	n.table("a shell sends itself", rows...)
	shell := family[slices.IndexFunc(family, func(p process) bool { return p.name == "sh" })]
	itsChild := func(p process) bool { return p.parent == shell.pid }
	orphan := family[slices.IndexFunc(family, itsChild)]
	if err := unix.Kill(shell.pid, unix.SIGKILL); err != nil {
		return fmt.Errorf("kill %d (sh): %w", shell.pid, err)
	}
	if err := until("the orphan gets a new parent", func() bool {
		return readProcess(orphan.pid).parent != shell.pid
	}); err != nil {
		return err
	}
	parent := readProcess(readProcess(orphan.pid).parent)
	say("host", "I kill %s %d: its child %d now belongs to %s, PID %d inside",
		shell.name, shell.pid, orphan.pid, parent.name, parent.inner)

	if err := until("the killed shell ends", func() bool {
		state := readProcess(shell.pid).state
		return state == "Z" || state == gone
	}); err != nil {
		return err
	}
	say("host", "%s %d is %s", shell.name, shell.pid, readProcess(shell.pid).describe())
	fact, err := init.tell("wait")
	if err != nil {
		return err
	}
	say(inside, "%s", fact)
	say("host", "%s %d is %s", shell.name, shell.pid, readProcess(shell.pid).describe())

	if err := init.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("kill PID 1, %d on the host: %w", init.cmd.Process.Pid, err)
	}
	ended := init.end()
	isGone := func(p process) bool { return readProcess(p.pid).state == gone }
	left := slices.DeleteFunc(slices.Clone(family), isGone)
	say("host", "I kill %d, PID 1 inside (%v); processes left: %d",
		init.cmd.Process.Pid, ended, len(left))
	return nil
}

// outcome is what a command printed, or how it ended.
func outcome(cmd *exec.Cmd) string {
	cmd.Stdin, cmd.Stdout = nil, nil
	out, err := cmd.Output()
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(out))
}

// whatLeaks reads in /proc, where ps looks, about the process that the container can't signal.
func whatLeaks(n *narrator, pid int, name string) error {
	n.part("What is still the host's: /proc")
	count, err := n.ask("lesson:count")
	if err != nil {
		return err
	}
	n.compare(count)
	read, err := n.ask("lesson:name", strconv.Itoa(pid))
	if err != nil {
		return err
	}
	read.rule, read.expect = reaches(name), leak
	n.compare(read)
	n.next("go run ./03-mount-namespace")
	return nil
}

// familyOf returns a process and all its descendants once there are want of them, each past its
// exec: between fork and exec a process goes by the name of its parent.
func familyOf(pid, want int) (found []process, err error) {
	err = until("the container's processes start", func() bool {
		found = []process{readProcess(pid)}
		for i := 0; i < len(found); i++ {
			found = append(found, childrenOf(found[i].pid)...)
		}
		count := map[string]int{}
		for _, p := range found {
			count[p.name]++
		}
		return len(found) == want && count["sleep"] == want-2 && count["sh"] == 1
	})
	return found, err
}

// tell gives the helper an order and returns its answer.
func (h *helper) tell(order string) (string, error) {
	if _, err := fmt.Fprintln(h.stdin, order); err != nil {
		return "", fmt.Errorf("tell %s to %s: %w", strings.Join(h.cmd.Args, " "), order, err)
	}
	return h.listen()
}

// until waits for something that another process is about to do, and gives up after ten seconds.
func until(what string, done func() bool) error {
	for range 1000 {
		if done() {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("waited ten seconds in vain: %s", what)
}

// process is what /proc/PID/status says of a process (proc_pid_status(5)), read on the host.
type process struct {
	pid, inner, parent int // inner is its PID in its own, innermost PID namespace
	name, state        string
}

// gone is the state of a process that /proc doesn't list.
const gone = "gone"

// readProcess reads one process; one that isn't there is in state gone.
func readProcess(pid int) process {
	p := process{pid: pid, state: gone}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return p
	}
	for line := range strings.Lines(string(status)) {
		fields := strings.Fields(line)
		switch fields[0] {
		case "Name:":
			p.name = strings.Join(fields[1:], " ")
		case "State:":
			p.state = fields[1]
		case "PPid:":
			p.parent, _ = strconv.Atoi(fields[1])
		case "NSpid:": // one number for each namespace it is in, the outermost first
			p.inner, _ = strconv.Atoi(fields[len(fields)-1])
		}
	}
	return p
}

// describe says what ps would say of the process.
func (p process) describe() string {
	switch p.state {
	case gone:
		return "gone"
	case "Z":
		return "a zombie: state Z, until its parent waits"
	}
	return "in state " + p.state
}

// childrenOf returns the processes whose parent is pid.
func childrenOf(pid int) []process {
	var children []process
	all, _ := filepath.Glob("/proc/[0-9]*") // the pattern is well formed: no error
	for _, dir := range all {
		n, _ := strconv.Atoi(filepath.Base(dir))
		if p := readProcess(n); p.state != gone && p.parent == pid {
			children = append(children, p)
		}
	}
	slices.SortFunc(children, func(a, b process) int { return a.pid - b.pid }) // 999 before 1000
	return children
}

// initProcess is PID 1 of the figure: it starts two children, and one of them starts a child of its
// own. It waits for a child that has ended only on command, which is what an init shouldn't do.
func initProcess([]string) error {
	// The name that ps shows. After exec of /proc/self/exe it would be "exe" (proc_pid_comm(5)).
	if err := os.WriteFile("/proc/self/comm", []byte("init"), 0); err != nil {
		return err
	}
	for _, command := range [][]string{{"sleep", "600"}, {"sh", "-c", "sleep 600 & wait"}} {
		if err := exec.Command(command[0], command[1:]...).Start(); err != nil {
			return fmt.Errorf("start %s: %w", command[0], err)
		}
	}
	fmt.Printf("getpid() = %d, getppid() = %d\n", os.Getpid(), os.Getppid())
	for orders := bufio.NewScanner(os.Stdin); orders.Scan(); {
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		fmt.Printf("PID 1 calls wait4(): %s\n", waited(pid, err))
	}
	return nil
}

// waited says what wait4(2) answered.
func waited(pid int, err error) string {
	if err != nil {
		return errno(err)
	}
	return strconv.Itoa(pid)
}

// stay takes the name, as ps shows it, and keeps it until standard input ends.
func stay(args []string) error {
	if err := os.WriteFile("/proc/self/comm", []byte(args[0]), 0); err != nil {
		return err
	}
	return waitForEOF(args[0])
}

// signalNothing sends signal 0 to a process, which only asks whether it could be signalled
// (kill(2)), and prints the kernel's answer. kill(2) also accepts a thread's ID, and one of our own
// threads may have that number, so this uses tgkill(2), which wants a process and its thread.
func signalNothing(args []string) error {
	pid, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	fmt.Printf("tgkill(%d, %d, 0) = %s\n", pid, pid, errno(unix.Tgkill(pid, pid, 0)))
	return nil
}

// countProcesses prints how many processes /proc lists.
func countProcesses([]string) error {
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return err
	}
	fmt.Println("processes listed in /proc:", len(all))
	return nil
}

// printName prints what /proc says a process is called (proc_pid_comm(5)).
func printName(args []string) error {
	file := "/proc/" + args[0] + "/comm"
	name, err := os.ReadFile(file)
	if err != nil {
		name = []byte(errno(err))
	}
	fmt.Printf("%s says %s\n", file, name)
	return nil
}

// whoami is the lesson's first fact: its process, its user, and whether it adds a user namespace.
func whoami(capability int) string {
	line := fmt.Sprintf("process %d, uid %d", os.Getpid(), os.Getuid())
	if !holds(capability) {
		line += ", not root: adds a user namespace (05)"
	}
	return line
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
