//go:build linux

// Subordinate IDs, and whose quotas a container uses up.

package steptest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// SubUIDs and SubGIDs give the ordinary user other groups than users, and fewer.
const SubUIDs, SubGIDs = "12345:200000:65536\n", "12345:300000:49999\n"

// GiveIDs makes these texts /etc/subuid and /etc/subgid in this process's mount namespace, which
// must be its own. newuidmap(1) also wants to find the caller and its group in /etc/passwd.
func GiveIDs(uids, gids string) error {
	accounts, err := os.ReadFile("/etc/passwd")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "ids-")
	if err != nil {
		return err
	}
	err = unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	for path, text := range map[string]string{
		"/etc/subuid": uids, "/etc/subgid": gids,
		"/etc/passwd": string(accounts) + fmt.Sprintf("ordinary:x:%d:%d::/:/bin/sh\n",
			ordinary, ordinaryGroup),
	} {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("%w (it comes in the package passwd or uidmap)", err)
		}
		file := filepath.Join(dir, filepath.Base(path))
		err = errors.Join(err, os.WriteFile(file, []byte(text), 0o644),
			unix.Mount(file, path, "", unix.MS_BIND, ""), os.Remove(file)) // the mount holds it
	}
	return errors.Join(err, os.Remove(dir))
}

// RootsRanges gives root ranges of its own, other groups than users, and looks for them inside. If
// the step needs nothing else of the host's, it also starts in a user namespace that has fewer IDs:
// a range that isn't there can't be given on, and the container gets another.
func RootsRanges(t *testing.T) {
	text, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		t.Fatal(err)
	}
	if os.Getuid() != 0 || !strings.Contains(string(text), "4294967295") {
		Skip(t,
			"only the host's root can give ranges away; run it as root, in no user namespace")
	}
	Ready(t, Root)
	for given, want := range map[string]string{
		"root:500000:65536": "0 500000 65536 0 700000 65536",
		"root:500000:65535": "0 2100000000 65536 0 700000 65536", // too few
	} {
		cmd := self("test:roots-ranges", given)
		cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWNS
		if out := strings.Join(strings.Fields(Output(t, cmd)), " "); out != want {
			t.Errorf("with %s: maps of users and groups: %q, want %q", given, out, want)
		}
	}
	if slices.Contains(step.Namespaces, "net") {
		return
	}
	cmd := self("test:roots-ranges", "root:1000000000:65536")
	cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWNS | unix.CLONE_NEWUSER
	few := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1_000_000_000}}
	cmd.SysProcAttr.UidMappings, cmd.SysProcAttr.GidMappings = few, few
	out := strings.Fields(Output(t, cmd))
	if len(out) != 6 || out[1] == "0" || out[2] != "65536" {
		t.Errorf("with a range that isn't there: maps of users and groups: %q", out)
	}
}

// QuotaOfRoot queues a hundred signals inside, and looks how many the host counts as root's.
// The control queues them outside.
func QuotaOfRoot(t *testing.T) {
	if os.Getuid() != 0 || !Holds(unix.CAP_SYS_PTRACE) {
		Skip(t, "only root with CAP_SYS_PTRACE starts such containers; run it as root")
	}
	Ready(t, Root)
	queued := func() (count int) {
		text, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(text), "\nSigQ:")
		if _, err := fmt.Sscanf(rest, "%d/", &count); err != nil {
			t.Fatal(err)
		}
		return count
	}
	for _, c := range []struct {
		args    []string
		counted bool
	}{
		{[]string{"/proc/self/exe", "test:queue"}, false},
		{[]string{"test:queue"}, true},
	} {
		before := queued()
		line, end, err := begin(Root.Program(c.args...))
		if err != nil || line != "100 queued" {
			t.Fatalf("%v: %q, %v", c.args, line, err)
		}
		more := queued() - before
		if err := end(); err != nil {
			t.Errorf("%v: %v", c.args, err)
		}
		if more < 50 == c.counted { // the machine's root may have some of its own meanwhile
			t.Errorf("%v: %d more signals are queued for the host's root", c.args, more)
		}
	}
}

// ThreadAfterwards compares what a thread is before and after it has started a container: its
// user, its capabilities and the signal that it dies with.
func ThreadAfterwards(t *testing.T) {
	if out := Caller().Output(t, "test:start-owned"); out != "the same\n" {
		t.Error(out)
	}
}

// PrivateProgram starts a program that only its owner can execute, as umask 077 makes it. Root's
// container has another user, so an error says what to type.
func PrivateProgram(t *testing.T) {
	AsEveryUser(t, func(t *testing.T, u User) {
		Ready(t, u)
		dir, err := os.MkdirTemp("", "private-") // t.TempDir's parent isn't open to other users
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		private := filepath.Join(dir, step.Name)
		program, err := os.ReadFile("/proc/self/exe")
		if err := errors.Join(err, os.Chmod(dir, 0o755), os.WriteFile(private, program, 0o700),
			os.Chown(private, u.UID, u.GID())); err != nil {
			t.Fatal(err)
		}
		start := func() Result {
			cmd := u.Program("echo", "it runs")
			cmd.Path = private
			return Run(t, cmd)
		}
		if r := start(); r.Status != 0 {
			advice := "chmod 755 " + private
			if u.UID != 0 || r.Status != 125 || !strings.Contains(r.Stderr, advice) {
				t.Errorf("mode 0700: %+v, want %q", r, advice)
			}
			if err := os.Chmod(private, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if r := start(); r.Stdout != "it runs\n" || r.Status != 0 {
			t.Errorf("%+v", r)
		}
	})
}

// init adds what these checks run in the program's place.
func init() {
	experiments["test:roots-ranges"] = func(args []string) error {
		if err := GiveIDs(args[0]+"\n", "root:700000:65536\n"); err != nil {
			return err
		}
		cmd := Root.Program("cat", "/proc/self/uid_map", "/proc/self/gid_map")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		return cmd.Run()
	}
	// test:queue queues signals for this thread, which doesn't take them, and waits.
	experiments["test:queue"] = func([]string) error {
		const number = unix.Signal(40)
		blocked := unix.Sigset_t{}
		bits := 1024 / len(blocked.Val) // in each of these words
		blocked.Val[int(number-1)/bits] |= 1 << (int(number-1) % bits)
		if err := unix.PthreadSigmask(unix.SIG_BLOCK, &blocked, nil); err != nil {
			return err
		}
		for range 100 {
			if err := unix.Tgkill(os.Getpid(), unix.Gettid(), number); err != nil {
				return err
			}
		}
		return waitForEnd("100 queued")
	}
	experiments["test:start-owned"] = func([]string) error {
		state := func() (string, error) {
			var deathSignal int32
			_, _, errno := unix.Syscall(unix.SYS_PRCTL, unix.PR_GET_PDEATHSIG,
				uintptr(unsafe.Pointer(&deathSignal)), 0)
			status, err := os.ReadFile("/proc/thread-self/status")
			kept := fmt.Sprintln("dies with", deathSignal)
			for line := range strings.Lines(string(status)) {
				if strings.HasPrefix(line, "Uid:") || strings.HasPrefix(line, "CapEff:") {
					kept += line
				}
			}
			if errno != 0 {
				err = errors.Join(err, errno)
			}
			return kept, err
		}
		err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGUSR1), 0, 0, 0)
		before, failed := state()
		cmd := exec.Command("true")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER}
		if err := errors.Join(err, failed); err != nil {
			return err
		}
		if err := step.StartOwned(cmd); err != nil {
			return err
		}
		err = cmd.Wait()
		after, failed := state()
		if before == after && strings.HasPrefix(before, "dies with 10\n") {
			after = "the same"
		}
		fmt.Println(after)
		return errors.Join(err, failed)
	}
}
