//go:build linux

// A system is started with the payload in it, and what the payload says is read with the time.

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A start and a run take no longer than this, even emulated on a busy machine; with KVM it is
// seconds.
const (
	patience    = 3 * time.Minute
	kvmPatience = 15 * time.Second
)

// system is one of the three: how it runs the payload, and what was measured.
type system struct {
	name  string
	args  func(role ...string) []string
	files []*os.File // for descriptor 3
	said  map[string][]string
}

// running is one that runs.
type running struct {
	*system
	cmd     *exec.Cmd
	in      io.WriteCloser
	lines   *bufio.Scanner
	began   time.Time
	watch   *time.Timer
	role    string
	payload string   // its name
	last    []string // what else came: the reason, when something fails
}

// names makes a different name for each payload: ps cuts them at 15 bytes.
var names = 0

// start starts the payload in a role. Once patience is over, it is killed.
func (s *system) start(patience time.Duration, role string) (*running, error) {
	names++
	name := fmt.Sprintf("vm%d-%d", os.Getpid(), names)
	args := s.args(role, name)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.ExtraFiles = s.files
	// All that we start dies with us.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = cmd.Stdout
	r := &running{system: s, cmd: cmd, in: in, began: time.Now(),
		lines: bufio.NewScanner(out), role: role, payload: name}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	r.watch = time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	return r, nil
}

// await reads on to a line of the payload's, or, for "", to the end.
func (r *running) await(want string) error {
	for r.lines.Scan() {
		line := strings.TrimSpace(r.lines.Text())
		text, ours := strings.CutPrefix(line, mark)
		if !ours {
			r.last = append(r.last, line)
			if strings.HasPrefix(line, "KVM internal error") { // and then qemu waits for a debugger
				return r.failed(want)
			}
			continue
		}
		key, value, _ := strings.Cut(text, " ")
		if key == "start" && r.role == "run" { // to hold ten, many are started at once
			r.note(key, time.Since(r.began).Seconds())
		}
		if value != "" {
			r.note(key, value)
		}
		if key == want {
			return nil
		}
	}
	if want == "" {
		return nil
	}
	return r.failed(want)
}

// note keeps a value.
func (s *system) note(key string, value any) {
	if s.said == nil {
		s.said = map[string][]string{}
	}
	s.said[key] = append(s.said[key], fmt.Sprint(value))
}

// failed ends what runs, and says why it didn't get as far as that.
func (r *running) failed(want string) error {
	hung := !r.watch.Stop()
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
	panicked := func(line string) bool { return strings.Contains(line, "Kernel panic") }
	if i := slices.IndexFunc(r.last, panicked); i >= 0 {
		r.last = r.last[i : i+1]
	}
	r.last = r.last[max(0, len(r.last)-5):]
	why := fmt.Sprintf("%s ended (%v)", r.cmd.Args[0], r.cmd.ProcessState)
	if hung {
		why = fmt.Sprintf("%s hung, and was killed", r.cmd.Args[0])
	}
	return errors.New(strings.Join(append([]string{
		fmt.Sprintf("the payload didn't say %q: %s", want, why)}, r.last...), "\n    "))
}

// run runs the payload once, to its end.
func (s *system) run(patience time.Duration) error {
	r, err := s.start(patience, "run")
	if err == nil {
		err = r.await("calls")
	}
	if err != nil {
		return err
	}
	_ = r.await("") // the rest
	r.in.Close()
	if err := r.cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w", r.cmd.Args[0], err)
	}
	r.watch.Stop()
	r.note("end", time.Since(r.began).Seconds())
	return nil
}

// median returns the value in the middle, and whether there is one.
func (s *system) median(key string) (float64, bool) {
	var values []float64
	for _, text := range s.said[key] {
		if value, err := strconv.ParseFloat(text, 64); err == nil {
			values = append(values, value)
		}
	}
	if len(values) == 0 {
		return 0, false
	}
	slices.Sort(values)
	half := len(values) / 2
	return (values[half] + values[(len(values)-1)/2]) / 2, true
}
