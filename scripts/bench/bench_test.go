//go:build linux

// The parts that measure nothing: what is run, and what is made of the numbers.

package main

import (
	"encoding/json"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestShuffled looks for everybody in each round, and for more than one order.
func TestShuffled(t *testing.T) {
	rounds := shuffled(8, 40) // all alike: once in 8!^39 runs
	same := true
	for _, round := range rounds {
		same = same && slices.Equal(round, rounds[0])
		if !slices.Equal(slices.Sorted(slices.Values(round)), []int{0, 1, 2, 3, 4, 5, 6, 7}) {
			t.Errorf("a round of %v", round)
		}
	}
	if same || len(rounds) != 40 {
		t.Errorf("%d rounds, and all in the same order: %v", len(rounds), same)
	}
}

// TestQuote has a shell split the text, as hyperfine does.
func TestQuote(t *testing.T) {
	words := []string{"printf", `%s\n`, "a b", "it's", "$HOME", `"`, "", `\`}
	out, err := exec.Command("sh", "-c", quote(words)).Output()
	if want := strings.Join(words[2:], "\n") + "\n"; err != nil || string(out) != want {
		t.Errorf("the shell made of it %q (%v), not %q", out, err, want)
	}
}

// TestParseTimes puts rounds together, by name.
func TestParseTimes(t *testing.T) {
	times, err := parseTimes([]byte(`{"results": [
		{"command": "a", "times": [1, 2]}, {"command": "b", "times": [5]},
		{"command": "a", "times": [3]}]}`))
	if err != nil || !slices.Equal(times["a"], []float64{1, 2, 3}) ||
		!slices.Equal(times["b"], []float64{5}) {
		t.Errorf("%v, %v", times, err)
	}
	if _, err := parseTimes([]byte("{")); err == nil {
		t.Error("half an export was read")
	}
}

// TestMedian doesn't change what it is given.
func TestMedian(t *testing.T) {
	for want, times := range map[float64][]float64{0: nil, 2: {3, 1, 2}, 2.5: {4, 1, 3, 2}} {
		before := slices.Clone(times)
		if got := median(times); got != want || !slices.Equal(times, before) {
			t.Errorf("of %v: %v, not %v", before, got, want)
		}
	}
}

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

// TestParseStat reads names as people give them.
func TestParseStat(t *testing.T) {
	for text, want := range map[string]process{
		"7 (cat) S 5 7":       {5, "cat"},
		"7 (a ) S 9 (b) R 6 ": {6, "a ) S 9 (b"},
	} {
		if pid, p, err := parseStat(text); err != nil || pid != 7 || p != want {
			t.Errorf("%q: %d, %v, %v", text, pid, p, err)
		}
	}
	for _, bad := range []string{"", "7 cat S 5", "7 (cat S 5", "x (cat) S 5", "7 (cat) S y"} {
		if _, _, err := parseStat(bad); err == nil {
			t.Errorf("%q was understood", bad)
		}
	}
}

// TestSupervisors leaves out the command, and everybody else's.
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

// TestParsePSS takes the line itself, and none that begins like it.
func TestParsePSS(t *testing.T) {
	pss, err := parsePSS("0-1 ---p 0 [rollup]\nRss: 99 kB\nPss_Dirty: 98 kB\nPss:   1567 kB\n")
	if err != nil || pss != 1567 {
		t.Errorf("%d, %v", pss, err)
	}
	if _, err := parsePSS("Rss: 99 kB\n"); err == nil {
		t.Error("a number was found where there is none")
	}
}

// TestLibraries takes paths out of both kinds of lines.
func TestLibraries(t *testing.T) {
	got := libraries("\tlinux-vdso.so.1 (0x7f0b)\n\tlibc.so.6 => /lib/libc.so.6 (0x7f0b)\n" +
		"\t/lib64/ld.so.2 (0x7f0b)\n")
	if !slices.Equal(got, []string{"/lib/libc.so.6", "/lib64/ld.so.2"}) {
		t.Errorf("%q", got)
	}
}

// TestTable has one of each kind of row.
func TestTable(t *testing.T) {
	all := []*system{
		{name: "crun", times: []float64{.010}, held: held{1, 400}},
		{name: "runc", times: []float64{.030}, held: held{1, 2000}},
		{name: "bwrap", missing: "not installed"},
		{name: "podman", times: []float64{.1}, notHeld: "number 7: it says no"},
		{name: "08", times: []float64{.015}, held: held{2.5, 1000}, has: "all"},
	}
	text := table(all, 60, 200)
	for _, want := range []string{
		"bwrap          not installed\n", " number 7: it says no ",
		"08               15.0 ms    1.50    0.50        2.5   1000 kB    0.50  all\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
	// Without crun and runc there is nothing to compare with.
	if text := table(all[4:], 60, 0); !strings.Contains(text, "15.0 ms       ?       ?") {
		t.Errorf("%s", text)
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
