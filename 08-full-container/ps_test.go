//go:build linux

// The list of containers.

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"jail-to-container/scripts/steptest"
)

// TestPs compares a container's row with what was asked for, and what the container says itself.
func TestPs(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		alone(t)
		r := runContainer(t, u, "cat", "-hostname", "web")
		link := r.output("cat", "/proc/net/fib_trie")
		name := "root"
		if u.UID != 0 {
			name = `\S+`
		}
		out := u.Output(t, "-ps")
		row := regexp.MustCompile(`(?m)^` + r.pid() + ` +` + name +
			` +web +\d+s +(10\.\d+\.\d+\.\d+) +- +sh -c echo.*cat$`).FindStringSubmatch(out)
		if row == nil || !strings.Contains(link, row[1]) {
			t.Fatalf("no row for %s, with the address in %q:\n%s", r.pid(), link, out)
		}
		for line := range strings.Lines(out) {
			if len([]rune(line)) > 81 {
				t.Errorf("a line of %d columns: %s", len([]rune(line))-1, line)
			}
		}
		r.Process.Kill()
		r.Wait()
		if out := u.Output(t, "-ps"); regexp.MustCompile(`(?m)^` + r.pid() + ` `).MatchString(out) {
			t.Errorf("it is listed after its end:\n%s", out)
		}
	})
}

// alone moves a test of root's, until it ends, into a network namespace of its own: -ps lists no
// containers of other tests there, whose rows would change the width of the columns.
func alone(t *testing.T) {
	if os.Getuid() != 0 {
		return
	}
	runtime.LockOSThread() // never unlocked: this thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
}

// TestPsQuotes has a command that would send commands to the terminal.
func TestPsQuotes(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		alone(t)
		evil := "\x1b]0;\n\u009b"
		cmd := u.Program("-net=false", "sh", "-c", "echo ready; cat", evil)
		if _, err := cmd.StdinPipe(); err != nil {
			t.Fatal(err)
		}
		r := &running{t, begin(t, cmd), u}
		out := u.Output(t, "-ps")
		row := regexp.MustCompile(`(?m)^` + r.pid() + ` .* - +- +sh .*\\x1b]0;\\n\\u009b$`)
		if !row.MatchString(out) {
			t.Errorf("%q", out)
		}
	})
}

// TestPsOfLongCommand has a command of more than a megabyte, and the control one that is shorter.
func TestPsOfLongCommand(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		alone(t)
		for _, words := range []int{1, 11} {
			args := []string{"-net=false", "sh", "-c", "echo ready; cat"}
			for range words {
				args = append(args, strings.Repeat("a", 100_000))
			}
			cmd := u.Program(args...)
			if _, err := cmd.StdinPipe(); err != nil {
				t.Fatal(err)
			}
			r := &running{t, begin(t, cmd), u}
			out := u.Output(t, "-ps")
			if !regexp.MustCompile(`(?m)^` + r.pid() + ` .* sh -c .*aaa$`).MatchString(out) {
				t.Errorf("with %d words, no row for %s:\n%s", words, r.pid(), out)
			}
		}
	})
}

// TestPsOfStopped stops a container's outer process, as Ctrl-Z does. It is listed, and holds -ps up
// only a little.
func TestPsOfStopped(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		alone(t)
		r := runContainer(t, u, "cat", "-net=false")
		r.Process.Signal(unix.SIGSTOP)
		defer r.Process.Signal(unix.SIGCONT)
		var status unix.WaitStatus
		if _, err := unix.Wait4(r.Process.Pid, &status, unix.WUNTRACED, nil); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		out := u.Output(t, "-ps")
		if took := time.Since(begun); took < patience || took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
		if !regexp.MustCompile(fmt.Sprintf(`(?m)^%s .* \(no answer\)$`, r.pid())).MatchString(out) {
			t.Errorf("no row for %s:\n%s", r.pid(), out)
		}
	})
}

// TestPsOfTakenNames takes the names of processes that aren't containers, and leaves clients
// waiting there. -ps waits for all of them at the same time.
func TestPsOfTakenNames(t *testing.T) {
	alone(t)
	u := steptest.Caller()
	steptest.Ready(t, u)
	r := runContainer(t, u, "cat", "-net=false")
	for range 40 {
		other := exec.Command("sleep", "1000")
		if err := other.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { other.Process.Kill(); other.Wait() })
		name := &unix.SockaddrUnix{Name: fmt.Sprint("@jail-to-container/", other.Process.Pid)}
		for i := range 3 {
			fd, err := unix.Socket(unix.AF_UNIX,
				unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { unix.Close(fd) })
			if i > 0 {
				err = unix.Connect(fd, name) // the second doesn't get a place in the queue
			} else if err = unix.Bind(fd, name); err == nil {
				err = unix.Listen(fd, 0)
			}
			if err != nil && (i < 2 || !errors.Is(err, unix.EAGAIN)) {
				t.Fatal(err)
			}
		}
	}
	begun := time.Now()
	out := u.Output(t, "-ps")
	if took := time.Since(begun); took < patience || took > 3*time.Second {
		t.Errorf("it took %v", took)
	}
	if !strings.Contains(out, "\n"+r.pid()+" ") || strings.Contains(out, "(no answer)") {
		t.Errorf("not what was expected:\n%s", out)
	}
}
