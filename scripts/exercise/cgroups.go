//go:build linux

// What a broken step leaves in the host's cgroups, which no namespace keeps it out of.

package main

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cgroupTop is where the host's cgroups are.
const cgroupTop = "/sys/fs/cgroup"

// delegated starts this program again in a cgroup that systemd delegates to an ordinary user, if it
// does: steps 07 and 08 need one, and can't ask for it from a PID namespace.
func delegated(args []string) {
	const done = "EXERCISE_DELEGATED=1"
	if _, err := os.Stat("/run/systemd/system"); err != nil || os.Geteuid() == 0 || len(args) < 4 ||
		!slices.Contains([]string{"start", "check", "watch"}, args[3]) ||
		slices.Contains(os.Environ(), done) {
		return
	}
	scope := []string{"systemd-run", "--user", "--scope", "-q", "-p", "Delegate=yes"}
	path, err := exec.LookPath(scope[0])
	if err != nil || exec.Command(path, append(scope[1:], "true")...).Run() != nil {
		return // then the steps say themselves what is missing
	}
	self, err := os.Executable()
	if err != nil {
		return
	}
	// It doesn't return, unless it fails: then we go on without.
	_ = unix.Exec(path, append(append(scope, self), args[1:]...), append(os.Environ(), done))
}

// makeRoom makes a cgroup for what contain starts, and returns it, or "" where that isn't needed or
// can't be done. In v2, a step that an ordinary user runs makes its cgroup below its own, and all
// processes there have to move aside ("no internal processes", cgroups(7)). From a PID namespace it
// can't move those outside, such as this one. So this moves them, as 07's cgroup_v2.go would.
func makeRoom(step string) string {
	own := ""
	for _, dir := range cgroupOf("self") {
		if hasMemory(dir) {
			own = strings.TrimSuffix(dir, "/outside")
		}
	}
	// A user owns the cgroups of their desktop's programs, too. Those aren't ours to divide.
	handedOver := strings.HasPrefix(filepath.Base(own), "run-") ||
		unix.Access(filepath.Dir(own), unix.W_OK) != nil
	if step < "07" || own == "" || !handedOver || os.Geteuid() == 0 {
		return ""
	}
	_ = os.Mkdir(own+"/outside", 0o755) // below, if it isn't there
	enabled := eventually(time.Second, func() bool {
		pids, _ := os.ReadFile(own + "/cgroup.procs") // below
		for _, pid := range strings.Fields(string(pids)) {
			_ = os.WriteFile(own+"/outside/cgroup.procs", []byte(pid), 0) // it may have ended
		}
		return os.WriteFile(own+"/cgroup.subtree_control", []byte("+memory +pids +cpu"), 0) == nil
	})
	room := fmt.Sprint(own, "/run-exercise-", os.Getpid())
	if err := os.MkdirAll(room, 0o755); err != nil || !enabled {
		return "" // then the step says what is missing
	}
	return room
}

// hasMemory reports whether a cgroup of v2 has the controller for memory.
func hasMemory(dir string) bool {
	text, err := os.ReadFile(dir + "/cgroup.controllers")
	return err == nil && slices.Contains(strings.Fields(string(text)), "memory")
}

// removeRoom removes it, and what a step has left there.
func removeRoom(room string) {
	for _, dir := range cgroupsIn(room, room) {
		_ = os.Remove(dir) // all its processes have ended
	}
}

// cgroupsOf lists the cgroups whose names say that a step made them, each after those in it.
func cgroupsOf(step string) []string {
	if step < "07" {
		return nil
	}
	return cgroupsIn(cgroupTop, "/"+step+"-")
}

// cgroupsIn lists the directories that have a text in their path, each after those in it.
func cgroupsIn(top, text string) (dirs []string) {
	_ = filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && strings.Contains(path, text) {
			dirs = append(dirs, path)
		}
		return nil // one may have gone since it was listed
	})
	slices.Reverse(dirs) // WalkDir has a directory first, and then what is in it
	return dirs
}

// removeCgroups removes those that weren't there before: your program's processes ended with their
// PID namespace. Others may be making cgroups of the same step at this moment, so it waits until an
// empty one isn't a new one any more.
func removeCgroups(step string, before []string) {
	left := slices.DeleteFunc(cgroupsOf(step), func(dir string) bool {
		return slices.Contains(before, dir)
	})
	if len(left) == 0 {
		return
	}
	time.Sleep(5 * time.Second)
	for _, dir := range left {
		_ = os.Remove(dir) // not while a process is in it, and then it isn't yours
	}
}

// cgroupOf returns the directories of a process's cgroups.
func cgroupOf(pid string) (dirs []string) {
	text, _ := os.ReadFile("/proc/" + pid + "/cgroup") // it may have ended
	for line := range strings.Lines(string(text)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3) // number:controllers:path
		if len(fields) < 3 {
			continue
		}
		for _, top := range []string{"/" + fields[1], "/unified"} {
			dir := filepath.Join(cgroupTop, top, fields[2])
			if info, err := os.Stat(dir); err == nil && info.IsDir() {
				dirs = append(dirs, dir)
				break
			}
		}
	}
	return dirs
}

// whileRunning does something with the cgroups of a container's command.
func (h *host) whileRunning(do func(dirs []string) verdict) verdict {
	_, done := h.start(run{limit: 5 * time.Second}, "sleep", "1.4711")
	var dirs []string
	eventually(3*time.Second, func() bool {
		for _, pid := range sleepers("1.4711") {
			dirs = slices.DeleteFunc(cgroupOf(pid), func(dir string) bool {
				return !strings.Contains(dir, "/"+h.step+"-")
			})
		}
		return len(dirs) > 0
	})
	v := do(dirs)
	a := done()
	if broken, ok := a.broken(); ok {
		return broken
	}
	return v
}
