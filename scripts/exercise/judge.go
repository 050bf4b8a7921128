//go:build linux

// The judge: it attacks your container, and says what was tried, what came back, what that means.

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// attack is one thing that the judge tries on a container. It never looks at your code.
type attack struct {
	name  string // for the table of exercises
	tried string // what is tried, for the reader
	try   func(h *host) verdict
	leak  string // what it means if it got through, or doesn't work
}

// outcome is what came of an attack.
type outcome string

// The outcomes, as they are printed.
const (
	held    outcome = "held"   // refused, as it should be; or it works, as it should
	leaked  outcome = "LEAK"   // it got through
	failed  outcome = "FAILED" // your program doesn't do what it should
	missing outcome = "can't"  // this host can't show it
)

// verdict is an outcome, what your program answered, and, where it differs from the attack's own
// text, what that means.
type verdict struct {
	outcome
	came  string
	means string
}

// Exit statuses of the judge, and of this program.
const (
	statusHeld = iota
	statusLeak
	statusUsage
	statusBroken  // the first attack that failed says "couldn't be built": see control
	statusStopped // it used up too much
	statusTrouble // the judge couldn't work
	statusCant
)

// secret is what a file of the host says that no container should be able to read.
const secret = "this is a file of the host"

// host is the judge's view of the host that it plays.
type host struct {
	program string // yours, built
	dir     string // a directory of the host; the secret is in it
	step    string
}

// answer is what a run of your program printed, and how it ended.
type answer struct {
	out, err string
	status   int
	late     bool // it didn't end, and was killed
	flood    bool // it printed more than maxOutput
}

// maxOutput is how much of what your program prints the judge reads, in bytes.
const maxOutput = 1 << 20

// output is what it has read; tooMuch ends the program.
type output struct {
	text    bytes.Buffer
	flood   bool
	tooMuch func()
}

// Write keeps what is printed, up to maxOutput.
func (o *output) Write(text []byte) (int, error) {
	if o.text.Len()+len(text) > maxOutput {
		o.flood = true
		o.tooMuch()
		return len(text), nil
	}
	return o.text.Write(text)
}

// beJudge runs in the namespaces that play the host: it tries the attacks by their names, one
// after the other, and prints what came of them. Those behind "also" are only mentioned if they
// get through.
func beJudge(args []string) int {
	if os.Getppid() != 1 {
		return trouble("started as %q, and not by PID 1 of new namespaces", judgeName)
	}
	h := &host{step: args[0], program: args[1]}
	if err := h.plant(); err != nil {
		return trouble("make a directory of the host: %v", err)
	}
	worst, also, heldToo := statusHeld, false, 0
	for _, name := range args[2:] {
		if name == "also" {
			if worst != statusHeld {
				return worst
			}
			also = true
			continue
		}
		a := findAttack(name)
		v := a.attempt(h)
		if also && v.outcome == held {
			heldToo++
			continue
		}
		if v.means == "" && v.outcome != held && v.outcome != missing {
			v.means = a.leak
		}
		if v.means == "" && v.outcome == held {
			v.means = "the attack failed"
		}
		v.print(a.tried)
		switch {
		case v.outcome == missing && worst == statusHeld: // what leaked may have broken the host
			worst = statusCant
		case v.outcome == missing:
		case v.outcome == failed && worst == statusHeld:
			worst = statusBroken
		case v.outcome != held:
			worst = statusLeak
		}
	}
	if heldToo > 0 {
		say("held", "and so did %d other attacks on this step", heldToo)
	}
	return worst
}

// plant makes a directory of the host with the secret in it. It isn't in /tmp, which the steps
// cover while they build their root.
func (h *host) plant() error {
	for _, dir := range []string{"/srv", "/mnt", "/opt", "/media", "/var/tmp"} {
		info, err := os.Stat(dir)
		if err != nil || !info.IsDir() || strings.HasPrefix(h.program, dir+"/") {
			continue
		}
		if err := unix.Mount("none", dir, "tmpfs", 0, "size=16m,mode=755"); err != nil {
			return fmt.Errorf("mount tmpfs on %s: %w", dir, err)
		}
		h.dir = dir + "/host"
		return errors.Join(os.Mkdir(h.dir, 0o755),
			os.WriteFile(h.dir+"/secret", []byte(secret+"\n"), 0o644))
	}
	return errors.New("none of /srv, /mnt, /opt, /media and /var/tmp is there")
}

// print prints a verdict.
func (v verdict) print(tried string) {
	say("tried", "%s", tried)
	say("came back", "%s", v.came)
	say(string(v.outcome), "%s", v.means)
}

// run is how a program is to be started.
type run struct {
	stdin  *os.File
	stdout *os.File   // rather than into the answer
	files  []*os.File // descriptors 3 and up
	env    []string
	flags  []string // of your program
	name   string   // argv[0]
	limit  time.Duration
}

// start starts your program with a command; done waits for it.
func (h *host) start(r run, command ...string) (cmd *exec.Cmd, done func() answer) {
	limit := r.limit
	if limit == 0 {
		limit = 15 * time.Second
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	cmd = exec.CommandContext(ctx, h.program, command...)
	if r.name != "" {
		cmd.Args[0] = r.name
	}
	stdout, stderr := output{tooMuch: cancel}, output{tooMuch: cancel}
	cmd.Stdout, cmd.Stderr, cmd.Dir = &stdout, &stderr, h.dir
	if r.stdout != nil {
		cmd.Stdout = r.stdout
	}
	if r.stdin != nil {
		cmd.Stdin = r.stdin
	}
	cmd.ExtraFiles, cmd.Env = r.files, append(os.Environ(), r.env...)
	cmd.WaitDelay = 500 * time.Millisecond // for those who keep its output open
	err := cmd.Start()
	return cmd, func() answer {
		defer cancel()
		if err == nil {
			err = cmd.Wait()
		}
		a := answer{out: stdout.text.String(), err: stderr.text.String(), late: ctx.Err() != nil,
			flood: stdout.flood || stderr.flood}
		var exit *exec.ExitError
		switch {
		case errors.As(err, &exit) && exit.ExitCode() < 0:
			a.status = 128 + int(exit.Sys().(syscall.WaitStatus).Signal())
		case errors.As(err, &exit):
			a.status = exit.ExitCode()
		case err != nil && cmd.ProcessState == nil:
			a.status, a.err = 125, err.Error()
		}
		return a
	}
}

// inside runs a command in your container.
func (h *host) inside(command ...string) answer {
	_, done := h.start(run{}, command...)
	return done()
}

// probe runs one of this program's own probes in your container. It gets there by standard input.
func (h *host) probe(r run, name string, args ...string) answer {
	_, done := h.startProbe(r, name, args...)
	return done()
}

// startProbe starts a probe; done waits for it.
func (h *host) startProbe(r run, name string, args ...string) (*exec.Cmd, func() answer) {
	self, err := os.Open("/proc/self/exe")
	hostNeeds(err)
	r.stdin = self
	// 125, as for a container that wasn't built: an attack that can't start hasn't failed.
	const script = `cat >/tmp/probe && chmod 700 /tmp/probe && [ -x /tmp/probe ] ||
		{ echo "/tmp/probe can't be executed" >&2; exit 125; }
		exec /tmp/probe "$@"`
	command := append(r.flags, "sh", "-c", script, "sh", probeFlag, name)
	cmd, done := h.start(r, append(command, args...)...)
	self.Close()
	return cmd, done
}

// crashed finds what Go's runtime says first when it gives up.
var crashed = regexp.MustCompile(`(?m)^(panic|fatal error|runtime): .*`)

// noThreads is how Go's runtime crashes after unshare(CLONE_NEWPID); 22 is EINVAL.
var noThreads = regexp.MustCompile(`failed to create new OS thread .*errno=22`)

// said is the last thing that was printed: on standard output, or else as an error.
func (a answer) said() string {
	for _, text := range []string{a.out, a.err} {
		if crash := crashed.FindString(text); crash != "" {
			text = crash // what follows is a stack
		}
		lines := strings.Split(strings.TrimSpace(text), "\n")
		if last := lines[len(lines)-1]; last != "" {
			return strconv.QuoteToGraphic(last[:min(len(last), 300)])
		}
	}
	return fmt.Sprintf("nothing, exit status %d", a.status)
}

// broken is the verdict on a container that couldn't be built, or that doesn't end; ok is false if
// there is nothing of that kind to say.
func (a answer) broken() (v verdict, ok bool) {
	switch {
	case a.flood:
		return verdict{failed, fmt.Sprintf("more than %d bytes of output", maxOutput), "Your " +
			"program prints without end."}, true
	case a.late:
		return verdict{failed, "nothing: it was still running and had to be killed", "Your " +
			"program hangs. Something in it waits for what never comes."}, true
	case crashed.MatchString(a.err):
		a.out = ""
		means := "Your program crashed."
		if noThreads.MatchString(a.err) {
			means += " It has called unshare(2) with CLONE_NEWPID, which leaves it in its old " +
				"PID namespace, and from then on the kernel refuses it new threads (clone(2), " +
				"EINVAL). Go needs some. Which call makes a process in a new PID namespace?"
		}
		return verdict{failed, a.said(), means}, true
	case a.status == 125:
		a.out = ""
		return verdict{outcome: failed, came: a.said()}, true
	}
	return v, false
}

// leaksIf is the verdict on an attack: it got through if got.
func (a answer) leaksIf(got bool) verdict {
	if got {
		return verdict{outcome: leaked, came: a.said()}
	}
	if v, ok := a.broken(); ok {
		return v.otherwise("Your program ran nothing. That is safe, and no container: see what " +
			"it says itself.")
	}
	return verdict{outcome: held, came: a.said()}
}

// worksIf is the verdict on something that should work: it does if ok.
func (a answer) worksIf(ok bool) verdict {
	if v, broken := a.broken(); broken {
		return v
	}
	if !ok {
		return verdict{outcome: failed, came: a.said()}
	}
	return verdict{outcome: held, came: a.said()}
}

// otherwise gives a verdict that isn't "held" a text of its own.
func (v verdict) otherwise(format string, args ...any) verdict {
	if v.outcome != held && v.means == "" {
		v.means = fmt.Sprintf(format, args...)
	}
	return v
}

// process is a process, as /proc has it.
type process struct {
	pid, parent string
	name        string
	zombie      bool
}

// processes lists the processes that a /proc shows.
func processes(proc string) (all []process) {
	stats, _ := filepath.Glob(proc + "/[0-9]*/stat") // the pattern is right
	for _, stat := range stats {
		text, err := os.ReadFile(stat)
		before, after, found := bytes.Cut(text, []byte(" ("))
		end := bytes.LastIndexByte(after, ')')
		if err != nil || !found || end < 0 {
			continue // it has ended since
		}
		fields := strings.Fields(string(after[end+1:]))
		all = append(all, process{string(before), fields[1], string(after[:end]), fields[0] == "Z"})
	}
	return all
}

// eventually waits up to a time for something to be so.
func eventually(limit time.Duration, so func() bool) bool {
	for end := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
		if so() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

// lacking is why an attack can't be tried.
type lacking struct{ error }

// hostNeeds ends an attack if this host lacks what every host has.
func hostNeeds(err error) {
	if err != nil {
		panic(lacking{err})
	}
}

// attempt tries an attack.
func (a attack) attempt(h *host) (v verdict) {
	defer func() {
		if reason := recover(); reason != nil {
			v = verdict{missing, reason.(lacking).Error(), ""}
		}
	}()
	return a.try(h)
}

// sleepers lists the processes that sleep for a given time.
func sleepers(arg string) (pids []string) {
	for _, p := range processes("/proc") {
		text, _ := os.ReadFile("/proc/" + p.pid + "/cmdline") // it may have ended
		if p.name == "sleep" && strings.HasSuffix(string(text), "\x00"+arg+"\x00") {
			pids = append(pids, p.pid)
		}
	}
	return pids
}

// sleeper starts a process of the host, and returns its PID and what ends it.
func sleeper() (cmd *exec.Cmd, end func()) {
	cmd = exec.Command("sleep", "60")
	hostNeeds(cmd.Start())
	return cmd, func() {
		_ = cmd.Process.Signal(unix.SIGKILL) // unless your program did it
		_ = cmd.Wait()
	}
}
