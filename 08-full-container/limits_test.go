//go:build linux

// The limits, written down a second time, and what the kernel shows for them. The same file in 07
// and 08.

package main

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// limits are a container's: those of 07, those of 08, and those of 08 with flags.
type limits struct{ memory, pids, cpu int }

// limitsOf are the limits of a step's container, and with which arguments it has them.
var limitsOf = map[string]map[string]limits{
	"07-cgroups": {"": {67108864, 50, 20000}},
	"08-full-container": {
		"": {268435456, 128, 100000}, "-memory 48M -pids 40 -cpus 0.25": {50331648, 40, 25000},
	},
}

// files are the control files for limits by the version of cgroups. Those with a "?" are only there
// where memory can be swapped out, or where the kernel counts swap or sockets.
func (l limits) files() map[string]map[string]string {
	memory, pids := fmt.Sprint(l.memory), fmt.Sprint(l.pids)
	return map[string]map[string]string{
		"v1": {
			"memory.limit_in_bytes": memory, "inner/memory.limit_in_bytes": memory,
			"memory.memsw.limit_in_bytes?": memory, "inner/memory.memsw.limit_in_bytes?": memory,
			"memory.kmem.tcp.limit_in_bytes?":       memory,
			"inner/memory.kmem.tcp.limit_in_bytes?": memory,
			"memory.use_hierarchy":                  "1", "inner/memory.use_hierarchy": "1",
			"pids.max": pids, "inner/pids.max": pids,
			"cpu.cfs_quota_us": fmt.Sprint(l.cpu), "cpu.cfs_period_us": "100000",
		},
		"v2": {
			"memory.max": memory, "inner/memory.max": memory,
			"memory.swap.max?": "0", "inner/memory.swap.max?": "0",
			"memory.oom.group": "1", "inner/memory.oom.group": "1",
			"pids.max": pids, "inner/pids.max": pids,
			"cpu.max": fmt.Sprint(l.cpu, " 100000"),
		},
	}
}

// TestSettings compares what the step would write, with both versions, with that.
func TestSettings(t *testing.T) {
	one, two := cgroup1{"/c", "/c", "/c"}, cgroup2{"/c"}
	for version, settings := range map[string][]setting{
		"v1": slices.Concat(one.settings(), one.shown("/c/inner", "/c/inner")),
		"v2": slices.Concat(two.settings(), two.shown("/c/inner")),
	} {
		got := map[string]string{}
		for _, s := range settings {
			name := strings.TrimPrefix(s.file, "/c/")
			if s.swap || s.optional {
				name += "?"
			}
			got[name] = s.value
		}
		want := limitsOf[step][""].files()[version]
		if fmt.Sprint(got) != fmt.Sprint(want) { // maps are printed in order
			t.Errorf("%s:\n%v\nwant:\n%v", version, got, want)
		}
	}
}

// TestKernelsLimits reads the control files of a container that runs.
func TestKernelsLimits(t *testing.T) {
	asEveryUser(t, func(t *testing.T, u user) {
		for args, limits := range limitsOf[step] {
			w := newWatch(t)
			// No exec after "on": during it, the mark in the environment can't be read.
			cmd := program(u, append(strings.Fields(args), "sh", "-c", "echo on; read x")...)
			cmd.Env = w.env()
			p, _, err := start(cmd)
			if err != nil {
				t.Fatal(err)
			}
			defer p.end()
			limits.areIn(t, w.cgroups(t))
		}
	})
}

// areIn compares the limits with those of a cgroup, which is in these directories.
func (l limits) areIn(t *testing.T, dirs []string) {
	t.Helper()
	if len(dirs) == 0 {
		t.Fatal("no process is in a cgroup of the step's")
	}
	read := func(name string) (string, bool) {
		for _, dir := range dirs {
			text, err := os.ReadFile(filepath.Join(dir, name))
			if err == nil {
				return strings.TrimSpace(string(text)), true
			}
		}
		return "", false
	}
	version := "v1"
	if _, found := read("memory.max"); found {
		version = "v2"
	}
	for name, want := range l.files()[version] {
		name, optional := strings.CutSuffix(name, "?")
		got, found := read(name)
		if got != want && (found || !optional) {
			t.Errorf("limits %v: %s is %q, want %q", l, name, got, want)
		}
	}
}

// TestSocketBuffers fills the buffers of connections, of which the kernel holds some 10 MB each.
// The control does the same outside.
func TestSocketBuffers(t *testing.T) {
	if !exists("/sys/fs/cgroup/memory/memory.kmem.tcp.limit_in_bytes") {
		return // cgroup v2 counts them with all other memory
	}
	asEveryUser(t, func(t *testing.T, u user) {
		const limit = 64 << 20
		var held int
		out := expect(t, program(u, append(strings.Fields(memoryFlags[step]),
			"/proc/self/exe", "test:buffers")...))
		if _, err := fmt.Sscan(out, &held); err != nil || held == 0 || held > limit*5/4 {
			t.Errorf("inside, buffers hold %q bytes; the limit is %d", out, limit)
		}
		out = expect(t, program(u, "test:buffers"))
		if _, err := fmt.Sscan(out, &held); err != nil || held < 2*limit {
			t.Errorf("the control: outside, buffers hold %q bytes", out)
		}
	})
}

// memoryFlags make the limit of memory 64 MiB, which 07 has in any case.
var memoryFlags = map[string]string{"08-full-container": "-memory 64M"}

// init adds what fills buffers, up to 160 MiB, and prints how much they took.
func init() {
	experiments["test:buffers"] = func([]string) error {
		server, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		held, block := 0, make([]byte, 64<<10)
		for held < 160<<20 {
			client, err := net.Dial("tcp", server.Addr().String())
			if err != nil {
				return err
			}
			if _, err := server.Accept(); err != nil {
				return err
			}
			before := held
			for written := 1; written > 0 && held < 160<<20; held += written {
				_ = client.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
				written, _ = client.Write(block) // less than all when the buffers are full
			}
			if held-before < 1<<20 {
				break
			}
		}
		fmt.Println(held)
		return nil
	}
}

// cgroups returns the directories of the cgroup that a watched container is in.
func (w *watch) cgroups(t *testing.T) (dirs []string) {
	t.Helper()
	for _, process := range w.processes() {
		dir, _, _ := strings.Cut(process, " ")
		paths, _ := os.ReadFile(dir + "/cgroup") // gone, if it has ended
		for line := range strings.Lines(string(paths)) {
			path := strings.TrimSpace(line[strings.LastIndex(line, ":")+1:])
			if filepath.Base(path) != "inner" {
				continue
			}
			name := filepath.Base(filepath.Dir(path))
			_ = filepath.WalkDir("/sys/fs/cgroup", func(at string, d fs.DirEntry, err error) error {
				if err == nil && d.Name() == name && !slices.Contains(dirs, at) {
					dirs = append(dirs, at)
				}
				return nil // a cgroup may go while we walk
			})
		}
	}
	return dirs
}
