//go:build linux

package transcripts

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Go's raw strings can't hold the fences of Markdown, so the chapters below have apostrophes.
var (
	fences   = strings.NewReplacer("''''", "````", "'''", "```")
	unfenced = strings.NewReplacer("````", "''''", "```", "'''")
)

// run makes a chapter of text and runs it in a directory of its own. It returns the report and the
// chapter afterwards.
func run(t *testing.T, text string, change func(*runner)) (report, string) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "README.md")
	text = fences.Replace(text)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	r := &runner{
		root:    dir,
		dir:     dir,
		env:     append(os.Environ(), "LC_ALL=C.UTF-8"),
		names:   []naming{{dir, "/repo"}},
		timeout: 20 * time.Second,
		grace:   time.Second,
	}
	if change != nil {
		change(r)
	}
	rep, err := r.document("README.md")
	if err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !r.update && string(after) != text {
		t.Errorf("the chapter was changed without -update:\n%s", after)
	}
	return rep, unfenced.Replace(string(after))
}

// updating is the -update flag.
func updating(r *runner) { r.update = true }

// TestDocumentPasses runs chapters that are true.
func TestDocumentPasses(t *testing.T) {
	tests := []struct {
		name, text string
		ran        int
	}{
		{"plain", `
'''console
$ echo one; echo two >&2
one
two

$ printf 'no newline'
no newline
$ true
'''
`, 3},
		{"one shell for a block", `
'''console
$ x=1; cd /
$ echo $x $PWD
1 /
'''

'''console
$ echo "$x" $PWD
/repo
'''
`, 3},
		{"status and background jobs survive from command to command", `
'''console
$ (exit 7)
$ echo $?
7
$ sleep 30 &
$ kill $!; wait $!; echo status $?
status 143
'''
`, 4},
		{"continuation", `
'''console
host$ echo one \
> two \
> three
one two three
'''
`, 1},
		{"empty standard input", `
'''console
$ cat; echo end
end
'''
`, 1},
		{"/dev/stderr can be opened", `
'''console
$ echo oops > /dev/stderr
oops
'''
`, 1},
		{"messages as at a terminal", `
'''console
$ there-is-no-such-command
bash: there-is-no-such-command: command not found
$ sh -c 'kill -9 $$'; echo $?
Killed
137
'''
`, 2},
		{"exit ends the shell", `
'''console
$ echo bye; exit 3
bye
'''
`, 1},
		{"in a list", `
1. Do this:

   '''console
   $ printf 'one\n  two\n'
   one
     two
   '''
`, 1},
		{"no console block, no command", `
'''sh
$ false
'''
''''markdown
'''console
$ false
'''
''''
`, 0},
		{"varies", `
<!-- varies: ^up (\d+) days, (\d+) users -->
<!-- varies: [a-z]+@[a-z]+ -->

'''console
$ echo up 1 days, 2 users; echo root@here
up 3 days, 99 users
you@laptop
'''
`, 1},
		{"container shell", `
'''console
$ x=5
$ sh
container# echo "I am $0, x is '$x'"
I am sh, x is ''
host$ echo "x is $x"
x is 5
container# cat; echo two \
> lines; y=6; false
two lines
container# echo $? $y
1 6
jail# cd /; pwd
/
'''
`, 7},
		{"container shell that ends", `
'''console
$ echo started; sh
started
container# exit 3
'''
`, 2},
		{"go run's exit status is no output", `
'''console
$ go() { "$@"; echo "exit status $?"; }; go sh
container# true
'''
`, 2},
		{"sh as an ordinary command", `
'''console
$ echo sh
sh
'''
`, 1},
		{"host commands know nothing of the container's shell", `
'''console
$ sleep 0.01 & first=$!
$ sh
container# true
host$ wait; jobs -r; [ $! = $first ] && echo mine
mine
'''
`, 4},
		{"container's signals are the usual ones", `
'''console
$ sh
container# grep SigIgn /proc/self/status
SigIgn: 0000000000000000
'''
`, 2},
		{"the jail's background job doesn't hold up the end", `
'''console
$ sh
container# sleep 60 &
'''
`, 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			rep, _ := run(t, test.text, nil)
			if len(rep.problems) > 0 {
				t.Errorf("problems:\n%s", strings.Join(rep.problems, "\n"))
			}
			if rep.ran != test.ran {
				t.Errorf("ran %d commands, want %d", rep.ran, test.ran)
			}
			// What is true is not rewritten.
			_, after := run(t, test.text, updating)
			if after != test.text {
				t.Errorf("-update made of it:\n%s", after)
			}
		})
	}
}

// TestDocumentProblems runs chapters with something wrong in them, each of which must be found, at
// its line.
func TestDocumentProblems(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string // each occurs in the one problem
	}{
		{"mismatch", `text
'''console
$ echo one; echo two
one
deux
'''
`, []string{"README.md:3: $ echo one; echo two", "\n      one\n    - deux\n    + two"}},
		{"small numbers are claims", `'''console
$ echo I am PID 7
I am PID 1
'''
`, []string{"- I am PID 1\n    + I am PID 7"}},
		{"the shown status is exact", `'''console
$ (exit 125); echo $?
137
'''
`, []string{"- 137\n    + 125"}},
		{"output missing", `'''console
$ true
hello
'''
`, []string{"README.md:2:", "- hello"}},
		{"output not shown", `'''console
$ echo hello
'''
`, []string{"+ hello"}},
		{"no prompt", `'''console
echo hello
'''
`, []string{"README.md:1:", "begins with a prompt"}},
		{"empty", `'''console
'''
`, []string{"README.md:1:", "empty"}},
		{"no end", `'''console
$ true
`, []string{"README.md:1:", "no end"}},
		{"quoted block", `
> '''console
> $ true
> '''
`, []string{"README.md:2:", "not the beginning"}},
		{"no reason", `
<!-- not run: -->
'''console
$ true
'''
`, []string{"README.md:3:", "needs a reason"}},
		{"stray comment", `
<!-- not run: needs root -->

text

'''console
$ true
'''
`, []string{"README.md:2:", "straight before a console block"}},
		{"stale varies", `
<!-- varies: nothing -->
'''console
$ echo something
something
'''
`, []string{"README.md:3:", "varies: nothing --> matches nothing"}},
		{"bad varies", `
<!-- varies: ( -->
'''console
$ true
'''
`, []string{"README.md:3:", "missing closing )"}},
		{"varies that would match anything", `
<!-- varies: x* -->
'''console
$ true
'''
`, []string{"matches the empty text"}},
		{"varies beside a difference", `
<!-- varies: a\d -->
'''console
$ echo a1 b1
a2 b2
'''
`, []string{"- a2 b2\n    + a1 b1"}},
		{"after the end of the shell", `'''console
$ exit
$ echo hello
hello
'''
`, []string{"README.md:3:", "the shell has ended"}},
		{"no shell for the container", `'''console
$ echo one
one
container# echo two
two
'''
`, []string{"README.md:4:", "starts a shell"}},
		{"container mismatch", `'''console
$ sh
container# echo two
deux
'''
`, []string{"README.md:3: container# echo two", "- deux\n    + two"}},
		{"container that can't be built", `'''console
$ echo sorry; false sh
container# echo two
'''
`, []string{"README.md:2: $ echo sorry; false sh", "+ sorry"}},
		{"container that complains at its end", `'''console
$ f() { sh; echo umount: busy; }; f # sh
container# true
'''
`, []string{"printed at its end: umount: busy"}},
		{"too much output", `'''console
$ yes
y
'''
`, []string{"README.md:2: $ yes", "more than 1 MiB"}},
		{"a process that escapes", `'''console
$ setsid sleep 2 &
'''
`, []string{"has outlived it"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			rep, _ := run(t, test.text, nil)
			if test.name == "container that can't be built" && len(rep.problems) == 2 {
				// The next command has nowhere to go, and says so too.
				rep.problems = rep.problems[:1]
			}
			if len(rep.problems) != 1 {
				t.Fatalf("not one problem:\n%s", strings.Join(rep.problems, "\n"))
			}
			for _, want := range test.want {
				if !strings.Contains(rep.problems[0], want) {
					t.Errorf("the problem doesn't say %q:\n%s", want, rep.problems[0])
				}
			}
		})
	}
}

// TestTimeout sees that a command that doesn't end is reported and killed, on both sides, and that
// what comes after it in the block isn't run.
func TestTimeout(t *testing.T) {
	for name, text := range map[string]string{
		"host": `
'''console
$ echo before; sleep 61.25 & sleep 61.25
before
$ echo after
after
'''
`, "container": `
'''console
$ sh
container# echo before; sleep 61.25
before
'''
`,
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			rep, _ := run(t, text, func(r *runner) { r.timeout = time.Second })
			const want = "did not end within 1s; printed until then:\n      before"
			if len(rep.problems) != 1 || !strings.Contains(rep.problems[0], want) {
				t.Errorf("problems: %q", rep.problems)
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("took %v", took)
			}
			if left := running("sleep\x0061.25\x00"); len(left) > 0 {
				t.Errorf("still running: %q", left)
			}
		})
	}
}

// running returns the processes with a command line.
func running(commandLine string) []string {
	names, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	return slices.DeleteFunc(names, func(name string) bool {
		line, err := os.ReadFile(name)
		return err != nil || string(line) != commandLine
	})
}

// TestEndOfBlock sees that background jobs end with their block, and a trap on EXIT runs before.
func TestEndOfBlock(t *testing.T) {
	kept := filepath.Join(t.TempDir(), "kept")
	rep, _ := run(t, `
'''console
$ sleep 61.5 &
$ trap 'echo trapped > `+kept+`' EXIT
'''
`, nil)
	if len(rep.problems) > 0 {
		t.Errorf("problems: %q", rep.problems)
	}
	if left := running("sleep\x0061.5\x00"); len(left) > 0 {
		t.Errorf("still running: %q", left)
	}
	if text, err := os.ReadFile(kept); string(text) != "trapped\n" {
		t.Errorf("the trap wrote %q, %v", text, err)
	}
}

// TestNotRun sees that such a block is left alone and listed.
func TestNotRun(t *testing.T) {
	rep, _ := run(t, `
<!-- not run: needs
     root -->

'''console
# this isn't even a transcript
'''
`, nil)
	want := "README.md:5: not run: needs root"
	if len(rep.problems) > 0 || !slices.Equal(rep.notes, []string{want}) || rep.ran != 0 {
		t.Errorf("problems %q, notes %q, ran %d; want the note %q and no more",
			rep.problems, rep.notes, rep.ran, want)
	}
}

// TestUpdate sees what -update writes, and that it has nothing to write the second time.
func TestUpdate(t *testing.T) {
	const before = `# Chapter

Text.  

'''console
$ echo pid 12345; echo PID 2
pid 54321
PID 2
'''

<!-- varies: id=(\w+) -->
'''console
$ echo pid 12345
pid 54321
$ echo PID 2; echo id=abc; echo; echo "  indented"; pwd
PID 1
id=xyz
gone
$ printf 'new  \n\n'

$ echo kept
kept

'''

- list

  '''console
  $ sh
  container# echo in the container; echo; echo two
  '''
no newline at the end`
	const after = `# Chapter

Text.  

'''console
$ echo pid 12345; echo PID 2
pid 54321
PID 2
'''

<!-- varies: id=(\w+) -->
'''console
$ echo pid 12345
pid 12345
$ echo PID 2; echo id=abc; echo; echo "  indented"; pwd
PID 2
id=abc

  indented
/repo
$ printf 'new  \n\n'
new

$ echo kept
kept

'''

- list

  '''console
  $ sh
  container# echo in the container; echo; echo two
  in the container

  two
  '''
no newline at the end`
	rep, got := run(t, before, updating)
	if len(rep.problems) > 0 || len(rep.notes) != 2 {
		t.Errorf("problems %q, notes %q; want 2 notes", rep.problems, rep.notes)
	}
	if got != after {
		t.Errorf("got:\n%s\nwant:\n%s", got, after)
	}
	rep, again := run(t, got, updating)
	if again != got || len(rep.notes) > 0 {
		t.Errorf("the second -update wasn't idle: %q\n%s", rep.notes, again)
	}
}

// TestUpdateRefuses sees that -update writes nothing that would be read as a prompt or a fence.
func TestUpdateRefuses(t *testing.T) {
	for _, line := range []string{"$ ls", "container# ls", "'''"} {
		text := "'''console\n$ printf '%s\\n' '" + line + "'\n'''\n"
		if line == "'''" {
			text = "''''console\n$ printf '\\140\\140\\140\\n'\n''''\n"
		}
		rep, after := run(t, text, updating)
		if len(rep.problems) != 1 || !strings.Contains(rep.problems[0], "would read as") {
			t.Errorf("%s: problems %q", line, rep.problems)
		}
		if after != text {
			t.Errorf("%s: -update wrote:\n%s", line, after)
		}
	}
}

// TestRename sees that only whole paths are replaced.
func TestRename(t *testing.T) {
	r := runner{names: []naming{{"/home/jo/src", "/repo"}, {"/home/jo", "/home/you"}, {"/", "x"}}}
	for text, want := range map[string]string{
		"cd /home/jo/src/01":             "cd /repo/01",
		"/home/jo:/home/joe:/home/jo.":   "/home/you:/home/joe:/home/you.",
		"HOME=/home/jo, /mnt/home/jo":    "HOME=/home/you, /mnt/home/jo",
		"/home/jo/src-2 and /home/jo/s":  "/home/you/src-2 and /home/you/s",
		"'/home/jo/src' is not /home/jo": "'/repo' is not /home/you",
	} {
		if got := strings.Join(r.lines(text), "\n"); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

// TestRenumber sees that only the numbers of the shell's own lines change.
func TestRenumber(t *testing.T) {
	got := renumber("sh: 4: foo: not found\n/bin/sh: 4: x\nsh: 1: not ours\nsh: 9: neither\n",
		3, 1, 1)
	want := "sh: 2: foo: not found\n/bin/sh: 2: x\nsh: 1: not ours\nsh: 9: neither\n"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestMountedBelow looks at two directories of which one has a mount, on itself.
func TestMountedBelow(t *testing.T) {
	if mount, err := mountedBelow("/proc"); mount != "/proc" || err != nil {
		t.Errorf("beneath /proc: %q, %v", mount, err)
	}
	if mount, err := mountedBelow(t.TempDir()); mount != "" || err != nil {
		t.Errorf("beneath a directory that has just been made: %q, %v", mount, err)
	}
}

// TestRootsBlocks has a block whose commands are root's. They run where root's tests run, with
// root's environment, and otherwise the report says that they didn't.
func TestRootsBlocks(t *testing.T) {
	text := `
'''console
# echo $WHO
root
'''

'''console
$ echo '# no prompt'
# no prompt
'''
`
	rep, _ := run(t, text, nil)
	if rep.ran != 1 || len(rep.problems) != 0 || len(rep.notes) != 1 ||
		!strings.Contains(rep.notes[0], "not run: only root's tests run what root does") {
		t.Errorf("without root: %+v", rep)
	}
	rep, _ = run(t, text, func(r *runner) {
		r.rootEnv = append(slices.Clone(r.env), "WHO=root")
	})
	if rep.ran != 2 || len(rep.problems) != 0 || len(rep.notes) != 0 {
		t.Errorf("with root: %+v", rep)
	}
}
