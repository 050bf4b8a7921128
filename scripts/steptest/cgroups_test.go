//go:build linux

package steptest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// TestSweep sweeps what a test run that is gone has left. In place of cgroups it has directories.
func TestSweep(t *testing.T) {
	defer func(was Step) { step = was }(step)
	step.Name = "07-cgroups"
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	parent := t.TempDir()
	stays := []string{
		fmt.Sprint(step.Name, "-delegated-12345-", os.Getpid()), // a test run that isn't gone
		fmt.Sprint("08-full-container-delegated-12345-", gone.Process.Pid),
		fmt.Sprint(step.Name, "-delegated-12345-x"),
	}
	goes := fmt.Sprint(step.Name, "-delegated-12345-", gone.Process.Pid, "/container/inner")
	for _, dir := range append(stays, goes) {
		if err := os.MkdirAll(filepath.Join(parent, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	sweep(parent)
	entries, err := os.ReadDir(parent)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	slices.Sort(stays)
	if !slices.Equal(names, stays) {
		t.Errorf("left: %q, want %q", names, stays)
	}
}
