//go:build linux

// What a probe is, and how all of them are run: each in a process of its own, since some change
// what they run in (its root, its mounts), and some may be killed.

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// probe is one attack or peek.
type probe struct {
	Name   string `json:"name"`
	Area   string `json:"area"`
	Leaks  string `json:"leaks"`  // what "leaks" means
	Closed string `json:"closed"` // the step that closes it
	See    string `json:"see"`    // manual page or CVE
	try    func(f *facts) result
}

// The verdicts.
const (
	held   = "held"
	leaks  = "leaks"
	na     = "n/a"
	trying = "trying" // not a verdict yet: how far a probe got that may end the whole container
)

// result is what a probe found.
type result struct {
	Name     string `json:"name"`
	Verdict  string `json:"verdict"`
	Evidence string `json:"evidence"`
}

// patience is how long a probe may take before it is given up.
const patience = 30 * time.Second

// isHeld makes a result of what has kept an attack from its aim.
func isHeld(format string, a ...any) result { return result{"", held, fmt.Sprintf(format, a...)} }

// isLeak makes a result of what an attack has reached.
func isLeak(format string, a ...any) result { return result{"", leaks, fmt.Sprintf(format, a...)} }

// cannot makes a result of why an attack could not be tried.
func cannot(format string, a ...any) result { return result{"", na, fmt.Sprintf(format, a...)} }

// gate judges a system call by its errno where the arguments are such that nothing can come of it.
// The kernel first asks who calls; any answer but "not permitted" means that it went on.
func gate(call string, err error) result {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return isHeld("%s: %s", call, errno(err))
	case errors.Is(err, unix.ENOSYS) && filtered():
		return isHeld("%s: ENOSYS, with a seccomp filter", call)
	case errors.Is(err, unix.ENOSYS):
		return cannot("%s: this kernel has no such call", call)
	case err == nil:
		return isLeak("%s: allowed", call)
	}
	return isLeak("%s: %s, so who calls was no question", call, errno(err))
}

// errno returns the name of the errno in an error, such as EPERM, or all of its text.
func errno(err error) string {
	var number unix.Errno
	if errors.As(err, &number) {
		return unix.ErrnoName(number)
	}
	return fmt.Sprint(err)
}

// call makes a raw system call and drops its result. Convert a pointer in the argument list, as
// uintptr(unsafe.Pointer(&x)): uintptrescapes then puts x on the heap. On the stack, x could move
// when call makes the stack grow, and the kernel would write to its old place.
//
//go:uintptrescapes
func call(number uintptr, a ...uintptr) error {
	var args [6]uintptr
	copy(args[:], a)
	_, _, failed := unix.Syscall6(number, args[0], args[1], args[2], args[3], args[4], args[5])
	if failed != 0 {
		return failed
	}
	return nil
}

// filtered reports whether a seccomp filter is on (prctl(2)).
func filtered() bool {
	mode, err := unix.PrctlRetInt(unix.PR_GET_SECCOMP, 0, 0, 0, 0)
	return err == nil && mode == unix.SECCOMP_MODE_FILTER
}

// inside runs all probes, or those named, and prints a line of JSON for each: as it comes, so that
// what one of them breaks doesn't take along the others.
func inside(args []string) error {
	if len(args) == 0 {
		return errors.New("inside: no facts about the host")
	}
	if _, err := parseFacts(args[0]); err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	for _, p := range probes() {
		if len(args) > 1 && !slices.Contains(args[1:], p.Name) {
			continue
		}
		found := run(p.Name, args[0], func(progress result) { _ = out.Encode(progress) })
		if err := out.Encode(found); err != nil {
			return err
		}
	}
	return nil
}

// run runs one probe in a process of its own. (Not by /proc/self/exe: there may be no /proc.)
func run(name, told string, progress func(result)) result {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "probe", name, told)
	cmd.Stdin, cmd.Stderr = os.Stdin, os.Stderr // which may be the host's terminal: see tiocsti
	cmd.WaitDelay = time.Second
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return result{name, na, "start the probe: " + err.Error()}
	}
	last := result{Verdict: na, Evidence: "the probe said nothing"}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if json.Unmarshal(lines.Bytes(), &last) == nil && last.Verdict == trying {
			last.Name = name
			progress(last)
		}
	}
	_, _ = io.Copy(io.Discard, out)
	err = cmd.Wait()
	last.Name = name
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return result{name, na, fmt.Sprintf("no answer in %v", patience)}
	case last.Verdict == held || last.Verdict == leaks:
		return last
	case errors.As(err, &exit):
		return died(last, exit)
	}
	return last
}

// died judges a probe that was ended before it had an answer.
func died(last result, exit *exec.ExitError) result {
	switch state := exit.ProcessState.String(); {
	case last.Verdict == trying && state == "signal: killed":
		return result{last.Name, held, "killed by the kernel: " + last.Evidence}
	case state == "signal: bad system call", state == "signal: bad system call (core dumped)":
		return result{last.Name, held, "ended by a seccomp filter (SIGSYS)"}
	default:
		return result{last.Name, na, "the probe ended: " + state}
	}
}

// probeAlone is the process of one probe.
func probeAlone(args []string) error {
	if len(args) != 2 {
		return errors.New("probe: which, and with what facts?")
	}
	f, err := parseFacts(args[1])
	if err != nil {
		return err
	}
	for _, p := range probes() {
		if p.Name == args[0] {
			found := p.try(f)
			found.Name = p.Name
			return json.NewEncoder(os.Stdout).Encode(found)
		}
	}
	return fmt.Errorf("there is no probe %q", args[0])
}
