//go:build linux

// What every step promises as a command: exit statuses, clear errors, streams.

package steptest

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"unicode"

	"golang.org/x/sys/unix"
)

// ExitStatus runs commands that end in every way there is.
func ExitStatus(t *testing.T) {
	AsEveryUser(t, func(t *testing.T, u User) {
		for _, c := range []struct {
			name    string
			command []string
			status  int
			says    string // on standard error
		}{
			{"success", []string{"true"}, 0, ""},
			{"its own", []string{"sh", "-c", "exit 7"}, 7, ""},
			{"that of a child, ended by a signal",
				[]string{"sh", "-c", "exec 2>&-; sh -c 'kill -TERM $$'; exit"}, 143, ""},
			{"not found", []string{"no-such-program"}, 127, `"no-such-program": executable`},
			{"no such path", []string{"/no/such/file"}, 127, "/no/such/file: no such file"},
			{"a directory", []string{"/usr"}, 126, "/usr"},
			{"empty name", []string{""}, 127, "executable file not found"},
			{"end of flags", []string{"--", "sh", "-c", "exit 7"}, 7, ""},
			{"a command like a flag", []string{"--", "-h"}, 127, `"-h": executable`},
			{"a command like their end", []string{"--", "--"}, 127, `"--": executable`},
			{"an experiment's name", []string{"--", "test:first"}, 127, `"test:first": executable`},
			{"flag", []string{"--no-such-flag"}, 125, "unknown flag --no-such-flag"},
			{"a path for the terminal", []string{"/no/\x1b]0;title\a\n\u009bm"}, 127,
				`/no/\x1b]0;title\a\n\u009bm: no such file`},
			{"a flag for the terminal", []string{"--\x1b]0;title\a"}, 125, `--\x1b]0;title\a`},
			{"a long path", []string{"/" + strings.Repeat("n", 1<<16)}, 126, "nnn ..."},
		} {
			t.Run(c.name, func(t *testing.T) {
				r := u.Run(t, c.command...)
				if r.Status != c.status {
					t.Errorf("exit status %d, want %d; %q", r.Status, c.status, r.Stderr)
				}
				Contains(t, r.Stderr, c.says)
				if c.says == "" && r.Stderr != "" {
					t.Errorf("standard error %q, want none", r.Stderr)
				}
				if c.says != "" && !strings.HasPrefix(r.Stderr, step.Name+": ") {
					t.Errorf("standard error doesn't begin with %s: %q", step.Name, r.Stderr)
				}
				if line := strings.TrimSuffix(r.Stderr, "\n"); len(line) > 5000 ||
					strings.ContainsFunc(line, unicode.IsControl) {
					t.Errorf("not a line to be shown: %q", r.Stderr)
				}
				if r.Stdout != "" {
					t.Errorf("standard output %q, want none", r.Stdout)
				}
			})
		}
	})
}

// Help asks for help, which is no error.
func Help(t *testing.T) {
	for _, flag := range []string{"-h", "-help", "--help"} {
		Contains(t, Caller().Output(t, flag), "usage: "+step.Name+" [COMMAND")
	}
}

// StandardStreams passes bytes through, and runs with standard input closed.
func StandardStreams(t *testing.T) {
	AsEveryUser(t, func(t *testing.T, u User) {
		data := strings.Repeat("\x00\xff\r\n", 50_000)
		cmd := u.Program("cat")
		cmd.Stdin = strings.NewReader(data)
		if out := Output(t, cmd); out != data {
			t.Errorf("cat returned %d bytes of %d, or others", len(out), len(data))
		}
		out := u.Output(t, "test:close-stdin", "sh", "-c", "echo fine")
		if out != "fine\n" {
			t.Errorf("with standard input closed: %q", out)
		}
	})
}

// FullDisk: a lesson or a usage text that can't be printed is an error. A script must not take it
// for a success.
func FullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	for arg, want := range map[string]string{"test:say": "host       here\n", "-h": "usage: "} {
		AsEveryUser(t, func(t *testing.T, u User) {
			Contains(t, u.Output(t, arg), want) // the control
			cmd := u.Program(arg)
			cmd.Stdout = full
			var said strings.Builder
			cmd.Stderr = &said
			err := cmd.Run()
			if err == nil || cmd.ProcessState.ExitCode() != 125 {
				t.Errorf("%s > /dev/full: %v, want exit status 125", arg, err)
			}
			Contains(t, said.String(), "write /dev/stdout: no space left on device")
		})
	}
}

// FiftyAtOnce runs many at the same time; each must be right, and none may be left. With -short, as
// on an emulated machine, they are ten.
func FiftyAtOnce(t *testing.T) {
	AsEveryUser(t, func(t *testing.T, u User) {
		w := NewWatch(t)
		var all sync.WaitGroup
		many := 50
		if testing.Short() {
			many = 10
		}
		for i := range many {
			all.Go(func() {
				cmd := u.Program("sh", "-c", fmt.Sprintf("echo %d; exit %d", i, i))
				cmd.Env = w.Env()
				r := Run(t, cmd)
				r.forgiveSlowPasta() // fifty of them start at once
				if r.Stdout != fmt.Sprintln(i) || r.Status != i || r.Stderr != "" {
					t.Errorf("number %d: %+v", i, r)
				}
			})
		}
		all.Wait()
		w.NothingLeft(t)
	})
}

// init adds what these checks run in the program's place, before they become the program.
func init() {
	experiments["test:say"] = func([]string) error {
		step.Say("host", "here")
		return nil
	}
	experiments["test:close-stdin"] = func(args []string) error {
		return errors.Join(unix.Close(0), become(args))
	}
}
