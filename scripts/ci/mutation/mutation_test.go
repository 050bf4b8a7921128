// Tests of the program on a made-up module, so that every way in which a row can end is seen.

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMain makes of the test binary the first process of the namespaces as well, as main does.
func TestMain(m *testing.M) {
	if os.Args[0] == initName {
		os.Exit(beInit(os.Args[1:]))
	}
	if len(os.Args) > 1 && os.Args[0] == containName {
		os.Exit(containOnly(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// containName is the name under which a test starts the test binary to have a command contained by
// somebody else than itself.
const containName = "mutation: contain"

// containOnly runs a command in namespaces, as the program does with "go test".
func containOnly(command []string) int {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := contain(cmd); err != nil {
		return 125
	}
	_ = cmd.Run()
	return cmd.ProcessState.ExitCode()
}

// madeUp is a module with one step. Its main.go "isolates" two things.
var madeUp = map[string]string{
	"go.mod": "module madeup\n\ngo 1.25\n",
	"01-step/main.go": `package main

func main() {}

// closed is what the step has closed.
func closed() map[string]bool {
	is := map[string]bool{}
	is["door"] = true
	if true {
		is["window"] = true
		is["roof"] = true
	}
	return is
}
`,
	"01-step/main_test.go": `package main

import (
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestDoor(t *testing.T) {
	if !closed()["door"] {
		t.Error("the door is open")
		t.Error("and it rattles")
	}
}

func TestWindow(t *testing.T) {
	t.Run("left", func(t *testing.T) {
		if !closed()["window"] {
			t.Fatal("the window is open")
		}
	})
	t.Run("right", func(t *testing.T) {})
}

func TestRoof(t *testing.T) {
	if !closed()["roof"] {
		t.Skip("it rains")
	}
}

func TestNothing(t *testing.T) {}

func TestSome(t *testing.T) {
	t.Run("roof", TestRoof)
}

func TestPanic(t *testing.T) {
	if !closed()["door"] {
		panic("the door!")
	}
}

func TestHang(t *testing.T) {
	if !closed()["door"] {
		time.Sleep(time.Hour)
	}
}

func TestRed(t *testing.T) { t.Error("it never passes") }

func TestBuilds(t *testing.T) {
	out, err := exec.Command("go", "list", "-overlay=", "-f", "{{.Name}}").CombinedOutput()
	if err != nil {
		t.Skipf("no go command in PATH: https://go.dev/doc/install: %s", out)
	}
	out, err = exec.Command("go", "run", ".").CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "" {
		t.Errorf("the program, built once more: %v %s", err, out)
	}
}
`,
}

// newTest makes a mutator for the made-up module that runs the tests without namespaces.
func newTest(t *testing.T, files map[string]string) (*mutator, *strings.Builder) {
	t.Helper()
	// The settings of the user are for other modules (-mod=vendor). TMPDIR may have a blank in it.
	t.Setenv("GOFLAGS", "-buildvcs=false")
	t.Setenv("GOWORK", "off")
	dir, tmp := t.TempDir(), filepath.Join(t.TempDir(), "a blank")
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(tmp, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", tmp)
	var out strings.Builder
	s, err := newSaboteur(context.Background(), dir, &out)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	s.contain = func(*exec.Cmd) error { return nil }
	return s, &out
}

func TestRows(t *testing.T) {
	s, _ := newTest(t, madeUp)
	controls := map[string]map[string]control{}
	door, roof := `is["door"] = true`, `is["roof"] = true`
	window := "if true {\n\tis[\"window\"] = true"
	for _, test := range []struct {
		row
		red      bool
		evidence string
	}{
		{row{find: door, test: "^TestDoor$"}, true, "main_test.go:12: the door is open"},
		{row{find: door, test: "^(TestDoor|TestPanic)$"}, true,
			"main_test.go:12: the door is open"},
		{row{find: door, test: "^TestPanic$"}, true, "panic: the door!"},
		{row{find: window, replace: "if true {", test: "^TestWindow$"}, true,
			"main_test.go:20: the window is open"},
		{row{find: window, replace: "if true {", test: "^TestWindow$/^left$"}, true,
			"main_test.go:20: the window is open"},
		{row{find: "func main() {}", replace: "func main() { println(1) }", test: "^TestBuilds$"},
			true, "the program, built once more: <nil> 1"},

		{row{find: window, replace: "if true {", test: "^TestWindow$/.*"}, false,
			"TestWindow/right passes without it"},
		{row{find: door, test: "^Test(Door|Nothing)$"}, false, "TestNothing passes without it"},
		{row{find: roof, test: "^TestRoof$"}, false,
			"TestRoof skips without it: main_test.go:28: it rains"},
		{row{find: roof, test: "^TestSome$"}, false,
			"TestSome passes without it; TestSome/roof skips: main_test.go:28: it rains"},
		{row{find: door, replace: "undefined()", test: "^TestDoor$"}, false,
			"it doesn't build: "},
		{row{find: door, replace: "}}", test: "^TestDoor$"}, false, "it doesn't build: "},
		{row{find: "is[\"gate\"]\nis", test: "^TestDoor$"}, false,
			"01-step/main.go: the text is not in the file: is[\"gate\"] …"},
		{row{find: "] = true", test: "^TestDoor$"}, false,
			"01-step/main.go: the text is in the file 3 times"},
		{row{find: " \n", test: "^TestDoor$"}, false, "the row doesn't say what to take out"},
		{row{find: door, replace: door, test: "^TestDoor$"}, false, "the replacement is what"},
		{row{find: door, test: "^TestHouse$"}, false,
			"in the unaltered tree: no test is called ^TestHouse$"},
		{row{find: door, test: "^TestRed$"}, false,
			"in the unaltered tree: TestRed: fail: main_test.go:50: it never passes"},
		{row{find: door, test: "^TestDoor$", file: "gone.go"}, false, "gone.go: no such file"},
	} {
		test.step = "01-step"
		if test.file == "" {
			test.file = "main.go"
		}
		if _, done := controls[test.test]; !done {
			controls[test.test] = s.control(test.step, []string{test.test}, io.Discard)
		}
		evidence, err := s.try(test.row, controls[test.test][test.test], io.Discard)
		if err != nil {
			evidence = err.Error()
		}
		if test.red != (err == nil) || !strings.Contains(evidence, test.evidence) {
			t.Errorf("%+v: red: %v, want %v: %q, want %q",
				test.row, err == nil, test.red, evidence, test.evidence)
		}
	}
	if text, err := os.ReadFile(filepath.Join(s.root, "01-step/main.go")); err != nil ||
		string(text) != madeUp["01-step/main.go"] {
		t.Errorf("the tree itself was altered: %v\n%s", err, text)
	}
}

func TestTimeoutIsNotRed(t *testing.T) {
	s, out := newTest(t, madeUp)
	s.timeout = 2 * time.Second
	hang := row{step: "01-step", file: "main.go", find: `is["door"] = true`, test: "^TestHang$"}
	if s.tryAll([]row{hang}) || !strings.Contains(out.String(), "timeout: ") {
		t.Errorf("a test that hangs:\n%s", out)
	}
}

func TestReport(t *testing.T) {
	s, out := newTest(t, madeUp)
	door := `is["door"] = true`
	green := row{step: "01-step", file: "main.go", find: "\tis := map[string]bool{}\n\t" + door,
		replace: "is := map[string]bool{}", test: "^TestNothing$", why: "doors are for closing"}
	rows := []row{{step: "01-step", file: "main.go", find: door, test: "^TestDoor$"}, green}
	red := s.tryAll(rows)
	want := `red      01-step             is["door"] = true  (^TestDoor$)
         main_test.go:12: the door is open
NOT RED  01-step             is["door"] = true  (^TestNothing$)
         TestNothing passes without it
         the line is there for this: doors are for closing

1 of 2 red
`
	if red || out.String() != want {
		t.Errorf("all red: %v; printed:\n%s\nwant:\n%s", red, out, want)
	}
	out.Reset()
	if !s.tryAll(rows[:1]) || !strings.HasSuffix(out.String(), "\n1 of 1 red\n") {
		t.Errorf("one of one:\n%s", out)
	}
	out.Reset()
	if !s.tryAll(nil) || !strings.Contains(out.String(), "no rows") {
		t.Errorf("no rows:\n%s", out)
	}
}

func TestBrokenTree(t *testing.T) {
	s, out := newTest(t, map[string]string{
		"go.mod":               madeUp["go.mod"],
		"01-step/main.go":      madeUp["01-step/main.go"] + "\nvar x int = \"text\"\n",
		"01-step/main_test.go": madeUp["01-step/main_test.go"],
	})
	door := row{step: "01-step", file: "main.go", find: `is["door"] = true`, test: "^TestDoor$"}
	want := "in the unaltered tree: it doesn't build: 01-step/main.go:"
	if s.tryAll([]row{door}) || !strings.Contains(out.String(), want) {
		t.Errorf("a tree that doesn't build:\n%s", out)
	}
}

func TestNoModule(t *testing.T) {
	t.Setenv("GO111MODULE", "on")
	t.Setenv("GOFLAGS", "-buildvcs=false")
	if _, err := newSaboteur(context.Background(), t.TempDir(), nil); err == nil {
		t.Error("a directory without a module was taken for one")
	}
}

func TestInterrupt(t *testing.T) {
	s, out := newTest(t, madeUp)
	ctx, cancel := context.WithCancel(context.Background())
	s.ctx = ctx
	cancel()
	door := row{step: "01-step", file: "main.go", find: `is["door"] = true`, test: "^TestDoor$"}
	if s.tryAll([]row{door}) || out.Len() > 0 {
		t.Errorf("an interrupted run goes on:\n%s", out)
	}
}

// TestContainFails: where there are no namespaces to be had, nothing runs.
func TestContainFails(t *testing.T) {
	s, out := newTest(t, madeUp)
	s.contain = func(*exec.Cmd) error { return errors.New("no namespaces") }
	door := row{step: "01-step", file: "main.go", find: `is["door"] = true`, test: "^TestDoor$"}
	if s.tryAll([]row{door}) || !strings.Contains(out.String(), "no namespaces") {
		t.Errorf("without namespaces:\n%s", out)
	}
}

func TestCut(t *testing.T) {
	text := "a {\n\t\tone()\n\t\ttwo()\n}\n"
	for _, find := range []string{"one()\ntwo()", "\t\tone()\n\t\ttwo()", "\tone()\n\ttwo()\n"} {
		if got, err := cut(text, find, "x"); err != nil || got != "a {\n\t\tx\n}\n" && got !=
			"a {\nx\n}\n" {
			t.Errorf("cut %q: %q, %v", find, got, err)
		}
	}
	if got, err := cut(text, "two", "3"); err != nil || !strings.Contains(got, "\t\t3()\n") {
		t.Errorf("part of a line: %q, %v", got, err)
	}
	for _, find := range []string{"o", "three", "one()two()", "one( )", ""} {
		if got, err := cut(text, find, ""); err == nil {
			t.Errorf("cut %q: %q, want an error", find, got)
		}
	}
}

func TestOfStep(t *testing.T) {
	rows := []row{{step: "02-pid"}, {step: "03-mount"}, {step: "02-pid"}}
	for step, want := range map[string]int{"": 3, "02": 2, "02-pid": 2, "03": 1, "0": 0, "04": 0} {
		if got := len(ofStep(rows, step)); got != want {
			t.Errorf("%q selects %d rows, want %d", step, got, want)
		}
	}
}

// TestLanes: rows of a step that makes cgroups share a lane, and all others have one of their own.
func TestLanes(t *testing.T) {
	var rows []row
	for _, step := range []string{"01-a", "07-b", "01-a", "08-c", "08-c", "07-b", "08-c"} {
		rows = append(rows, row{step: step})
	}
	want := "[[3 4 6] [1 5] [0] [2]]"
	if got := fmt.Sprint(lanesOf(rows)); got != want {
		t.Errorf("lanes: %s, want %s", got, want)
	}
}

// TestAtOnce: as many lanes as there may be are under way at once, and no more; within a lane, one
// thing comes after the other.
func TestAtOnce(t *testing.T) {
	s := &mutator{ctx: context.Background(), atOnce: 2}
	began, end := make(chan int), make(chan bool)
	wait := s.inLanes([][]int{{1, 2}, {3}, {4}}, func(i int) { began <- i; <-end })
	first := []int{<-began, <-began}
	slices.Sort(first)
	if !slices.Equal(first, []int{1, 3}) {
		t.Errorf("begun first: %d", first)
	}
	select {
	case i := <-began:
		t.Errorf("a third began: %d", i)
	case <-time.After(100 * time.Millisecond):
	}
	close(end)
	if rest := <-began + <-began; rest != 2+4 {
		t.Errorf("the sum of the others: %d", rest)
	}
	wait()
}

// TestOrder: the rows are printed in the order of the table, also if a later one ends first.
func TestOrder(t *testing.T) {
	s, out := newTest(t, madeUp)
	s.atOnce = 2
	var rows []row
	for _, find := range []string{`is["window"] = true`, `is["door"] = true`, `is["gate"]`} {
		rows = append(rows, row{step: "01-step", file: "main.go", find: find,
			test: "^TestDoor$"})
	}
	if s.tryAll(rows) {
		t.Error("all red")
	}
	var words []string
	for line := range strings.Lines(out.String()) {
		if word, _, found := strings.Cut(line, "  01-step  "); found {
			words = append(words, word)
		}
	}
	if want := []string{"NOT RED", "red    ", "NOT RED"}; !slices.Equal(words, want) {
		t.Errorf("the rows: %q, want %q:\n%s", words, want, out)
	}
}

// TestSelected: a regular expression selects tests of its own depth, part by part.
func TestSelected(t *testing.T) {
	o := &outcome{results: map[string]string{}}
	for _, name := range []string{"TestA", "TestA/user", "TestA/root", "TestB", "TestB/user"} {
		o.results[name] = "pass"
	}
	for run, want := range map[string]string{
		"^TestA$": "TestA", "^(TestA|TestB)$": "TestA TestB", "^TestC$": "", "(": "",
		"^(TestA|TestB)$/^user$": "TestA/user TestB/user", "^TestA$/.*": "TestA/root TestA/user",
	} {
		if got := strings.Join(o.selected(run), " "); got != want {
			t.Errorf("%s selects %q, want %q", run, got, want)
		}
	}
}

// TestTable: a row must be complete, and its text in its file, once.
func TestTable(t *testing.T) {
	for i, r := range table {
		if slices.Contains([]string{r.step, r.file, r.find, r.test, r.why}, "") {
			t.Errorf("row %d lacks something: %+v", i, r)
		}
		m := mutator{root: "../../..", scratch: t.TempDir()}
		if _, err := m.alter(r.step, edit{r.file, r.find, r.replace}); err != nil {
			t.Errorf("row %d: %v", i, err)
		}
	}
}

// TestCgroups removes what a step has left in a tree of cgroups: what is in it first, and nothing
// of anybody else's. A directory will do for the tree.
func TestCgroups(t *testing.T) {
	top := t.TempDir()
	for _, dir := range []string{"a/07-x-1/inner", "07-x-2", "07-x", "07-y-1", "a/b"} {
		if err := os.MkdirAll(filepath.Join(top, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	before := cgroupsOf(top, "07-x")
	if len(before) != 3 {
		t.Errorf("cgroups of the step: %q", before)
	}
	if err := os.MkdirAll(filepath.Join(top, "a/07-x-3/inner"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := removeCgroups(top, "07-x", before); err != nil {
		t.Error(err)
	}
	if after := cgroupsOf(top, "07-x"); !slices.Equal(after, before) {
		t.Errorf("left: %q, want %q", after, before)
	}
	if err := removeCgroups(top, "07-x", nil); err != nil {
		t.Error(err)
	}
	left, err := filepath.Glob(top + "/*")
	if err != nil || len(left) != 3 { // a, 07-x, 07-y-1
		t.Errorf("left: %q, %v", left, err)
	}
	if got := cgroupsOf(filepath.Join(top, "nothing"), "07-x"); got != nil {
		t.Errorf("without a tree: %q", got)
	}
}
