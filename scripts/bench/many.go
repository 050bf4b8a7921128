//go:build linux

// Many containers at once: how fast they come up, what memory they hold, and how fast they go.

package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// atATime is how many containers are being started at the same time.
const atATime = 4

// settle is how long a supervisor may still be busy when its container's command already runs.
var settle = 3 * time.Second

// container is a running one. Its command is cat, which ends with its input, and so at the latest
// with this program: no container outlives it.
type container struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	said strings.Builder // on standard error
}

// runMany starts so many containers, weighs them, and ends them. If one of them fails, it fails.
func (s *system) runMany(containers int) error {
	running, errs := make([]*container, containers), make([]error, containers)
	slots := make(chan bool, atATime)
	var starts sync.WaitGroup
	begin := time.Now()
	for i := range containers {
		slots <- true
		starts.Go(func() {
			running[i], errs[i] = s.start(i)
			<-slots
		})
	}
	starts.Wait()
	s.note("up", float64(containers)/time.Since(begin).Seconds())

	err := failures(errs)
	if err == nil {
		time.Sleep(settle)
		addresses, failed := net.InterfaceAddrs()
		err = errors.Join(failed, collision(addresses), s.weigh(running))
	}

	begin = time.Now()
	for _, c := range running {
		if c != nil {
			c.in.Close()
		}
	}
	for i, c := range running {
		if c != nil {
			errs[i] = c.wait()
		}
	}
	s.note("all gone", time.Since(begin).Seconds())
	if err == nil {
		err = failures(errs)
	}
	return err
}

// start starts container number i, and returns when the cat inside has answered.
func (s *system) start(i int) (*container, error) {
	words := s.command(strconv.Itoa(i), "cat")
	c := &container{cmd: exec.Command(words[0], words[1:]...)}
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // Ctrl-C is for this program alone
	c.cmd.Stderr = &c.said
	c.cmd.WaitDelay = 10 * time.Second // if a process stays behind that holds standard error
	in, noIn := c.cmd.StdinPipe()
	out, noOut := c.cmd.StdoutPipe()
	if err := cmp.Or(noIn, noOut, c.cmd.Start()); err != nil {
		return nil, err
	}
	c.in = in
	_, err := io.WriteString(in, "are you there?\n")
	if err == nil {
		_, err = bufio.NewReader(out).ReadString('\n')
	}
	if err != nil {
		in.Close()
		return nil, cmp.Or(c.wait(), err)
	}
	return c, nil
}

// wait waits for a container to end. If it fails, the error has the last line that it printed.
func (c *container) wait() error {
	if err := c.cmd.Wait(); err != nil {
		return fmt.Errorf("%w: %s", err, lastLine(c.said.String()))
	}
	return nil
}

// failures returns how many containers failed, and the first one's error.
func failures(errs []error) error {
	failed := slices.DeleteFunc(slices.Clone(errs), func(err error) bool { return err == nil })
	if len(failed) == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d: %w", len(failed), len(errs), failed[0])
}

// collision fails if two links on the host's side have the same address: then two containers have
// got the same network.
func collision(addresses []net.Addr) error {
	seen := map[string]bool{}
	for _, address := range addresses {
		if seen[address.String()] {
			return fmt.Errorf("collision: two links have the address %s", address)
		}
		seen[address.String()] = true
	}
	return nil
}

// weigh notes how many processes supervise a container, and the memory that they hold: their
// proportional set size in kB, in which a page shared by n processes counts as one nth of a page
// (proc_pid_smaps(5)).
func (s *system) weigh(running []*container) error {
	if _, err := os.Stat("/proc/thread-self/children"); err != nil {
		return err // a kernel without CONFIG_PROC_CHILDREN
	}
	count, kB := 0, 0
	for _, c := range running {
		for _, pid := range supervisors(c.cmd.Process.Pid) {
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
			if err != nil {
				continue // it has just ended
			}
			pss := 0
			_, line, _ := strings.Cut(string(text), "\nPss:")
			if _, err := fmt.Sscan(line, &pss); err != nil {
				return fmt.Errorf("memory (PSS) of process %d: %w", pid, err)
			}
			count++
			kB += pss
		}
	}
	s.note("processes", float64(count)/float64(len(running)))
	s.note("memory", float64(kB)/float64(len(running)))
	return nil
}

// supervisors returns a process and its descendants, except cat, which is the container's command.
// The kernel lists a child with the thread that started it (proc_pid_task(5)).
func supervisors(pid int) (pids []int) {
	name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if string(name) != "cat\n" {
		pids = []int{pid}
	}
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		children, _ := os.ReadFile(list)
		for _, word := range strings.Fields(string(children)) {
			child, _ := strconv.Atoi(word)
			pids = append(pids, supervisors(child)...)
		}
	}
	return pids
}
