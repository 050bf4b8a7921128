//go:build linux

// Standard streams of every kind, opened by name inside.

package steptest

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// StreamsByName opens each stream by name. Root's container has no ID for the owner of what
// root hands in; an ordinary user's has.
func StreamsByName(t *testing.T) {
	AsEveryUser(t, func(t *testing.T, u User) {
		for kind, wanted := range map[string]map[string]string{
			"pipe":     {"root": "ok", "user": "ok"},
			"file":     {"root": "denied", "user": "ok"},
			"fifo":     {"root": "denied", "user": "ok"},
			"terminal": {"root": "denied", "user": "ok"},
			"socket":   {"root": "denied", "user": "denied"}, // as outside
		} {
			for fd, name := range []string{"stdin", "stdout", "stderr"} {
				got := OpenByName(t, u, kind, fd, func(args ...string) *exec.Cmd {
					return u.Program(args...)
				})
				if got != wanted[u.Name] {
					t.Errorf("%s as /dev/%s: %s, want %s", kind, name, got, wanted[u.Name])
				}
			}
		}
	})
}

// OpenByName has a command open a stream of some kind by its name, and returns "ok" or "denied".
// Nothing may change of what the stream is on the host, but for a pipe's mode.
func OpenByName(t *testing.T, u User, kind string, fd int,
	program func(args ...string) *exec.Cmd) string {
	t.Helper()
	theirs, ours := stream(t, kind, fd)
	defer theirs.Close()
	defer ours.Close()
	if err := unix.Fchown(int(theirs.Fd()), u.UID, u.GID()); err != nil {
		t.Fatal(err)
	}
	var before, after unix.Stat_t
	if err := unix.Fstat(int(theirs.Fd()), &before); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	var cmd *exec.Cmd
	switch fd {
	case 0:
		if _, err := ours.WriteString("hi\n"); err != nil {
			t.Fatal(err)
		}
		cmd = program("sh", "-c", `read line < /dev/stdin && echo "$line"`)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs, &text, &text
	case 1:
		cmd = program("sh", "-c", "echo hi > /dev/stdout")
		cmd.Stdout, cmd.Stderr = theirs, &text
	case 2:
		cmd = program("sh", "-c", "exec 2> /dev/stderr && echo hi >&2 || echo denied")
		cmd.Stdout, cmd.Stderr = &text, theirs
	}
	failed := cmd.Run()
	if err := unix.Fstat(int(theirs.Fd()), &after); err != nil {
		t.Fatal(err)
	}
	mode := before.Mode
	if kind == "pipe" {
		mode = unix.S_IFIFO | []uint32{0o644, 0o622, 0o622}[fd]
	}
	if after.Mode != mode || after.Uid != before.Uid || after.Gid != before.Gid {
		t.Errorf("%s as stream %d: owner %d:%d and mode %o, before %d:%d and %o",
			kind, fd, after.Uid, after.Gid, after.Mode, before.Uid, before.Gid, before.Mode)
	}
	theirs.Close()
	if failed != nil {
		if fd < 2 && !strings.Contains(text.String(), "ermission denied") &&
			!strings.Contains(text.String(), "o such device") {
			t.Errorf("%s as stream %d: %v, %s", kind, fd, failed, &text)
		}
		return "denied"
	}
	if fd > 0 {
		buffer := make([]byte, 10)
		n, err := ours.Read(buffer)
		if err != nil {
			t.Errorf("%s as stream %d: %v", kind, fd, err)
		}
		text.Write(buffer[:n])
	}
	if strings.TrimSpace(text.String()) != "hi" {
		t.Errorf("%s as stream %d: %q", kind, fd, &text)
	}
	return "ok"
}

// RefusedStreamIsExplained has commands name a file of root's that they get as a stream. There
// is one line for those that can't open it, and none for any other command.
func RefusedStreamIsExplained(t *testing.T) {
	refused := step.Name + ": the command can't open /dev/%s by name, because its owner is a " +
		"user of the host (use a pipe: %s)\n"
	AsEveryUser(t, func(t *testing.T, u User) {
		for _, c := range []struct {
			kind, script, want string
			fd                 int
		}{
			{"file", "cat /dev/stdin",
				fmt.Sprintf(refused, "stdin", "cat FILE | COMMAND"), 0},
			{"file", ": > /dev/stdout",
				fmt.Sprintf(refused, "stdout", "COMMAND | cat > FILE"), 1},
			{"file", ": > /dev/stderr",
				fmt.Sprintf(refused, "stderr", "COMMAND 2>&1 | cat > FILE"), 2},
			{"file", ": > /dev/null", "", 1},
			{"pipe", ": > /dev/stdout", "", 1},
			{"socket", ": > /dev/stdout", "", 1}, // no Linux opens it
		} {
			theirs, ours := stream(t, c.kind, c.fd)
			if err := theirs.Chown(u.UID, u.GID()); err != nil {
				t.Fatal(err)
			}
			var text strings.Builder
			cmd := u.Program("sh", "-c", c.script)
			cmd.Stderr = &text
			switch c.fd {
			case 0:
				cmd.Stdin = theirs
			case 1:
				cmd.Stdout = theirs
			case 2:
				cmd.Stderr = theirs
			}
			_ = cmd.Run() // StreamsByName checks that
			if c.fd == 2 {
				if _, err := io.Copy(&text, ours); err != nil {
					t.Fatal(err)
				}
			}
			theirs.Close()
			ours.Close()
			if u.UID != 0 {
				c.want = "" // the file's owner, inside as well
			}
			explained := strings.Contains(text.String(), "use a pipe")
			if explained != (c.want != "") || !strings.HasPrefix(text.String(), c.want) {
				t.Errorf("%s, %s: %q, want %q", c.kind, c.script, &text, c.want)
			}
		}
	})
}

// stream makes a stream of some kind, mode 0600: their end, which is for descriptor fd, and ours.
func stream(t *testing.T, kind string, fd int) (theirs, ours *os.File) {
	t.Helper()
	access := os.O_WRONLY
	if fd == 0 {
		access = os.O_RDONLY
	}
	path := filepath.Join(t.TempDir(), "f")
	var err error
	switch kind {
	case "pipe":
		reader, writer, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		if fd == 0 {
			return reader, writer
		}
		return writer, reader
	case "socket":
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		return os.NewFile(uintptr(pair[0]), kind), os.NewFile(uintptr(pair[1]), kind)
	case "terminal":
		if ours, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
			t.Fatal(err)
		}
		number, err := unix.IoctlGetInt(int(ours.Fd()), unix.TIOCGPTN)
		if err == nil {
			err = unix.IoctlSetPointerInt(int(ours.Fd()), unix.TIOCSPTLCK, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
		path, access = fmt.Sprint("/dev/pts/", number), os.O_RDWR|unix.O_NOCTTY
	case "fifo":
		err = unix.Mkfifo(path, 0o600)
	case "file":
		err = os.WriteFile(path, nil, 0o600)
	}
	if err == nil && ours == nil {
		ours, err = os.OpenFile(path, os.O_RDWR, 0) // which waits for no other end
	}
	if err == nil {
		theirs, err = os.OpenFile(path, access, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	return theirs, ours
}

// PipeBothWays has one pipe between two containers that start at the same time, and opens it by
// name at both ends, again and again: neither may take the other's permission back. And neither may
// open it in the other direction.
func PipeBothWays(t *testing.T) {
	AsEveryUser(t, func(t *testing.T, u User) {
		for range 10 {
			reader, writer, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := writer.Chown(u.UID, u.GID()); err != nil {
				t.Fatal(err)
			}
			left := u.Program("sh", "-c", "echo hi > /dev/stdout")
			right := u.Program("cat", "/dev/stdin")
			var said strings.Builder
			left.Stdout, left.Stderr, right.Stdin = writer, &said, reader
			if err := left.Start(); err != nil {
				t.Fatal(err)
			}
			writer.Close()
			out := Run(t, right)
			reader.Close()
			err = left.Wait()
			if err != nil || said.String() != "" || out != (Result{"hi\n", "", 0}) {
				t.Errorf("one wrote with %v, %q, the other read %+v", err, &said, out)
			}
		}
		if u.UID != 0 {
			return // its own pipe; outside, it can open that either way as well
		}
		reader, writer, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer reader.Close()
		defer writer.Close()
		if _, err := io.WriteString(writer, "of another program\n"); err != nil {
			t.Fatal(err)
		}
		cmd := u.Program("sh", "-c", "head -n 1 < /dev/stdout >&2")
		var said strings.Builder
		cmd.Stdout, cmd.Stderr = writer, &said
		if err := cmd.Run(); err == nil || !strings.Contains(said.String(), "ermission denied") {
			t.Errorf("read from standard output: %v, %q", err, &said)
		}
	})
}

// PermissionsAddUp adds a permission at both ends of a pipe at the same time, many times over.
func PermissionsAddUp(t *testing.T, add func(fd int, mode uint32)) {
	for range 3000 {
		reader, writer, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		var both sync.WaitGroup
		both.Go(func() { add(int(reader.Fd()), 0o044) })
		both.Go(func() { add(int(writer.Fd()), 0o022) })
		both.Wait()
		info, err := reader.Stat()
		reader.Close()
		writer.Close()
		if err != nil || info.Mode().Perm() != 0o666 {
			t.Fatalf("%v, %v; want 0666", info.Mode(), err)
		}
	}
}

// SharedOffset writes to one file from two containers. They share its offset, as two commands
// of a shell do, and opening it by name truncates it.
func SharedOffset(t *testing.T) {
	AsEveryUser(t, func(t *testing.T, u User) {
		file, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if err := file.Chown(u.UID, u.GID()); err != nil {
			t.Fatal(err)
		}
		scripts := []string{"echo one", "echo two"}
		want := "one\ntwo\n"
		if u.UID != 0 {
			scripts = append(scripts, "echo 3 > /dev/stdout")
			want = "3\n"
		}
		for _, script := range scripts {
			cmd := u.Program("sh", "-c", script)
			cmd.Stdout = file
			if err := cmd.Run(); err != nil {
				t.Error(err)
			}
		}
		if text, err := os.ReadFile(file.Name()); string(text) != want {
			t.Errorf("%q, %v; want %q", text, err, want)
		}
	})
}
