//go:build linux

// The tests, and the leak test, as programs.

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// buildTests compiles the tests of each step for an architecture, into scratch/STEP.test, and
// returns the names of the steps. A step's tests are the step's program as well (TestMain), and so
// that is all there is to build.
func (v *vm) buildTests(root, scratch, arch string) ([]string, error) {
	dirs, err := filepath.Glob(filepath.Join(root, "[0-9][0-9]-*"))
	if err != nil {
		return nil, err
	}
	var steps []string
	for _, dir := range dirs {
		if err := v.ctx.Err(); err != nil {
			return nil, err
		}
		step := filepath.Base(dir)
		if v.step != "" && v.step != step && !strings.HasPrefix(step, v.step+"-") {
			continue
		}
		// Without symbols they are half the size. There is no C in them.
		cmd := exec.CommandContext(v.ctx, "go", "test", "-c", "-ldflags=-s -w",
			"-o", filepath.Join(scratch, step+".test"), "./"+step)
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
		if err := runGo(cmd); err != nil {
			return nil, err
		}
		steps = append(steps, step)
	}
	if len(steps) == 0 {
		return nil, fmt.Errorf("there is no step %s in %s", v.step, root)
	}
	return steps, nil
}

// leakTest is the name of the leak test where that of a step is wanted.
const leakTest = "leaks"

// buildLeaks compiles what scripts/leaks.sh does for an architecture, into the directory leaks in
// scratch, and returns the only name in place of those of steps.
func (v *vm) buildLeaks(root, scratch, arch string) ([]string, error) {
	dirs, err := filepath.Glob(filepath.Join(root, "[0-9][0-9]-*"))
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(v.ctx, "go", "build", "-buildvcs=false", "-ldflags=-s -w",
		"-o", filepath.Join(scratch, leakTest)+"/", "./scripts/leaks", "./scripts/leaktest")
	for _, dir := range dirs {
		cmd.Args = append(cmd.Args, "./"+filepath.Base(dir))
	}
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	return []string{leakTest}, runGo(cmd)
}

// runGo runs a command of go. The error has what it said, if it fails.
func runGo(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}
