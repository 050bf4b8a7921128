// Tests of the walls: what goes on behind them doesn't show outside.

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"jail-to-container/scripts/steptest"
)

// contained runs a script behind the walls, as another user if uid isn't 0, and returns what it
// printed. The test is skipped where the kernel gives us no namespaces.
func contained(t *testing.T, uid int, script string) (string, int) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "/bin/sh", "-c", script)
	cmd.Args[0] = containName
	cmd.Dir = "/"
	if uid != os.Geteuid() {
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)},
		}
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out)), cmd.ProcessState.ExitCode()
}

// eachUser runs a test as the user we are, and, as root, as an ordinary one too.
func eachUser(t *testing.T, test func(t *testing.T, uid int)) {
	users := []int{os.Geteuid()}
	if os.Geteuid() == 0 {
		users = append(users, 65534)
	}
	for _, uid := range users {
		t.Run(fmt.Sprint("uid ", uid), func(t *testing.T) {
			if out, status := contained(t, uid, "true"); status != 0 {
				steptest.Skip(t,
					"no namespaces for uid %d here, run it on a host that allows them: %s",
					uid, out)
			}
			test(t, uid)
		})
	}
}

func TestWhatIsContained(t *testing.T) {
	eachUser(t, func(t *testing.T, uid int) {
		for _, kind := range []string{"uts", "ipc", "mnt", "pid"} {
			host, err := os.Readlink("/proc/self/ns/" + kind)
			if err != nil {
				t.Fatal(err)
			}
			out, _ := contained(t, uid, "readlink /proc/self/ns/"+kind)
			if out == host || out == "" {
				t.Errorf("the %s namespace inside is %s, outside it is %s", kind, out, host)
			}
		}
		gid := uid
		if uid == os.Geteuid() {
			gid = os.Getegid()
		}
		for script, want := range map[string]string{
			"id -u; id -g": fmt.Sprintf("%d\n%d", uid, gid),
			"echo $PPID":   "1",
			// Five processes at most; the host has more, and higher numbers.
			"ls -d /proc/[0-9]*[0-9][0-9] 2>/dev/null":       "",
			"ls /dev/shm; ls /var/tmp":                       "",
			"grep -c ' / / .* shared:' /proc/self/mountinfo": "0",
			// What still runs dies with the command.
			"sleep 1000 & echo left": "left",
			// An orphan that has ended is not even a zombie.
			"(sleep 0.1 & echo $! >&3) 3>&1 | (read p; sleep 0.5; ls -d /proc/$p 2>/dev/null)": "",
		} {
			if out, _ := contained(t, uid, script); out != want {
				t.Errorf("%s: %q, want %q", script, out, want)
			}
		}
		if _, status := contained(t, uid, "exit 3"); status != 3 {
			t.Errorf("exit 3 became %d", status)
		}
		if _, status := contained(t, uid, "kill -TERM $$"); status != 128+15 {
			t.Errorf("SIGTERM became %d", status)
		}
	})
}

// TestPowers: root can do what a step does, to the namespaces and not to the host; an ordinary user
// has no more powers than before, but can go on to make a user namespace.
func TestPowers(t *testing.T) {
	eachUser(t, func(t *testing.T, uid int) {
		if uid != 0 {
			out, _ := contained(t, uid, "grep -E '^Cap(Inh|Prm|Eff|Amb)' /proc/self/status")
			for line := range strings.Lines(out) {
				if !strings.HasSuffix(strings.TrimSpace(line), "\t0000000000000000") {
					t.Errorf("an ordinary user has capabilities inside: %s", line)
				}
			}
			if out, _ := contained(t, uid, "unshare -Urm id -u"); out != "0" {
				t.Errorf("a user namespace within: %s", out)
			}
			return
		}
		before, err := os.Hostname()
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		out, _ := contained(t, uid, "cd /proc/sys/kernel; echo mutation >hostname; cat hostname;"+
			"mount -t tmpfs none "+dir+" && touch "+dir+"/file && ls "+dir)
		if out != "mutation\nfile" {
			t.Errorf("renaming and mounting inside: %q", out)
		}
		if after, err := os.Hostname(); err != nil || after != before {
			t.Errorf("the host is called %s now, not %s: %v", after, before, err)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
			t.Errorf("the mount appeared on the host: %v %v", entries, err)
		}
	})
}

// TestParentIsGone starts the first process of the namespaces as if what started it had died since.
func TestParentIsGone(t *testing.T) {
	steptest.NeedNamespaces(t)
	cmd := exec.Command("/bin/sh", "-c", "echo ran")
	if err := contain(cmd); err != nil {
		t.Fatal(err)
	}
	cmd.Args[1] = "1"
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out),
		"process 1, which has started this one, has died") {
		t.Errorf("%q, %v", out, err)
	}
}
