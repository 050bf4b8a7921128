//go:build linux

package transcripts

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"jail-to-container/scripts/steptest"
)

// TestFreshClone makes copies with scripts/ci/fresh-clone.sh: of a git checkout, of a tree that is
// none, and of a copy.
func TestFreshClone(t *testing.T) {
	for _, name := range []string{"bash", "git", "tar"} {
		steptest.Need(t, name, name)
	}
	script, err := os.ReadFile("../fresh-clone.sh")
	if err != nil {
		t.Fatal(err)
	}
	root := tree(t, map[string]string{
		"scripts/ci/fresh-clone.sh": string(script),
		"go.mod":                    "module m\n\ngo 1.25.0\n",
		".gitignore":                "ignored\n/vendor/\n",
		"01-a/main.go":              "package main\n",
		"01-a/a b\tc":               "",
		"01-a/ignored":              "",
		"01-a/deleted":              "",
		"01-a/private":              "",
	})
	run := func(args ...string) (string, error) {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = root
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	must := func(args ...string) {
		t.Helper()
		if out, err := run(args...); err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
	}
	must("chmod", "0700", "scripts/ci/fresh-clone.sh", "01-a")
	must("chmod", "0600", "01-a/private")
	must("ln", "-s", "main.go", "01-a/link")

	common := []string{"01-a/a b\tc", "01-a/link", "01-a/main.go", "01-a/private", ".gitignore",
		"go.mod", "scripts/ci/fresh-clone.sh"}
	check := func(copied string, more ...string) {
		t.Helper()
		want := slices.Sorted(slices.Values(append(more, common...)))
		if got := files(t, copied); !slices.Equal(got, want) {
			t.Errorf("%s holds\n%q\nwant\n%q", copied, got, want)
		}
		for name, mode := range map[string]fs.FileMode{
			"01-a": 0o755, "01-a/private": 0o644, "scripts/ci/fresh-clone.sh": 0o755,
		} {
			info, err := os.Stat(filepath.Join(copied, name))
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode().Perm() != mode {
				t.Errorf("%s has mode %v, want %v", name, info.Mode().Perm(), mode)
			}
			owner := info.Sys().(*syscall.Stat_t).Uid
			if os.Getuid() == 0 && owner != nobody {
				t.Errorf("%s belongs to %d, want %d", name, owner, nobody)
			}
		}
	}
	to := t.TempDir()
	clone := filepath.Join(root, "scripts", "ci", "fresh-clone.sh")

	must(clone, to+"/plain")
	check(to+"/plain", "01-a/deleted", "01-a/ignored")

	must("git", "init", "-q")
	must("git", "add", "-A")
	must("rm", "01-a/deleted")
	must(clone, to+"/git")
	check(to + "/git")

	must("mkdir", "-p", "vendor/x")
	must("touch", "vendor/modules.txt", "vendor/x/x.go")
	must(clone, to+"/vendored")
	check(to+"/vendored", "vendor/modules.txt", "vendor/x/x.go")

	root = to + "/vendored"
	must(root+"/scripts/ci/fresh-clone.sh", to+"/copy")
	check(to+"/copy", "vendor/modules.txt", "vendor/x/x.go")

	for _, args := range [][]string{
		{clone},
		{clone, to + "/copy"},
		{clone, "-x"},
		{clone, "-u", "me", to + "/x"},
		{root + "/scripts/ci/fresh-clone.sh", root + "/in"},
	} {
		if out, err := run(args...); err == nil || out == "" {
			t.Errorf("%q: %v, said %q; want an error and its reason", args, err, out)
		}
	}
}

// files lists what is no directory beneath dir.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			names = append(names, strings.TrimPrefix(path, dir+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names
}
