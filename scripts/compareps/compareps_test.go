//go:build linux

package main

import (
	"bytes"
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

	"jail-to-container/scripts/steptest"
)

// TestOwnProc: from 03 on, the container's ps lists the container's processes only. The host's ps
// lists them too, and each list says which process is which.
func TestOwnProc(t *testing.T) {
	needs(t, syscall.CLONE_NEWPID|syscall.CLONE_NEWNS)
	text, host, container := run(t, "03")
	if len(container) != 3 || container[1].name != "sh" {
		t.Errorf("the container lists %v, want sh as PID 1 and two sleep", container)
	}
	for pid, inside := range container {
		outside, _ := strconv.Atoi(strings.TrimPrefix(inside.mark, "= host "))
		if want := (entry{inside.name, fmt.Sprint("= container ", pid)}); host[outside] != want {
			t.Errorf("container's %d is %v; the host's %d is %v", pid, inside,
				outside, host[outside])
		}
	}
	says(t, text, `(?m)^container  lists 3, all its own$`)
	says(t, text, fmt.Sprintf(`(?m)^host       lists %d processes( \(.*\))?; 3 are`, len(host)))
}

// TestSharedProc: in 02 the container's ps lists what the host's does, under the host's PIDs. One
// of those is this test.
func TestSharedProc(t *testing.T) {
	needs(t, syscall.CLONE_NEWPID)
	text, host, container := run(t, "02")
	if _, listed := host[os.Getpid()]; !listed {
		t.Errorf("the host doesn't list this test, process %d", os.Getpid())
	}
	if got := container[os.Getpid()].mark; got != "leak" {
		t.Errorf("in the container this test is marked %q, want leak", got)
	}
	strangers, both := 0, 0
	for pid, inside := range container {
		if inside.mark == "leak" {
			strangers++
		} else if host[pid] != inside {
			t.Errorf("%d is %v in the container, %v on the host", pid, inside, host[pid])
		}
		if host[pid].name == inside.name {
			both++
		}
	}
	if len(container)-strangers != 3 {
		t.Errorf("%d of %d aren't the container's, want all but 3", strangers, len(container))
	}
	mnt, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	says(t, text, fmt.Sprintf(`(?m)^container  lists %d( \(.*\))?; %d are not its own$`,
		len(container), strangers))
	says(t, text, fmt.Sprintf(`(?m)^leak       %d are in both lists`, both))
	says(t, text, "mount namespace "+regexp.QuoteMeta(mnt)+": the same /proc")
	says(t, text, `kill -0 \d+, this program's PID, says: No such process`)
}

// TestRefusals: a call that can't work is refused in one line.
func TestRefusals(t *testing.T) {
	needs(t, 0)
	for step, want := range map[string]string{
		"99":      "no step 99; there are: 01-chroot 02-pid-namespace",
		"scripts": "no step scripts",
		"01":      "01-chroot has no PID namespace",
		"-x":      "usage:",
	} {
		cmd := exec.Command("bash", script, step)
		output, _ := cmd.CombinedOutput()
		status := cmd.ProcessState.ExitCode()
		if status != 2 || !strings.Contains(string(output), want) {
			t.Errorf("%s: exit status %d, want 2, with %q: %s", step, status, want, output)
		}
	}
}

// TestStepFails: the step has said why, and the script fails as well.
func TestStepFails(t *testing.T) {
	needs(t, 0)
	_, err := take("/bin/false")
	want := "false ran no shell in a container (exit status 1)"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v", err)
	}
}

// TestKilled: kill -9 of this program takes the step and its container along.
func TestKilled(t *testing.T) {
	needs(t, syscall.CLONE_NEWPID)
	if os.Getenv("COMPAREPS_STEP") != "" { // this test, started again below
		_, _ = take(os.Getenv("COMPAREPS_STEP"))
		return
	}
	dir := t.TempDir()
	step := filepath.Join(dir, "02")
	build := exec.Command("go", "build", "-o", step, "../../02-pid-namespace")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	shell := "#!/bin/sh\nexec sleep 60\n" // a container that never answers
	if err := os.WriteFile(filepath.Join(dir, "sh"), []byte(shell), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestKilled$")
	cmd.Env = append(os.Environ(), "COMPAREPS_STEP="+step, "PATH="+dir+":"+os.Getenv("PATH"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "the container to run", func() bool { return sleeping(step) == 1 })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // "signal: killed"
	await(t, "the container to end", func() bool { return sleeping(step) == 0 })
}

// sleeping counts the processes called sleep that have the step in their environment.
func sleeping(step string) (n int) {
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range files {
		environ, _ := os.ReadFile(file)
		name, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "comm"))
		ours := bytes.Contains(environ, []byte("COMPAREPS_STEP="+step+"\x00"))
		if ours && string(name) == "sleep\n" {
			n++
		}
	}
	return n
}

// await waits until something is so.
func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	for range 600 {
		if so() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("waited 30 s for %s", what)
}

// TestScreens: nothing is wider than the screen, and only so many unmarked processes are shown.
func TestScreens(t *testing.T) {
	const processes, widest = 200, 4_194_304 // the highest PID (proc_sys_kernel(5))
	for _, screen := range []int{0, 60, 80, 120} {
		for _, shared := range []bool{false, true} {
			host, container := "", "7 1 fifteen-letters\n"
			for pid := widest; pid > widest-processes; pid-- {
				host += fmt.Sprintln(pid, "1 fifteen-letters")
			}
			if shared {
				container = host
			}
			c := comparison{pids: map[int]int{widest: 7}}
			var err1, err2 error
			c.host, err1 = read("host", host)
			c.container, err2 = read("container", container)
			if err1 != nil || err2 != nil {
				t.Fatal(err1, err2)
			}
			text := c.text(screen, 20)
			lists, rows := text[:strings.LastIndex(text, "\n\n")+1], 0
			for line := range strings.Lines(lists) {
				if screen > 0 && len(line)-1 > screen {
					t.Errorf("%d columns: %d in %q", screen, len(line)-1, line)
				}
				rows += strings.Count(line, "fifteen") // "fifteen-letters" may be cut
			}
			if want := map[bool]int{false: 22, true: 42}[shared]; rows != want {
				t.Errorf("%d columns, shared %t: %d processes, want %d", screen, shared, rows, want)
			}
			if !strings.Contains(lists, fmt.Sprintf("and %d more", processes-21)) {
				t.Errorf("%d columns, shared %t: others aren't counted:\n%s", screen, shared, text)
			}
		}
	}
}

// script is the script, seen from a test's working directory.
const script = "../compare-ps.sh"

// entry is one process of a printed list.
type entry struct{ name, mark string }

// run runs the script for a step and reads its two lists.
func run(t *testing.T, step string) (text string, host, container map[int]entry) {
	t.Helper()
	cmd := exec.Command("bash", script, step)
	tmp := t.TempDir()
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil || stderr.Len() > 0 {
		t.Fatalf("compare-ps.sh %s: %v\n%s%s", step, err, &stdout, &stderr)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left in TMPDIR: %v %v", left, err)
	}
	text = stdout.String()
	if strings.Contains(text, "\x1b") {
		t.Error("colours on a pipe")
	}
	parts := strings.SplitN(text, "\n\n", 3)
	// A name may contain a blank; two blanks come before a mark.
	line := regexp.MustCompile(`^ *(\d+)  (.*?)(?: *  (=.*|leak|the step))?$`)
	lists := []map[int]entry{{}, {}}
	for i, title := range []string{"host", "container"} {
		lines := strings.Split(parts[i], "\n")
		got := lines[0] + strings.TrimSpace(lines[1])
		if got != title+": what ps listsPID  COMMAND" {
			t.Fatalf("a list begins with %q", got)
		}
		for _, text := range lines[2:] {
			m := line.FindStringSubmatch(text)
			if m == nil {
				t.Fatalf("not a process: %q", text)
			}
			pid, _ := strconv.Atoi(m[1])
			lists[i][pid] = entry{m[2], m[3]}
		}
	}
	return text, lists[0], lists[1]
}

// says fails the test if nothing in the text matches.
func says(t *testing.T, text, pattern string) {
	t.Helper()
	if !regexp.MustCompile(pattern).MatchString(text) {
		t.Errorf("nothing matches %q in:\n%s", pattern, text)
	}
}

// needs skips a test where a program is missing or the caller may not make such namespaces.
func needs(t *testing.T, namespaces uintptr) {
	t.Helper()
	steptest.Need(t, "ps", "procps")
	steptest.Need(t, "go", "golang")
	steptest.Need(t, "bash", "bash")
	if namespaces == 0 {
		return
	}
	probe := exec.Command("true")
	probe.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces}
	if os.Getuid() != 0 {
		probe.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		probe.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		probe.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	if err := probe.Run(); err != nil {
		steptest.Skip(t,
			"may not make namespaces: %v; go run ./02-pid-namespace says what helps", err)
	}
}
