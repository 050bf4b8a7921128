//go:build linux

// Compareps shows the host's ps and a container's, taken at the same moment. Every number is
// measured. scripts/compare-ps.sh builds it and the step, and says more about it.
//
//	compareps [-a] PROGRAM    PROGRAM is a step, built; -a: all processes, on a terminal too
package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// main takes the two lists and prints them.
func main() {
	all := flag.Bool("a", false, "all processes, on a terminal too")
	flag.Parse()
	c, err := take(flag.Arg(0))
	if err == nil {
		width, others := 0, len(c.host.processes) // not a terminal
		if size, err := unix.IoctlGetWinsize(1, unix.TIOCGWINSZ); err == nil {
			width = cmp.Or(int(size.Col), 80)
			if !*all {
				others = 20
			}
		}
		_, err = os.Stdout.WriteString(c.text(width, others))
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "compare-ps.sh: %v\n", err)
		os.Exit(1)
	}
}

// list is a shell script that prints its own PID, as /proc has it, and becomes ps, which keeps that
// PID. $1 is the options for ps.
const list = `read -r self rest </proc/self/stat && echo "$self" && exec ps $1`

// inside is what runs in the container: a shell, which is PID 1, and two sleeping children. They
// all wait until the host's list has been taken. Only then does the shell try to signal $2, this
// program, and run its own ps. So nothing of the container comes or goes between the two lists.
//
// In 02 the container's ps looks for itself in the host's /proc, by a PID that may not exist there,
// and gives up. So it is tried again, each time with another PID.
const inside = `
exec sleep 60 &
exec sleep 60 &
read -r go || exit
echo "$(kill -0 "$2" 2>&1 && echo nothing)"
tries=0
until (` + list + `) 2>&1 || [ "$((tries += 1))" = 2000 ]; do :; done
`

// comparison is what was measured.
type comparison struct {
	host, container listing
	pids            map[int]int   // of each process in the container: the host's PID, and its own
	step            map[int]bool  // the step's processes on the host
	outer, inner    namespaces    // of the two sides
	verdict         string        // what kill -0 with our PID said in the container
	took            time.Duration // at least as long as taking both lists took
}

// namespaces names the mount and PID namespaces of a process.
type namespaces struct{ mnt, pid string }

// namespacesOf reads them.
func namespacesOf(pid int) (n namespaces) {
	n.mnt, _ = os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", pid))
	n.pid, _ = os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid))
	return n
}

// take starts the container, takes both lists, and ends the container.
func take(program string) (*comparison, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	os.Setenv("LC_ALL", "C") // one byte is one column
	options := "-eo pid,ppid,comm"
	if exec.Command("ps", strings.Fields(options)...).Run() != nil {
		options = "-o pid,ppid,comm" // some builds of busybox have no -e, and list everything
	}
	cmd := exec.CommandContext(ctx, program,
		"sh", "-c", inside, "sh", options, strconv.Itoa(os.Getpid()))
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, os.Stderr
	// If we die, the step dies, and takes its container along. The kernel counts the end of the
	// thread that started it as our death (prctl(2)), so this goroutine keeps its thread.
	runtime.LockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = 10 * time.Second
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &comparison{outer: namespacesOf(os.Getpid())}
	var ours []byte
	ready := c.await(cmd.Process.Pid)
	start := time.Now()
	if ready {
		ours, _ = exec.CommandContext(ctx, "sh", "-c", list, "sh", options).CombinedOutput()
		_, _ = io.WriteString(stdin, "go\n") // if this fails, so does the step
	}
	err = cmd.Wait()
	c.took = time.Since(start)
	if ctx.Err() != nil {
		return nil, fmt.Errorf("the container of %s doesn't answer", filepath.Base(program))
	}
	if !ready || err != nil { // the step has said why
		return nil, fmt.Errorf("%s ran no shell in a container (%v): there is nothing to compare",
			filepath.Base(program), err)
	}
	verdict, theirs, _ := strings.Cut(said.String(), "\n")
	// Shells differ in what they print before the reason.
	c.verdict = strings.TrimSpace(verdict[strings.LastIndexAny(verdict, ":-")+1:])
	var hostErr, containerErr error
	c.host, hostErr = read("host", string(ours))
	c.container, containerErr = read("container", theirs)
	return c, errors.Join(hostErr, containerErr)
}

// await waits until both sleeps run in the container, and notes which processes belong to what. It
// returns false if the step ended first. (A child has its parent's name until it calls execve, so
// the name says that the sleep has started.)
func (c *comparison) await(step int) bool {
	for ; ; time.Sleep(20 * time.Millisecond) {
		c.pids, c.step = map[int]int{}, map[int]bool{}
		known, sleeps := processes(), 0
		for pid := range known {
			pids := known[pid].pids
			switch {
			case !descends(known, pid, step):
			case len(pids) <= len(known[os.Getpid()].pids):
				c.step[pid] = true
			default: // it has a PID in a namespace below ours
				c.pids[pid], _ = strconv.Atoi(pids[len(pids)-1])
				c.inner = namespacesOf(pid)
				if known[pid].name == "sleep" {
					sleeps++
				}
			}
		}
		if sleeps == 2 || len(c.step) == 0 {
			return sleeps == 2
		}
	}
}

// status is what /proc/PID/status says of a process. It has a PID in each PID namespace that it is
// in, the innermost last (NSpid in proc_pid_status(5)).
type status struct {
	name   string
	parent int
	pids   []string
}

// processes reads all of /proc but the zombies.
func processes() map[int]status {
	all := map[int]status{}
	files, _ := filepath.Glob("/proc/[0-9]*/status")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil || strings.Contains(string(text), "\nState:\tZ") {
			continue
		}
		var s status
		for line := range strings.Lines(string(text)) {
			switch key, value, _ := strings.Cut(strings.TrimSpace(line), ":\t"); key {
			case "Name":
				s.name = value
			case "PPid":
				s.parent, _ = strconv.Atoi(value)
			case "NSpid":
				s.pids = strings.Fields(value)
			}
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		all[pid] = s
	}
	return all
}

// descends reports whether a process is the ancestor itself or descends from it.
func descends(known map[int]status, pid, ancestor int) bool {
	for pid != ancestor && pid != 0 {
		pid = known[pid].parent
	}
	return pid == ancestor
}

// listing is what one ps lists.
type listing struct {
	processes []*process
	byPID     map[int]*process
	kernel    int // kernel threads, which aren't shown
}

// process is one line of a list.
type process struct {
	pid        int
	name, mark string
	paint      hue // the mark's colour
}

// read reads what ps prints, after a line with the PID of ps itself, which is left out.
func read(side, text string) (listing, error) {
	l := listing{byPID: map[int]*process{}}
	self, kthreadd := "", ""
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 1 {
			self = words[0]
		}
		if len(words) < 3 {
			continue
		}
		pid, err := strconv.Atoi(words[0])
		if err != nil {
			continue // the heading, or a complaint
		}
		parent, name := words[1], strings.Join(words[2:], " ")
		if pid == 2 && parent == "0" && name == "kthreadd" { // the parent of all kernel threads
			kthreadd = "2"
		}
		switch {
		case words[0] == self:
		case words[0] == kthreadd, parent == kthreadd:
			l.kernel++
		default:
			l.byPID[pid] = &process{pid: pid, name: name}
			l.processes = append(l.processes, l.byPID[pid])
		}
	}
	if len(l.processes) == 0 {
		return l, fmt.Errorf("ps lists nothing (%s): %q", side, text)
	}
	return l, nil
}
