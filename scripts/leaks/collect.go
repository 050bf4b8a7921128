//go:build linux

// How a column is made: leaktest is run in the system, and its lines are read as they come.

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// seenByHost ends the name of a line that comes from leaktest's part on the host.
const seenByHost = ", seen by the host"

// runName is in the names of what leaktest makes on the host in this run.
var runName = fmt.Sprintf("%d-%x-", os.Getpid(), time.Now().UnixNano())

// patience is how long one system may take for all.
const patience = 3 * time.Minute

// result is a line of leaktest.
type result struct {
	Name     string `json:"name"`
	Verdict  string `json:"verdict"`
	Evidence string `json:"evidence"`
}

// column runs all probes in a system.
func (p *place) column(ctx context.Context, s system, m *matrix) *column {
	c := &column{Name: s.name, Step: s.step, Cells: map[string]cell{}, seen: map[string]result{}}
	p.current = s.name
	way, err := s.start(p)
	if err != nil {
		c.Failed = oneLine(err.Error())
		return c
	}
	c.Version = way.version
	if after := way.after; after != nil {
		defer func() { _ = after() }() // its failure is seen in the comparison of the host
	}
	for ; way != nil; way = way.or {
		c.Note = way.note
		failed := p.try(ctx, way, m, c)
		if failed == nil {
			c.Failed = ""
			return c
		}
		if c.Failed == "" { // of several, the first is the one with the defaults
			c.Failed = oneLine(failed.Error())
		}
	}
	return c
}

// try runs leaktest in one way. It is an error if not a single probe has answered.
func (p *place) try(ctx context.Context, way *start, m *matrix, c *column) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.leaktest(), append([]string{"host"}, way.args...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "TMPDIR="+p.work, "HOME="+p.home, "LEAKTEST_RUN="+runName)
	if way.piped {
		program, err := os.ReadFile(p.leaktest())
		if err != nil {
			return err
		}
		cmd.Stdin = bytes.NewReader(program) // through a pipe, which no container can walk out of
	} else {
		cmd.Stdin = strings.NewReader("")
	}
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	last, err := c.read(out)
	_, _ = io.Copy(io.Discard, out)
	status := cmd.Wait()
	if err == nil && len(c.Cells) == 0 {
		err = fmt.Errorf("%s (%v)", strings.TrimSpace(complaint.String()), status)
	}
	if err != nil {
		return err
	}
	c.complete(m, last, status)
	return nil
}

// read reads leaktest's lines. It returns the last one of a probe that hasn't finished.
func (c *column) read(out io.Reader) (last result, err error) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var found result
		if err := json.Unmarshal(lines.Bytes(), &found); err != nil {
			return last, fmt.Errorf("leaktest said %q: %w", oneLine(lines.Text()), err)
		}
		if name, ok := strings.CutSuffix(found.Name, seenByHost); ok {
			c.seen[name] = found
			continue
		}
		last = found
		if found.Verdict != trying {
			c.Cells[found.Name] = cell{found.Verdict, found.Evidence}
		}
	}
	return last, lines.Err()
}

// complete accounts for the probes that haven't answered. The last one tried may have ended all of
// the container: to kill everyone in it is how some limits are held (memory.oom.group).
func (c *column) complete(m *matrix, last result, status error) {
	// On a busy machine, or one with one CPU, a limit on CPU time can't be felt. Then what the host
	// sees has to do, as always with quotas of the host's.
	for name, seen := range c.seen {
		if at := c.Cells[name]; at.Verdict == na {
			c.Cells[name] = cell{seen.Verdict, at.Evidence + "; the host says: " + seen.Evidence}
		}
	}
	var exit *exec.ExitError
	killed := errors.As(status, &exit) && exit.ExitCode() == 128+int(unix.SIGKILL)
	for _, row := range m.Rows {
		if _, ok := c.Cells[row.Name]; ok {
			continue
		}
		if killed && last.Name == row.Name && last.Verdict == trying {
			c.Cells[row.Name] = cell{held, "all of the container was killed: " + last.Evidence}
			continue
		}
		c.Cells[row.Name] = cell{na, fmt.Sprintf("the container ended before (%v)", status)}
	}
}
