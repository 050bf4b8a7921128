package steptest

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestSkips has tests skipped, and reads what scripts/skips.sh prints of that.
func TestSkips(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		Skip(t, "no bash here: apt-get install bash")
	}
	root := t.TempDir()
	script, err := os.ReadFile("../skips.sh")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(root, "scripts"), 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, "scripts", "skips.sh")
	if err := os.WriteFile(path, script, 0o755); err != nil {
		t.Fatal(err)
	}
	defer func(was string) { listed = was }(listed)
	says := func(want string) {
		t.Helper()
		if out, err := exec.Command("bash", path).CombinedOutput(); string(out) != want {
			t.Errorf("skips.sh: %v\n%swant:\n%s", err, out, want)
		}
	}
	says("nothing was skipped\n")

	listed = filepath.Join(root, ".skips", "01-chroot")
	skipped(t, "A", func(t testing.TB) { Need(t, "no-such-program", "nothing more") })
	skipped(t, "B", func(t testing.TB) { Skip(t, "only root can; run it\n as %s", "root") })
	listed = filepath.Join(root, ".skips", "02-pid-namespace")
	skipped(t, "C", func(t testing.TB) { Need(t, "no-such-program", "nothing more") })
	if path := Need(t, "bash", "bash"); filepath.Base(path) != "bash" {
		t.Errorf("bash is %q", path)
	}
	sudo, flag := "sudo ", " -exec sudo"
	if os.Geteuid() == 0 {
		sudo, flag = "", ""
	}
	says("2 skipped: no no-such-program here: apt-get install nothing more\n" +
		"    01-chroot: A\n    02-pid-namespace: C\n" +
		"1 skipped: only root can; run it as root\n    01-chroot: B\n" +
		"\nTo run most of them as well:\n\n    " + sudo + "apt-get install more nothing\n" +
		"\nTo run those that need root:\n\n    go test -count=1" + flag + " ./01-chroot\n")
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if os.Getuid() != 0 { // a user whose tests can't list anything
		must(os.Chmod(filepath.Join(root, ".skips"), 0o555))
		says("skips.sh: your tests can't write to .skips, which root has made: sudo rm -r .skips\n")
		must(os.Chmod(filepath.Join(root, ".skips"), 0o755))
	}
	for _, name := range []string{"D", "E", "F", "G", "H"} {
		skipped(t, name, func(t testing.TB) { Skip(t, "it rains") })
	}
	out, err := exec.Command("bash", path).Output()
	if want := "5 skipped: it rains\n    02-pid-namespace: 5 tests\n"; err != nil ||
		!strings.Contains(string(out), want) {
		t.Errorf("skips.sh: %v\n%swant:\n%s", err, out, want)
	}
}

// fake is a test that can be skipped without go test's seeing it.
type fake struct {
	testing.TB
	name string
}

func (f fake) Name() string         { return f.name }
func (f fake) Skipf(string, ...any) { runtime.Goexit() }

// skipped runs what must skip its test.
func skipped(t *testing.T, name string, test func(testing.TB)) {
	done := make(chan bool)
	go func() {
		defer close(done)
		test(fake{t, name})
		t.Errorf("%s ran", name)
	}()
	<-done
}
