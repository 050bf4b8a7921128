//go:build linux

// What 08's chapter claims about the container as a whole.

package main

import (
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"
	"unsafe"

	"golang.org/x/sys/unix"
	"jail-to-container/scripts/steptest"
)

// TestMain lets the test binary double as the step's program.
func TestMain(m *testing.M) {
	steptest.Main(m, steptest.Step{
		Name: step, Inner: role(inside), Main: main, Experiments: experiments,
		Exec: execCommand, Hint: forbiddenHint, Remedy: remedy, Say: say,
		Namespaces: []string{"pid", "mnt", "uts", "ipc", "user", "net", "cgroup", "time"},
		NoProof: map[string]string{
			"outside": "not as PID 1 of a container",
			"nothing": "wait for the outer process: ",
			"pipe":    "wait for the outer process: socket operation on non-socket",
			"wrong":   "read what the outer process says",
			"right":   "it is also my parent's",
			"unseen":  "/proc/0/ns/mnt", // its parent, in a /proc that doesn't show that
		},
		Role:       innerGets,
		StartOwned: ownedStart,
		Cgroups: &steptest.Cgroups{
			Place: placeCgroup, Make: makeCgroup, Remove: unmakeCgroup, Aside: aside,
			Try:  func() error { return inCgroup(func(cgroup) error { return nil }) },
			Hint: delegation,
		},
	})
}

// init lets the mark by which a test finds its processes into the containers as well: nothing else
// of the caller's environment is.
func init() {
	if mark := os.Getenv("WATCH"); mark != "" {
		defaultEnv = append(defaultEnv, "WATCH="+mark)
	}
}

// TestLesson reads the lesson's facts, and compares them with what the test reads itself.
func TestLesson(t *testing.T) {
	bpf := "seccomp"
	off, err := os.ReadFile("/proc/sys/kernel/unprivileged_bpf_disabled")
	if err == nil && string(off) != "0\n" { // then old kernels look at nothing else
		bpf = "(seccomp|another wall)"
	}
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		before := upFor(t)
		out := u.Output(t)
		for _, pattern := range []string{
			`(?m)^PID +\d{2,} +1$`,
			`(?m)^02 processes in /proc +\d+ +2$`,
			`(?m)^03 file system at / +\S+ +tmpfs$`,
			`(?m)^06 links +lo\b.* +lo eth0$`,
			`(?m)^07 /proc/self/cgroup +\S+ +/$`,
			`(?m)^02 signal a host process +ok +ESRCH +held  another wall$`,
			`(?m)^03 open the host's /var +ok +ENOENT +held  another wall$`,
			`(?m)^06 reach the host's 127.0.0.1 +ok +ECONNREFUSED +held  net$`,
			`(?m)^07 start 200 processes +200 +\d+, EAGAIN +held  limits$`,
			`(?m)^08 make a UTS namespace +ok +EPERM +held  several$`,
			`(?m)^08 mount a nonexistent path +ENOENT +EPERM +held  seccomp$`,
			`(?m)^08 bpf, an unknown command +(EINVAL +EPERM +held  ` + bpf + `|E\w+ +EPERM +n/a)$`,
			`(?m)^08 keyctl, to find a keyring +(ok +\w+ +held  seccomp|E\w+ +E\w+ +n/a)$`,
			`(?m)^08 io_uring_setup, a bad address +` +
				`(EFAULT +ENOSYS +held  seccomp|\w+ +ENOSYS +n/a)$`,
			`(?m)^08 write /proc/sys/vm/swappiness +(ok +E\w+ +held  .*|E\w+ +E\w+ +n/a)$`,
			`(?m)^08 read /proc/timer_list +\S.* (held  .*|n/a)$`,
			`(?m)^host       (9|1\d) of 12 got through \(ENOENT.*: allowed, but nonsense\)$`,
			`(?m)^container  0 of 12$`,
		} {
			if !regexp.MustCompile(pattern).MatchString(out) {
				t.Errorf("no line like %s in:\n%s", pattern, out)
			}
		}
		valuesOf(t, u, out)
		uptime := `(?m)^08 uptime in minutes +(\d+) +0$`
		if u.UID == 0 && noClocks() != "" { // then it has the host's
			uptime = `(?m)^08 uptime in minutes +(\d+) +\d+$`
		}
		row := regexp.MustCompile(uptime)
		minutes := row.FindStringSubmatch(out)
		now := upFor(t)
		if minutes == nil {
			t.Errorf("no uptime in:\n%s", out)
		} else if n, err := strconv.Atoi(minutes[1]); err != nil || n < before || n > now {
			t.Errorf("up for %s minutes, want %d to %d", minutes[1], before, now)
		}
	})
}

// upFor returns how many minutes this machine has been up.
func upFor(t *testing.T) int {
	t.Helper()
	var machine unix.Sysinfo_t
	if err := unix.Sysinfo(&machine); err != nil {
		t.Fatal(err)
	}
	return int(machine.Uptime / 60)
}

// valuesOf compares what the lesson says of its host with what the test reads itself.
func valuesOf(t *testing.T, u steptest.User, out string) {
	t.Helper()
	find := func(pattern string) string {
		t.Helper()
		found := regexp.MustCompile(`(?m)^` + pattern + `$`).FindStringSubmatch(out)
		if found == nil {
			t.Fatalf("no line like %s in:\n%s", pattern, out)
		}
		return found[1]
	}
	hostname, err1 := os.Hostname()
	boot, err2 := os.ReadFile("/proc/sys/kernel/random/boot_id")
	status, err3 := os.ReadFile("/proc/self/status")
	last, err4 := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	own := func(key string) string {
		return regexp.MustCompile(`\n` + key + `:\s+(\S+)`).FindStringSubmatch(string(status))[1]
	}
	mask, err1 := strconv.ParseUint(own("CapEff"), 16, 64)
	all, err2 := strconv.Atoi(strings.TrimSpace(string(last)))
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	name := find(`04 hostname +(\S+) +container`) // a long one is cut in the middle
	capabilities, uid := bits.OnesCount64(mask), find(`uid +([1-9]\d*) +0`)
	if u.UID != 0 { // it is root of the namespace that plays the host
		capabilities = all + 1
		find(fmt.Sprintf(`05 uid_map +(0 %s \d+)[, ].*`, uid))
	} else {
		find(fmt.Sprintf(`05 uid_map .* +(0 %s \d+)`, uid))
	}
	for _, c := range [][2]string{
		{name, fit(hostname, utf8.RuneCountInString(name))},
		{find(`08 capabilities +(\d+) +11`), strconv.Itoa(capabilities)},
		{find(`08 seccomp mode +(\d) +2`), own("Seccomp")},
		{find(`08 no_new_privs +(\d) +1`), own("NoNewPrivs")},
		{find(`container  Linux .*, booted as (\S+) +LEAK`), strings.TrimSpace(string(boot))},
		{find(`host       Linux .*, booted as (\S+)`), strings.TrimSpace(string(boot))},
	} {
		if c[0] != c[1] {
			t.Errorf("%q, want %q, in:\n%s", c[0], c[1], out)
		}
	}
}

// TestVerdicts judges the lesson's answers again.
func TestVerdicts(t *testing.T) {
	if notRoot() == "" { // else it is another process that runs the lesson
		steptest.Verdicts(t, asked, 12, 1)
	}
}

// TestAnotherHost runs both tests on a host with a long name and another network.
func TestAnotherHost(t *testing.T) { steptest.AnotherHost(t) }

// asked runs the lesson and returns its experiments.
func asked() (all []steptest.Experiment, err error) {
	n := &narrator{}
	err = lesson(n)
	for _, e := range n.told {
		all = append(all, steptest.Experiment{
			What: e.what, Host: e.host, Inside: e.inside, Expect: string(e.expect),
			Rule: func(host, inside string) string { return string(e.rule(host, inside)) },
		})
	}
	return all, err
}

// TestWithout takes one wall away at a time, and reads in /proc what is missing. The other walls
// stand, which makes each the control of the others.
func TestWithout(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		script := `sed -n 's/^\(CapBnd\|NoNewPrivs\|Seccomp\):[[:space:]]*//p' /proc/self/status;
			wc -c </proc/keys; grep -c ' /proc/sys ' /proc/self/mounts;
			ls /sys | wc -l`
		look := func(flags ...string) []string {
			return strings.Fields(u.Output(t, append(flags, "sh", "-c", script)...))
		}
		all := look()
		names := []string{"capabilities", "no-new-privs", "seccomp", "masks", "read-only", "net"}
		for i, name := range names {
			cmd := u.Program("-without", name, "sh", "-c", script)
			r := steptest.Run(t, cmd)
			if want := "this container is without " + name; !strings.Contains(r.Stderr, want) {
				t.Errorf("-without %s says %q", name, r.Stderr)
			}
			for j, word := range strings.Fields(r.Stdout) {
				if (word != all[j]) != (i == j) {
					t.Errorf("-without %s: %s is %s, with it %s", name, names[j], word, all[j])
				}
			}
		}
		if r := u.Run(t, "-without", "mount", "true"); r.Status != 125 ||
			!strings.Contains(r.Stderr, `no wall "mount"`) {
			t.Errorf("-without mount: %+v", r)
		}
	})
}

// TestUnlimitedIsRefused: where no cgroup can be made, no command is run, and the lesson's
// containers have no limits. A command has none if it asks for that.
func TestUnlimitedIsRefused(t *testing.T) {
	start := steptest.UnlimitedIsRefused(t,
		`06 reach the host's 127.0.0.1 +ok +ECONNREFUSED +held  net`,
		`07 start 200 processes +200 +200 +LEAK  no cgroup`,
		`08 mount a nonexistent path +ENOENT +EPERM +held  seccomp`,
		`container  1 of 12`,
		`container  Linux .*, booted as \S+ +LEAK`,
	)
	r := steptest.Run(t, start("-without", "limits", "echo", "it runs"))
	if want := step + ": this container is without limits\n"; r.Status != 0 ||
		r.Stdout != "it runs\n" || r.Stderr != want {
		t.Errorf("-without limits: %+v", r)
	}
}

// TestNoCoreDump lets a program crash, with as high a limit as it may have. The control crashes
// outside, unless that would bother a program that collects such things on this machine, or write
// elsewhere than here.
func TestNoCoreDump(t *testing.T) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil {
		t.Fatal(err)
	}
	// Inside, the filter doesn't let it be raised: so it is high from the start.
	high := unix.Rlimit{Cur: limit.Max, Max: limit.Max}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &high); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_CORE, &limit)
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		if out := u.Output(t, "/proc/self/exe", "test:crash"); out != "no core\n" {
			t.Errorf("inside: %q", out)
		}
	})
	pattern, err := os.ReadFile("/proc/sys/kernel/core_pattern")
	if err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(string(pattern), "|/@") || limit.Max < 1<<24 {
		t.Logf("no control: core_pattern is %q, the limit %d", pattern, limit.Max)
		return
	}
	control := self("test:crash")
	control.Dir = t.TempDir()
	if out := steptest.Output(t, control); out != "a core\n" {
		t.Errorf("outside: %q", out)
	}
}

// TestCoreLimit starts with a limit of 0, as sudo(8) sets it for what it starts. Only the host's
// root may raise that; the container runs in any case.
func TestCoreLimit(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		want := "0 0\n"
		if u.UID == 0 && holds(unix.CAP_SYS_RESOURCE) {
			want = "1 1\n"
		}
		limits := []string{"sh", "-c", "sed -n 's/Max core file size *//p' /proc/self/limits | " +
			"cut -d b -f 1 | xargs echo"}
		cmd := u.Program(limits...)
		cmd.Args = append([]string{step, "test:no-cores"}, cmd.Args[1:]...)
		if out := steptest.Output(t, cmd); out != want {
			t.Errorf("with a limit of 0: %q, want %q", out, want)
		}
		var ours unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_CORE, &ours); err != nil {
			t.Fatal(err)
		}
		if ours.Max > 0 {
			want = "1 1\n"
		}
		if out := u.Output(t, limits...); out != want {
			t.Errorf("with one of %d: %q, want %q", ours.Max, out, want)
		}
	})
}

// TestCoreLimitStays lowers it inside, by each call that there is for it. The control does the same
// outside, where it is lowered.
func TestCoreLimitStays(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		var ours unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_CORE, &ours); err != nil {
			t.Fatal(err)
		}
		if ours.Max == 0 && !(u.UID == 0 && holds(unix.CAP_SYS_RESOURCE)) {
			steptest.Skip(t,
				"the limit is 0 already, and can't be raised to 1; raise it: ulimit -Hc 1")
		}
		for call, want := range map[string]string{
			"setrlimit": "ok, 1 1\n", "prlimit64": "ok, 1 1\n", "prlimit64-old": "EPERM, 1 1\n",
		} {
			inside := u.Program("/proc/self/exe", "test:lower-cores", call)
			if out := steptest.Output(t, inside); out != want {
				t.Errorf("%s inside: %q, want %q", call, out, want)
			}
			if out := u.Output(t, "test:lower-cores", call); out != "ok, 0 0\n" {
				t.Errorf("%s outside: %q", call, out)
			}
		}
	})
}

// What every step promises as a command.

func TestExitStatus(t *testing.T)              { steptest.ExitStatus(t) }
func TestHelp(t *testing.T)                    { steptest.Help(t) }
func TestStandardStreams(t *testing.T)         { steptest.StandardStreams(t) }
func TestFullDisk(t *testing.T)                { steptest.FullDisk(t) }
func TestFiftyAtOnce(t *testing.T)             { steptest.FiftyAtOnce(t) }
func TestOtherNames(t *testing.T)              { steptest.OtherNames(t) }
func TestNameIsNoProof(t *testing.T)           { steptest.NameIsNoProof(t) }
func TestUserNamespacesForbidden(t *testing.T) { steptest.UserNamespacesForbidden(t) }
func TestRemedy(t *testing.T)                  { steptest.Remedy(t, inContainer()) }
func TestNoexec(t *testing.T)                  { steptest.Noexec(t) }
func TestMountBelowUsr(t *testing.T)           { steptest.MountBelowUsr(t) }
func TestHidepid(t *testing.T)                 { steptest.Hidepid(t) }
func TestLessonLeavesNothing(t *testing.T)     { steptest.LessonLeavesNothing(t) }
func TestKilledLesson(t *testing.T)            { steptest.KilledLesson(t) }
func TestKilledCommand(t *testing.T)           { steptest.KilledCommand(t) }
func TestKilledEarly(t *testing.T)             { steptest.KilledEarly(t) }

func TestRefused(t *testing.T) {
	steptest.Refused(t, "container seccomp", "-read-only", "-volume", "/etc:/v:ro")
}

func TestSharedTmp(t *testing.T)  { steptest.SharedTmp(t) }
func TestNamespaces(t *testing.T) { steptest.Namespaces(t) }

// TestMounts leaves the cgroup file systems to TestOwnSys, and what masks paths to TestMasks.
func TestMounts(t *testing.T) {
	elsewhere := func(line string) bool {
		fields := strings.Fields(line)
		return fields[3] == "/null" || strings.HasPrefix(fields[4], "/sys/fs/cgroup") ||
			strings.Contains(line, " ro,nosuid,nodev,noexec") &&
				strings.Contains(line, " - tmpfs ") && strings.Contains(line, "mode=555")
	}
	steptest.Mounts(t, elsewhere, "/ rw,nosuid,nodev tmpfs size=262144k,mode=755",
		"/dev/mqueue rw,nosuid,nodev,noexec mqueue ",
		"/dev rw,nosuid,noexec tmpfs size=64k,mode=755", "/sys ro,nosuid,nodev,noexec sysfs ",
		"/proc/bus ro,nosuid,nodev,noexec proc ", "/proc/fs ro,nosuid,nodev,noexec proc ",
		"/proc/irq ro,nosuid,nodev,noexec proc ", "/proc/sys ro,nosuid,nodev,noexec proc ",
		"/proc/sysrq-trigger ro,nosuid,nodev,noexec proc ")
}

func TestModes(t *testing.T) {
	steptest.Modes(t, map[string]string{"/etc/resolv.conf": "-rw-r--r-- 0:0",
		"/etc/hostname": "-rw-r--r-- 0:0", "/sys": "dr-xr-xr-x host"})
}

func TestStreamsByName(t *testing.T)            { steptest.StreamsByName(t) }
func TestRefusedStreamIsExplained(t *testing.T) { steptest.RefusedStreamIsExplained(t) }
func TestPipeBothWays(t *testing.T)             { steptest.PipeBothWays(t) }
func TestPermissionsAddUp(t *testing.T)         { steptest.PermissionsAddUp(t, addPermission) }
func TestSharedOffset(t *testing.T)             { steptest.SharedOffset(t) }
func TestRootsRanges(t *testing.T)              { steptest.RootsRanges(t) }
func TestQuotaOfRoot(t *testing.T)              { steptest.QuotaOfRoot(t) }
func TestThreadAfterwards(t *testing.T)         { steptest.ThreadAfterwards(t) }
func TestPrivateProgram(t *testing.T)           { steptest.PrivateProgram(t) }

// limits are the container's by its flags, written down a second time.
var limits = map[string]steptest.Limits{
	"":                                {Memory: 268435456, PIDs: 128, CPU: 100000},
	"-memory 48M -pids 40 -cpus 0.25": {Memory: 50331648, PIDs: 40, CPU: 25000},
}

func TestSocketBuffers(t *testing.T) { steptest.SocketBuffers(t, "-memory", "64M") }

func TestKernelsLimits(t *testing.T) { steptest.KernelsLimits(t, limits) }

// TestSettings compares what the step would write, with both versions of cgroups, with the limits.
func TestSettings(t *testing.T) {
	one, two := cgroup1{"/c", "/c", "/c"}, cgroup2{"/c"}
	for version, settings := range map[string][]setting{
		"v1": slices.Concat(one.settings(), one.shown("/c/inner", "/c/inner")),
		"v2": slices.Concat(two.settings(), two.shown("/c/inner")),
	} {
		got := map[string]string{}
		for _, s := range settings {
			name := strings.TrimPrefix(s.file, "/c/")
			if s.swap || s.optional {
				name += "?"
			}
			got[name] = s.value
		}
		want := limits[""].Files()[version]
		if fmt.Sprint(got) != fmt.Sprint(want) { // maps are printed in order
			t.Errorf("%s:\n%v\nwant:\n%v", version, got, want)
		}
	}
}

// innerGets is what a process in the role of the inner one gets: no line, another file in its
// place, a wrong text on it, or all that the outer process gives it.
func innerGets(given string) ([]*os.File, []string, error) {
	line, theirs, err := newLine()
	if err != nil {
		return nil, nil, err
	}
	files := []*os.File{theirs}
	text := (&spec{Args: []string{"echo", "ran"}}).encode()
	switch given {
	case "nothing":
		files = nil
	case "wrong":
		text = []byte("?")
	case "pipe":
		files[0], _, err = os.Pipe()
	}
	_, err2 := line.Write(append(text, 0))
	return files, []string{"echo", "ran"}, errors.Join(err, err2)
}

// ownedStart starts a command as the container is started: in a user namespace, with its IDs.
func ownedStart(cmd *exec.Cmd) error {
	later, err := mapIDs(cmd.SysProcAttr)
	if err != nil {
		return err
	}
	if err := startOwned(cmd); err != nil {
		return err
	}
	return later(cmd.Process.Pid)
}

// placeCgroup returns the directories of the cgroup that the step would make under this name.
func placeCgroup(name string) ([]string, error) {
	trees, err := cgroupTrees()
	if err != nil {
		return nil, err
	}
	group, err := choosePlace(trees, name)
	if err != nil {
		return nil, err
	}
	return strings.Split(group.String(), "\t"), nil
}

// makeCgroup makes a cgroup in one that hands the controllers on, as each does in version 1.
func makeCgroup(dir string) error {
	parent := filepath.Dir(dir)
	if !exists(parent + "/cgroup.controllers") {
		return os.Mkdir(dir, 0o755)
	}
	return exclusively(parent, func() error {
		if err := divide(parent); err != nil {
			return err
		}
		return os.Mkdir(dir, 0o755)
	})
}

// TestOneReason has a container that fails while its outer process connects it, because nft takes
// its time. The outer process must not complain of the cable then: it is gone with the container.
func TestOneReason(t *testing.T) {
	nft := steptest.Need(t, "nft", "nftables")
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		w, b := steptest.NewWatch(t), newBench(t, u)
		slow := b.write(t, "nft", []byte("#!/bin/sh\nsleep 0.5; exec "+nft+" \"$@\"\n"))
		cmd := u.Program("-user", "nobody-here", "true")
		cmd.Env = append(w.Env(), "PATH="+b.dir+":"+os.Getenv("PATH"))
		err := os.Chmod(slow, 0o755)
		r := steptest.Run(t, cmd)
		want := step + ": user \"nobody-here\": the container's /etc/passwd has no such name\n"
		if err != nil || r.Status != 125 || r.Stderr != want {
			t.Errorf("%v, %+v, want %q", err, r, want)
		}
		w.NothingLeft(t)
	})
}

// TestStepBack has a cgroup with a backslash in its name, as systemd writes a "-": "\x2d". The
// controllers stay on while a cgroup below has a limit. Plain files stand for those of cgroups.
func TestStepBack(t *testing.T) {
	for limit, want := range map[string]string{"64M": "cpu memory pids", "max": "-"} {
		dir := filepath.Join(t.TempDir(), `system-my\x2dtemplate.slice`)
		control := filepath.Join(dir, "cgroup.subtree_control")
		err := errors.Join(os.MkdirAll(dir+"/box", 0o755), os.Mkdir(dir+"/"+aside, 0o755),
			os.WriteFile(dir+"/box/cgroup.procs", nil, 0o644),
			os.WriteFile(dir+"/box/memory.max", []byte(limit), 0o644),
			os.WriteFile(control, []byte("cpu memory pids"), 0o644))
		if err != nil {
			t.Fatal(err)
		}
		_ = stepBack(dir) // it may miss "outside/cgroup.procs"
		if text, err := os.ReadFile(control); err != nil || !strings.HasPrefix(string(text), want) {
			t.Errorf("with a limit of %s: %q, %v, want %q", limit, text, err, want)
		}
	}
}

// unmakeCgroup removes a cgroup, and undoes that the one above it hands the controllers on.
func unmakeCgroup(dir string) error {
	parent, none := filepath.Dir(dir), func() error { return nil }
	return errors.Join(removeCgroup(filepath.Join(dir, aside), none), removeCgroup(dir, none),
		exclusively(parent, func() error { return stepBack(parent) }))
}

// init adds a limit, a crash, and what the kernel says of it (wait(2), WCOREDUMP).
func init() {
	experiments["test:lower-cores"] = func(args []string) error {
		var none, old, limit unix.Rlimit
		var errno unix.Errno
		switch args[0] {
		case "setrlimit":
			_, _, errno = unix.Syscall(unix.SYS_SETRLIMIT, unix.RLIMIT_CORE,
				uintptr(unsafe.Pointer(&none)), 0)
		case "prlimit64":
			_, _, errno = unix.Syscall6(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_CORE,
				uintptr(unsafe.Pointer(&none)), 0, 0, 0)
		default:
			_, _, errno = unix.Syscall6(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_CORE,
				uintptr(unsafe.Pointer(&none)), uintptr(unsafe.Pointer(&old)), 0, 0)
		}
		answer := "ok"
		if errno != 0 {
			answer = unix.ErrnoName(errno)
		}
		err := unix.Getrlimit(unix.RLIMIT_CORE, &limit)
		fmt.Printf("%s, %d %d\n", answer, limit.Cur, limit.Max)
		return err
	}
	experiments["test:no-cores"] = func(args []string) error {
		return errors.Join(unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}),
			unix.Exec("/proc/self/exe", append([]string{step}, args...), os.Environ()))
	}
	experiments["test:crash"] = func([]string) error {
		var limit unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil {
			return err
		}
		limit.Cur = limit.Max
		if err := unix.Setrlimit(unix.RLIMIT_CORE, &limit); err != nil {
			return err
		}
		cmd := exec.Command("sh", "-c", "kill -SEGV $$")
		var exit *exec.ExitError
		if err := cmd.Run(); !errors.As(err, &exit) {
			return fmt.Errorf("no crash: %v", err)
		}
		if exit.Sys().(syscall.WaitStatus).CoreDump() {
			fmt.Println("a core")
		} else {
			fmt.Println("no core")
		}
		return nil
	}
}

// TestCleanEnvironment looks for what the caller has in its environment.
func TestCleanEnvironment(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		cmd := u.Program("-env", "OURS=1", "-env", "OURS=2", "env")
		cmd.Env = append(os.Environ(), "SECRET=hunter2")
		out := steptest.Output(t, cmd)
		if strings.Contains(out, "SECRET") || strings.Contains(out, "OURS=1") {
			t.Errorf("the environment inside:\n%s", out)
		}
		steptest.Contains(t, out, "OURS=2\n", "HOME=/root\n", "HOSTNAME=container\n",
			"PATH=/usr/local/sbin:")
	})
}

// ownEnvironment is that of the inner process and of the unpacker, with the mark of a test.
const ownEnvironment = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n" +
	"PS1=container# \n"

// environment returns a process's environment from its start on, as only root can read all of them
// (proc_pid_environ(5)).
func environment(t *testing.T, pid int) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), "\x00", "\n")
}

// TestEnvironmentOfPID1 looks from the host at what PID 1 has of the caller's environment: a fault
// that lets the command read PID 1's memory must not find a password there.
func TestEnvironmentOfPID1(t *testing.T) {
	if os.Getuid() != 0 {
		steptest.Skip(t, "PID 1 hides its environment from an ordinary user; run it as root")
	}
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		w := steptest.NewWatch(t)
		cmd := u.Program("-net=false", "sh", "-c", waiting)
		cmd.Env = append(w.Env(), "SECRET=hunter2")
		s := begin(t, cmd)
		var first int
		for _, process := range w.Processes() {
			var pid int
			if _, err := fmt.Sscanf(process, "/proc/%d", &pid); err != nil {
				t.Fatal(err)
			}
			numbers, err := statusOf(strconv.Itoa(pid), "NSpid")
			if err == nil && len(numbers) > 1 && numbers[len(numbers)-1] == "1" {
				first = pid
			}
		}
		want := ownEnvironment + w.Mark + "\nGOMAXPROCS=1\n"
		if got := environment(t, first); got != want {
			t.Errorf("PID 1 has the environment:\n%swant:\n%s", got, want)
		}
		steptest.Contains(t, environment(t, s.Process.Pid), "SECRET=hunter2\n") // the control
		if err := s.Process.Signal(unix.SIGTERM); err != nil {
			t.Fatal(err)
		}
		s.status()
		w.NothingLeft(t)
	})
}

// TestDescriptorsAreClosed leaves a file open, and looks for it inside. Descriptor 3, too, which is
// the line to the outer process, isn't the command's.
func TestDescriptorsAreClosed(t *testing.T) {
	file, err := os.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	script := "for n in 3 4 5 6 7 8 9; do test -e /proc/self/fd/$n && echo $n; done; echo done"
	control := exec.Command("sh", "-c", script)
	control.ExtraFiles = []*os.File{file, file, file}
	if out := steptest.Output(t, control); out != "3\n4\n5\ndone\n" {
		t.Errorf("the control: %q", out)
	}
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		cmd := u.Program("sh", "-c", script)
		cmd.ExtraFiles = []*os.File{file, file, file}
		if out := steptest.Output(t, cmd); out != "done\n" {
			t.Errorf("open inside: %q", out)
		}
		// PID 1 has its own, and nothing of a directory of the host's.
		held := u.Program("-tty=false", "sh", "-c", "echo on; cat")
		p, _, err := start(held)
		if err != nil {
			t.Fatal(err)
		}
		defer p.end()
		pid, err := firstProcess(p.cmd.Process.Pid)
		if err != nil {
			if u.UID == 0 { // an ordinary user's is one further down
				t.Error(err)
			}
			return
		}
		open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range open {
			target, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, entry.Name()))
			if strings.HasPrefix(target, "/") && !strings.HasPrefix(target, "/dev/null") {
				t.Errorf("PID 1 has %s open", target)
			}
		}
	})
}

// TestLocalhost looks up "localhost" inside: in the file, and by the C library where there is a
// getent.
func TestLocalhost(t *testing.T) {
	script := "cat /etc/hosts; type getent > /dev/null || exit 0; getent ahostsv4 localhost"
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		out := u.Output(t, "sh", "-c", script)
		steptest.Contains(t, out, "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n")
		if _, err := exec.LookPath("getent"); err == nil {
			steptest.Contains(t, out, "127.0.0.1       STREAM localhost\n")
		}
	})
}

// TestManyKilled starts ten containers, each with a link, a table and cgroups on the host, and
// kills them all from outside. Nothing of them may be left.
func TestManyKilled(t *testing.T) {
	steptest.AsEveryUserAtOnce(t, func(t *testing.T, u steptest.User) {
		w := steptest.NewWatch(t)
		var running []*helper
		var links []string
		for range 10 {
			cmd := u.Program("-tty=false", "sh", "-c",
				"sed -n '/host LOCAL/{x; s/.*-- //; /^127/!{p; q;}}; h' /proc/net/fib_trie; cat")
			cmd.Env = w.Env()
			p, address, err := start(cmd)
			if err != nil {
				t.Fatal(err)
			}
			inside, err := netip.ParseAddr(address)
			if err != nil {
				t.Fatalf("the container's address: %v", err)
			}
			links = append(links, fmt.Sprintf("jail%08x", number(inside)-2)) // see chooseCable
			running = append(running, p)
		}
		here := func() (found []string) {
			for _, link := range links {
				if exists("/sys/class/net/" + link) {
					found = append(found, link)
				}
			}
			return found
		}
		if found := here(); u.UID == 0 && len(found) != 10 { // the control
			t.Errorf("links while ten run: %q", found)
		}
		for _, p := range running {
			if err := p.cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		for _, p := range running {
			p.end() // how it ended is not the question
		}
		w.NothingLeft(t)
		for range 200 {
			if len(here()) == 0 {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
		t.Errorf("links and tables that are left: %q", here())
	})
}
