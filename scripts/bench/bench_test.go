//go:build linux

// The parts that measure nothing: what is run, and what is made of the numbers.

package main

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestConfigure changes what has to be the same for all, and leaves the rest.
func TestConfigure(t *testing.T) {
	text, err := configure([]byte(`{"ociVersion": "1.0.2", "process": {"terminal": true,
		"args": ["sh"], "cwd": "/"}, "root": {"path": "rootfs", "readonly": true}, "mounts": [{}],
		"linux": {"namespaces": [{"type": "pid"}], "maskedPaths": ["/proc/kcore"]}}`), "/r", "true")
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		OCIVersion string
		Process    struct {
			Terminal bool
			Args     []string
			Cwd      string
		}
		Root   struct{ Path string }
		Mounts []any
		Linux  struct {
			Namespaces  []struct{ Type string }
			MaskedPaths []string
			UIDMappings []struct{ HostID, Size int }
			Resources   struct{ Memory struct{ Limit int } }
		}
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if got.OCIVersion != "1.0.2" || got.Process.Terminal || got.Process.Cwd != "/" ||
		!slices.Equal(got.Process.Args, []string{"/bin/true"}) || got.Root.Path != "/r" ||
		len(got.Mounts) != 1 || len(got.Linux.Namespaces) != 2 ||
		got.Linux.Namespaces[1].Type != "user" || len(got.Linux.MaskedPaths) != 1 ||
		got.Linux.UIDMappings[0].HostID != 100_000 || got.Linux.Resources.Memory.Limit != 256<<20 {
		t.Errorf("%s", text)
	}
	for _, bad := range []string{"", "{}", `{"process": {}}`} {
		if _, err := configure([]byte(bad), "/r", "true"); err == nil {
			t.Errorf("%q is no config.json", bad)
		}
	}
}

// TestSupervisors leaves out the command, and other processes' supervisors.
func TestSupervisors(t *testing.T) {
	known := map[int]process{
		1: {0, "init"}, 10: {1, "08"}, 11: {10, "keeper"}, 12: {10, "container"}, 13: {12, "cat"},
		20: {1, "08"}, 21: {20, "cat"}, 30: {1, "cat"},
	}
	for top, want := range map[int][]int{10: {10, 11, 12}, 20: {20}, 30: nil} {
		got := supervisors(known, top)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("of %d: %v, not %v", top, got, want)
		}
	}
}

// TestSystems holds that every system runs the program that it is told to, on the same root.
func TestSystems(t *testing.T) {
	dir := t.TempDir()
	names := map[string]bool{}
	for _, s := range systems(dir) {
		names[s.name] = true
		words, err := s.command("x", "true")
		if err != nil { // crun or runc isn't installed
			continue
		}
		text := strings.Join(words, " ")
		bundle := filepath.Join(dir, s.name+"-true")
		onRoot := strings.Contains(text, filepath.Join(dir, "root"))
		if !strings.Contains(text, bundle) && !(onRoot && strings.HasSuffix(text, "/bin/true")) {
			t.Errorf("%s runs %s", s.name, text)
		}
	}
	if len(names) != 8 {
		t.Errorf("not eight names: %v", slices.Sorted(maps.Keys(names)))
	}
}
