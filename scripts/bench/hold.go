//go:build linux

// What a running container costs: the memory of the processes that stay for it.

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// held is what so many containers cost, for each on average.
type held struct {
	processes float64 // without the command itself
	pss       float64 // kB
}

// container is a running one, with cat as its command. Cat ends when its input does, which is at
// the latest when this program ends: so no container outlives it.
type container struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// hold has a system hold so many containers, measures, and ends them.
func hold(s *system, containers int) (h held, failed string) {
	var running []container
	defer func() {
		for _, c := range running {
			c.in.Close()
		}
		for _, c := range running {
			_ = c.cmd.Wait() // how it ends isn't what is measured
		}
	}()
	for i := range containers {
		c, err := s.start(i)
		if err != nil {
			return h, fmt.Sprintf("number %d: %v", i+1, err)
		}
		running = append(running, c)
	}
	time.Sleep(3 * time.Second) // for all that a system does once its container runs
	known, err := processes("/proc")
	if err != nil {
		return h, err.Error()
	}
	for _, c := range running {
		for _, pid := range supervisors(known, c.cmd.Process.Pid) {
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
			if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
				continue // it has just ended
			}
			if err != nil {
				return h, err.Error()
			}
			pss, err := parsePSS(string(text))
			if err != nil {
				return h, fmt.Sprintf("process %d: %v", pid, err)
			}
			h.processes++
			h.pss += float64(pss)
		}
	}
	h.processes /= float64(containers)
	h.pss /= float64(containers)
	return h, ""
}

// start starts container number i, and returns once the cat inside has answered.
func (s *system) start(i int) (c container, err error) {
	words, err := s.command(strconv.Itoa(i), "cat")
	if err != nil {
		return c, err
	}
	c.cmd = exec.Command(words[0], words[1:]...)
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // Ctrl-C is for us
	c.cmd.Stderr = os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return c, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return c, err
	}
	if err := c.cmd.Start(); err != nil {
		return c, err
	}
	c.out = bufio.NewReader(out)
	_, err = io.WriteString(c.in, "are you there?\n")
	if err == nil {
		_, err = c.out.ReadString('\n')
	}
	if err != nil {
		c.in.Close()
		return c, errors.Join(err, c.cmd.Wait())
	}
	return c, nil
}

// process is what there is to know of one.
type process struct {
	parent int
	name   string
}

// processes reads /proc (proc_pid_stat(5)).
func processes(proc string) (map[int]process, error) {
	files, err := filepath.Glob(proc + "/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	known := map[int]process{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		pid, p, err := parseStat(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		known[pid] = p
	}
	return known, nil
}

// parseStat reads number, name and parent. The name, in brackets, may have blanks and brackets in
// it.
func parseStat(text string) (pid int, p process, err error) {
	before, after, found := strings.Cut(text, " (")
	end := strings.LastIndex(after, ") ")
	if !found || end < 0 {
		return 0, p, fmt.Errorf("not understood: %q", text)
	}
	p.name = after[:end]
	var state string
	_, err = fmt.Sscan(after[end+2:], &state, &p.parent)
	if err == nil {
		pid, err = strconv.Atoi(before)
	}
	return pid, p, err
}

// supervisors lists a process and its descendants, without the command of the container.
func supervisors(known map[int]process, top int) (pids []int) {
	if p, ok := known[top]; ok && p.name != "cat" {
		pids = append(pids, top)
	}
	for pid, p := range known {
		if p.parent == top && pid != top {
			pids = append(pids, supervisors(known, pid)...)
		}
	}
	return pids
}

// parsePSS finds the "proportional set size", in kB: of a page that n processes share, each has an
// n-th (proc_pid_smaps(5)).
func parsePSS(rollup string) (int, error) {
	for line := range strings.Lines(rollup) {
		if value, found := strings.CutPrefix(line, "Pss:"); found {
			return strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
		}
	}
	return 0, errors.New("no Pss in its smaps_rollup")
}
