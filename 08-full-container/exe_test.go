//go:build linux

// The program behind /proc/1/exe, attacked.

package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestProgramOutlivesItsContainer is CVE-2019-5736 with patience. A process inside takes hold of
// the program that started it, /proc/self/exe, and gives it away, through its standard input.
// Nobody can write to a program that is running (ETXTBSY); so who got it waits until all are gone.
// The control is a plain copy of the program, of the same owner.
func TestProgramOutlivesItsContainer(t *testing.T) {
	asEveryUser(t, func(t *testing.T, u user) {
		if got := overwrite(t, program(u, "/proc/self/exe", "test:give-away")); got != "EPERM" {
			t.Errorf("writing to the container's program: %s, want EPERM", got)
		}
		dir := t.TempDir()
		own, err := os.ReadFile("/proc/self/exe")
		if err != nil {
			t.Fatal(err)
		}
		plain := filepath.Join(dir, "plain")
		if err := os.WriteFile(plain, own, 0o755); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(plain, "test:give-away")
		cmd.Args[0] = step
		if got := overwrite(t, cmd); got != "ok" {
			t.Errorf("the control, writing to a plain copy: %s", got)
		}
	})
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
	out := expect(t, cmd)
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

// TestSeals tries each way to change the copy, before it has run and after. It has to run.
func TestSeals(t *testing.T) {
	program, err := sealedProgram()
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
		cmd := exec.Command("/proc/self/fd/3", "test:copy")
		cmd.Args[0] = step
		cmd.ExtraFiles = []*os.File{program}
		if out := expect(t, cmd); out != "runs\n" {
			t.Errorf("the copy says %q", out)
		}
	}
}

// second is the error of a call that returns something else as well.
func second[T any](_ T, err error) error { return err }

// init adds what runs as a copy.
func init() {
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
