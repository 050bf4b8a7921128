//go:build linux

package transcripts

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// run runs a chapter in a directory of its own. It returns the report and the chapter afterwards.
func run(t *testing.T, text string, change func(*runner)) (report, string) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "README.md")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	r := &runner{
		root: dir, dir: dir, env: append(os.Environ(), "LC_ALL=C.UTF-8"),
		names: []naming{{dir, "/repo"}}, timeout: 20 * time.Second, grace: time.Second,
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
	return rep, string(after)
}

// updating is the -update flag.
func updating(r *runner) { r.update = true }

// testdata reads a file of that directory.
func testdata(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestTrue runs a chapter in which nothing is wrong: nothing is found, and -update changes nothing.
func TestTrue(t *testing.T) {
	text := testdata(t, "true.md")
	rep, _ := run(t, text, nil)
	if len(rep.problems) > 0 || rep.ran != 32 {
		t.Errorf("ran %d commands, want 32; problems:\n%s", rep.ran,
			strings.Join(rep.problems, "\n"))
	}
	if _, after := run(t, text, updating); after != text {
		t.Errorf("-update made of it:\n%s", after)
	}
}

// TestWrong runs a chapter in which every block is wrong. A comment before it has the words that
// the problem must have.
func TestWrong(t *testing.T) {
	text := testdata(t, "wrong.md")
	rep, _ := run(t, text, nil)
	problems := rep.problems
	wrong := regexp.MustCompile(`(?m)^<!-- wrong: (.*) -->$`)
	for _, m := range wrong.FindAllStringSubmatch(text, -1) {
		i := slices.IndexFunc(problems, func(problem string) bool {
			for words := range strings.SplitSeq(m[1], " ~ ") {
				if !strings.Contains(problem, words) {
					return false
				}
			}
			return true
		})
		if i < 0 {
			t.Errorf("no problem has %q", m[1])
			continue
		}
		problems = slices.Delete(problems, i, i+1)
	}
	if len(problems) > 0 {
		t.Errorf("these are too many:\n%s", strings.Join(problems, "\n"))
	}
}

// TestTimeout: a command that doesn't end is reported and killed, on both sides, and what comes
// after it in the block isn't run. What is left in the background ends with the block, after a trap
// on EXIT.
func TestTimeout(t *testing.T) {
	kept := filepath.Join(t.TempDir(), "kept")
	for name, text := range map[string]string{
		"host":      "$ echo before; sleep 61.25 & sleep 61.25\nbefore\n$ echo after\nafter\n",
		"container": "$ sh\ncontainer# echo before; sleep 61.25\nbefore\n",
		"":          "$ sleep 61.25 &\n$ trap 'echo trapped > " + kept + "' EXIT\n",
	} {
		start := time.Now()
		rep, _ := run(t, "```console\n"+text+"```\n", func(r *runner) { r.timeout = time.Second })
		const want = "did not end within 1s; printed until then:\n      before"
		if name == "" && len(rep.problems) == 0 {
		} else if len(rep.problems) != 1 || !strings.Contains(rep.problems[0], want) {
			t.Errorf("%s: problems: %q", name, rep.problems)
		}
		if took := time.Since(start); took > 30*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
		lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, file := range lines {
			if line, _ := os.ReadFile(file); string(line) == "sleep\x0061.25\x00" {
				t.Errorf("%s: still running: %s", name, file)
			}
		}
	}
	if text, err := os.ReadFile(kept); string(text) != "trapped\n" {
		t.Errorf("the trap wrote %q, %v", text, err)
	}
}

// TestNotRun: such a block is left alone and listed. So is root's, where only a user's tests run.
func TestNotRun(t *testing.T) {
	text := "<!-- not run: needs\n     a terminal -->\n\n```console\n# no transcript\n```\n" +
		"```console\n# echo $WHO\nroot\n```\n```console\n$ echo '# no prompt'\n# no prompt\n```\n"
	rep, _ := run(t, text, nil)
	notes := "README.md:4: not run: needs a terminal\n" +
		"README.md:7: not run: only root's tests run what root does"
	if len(rep.problems) > 0 || rep.ran != 1 || strings.Join(rep.notes, "\n") != notes {
		t.Errorf("as a user: %+v", rep)
	}
	rep, _ = run(t, text, func(r *runner) { r.rootEnv = append(slices.Clone(r.env), "WHO=root") })
	if len(rep.problems) > 0 || rep.ran != 2 || len(rep.notes) != 1 {
		t.Errorf("as root: %+v", rep)
	}
}

// TestNeeds: a block that needs a program runs where the program is, and is listed where it isn't.
func TestNeeds(t *testing.T) {
	dir := t.TempDir()
	text := "<!-- needs: rare (rarities), sh (dash) -->\n```console\n$ rare\nit runs\n```\n"
	change := func(r *runner) {
		r.lacking = true
		r.env = append(r.env, "PATH="+dir+":"+os.Getenv("PATH"))
	}
	rep, _ := run(t, text, change)
	const why = "no rare here: apt-get install rarities"
	if len(rep.problems) > 0 || rep.ran != 0 || !slices.Equal(rep.lacking, []string{why}) ||
		!slices.Equal(rep.notes, []string{"README.md:2: not run: " + why}) {
		t.Errorf("without the program: %+v", rep)
	}
	one := "<!-- needs: no subordinate IDs -->\n```console\n$ echo one\none\n```\n"
	rep, _ = run(t, one, func(r *runner) { r.manyIDs = true })
	if notes := strings.Join(rep.notes, "\n"); rep.ran != 0 || len(rep.problems) > 0 ||
		notes != "README.md:2: not run: "+hasIDs {
		t.Errorf("with subordinate IDs: %+v", rep)
	}
	if rep, _ := run(t, one, nil); rep.ran != 1 || len(rep.problems) > 0 {
		t.Errorf("without subordinate IDs: %+v", rep)
	}
	program := []byte("#!/bin/sh\necho it runs\n")
	if err := os.WriteFile(filepath.Join(dir, "rare"), program, 0o755); err != nil {
		t.Fatal(err)
	}
	rep, _ = run(t, text, change)
	if len(rep.problems) > 0 || rep.ran != 1 || rep.lacking != nil {
		t.Errorf("with the program: %+v", rep)
	}
}

// TestUpdate: -update rewrites the outputs of a block that differs, all of them, and nothing else.
// It refuses what would be read as a prompt or a fence.
func TestUpdate(t *testing.T) {
	before := "Text.  \n\n```console\n$ echo pid 12345; echo PID 2\npid 54321\nPID 2\n```\n\n" +
		"<!-- varies: id=(\\w+) -->\n```console\n$ echo pid 12345\npid 54321\n" +
		"$ echo PID 2; echo id=abc; echo; echo \"  indented\"; pwd\nPID 1\nid=xyz\ngone\n" +
		"$ printf 'new  \\n\\n'\n\n$ echo kept\nkept\n\n```\n\n- list\n\n  ```console\n  $ sh\n" +
		"  container# echo inside; echo; echo two\n  ```\nno newline at the end"
	after := strings.NewReplacer("12345\npid 54321", "12345\npid 12345",
		"PID 1\nid=xyz\ngone\n", "PID 2\nid=abc\n\n  indented\n/repo\n",
		"\\n\\n'\n", "\\n\\n'\nnew\n",
		"two\n  ```", "two\n  inside\n\n  two\n  ```").Replace(before)
	rep, got := run(t, before, updating)
	if len(rep.problems) > 0 || len(rep.notes) != 2 || got != after {
		t.Errorf("problems %q, notes %q, got:\n%s\nwant:\n%s", rep.problems, rep.notes, got, after)
	}
	if rep, again := run(t, got, updating); again != got || len(rep.notes) > 0 {
		t.Errorf("the second -update wasn't idle: %q\n%s", rep.notes, again)
	}
	for _, line := range []string{"$ ls", "container# ls", "\\140\\140\\140"} {
		text := "````console\n$ printf '" + line + "\\n'\n````\n"
		rep, after := run(t, text, updating)
		if len(rep.problems) != 1 || !strings.Contains(rep.problems[0], "would read as") ||
			after != text {
			t.Errorf("%s: problems %q, -update wrote:\n%s", line, rep.problems, after)
		}
	}
}
