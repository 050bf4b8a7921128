//go:build linux

// What the chapter of 04 claims.

package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestLesson reads the lesson's facts and compares them with each other.
func TestLesson(t *testing.T) {
	asEveryUser(t, func(t *testing.T, u user) {
		hostname, err := os.Hostname()
		if err != nil {
			t.Fatal(err)
		}
		out := expect(t, program(u))
		line := regexp.MustCompile(`(?m)^(host|container) +(?:afterwards: )?` +
			`hostname (\S+), NIS domain (\S+); UTS namespace (\d+)`)
		names := line.FindAllStringSubmatch(out, -1)
		if len(names) != 4 {
			t.Fatalf("%d lines about names, want 4:\n%s", len(names), out)
		}
		before, set, renamed, after := names[0], names[1], names[2], names[3]
		if !slices.Equal(before[2:], after[2:]) || before[2] != hostname {
			t.Errorf("the host is %q; before %q, after %q", hostname, before, after)
		}
		if set[2] != "container" || set[3] != "jail.example" || renamed[2] == "container" {
			t.Errorf("inside: %q, then %q", set, renamed)
		}
		if set[4] == before[4] || set[4] != renamed[4] {
			t.Errorf("UTS namespaces: %q, %q, %q", before, set, renamed)
		}
		// The tables, with blanks folded.
		folded := regexp.MustCompile(` +`).ReplaceAllString(out, " ")
		contains(t, folded,
			"System V message queue found ENOENT ENOENT\n",
			"System V shared memory found ENOENT ENOENT\n",
			"POSIX message queue found ENOENT ENOENT\n",
			"file in /dev/shm found found ENOENT\n",
			"System V message queue ENOENT\n",
			"System V shared memory ENOENT\n",
			"POSIX message queue ENOENT\n",
			"file in /dev/shm ENOENT\n",
		)
		contains(t, out, "I am uid 0\n", map[bool]string{
			true:  "the host calls the same process uid 0:",
			false: fmt.Sprintf("the host calls the same process uid %d,", u.uid),
		}[u.uid == 0])
	})
}

// TestNames asks the ordinary tools.
func TestNames(t *testing.T) {
	asEveryUser(t, func(t *testing.T, u user) {
		out := expect(t, program(u, "sh", "-c", "cd /proc/sys/kernel; cat hostname domainname"))
		if out != "container\njail.example\n" {
			t.Errorf("names inside: %q", out)
		}
	})
}

// TestRenameStaysInside renames the machine from inside, and looks outside.
func TestRenameStaysInside(t *testing.T) {
	asEveryUser(t, func(t *testing.T, u user) {
		before, err := os.ReadFile("/proc/sys/kernel/hostname")
		if err != nil {
			t.Fatal(err)
		}
		contains(t, expect(t, program(u, "/proc/self/exe", "lesson:rename", "elsewhere")),
			"hostname container,", "hostname elsewhere,")
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
	asEveryUser(t, func(t *testing.T, u user) {
		for _, file := range []string{"msg", "shm", "sem"} {
			out := expect(t, program(u, "cat", "/proc/sysvipc/"+file))
			if strings.Count(out, "\n") != 1 {
				t.Errorf("/proc/sysvipc/%s inside has more than its heading:\n%s", file, out)
			}
		}
		out := expect(t, program(u, "ls", "/dev/mqueue", "/dev/shm"))
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
	asEveryUser(t, func(t *testing.T, u user) {
		w := newWatch(t)
		defer w.nothingLeft(t) // the last thing of all
		for i := range 50 {
			name := fmt.Sprintf("lesson-test-%d", i)
			cmd := program(u, "lesson:hold", strconv.Itoa(randomKey()), name, "secret")
			cmd.Env = w.env()
			holder, said, err := start(cmd)
			if err != nil || said != "holding" {
				t.Fatalf("number %d: %q, %v", i, said, err)
			}
			defer holder.end()
		}
		if n := len(w.processes()); n != 50 { // the control of the limit: all at the same time
			t.Errorf("%d processes hold objects, want 50", n)
		}
	})
}

// TestObjectsByName has objects of the host's looked for by their key and name, by the same program
// on both sides.
func TestObjectsByName(t *testing.T) {
	asEveryUser(t, func(t *testing.T, u user) {
		key, name := randomKey(), "lesson-test"
		holder, said, err := start(program(u, "lesson:hold", strconv.Itoa(key), name, "secret"))
		if err != nil || said != "holding" {
			t.Fatalf("%q, %v", said, err)
		}
		defer holder.end()
		find := []string{"lesson:find", strconv.Itoa(key), name, "secret"}
		if out := expect(t, program(u, find...)); strings.Contains(out, "ENOENT") {
			t.Errorf("the control, outside: %q", out)
		}
		cmd := program(u, append([]string{"/proc/self/exe"}, find...)...)
		if out := expect(t, cmd); out != strings.Repeat("ENOENT\n", len(objects)) {
			t.Errorf("inside: %q", out)
		}
	})
}

// init adds what these tests run in the program's place.
func init() {
	// In the role of the container, with the right parent's PID or another.
	noProof = map[string]string{
		"outside": "not as PID 1 of a container", "another": "isn't my parent",
		"right": "it is also that of the process which has started me"}
	experiments["test:role"] = func(args []string) error {
		pid, err := os.Readlink("/proc/self")
		if args[0] == "another" {
			pid = "1"
		}
		return errors.Join(err, asFirst(nil, role(inside), pid, "echo", "ran"))
	}
}
