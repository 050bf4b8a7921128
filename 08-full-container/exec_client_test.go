//go:build linux

// Clients of -exec that don't keep to the protocol. The container must stay, and serve the next.

package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"jail-to-container/scripts/steptest"
)

// TestExecRequests sends PID 1 what is no request, or too much of one. The client gets an error,
// and the next client its command.
func TestExecRequests(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		r := runContainer(t, u, "cat", "-net=false", "-memory", "48M")
		quoted := func(s *spec) string { return string(s.encode()) + "\x00" }
		request := quoted(&spec{Args: []string{"true"}})
		for _, c := range []struct {
			name, sent string
			streams    int
			says       string
		}{
			{"the control", request, 3, "[0]"},
			{"no streams", request, 0, "[125] 0 standard streams, and not 3"},
			{"no streams, for a terminal", quoted(&spec{Args: []string{"true"}, TTY: true}), 0,
				"[125] 0 standard streams, and not 3"},
			{"two streams", request, 2, "[125] 2 standard streams, and not 3"},
			{"four streams", request, 4, "[125] 4 standard streams, and not 3"},
			{"as many as the kernel sends", request, 253, "[125] 253 standard streams, and not 3"},
			{"nothing", "\x00", 3, `not a spec: ""`},
			{"no words", "a\n\x00", 3, `read "a\n": invalid syntax`},
			{"an open quote", "\"a\n\x00", 3, `read "\"a\n": invalid syntax`},
			{"words without a blank", "\"a\"\"b\"\n\x00", 3, "no blank after a word"},
			{"a line of eight", strings.Repeat("\n", 6) + "\"\" \n\x00", 3, "not a spec: "},
			{"no number", strings.ReplaceAll(request, `"0"`, `"-"`), 3, "invalid syntax"},
			{"half a volume", strings.Replace(request, "\n\n\n\n\n", "\n\n\n\n\n\"a\" ", 1), 3,
				"not a spec"},
			{"seven million quotes", strings.Repeat(`"`, 7<<20) + "\x00", 3, "read "},
			{"too much for execve", quoted(&spec{Args: []string{"true",
				strings.Repeat("a", 3<<20)}}), 3, "true: argument list too long"},
			{"no end", strings.Repeat("a", 64<<20), 3, "take more than 8 MiB"},
		} {
			cmd := u.Program("test:client", r.pid(), strconv.Itoa(c.streams))
			cmd.Stdin = strings.NewReader(c.sent)
			if got := steptest.Output(t, cmd); !strings.Contains(got, c.says) || len(got) > 5000 {
				t.Errorf("%s: %.300q, want %q", c.name, got, c.says)
			}
			if out := r.output("echo", "still here"); out != "still here\n" {
				t.Fatalf("after %s: %q", c.name, out)
			}
		}
	})
}

// TestExecDeserters has a hundred clients at once stop at each place in the protocol, and then die.
// Others get their commands meanwhile, and PID 1 keeps nothing of them.
func TestExecDeserters(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		r := runContainer(t, u, "cat", "-net=false")
		open := func() int {
			if u.UID != 0 {
				return 0 // root alone may look
			}
			pid := childOf(t, r.Process.Pid, "init")
			files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
			if err != nil {
				t.Fatal(err)
			}
			return len(files)
		}
		soon := func(what string, holds func() bool) {
			t.Helper()
			for i := 0; !holds(); i++ {
				if i > 600 {
					t.Fatal("it isn't so after 30 s: ", what)
				}
				time.Sleep(50 * time.Millisecond)
			}
		}
		before := open()
		places := []string{"silent", "half", "before the start", "at a terminal", "run"}
		if testing.Short() {
			places = places[4:] // an emulated machine takes more than the minute that r has
		}
		for _, place := range places {
			clients := begin(t, u.Program("test:deserters", r.pid(), place))
			soon("PID 1 has these clients: "+place, func() bool {
				return u.UID != 0 || open() >= before+90 // some of its own may be closed by now
			})
			if out := r.output("echo", "still here"); out != "still here\n" {
				t.Errorf("%s: %q", place, out)
			}
			clients.Process.Kill()
			clients.Wait()
			soon("PID 1 has none of their descriptors: "+place, func() bool {
				return open() <= before
			})
		}
		soon("there are PID 1, a shell, its cat, and the command that asks", func() bool {
			return r.output("sh", "-c", "set /proc/[0-9]*; echo $#") == "4\n"
		})
	})
}

// TestExecUserTable replaces the table in which PID 1 looks up a client's user. PID 1 may read no
// more for that than the container's root, and waits for no FIFO.
func TestExecUserTable(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		r := runContainer(t, u, "cat", "-net=false")
		r.output("sh", "-c", "mv /etc/passwd /tmp; mkfifo /etc/passwd")
		hung := time.AfterFunc(20*time.Second, func() { r.Process.Kill() })
		got := steptest.Run(t, r.command("true"))
		hung.Stop()
		if got.Status != 125 || !strings.Contains(got.Stderr, "/etc/passwd isn't a file") {
			t.Errorf("a FIFO: %+v", got)
		}
		// Only CAP_SYS_PTRACE lets a process read another user's variables. They are a table here.
		table := "A=\nfake:x:0:0::/fake:\n"
		for user, want := range map[string]steptest.Result{
			"0":    {Stdout: "/fake\n"}, // the control
			"1000": {Stderr: "permission denied", Status: 125},
		} {
			if user != "0" && u.UID != 0 {
				continue // there may be one user only
			}
			r := runContainer(t, u, "cat", "-net=false")
			sleep := begin(t, r.command("-user", user, "-env", table, "sh", "-c",
				"echo ready; exec sleep 1000"))
			r.output("sh", "-c", "until its=$(grep -ls sleep /proc/[0-9]*/comm); do :; done; "+
				"ln -sf ${its%comm}environ /etc/passwd")
			got := steptest.Run(t, r.command("-user", "fake", "sh", "-c", "echo $HOME"))
			if got.Stdout != want.Stdout || got.Status != want.Status ||
				!strings.Contains(got.Stderr, want.Stderr) {
				t.Errorf("of user %s: %+v", user, got)
			}
			sleep.Process.Kill()
			sleep.Wait()
		}
	})
}

// init adds such clients.
func init() {
	// test:client sends its standard input, with so many descriptors, and prints the answer.
	experiments["test:client"] = func(args []string) error {
		line, n, err := rawClient(args[0], args[1])
		if err != nil {
			return err
		}
		text, err := io.ReadAll(os.Stdin)
		if err != nil {
			return err
		}
		_ = sendMessage(line, text, slices.Repeat([]int{0}, n)...) // it hangs up on the last one
		answer := make([]byte, 1<<16)
		size, err := io.ReadAtLeast(line, answer, 1)
		if err != nil {
			_, err = fmt.Println("it hung up:", err)
			return err
		}
		answer = answer[:size]
		if answer[0] == 0 { // the command is about to start
			if _, err := line.Write([]byte{0}); err != nil {
				return err
			}
			if answer, err = io.ReadAll(line); err != nil {
				return err
			}
		}
		_, err = fmt.Printf("%v %s ...\n", answer[:1], answer[1:])
		return err
	}
	experiments["test:deserters"] = func(args []string) error {
		var lines []*os.File // Go would close one that nothing refers to
		for range 100 {
			line, _, err := rawClient(args[0], "0")
			if err != nil {
				return err
			}
			lines = append(lines, line)
			request := &spec{Args: []string{"sleep", "1000"}, TTY: args[1] == "at a terminal"}
			text := append(request.encode(), 0)
			if args[1] == "silent" {
				continue
			}
			if args[1] == "half" {
				text = text[:len(text)/2]
			}
			if err := sendMessage(line, text, 0, 1, 2); err != nil {
				return err
			}
			if args[1] == "half" {
				continue
			}
			if _, err := takeOver(line); err != nil {
				return err
			}
			if args[1] == "run" {
				if _, err := line.Write([]byte{0}); err != nil {
					return err
				}
			}
		}
		fmt.Println("ready")
		_, _ = io.Copy(io.Discard, lines[0]) // until the container ends
		runtime.KeepAlive(lines)
		return nil
	}
}

// rawClient connects to a container, and reads a number.
func rawClient(pid, number string) (line *os.File, n int, err error) {
	container, err := strconv.Atoi(pid)
	if err == nil {
		n, err = strconv.Atoi(number)
	}
	if err == nil {
		line, _, err = dial(container, 10*time.Second)
	}
	return line, n, err
}
