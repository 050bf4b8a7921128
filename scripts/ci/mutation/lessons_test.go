package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// house is a made-up step whose lesson is about three doors.
var house = map[string]string{
	"go.mod": madeUp["go.mod"],
	"01-house/main.go": `package main

import (
	"fmt"
	"os"
)

func main() {
	front, back, status := "held", "LEAK", 0
	fmt.Println("host\n\nDoors\ndoor   host  house")
	fmt.Println("front  ok    no     " + front + "  by the lock")
	fmt.Println("back   ok    ok     " + back)
	fmt.Println("\nGarden\nthe gate isn't held open\ngate  no  no  n/a")
	os.Exit(status)
}
`,
}

// TestFlips: a change is right if the lesson says what the row says of the named lines and of no
// others, and ends accordingly. A lesson whose verdicts aren't all flipped is wrong, too.
func TestFlips(t *testing.T) {
	s, out := newTest(t, house)
	before := flips
	t.Cleanup(func() { flips = before })
	row := func(says, find, replace string, lines ...string) flip {
		return flip{"01-house", []edit{{"main.go", find, replace}}, says, lines}
	}
	const front, back, both = "Doors: front ok no$", "Doors: back ", `"held", "LEAK", 0`
	gift := row(held, `"LEAK", 0`, `"held", 0`, back)
	cut := row(leak, both, `"LEAK", "LEAK", 1`, front, "Garden: gate")
	flips = []flip{gift, cut}
	want := "held     01-house            Doors: back ok ok\n" +
		"LEAK     01-house            Doors: front ok no\n\n2 changes to lessons, 0 wrong\n"
	if !s.flipAll(flips) || out.String() != want {
		t.Errorf("printed:\n%s\nwant:\n%s", out, want)
	}
	flips = []flip{cut}
	for _, wrong := range []struct {
		row  flip
		want string
	}{
		{cut, "MISSING  01-house            no row flips: Doors: back ok ok LEAK\n"},
		{row(leak, both, `"held", "LEAK", 1`, front), ": Doors: front ok no held becomes "},
		{row(leak, both, `"LEAK", "held", 1`, front), ": Doors: back ok ok LEAK becomes "},
		{row(leak, both, `"LEAK", "LEAK", 0`, front), ": it exits with 0, after 3 verdicts of 3"},
		{row(leak, "0\n", "1\nos.Exit(1)\n", front), ": it exits with 1, after 0 verdicts of 3"},
		{row(leak, "front,", "", front), ": it doesn't build: "},
		{row(leak, both, "", "side"), ": side is 0 lines of the lesson"},
		{row(leak, both, "", "Doors"), ": Doors is 2 lines of the lesson"},
		{row(leak, both, "", back), ": it says that already"},
		{row(leak, "roof", "", front), ": the text is not in the file"},
	} {
		out.Reset()
		if s.flipAll([]flip{wrong.row}) || !strings.Contains(out.String(), wrong.want) {
			t.Errorf("printed:\n%s\nwant:\n%s", out, wrong.want)
		}
	}
}

// TestLessonFails: from a lesson that fails as it is, nothing follows.
func TestLessonFails(t *testing.T) {
	s, out := newTest(t, map[string]string{
		"go.mod": house["go.mod"],
		"01-house/main.go": strings.Replace(house["01-house/main.go"], `os.Exit(status)`,
			`println("no house"); os.Exit(125 + status)`, 1),
	})
	row := flip{"01-house", []edit{{"main.go", "125", "0"}}, held, []string{"back"}}
	want := "as it is, the lesson exits with 125: <nil> no house\n"
	if s.flipAll([]flip{row}) || !strings.Contains(out.String(), want) {
		t.Errorf("printed:\n%s\nwant:\n%s", out, want)
	}
}

// TestFlipsTable: rows and exceptions are complete, their texts are in the files, and each step has
// rows of both kinds.
func TestFlipsTable(t *testing.T) {
	steps, err := filepath.Glob("../../../0*-*")
	if err != nil || len(steps) != 8 {
		t.Fatalf("the steps: %q, %v", steps, err)
	}
	for _, step := range steps {
		for _, says := range []string{held, leak} {
			step := filepath.Base(step)
			if says == held && step == "08-full-container" {
				continue // its one leak is an exception
			}
			kind := func(f flip) bool { return f.step == step && f.says == says }
			if !slices.ContainsFunc(flips, kind) {
				t.Errorf("%s has no row after which it says %s", step, says)
			}
		}
	}
	for i, f := range flips {
		says := f.says == held || f.says == leak
		if f.step == "" || !says || len(f.edits) == 0 || len(f.lines) == 0 {
			t.Errorf("row %d lacks something: %+v", i, f)
		}
		m := mutator{root: "../../..", scratch: t.TempDir()}
		if _, err := m.alter(f.step, f.edits...); err != nil {
			t.Errorf("row %d: %v", i, err)
		}
	}
	for _, e := range exceptions {
		if e.step == "" || e.line == "" || e.why == "" {
			t.Errorf("an exception lacks something: %+v", e)
		}
	}
}
