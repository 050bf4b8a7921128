//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"jail-to-container/scripts/steptest"
)

// shop is a repository with one step in it, where the program is run as a reader runs it.
type shop struct {
	t             *testing.T
	root, scratch string
}

// built is the program.
var built string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "exercise-")
	if err != nil {
		panic(err)
	}
	built = filepath.Join(dir, "exercise")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", built, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		panic(string(out))
	}
	status := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(status)
}

// newShop makes a repository with the step of an exercise.
func newShop(t *testing.T, e *exercise) *shop {
	t.Helper()
	steptest.NeedNamespaces(t)
	s := &shop{t, filepath.Join(t.TempDir(), "repo["), t.TempDir()}
	must(t, os.MkdirAll(filepath.Join(s.root, e.step), 0o755))
	must(t, copyStep("../../"+e.step, filepath.Join(s.root, e.step), nil))
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile("../../" + name)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(s.root, name), text, 0o644))
	}
	if vendor, err := filepath.Abs("../../vendor"); err == nil {
		must(t, os.Symlink(vendor, filepath.Join(s.root, "vendor"))) // it may lead nowhere
	}
	if out, status := s.run("list"); status != 0 || !strings.Contains(out, e.id) {
		t.Fatalf("list: %d, %s", status, out)
	}
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// run runs the program, and returns what it prints, with blanks for the ends of lines.
func (s *shop) run(args ...string) (string, int) {
	s.t.Helper()
	cmd := exec.Command(built, append([]string{s.root, s.scratch}, args...)...)
	cmd.Dir = s.root
	if s.root == "" {
		s.t.Fatal("no root")
	}
	if _, err := os.Stat(s.root); err != nil {
		s.t.Fatal(err)
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	return strings.Join(strings.Fields(string(out)), " "), cmd.ProcessState.ExitCode()
}

// expect runs the program and wants an exit status and a text.
func (s *shop) expect(status int, text string, args ...string) string {
	s.t.Helper()
	out, got := s.run(args...)
	if got == statusCant {
		steptest.Skip(s.t, "this host can't show it; run it as root, where all steps run: %s", out)
	}
	if got != status || !strings.Contains(out, text) {
		s.t.Errorf("%v: exit status %d, want %d and %q: %s", args, got, status, text, out)
	}
	return out
}

// TestExercises proves that each exercise starts broken for the stated reason, that its solutions
// pass, and that nothing less does.
func TestExercises(t *testing.T) {
	some := map[string]bool{"02-1": true, "02-3": true, "01-4": true}
	for i := range exercises {
		e := &exercises[i]
		t.Run(e.id, func(t *testing.T) {
			if !some[e.id] && os.Getenv("EXERCISES") == "" {
				return // scripts/ci/nightly.sh
			}
			t.Parallel()
			p, found := proofs[e.id]
			if !found {
				t.Fatal("no proof")
			}
			s := newShop(t, e)
			if e.runsHere() != nil {
				s.expect(statusTrouble, "needs cgroup v2", "start", e.id)
				return // scripts/ci/vm/systemd.sh
			}
			dir := filepath.Join(s.root, "_exercise", e.id)
			s.expect(0, p.starts, "start", e.id)
			s.expect(statusLeak, p.starts, "check", e.id)
			first := s.expect(0, "1 of ", "hint")

			must(t, applyTo(dir, p.half.edits))
			s.expect(statusLeak, p.half.says, "check")
			if second := s.expect(0, p.hint, "hint"); second == first {
				t.Errorf("the same hint for half a solution: %s", second)
			} else if third := s.expect(0, "", "hint"); third == second {
				t.Errorf("a hint that didn't help comes again: %s", third)
			}
			for _, v := range p.wrong {
				s.expect(0, "as it was at the start", "reset")
				must(t, applyTo(dir, v.edits))
				s.expect(statusLeak, v.says, "check")
			}
			for _, v := range p.other {
				s.expect(0, "as it was at the start", "reset")
				must(t, applyTo(dir, v.edits))
				s.expect(0, "done "+e.id, "check")
			}
			s.expect(0, "", "solution")
			s.expect(0, "as it was at the start", "reset")
			for _, name := range mustSources(t, dir) {
				must(t, os.Remove(filepath.Join(dir, name)))
			}
			must(t, copyStep("../../"+e.step, dir, e.solution))
			s.expect(0, "done "+e.id, "check")
			s.expect(0, "nothing left to do", "hint")
			s.expect(0, "to the letter", "solution")
		})
	}
}

func mustSources(t *testing.T, dir string) []string {
	t.Helper()
	names, err := sources(dir)
	must(t, err)
	return names
}

// TestTable: every exercise's edits fit the steps as they are, what comes of them compiles, and its
// attacks exist.
func TestTable(t *testing.T) {
	root := newShop(t, &exercises[0]).root
	rows := map[string]int{}
	for i := range exercises {
		e := &exercises[i]
		for kind, edits := range map[string][]edit{"start": e.start, "solution": e.solution} {
			if len(edits) == 0 {
				continue // it is the step
			}
			dir := filepath.Join(root, "all", e.id, kind)
			must(t, os.MkdirAll(dir, 0o755))
			if err := copyStep("../../"+e.step, dir, edits); err != nil {
				t.Errorf("%s: the %s: %v", e.id, kind, err)
			}
			start, err := readSources(dir)
			must(t, err)
			yours := maps.Clone(start)
			for name := range yours {
				yours[name] += "\nvar _ = 0\n"
			}
			if hint := e.fitting(yours, start, ""); hint != "" {
				t.Errorf("%s: whatever you write in the %s, the hint is: %s", e.id, kind, hint)
			}
		}
		for _, name := range append(e.others(), e.attacks...) {
			findAttack(name)
		}
		if len(e.hints) != 3 || e.why == "" || e.task == "" || len(e.attacks) == 0 {
			t.Errorf("%s: not whole", e.id)
		}
		if len(e.start)+len(e.solution) == 0 {
			t.Errorf("%s: nothing to do", e.id)
		}
		chapter, err := os.ReadFile("../../" + e.step + "/README.md")
		must(t, err)
		row := fmt.Sprintf("| %s | %s | %d min |", e.id, e.shownTitle(), e.minutes)
		if !strings.Contains(string(chapter), row) {
			t.Errorf("%s/README.md doesn't have the line: %s", e.step, row)
		}
		if _, found := proofs[e.id]; !found {
			t.Errorf("%s: no proof", e.id)
		}
		// The half solution is a wrong one, too, and the table's is a right one.
		if p := proofs[e.id]; e.build && (len(p.other) < 1 || len(p.wrong) < 2) {
			t.Errorf("%s: to be proved with two solutions and three wrong ones", e.id)
		}
		rows[e.step] += strings.Count(string(chapter), "\n| "+e.id+" | ")
	}
	for step, want := range rows {
		chapter, err := os.ReadFile("../../" + step + "/README.md")
		must(t, err)
		got := regexp.MustCompile(`(?m)^\| \d\d-\d+ \|`).FindAllString(string(chapter), -1)
		if len(got) != want {
			t.Errorf("%s/README.md lists %v, want %d exercises", step, got, want)
		}
	}
	cmd := exec.Command("go", "vet", "-unreachable", "./all/...") // it compiles, and links nothing
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("go vet: %v\n%s", err, out)
	}
}

// spoil makes a copy of 02-1 whose container is something else.
func spoil(t *testing.T, body string) *shop {
	t.Helper()
	e, err := findExercise("02-1")
	must(t, err)
	s := newShop(t, e)
	s.expect(0, "", "start", "02-1")
	dir := filepath.Join(s.root, "_exercise", "02-1")
	must(t, applyTo(dir, append(attr02("Cloneflags: namespaces,"), forContainer(body)...)))
	return s
}

// TestBounded: a program that hangs, forks, eats or prints without end is ended, and nothing is
// left of it. Two of these at a time: one only waits.
func TestBounded(t *testing.T) {
	for name, c := range map[string]struct{ body, sleeps, says string }{
		"hangs": {"\treturn exec.Command(\"sleep\", \"4711\").Run()", "4711", "Your program hangs"},
		"forks": {"\tfor {\n\t\tcmd := exec.Command(\"sleep\", \"4713\")\n\t\t_ = cmd.Start()\n\t}",
			"4713", "more than 400 processes"},
		"eats": {"\tvar all [][]byte\n\tfor {\n\t\tb := make([]byte, 1<<20)\n\t\tfor i := range " +
			"b {\n" +
			"\t\t\tb[i] = 1\n\t\t}\n\t\tall = append(all, b)\n\t}", "",
			"more than 1024 MiB of memory"},
		"prints": {"\tfor {\n\t\tfmt.Println(\"and so on\")\n\t}", "", "prints without end"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := spoil(t, c.body)
			s.expect(statusLeak, c.says, "check")
			if n := len(sleepers(c.sleeps)); n > 0 {
				t.Errorf("%d processes are left", n)
			}
		})
	}
}

// TestMistakes: what goes wrong around an exercise is one clear line, and your files stay.
func TestMistakes(t *testing.T) {
	s := spoil(t, "\treturn nothing")
	s.expect(statusLeak, "_exercise/02-1/main.go:", "check")
	s.expect(0, "First make it compile", "hint")
	s.expect(statusTrouble, "is there already", "start", "02-1")
	s.expect(statusTrouble, "wasn't started yet", "check", "01-1")
	s.expect(statusTrouble, "there is no exercise", "start", "09-1")
	s.expect(statusTrouble, "there is no exercise", "check", "09-1")
	s.expect(statusUsage, "there is no command", "chek")
	must(t, os.Chmod(filepath.Join(s.root, "_exercise"), 0o555))
	if os.Geteuid() != 0 { // root may write there all the same
		s.expect(statusTrouble, "permission denied", "start", "02-2")
	}
	must(t, os.Chmod(filepath.Join(s.root, "_exercise"), 0o755))
	if names, err := os.ReadDir(filepath.Join(s.root, "_exercise")); err != nil || len(names) != 1 {
		t.Errorf("left behind: %v %v", names, err)
	}
	for _, name := range []string{"HOME", "XDG_CACHE_HOME", "GOCACHE"} {
		t.Setenv(name, "") // for go, empty is the same as not set
	}
	s.expect(statusTrouble, "go build: exit status 1: ", "check")
}

// TestSudo: what root makes in a user's clone belongs to that user, who wants to edit it.
func TestSudo(t *testing.T) {
	s := spoil(t, "\treturn nothing")
	owner := os.Getuid()
	if owner == 0 {
		owner = steptest.Ordinary.UID
		must(t, os.Chown(s.root, owner, steptest.Ordinary.GID()))
	}
	s.expect(0, "your files are in", "reset")
	seen := 0
	must(t, filepath.WalkDir(filepath.Join(s.root, "_exercise"),
		func(path string, entry fs.DirEntry, err error) error {
			must(t, err)
			info, err := entry.Info()
			must(t, err)
			if uid := info.Sys().(*syscall.Stat_t).Uid; int(uid) != owner {
				t.Errorf("%s belongs to user %d, not %d", path, uid, owner)
			}
			seen++
			return nil
		}))
	if seen < 10 {
		t.Errorf("saw only %d files", seen)
	}
}

// TestWithoutHome: scripts/exercise.sh finds a home for the go command's cache itself.
func TestWithoutHome(t *testing.T) {
	cmd := exec.Command("bash", "../exercise.sh", "list")
	cmd.Env = slices.DeleteFunc(os.Environ(), func(s string) bool {
		return strings.HasPrefix(s, "HOME=")
	})
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "08-12") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestRemoved: files that are gone come back by reset, and what is left of yours is kept.
func TestRemoved(t *testing.T) {
	s := spoil(t, "\treturn nil // mine")
	dir := filepath.Join(s.root, "_exercise", "02-1")
	yours, err := os.ReadFile(filepath.Join(dir, "main.go"))
	must(t, err)
	must(t, os.Remove(filepath.Join(dir, "cli.go")))
	s.expect(statusLeak, "It doesn't compile", "check")
	s.expect(0, "your files are in", "reset")
	s.expect(0, "is as it was at the start.", "reset") // a second one doesn't take the first one's
	kept, err := os.ReadFile(filepath.Join(dir, ".before-reset", "main.go"))
	must(t, err)
	if string(kept) != string(yours) {
		t.Errorf("kept: %s", kept)
	}
	for _, name := range mustSources(t, dir) {
		must(t, os.Remove(filepath.Join(dir, name)))
	}
	s.expect(statusTrouble, "no Go files", "check")
	s.expect(0, "as it was at the start", "reset")
	s.expect(statusLeak, "still in the host's PID namespace", "check")
	must(t, os.RemoveAll(dir))
	s.expect(statusTrouble, "no exercise was started yet", "check")
	s.expect(0, "", "start", "02-1")
}

// TestDisk: a full disk and a read-only one change nothing.
func TestDisk(t *testing.T) {
	s := spoil(t, "\treturn nil")
	// The directory "small" is a disk in a mount namespace of its own.
	script := `set -u; ex=$1 root=$2 scratch=$3 small=$2/small; mkdir "$small"
		try() { echo "($1)"; shift; "$ex" "$root" "$scratch" "$@"; echo "status $?"; }
		mount -t tmpfs -o size=20k none "$small"
		try full start -dir "$small/a" 02-2
		echo "left: $(ls -A "$small")"
		mount -t tmpfs -o ro none "$small"
		try read-only start -dir "$small/a" 02-2
		mount -t tmpfs -o size=1m none "$small"
		try right start -dir "$small/a" 02-2
		cd "$small/a"; echo "// mine" >>main.go; cp main.go .exercise "$scratch"
		cat /dev/zero >fill 2>/dev/null
		try reset reset
		cmp main.go "$scratch/main.go" && cmp .exercise "$scratch/.exercise" && echo unchanged
		try hint hint
		cmp .exercise "$scratch/.exercise" && echo remembered
		rm fill; echo "left: $(ls -A | grep -c new)"`
	args := []string{"--mount", "sh", "-c", script, "sh", built, s.root, s.scratch}
	if os.Geteuid() != 0 {
		args = append([]string{"--user", "--map-root-user"}, args...)
	}
	out, err := exec.Command("unshare", args...).CombinedOutput()
	must(t, err)
	said := strings.Join(strings.Fields(string(out)), " ")
	for _, want := range []string{
		"no space left on device status 5 left: (read-only)",
		"read-only file system status 5 (right)",
		"hint status 0 (reset)",
		"no space left on device status 5 unchanged (hint)",
		"no space left on device status 5 remembered left: 0",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("no %q in: %s", want, out)
		}
	}
}

// TestTwoAtOnce: two checks of the same files don't disturb each other.
func TestTwoAtOnce(t *testing.T) {
	e, err := findExercise("02-1")
	must(t, err)
	s := newShop(t, e)
	s.expect(0, "", "start", "02-1")
	must(t, copyStep("../../"+e.step, filepath.Join(s.root, "_exercise", "02-1"), nil))
	var cmds [2]*exec.Cmd
	var outs [2]strings.Builder
	for i := range cmds {
		cmds[i] = exec.Command(built, s.root, t.TempDir(), "check") // as scripts/exercise.sh does
		cmds[i].Dir, cmds[i].Stdout, cmds[i].Stderr = s.root, &outs[i], &outs[i]
		must(t, cmds[i].Start())
	}
	for i, cmd := range cmds {
		if err := cmd.Wait(); err != nil || !strings.Contains(outs[i].String(), "02-1 holds") {
			t.Errorf("%v: %s", err, &outs[i])
		}
	}
}

// TestSavesAtOnce: what two of them remember doesn't collide, and leaves one file.
func TestSavesAtOnce(t *testing.T) {
	c := &attempt{ID: "02-1", dir: t.TempDir()}
	failed := make(chan error)
	for range 100 {
		go func() { failed <- c.save() }()
	}
	for range 100 {
		must(t, <-failed)
	}
	files, err := os.ReadDir(c.dir)
	must(t, err)
	if len(files) != 1 {
		t.Errorf("there are %v", files)
	}
	_, err = readCopy(c.dir)
	must(t, err)
}

// TestInterrupted: Ctrl-C ends everything, and leaves the files alone.
func TestInterrupted(t *testing.T) {
	spoiled := spoil(t, "\tcmd := exec.Command(\"sleep\", \"4712\")\n\t_ = cmd.Run()\n\treturn nil")
	runs := func() bool { return len(sleepers("4712")) > 0 }
	e, err := findExercise("02-1")
	must(t, err)
	fresh := newShop(t, e)
	copied := filepath.Join(fresh.root, "_exercise", "02-1", stateFile)
	for _, c := range []struct {
		command []string
		s       *shop
		when    func() bool
		status  int
		says    string
	}{
		{[]string{"check"}, spoiled, runs, 130, "interrupted"},
		{[]string{"watch"}, spoiled, runs, 0, ""},
		{[]string{"start", "02-1"}, fresh,
			func() bool { _, err := os.Stat(copied); return err == nil }, 130, "interrupted"},
	} {
		t.Run(c.command[0], func(t *testing.T) {
			before, err := readSources(filepath.Join(spoiled.root, "_exercise", "02-1"))
			must(t, err)
			cmd := exec.Command(built, append([]string{c.s.root, c.s.scratch}, c.command...)...)
			cmd.Dir = c.s.root
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			var out strings.Builder
			cmd.Stdout, cmd.Stderr = &out, &out
			must(t, cmd.Start())
			if !eventually(60*time.Second, c.when) {
				t.Errorf("the program didn't run: %s", out.String())
			}
			must(t, syscall.Kill(-cmd.Process.Pid, syscall.SIGINT))
			_ = cmd.Wait()
			if cmd.ProcessState.ExitCode() != c.status || !strings.Contains(out.String(), c.says) {
				t.Errorf("%v: %s", cmd.ProcessState, out.String())
			}
			if !eventually(3*time.Second, func() bool { return !runs() }) {
				t.Error("its processes are left")
			}
			after, err := readSources(filepath.Join(spoiled.root, "_exercise", "02-1"))
			must(t, err)
			if fingerprint(before) != fingerprint(after) {
				t.Error("the files aren't as they were")
			}
			names, err := fs.Glob(os.DirFS(c.s.root), "_exercise/.*")
			if err != nil || len(names) > 0 {
				t.Errorf("left behind: %v %v", names, err)
			}
		})
	}
	fresh.expect(statusLeak, "still in the host's PID namespace", "check") // the copy is whole
}
