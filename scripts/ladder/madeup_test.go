// Tests of the comparers on made-up steps: that they are silent about what is the same, and that
// one changed character is not missed.

package ladder

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// mainGo is a main.go with one of everything that is compared.
const mainGo = `//go:build linux

// A step.
package main

import "os"

// inside marks the inside run.
const inside = "container"

// The sizes.
const (
	small = 1 // a little
	// large is more.
	large = 2
)

// host is the outer half.
func host() {
	os.Exit(1) // at once
}

type link struct{}

// up switches it on.
func (l *link) up() {}

// last is the last.
func last() {}
`

// partGo is a file that has to be the same as a whole.
const partGo = `// A part.

package main

// part is one.
func part() {}
`

// changedPair makes two steps of which the first has the files above, and the second the same with
// one replacement in main.go or part.go, whichever has the text.
func changedPair(t *testing.T, old, replacement string) []*step {
	t.Helper()
	if old != "" && strings.Count(mainGo+partGo, old) != 1 {
		t.Fatalf("%q is not in the made-up step once", old)
	}
	change := func(text string) *fstest.MapFile {
		if old != "" {
			text = strings.Replace(text, old, replacement, 1)
		}
		return &fstest.MapFile{Data: []byte(text)}
	}
	return load(t, fstest.MapFS{
		"02-two/main.go":       {Data: []byte(mainGo)},
		"02-two/part.go":       {Data: []byte(partGo)},
		"02-two/02-two":        {Data: []byte("a binary")},
		"03-three/main.go":     change(mainGo),
		"03-three/part.go":     change(partGo),
		"03-three/only.txt":    {Data: []byte("only here")},
		"other/main.go":        {Data: []byte("no step, and no Go")},
		"03-three/deep/er.txt": {Data: []byte("deeper")},
	})
}

// load reads made-up steps.
func load(t *testing.T, fsys fstest.MapFS) []*step {
	t.Helper()
	steps, err := loadSteps(fsys)
	if err != nil {
		t.Fatal(err)
	}
	return steps
}

func TestCompareMadeUpSteps(t *testing.T) {
	for _, test := range []struct {
		about     string
		old, new  string
		file      string // of the one finding; none expected where this is empty
		name      string
		different string // what the finding has to quote
	}{
		{about: "the same"},
		{about: "a function's comment, one character",
			old: "the outer half", new: "the outer Half",
			file: "main.go", name: "host", different: "the outer Half"},
		{about: "a comment at the end of a line", old: "at once", new: "at Once",
			file: "main.go", name: "host", different: "at Once"},
		{about: "white space", old: "link struct{}", new: "link struct {}",
			file: "main.go", name: "link", different: "link struct {}"},
		{about: "a method", old: "(l *link) up", new: "(k *link) up",
			file: "main.go", name: "link.up", different: "k *link"},
		{about: "a constant", old: `"container"`, new: `"box"`,
			file: "main.go", name: "inside", different: "box"},
		{about: "one of a group", old: "large = 2", new: "large = 3",
			file: "main.go", name: "large", different: "large = 3"},
		{about: "the comment beside one of a group", old: "a little", new: "a bit",
			file: "main.go", name: "small", different: "a bit"},
		{about: "main.go's head is its own", old: "A step", new: "Another step"},
		{about: "main.go may gain a function", old: "// last is", new: "func x() {}\n\n// last is"},
		{about: "main.go may lose a function", old: "// last is the last.\nfunc last() {}\n"},
		{about: "another kind of declaration", old: "type link struct{}", new: "var link = 1",
			file: "main.go", name: "link", different: "var link"},
		{about: "another file's head", old: "A part", new: "a part",
			file: "part.go", name: wholeFile, different: "a part"},
		{about: "another file's function", old: "is one.", new: "is two.",
			file: "part.go", name: "part", different: "is two."},
		{about: "another file gains a function",
			old: "// part is", new: "func x() {}\n\n// part is",
			file: "part.go", name: wholeFile, different: "«x»"},
	} {
		t.Run(test.about, func(t *testing.T) {
			steps := changedPair(t, test.old, test.new)
			if len(steps) != 2 {
				t.Fatalf("%d steps found, want 2", len(steps))
			}
			found := compare(steps[0], steps[1])
			if test.file == "" {
				if len(found) > 0 {
					t.Fatal("found where nothing is: ", found)
				}
				return
			}
			if len(found) != 1 {
				t.Fatalf("found %v, want one difference", found)
			}
			f := found[0]
			if f.pair != "02-03" || f.file != test.file || f.name != test.name ||
				!strings.Contains(f.what, test.different) {
				t.Errorf("found %v, want %s in %s, quoting %q",
					f, test.name, test.file, test.different)
			}
		})
	}
}

func TestFilesThatAreNotGo(t *testing.T) {
	steps := load(t, fstest.MapFS{
		"07-a/README.md": {Data: []byte("a chapter")}, "08-b/README.md": {Data: []byte("another")},
		"07-a/list.txt": {Data: []byte("one\ntwo\n")}, "08-b/list.txt": {Data: []byte("one\n2\n")},
	})
	found := compare(steps[0], steps[1])
	if len(found) != 1 || found[0].file != "list.txt" || found[0].name != wholeFile {
		t.Errorf("found %v, want list.txt", found)
	}
}

func TestFileThatComesBack(t *testing.T) {
	steps := load(t, fstest.MapFS{
		"01-a/escape.go": {Data: []byte(partGo)}, "01-a/main.go": {Data: []byte(mainGo)},
		"02-b/demo.go":   {Data: []byte("package main\n")},
		"03-c/escape.go": {Data: []byte(strings.Replace(partGo, "is one", "is two", 1))},
		"03-c/main.go":   {Data: []byte("package main\n\nfunc host() {}\n")},
		"04-d/escape.go": {Data: []byte(strings.Replace(partGo, "is one", "is two", 1))},
	})
	bad, _ := compareAll(steps, nil)
	if len(bad) != 1 || bad[0].pair != "01-03" || bad[0].name != "part" {
		t.Errorf("found %v, want only part in escape.go of 01 and 03", bad)
	}
}

func TestOrder(t *testing.T) {
	head := "package main\n\n"
	a, b, c := "func a() {}\n\n", "func b() {}\n\n", "func c() {}\n\n"
	swapped := load(t, fstest.MapFS{
		"01-x/main.go": {Data: []byte(head + a + b)},
		"02-y/main.go": {Data: []byte(head + b + c + a)},
	})
	bad, _ := compareAll(swapped, []exception{{every, every, "a", "x"}, {every, every, "b", "x"}})
	if len(bad) != 1 || bad[0].name != "b" || !strings.Contains(bad[0].what, "stands after a") {
		t.Errorf("found %v, want that b is before a; no exception is for that", bad)
	}
	inserted := load(t, fstest.MapFS{
		"01-x/main.go": {Data: []byte(head + a + b)},
		"02-y/main.go": {Data: []byte(head + a + c + b)},
	})
	if bad, _ := compareAll(inserted, nil); len(bad) > 0 {
		t.Errorf("found %v, but a function in between moves none", bad)
	}
}

func TestMoved(t *testing.T) {
	f := "package main\n\nfunc f() {}\n"
	for _, test := range []struct {
		about  string
		fsys   fstest.MapFS
		wanted string
	}{
		{"to another file", fstest.MapFS{
			"01-x/main.go": {Data: []byte(f)}, "02-y/net.go": {Data: []byte(f)},
		}, "01-02 main.go: f: is in net.go in the second step"},
		{"one more beside it", fstest.MapFS{
			"01-x/main.go": {Data: []byte(f)}, "02-y/main.go": {Data: []byte(f)},
			"02-y/other.go": {Data: []byte(f)},
		}, ""},
		{"a test's helper has nothing to do with it", fstest.MapFS{
			"01-x/main_test.go": {Data: []byte(f)}, "02-y/main.go": {Data: []byte(f)},
		}, ""},
		{"main_test.go is compared too", fstest.MapFS{
			"01-x/main_test.go": {Data: []byte(f)},
			"02-y/main_test.go": {Data: []byte(strings.Replace(f, "func", "// f.\nfunc", 1))},
		}, "01-02 main_test.go: f: line 1 differs:\n\t\t\"func f() {}\"\n\t\t\"// f.\""},
	} {
		steps := load(t, test.fsys)
		var got []string
		for _, f := range compare(steps[0], steps[1]) {
			got = append(got, f.String())
		}
		if strings.Join(got, "; ") != test.wanted {
			t.Errorf("%s: found %q, want %q", test.about, got, test.wanted)
		}
	}
}

func TestExceptions(t *testing.T) {
	changed := changedPair(t, "the outer half", "the inner half")
	same := changedPair(t, "", "")
	for _, test := range []struct {
		about      string
		steps      []*step
		table      []exception
		bad, stale int
	}{
		{"excused by name", changed, []exception{{"02-03", "main.go", "host", "why"}}, 0, 0},
		{"excused everywhere", changed, []exception{{every, every, "host", "why"}}, 0, 0},
		{"another pair", changed, []exception{{"01-02", "main.go", "host", "why"}}, 1, 1},
		{"another file", changed, []exception{{every, "demo.go", "host", "why"}}, 1, 1},
		{"another name", changed, []exception{{every, every, "link", "why"}}, 1, 1},
		{"no reason", changed, []exception{{every, every, "host", ""}}, 0, 1},
		{"not needed", same, []exception{{every, "main.go", "host", "why"}}, 0, 1},
		{"twice", changed, []exception{
			{"02-03", every, "host", "why"},
			{every, every, "host", "why"},
		}, 0, 1},
		{"no two steps yet", same[:1], []exception{{every, "main.go", "host", "why"}}, 0, 0},
		{"needed by one pair of two", append(slices.Clone(same), changed[1]),
			[]exception{{every, "main.go", "host", "why"}}, 0, 0},
	} {
		bad, stale := compareAll(test.steps, test.table)
		if len(bad) != test.bad || len(stale) != test.stale {
			t.Errorf("%s: %d differences and %d stale exceptions, want %d and %d: %v %v",
				test.about, len(bad), len(stale), test.bad, test.stale, bad, stale)
		}
	}
}

func TestWholeFileException(t *testing.T) {
	table := []exception{{"02-03", "part.go", wholeFile, "it grows"}}
	grown := changedPair(t, "// part is", "func x() {}\n\n// part is")
	if bad, stale := compareAll(grown, table); len(bad)+len(stale) > 0 {
		t.Errorf("a new function in a file that may grow: %v %v", bad, stale)
	}
	changed := changedPair(t, "is one.", "is two.")
	if bad, _ := compareAll(changed, table); len(bad) != 1 {
		t.Errorf("a changed function in a file that may grow: found %v", bad)
	}
}

func TestShapeOfMadeUpSteps(t *testing.T) {
	if got := notAllowed([]string{"go.mod", ".github", "vendor", "notes.txt", "scripts", "docs",
		"notes.txt", "09-more"}); !slices.Equal(got, []string{"09-more", "docs", "notes.txt"}) {
		t.Errorf("not allowed at the top level: %q", got)
	}

	imports := "package main\n\nimport _ \"m/scripts/y\"\nimport _ \"mm/z\"\n"
	s := load(t, fstest.MapFS{
		"01-x/main.go": {Data: []byte(imports)},
		"01-x/demo.go": {Data: []byte("package main\n")},
	})[0]
	if got := ownImports(s, "m"); !slices.Equal(got, []string{"01-x/main.go imports m/scripts/y"}) {
		t.Errorf("imports of the module itself: %q", got)
	}
	if got := missing(s); !slices.Equal(got, []string{"README.md", "main_test.go", "other.go"}) {
		t.Errorf("missing files: %q", got)
	}

	lines := "\t" + strings.Repeat("ö", 96) + "\n\t" + strings.Repeat("o", 97) + "\n"
	if got := tooWide(lines); len(got) != 1 || !strings.HasPrefix(got[0], "2: 101 columns") {
		t.Errorf("too wide: %q", got)
	}
}

func TestUndocumented(t *testing.T) {
	for text, wanted := range map[string]int{
		"// A file.\n\npackage main\n\n// f is.\nfunc f() {}\n":            0,
		"//go:build linux\n\n// A file.\npackage main\n":                   0,
		"//go:build linux\n\npackage main\n":                               1,
		"package main\n\n// A comment too late.\n":                         1,
		"// A file.\n\npackage main\n\n//go:noinline\nfunc f() {}\n":       1,
		"// A file.\n\npackage main\n\n// far away\n\nfunc f() {}\n":       1,
		"// A file.\n\npackage main\n\ntype t int\n\nfunc (t) m() {}\n":    1,
		"package main\n\nfunc f() {}\n\nfunc g() {}\n":                     3,
		"/* A file. */\n\npackage main\n\n/* f is. */\nfunc f() {}\n":      0,
		"// A file.\n\npackage main\n\nvar v = func() {} // no doc needed": 0,
	} {
		src, err := parse("main.go", text)
		if err != nil {
			t.Fatal(err)
		}
		if got := undocumented(src.ast); len(got) != wanted {
			t.Errorf("%q: %q, want %d", text, got, wanted)
		}
	}
}

// TestLoosePointers checks four conversions: the first two are safe.
func TestLoosePointers(t *testing.T) {
	src, err := parse("main.go", `package main

func main() {
	unix.Syscall(1, uintptr(unsafe.Pointer(&x)), 0, 0)
	call(1, uintptr(unsafe.Pointer(&x)))
	unix.Prctl(1, uintptr(unsafe.Pointer(&x)))
	address := uintptr(unsafe.Pointer(&x))
}
`)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"unix.Prctl", "no call"}
	if got := loosePointers(src.ast); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
