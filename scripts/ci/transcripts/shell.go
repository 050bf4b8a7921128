//go:build linux

// The two shells of a block, the host's and the container's, and how to know where an output ends.

package transcripts

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

var (
	errEnded   = errors.New("the shell has ended")
	errTimeout = errors.New("timed out")
	errTooLong = errors.New("printed more than 1 MiB")
)

// output is what a shell and its commands print, both streams in one pipe as on a terminal. After
// each command the shell prints a mark with the exit status: random text that nothing else prints.
type output struct {
	pipe *os.File
	buf  []byte
	mark string
}

// newOutput makes the pipe; its write end is the caller's to close.
func newOutput() (*output, *os.File, error) {
	r, w, err := os.Pipe()
	return &output{pipe: r, mark: rand.Text()}, w, err
}

// next returns what is printed before the next mark, and the status there. At the end of the
// output it returns the rest and errEnded.
func (o *output) next(deadline time.Time) (text string, status int, err error) {
	re := regexp.MustCompile(o.mark + `(!?) (\d+)\n`)
	if err := o.pipe.SetReadDeadline(deadline); err != nil {
		return "", 0, err
	}
	chunk := make([]byte, 64<<10)
	for {
		if at := re.FindSubmatchIndex(o.buf); at != nil {
			text = string(o.buf[:at[0]])
			if at[2] < at[3] {
				err = errEnded // the mark of the end
			}
			status, _ = strconv.Atoi(string(o.buf[at[4]:at[5]]))
			o.buf = o.buf[at[1]:]
			return text, status, err
		}
		if len(o.buf) > 1<<20 {
			return o.rest(), 0, errTooLong
		}
		n, err := o.pipe.Read(chunk)
		o.buf = append(o.buf, chunk[:n]...)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return o.rest(), 0, errTimeout
		case err == io.EOF && !re.Match(o.buf):
			return o.rest(), 0, errEnded
		case err != nil && err != io.EOF:
			return o.rest(), 0, err
		}
	}
}

// rest takes what has been read and not been returned.
func (o *output) rest() string {
	text := string(o.buf)
	o.buf = nil
	return text
}

// terminal plays the reader's part in one block: a bash on the host, and perhaps the shell that a
// command of it started in a container.
type terminal struct {
	cmd    *exec.Cmd
	in     *os.File
	out    *output
	status int // of the last command, for $?
	ended  bool

	inner *inner
}

// inner is the shell in the container.
type inner struct {
	in      *os.File
	out     *output
	status  int
	ended   bool
	noStdin string // what gives a command an empty standard input
	after   string // the lines that this needs after the command
	fed     int    // lines that the shell has read
	typed   int    // lines that a reader would have typed
}

// open starts the host's shell. The container's pipes are made here too, since bash must inherit
// them: they are its file descriptors 3 and 4.
func (r *runner) open(withInner bool) (*terminal, error) {
	t := &terminal{}
	var passed []*os.File
	defer func() {
		for _, f := range passed {
			f.Close()
		}
	}()
	// pass keeps an end of a pipe for the child, and lets the child's user open it again by the
	// name /dev/stderr, as on a terminal.
	pass := func(f *os.File) *os.File {
		passed = append(passed, f)
		if r.user != nil {
			_ = f.Chown(int(r.user.Uid), int(r.user.Gid))
		}
		return f
	}
	stdin, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	t.in = in
	out, stdout, err := newOutput()
	if err != nil {
		return nil, err
	}
	t.out = out
	t.cmd = exec.Command("bash")
	t.cmd.Dir = r.dir
	t.cmd.Env = r.env
	t.cmd.Stdin = pass(stdin)
	t.cmd.Stdout = pass(stdout)
	t.cmd.Stderr = stdout
	// A session of its own has no terminal, wherever the tests run, and tells later which
	// processes are the block's.
	t.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: r.user}
	if withInner {
		stdin, in, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		out, stdout, err := newOutput()
		if err != nil {
			return nil, err
		}
		t.inner = &inner{in: in, out: out}
		t.cmd.ExtraFiles = []*os.File{pass(stdin), pass(stdout)}
	}
	if err := t.cmd.Start(); err != nil {
		return nil, err
	}
	_, err = io.WriteString(t.in, restore)
	return t, err
}

// restore defines a function that sets $?, which printing the mark has changed. It must be a
// function: anything else would either fork, and so use up a process id, or can't return 7.
const restore = `_s() { return "$1"; }` + "\n"

// host runs a command in the host's shell and returns what it prints.
func (t *terminal) host(command string, timeout time.Duration) (string, error) {
	if t.ended {
		return "", errEnded
	}
	line := fmt.Sprintf("_s %d; eval %s </dev/null 3<&- 4>&-; echo \"%s $?\"\n",
		t.status, quote(command), t.out.mark)
	if err := write(t.in, line, timeout); err != nil {
		return "", err
	}
	return t.hostOutput(timeout)
}

// hostOutput reads up to the mark of the host's shell.
func (t *terminal) hostOutput(timeout time.Duration) (text string, err error) {
	text, t.status, err = t.out.next(time.Now().Add(timeout))
	if err == errEnded { // as `exit` and `exec` do; the output is complete
		t.ended, err = true, nil
	}
	return asTyped(text), err
}

// start runs the command that is the shell in the container, and returns what it prints until it
// reads its first line. It is a grandchild of the host's shell, so that `wait`, `jobs` and $! don't
// know of it; and set -m, since a shell without job control starts what is in the background with
// SIGINT ignored, which would hold in all of the container.
func (t *terminal) start(command string, timeout time.Duration) (string, error) {
	i := t.inner
	line := fmt.Sprintf("(set -m; { _s %d; eval %s; echo \"%s! $?\"; } <&3 >&4 2>&4 3<&- 4>&- &); "+
		"exec 3<&- 4>&-; echo \"%s 0\"\n", t.status, quote(command), i.out.mark, t.out.mark)
	if err := write(t.in, line, timeout); err != nil {
		return "", err
	}
	if _, err := t.hostOutput(timeout); err != nil {
		return "", err
	}
	// The jail of a chapter may have no /dev.
	first := restore + "if [ -e /dev/null ]; then echo \"" + i.out.mark + " 1\"; else echo \"" +
		i.out.mark + " 0\"; fi\n"
	i.fed = strings.Count(first, "\n")
	if err := write(i.in, first, timeout); err != nil {
		return "", err
	}
	text, hasNull, err := i.out.next(time.Now().Add(timeout))
	i.noStdin, i.after = "<<!", "!\n"
	if hasNull == 1 {
		i.noStdin, i.after = "</dev/null", ""
	}
	if err == errEnded {
		i.ended, err = true, nil
	}
	return asTyped(text), err
}

// inside runs a command in the container's shell and returns what it prints. The shell may be any
// POSIX shell; eval would leave its mark in the error messages of some.
func (t *terminal) inside(command string, timeout time.Duration) (string, error) {
	i := t.inner
	if i.ended {
		return "", errEnded
	}
	lines := fmt.Sprintf("{ _s %d; %s\n} %s; echo \"%s $?\"\n%s",
		i.status, command, i.noStdin, i.out.mark, i.after)
	if err := write(i.in, lines, timeout); err != nil {
		return "", err
	}
	text, status, err := i.out.next(time.Now().Add(timeout))
	length := strings.Count(command, "\n") + 1
	text = renumber(text, i.fed, i.typed, length)
	i.fed += strings.Count(lines, "\n")
	i.typed += length
	i.status = status
	if err == errEnded {
		i.ended, i.status, err = true, 0, nil
	}
	return asTyped(text), err
}

// close ends the shells by end-of-file, kills what the block has left running, and returns what
// went wrong in that.
func (t *terminal) close(timeout, grace time.Duration) (problems []string) {
	if i := t.inner; i != nil {
		i.in.Close()
		if !i.ended {
			text, _, err := i.out.next(time.Now().Add(timeout))
			if err != nil && err != errEnded {
				problems = append(problems, "the container's shell at its end: "+err.Error())
			}
			// What is printed now has no place in the chapter. go run's word on the exit status
			// is no news, the rest is.
			text = strings.TrimSpace(goRunStatus.ReplaceAllString(text, ""))
			if text != "" {
				problems = append(problems, "the container's shell printed at its end: "+text)
			}
		}
	}
	// The shell first gets a moment of its own: it may have a trap on EXIT that cleans up.
	t.in.Close()
	for end := time.Now().Add(timeout); !t.exited() && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
	// Until Wait below, no other process can have the shell's PID, which is the session's ID.
	killSession(t.cmd.Process.Pid)
	_ = t.cmd.Wait()

	// Containers need a moment to follow. Whatever still holds the pipes then has left the session
	// and outlived its parents, which nothing in a chapter may do.
	deadline := time.Now().Add(grace)
	outlived := !t.out.closes(deadline)
	if t.inner != nil && !t.inner.out.closes(deadline) {
		outlived = true
	}
	if outlived {
		problems = append(problems, "a process that the block started has outlived it")
	}
	return problems
}

// closes reports whether all who can write to the pipe have gone by the deadline.
func (o *output) closes(deadline time.Time) bool {
	defer o.pipe.Close()
	if err := o.pipe.SetReadDeadline(deadline); err != nil {
		return false
	}
	_, err := io.Copy(io.Discard, o.pipe)
	return err == nil
}

// goRunStatus is what `go run` says of a command that failed.
var goRunStatus = regexp.MustCompile(`(?m)^(exit status \d+|signal: .*)$`)

// exited reports whether the host's shell has, and leaves it to be waited for.
func (t *terminal) exited() bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, t.cmd.Process.Pid, &info,
		unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	return err != nil || info.Signo != 0
}

// kill ends the block's processes at once, where one of them doesn't answer.
func (t *terminal) kill() {
	killSession(t.cmd.Process.Pid)
}

// killSession kills the processes of a session until there are none. Some may be forking.
func killSession(session int) {
	for range 200 {
		alive := false
		stats, _ := filepath.Glob("/proc/[0-9]*/stat")
		for _, name := range stats {
			stat, err := os.ReadFile(name)
			if err != nil {
				continue // it has gone
			}
			// The command's name, in brackets, may hold anything. After it: state, parent,
			// process group, session (proc_pid_stat(5)).
			fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
			if len(fields) < 4 || string(fields[3]) != strconv.Itoa(session) ||
				bytes.ContainsAny(fields[0], "ZX") {
				continue
			}
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			if err == nil && unix.Kill(pid, unix.SIGKILL) == nil {
				alive = true
			}
		}
		if !alive {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// write feeds a shell, which may have stopped reading.
func write(to *os.File, text string, timeout time.Duration) error {
	if err := to.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	_, err := io.WriteString(to, text)
	switch {
	case errors.Is(err, syscall.EPIPE):
		return nil // it has ended; its output tells
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errTimeout
	}
	return err
}

// quote makes text one word of a shell.
func quote(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

var (
	bashLine   = regexp.MustCompile(`(?m)^bash: (?:eval: )?line \d+: `)
	shLine     = regexp.MustCompile(`(?m)^sh: line \d+: `)
	bashKilled = regexp.MustCompile(
		`(?m)^bash: +(?:line \d+: +)?\d+ (\w[\w ]*?)(?: \(core dumped\))?  +.*$`)
	shNumber = regexp.MustCompile(`(?m)^(\S*\bsh): (\d+): `)
)

// asTyped makes the messages of a shell those that it has for a reader at a terminal: there bash
// counts no lines, and of a command that a signal ended it only says “Killed”.
func asTyped(text string) string {
	text = bashKilled.ReplaceAllString(text, "$1")
	text = bashLine.ReplaceAllString(text, "bash: ")
	return shLine.ReplaceAllString(text, "sh: ")
}

// renumber corrects the line numbers in dash's messages, which it gives at a terminal too (sh: 2:
// foo: not found): it has read more lines than a reader types. Of others' numbers it keeps off.
func renumber(text string, fed, typed, length int) string {
	return shNumber.ReplaceAllStringFunc(text, func(m string) string {
		sub := shNumber.FindStringSubmatch(m)
		n, err := strconv.Atoi(sub[2])
		if err != nil || n <= fed || n > fed+length {
			return m
		}
		return fmt.Sprintf("%s: %d: ", sub[1], n-fed+typed)
	})
}
