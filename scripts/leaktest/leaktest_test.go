//go:build linux

// Tests of the probes themselves: with true facts they find what is there on the host, and with
// false ones they find nothing. (That each is held by some step, scripts/leaks tests.)

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
	"jail-to-container/scripts/steptest"
)

// program is this program, built.
var program string

// TestMain builds it, in a directory that every user can read.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "leaktest-test-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		panic(err)
	}
	program = filepath.Join(dir, "leaktest")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		os.Stderr.Write(out)
		os.Exit(1)
	}
	status := m.Run()
	os.RemoveAll(dir)
	os.Exit(status)
}

// withPartner are the probes that look for something that the host has told of, and what they need:
// "root" for those that an ordinary user is refused for another reason.
var withPartner = map[string]string{
	"host-file": "", "chroot-escape": "root", "inherited-dir": "", "inherited-file": "",
	"proc-root": "", "file-handle": "root", "mount-table": "", "processes": "", "signal": "",
	"ptrace": "", "environ": "", "exe-write": "", "hostname": "", "sysv-queue": "",
	"sysv-memory": "", "posix-queue": "", "dev-shm": "", "interfaces": "", "loopback": "",
	"abstract":   "",
	"raw-socket": "root", "session-keyring": "", "environment": "", "kernel": "", "memory-size": "",
	"uptime": "",
}

// names are those of withPartner.
func names() []string {
	var all []string
	for name := range withPartner {
		all = append(all, name)
	}
	return all
}

// collect runs leaktest and returns what the probes say.
func collect(t *testing.T, args ...string) map[string]result {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("leaktest %s: %v", args[0], err)
	}
	found := map[string]result{}
	for line := range bytes.Lines(out) {
		var r result
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		found[r.Name] = r
	}
	return found
}

// TestTrueFacts: on the host itself everything leaks that was put there.
func TestTrueFacts(t *testing.T) {
	found := collect(t, append([]string{"host", program, "inside", "FACTS"}, names()...)...)
	for name, needs := range withPartner {
		r := found[name]
		want := leaks
		if needs == "root" && os.Geteuid() != 0 {
			want = held
		}
		if name == "file-handle" && !steptest.Holds(unix.CAP_DAC_READ_SEARCH) {
			want = held
			if r.Verdict == na { // Docker's filter refuses even to make a handle
				continue
			}
		}
		// A machine that has just booted has no uptime to be known by, and a kernel may have no
		// keys.
		if r.Verdict != want && (r.Verdict != na || name != "uptime" && name != "session-keyring") {
			t.Errorf("%s: %s (%s), want %s", name, r.Verdict, r.Evidence, want)
		}
	}
}

// TestFalseFacts: whatever is there, it isn't what was looked for.
func TestFalseFacts(t *testing.T) {
	f := &facts{
		Secret: "/leaktest-" + random(), SecretSum: random(), OpenSum: random(), HandleType: 1,
		Handle: make([]byte, 8), Root: "0:0 /", Victim: 1 << 30, VictimSum: random(),
		EnvSum: random(), StartSum: random(), HostExes: []identity{{1, 1}}, HostnameSum: random(),
		QueueKey: randomKey(), MemoryKey: randomKey(), Mqueue: random(), Shm: random(),
		Links: []string{random()}, NetCookie: 1, Port: 1, Abstract: "@" + random(), Key: random(),
		KeySum: random(), Kernel: "another", Memory: 1, Uptime: 1 << 40,
	}
	told, err := f.encode()
	if err != nil {
		t.Fatal(err)
	}
	found := collect(t, append([]string{"inside", told}, names()...)...)
	for name := range withPartner {
		if r := found[name]; r.Verdict != held || r.Evidence == "" {
			t.Errorf("%s: %s (%s), want held", name, r.Verdict, r.Evidence)
		}
	}
}

// TestInGuest takes the verdict from what asks the guest's kernel, and from nothing else.
func TestInGuest(t *testing.T) {
	const why = "it asks the guest's kernel, not the host's: "
	for _, c := range [][2]result{
		{{"bpf", leaks, "allowed"}, {"bpf", na, why + "allowed"}},
		{{"seccomp", held, "on"}, {"seccomp", na, why + "on"}},
		{{"kernel", held, "6.12"}, {"kernel", held, "6.12"}},
		{{"host-file", leaks, "read"}, {"host-file", leaks, "read"}},
	} {
		if got := inGuest(c[0]); got != c[1] {
			t.Errorf("%v: %v, want %v", c[0], got, c[1])
		}
	}
	for _, name := range ownKernel {
		known := func(p probe) bool { return p.Name == name }
		if !slices.ContainsFunc(probes(), known) {
			t.Errorf("there is no probe %s", name)
		}
	}
}

// TestGate: which answers of the kernel mean what.
func TestGate(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{nil, leaks}, {unix.EINVAL, leaks}, {unix.EFAULT, leaks}, {unix.ENOENT, leaks},
		{unix.EPERM, held}, {unix.EACCES, held}, {os.NewSyscallError("x", unix.EPERM), held},
		{unix.ENOSYS, map[bool]string{true: held, false: na}[filtered()]},
	} {
		if got := gate("call", test.err); got.Verdict != test.want {
			t.Errorf("%v: %v, want %s", test.err, got, test.want)
		}
	}
}

// TestCoreDump: with a hard limit of 0 nothing is left behind.
func TestCoreDump(t *testing.T) {
	told, err := (&facts{}).encode()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("sh", "-c", `ulimit -c 0; exec "$@"`, "sh", program, "inside", told,
		"core-dump").Output()
	if err != nil || !strings.Contains(string(out), `"held"`) {
		t.Errorf("core-dump says %s (%v), want held", out, err)
	}
}

// TestTable: each probe has all that a reader needs, and a name of its own.
func TestTable(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range probes() {
		if seen[p.Name] || len(p.Name) > 15 || strings.ContainsAny(p.Name, " |") {
			t.Errorf("%q: twice, too long, or not one word", p.Name)
		}
		seen[p.Name] = true
		if !strings.HasSuffix(p.Leaks, ".") || p.See == "" || p.Area == "" || p.try == nil {
			t.Errorf("%s: something is missing", p.Name)
		}
		if p.Closed != "" && (p.Closed < "02" || p.Closed > "08") {
			t.Errorf("%s: closed by %q", p.Name, p.Closed)
		}
	}
	if len(seen) < 40 {
		t.Errorf("%d probes, want 40 at the least", len(seen))
	}
}

// TestLimitOf: limits are looked for from a process's cgroup upwards, up to the caller's cgroup.
func TestLimitOf(t *testing.T) {
	root := t.TempDir()
	for path, text := range map[string]string{
		"a/b/inner/cpu.max": "max 100000", "a/b/cpu.max": "20000 100000", "a/cpu.max": "max 100000",
		"free/cpu.max": "max 100000", "cpu/x/inner/cpu.cfs_quota_us": "-1",
		"cpu/x/cpu.cfs_quota_us": "20000",
	} {
		path = filepath.Join(root, path)
		err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755),
			os.WriteFile(path, []byte(text), 0o644))
		if err != nil {
			t.Fatal(err)
		}
	}
	for table, want := range map[string]string{
		"0::/a/b/inner\n": held, "0::/a\n": leaks, "0::/free\n": leaks,
		"5:cpu:/x/inner\n0::/free\n": held, "5:memory:/x\n": leaks,
	} {
		if got := limitOf(table, root); got.Verdict != want {
			t.Errorf("%q: %v, want %s", table, got, want)
		}
	}
}

// TestKeeper: however the host's part ends, nothing stays of what it has made.
func TestKeeper(t *testing.T) {
	tmp := t.TempDir()
	for _, signal := range []syscall.Signal{0, unix.SIGKILL} {
		cmd := exec.Command(program, "host", "sh", "-c", "echo $1; read x", "sh", "FACTS")
		cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(stdout).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		f, err := parseFacts(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		if f.Missing["ipc"] == "" {
			if _, err := findQueue(f.QueueKey, 0); err != nil {
				t.Errorf("the queue isn't there while it should: %v", err)
			}
		}
		if signal != 0 {
			_ = cmd.Process.Signal(signal)
		}
		stdin.Close()
		_ = cmd.Wait()
		gone := func() bool {
			_, queue := findQueue(f.QueueKey, 0)
			_, dir := os.Stat(filepath.Dir(f.Secret))
			_, shm := os.Stat("/dev/shm/" + f.Shm)
			// A PID 1 that doesn't reap, as in many containers, leaves a zombie.
			_, victim := os.Readlink(fmt.Sprintf("/proc/%d/exe", f.Victim))
			return queue != nil && dir != nil && shm != nil && victim != nil
		}
		for deadline := time.Now().Add(10 * time.Second); !gone() && time.Now().Before(deadline); {
			time.Sleep(20 * time.Millisecond)
		}
		if !gone() {
			t.Errorf("after signal %d something is left of %+v", signal, f)
		}
	}
}

// TestDied: a probe that the kernel has killed is held, if it was about to show that.
func TestDied(t *testing.T) {
	end := func(how string) *exec.ExitError {
		var exit *exec.ExitError
		if !errors.As(exec.Command("sh", "-c", how).Run(), &exit) {
			t.Fatalf("%s: no bad end", how)
		}
		return exit
	}
	at := result{"memory", trying, "8 MiB"}
	if got := died(at, end("kill -9 $$")); got.Verdict != held {
		t.Errorf("killed while trying: %v, want held", got)
	}
	if got := died(result{"x", na, ""}, end("kill -9 $$")); got.Verdict != na {
		t.Errorf("killed for no known reason: %v, want n/a", got)
	}
	if got := died(result{"x", na, ""}, end("kill -31 $$")); got.Verdict != held {
		t.Errorf("ended by SIGSYS: %v, want held", got)
	}
	if got := died(at, end("exit 2")); got.Verdict != na {
		t.Errorf("exit 2: %v, want n/a", got)
	}
}

// TestKernelWritesArrive lets the kernel write to a variable, at each of many stack depths: at some
// of them the stack has to grow, and so move, just as call is entered.
func TestKernelWritesArrive(t *testing.T) {
	lost := 0
	for depth := range 2000 {
		seconds := make(chan int64)
		go func() { seconds <- timeFrom(depth) }() // on a new stack, which is small
		if <-seconds == 0 {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("%d of 2000 times are lost", lost)
	}
}

// timeFrom asks for the time, depth frames down.
//
//go:noinline
func timeFrom(depth int) int64 {
	if depth > 0 {
		return timeFrom(depth - 1)
	}
	var now unix.Timespec
	if call(unix.SYS_CLOCK_GETTIME, unix.CLOCK_REALTIME, uintptr(unsafe.Pointer(&now))) != nil {
		return -1
	}
	return int64(now.Sec)
}
