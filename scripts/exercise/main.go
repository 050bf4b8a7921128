//go:build linux

// Exercise gives you a step with something missing, and judges what you make of it.
//
// The exercises are in table.go; what is tried on your container is in attack_*.go. The judge looks
// at what your program does, never at its code. It runs in namespaces that play the host
// (contain.go), so a broken container doesn't reach yours. Only hints look at your code.
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// usage is what -h prints.
const usage = `usage: scripts/exercise.sh [COMMAND]

Exercises that check themselves. You get a copy of a step with something missing, and repair it.

  list                 lists all exercises (as does no COMMAND)
  start N              copies exercise N, such as 02-1, to _exercise/N, and shows what is wrong
  check [N]            builds your copy, attacks it, and says what came back and what that means
  watch [N]            does the same after every save, until Ctrl-C
  hint [N]             looks at your code and gives a hint, which says more each time
  solution [N]         shows the difference between your copy and our fix, and explains the fix
  reset [N]            starts over; your files are kept in _exercise/N/.before-reset

N defaults to the exercise whose directory you are in, or the one that you worked on last.
start -dir DIR N copies to DIR instead.

Exit status: 0; 1 if your container doesn't hold; 2 for wrong arguments; 5 if something went wrong;
6 if this machine can't show what the exercise is about.
`

// workshop is where everything is.
type workshop struct {
	ctx     context.Context
	root    string // of the repository
	scratch string // for what is built
}

// main tells apart the ways in which this program is started.
func main() {
	// Children die with the thread that made them (prctl(2), PR_SET_PDEATHSIG).
	runtime.LockOSThread()
	switch {
	case os.Args[0] == initName:
		os.Exit(beInit(os.Args[1:]))
	case os.Args[0] == judgeName:
		os.Exit(beJudge(os.Args[1:]))
	case len(os.Args) > 2 && os.Args[1] == probeFlag:
		os.Exit(beProbe(os.Args[2:]))
	case len(os.Args) < 3:
		os.Exit(trouble("start this by scripts/exercise.sh"))
	}
	delegated(os.Args)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM,
		syscall.SIGHUP)
	defer stop()
	w := &workshop{ctx, os.Args[1], os.Args[2]}
	status, err := w.run(os.Args[3:])
	w.giveBack()
	if err != nil { // Ctrl-C may have ended a child, and be on its way to us
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
	if ctx.Err() != nil && (err != nil || status != statusHeld) {
		status, err = 130, nil
		fmt.Fprintln(os.Stderr, "exercise.sh: interrupted; your files are as they were")
	}
	if err != nil {
		status = trouble("%v", err)
	}
	os.Exit(status)
}

// giveBack gives what root has made in _exercise to the user whose clone this is. After sudo, they
// couldn't edit it otherwise. Where that can't be done, it stays root's. A link that the user puts
// there meanwhile doesn't lead out of the clone (os.Root).
func (w *workshop) giveBack() {
	info, err := os.Stat(w.root)
	if err != nil || os.Getuid() != 0 {
		return
	}
	clone, err := os.OpenRoot(w.root)
	if err != nil {
		return
	}
	defer clone.Close()
	owner := info.Sys().(*syscall.Stat_t)
	_ = fs.WalkDir(clone.FS(), "_exercise", func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, clone.Lchown(path, int(owner.Uid), int(owner.Gid)))
	})
}

// run does what the command line says.
func (w *workshop) run(args []string) (int, error) {
	if len(args) == 0 {
		args = []string{"list"}
	}
	command, args := args[0], args[1:]
	dir := ""
	if command == "start" && len(args) > 1 && args[0] == "-dir" {
		dir, args = args[1], args[2:]
	}
	id := ""
	if len(args) > 0 {
		id = args[0]
	}
	do := map[string]func(*exercise, *attempt) (int, error){
		"check": w.check, "watch": w.watch, "hint": w.hint, "solution": w.solution,
		"reset": w.reset,
	}[command]
	switch {
	case strings.TrimLeft(command, "-") == "h", strings.TrimLeft(command, "-") == "help":
		fmt.Print(usage)
		return statusHeld, nil
	case len(args) > 1 || command == "start" && id == "" || command == "list" && id != "":
		return w.refuse("wrong number of arguments")
	case command == "list":
		return statusHeld, w.list()
	case command == "start":
		e, err := findExercise(id)
		if err != nil {
			return 0, err
		}
		return w.start(e, dir)
	case do == nil:
		return w.refuse("there is no command " + command)
	}
	c, err := w.find(id)
	if err != nil {
		return 0, err
	}
	e, err := findExercise(c.ID)
	if err != nil {
		return 0, err
	}
	return do(e, c)
}

// refuse says what is wrong with the command line.
func (w *workshop) refuse(why string) (int, error) {
	fmt.Fprintf(os.Stderr, "exercise.sh: %s\n\n%s", why, usage)
	return statusUsage, nil
}

// findExercise returns an exercise by its number.
func findExercise(id string) (*exercise, error) {
	for i := range exercises {
		if exercises[i].id == id {
			return &exercises[i], nil
		}
	}
	return nil, fmt.Errorf("there is no exercise %q: scripts/exercise.sh lists them", id)
}

// list prints all exercises.
func (w *workshop) list() error {
	step := ""
	for _, e := range exercises {
		if e.step != step {
			step = e.step
			fmt.Printf("\n%s\n", step)
		}
		state := "open"
		if c, err := readCopy(filepath.Join(w.root, "_exercise", e.id)); err == nil {
			state = "started"
			if c.Done {
				state = "done"
			}
		}
		fmt.Printf("  %-5s  %2d min  %-8s %s\n", e.id, e.minutes, state, e.shownTitle())
	}
	fmt.Print("\nscripts/exercise.sh start N begins one, such as 02-1; -h says more.\n")
	return nil
}

// runsHere returns an error if the machine lacks what an exercise is about.
func (e *exercise) runsHere() error {
	if e.v2 == "" || hasMemory(cgroupTop) {
		return nil
	}
	return fmt.Errorf("%s needs cgroup v2, and memory is in v1 here: %s", e.id, e.v2)
}

// start makes the copy of an exercise, and shows what is wrong with it.
func (w *workshop) start(e *exercise, dir string) (int, error) {
	if err := e.runsHere(); err != nil {
		return 0, err
	}
	inRepo := dir == ""
	if inRepo {
		dir = filepath.Join(w.root, "_exercise", e.id)
	}
	if _, err := os.Lstat(dir); err == nil {
		return 0, fmt.Errorf("%s is there already: go on with it, or begin again by "+
			"scripts/exercise.sh reset %s", w.short(dir), e.id)
	}
	if err := w.makeCopy(e, dir, inRepo); err != nil {
		return 0, fmt.Errorf("copy the step: %w", err)
	}
	c, err := readCopy(dir)
	if err != nil {
		return 0, err
	}
	say(e.id, "%s (%s, about %d minutes)", e.title, e.step, e.minutes)
	say("files", "%s", w.short(dir))
	say("task", "%s", e.task)
	fmt.Println()
	say("now", "This is what the judge says before you have changed anything:")
	status, err := w.judge(e, c, false)
	if err != nil || status == statusTrouble || status == statusCant {
		return status, err
	}
	fmt.Println()
	command, program := "scripts/exercise.sh", "./"+w.short(dir)
	if inRepo {
		say("next", "Edit %s, and type one of these:", w.short(dir))
	} else {
		command, program = filepath.Join(w.root, command), "."
		say("next", "Go to %s, edit it, and type one of these there:", dir)
	}
	say("", "go run %s sh", program)
	for _, what := range []string{"check", "watch", "hint"} {
		say("", "%s %s", command, what)
	}
	return statusHeld, nil
}

// makeCopy copies a step with the edits of an exercise, so that the directory is whole or isn't
// there.
func (w *workshop) makeCopy(e *exercise, dir string, inRepo bool) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp) // nothing is mounted there, and after Rename it is gone
	if err = os.Chmod(tmp, 0o755); err == nil {
		err = copyStep(filepath.Join(w.root, e.step), tmp, e.start)
	}
	if err == nil && !inRepo {
		err = w.ownModule(tmp)
	}
	if err == nil {
		err = (&attempt{ID: e.id, dir: tmp}).save()
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp, dir)
}

// ownModule makes a directory outside of the repository a module with the same requirements.
func (w *workshop) ownModule(dir string) error {
	mod, err := os.ReadFile(filepath.Join(w.root, "go.mod"))
	if err != nil {
		return err
	}
	sum, err := os.ReadFile(filepath.Join(w.root, "go.sum"))
	if err != nil {
		return err
	}
	vendor := filepath.Join(w.root, "vendor") // where there is no network
	if _, err := os.Stat(vendor); err == nil {
		if err := os.Symlink(vendor, filepath.Join(dir, "vendor")); err != nil {
			return err
		}
	}
	text := strings.Replace(string(mod), "module jail-to-container", "module exercise", 1)
	return errors.Join(os.WriteFile(filepath.Join(dir, "go.mod"), []byte(text), 0o644),
		os.WriteFile(filepath.Join(dir, "go.sum"), sum, 0o644))
}

// check judges a copy with all attacks on the step.
func (w *workshop) check(e *exercise, c *attempt) (int, error) {
	if err := e.runsHere(); err != nil {
		return 0, err
	}
	say(e.id, "%s (%s)", e.title, w.short(c.dir))
	status, err := w.judge(e, c, true)
	if err != nil {
		return status, err
	}
	if done := status == statusHeld; done != c.Done {
		c.Done = done
		if err := c.save(); err != nil {
			return 0, err
		}
	}
	switch status {
	case statusHeld:
		fmt.Println()
		next := "scripts/exercise.sh list"
		for i := len(exercises) - 1; exercises[i].id != e.id; i-- {
			if exercises[i].runsHere() == nil {
				next = "scripts/exercise.sh start " + exercises[i].id
			}
		}
		say("done", "%s holds. Compare it with our fix, or go on:", e.id)
		say("", "scripts/exercise.sh solution")
		say("", "%s", next)
	case statusLeak, statusBroken, statusStopped:
		status = statusLeak
		fmt.Println()
		say("next", "scripts/exercise.sh hint")
	}
	return status, nil
}

// watch checks after every save.
func (w *workshop) watch(e *exercise, c *attempt) (int, error) {
	last := ""
	for w.ctx.Err() == nil {
		now, err := c.fingerprint()
		if err != nil {
			return 0, err
		}
		if now != last {
			last = now
			fmt.Printf("\n---- %s\n", time.Now().Format("15:04:05"))
			if _, err := w.check(e, c); err != nil && w.ctx.Err() == nil {
				return 0, err
			}
		}
		select {
		case <-w.ctx.Done():
		case <-time.After(300 * time.Millisecond):
		}
	}
	return statusHeld, nil
}

// judge builds a copy and has it judged, by the exercise's own attacks and, if all, by those on
// the whole step.
func (w *workshop) judge(e *exercise, c *attempt, all bool) (int, error) {
	program := filepath.Join(w.scratch, "step")
	if out, err := w.build(c.dir, program); err != nil {
		if out == "" {
			return 0, err
		}
		say(string(failed), "It doesn't compile:")
		fmt.Print(out)
		return statusLeak, nil
	}
	attacks := e.attacks
	if all {
		attacks = append(append([]string{}, attacks...), "also")
		attacks = append(attacks, e.others()...)
	}
	status, out, err := w.contained(e, program, attacks)
	if err != nil || w.ctx.Err() != nil {
		return statusTrouble, err
	}
	if status == statusBroken {
		// Is it your program, or this machine? The step as it is in the repository is the control.
		reference := filepath.Join(w.scratch, "reference")
		if _, err := w.build(filepath.Join(w.root, e.step), reference); err != nil {
			return 0, err
		}
		control := e.attacks
		if e.build { // the step doesn't do yet what those ask for
			control = []string{"starts"}
		}
		if status, said, err := w.contained(e, reference, control); err != nil {
			return 0, err
		} else if status != statusHeld {
			fmt.Print(said)
			say(string(missing), "This was the repository's own %s: it doesn't work here either, "+
				"so it isn't your code. scripts/doctor.sh says what this machine lacks.", e.step)
			if os.Geteuid() != 0 {
				say("", "It may work as root:")
				say("", `sudo env "PATH=$PATH" scripts/exercise.sh check %s`, e.id)
			}
			return statusCant, nil
		}
	}
	fmt.Print(out)
	return status, nil
}

// build builds a directory's program. If it doesn't compile, it returns what the compiler says.
func (w *workshop) build(dir, program string) (string, error) {
	cmd := exec.CommandContext(w.ctx, "go", "build", "-buildvcs=false", "-o", program, ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOTMPDIR="+w.scratch)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it cleans up
	out, err := cmd.CombinedOutput()
	text := ""
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, "# ") { // the package's name
			text += strings.Replace(line, "./", w.short(dir)+"/", 1)
		}
	}
	if err != nil {
		err = fmt.Errorf("go build: %w", err)
		if !strings.Contains(text, ".go:") && !strings.Contains(text, "undeclared") {
			// It isn't the code: no HOME, no disk, no modules.
			return "", fmt.Errorf("%w: %s", err, strings.Join(strings.Fields(text), " "))
		}
	}
	return text, err
}

// contained has a program judged, and returns what the judge prints.
func (w *workshop) contained(e *exercise, program string, attacks []string) (int, string, error) {
	before := cgroupsOf(e.step)
	defer removeCgroups(e.step, before)
	var room *os.File
	if dir := makeRoom(e.step); dir != "" {
		defer removeRoom(dir)
		var err error
		if room, err = os.Open(dir); err != nil {
			return 0, "", err
		}
		defer room.Close()
	}
	cmd, err := contain(w.ctx, room, append([]string{e.step, program}, attacks...)...)
	if err != nil {
		return 0, "", err
	}
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 0, "", fmt.Errorf("make namespaces for your program: %w (scripts/doctor.sh says "+
			"why)",
			err)
	}
	status := cmd.ProcessState.ExitCode()
	// Go's runtime ends a program that panics with 2, which the judge doesn't otherwise.
	if status == statusTrouble || status == statusUsage || status < 0 || status > statusCant {
		return 0, "", fmt.Errorf("the judge ended with %v: "+
			"%s", err, strings.TrimSpace(errs.String()))
	}
	return status, out.String(), nil
}

// short is a path as a reader would type it.
func (w *workshop) short(path string) string {
	if here, err := os.Getwd(); err == nil {
		rel, err := filepath.Rel(here, path)
		if err == nil && !strings.HasPrefix(rel, "../..") && len(rel) < len(path) {
			return rel
		}
	}
	return path
}
