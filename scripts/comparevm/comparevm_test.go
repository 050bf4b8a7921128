//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"jail-to-container/scripts/steptest"
)

// TestMain lets the test binary double as the payload.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "payload" {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestTable compares the tables of made-up values with literal ones.
func TestTable(t *testing.T) {
	plain := &system{name: "process", said: map[string][]string{
		"start": {"0.002", "0.004", "0.001"}, "boot-id": {"d27eee8a-1"}, "write": {"0.1", "0.3"},
		"filesystem": {"ext4"}, "ps": {"/tmp/x/comparevm payload hold vm1-2"},
	}}
	vm := &system{name: "virtual machine", said: map[string][]string{
		"start": {"3", "4"}, "boot-id": {"6a62e526-1"}, "write-failed": {"no space left"},
	}}
	c := &comparison{systems: []*system{plain, vm}, heading: "a day, a machine"}
	text, markdown := c.text(), c.markdown()
	for _, want := range []string{
		"a day, a machine\n",
		"                                      process               virtual machine\n",
		"time to the first instruction         2.0 ms                3500 ms (1750x)\n",
		"time to the end                       not measured          not measured\n",
		"100 MB written to its root            200 ms, ext4          not measured: no space left\n",
		"boot ID seen inside                   d27eee8a              6a62e526\n",
		"the host's ps shows                   comparevm payload\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
	for _, want := range []string{
		"|  | process | virtual machine |\n|---|---|---|\n",
		"| time to the first instruction | 2.0 ms | 3500 ms (1750x) |\n", "\na day, a machine.\n",
	} {
		if !strings.Contains(markdown, want) {
			t.Errorf("no %q in:\n%s", want, markdown)
		}
	}
}

// TestRun runs the payload as a process: every value is there.
func TestRun(t *testing.T) {
	s := &system{args: func(role ...string) []string {
		return append([]string{"/proc/self/exe", "payload"}, role...)
	}}
	if err := s.run(time.Minute); err != nil {
		t.Fatal(err)
	}
	host, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if got := s.last("boot-id"); err != nil || got != strings.TrimSpace(string(host)) {
		t.Errorf("boot ID %q, want %q, %v", got, host, err)
	}
	for _, key := range []string{"start", "end", "calls"} {
		if value, ok := s.median(key); !ok || value <= 0 {
			t.Errorf("%s: %v", key, s.said[key])
		}
	}
	if _, ok := s.median("write"); !ok && s.last("write-failed") == "" {
		t.Error("written, or not? ", s.said)
	}
}

// TestFailures has systems that end or hang in place of the payload.
func TestFailures(t *testing.T) {
	for script, want := range map[string]string{
		"echo it rains; exit 3": `the payload didn't say "calls": sh ended (exit status 3)` +
			"\n    it rains",
		"echo [ 0.07] Kernel panic - not syncing: why; seq 9; exit 0": `the payload didn't say ` +
			`"calls": sh ended (exit status 0)` + "\n    [ 0.07] Kernel panic - not syncing: why",
		"exec sleep 60": `the payload didn't say "calls": sh hung, and was killed`,
		"echo KVM internal error. Suberror: 1; exec sleep 60": `the payload didn't say "calls": ` +
			"sh ended (signal: killed)\n    KVM internal error. Suberror: 1",
		"echo compare: calls 1; exit 4": "sh: exit status 4",
	} {
		s := &system{args: func(...string) []string { return []string{"sh", "-c", script} }}
		began := time.Now()
		err := s.run(2 * time.Second)
		if err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", script, err, want)
		}
		if time.Since(began) > 30*time.Second {
			t.Errorf("%s took %v", script, time.Since(began))
		}
	}
}

// TestCompareVMKilled kills the script, at ten moments between its start and its end: no process,
// file or mount is left. Some of these runs are side by side, since most of a run is waiting.
func TestCompareVMKilled(t *testing.T) {
	if os.Geteuid() != 0 { // as an ordinary user, pasta makes a run of minutes of it
		steptest.Skip(t, "only root holds ten containers in seconds; run it as root")
	}
	steptest.NeedNamespaces(t)
	began, dir := time.Now(), t.TempDir()
	var out bytes.Buffer
	whole := startScript(t, dir, &out)
	err := whole.Wait()
	took := time.Since(began)
	shown := strings.Contains(out.String(), "its calls that strace sees in itself")
	if err != nil || !shown {
		t.Errorf("not killed: %v\n%s", err, &out)
	}
	expectGone(t, dir, whole.Process.Pid)
	for n := range 10 {
		t.Run(fmt.Sprint("kill ", n), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			cmd := startScript(t, dir, nil)
			after := rand.N(took)
			time.Sleep(after)
			// By turns the script, as a process of its own, and all that is in its group.
			_ = syscall.Kill(cmd.Process.Pid*(1-n%2*2), syscall.SIGKILL)
			t.Logf("killed after %v of %v", after, took)
			_ = cmd.Wait()
			expectGone(t, dir, cmd.Process.Pid)
		})
	}
}

// startScript starts the script, with all its files in dir. A shell script plays qemu: like that,
// it doesn't end when its input does.
func startScript(t *testing.T, dir string, out io.Writer) *exec.Cmd {
	t.Helper()
	const fake = `#!/bin/sh
for last; do case $last in *" -- payload "*) set -- ${last#* -- }; break ;; esac; done
"$COMPARE_VM" "$@"
while [ "$2" = hold ]; do sleep 0.1; done
`
	bin, tmp := filepath.Join(dir, "bin"), filepath.Join(dir, "tmp")
	for _, d := range []string{bin, tmp} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"qemu-system-x86_64", "qemu-system-aarch64"} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte(fake), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("../compare-vm.sh", "-n", "1", "-kernel", "/dev/../etc/passwd")
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "TMPDIR="+tmp,
		"COMPARE_VM="+self, "JAIL_VM_KVM=no")
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// expectGone waits until nothing is left of a run: 08 takes a moment to take itself down, and a
// build that goes on without the script takes some.
func expectGone(t *testing.T, dir string, pid int) {
	t.Helper()
	var left []string
	for range 300 {
		left, _ = filepath.Glob(dir + "/tmp/*")
		mounts, _ := os.ReadFile("/proc/self/mountinfo")
		if bytes.Contains(mounts, []byte(dir)) {
			left = append(left, string(mounts))
		}
		lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, file := range lines {
			line, _ := os.ReadFile(file)
			if bytes.Contains(line, []byte(dir)) ||
				bytes.Contains(line, fmt.Appendf(nil, "vm%d-", pid)) {
				left = append(left, string(line))
			}
		}
		if len(left) == 0 {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("left: %q", slices.Compact(left))
}
