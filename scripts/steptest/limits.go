//go:build linux

// A container's limits, and what the kernel shows for them.

package steptest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Limits are a container's: bytes of memory, processes, and microseconds of CPU time in 100,000.
type Limits struct{ Memory, PIDs, CPU int }

// Files are the control files for limits by the version of cgroups. Those with a "?" are only there
// where memory can be swapped out, or where the kernel counts swap or sockets.
func (l Limits) Files() map[string]map[string]string {
	memory, pids := fmt.Sprint(l.Memory), fmt.Sprint(l.PIDs)
	return map[string]map[string]string{
		"v1": {
			"memory.limit_in_bytes": memory, "inner/memory.limit_in_bytes": memory,
			"memory.memsw.limit_in_bytes?": memory, "inner/memory.memsw.limit_in_bytes?": memory,
			"memory.kmem.tcp.limit_in_bytes?":       memory,
			"inner/memory.kmem.tcp.limit_in_bytes?": memory,
			"memory.use_hierarchy":                  "1", "inner/memory.use_hierarchy": "1",
			"pids.max": pids, "inner/pids.max": pids,
			"cpu.cfs_quota_us": fmt.Sprint(l.CPU), "cpu.cfs_period_us": "100000",
		},
		"v2": {
			"memory.max": memory, "inner/memory.max": memory,
			"memory.swap.max?": "0", "inner/memory.swap.max?": "0",
			"memory.oom.group": "1", "inner/memory.oom.group": "1",
			"pids.max": pids, "inner/pids.max": pids,
			"cpu.max": fmt.Sprint(l.CPU, " 100000"),
		},
	}
}

// KernelsLimits reads the control files of a container that runs, with each of these flags.
func KernelsLimits(t *testing.T, byFlags map[string]Limits) {
	AsEveryUser(t, func(t *testing.T, u User) {
		for flags, limits := range byFlags {
			w := NewWatch(t)
			// No exec after "on": during it, the mark in the environment can't be read.
			cmd := u.Program(append(strings.Fields(flags), "sh", "-c", "echo on; read x")...)
			cmd.Env = w.Env()
			_, end, err := begin(cmd)
			if err != nil {
				t.Fatal(err)
			}
			defer end()
			limits.Check(t, w)
		}
	})
}

// Check compares the limits with those of the cgroup that a watched container is in.
func (l Limits) Check(t *testing.T, w *Watch) {
	t.Helper()
	dirs := w.cgroups()
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
	for name, want := range l.Files()[version] {
		name, optional := strings.CutSuffix(name, "?")
		got, found := read(name)
		if got != want && (found || !optional) {
			t.Errorf("limits %v: %s is %q, want %q", l, name, got, want)
		}
	}
}

// cgroups returns the directories of the cgroup that a watched container is in.
func (w *Watch) cgroups() (dirs []string) {
	for _, process := range w.Processes() {
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

// SocketBuffers fills the buffers of connections (the kernel holds some 10 MB for each), in a
// container that these flags limit to 64 MiB. The control does the same outside.
func SocketBuffers(t *testing.T, flags ...string) {
	if !exists("/sys/fs/cgroup/memory/memory.kmem.tcp.limit_in_bytes") {
		return // cgroup v2 counts them with all other memory
	}
	AsEveryUserAtOnce(t, func(t *testing.T, u User) {
		const limit = 64 << 20
		var held int
		out := u.Output(t, append(flags, "/proc/self/exe", "test:buffers")...)
		if _, err := fmt.Sscan(out, &held); err != nil || held == 0 || held > limit*5/4 {
			t.Errorf("inside, buffers hold %q bytes; the limit is %d", out, limit)
		}
		out = u.Output(t, "test:buffers")
		if _, err := fmt.Sscan(out, &held); err != nil || held < 2*limit {
			t.Errorf("the control: outside, buffers hold %q bytes", out)
		}
	})
}

// init adds what fills buffers, up to 160 MiB, and prints how much they took.
func init() {
	experiments["test:buffers"] = func([]string) error {
		// Go's scheduler sends signals, which would interrupt the calls.
		runtime.LockOSThread()
		all := unix.Sigset_t{}
		for i := range all.Val {
			all.Val[i]--
		}
		if err := unix.PthreadSigmask(unix.SIG_BLOCK, &all, nil); err != nil {
			return err
		}
		server, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err != nil {
			return err
		}
		if err := errors.Join(
			unix.Bind(server, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}),
			unix.Listen(server, 1),
		); err != nil {
			return err
		}
		address, err := unix.Getsockname(server)
		if err != nil {
			return err
		}
		held, block := 0, make([]byte, 64<<10)
		for full := 0; full < 3 && held < 160<<20; { // one alone may have met a busy machine
			client, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
			if err != nil {
				return err
			}
			if err := unix.Connect(client, address); err != nil {
				return err
			}
			if _, _, err := unix.Accept(server); err != nil {
				return err
			}
			// A write ends after 20 ms, with less than all, when the buffers are full. On
			// loopback, no other process has to run for them to fill.
			patience := unix.NsecToTimeval(20_000_000)
			err = unix.SetsockoptTimeval(client, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &patience)
			if err != nil {
				return err
			}
			before := held
			for written := len(block); written == len(block) && held < 160<<20; {
				written, _ = unix.Write(client, block)
				held += max(written, 0)
			}
			if held-before < 1<<20 {
				full++
			}
		}
		fmt.Println(held)
		return nil
	}
}
