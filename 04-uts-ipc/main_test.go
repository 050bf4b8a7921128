//go:build linux

// What the chapter of 04 claims.

package main

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"
	"jail-to-container/scripts/steptest"
)

// TestMain lets the test binary double as the step's program.
func TestMain(m *testing.M) {
	steptest.Main(m, steptest.Step{
		Name: step, Inner: role(inside), Main: main, Experiments: experiments,
		Exec: execCommand, Hint: forbiddenHint, Remedy: remedy, Say: say,
		Namespaces: []string{"pid", "mnt", "uts", "ipc"},
		NoProof: map[string]string{
			"outside": "not as PID 1 of a container", "another": "isn't my parent",
			"right":  "it is also my parent's",
			"unseen": "/proc/0/ns/mnt"},
		Role: innerGets,
	})
}

// TestLesson reads the lesson's facts and compares them with each other and with the host.
func TestLesson(t *testing.T) {
	var names unix.Utsname
	if err := unix.Uname(&names); err != nil {
		t.Fatal(err)
	}
	uts := namespaceOf("self", "uts")
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		cmd := u.Program()
		out := regexp.MustCompile(`  +`).ReplaceAllString(steptest.Output(t, cmd), "  ")
		row := func(pattern string) []string {
			t.Helper()
			match := regexp.MustCompile(`(?m)^` + pattern + `$`).FindStringSubmatch(out)
			if match == nil {
				t.Fatalf("no %s in:\n%s", pattern, out)
			}
			return match[1:]
		}
		row(fmt.Sprintf(`host  process %d, uid %d\b.*`, cmd.Process.Pid, u.UID))
		for _, c := range []struct{ row, want string }{
			{"hostname  (.+)  container", unix.ByteSliceToString(names.Nodename[:])},
			{"NIS domain  (.+)  jail.example", unix.ByteSliceToString(names.Domainname[:])},
			{`host  (hostname \S+)`, "hostname " + unix.ByteSliceToString(names.Nodename[:])},
		} {
			// A long name is cut in the middle.
			got := row(c.row)[0]
			if got != fit(c.want, utf8.RuneCountInString(got)) {
				t.Errorf("%s: %q, want %q", c.row, got, c.want)
			}
		}
		if own := row("UTS namespace  " + uts + `  (\d+)  held`)[0]; own == uts {
			t.Errorf("the UTS namespace is %s on both sides", own)
		}
		row(`container  hostname box-\w{8}  held`)
		theirs := row(`System V message queue  (\w{8})  ENOENT  ENOENT  held`)[0]
		row("System V shared memory  " + theirs + "  ENOENT  ENOENT  held")
		row("POSIX message queue  " + theirs + "  ENOENT  ENOENT  held")
		row("file in /dev/shm  " + theirs + "  " + theirs + "  ENOENT  held")
		ours := row(`System V message queue  ENOENT  (\w{8})  held`)[0]
		row("System V shared memory  ENOENT  " + ours + "  held")
		row("POSIX message queue  ENOENT  " + ours + "  held")
		row("file in /dev/shm  ENOENT  " + ours + "  held")
		row(fmt.Sprintf("host  PID 1 of the container is uid %d", u.UID))
		row("container  PID 1 of the container is uid 0  " + map[bool]string{
			true: "LEAK", false: "held",
		}[u.UID == 0])
	})
}

// TestPause: at a terminal, -pause prints a part's heading, and the part after Enter. The same code
// does this in every step.
func TestPause(t *testing.T) {
	cmd := steptest.Caller().Program("-pause")
	cmd.Env = append(os.Environ(), "NO_COLOR=1")
	var dialog []string
	for _, heading := range []string{
		"A name of its own", "Objects made on the host", "Objects made in the container",
		"Is the container's root the host's root?",
	} {
		dialog = append(dialog, "\r\n\r\n"+heading+"\r\nEnter: ", "\n")
	}
	screen, status := steptest.Converse(t, cmd, dialog)
	if status != 0 || strings.Count(screen, "Enter: ") != 4 || !strings.Contains(screen, "next") {
		t.Errorf("exit status %d, want 0, and Enter four times; on the screen:\n%s", status, screen)
	}
}

// TestVerdicts judges the lesson's answers again. An ordinary user's root isn't the host's.
func TestVerdicts(t *testing.T) {
	if os.Getuid() == 0 {
		steptest.Verdicts(t, asked, 10, 1)
	} else {
		steptest.Verdicts(t, asked, 11, 0)
	}
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

// TestNames asks the ordinary tools.
func TestNames(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		out := u.Output(t, "sh", "-c", "cd /proc/sys/kernel; cat hostname domainname")
		if out != "container\njail.example\n" {
			t.Errorf("names inside: %q", out)
		}
	})
}

// TestRenameStaysInside renames the machine from inside, and looks outside.
func TestRenameStaysInside(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		before, err := os.ReadFile("/proc/sys/kernel/hostname")
		if err != nil {
			t.Fatal(err)
		}
		steptest.Contains(t, u.Output(t, "/proc/self/exe", "lesson:rename", "elsewhere"),
			"hostname elsewhere\n")
		after, err := os.ReadFile("/proc/sys/kernel/hostname")
		if err != nil || string(after) != string(before) {
			t.Errorf("the host was %q, is %q, %v", before, after, err)
		}
	})
}

// TestObjectsOfTheHost makes one object of each kind, and finds it on this side only.
func TestObjectsOfTheHost(t *testing.T) {
	key, name := randomKey(), "lesson-test"
	for _, object := range objects {
		if err := object.make(key, name, "secret"); err != nil {
			t.Fatalf("%s: %v", object.what, err)
		}
		defer object.remove(key, name)
		if text, err := object.read(key, name); text != "secret" || err != nil {
			t.Errorf("%s on the host: %q, %v", object.what, text, err)
		}
	}
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		for _, file := range []string{"msg", "shm", "sem"} {
			out := u.Output(t, "cat", "/proc/sysvipc/"+file)
			if strings.Count(out, "\n") != 1 {
				t.Errorf("/proc/sysvipc/%s inside has more than its heading:\n%s", file, out)
			}
		}
		out := u.Output(t, "ls", "/dev/mqueue", "/dev/shm")
		if out != "/dev/mqueue:\n\n/dev/shm:\n" {
			t.Errorf("ls inside:\n%s", out)
		}
	})
	listed, err := os.ReadFile("/proc/sysvipc/msg")
	if err != nil || strings.Count(string(listed), "\n") < 2 {
		t.Errorf("the control: on the host, /proc/sysvipc/msg is %q, %v", listed, err)
	}
}

// TestManyLessons holds the objects of 50 lessons at once, as a workshop on one machine would. The
// kernel limits what the POSIX queues of a user take (RLIMIT_MSGQUEUE).
func TestManyLessons(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		w := steptest.NewWatch(t)
		defer w.NothingLeft(t) // the last thing of all
		for i := range 50 {
			name := fmt.Sprintf("lesson-test-%d", i)
			cmd := u.Program("lesson:hold", strconv.Itoa(randomKey()), name, "secret")
			cmd.Env = w.Env()
			holder, said, err := start(cmd)
			if err != nil || said != "secret secret secret secret" {
				t.Fatalf("number %d: %q, %v", i, said, err)
			}
			defer holder.end()
		}
		if n := len(w.Processes()); n != 50 { // the control of the limit: all at the same time
			t.Errorf("%d processes hold objects, want 50", n)
		}
	})
}

// TestObjectsByName has objects of the host's looked for by their key and name, by the same program
// on both sides.
func TestObjectsByName(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		key, name := randomKey(), "lesson-test"
		holder, said, err := start(u.Program("lesson:hold", strconv.Itoa(key), name, "secret"))
		if err != nil || said != "secret secret secret secret" {
			t.Fatalf("%q, %v", said, err)
		}
		defer holder.end()
		find := []string{"lesson:find", strconv.Itoa(key), name}
		if out := u.Output(t, find...); out != said+"\n" {
			t.Errorf("the control, outside: %q", out)
		}
		cmd := u.Program(append([]string{"/proc/self/exe"}, find...)...)
		if out := steptest.Output(t, cmd); out != "ENOENT ENOENT ENOENT ENOENT\n" {
			t.Errorf("inside: %q", out)
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
func TestRemedy(t *testing.T)                  { steptest.Remedy(t, inContainer()) }
func TestNoexec(t *testing.T)                  { steptest.Noexec(t) }
func TestMountBelowUsr(t *testing.T)           { steptest.MountBelowUsr(t) }
func TestHidepid(t *testing.T)                 { steptest.Hidepid(t) }
func TestLessonLeavesNothing(t *testing.T)     { steptest.LessonLeavesNothing(t) }
func TestKilledLesson(t *testing.T)            { steptest.KilledLesson(t) }
func TestKilledCommand(t *testing.T)           { steptest.KilledCommand(t) }
func TestKilledEarly(t *testing.T)             { steptest.KilledEarly(t) }

func TestRefused(t *testing.T) { steptest.Refused(t, "container sethostname") }

func TestTerminal(t *testing.T)    { steptest.Terminal(t, inside+"# ") }
func TestStartsShell(t *testing.T) { steptest.StartsShell(t, startsShell) }

func TestSharedTmp(t *testing.T)  { steptest.SharedTmp(t) }
func TestNamespaces(t *testing.T) { steptest.Namespaces(t) }

func TestMounts(t *testing.T) {
	steptest.Mounts(t, nil, "/dev/mqueue rw,nosuid,nodev,noexec mqueue ")
}

func TestModes(t *testing.T) { steptest.Modes(t, nil) }

// innerGets is what a process in the role of the inner one gets: its parent's PID or another one.
func innerGets(given string) ([]*os.File, []string, error) {
	pid, err := os.Readlink("/proc/self")
	switch given {
	case "another":
		pid = "1"
	case "unseen": // a parent that /proc doesn't show is 0
		pid = "0"
	}
	return nil, []string{pid, "echo", "ran"}, err
}
