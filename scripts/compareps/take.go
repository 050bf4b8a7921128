//go:build linux

// How the lists are taken. A held breath makes it the same moment: the container's processes only
// wait until both lists are there, its shell first for a word from here, then for its ps.

package main

import (
	"bytes"
	"context"
	"errors"
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
)

// list is for a shell whose $1 is the options for ps. It prints the number of ps, then what ps
// lists: exec keeps the number. /proc/self is this shell by the number that it has where ps looks,
// which in 02 is not the one that the shell knows.
const list = `read -r self rest </proc/self/stat && echo "$self" && exec ps $1`

// inside is for the container's shell, whose $2 is our own number. With it, PID 1, the container
// ends.
//
// Procps first looks for itself in /proc, by the number that getpid(2) gives. In 02 that is the
// container's number and the host's /proc: if the host happens to have no process by that number,
// ps gives up ("lookup self"). So it is tried again there, each time with another number.
const inside = `
exec sleep 60 &
exec sleep 60 &
read -r go || exit
echo "$(kill -0 "$2" 2>&1 && echo nothing)"
tries=0
until (` + list + `) 2>&1 || [ "$((tries += 1))" = 2000 ]; do :; done
`

// comparison is all that is known of the moment.
type comparison struct {
	host, container listing
	numbers         map[int]int  // of the container's processes: the host's, and their own
	step            map[int]bool // the step's processes outside the container
	ours, theirs    namespaces
	verdict         string        // of kill -0 with our number, in the container
	took            time.Duration // no less than both lists together
}

// take starts the container, takes both lists, and ends the container.
func take(ctx context.Context, binary string) (*comparison, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second) // for a very slow machine
	defer cancel()
	// In this language one byte is one column, and the errors are known.
	os.Setenv("LC_ALL", "C")
	options := "-eo pid,ppid,comm"
	if exec.CommandContext(ctx, "ps", strings.Fields(options)...).Run() != nil {
		options = "-o pid,ppid,comm" // not every busybox has -e
	}
	me := strconv.Itoa(os.Getpid())
	cmd := exec.CommandContext(ctx, binary, "sh", "-c", inside, "sh", options, me)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, os.Stderr
	// A step that is killed takes its container along, and it is killed when ctx ends, and (for
	// kill -9 of this program) when the thread ends that has started it (prctl(2)).
	runtime.LockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	// Wait goes on, so long at the most, until everything has ended that has this output.
	cmd.WaitDelay = 10 * time.Second
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	err = cmd.Start()
	removeTmp() // the step, too, runs without its file: it finds itself by /proc/self/exe
	if err != nil {
		return nil, err
	}

	c := &comparison{}
	var ours []byte
	var oursErr error
	start := time.Now()
	ready := c.await(cmd.Process.Pid)
	if ready {
		start = time.Now()
		ours, oursErr = exec.CommandContext(ctx, "sh", "-c", list, "sh", options).CombinedOutput()
		io.WriteString(in, "go\n") // if that fails, so does the step
	}
	err = cmd.Wait()
	c.took = time.Since(start)
	switch step := filepath.Base(binary); {
	case ready && err == nil:
	case ctx.Err() == context.DeadlineExceeded:
		return nil, fmt.Errorf("the container of %s does not answer", step)
	default: // the step has said why
		return nil, fmt.Errorf("%s ran no shell in a container (%v): there is nothing to compare",
			step, err)
	}
	if c.host, err = read("host", string(ours)); err != nil || oursErr != nil {
		return nil, errors.Join(err, oursErr)
	}
	verdict, theirs, _ := strings.Cut(said.String(), "\n")
	// Without the shell's name and the line, which the shells write differently.
	c.verdict = strings.TrimSpace(verdict[strings.LastIndexAny(verdict, ":-")+1:])
	if c.container, err = read("container", theirs); err != nil {
		return nil, err
	}
	return c, nil
}

// await waits until two sleep run in the container, and notes whose number is what. It returns
// false if the step has ended before. Sleep it must be by name: between fork and exec, a process
// goes by the name of its parent.
func (c *comparison) await(step int) bool {
	for ; ; time.Sleep(20 * time.Millisecond) {
		c.numbers, c.step = map[int]int{}, map[int]bool{}
		known, sleeps := processes(), 0
		for pid := range known {
			numbers := known[pid].numbers
			switch {
			case !known.descends(pid, step):
			case len(numbers) <= len(known[os.Getpid()].numbers):
				c.step[pid] = true
			default: // it has a number in a namespace below ours
				c.numbers[pid], _ = strconv.Atoi(numbers[len(numbers)-1])
				c.theirs = namespacesOf(pid)
				if known[pid].name == "sleep" {
					sleeps++
				}
			}
		}
		if sleeps == 2 || len(c.step) == 0 {
			c.ours = namespacesOf(os.Getpid())
			return sleeps == 2
		}
	}
}
