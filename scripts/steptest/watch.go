//go:build linux

// What a step may leave behind.

package steptest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Watch is what a test compares to know that nothing is left: it holds the state of things before,
// and a mark in the environment that every process of the program inherits.
type Watch struct {
	Mark   string
	Tmp    string // TMPDIR of the programs that are watched
	before []string
}

// NewWatch notes the state before. The programs to be watched must be started with its Env.
func NewWatch(t *testing.T) *Watch {
	tmp, err := os.MkdirTemp("", "watch-") // t.TempDir's parent isn't open to other users
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(tmp) }) // never with what is in it: something may be mounted there
	if err := os.Chmod(tmp, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	return &Watch{fmt.Sprintf("WATCH=%s-%d", t.Name(), time.Now().UnixNano()), tmp, globalState(t)}
}

// Env is the environment for a program that is watched.
func (w *Watch) Env() []string {
	return append(os.Environ(), w.Mark, "TMPDIR="+w.Tmp)
}

// globalState lists what a step might leave on a host: mounts, System V objects, files, cgroups.
// The tests of other steps run at the same time, so only what stays counts.
func globalState(t *testing.T) []string {
	var state []string
	for _, file := range []string{"mounts", "sysvipc/msg", "sysvipc/sem", "sysvipc/shm"} {
		text, err := os.ReadFile("/proc/self/" + file)
		if strings.HasPrefix(file, "sysvipc/") {
			text, err = os.ReadFile("/proc/" + file)
		}
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(file, "sysvipc/") { // key and identifier; the rest are times
				line = strings.Join(strings.Fields(line)[:2], " ")
			}
			state = append(state, file+" "+line)
		}
	}
	// A queue is a file where mqueue is mounted.
	for _, pattern := range []string{
		"/dev/shm/lesson-*", "/dev/mqueue/lesson-*", "/var/tmp/secret-*", "/below",
	} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		state = append(state, files...)
	}
	// A cgroup of ours has the step's name; where there are no cgroups, there is nothing to walk.
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, entry os.DirEntry, err error) error {
		others := strings.Contains(path, "-delegated-") &&
			!strings.Contains(path, "-"+fmt.Sprint(os.Getpid())) // another test run's
		if err == nil && entry.IsDir() && !others &&
			strings.HasPrefix(entry.Name(), step.Name+"-") {
			state = append(state, path)
		}
		return nil // a cgroup may go while we walk
	})
	return state
}

// Processes returns the processes that carry the mark: in their environment, where we may read it,
// or as an argument.
func (w *Watch) Processes() []string {
	var found []string
	all, _ := filepath.Glob("/proc/[0-9]*") // the pattern is well formed: no error
	for _, dir := range all {
		environ, _ := os.ReadFile(dir + "/environ")
		cmdline, _ := os.ReadFile(dir + "/cmdline")
		words := strings.Split(string(environ)+"\x00"+string(cmdline), "\x00")
		if slices.Contains(words, w.Mark) {
			found = append(found, fmt.Sprintf("%s %q", dir, cmdline))
		}
	}
	return found
}

// Kill ends the processes that carry the mark.
func (w *Watch) Kill() {
	for _, process := range w.Processes() {
		var pid int
		if _, err := fmt.Sscanf(process, "/proc/%d", &pid); err == nil && pid != os.Getpid() {
			_ = unix.Kill(pid, unix.SIGKILL) // it may have ended
		}
	}
}

// NothingLeft ends the test if something is left behind: later tests would only find it again. What
// the death of a process sets off takes its time, so it looks again until all is gone, for at most
// ten seconds.
func (w *Watch) NothingLeft(t *testing.T) {
	t.Helper()
	var left, found []string
	for range 200 {
		left = w.Processes()
		if entries, err := os.ReadDir(w.Tmp); err != nil || len(entries) > 0 {
			left = append(left, fmt.Sprintf("%s: %v %v", w.Tmp, entries, err))
		}
		state := slices.DeleteFunc(globalState(t), func(line string) bool {
			return slices.Contains(w.before, line)
		})
		if len(left) == 0 && found != nil {
			// No process of ours is left to have made what is new now: that is another test's.
			state = slices.DeleteFunc(state, func(line string) bool {
				return !slices.Contains(found, line)
			})
		}
		if found = state; len(left)+len(found) == 0 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("left behind:\n%s", strings.Join(append(left, found...), "\n"))
}
