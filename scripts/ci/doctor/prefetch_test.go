//go:build linux

package doctor

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestPrefetch runs scripts/prefetch.sh with a go that only says how it was called. It also makes a
// crane, which writes its arguments to where the image belongs.
func TestPrefetch(t *testing.T) {
	m := machine{dir: t.TempDir()}
	m.program(t, "go", `echo "GOPROXY=${GOPROXY-} $*" >>`+m.dir+`/calls
case $1 in
env) echo riscv64 ;;
install) mkdir -p "$GOBIN" && printf '%s\n' '#!/bin/sh' 'for last; do :; done' \
	'echo "$*" >"$last"' >"$GOBIN/crane" && chmod +x "$GOBIN/crane" ;;
esac`)
	run := func(args ...string) (string, error) {
		cmd := exec.Command("sh", append([]string{"-c", `umask 002; exec ../../prefetch.sh "$@"`,
			"sh"}, args...)...)
		cmd.Env = []string{"PATH=" + m.dir + "/bin:" + os.Getenv("PATH"), "XDG_CACHE_HOME=" + m.dir}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	read := func(name string) string {
		text, err := os.ReadFile(m.dir + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}

	out, err := run("-i", "alpine:3.22")
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	calls := strings.Split(strings.TrimSpace(read("calls")), "\n")
	// The one that 08 names is the one that is there without a network.
	const crane = "github.com/google/go-containerregistry/cmd/crane@v0.21.9"
	named, err := os.ReadFile("../../../08-full-container/image.go")
	if err != nil || !strings.Contains(string(named), `const crane = "`+crane+`"`) {
		t.Errorf("08 doesn't name %s: %v", crane, err)
	}
	want := []string{
		"GOPROXY= mod download",
		"GOPROXY=off build ./...",
		"GOPROXY=off vet ./...",
		"GOPROXY=off test -count=1 -run ^TestExitStatus$ ./01-chroot ./02-pid-namespace " +
			"./03-mount-namespace ./04-uts-ipc ./05-user-namespace ./06-network ./07-cgroups " +
			"./08-full-container",
		"GOPROXY= env GOMODCACHE",
		"GOPROXY= install " + crane,
		"GOPROXY= env GOARCH",
	}
	if strings.Join(calls, "\n") != strings.Join(want, "\n") {
		t.Errorf("got calls of go:\n%s\nwant:\n%s", strings.Join(calls, "\n"),
			strings.Join(want, "\n"))
	}
	// A cache that others could write to is none for 08 (TestCacheOfOthers).
	cache, err := os.Stat(m.dir + "/jail-to-container")
	if err != nil || cache.Mode().Perm() != 0o700 {
		t.Errorf("the cache is %v (%v), and should have mode 700", cache.Mode(), err)
	}
	image := m.dir + "/jail-to-container/alpine-3.22.tar"
	got := read("jail-to-container/alpine-3.22.tar")
	if want := "pull --platform linux/riscv64 alpine:3.22 " + image + ".part\n"; got != want {
		t.Errorf("crane was called with %q, want %q", got, want)
	}
	next := "go run ./08-full-container -image " + image + " sh\n"
	if !strings.HasSuffix(out, next) {
		t.Errorf("at its end it says %q, and should say %q", out, next)
	}
	if root := "type this first: export GOMODCACHE=riscv64\n"; !strings.Contains(out, root) {
		t.Errorf("no %q in %q", root, out)
	}

	// Without the registry, the rest is there.
	m.program(t, "go", `[ "$1" != install ] || ln -sf /bin/false "$GOBIN/crane"`)
	missing := "\nEverything is here but the image, which only 08's -image needs.\n"
	if out, err := run("-i", "alpine:3.21"); err == nil || !strings.HasSuffix(out, missing) {
		t.Errorf("crane failed, and prefetch.sh (%v) says: %s", err, out)
	}

	// If one thing fails, so does all of it, and what comes after isn't begun.
	m.program(t, "go", `echo "$*" >>`+m.dir+`/second; [ "$1" != vet ]`)
	if out, err := run(); err == nil {
		t.Errorf("go vet failed, and prefetch.sh didn't: %s", out)
	}
	if got, want := read("second"), "mod download\nbuild ./...\nvet ./...\n"; got != want {
		t.Errorf("got calls %q, want %q", got, want)
	}
}
