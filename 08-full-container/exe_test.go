//go:build linux

// The program behind /proc/1/exe, attacked.

package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	"jail-to-container/scripts/steptest"
)

// TestProgramOutlivesItsContainer is CVE-2019-5736 with patience. A process inside takes hold of
// the program that started it, /proc/self/exe, and passes it on, through its standard input. A
// running program can't be written to (ETXTBSY), so the attacker waits until every process of the
// container has ended. The control does the same without a container.
func TestProgramOutlivesItsContainer(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		inner := u.Program("/proc/self/exe", "test:give-away")
		inner.Path = plainCopy(t, u)
		got := overwrite(t, inner)
		if got != "EROFS" && got != "EPERM" { // the mount, or the copy
			t.Errorf("writing to the container's program: %s", got)
		}
		outer := u.Program("test:give-away")
		outer.Path = inner.Path
		if got := overwrite(t, outer); got != "ok" {
			t.Errorf("the control: %s", got)
		}
	})
}

// plainCopy returns the path of a copy of this program that belongs to the user, and that nothing
// runs from.
func plainCopy(t *testing.T, u steptest.User) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "plain-") // t.TempDir's parent isn't open to other users
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "plain")
	t.Cleanup(func() {
		if err := errors.Join(os.Remove(path), os.Remove(dir)); err != nil {
			t.Error(err)
		}
	})
	own, err := os.ReadFile("/proc/self/exe")
	if err := errors.Join(err, os.Chmod(dir, 0o755), os.WriteFile(path, own, 0o755),
		os.Chown(path, u.UID, -1)); err != nil {
		t.Fatal(err)
	}
	return path
}

// overwrite runs a command that gives a file away, waits for its end, and writes to the file.
func overwrite(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(ends[0]), "ours"), os.NewFile(uintptr(ends[1]), "theirs")
	defer ours.Close()
	cmd.Stdin = theirs
	out := steptest.Output(t, cmd)
	theirs.Close()
	connection, err := net.FileConn(ours)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	var word, control [64]byte
	_, n, _, _, err := connection.(*net.UnixConn).ReadMsgUnix(word[:], control[:])
	if err != nil {
		t.Fatalf("%q: %v", out, err)
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil || len(messages) != 1 {
		t.Fatalf("%d messages, %v", len(messages), err)
	}
	given, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(given[0])
	again, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", given[0]), os.O_RDWR, 0)
	if err == nil {
		_, err = again.WriteAt([]byte("#!/tmp/evil\n"), 0)
		again.Close()
	}
	return firstWord(errno(err))
}

// TestReadOnlyProgram tries each way to change the program by its mount, or to get from there to
// another.
func TestReadOnlyProgram(t *testing.T) {
	us := steptest.Caller()
	outer := us.Program("test:read-only")
	outer.Path = plainCopy(t, us)
	mayNot := error(unix.EINVAL)
	if !holds(unix.CAP_SYS_ADMIN) {
		// An ordinary user may mount in a user namespace. It is the test that may not, here.
		mayNot = unix.EPERM
		outer.SysProcAttr.Cloneflags = unix.CLONE_NEWUSER | unix.CLONE_NEWNS
		outer.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
	}
	helper, line, err := start(outer)
	if err != nil {
		t.Fatal(err)
	}
	defer helper.end()
	if line != "ready" {
		t.Fatalf("it says %q", line)
	}
	exe := fmt.Sprintf("/proc/%d/exe", helper.cmd.Process.Pid)
	writable := &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}
	if unix.MountSetattr(unix.AT_FDCWD, exe, 0, writable) == unix.ENOSYS {
		return // before Linux 5.12 it is a copy, and TestSeals is about that
	}
	for _, c := range []struct {
		way  string
		err  error
		want error
	}{
		{"shorten", unix.Truncate(exe, 0), unix.EROFS},
		{"change its mode", unix.Chmod(exe, 0o777), unix.EROFS},
		{"give it away", unix.Chown(exe, steptest.Ordinary.UID, -1), unix.EROFS},
		{"link it", unix.Linkat(unix.AT_FDCWD, exe, unix.AT_FDCWD, t.TempDir()+"/x",
			unix.AT_SYMLINK_FOLLOW), unix.EXDEV},
		{"set the mount writable", unix.MountSetattr(unix.AT_FDCWD, exe, 0, writable), mayNot},
		{"remount", unix.Mount("none", exe, "", unix.MS_REMOUNT|unix.MS_BIND, ""), mayNot},
	} {
		if c.err != c.want {
			t.Errorf("%s: %v, want %v", c.way, c.err, c.want)
		}
	}
}

// runFrom prepares a program that is open here to be run.
func runFrom(program *os.File, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/fd/3", args...)
	cmd.Args[0] = step
	cmd.ExtraFiles = []*os.File{program}
	return cmd
}

// TestSeals tries each way to change the copy, before it has run and after. It has to run.
func TestSeals(t *testing.T) {
	program, err := copiedProgram()
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	const hole = unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE
	const more = unix.F_SEAL_FUTURE_WRITE
	for _, when := range []string{"before", "after"} {
		size := func() int64 {
			info, err := program.Stat()
			if err != nil {
				t.Fatal(err)
			}
			return info.Size()
		}
		before := size()
		fd := int(program.Fd())
		for way, err := range map[string]error{
			"write":     second(unix.Pwrite(fd, []byte("x"), 0)),
			"append":    second(unix.Pwrite(fd, []byte("x"), before)),
			"shorten":   unix.Ftruncate(fd, 0),
			"punch":     unix.Fallocate(fd, hole, 0, 4096),
			"more room": unix.Fallocate(fd, 0, before, 4096),
			"map":       second(unix.Mmap(fd, 0, 4096, unix.PROT_WRITE, unix.MAP_SHARED)),
			"seal":      second(unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, more)),
		} {
			if err != unix.EPERM {
				t.Errorf("%s, %s it has run: %v, want EPERM", way, when, err)
			}
		}
		if size() != before {
			t.Errorf("the size was %d and is %d", before, size())
		}
		if out := steptest.Output(t, runFrom(program, "test:copy")); out != "runs\n" {
			t.Errorf("the copy says %q", out)
		}
	}
}

// second is the error of a call that returns something else as well.
func second[T any](_ T, err error) error { return err }

// init adds what runs as a copy.
func init() {
	// test:read-only becomes what runs from its own sealed program, and holds nothing else of it.
	experiments["test:read-only"] = func([]string) error {
		program, err := sealedProgram()
		if err != nil {
			return err
		}
		path := fmt.Sprintf("/proc/self/fd/%d", program.Fd())
		return unix.Exec(path, []string{step, "test:hold"}, os.Environ())
	}
	experiments["test:copy"] = func([]string) error {
		fmt.Println("runs")
		return nil
	}
	experiments["test:give-away"] = func([]string) error {
		own, err := os.Open("/proc/self/exe")
		if err != nil {
			return err
		}
		defer own.Close()
		rights := unix.UnixRights(int(own.Fd()))
		return os.NewSyscallError("sendmsg", syscall.Sendmsg(0, []byte("here"), rights, nil, 0))
	}
}
