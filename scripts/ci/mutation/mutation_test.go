// Tests of the program on a made-up module, so that every way in which a row can end is seen.

package main

import (
	"context"
	"errors"
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

// containName is the name under which a test starts the test binary to have another process contain
// a command.
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
