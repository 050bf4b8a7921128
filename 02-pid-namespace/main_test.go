//go:build linux

// What the chapter of 02 claims.

package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"jail-to-container/scripts/steptest"
)

// TestMain lets the test binary double as the step's program.
func TestMain(m *testing.M) {
	steptest.Main(m, steptest.Step{
		Name: step, Inner: role(inside), Main: main, Experiments: experiments,
		Exec: execCommand, Hint: forbiddenHint, Remedy: remedy, Say: say,
		Namespaces: []string{"pid"},
		NoProof: map[string]string{
			"outside": "not as PID 1 of a container", "another": "isn't my parent"},
		Role: innerGets,
	})
}

// TestLesson reads the lesson's numbers and compares them with each other.
func TestLesson(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		out := u.Output(t)
		steptest.Contains(t, out,
			"container  getpid() = 1, getppid() = 0\n",
			"SIGTERM               signal: terminated  PID 1 is still here\n",
			"SIGKILL               signal: killed      PID 1 is still here\n",
			" now belongs to init, PID 1 inside\n",
			"is a zombie: state Z, until its parent waits\n",
			" is gone\n",
			"(signal: killed); processes left: 0\n",
		)
		// The figure: this program and four processes, each with two PIDs.
		figure := regexp.MustCompile(`(?m)^(\d+) +(\d+|-) +(└─ )?(\S+)$`)
		rows := figure.FindAllStringSubmatch(out, -1)
		if len(rows) != 5 {
			t.Fatalf("%d rows in the figure, want 5:\n%s", len(rows), out)
		}
		steptest.Contains(t, out, "host       process "+rows[0][1]+", uid "+strconv.Itoa(u.UID))
		depth := func(i int) int {
			return (strings.Index(rows[i][0], "└") - strings.Index(rows[1][0], "└")) / 3
		}
		for i, want := range []struct {
			name  string
			depth int
		}{{step, 0}, {"init", 0}, {"sleep", 1}, {"sh", 1}, {"sleep", 2}} {
			if rows[i][4] != want.name || rows[i][1] == rows[i][2] ||
				i > 0 && depth(i) != want.depth {
				t.Errorf("row %d is %q, want another PID on each side, and %v", i, rows[i], want)
			}
		}
		if rows[0][2] != "-" || rows[1][2] != "1" {
			t.Errorf("PIDs inside: %q of the lesson, %q of init", rows[0][2], rows[1][2])
		}
		steptest.Contains(t, out, "I kill sh "+rows[3][1]+": its child "+rows[4][1])
		// The same secret name is printed three times, for a PID that only the host can signal.
		named := regexp.MustCompile(`process (\d+) is named (secret-\w{8})`)
		secret := named.FindStringSubmatch(out)
		if secret == nil {
			t.Fatalf("no secret in:\n%s", out)
		}
		steptest.Contains(t, out, fmt.Sprintf("host       tgkill(%s, %[1]s, 0) = ok\n", secret[1]),
			fmt.Sprintf("container  tgkill(%s, %[1]s, 0) = ESRCH (no such process)", secret[1]),
			fmt.Sprintf("host       /proc/%s/comm says %s\n", secret[1], secret[2]),
		)
		said := "says " + secret[2] + " "
		if hiddenFrom(u.UID) {
			said = "says E"
		}
		steptest.Contains(t, out, fmt.Sprintf("container  /proc/%s/comm %s", secret[1], said))
	})
}

// TestChildrenInOrder has a parent whose children's PIDs have two digits at first and three at the
// end. Each is listed after those that began before it.
func TestChildrenInOrder(t *testing.T) {
	if os.Getuid() != 0 {
		steptest.Skip(t, "only root can mount a /proc without a user namespace; run it as root")
	}
	cmd := steptest.Root.Program("test:children")
	cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWPID
	cmd.SysProcAttr.Unshareflags = unix.CLONE_NEWNS // Go makes the mounts private
	if r := steptest.Run(t, cmd); r != (steptest.Result{Stdout: "in order\n"}) {
		t.Errorf("children of PID 1: %+v", r)
	}
}

// init adds the parent.
func init() {
	experiments["test:children"] = func([]string) error {
		if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
			return err
		}
		var began []int
		for len(began) == 0 || began[len(began)-1] < 105 {
			cmd := exec.Command("sleep", "600") // it ends with the namespace
			if err := cmd.Start(); err != nil {
				return err
			}
			began = append(began, cmd.Process.Pid)
		}
		var listed []int
		for _, p := range childrenOf(os.Getpid()) {
			listed = append(listed, p.pid)
		}
		if !slices.Equal(listed, began) {
			return fmt.Errorf("listed as %v", listed)
		}
		fmt.Println("in order")
		return nil
	}
}

// hiddenFrom reports whether /proc hides the host's processes from a user's container.
func hiddenFrom(uid int) bool { return uid != 0 && steptest.ProcHides() }

// TestVerdicts judges the lesson's answers again.
func TestVerdicts(t *testing.T) {
	if hiddenFrom(os.Getuid()) {
		steptest.Skip(t, "this /proc hides the host's processes (hidepid), so that nothing leaks; "+
			"run it as root")
	}
	steptest.Verdicts(t, asked, 2, 1)
}

// TestAnotherHost runs both tests on a host with a long name and another network.
func TestAnotherHost(t *testing.T) { steptest.AnotherHost(t) }

// asked runs the lesson and returns its experiments.
func asked() (all []steptest.Experiment, err error) {
	n := &narrator{}
	err = lesson(n)
	for _, e := range n.told {
		all = append(all, steptest.Experiment{
			What: e.what, Host: e.host, Inside: e.inside, Expect: string(e.expect),
			Rule: func(host, inside string) string { return string(e.rule(host, inside)) },
		})
	}
	return all, err
}

// TestCommandIsPID1 asks a shell for its PID, inside and, as the control, outside.
func TestCommandIsPID1(t *testing.T) {
	if out := steptest.Output(t, exec.Command("sh", "-c", "echo $$")); out == "1\n" {
		t.Error("outside, the shell is PID 1 as well")
	}
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		if out := u.Output(t, "sh", "-c", "echo $$"); out != "1\n" {
			t.Errorf("the command is PID %q", out)
		}
	})
}

// TestSignalsToPID1 sends PID 1 what ends every other process.
func TestSignalsToPID1(t *testing.T) {
	for _, signal := range []string{"TERM", "KILL"} {
		script := "kill -" + signal + " $$; echo still here"
		r := steptest.Run(t, exec.Command("sh", "-c", script))
		if r.Stdout != "" || r.Status < 128 {
			t.Errorf("outside, SIG%s: %+v", signal, r)
		}
		steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
			if out := u.Output(t, "sh", "-c", script); out != "still here\n" {
				t.Errorf("SIG%s to PID 1: %q", signal, out)
			}
		})
	}
}

// TestHostProcessHasNoPID signals the test itself, by its PID on the host.
func TestHostProcessHasNoPID(t *testing.T) {
	// A shell may speak the user's language; this one has to speak English.
	script := fmt.Sprintf("LC_ALL=C; kill -0 %d", os.Getpid())
	if r := steptest.Run(t, exec.Command("sh", "-c", script)); r.Status != 0 {
		t.Errorf("outside: %+v", r)
	}
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		r := u.Run(t, "sh", "-c", script)
		if r.Status == 0 || !strings.Contains(r.Stderr, "No such process") {
			t.Errorf("inside: %+v", r)
		}
	})
}

// What every step promises as a command.

func TestExitStatus(t *testing.T)              { steptest.ExitStatus(t) }
func TestHelp(t *testing.T)                    { steptest.Help(t) }
func TestStandardStreams(t *testing.T)         { steptest.StandardStreams(t) }
func TestFullDisk(t *testing.T)                { steptest.FullDisk(t) }
func TestFiftyAtOnce(t *testing.T)             { steptest.FiftyAtOnce(t) }
func TestOtherNames(t *testing.T)              { steptest.OtherNames(t) }
func TestNameIsNoProof(t *testing.T)           { steptest.NameIsNoProof(t) }
func TestUserNamespacesForbidden(t *testing.T) { steptest.UserNamespacesForbidden(t) }
func TestLimitForbids(t *testing.T)            { steptest.LimitForbids(t, inContainer(), "pid") }
func TestRemedy(t *testing.T)                  { steptest.Remedy(t, inContainer()) }
func TestNoexec(t *testing.T)                  { steptest.Noexec(t) }
func TestMountBelowUsr(t *testing.T)           { steptest.MountBelowUsr(t) }
func TestHidepid(t *testing.T)                 { steptest.Hidepid(t) }
func TestLessonLeavesNothing(t *testing.T)     { steptest.LessonLeavesNothing(t) }
func TestKilledLesson(t *testing.T)            { steptest.KilledLesson(t) }
func TestKilledCommand(t *testing.T)           { steptest.KilledCommand(t) }
func TestKilledEarly(t *testing.T)             { steptest.KilledEarly(t) }

func TestRefused(t *testing.T) { steptest.Refused(t, "outer clone 0x") }

func TestTerminal(t *testing.T)    { steptest.Terminal(t, inside+"# ") }
func TestStartsShell(t *testing.T) { steptest.StartsShell(t, startsShell) }

// innerGets is what a process in the role of the inner one gets: its parent's PID or another one.
func innerGets(given string) ([]*os.File, []string, error) {
	pid, err := os.Readlink("/proc/self")
	if given == "another" {
		pid = "1"
	}
	return nil, []string{pid, "echo", "ran"}, err
}
