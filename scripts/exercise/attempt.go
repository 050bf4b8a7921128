//go:build linux

// Your copy of a step, and what is remembered about it.

package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// stateFile remembers an exercise, in its directory.
const stateFile = ".exercise"

// attempt is an exercise that was started.
type attempt struct {
	ID    string
	Done  bool   // the last check held
	Hints int    // how many were given
	Near  string `json:",omitempty"` // the last one that was about your code
	dir   string
}

// readCopy reads what is remembered in a directory.
func readCopy(dir string) (*attempt, error) {
	text, err := os.ReadFile(filepath.Join(dir, stateFile))
	if err != nil {
		return nil, err
	}
	c := &attempt{dir: dir}
	if err := json.Unmarshal(text, c); err != nil {
		return nil, fmt.Errorf("%s/%s: %w", dir, stateFile, err)
	}
	return c, nil
}

// save remembers it.
func (c *attempt) save() error {
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	// Written aside, since a full disk would leave half of it, and under a name of its own, since
	// another check may be writing, too.
	file, err := os.CreateTemp(c.dir, stateFile+"-")
	if err != nil {
		return err
	}
	_, err = file.Write(append(text, '\n'))
	err = errors.Join(err, file.Chmod(0o644), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), filepath.Join(c.dir, stateFile))
	}
	if err != nil {
		_ = os.Remove(file.Name())
	}
	return err
}

// find returns the copy of an exercise: by its number, or the one in the working directory, or the
// one that was worked on last.
func (w *workshop) find(id string) (*attempt, error) {
	here, err := readCopy(".")
	if err == nil && (id == "" || id == here.ID) {
		here.dir, err = os.Getwd()
		return here, err
	}
	// Not filepath.Glob: a "[" in the root's path would belong to the pattern.
	states, err := fs.Glob(os.DirFS(w.root), "_exercise/*/"+stateFile)
	if err != nil {
		return nil, err
	}
	var last *attempt
	newest := int64(-1)
	for _, state := range states {
		state = filepath.Join(w.root, state)
		c, err := readCopy(filepath.Dir(state))
		if err != nil {
			return nil, err
		}
		info, err := os.Stat(state)
		if err != nil {
			return nil, err
		}
		if id == c.ID || id == "" && info.ModTime().UnixNano() > newest {
			last, newest = c, info.ModTime().UnixNano()
		}
	}
	if last == nil && id == "" {
		return nil, errors.New("no exercise was started yet: scripts/exercise.sh start 02-1")
	}
	if last != nil {
		return last, nil
	}
	if _, err := findExercise(id); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("exercise %s wasn't started yet: scripts/exercise.sh start %[1]s", id)
}

// fingerprint stands for what is in the files.
func (c *attempt) fingerprint() (string, error) {
	texts, err := readSources(c.dir)
	return fingerprint(texts), err
}

// fingerprint stands for texts.
func fingerprint(texts map[string]string) string {
	text, err := json.Marshal(texts)
	if err != nil {
		panic(err) // strings can always be encoded
	}
	return fmt.Sprintf("%x", sha256.Sum256(text))
}

// startTexts returns the files of an exercise as they are at its start.
func (w *workshop) startTexts(e *exercise, edits []edit) (map[string]string, error) {
	tmp, err := os.MkdirTemp(w.scratch, "text-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	if err := copyStep(filepath.Join(w.root, e.step), tmp, edits); err != nil {
		return nil, err
	}
	return readSources(tmp)
}

// reset begins again. It makes the new files first, so if that fails, nothing has changed.
func (w *workshop) reset(e *exercise, c *attempt) (int, error) {
	yours, err := readSources(c.dir)
	if err != nil {
		return 0, err
	}
	texts, err := w.startTexts(e, e.start)
	if err != nil {
		return 0, err
	}
	c.Done, c.Hints, c.Near = false, 0, ""
	if fingerprint(yours) == fingerprint(texts) {
		say("reset", "%s is as it was at the start.", e.id)
		return statusHeld, c.save()
	}
	fresh, err := os.MkdirTemp(c.dir, ".new-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(fresh)
	for name, text := range texts {
		if err := os.WriteFile(filepath.Join(fresh, name), []byte(text), 0o644); err != nil {
			return 0, err
		}
	}
	old := filepath.Join(c.dir, ".before-reset")
	if err := errors.Join(os.RemoveAll(old), os.Mkdir(old, 0o755)); err != nil {
		return 0, err
	}
	for name := range yours {
		if err := os.Rename(filepath.Join(c.dir, name), filepath.Join(old, name)); err != nil {
			return 0, err
		}
	}
	for name := range texts {
		if err := os.Rename(filepath.Join(fresh, name), filepath.Join(c.dir, name)); err != nil {
			return 0, err
		}
	}
	say("reset", "%s is as it was at the start; your files are in %s", e.id, w.short(old))
	return statusHeld, c.save()
}

// hint gives a hint that fits your code, if it isn't the last one again, or the next of the three.
func (w *workshop) hint(e *exercise, c *attempt) (int, error) {
	if c.Done {
		say("hint", "The last check of %s held: there is nothing left to do.", e.id)
		return statusHeld, nil
	}
	yours, err := readSources(c.dir)
	if err != nil {
		return 0, err
	}
	start, err := w.startTexts(e, e.start)
	if err != nil {
		return 0, err
	}
	if fingerprint(yours) != fingerprint(start) {
		if out, err := w.build(c.dir, filepath.Join(w.scratch, "step")); err != nil && out != "" {
			say("hint", "First make it compile. The compiler says:")
			fmt.Print(out)
			return statusHeld, nil
		}
		if fits := e.fitting(yours, start, c.Near); fits != "" {
			say("hint", "%s", fits)
			c.Near = fits
			return statusHeld, c.save()
		}
	}
	last := min(c.Hints, len(e.hints)-1)
	say("hint", "%d of %d: %s", last+1, len(e.hints), e.hints[last])
	if last+1 == len(e.hints) {
		say("", "If that doesn't help: scripts/exercise.sh solution")
	}
	c.Hints = last + 1
	return statusHeld, c.save()
}

// fitting returns the first hint, other than the last one, that fits what you have written. The
// step may say the same elsewhere, so only what is new counts.
func (e *exercise) fitting(yours, start map[string]string, last string) string {
	code, before := "", ""
	for _, name := range slices.Sorted(maps.Keys(yours)) {
		if yours[name] != start[name] {
			code += withoutComments(yours[name])
			before += withoutComments(start[name])
		}
	}
	for _, n := range e.near {
		if n.say != last && strings.Count(code, n.has) > strings.Count(before, n.has) &&
			(n.lacks == "" || !strings.Contains(code, n.lacks)) {
			return n.say
		}
	}
	return ""
}

// solution shows the difference between your copy and ours.
func (w *workshop) solution(e *exercise, c *attempt) (int, error) {
	say("why", "%s", e.why)
	fmt.Println()
	solved, err := w.startTexts(e, e.solution)
	if err != nil {
		return 0, err
	}
	yours, err := readSources(c.dir)
	if err != nil {
		return 0, err
	}
	for name := range yours {
		solved[name] += "" // a file that only you have is compared with an empty one
	}
	names := []string{}
	for name := range solved {
		names = append(names, name)
	}
	slices.Sort(names)
	same := true
	for _, name := range names {
		if solved[name] == yours[name] {
			continue
		}
		same = false
		ours := filepath.Join(w.scratch, "solution.go")
		if err := os.WriteFile(ours, []byte(solved[name]), 0o644); err != nil {
			return 0, err
		}
		cmd := exec.CommandContext(w.ctx, "diff", "-u", "-N", "--label", "yours/"+name,
			"--label", "solution/"+name, filepath.Join(c.dir, name), ours)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		var exit *exec.ExitError
		if err := cmd.Run(); err != nil && !errors.As(err, &exit) { // 1 means that they differ
			return 0, err
		}
	}
	if same {
		say("same", "Your files are the solution, to the letter.")
	}
	return statusHeld, nil
}
