//go:build linux

// The tests of scripts/compare-ps.sh run it on a pipe, for steps 02 and 03, and end it half-way.
// What a terminal would show is tested with a made-up comparison.

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// script is the script, from here: a test's working directory is that of its package.
const script = "../compare-ps.sh"

// TestOwnProc: from 03 on the container's ps lists the container's processes and no other, each of
// which the host's list has too, and both lists say by which number.
func TestOwnProc(t *testing.T) {
	needs(t, syscall.CLONE_NEWPID|syscall.CLONE_NEWNS)
	for _, step := range []string{"03", "03-mount-namespace", "./03-mount-namespace/"} {
		t.Run(step, func(t *testing.T) {
			out := run(t, step)
			if len(out.container) != 3 {
				t.Errorf("the container lists %d, want 3: sh and two sleep", len(out.container))
			}
			if out.container[1].name != "sh" {
				t.Errorf("PID 1 of the container is %q, want sh", out.container[1].name)
			}
			for pid, inside := range out.container {
				outside, ok := strings.CutPrefix(inside.mark, "= host ")
				if !ok {
					t.Errorf("container's %d %s is marked %q", pid, inside.name, inside.mark)
					continue
				}
				want := entry{inside.name, fmt.Sprint("= container ", pid)}
				if got := out.host[number(t, outside)]; got != want {
					t.Errorf("the host's list has %v by number %s, want %v", got, outside, want)
				}
			}
			if n := marked(out.host, "= container "); n != len(out.container) {
				t.Errorf("the host's list has %d of the container's %d", n, len(out.container))
			}
			out.says(t, fmt.Sprintf("(?m)^container  lists %d, all its own$", len(out.container)))
			out.counts(t)
		})
	}
}

// TestSharedProc: in 02 the container's ps lists what the host's does, such as this very test, by
// the host's numbers.
func TestSharedProc(t *testing.T) {
	needs(t, syscall.CLONE_NEWPID)
	out := run(t, "02")
	for side, list := range map[string]entries{"host": out.host, "container": out.container} {
		if _, ok := list[os.Getpid()]; !ok {
			t.Errorf("this test, process %d, isn't in the list of the %s", os.Getpid(), side)
		}
		if n := marked(list, "= container "); n != 3 {
			t.Errorf("%d processes are marked in the list of the %s, want 3", n, side)
		}
	}
	if got := out.container[os.Getpid()].mark; got != "leak" {
		t.Errorf("this test is marked %q in the container's list, want leak", got)
	}
	for pid, inside := range out.container {
		if inside.mark != "leak" && out.host[pid] != inside {
			t.Errorf("%d is %v in the container, %v on the host", pid, inside, out.host[pid])
		}
	}
	both := 0
	for pid, inside := range out.container {
		if out.host[pid].name == inside.name {
			both++
		}
	}
	link, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	out.says(t, fmt.Sprintf(
		`(?m)^container  lists %d( \(\+ \d+ kernel threads\))?; %d are not its own$`,
		len(out.container), marked(out.container, "leak")))
	out.says(t, fmt.Sprintf("(?m)^leak       %d are in both lists", both))
	out.says(t, "mount namespace "+regexp.QuoteMeta(link)+": the same /proc")
	out.says(t, `kill -0 \d+, this program's number, says: No such process`)
	out.counts(t)
}

// TestRefusals: what the script can't do, it says in one line, and it isn't a failure of the step.
func TestRefusals(t *testing.T) {
	needs(t, 0)
	for step, want := range map[string]string{
		"99-no":   "there is no step 99-no; there are: 01-chroot 02-pid-namespace",
		"scripts": "there is no step scripts",
		"01":      "01-chroot has no PID namespace",
		"-x":      "usage:",
	} {
		cmd, tmp := prepare(t, step)
		output, err := cmd.CombinedOutput()
		if status := exitStatus(t, err); status != 2 {
			t.Errorf("%s: exit status %d, want 2", step, status)
		}
		if !strings.Contains(string(output), want) {
			t.Errorf("%s: no %q in:\n%s", step, want, output)
		}
		nothingLeft(t, tmp)
	}
}

// TestNoPs: without ps there is nothing to compare, and the reader learns where to get it.
func TestNoPs(t *testing.T) {
	needs(t, 0)
	dir := t.TempDir()
	for _, name := range []string{"bash", "dirname", "go", "uname"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Skipf("no %s in PATH: install it (%v)", name, err)
		}
		if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	cmd, tmp := prepare(t)
	cmd.Env = append(cmd.Env, "PATH="+dir)
	output, err := cmd.CombinedOutput()
	if status := exitStatus(t, err); status != 1 {
		t.Errorf("exit status %d, want 1", status)
	}
	if !strings.Contains(string(output), "package procps") {
		t.Errorf("no name of a package in:\n%s", output)
	}
	nothingLeft(t, tmp)
}

// TestStepFails: a step that fails is the script's failure too, with the step's own reason.
func TestStepFails(t *testing.T) {
	needs(t, 0)
	cmd, tmp := prepare(t, madeUp(t, `println("the reason"); os.Exit(125)`))
	output, err := cmd.CombinedOutput()
	if status := exitStatus(t, err); status != 1 {
		t.Errorf("exit status %d, want 1", status)
	}
	for _, want := range []string{"the reason\n",
		"09-made-up ran no shell in a container (exit status 125)"} {
		if !strings.Contains(string(output), want) {
			t.Errorf("no %q in:\n%s", want, output)
		}
	}
	nothingLeft(t, tmp)
}

// TestNotBuilt: what the compiler says of a step is passed on.
func TestNotBuilt(t *testing.T) {
	needs(t, 0)
	cmd, tmp := prepare(t, madeUp(t, `os.Exit("oh")`))
	output, err := cmd.CombinedOutput()
	if status := exitStatus(t, err); status != 1 {
		t.Errorf("exit status %d, want 1", status)
	}
	if want := "main.go:5:"; !strings.Contains(string(output), want) {
		t.Errorf("no %q in:\n%s", want, output)
	}
	nothingLeft(t, tmp)
}

// TestTermWhileBuilding: SIGTERM ends the script at once, and the compilers with it.
func TestTermWhileBuilding(t *testing.T) {
	needs(t, 0)
	cmd, tmp := prepare(t, "03")
	cmd.Env = append(cmd.Env, "GOCACHE="+t.TempDir()) // nothing cached, so that it takes a while
	start(t, cmd, func() bool { return len(running(t, tmp, "compile")) > 0 })
	end(t, cmd, syscall.SIGTERM)
	nothingLeft(t, tmp)
}

// TestEndedWhileContainerRuns: even a container that would go on takes its end from the script's,
// also from one that nobody can prepare for.
func TestEndedWhileContainerRuns(t *testing.T) {
	needs(t, syscall.CLONE_NEWPID)
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGKILL} {
		t.Run(signal.String(), func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "sh") // the container's shell, which heeds nothing
			if err := os.WriteFile(file, []byte("#!/bin/sh\nsleep 60\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			cmd, tmp := prepare(t, "02")
			cmd.Env = append(cmd.Env, "PATH="+dir+":"+os.Getenv("PATH"))
			start(t, cmd, func() bool { return len(running(t, tmp, "sleep")) > 0 })
			end(t, cmd, signal)
			if signal == syscall.SIGKILL { // the kernel may take a moment
				for i := 0; i < 100 && len(running(t, tmp, "")) > 0; i++ {
					time.Sleep(50 * time.Millisecond)
				}
			}
			nothingLeft(t, tmp)
		})
	}
}

// TestScreens: side by side from 80 columns on, no wider than the screen, and with as many of the
// other processes as were asked for.
func TestScreens(t *testing.T) {
	const processes, widest = 200, 4_194_304 // PIDs end there (proc_sys_kernel(5))
	for _, screen := range []int{0, 60, 80, 120} {
		for _, shared := range []bool{false, true} {
			c := comparison{numbers: map[int]int{widest: 7}}
			host, container := "", "7 1 fifteen-letters\n"
			for pid := widest; pid > widest-processes; pid-- {
				host += fmt.Sprintln(pid, "1 fifteen-letters")
			}
			if shared {
				container = host
			}
			var err error
			if c.host, err = read("host", host); err != nil {
				t.Fatal(err)
			}
			if c.container, err = read("container", container); err != nil {
				t.Fatal(err)
			}
			text := c.text(screen, 20)
			t.Logf("%d columns, shared %t:\n%s", screen, shared, text)
			lists := text[:strings.LastIndex(text, "\n\n")+1]
			rows := 0
			for line := range strings.Lines(lists) {
				if line = strings.TrimSuffix(line, "\n"); screen > 0 && len(line) > screen {
					t.Errorf("%d columns: %d in %q", screen, len(line), line)
				}
				if strings.Contains(line, "fifteen") {
					rows++
				}
			}
			want := 1 + 20 // the marked one, and those asked for
			if screen < 80 && shared {
				want *= 2
			} else if screen < 80 {
				want++
			}
			if rows != want {
				t.Errorf("%d columns, shared %t: %d rows, want %d", screen, shared, rows, want)
			}
			if more := fmt.Sprintf("and %d more", processes-21); !strings.Contains(lists, more) {
				t.Errorf("%d columns, shared %t: no %q", screen, shared, more)
			}
		}
	}
}

// entry is one process of a printed list, less its number, and entries is all of them by number.
type (
	entry   struct{ name, mark string }
	entries map[int]entry
)

// output is what the script prints, read.
type output struct {
	text            string
	host, container entries
}

// run runs the script for a step and reads what it prints on a pipe: one list after the other.
func run(t *testing.T, step string) output {
	t.Helper()
	cmd, tmp := prepare(t, step)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil || stderr.Len() > 0 {
		t.Fatalf("compare-ps.sh %s: %v\n%s%s", step, err, &stdout, &stderr)
	}
	nothingLeft(t, tmp)
	t.Logf("compare-ps.sh %s:\n%s", step, &stdout)

	out := output{text: stdout.String(), host: entries{}, container: entries{}}
	if strings.Contains(out.text, "\x1b") {
		t.Error("colours on a pipe")
	}
	parts := strings.SplitN(out.text, "\n\n", 3)
	if len(parts) != 3 {
		t.Fatal("not two lists and the counts, with a blank line after each list")
	}
	// A name may have a blank in it; two stand before a mark.
	pattern := regexp.MustCompile(`^ *(\d+)  (.*?)(?: *  (=.*|leak|the step))?$`)
	for i, want := range []struct {
		side    string
		entries entries
	}{{"host", out.host}, {"container", out.container}} {
		lines := strings.Split(parts[i], "\n")
		heading := lines[0] + ", " + strings.TrimSpace(lines[1])
		if heading != want.side+": what ps lists, PID  COMMAND" {
			t.Fatalf("a list begins with %q", heading)
		}
		for _, line := range lines[2:] {
			m := pattern.FindStringSubmatch(line)
			if m == nil {
				t.Fatalf("not a process: %q", line)
			}
			want.entries[number(t, m[1])] = entry{m[2], m[3]}
		}
	}
	return out
}

// says fails the test if the output doesn't match.
func (out output) says(t *testing.T, pattern string) {
	t.Helper()
	if !regexp.MustCompile(pattern).MatchString(out.text) {
		t.Errorf("nothing matches %q", pattern)
	}
}

// counts compares the host's counts with its list.
func (out output) counts(t *testing.T) {
	t.Helper()
	out.says(t, fmt.Sprintf(
		`(?m)^host       lists %d processes( \(\+ \d+ kernel threads\))?; %d are the container's$`,
		len(out.host), marked(out.host, "= container ")))
}

// marked counts the processes of a list with a mark that begins so.
func marked(list entries, mark string) int {
	n := 0
	for _, e := range list {
		if strings.HasPrefix(e.mark, mark) {
			n++
		}
	}
	return n
}

// needs skips a test where the script can't run, or may not make namespaces of these kinds.
func needs(t *testing.T, kinds uintptr) {
	t.Helper()
	for name, remedy := range map[string]string{
		"ps": "install procps (Fedora and Arch: procps-ng)", "go": "add it to PATH",
		"bash": "install bash",
	} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("no %s in PATH: %s", name, remedy)
		}
	}
	if kinds == 0 {
		return
	}
	probe := exec.Command("true")
	probe.SysProcAttr = &syscall.SysProcAttr{Cloneflags: kinds}
	if os.Getuid() != 0 {
		probe.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		probe.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		probe.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	if err := probe.Run(); err != nil {
		t.Skipf("may not make namespaces: %v; go run ./02-pid-namespace says what helps", err)
	}
}

// prepare returns the script with these arguments, ready to run, and its directory for temporary
// files, by which nothingLeft knows its processes too.
func prepare(t *testing.T, args ...string) (*exec.Cmd, string) {
	t.Helper()
	tmp := filepath.Join(t.TempDir(), "tmp")
	if err := os.Mkdir(tmp, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("bash", append([]string{script}, args...)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	// A process that is left would otherwise keep the test waiting, with its end of a pipe.
	cmd.WaitDelay = 10 * time.Second
	return cmd, tmp
}

// nothingLeft fails the test if the script has left a file or a process.
func nothingLeft(t *testing.T, tmp string) {
	t.Helper()
	files, err := os.ReadDir(tmp)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) > 0 {
		t.Errorf("left behind in TMPDIR: %v", files)
	}
	if left := running(t, tmp, ""); len(left) > 0 {
		t.Errorf("left behind, running: %v", left)
	}
}

// running returns the processes with this TMPDIR in their environment, all or those of one name.
// One that has ended, but that nobody has waited for yet, has no environment any more.
func running(t *testing.T, tmp, name string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, file := range files {
		environ, _ := os.ReadFile(file) // of another user's processes it can't be read
		if !bytes.Contains(environ, []byte("TMPDIR="+tmp+"\x00")) {
			continue
		}
		comm, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "comm"))
		if got := strings.TrimSpace(string(comm)); name == "" || got == name {
			found = append(found, filepath.Dir(file)+" "+got)
		}
	}
	return found
}

// madeUp returns the directory of a step whose main does this.
func madeUp(t *testing.T, does string) string {
	t.Helper()
	t.Setenv("GOFLAGS", "") // it has no vendor directory
	dir := filepath.Join(t.TempDir(), "09-made-up")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{
		"go.mod":  "module made-up\n",
		"main.go": "package main\n\nimport \"os\"\n\nfunc main() { " + does + " }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// start starts the script and waits until it has come so far.
func start(t *testing.T, cmd *exec.Cmd, soFar func() bool) {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for started := time.Now(); !soFar(); time.Sleep(time.Millisecond) {
		if time.Since(started) > 60*time.Second {
			end(t, cmd, syscall.SIGTERM)
			t.Fatalf("it never came so far; it says: %s", &stderr)
		}
	}
}

// end sends the script a signal, and wants it to end by that, or with the exit status for it.
func end(t *testing.T, cmd *exec.Cmd, signal syscall.Signal) {
	t.Helper()
	if err := cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	want := 128 + int(signal)
	if signal == syscall.SIGKILL {
		want = -1
	}
	if status := exitStatus(t, cmd.Wait()); status != want {
		t.Errorf("exit status %d, want %d; it says: %s", status, want, cmd.Stderr)
	}
}

// exitStatus returns the exit status that the end of a command stands for.
func exitStatus(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	t.Fatal(err)
	return 0
}

// number reads a number that a pattern has found.
func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
