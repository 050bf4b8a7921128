//go:build linux

// The lesson of 02: the post's figure with live numbers, the life of a PID 1, and what leaks.

package main

import (
	"bufio"
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

// experiments are the programs that the lesson runs inside, and some outside, to compare. Each
// prints what it measured.
var experiments = map[string]func([]string) error{
	"lesson:init":   initProcess,
	"lesson:signal": signalNothing,
	"lesson:count":  countProcesses,
}

// lesson starts one small family of processes and follows it from both sides to its end.
func lesson() error {
	say("host", "%s", whoami(unix.CAP_SYS_ADMIN))
	init, fact, err := start(host("/proc/self/exe", "lesson:init"))
	if err != nil {
		return err
	}
	first := init.cmd.Process.Pid
	say("host", "PID namespace %s; clone(CLONE_NEWPID) made a child that I call %d",
		namespaceOf("pid"), first)
	say("container", "%s", fact)

	family, err := familyOf(first, 4)
	if err != nil {
		return err
	}
	fmt.Printf("\n%34s  %16s\n", "on the host", "in the container")
	for _, p := range family {
		fmt.Printf("%34d  %16d   %s\n", p.pid, p.inner, p.name)
	}
	fmt.Println()

	if err := whatReachesTheHost(); err != nil {
		return err
	}
	if err := lifeOfInit(init, family); err != nil {
		return err
	}
	return whatLeaks()
}

// whatReachesTheHost signals this process by its number, from the host and from inside.
func whatReachesTheHost() error {
	me := strconv.Itoa(os.Getpid())
	control, err := ask(self("lesson:signal", me))
	if err != nil {
		return err
	}
	attack, err := ask(host("/proc/self/exe", "lesson:signal", me))
	if err != nil {
		return err
	}
	say("host", "another process of mine signals me: kill(%s, 0) = %s", me, control)
	say("container", "the same from inside: kill(%s, 0) = %s", me, attack)

	// A shell, since a Go program has handlers for these signals and so isn't what a PID 1 is.
	for _, signal := range []string{"TERM", "KILL"} {
		out, err := ask(host("sh", "-c", "kill -"+signal+" $$ && echo still here"))
		if err != nil {
			return err
		}
		say("container", "PID 1 sends itself SIG%s, for which it has no handler: %s", signal, out)
	}
	return nil
}

// lifeOfInit shows what the kernel asks of PID 1, and what it does when PID 1 ends.
func lifeOfInit(init *partner, family []process) error {
	shell := family[slices.IndexFunc(family, func(p process) bool { return p.name == "sh" })]
	itsChild := func(p process) bool { return p.parent == shell.pid }
	orphan := family[slices.IndexFunc(family, itsChild)]
	if err := unix.Kill(shell.pid, unix.SIGKILL); err != nil {
		return fmt.Errorf("kill %d (sh): %w", shell.pid, err)
	}
	say("host", "%s %d is a child of %s %d, which I kill",
		orphan.name, orphan.pid, shell.name, shell.pid)
	if err := until("the orphan gets a new parent", func() bool {
		return readProcess(orphan.pid).parent != shell.pid
	}); err != nil {
		return err
	}
	parent := readProcess(readProcess(orphan.pid).parent)
	say("host", "the orphan's parent is now %d, in the container %d: %s adopted it",
		parent.pid, parent.inner, parent.name)

	if err := until("the killed shell becomes a zombie", func() bool {
		return readProcess(shell.pid).state == "Z"
	}); err != nil {
		return err
	}
	say("host", "the dead %s %d is listed still, in state Z: a zombie, until its parent waits",
		shell.name, shell.pid)
	fact, err := init.tell("wait")
	if err != nil {
		return err
	}
	say("container", "%s", fact)
	say("host", "now %d is %s", shell.pid, readProcess(shell.pid).state)

	if err := init.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("kill PID 1, %d on the host: %w", init.cmd.Process.Pid, err)
	}
	ended := init.end()
	isGone := func(p process) bool { return readProcess(p.pid).state == gone }
	left := slices.DeleteFunc(family, isGone)
	say("host", "I kill PID 1 from outside, where it is just %d (%v); left of its family: %d",
		init.cmd.Process.Pid, ended, len(left))
	return nil
}

// whatLeaks counts what ps would list, outside and inside: ps knows nothing but /proc (proc(5)).
func whatLeaks() error {
	outside, err := ask(self("lesson:count"))
	if err != nil {
		return err
	}
	within, err := ask(host("/proc/self/exe", "lesson:count"))
	if err != nil {
		return err
	}
	say("host", "%s", outside)
	say("leak", "%s, not 1; it is the host's, and ps looks nowhere else", within)
	say("next", "go run ./03-mount-namespace")
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
		sleeps := 0
		for _, p := range found {
			if p.name == "sleep" {
				sleeps++
			}
		}
		return len(found) == want && sleeps == want-2
	})
	return found, err
}

// tell says a word to the experiment and returns its answer.
func (p *partner) tell(word string) (string, error) {
	if _, err := fmt.Fprintln(p.stdin, word); err != nil {
		return "", fmt.Errorf("tell %s to %s: %w", strings.Join(p.cmd.Args, " "), word, err)
	}
	return p.listen()
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
	pid, inner, parent int // inner is its number in its own, innermost PID namespace
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
	return children
}

// initProcess is PID 1 of the figure: it starts two children, one of which has a child of its own.
// It waits for a child that has ended only when it is told to, which is what an init shouldn't do.
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
	fmt.Printf("getpid() = %d, getppid() = %d: my parent has no number here; PID namespace %s\n",
		os.Getpid(), os.Getppid(), namespaceOf("pid"))
	for orders := bufio.NewScanner(os.Stdin); orders.Scan(); {
		pid, err := unix.Wait4(-1, nil, 0, nil)
		if err != nil {
			return os.NewSyscallError("wait4", err)
		}
		fmt.Printf("PID 1 waits, and wait4() returns %d\n", pid)
	}
	return nil
}

// signalNothing sends signal 0 to a process, which only asks whether it could be signalled
// (kill(2)), and prints the kernel's answer.
func signalNothing(args []string) error {
	pid, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	fmt.Println(errno(unix.Kill(pid, 0)))
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
