package consistency

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"jail-to-container/scripts/steptest"
)

// TestDiff runs scripts/diff.sh: main.go in full and a line for each other file; a named file in
// full; one line a file with -stat; and what can't be shown ends with 2.
func TestDiff(t *testing.T) {
	tests := []struct {
		args         string
		status       int
		want, wantNo string // regular expressions
	}{
		{"02 03", 0, `(?ms)\Amain\.go$.*^\+.*PivotRoot.*^rootfs\.go +\+\d+ +-0 +new: \w`,
			`(?m)^\+func bindReadOnly`},
		{"02-pid-namespace 03 rootfs.go", 0,
			`(?ms)\Arootfs\.go$.*^\+func bindReadOnly`, `PivotRoot`},
		{"-stat 02 03", 0, `(?ms)\Amain\.go +\+\d+ +-\d+ *$.*^rootfs\.go`, `(?m)^[+-]`},
		{"02 03", 0, `main\.go`, `(?m)^(demo|narrate|other|main_test)\.go`},
		{"02 09", 2, `no step 09; there are: 01-chroot 02`, ""},
		{"02 03 nowhere.go", 2, "neither step has a file nowhere.go", ""},
		{"02", 2, "usage:", ""},
	}
	for _, test := range tests {
		cmd := exec.Command("../../diff.sh", strings.Fields(test.args)...)
		out, _ := cmd.CombinedOutput()
		if got := cmd.ProcessState.ExitCode(); got != test.status {
			t.Errorf("%s: status %d, want %d\n%s", test.args, got, test.status, out)
		}
		if !regexp.MustCompile(test.want).Match(out) {
			t.Errorf("%s: no %s in\n%s", test.args, test.want, out)
		}
		if test.wantNo != "" && regexp.MustCompile(test.wantNo).Match(out) {
			t.Errorf("%s: %s in\n%s", test.args, test.wantNo, out)
		}
	}
}

// TestCDPATH: a script finds its repository although CDPATH, where cd looks first, leads to another
// directory named scripts.
func TestCDPATH(t *testing.T) {
	elsewhere := t.TempDir()
	if err := os.Mkdir(elsewhere+"/scripts", 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("scripts/diff.sh", "-stat", "02", "03")
	cmd.Dir = "../../.."
	cmd.Env = append(os.Environ(), "CDPATH="+elsewhere)
	if out, err := cmd.CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "main.go") {
		t.Errorf("diff.sh: %v\n%s", err, out)
	}
	scripts, err := filepath.Glob("../../*.sh")
	more, err2 := filepath.Glob("../../ci/*.sh")
	if scripts = append(scripts, more...); len(scripts) < 15 || err != nil || err2 != nil {
		t.Fatal(scripts, err, err2)
	}
	for _, script := range scripts {
		text, err := os.ReadFile(script)
		if err != nil {
			t.Fatal(err)
		}
		if line := regexp.MustCompile(`(?m)^(.*[^'] )?cd .*\$\(dirname.*`).Find(text); line != nil {
			t.Errorf("%s: without CDPATH='', this may lead elsewhere: %s", script, line)
		}
	}
}

// TestBlog writes the chapters as posts and reads them: the front matter, no link that leads
// nowhere in a blog, nothing in a block that Jekyll would take for its own.
func TestBlog(t *testing.T) {
	site := t.TempDir()
	out, err := exec.Command("../../blog.sh", "-d", "2026-01-02", "-a", "A. Writer", "-r",
		"https://example.org/repo", site).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	posts, err := filepath.Glob(site + "/_posts/2026-01-02-container-part-*.md")
	if err != nil || len(posts) != 8 {
		t.Fatalf("%d posts, %v", len(posts), err)
	}
	for i, post := range posts {
		data, err := os.ReadFile(post)
		if err != nil {
			t.Fatal(err)
		}
		text := string(data)
		head := fmt.Sprintf(`\A---\nlayout: post\ntitle: "Container Part %d - \S.*"\n`+
			`date: 2026-01-02\nauthor: A. Writer\ncategories: Container\n---\n`, i+2)
		if !regexp.MustCompile(head).MatchString(text) {
			t.Errorf("%s begins with %q", post, text[:min(200, len(text))])
		}
		bad := regexp.MustCompile(`\]\((\.\./|[\w.]+\))|<!-- varies`)
		if bad := bad.FindString(text); bad != "" {
			t.Errorf("%s has %q in it", post, bad)
		}
		if strings.Count(text, "{% raw %}") != strings.Count(text, "{% endraw %}") ||
			strings.Count(text, "{% raw %}") != strings.Count(text, "```")/2 {
			t.Errorf("%s: not every block is between raw and endraw", post)
		}
	}
}

// TestCopiedAway copies each step away as its chapter says, without its tests, builds and vets it
// there, and runs the lesson.
func TestCopiedAway(t *testing.T) {
	steps, err := filepath.Glob(filepath.Join(root, "0[1-8]-*"))
	if err != nil || len(steps) != 8 {
		t.Fatal(steps, err)
	}
	modules := "-mod=mod"
	vendor, err := filepath.Abs(filepath.Join(root, "vendor"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(vendor); err == nil { // a copy for a user without modules
		modules = "-mod=vendor"
	}
	for _, step := range steps {
		t.Run(filepath.Base(step), func(t *testing.T) {
			chapter, err := os.ReadFile(filepath.Join(step, "README.md"))
			if err != nil {
				t.Fatal(err)
			}
			line := regexp.MustCompile(`(?m)^mkdir \.\./mine && cp .*$`)
			copying := line.FindString(string(chapter))
			if !strings.Contains(copying, "cp "+filepath.Base(step)+"/") {
				t.Fatalf("the chapter copies nothing: %q", copying)
			}
			dir := filepath.Join(t.TempDir(), "mine")
			cmd := exec.Command("bash", "-c", strings.ReplaceAll(copying, "../mine", dir))
			cmd.Dir = root
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", copying, err, out)
			}
			if modules == "-mod=vendor" {
				if err := os.Symlink(vendor, filepath.Join(dir, "vendor")); err != nil {
					t.Fatal(err)
				}
			}
			for _, command := range [][]string{
				{"go", "vet", modules, "."},
				{"go", "build", modules, "-o", "mine", "."},
				{"./mine"},
			} {
				asJail := filepath.Base(step) == "01-chroot" && os.Getuid() == 0
				if command[0] == "./mine" && !asJail {
					steptest.NeedNamespaces(t)
				}
				cmd := exec.Command(command[0], command[1:]...)
				cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFLAGS=", "GOPROXY=off")
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%q: %v\n%s", command, err, out)
				}
			}
		})
	}
}
