//go:build linux

package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestConfigure changes what must be the same for all runtimes, and keeps the rest.
func TestConfigure(t *testing.T) {
	got, err := configure([]byte(`{"ociVersion": "1.0.2", "process": {"terminal": true, "cwd": "/"},
		"linux": {"namespaces": [{"type": "pid"}], "maskedPaths": ["/proc/kcore"]}}`), "/r", "true")
	want := `{"linux":{"gidMappings":[{"containerID":0,"hostID":100000,"size":65536}],` +
		`"maskedPaths":["/proc/kcore"],"namespaces":[{"type":"pid"},{"type":"user"}],` +
		`"resources":{"cpu":{"period":100000,"quota":100000},` +
		`"memory":{"limit":268435456,"swap":268435456},"pids":{"limit":128}},` +
		`"uidMappings":[{"containerID":0,"hostID":100000,"size":65536}]},"ociVersion":"1.0.2",` +
		`"process":{"args":["/bin/true"],"cwd":"/","terminal":false},` +
		`"root":{"path":"/r","readonly":false}}`
	if text := strings.Join(strings.Fields(string(got)), ""); err != nil || text != want {
		t.Errorf("%s, %v", text, err)
	}
	if _, err := configure([]byte(`{"process": {}}`), "/r", "true"); err == nil {
		t.Error("a config.json without namespaces is accepted")
	}
}

// TestSystems checks that every system runs the program it is given, and on the same root.
func TestSystems(t *testing.T) {
	all := systems("/d")
	for _, s := range all {
		line := strings.Join(s.command("x", "cat"), " ")
		bundle := strings.Contains(line, "/d/"+s.name+"-cat")
		image := strings.HasSuffix(line, " jail-to-container-bench:d /bin/cat")
		root := strings.Contains(line, "/d/root") && strings.HasSuffix(line, "/bin/cat")
		if !bundle && !image && !root && line != "/d/05-user-namespace /bin/cat" {
			t.Errorf("%s runs %s", s.name, line)
		}
	}
	if len(all) != 12 {
		t.Errorf("%d systems", len(all))
	}
}

// TestRunMany runs real processes: two shells as supervisors, and cat, which isn't counted. Then it
// lets one not start, and one end badly.
func TestRunMany(t *testing.T) {
	settle = 0
	for end, want := range map[string]string{
		"": "<nil>", "echo first; echo no room >&2; exit 3": "1 of 5: exit status 3: no room",
		"cat; exit 4": "1 of 5: exit status 4: ",
	} {
		s := &system{command: func(name, _ string) []string {
			script := `[ "$1" != 2 ] || { :; ` + end + "\n}; (cat; exit 0); exit 0"
			return []string{"sh", "-c", script, "sh", name}
		}}
		err := s.runMany(5)
		if fmt.Sprint(err) != want || err == nil && s.values["processes"][0] != 2 {
			t.Errorf("%q: %v, %v", end, err, s.values)
		}
	}
}

// TestCollision finds an address that two links have.
func TestCollision(t *testing.T) {
	a := &net.IPNet{IP: net.IPv4(10, 0, 0, 1), Mask: net.CIDRMask(30, 32)}
	b := &net.IPNet{IP: net.IPv4(10, 0, 0, 5), Mask: net.CIDRMask(30, 32)}
	if err := collision([]net.Addr{a, b}); err != nil {
		t.Error(err)
	}
	err := collision([]net.Addr{a, b, a})
	if fmt.Sprint(err) != "collision: two links have the address 10.0.0.1/30" {
		t.Error(err)
	}
}

// TestTable compares a small table in both formats.
func TestTable(t *testing.T) {
	all := []*system{
		{name: "crun", sets: "all", values: map[string][]float64{"up": {8, 1, 9, 11}}},
		{name: "slow one", sets: "more", values: map[string][]float64{"up": {17, 1000, 16}}},
		{name: "none", problem: "missing: not installed"},
		{name: "broken", problem: "FAILED: 2 of 5: EOF"},
	}
	cells := rows(all, []column{{"up", "%.1f ms", ""}, {"up", "", "crun"}, {"up", "", "none"}})
	text := `               up  / crun  / none  sets up
crun       8.5 ms    1.00       -  all
slow one  17.0 ms    2.00       -  more
none            -       -       -  missing: not installed
broken          -       -       -  FAILED: 2 of 5: EOF
`
	if got := align(cells, false); got != text {
		t.Errorf("%s", got)
	}
	markdown := `|          |      up | / crun | / none | sets up |
| ---      |    ---: |   ---: |   ---: | --- |
| crun     |  8.5 ms |   1.00 |      - | all |
`
	if got := align(cells, true); !strings.HasPrefix(got, markdown) {
		t.Errorf("%s", got)
	}
}

// TestSomeFiles leaves out a file that is too large, and stops when a directory's share is used up:
// each empty file takes 1024 bytes.
func TestSomeFiles(t *testing.T) {
	dir, empty := t.TempDir(), t.TempDir()
	err := os.WriteFile(dir+"/0-large", make([]byte, 100_000), 0o644)
	for i := range 200 {
		err = errors.Join(err, os.WriteFile(fmt.Sprint(dir, "/", i), nil, 0o644))
	}
	got, failed := someFiles([]string{dir, empty}, 200_000)
	if n := len(got); err != nil || failed != nil || n < 90 || n > 100 || got[0] != dir[1:] ||
		got[n-1] != empty[1:] || slices.Contains(got, dir[1:]+"/0-large") {
		t.Error(err, failed, n, got)
	}
}
