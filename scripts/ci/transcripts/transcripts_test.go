//go:build linux

package transcripts

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"jail-to-container/scripts/steptest"
)

var update = flag.Bool("update", false, "write the commands' output into the chapters")

// nobody is the user of the commands where the tests run as root: the uid that fresh-clone.sh gives
// the copy to.
const nobody = 65534

// TestChapters runs all transcripts.
func TestChapters(t *testing.T) {
	help, _ := exec.Command("ls", "--help").CombinedOutput()
	if bytes.Contains(help, []byte("BusyBox")) {
		steptest.Skip(t, "BusyBox's programs print other words than the chapters: "+
			"apt-get install coreutils procps")
	}
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	names := chapters(t, root)
	if len(names) == 0 {
		t.Fatalf("no README.md and no chapters in %s", root)
	}
	dependOn(t, root)
	r := newRunner(t, root)
	r.update = *update
	r.lacking = os.Getenv("CI") == ""
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			rep, err := r.document(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, note := range rep.notes {
				t.Log(note)
			}
			for _, why := range rep.lacking {
				steptest.List(t.Name(), why)
			}
			for _, problem := range rep.problems {
				t.Error(problem)
			}
			if name != "README.md" && rep.ran == 0 && rep.lacking == nil {
				t.Errorf("%s: no command of this chapter is executed", name)
			}
		})
	}
}

// dependOn opens every directory, which makes the state of the files in it an input of the tests.
// go test can't see what the commands of a transcript read, and would repeat a cached "ok" after a
// step has changed.
func dependOn(t *testing.T, root string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if name := filepath.Base(path); err == nil && (name == ".git" || name == "vendor") {
			return fs.SkipDir
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// newRunner returns the runner for an ordinary user: the one who runs the tests, or, where that is
// root, nobody with a copy of the tree and directories of its own.
func newRunner(t *testing.T, root string) *runner {
	t.Helper()
	gocmd, err := exec.LookPath("go")
	if err != nil {
		steptest.Skip(t, "transcripts need the go command in PATH: https://go.dev/doc/install")
	}
	steptest.Need(t, "bash", "bash")
	r := &runner{root: root, timeout: 120 * time.Second, grace: 10 * time.Second}
	if deadline, ok := t.Deadline(); ok {
		r.until = deadline.Add(-20 * time.Second)
	}
	if os.Getuid() == 0 {
		r.becomeNobody(t, gocmd)
	} else {
		r.dir = root
		r.env = os.Environ()
		r.manyIDs = subordinateIDs()
		r.call(os.Getenv("HOME"), "/home/you")
		r.call(os.TempDir(), "/tmp")
	}
	r.call(r.dir, "/repo")
	r.env = slices.DeleteFunc(r.env, func(v string) bool {
		// bash would read the file at its start.
		return strings.HasPrefix(v, "BASH_ENV=")
	})
	// Messages in the reader's language would be all different.
	r.env = append(r.env, "LC_ALL=C.UTF-8")
	if os.Getuid() == 0 && !steptest.Weak() {
		r.rootEnv = append(os.Environ(), "LC_ALL=C.UTF-8", "GOFLAGS=-mod=vendor", "BASH_ENV=")
	}

	if out, err := r.try("go", "version"); err != nil {
		steptest.Skip(t, "uid %d can't run %s: %v\n%s\n"+
			"Install Go where every user can read it, or run the tests as an ordinary user.",
			nobody, gocmd, err, out)
	}
	if _, err := exec.LookPath("unshare"); err == nil {
		if out, err := r.try("unshare", "--user", "--map-root-user", "true"); err != nil {
			steptest.Skip(t, "an ordinary user can't make user namespaces here: %v\n%s\n"+
				"Transcripts need them. The settings that forbid it (sysctl): "+
				"kernel.apparmor_restrict_unprivileged_userns=1, "+
				"kernel.unprivileged_userns_clone=0, user.max_user_namespaces=0.", err, out)
		}
	}
	steptest.NeedProc(t)
	return r
}

// subordinateIDs reports whether this user has some, and newuidmap for them.
func subordinateIDs() bool {
	_, missing := exec.LookPath("newuidmap")
	me, err := user.Current()
	ranges, _ := os.ReadFile("/etc/subuid") // without it, nobody has any
	if missing != nil || err != nil {
		return false
	}
	text := "\n" + string(ranges)
	return strings.Contains(text, "\n"+me.Username+":") || strings.Contains(text, "\n"+me.Uid+":")
}

// becomeNobody makes the runner work in a fresh clone as uid 65534.
func (r *runner) becomeNobody(t *testing.T, gocmd string) {
	t.Helper()
	base := tempDir(t)
	r.dir = filepath.Join(base, "repo")
	clone := exec.Command(filepath.Join(r.root, "scripts", "ci", "fresh-clone.sh"),
		"-u", strconv.Itoa(nobody), r.dir)
	if out, err := clone.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", clone, err, out)
	}
	r.user = &syscall.Credential{Uid: nobody, Gid: nobody}
	own := func(name string) string {
		dir := filepath.Join(base, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(dir, nobody, nobody); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	home, tmp, cache := own("home"), own("tmp"), own("cache")
	seedCache(t, gocmd, cache)
	goroot, err := exec.Command(gocmd, "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	// For a program that isn't there, a shell that may not look into some directory of root's says
	// “Permission denied”, not “not found”.
	path := []string{filepath.Join(strings.TrimSpace(string(goroot)), "bin")}
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if reachable(dir) {
			path = append(path, dir)
		}
	}
	r.env = []string{
		"PATH=" + strings.Join(path, ":"),
		"HOME=" + home,
		"USER=nobody",
		"LOGNAME=nobody",
		"TMPDIR=" + tmp,
		"GOTMPDIR=" + tmp,
		"GOCACHE=" + cache,
		"GOFLAGS=-mod=vendor",
		"GOPROXY=off",
		"GOTOOLCHAIN=local",
	}
	r.call(home, "/home/you")
	r.call(tmp, "/tmp")
}

// seedCache gives nobody's go command what root's has used in the last hours, so that it needn't
// compile Go's library first. Without that it does. In a cache, the files that end in -d are named
// by their content, and shared; go may write to the others again.
func seedCache(t *testing.T, gocmd, cache string) {
	t.Helper()
	from, err := exec.Command(gocmd, "env", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	dirs, _ := filepath.Glob(strings.TrimSpace(string(from)) + "/[0-9a-f][0-9a-f]") // well formed
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		to := filepath.Join(cache, filepath.Base(dir))
		if err := errors.Join(err, os.Mkdir(to, 0o700), os.Chown(to, nobody, nobody)); err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			name := entry.Name()
			info, err := entry.Info()
			if err != nil || time.Since(info.ModTime()) > 2*time.Hour || info.Mode()&0o004 == 0 {
				continue // go may have removed it, or root alone may read it
			}
			if strings.HasSuffix(name, "-d") {
				_ = os.Link(filepath.Join(dir, name), filepath.Join(to, name)) // on the same disk
				continue
			}
			text, err := os.ReadFile(filepath.Join(dir, name))
			if err == nil && os.WriteFile(filepath.Join(to, name), text, 0o600) == nil {
				_ = os.Chown(filepath.Join(to, name), nobody, nobody)
			}
		}
	}
}

// call adds a path to those that have another name in chapters, the longest first, as one may lie
// in the other.
func (r *runner) call(path, name string) {
	r.names = append(r.names, naming{path, name})
	slices.SortStableFunc(r.names, func(a, b naming) int { return len(b.path) - len(a.path) })
}

// try runs a program as the commands will be run.
func (r *runner) try(args ...string) (string, error) {
	// env looks the program up in the PATH that the commands have.
	cmd := exec.Command("env", args...)
	cmd.Dir = r.dir
	cmd.Env = r.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: r.user}
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// tempDir makes a directory that other users can reach, as t.TempDir and a private TMPDIR aren't,
// and removes it at the end.
func tempDir(t *testing.T) string {
	t.Helper()
	for _, parent := range []string{os.TempDir(), "/tmp", "/var/tmp"} {
		if !reachable(parent) {
			continue
		}
		dir, err := os.MkdirTemp(parent, "transcripts-")
		if err != nil {
			continue
		}
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := removeUnmounted(dir); err != nil {
				t.Error(err)
			}
		})
		return dir
	}
	steptest.Skip(t,
		"transcripts need a temporary directory that all users can reach: set TMPDIR to one")
	return ""
}

// reachable reports whether every user may pass through dir and all above it.
func reachable(dir string) bool {
	for {
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm()&0o001 == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
		dir = filepath.Dir(dir)
	}
}

// removeUnmounted removes a directory, unless something is mounted in it: through a bind mount that
// a command has left behind, the files of the host would go.
func removeUnmounted(dir string) error {
	mount, err := mountedBelow(dir)
	if err != nil {
		return err
	}
	if mount != "" {
		return fmt.Errorf("%s is not removed, since something is mounted on %s", dir, mount)
	}
	return os.RemoveAll(dir)
}

// mountedBelow returns a mount point in dir, if there is one.
func mountedBelow(dir string) (string, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(mounts)) {
		// The fifth field; proc_pid_mountinfo(5).
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4]+"/", dir+"/") {
			return f[4], nil
		}
	}
	return "", nil
}
