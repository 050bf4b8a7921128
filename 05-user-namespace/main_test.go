//go:build linux

// What the chapter of 05 claims.

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	"jail-to-container/scripts/steptest"
)

// TestMain lets the test binary double as the step's program.
func TestMain(m *testing.M) {
	steptest.Main(m, steptest.Step{
		Name: step, Inner: role(inside), Main: main, Experiments: experiments,
		Exec: execCommand, Hint: forbiddenHint, Remedy: remedy, Say: say,
		Namespaces: []string{"pid", "mnt", "uts", "ipc", "user"},
		NoProof: map[string]string{
			"outside": "not as PID 1 of a container",
			"nothing": "descriptor 3 isn't the pipe from the outer process",
			"wrong":   `it says "?"`,
			"right":   "it is also my parent's",
			"unseen":  "/proc/0/ns/mnt", // its parent, in a /proc that doesn't show that
		},
		Role:       innerGets,
		StartOwned: ownedStart,
	})
}

// firstOf is the uid on the host that the container's uid 0 has to be, for a test's user.
func firstOf(t *testing.T, u steptest.User) int { return firstIDOf(t, u, "uid", u.UID) }

// firstIDOf is the same for "uid" or "gid". The user's own is what an ordinary user maps.
func firstIDOf(t *testing.T, u steptest.User, kind string, users int) int {
	t.Helper()
	if u.UID != 0 {
		return users
	}
	own, ownErr := subordinateIDs(kind)
	ours, mapErr := os.ReadFile("/proc/self/uid_map")
	if err := errors.Join(ownErr, mapErr); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(ours), "4294967295") { // all IDs there are
		steptest.Skip(t,
			"root may have no 65536 ids to give away here; run it outside of a user namespace")
	}
	if own.count >= 65536 {
		return int(own.first)
	}
	return 2_100_000_000
}

// TestLesson reads the lesson's facts and compares them with what the test reads itself.
func TestLesson(t *testing.T) {
	last, err := readNumber("/proc/sys/kernel/cap_last_cap")
	if err != nil {
		t.Fatal(err)
	}
	var usr unix.Stat_t
	if err := unix.Stat("/usr", &usr); err != nil {
		t.Fatal(err)
	}
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		uid, gid := firstOf(t, u), firstIDOf(t, u, "gid", u.GID())
		out := u.Output(t)
		folded := regexp.MustCompile(` +`).ReplaceAllString(out, " ")
		every := fmt.Sprintf("%016x", uint64(1)<<(last+1)-1) // all capabilities that there are
		steptest.Contains(t, folded,
			fmt.Sprintf(", uid %d\n", u.UID),
			fmt.Sprintf("\nuid %d 0\n", uid),
			fmt.Sprintf("\ngid %d 0\n", gid),
			fmt.Sprintf("\nowner of a file it made %d 0\n", uid),
			fmt.Sprintf("\nowner of /usr %d 65534\n", usr.Uid),
			"\ncapabilities "+every+" "+every+"\n",
			"\nhost user namespace "+namespaceOf("self", "user")+"\n",
			"\nhost network namespace "+namespaceOf("self", "net")+
				"\ncontainer network namespace "+namespaceOf("self", "net")+" LEAK\n",
		)
		pid := regexp.MustCompile(`\nPID (\d+) 1\n`).FindStringSubmatch(folded)
		if pid == nil {
			t.Fatalf("no PID in:\n%s", out)
		}
		steptest.Contains(t, folded, fmt.Sprintf("\nhost /proc/%s/uid_map: 0 %d ", pid[1], uid),
			" (inside, outside, count)\n")
		secret := regexp.MustCompile(`\nhost (127\.0\.0\.1:\d+ says \w{8})\n`)
		said := secret.FindStringSubmatch(folded)
		if said == nil {
			t.Fatalf("no secret in:\n%s", out)
		}
		steptest.Contains(t, folded, "\ncontainer "+said[1]+" LEAK\n")
		trialsOf(t, folded, u)
	})
}

// trialsOf looks for the answers to what root tries.
func trialsOf(t *testing.T, folded string, u steptest.User) {
	t.Helper()
	// The host's root is the control: what is refused in the container is allowed there. But root
	// in a container of Docker's lacks some capabilities.
	clock, log := "ok EPERM EPERM held", "ok EACCES EACCES held"
	if !holds(unix.CAP_SYS_TIME) {
		clock = "EPERM EPERM EPERM n/a"
	}
	if !holds(unix.CAP_SYSLOG) {
		log = "EPERM EACCES EACCES n/a"
	}
	for row, want := range map[string][2]string{
		"sethostname, to the same name":      {"ok EPERM ok", "EPERM EPERM ok"},
		"mount a tmpfs":                      {"ok EPERM ok", "EPERM EPERM ok"},
		"kill a child process":               {"ok ok ok", "ok ok ok"},
		"chroot, to /":                       {"ok ok ok", "EPERM ok ok"},
		"settimeofday":                       {clock, "EPERM EPERM EPERM n/a"},
		"mknod, of another /dev/null":        {"ok EPERM EPERM held", "EPERM EPERM EPERM n/a"},
		"open sysctl kernel.panic to write":  {"ok EACCES EACCES held", "EACCES EACCES EACCES n/a"},
		"open /proc/kmsg to read, mode 0400": {log, "EACCES EACCES EACCES n/a"},
		"access /usr to write":               {"ok EACCES EACCES held", "EACCES EACCES EACCES n/a"},
		// A user may signal their own processes, whatever names these have.
		"signal a host process":             {"ok EPERM ESRCH held", "ok ok ESRCH held"},
		"setns to the host's UTS namespace": {"ok EPERM EPERM held", "EPERM EPERM EPERM n/a"},
	} {
		i := 0
		if u.UID != 0 {
			i = 1
		}
		steptest.Contains(t, folded, "\n"+row+" "+want[i]+"\n")
	}
	for _, row := range []string{"raise a hard limit", "load a module"} {
		answers := regexp.MustCompile(`\n` + row + ` (ok E\w+ E\w+ held|E\w+ E\w+ E\w+ n/a)\n`)
		if !answers.MatchString(folded) {
			t.Errorf("%s: no such answers in\n%s", row, folded)
		}
	}
}

// TestVerdicts judges the lesson's answers again. Of what root may do to the host's things, an
// ordinary user may only signal a process.
func TestVerdicts(t *testing.T) {
	firstOf(t, steptest.Caller()) // which skips where root has no IDs to give away
	holding := 2
	if os.Getuid() == 0 {
		holding = 6
		for _, capability := range []int{
			unix.CAP_SYS_TIME, unix.CAP_SYSLOG, unix.CAP_SYS_RESOURCE, // the last for a hard limit
		} {
			if holds(capability) {
				holding++
			}
		}
		if exists("/proc/modules") && holds(unix.CAP_SYS_MODULE) {
			holding++
		}
	}
	steptest.Verdicts(t, asked, holding, 2)
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

// TestWhoItIs asks id(1) inside and the host about the same process.
func TestWhoItIs(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		inner, _, err := start(u.Program("sh", "-c", "id -u; read -r end"))
		if err != nil {
			t.Fatal(err)
		}
		defer inner.end()
		pid, err := childOf(inner.cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		var process unix.Stat_t // the owner of /proc/PID is the process's (proc_pid(5))
		if err := unix.Stat(fmt.Sprintf("/proc/%d", pid), &process); err != nil {
			t.Fatal(err)
		}
		if want := firstOf(t, u); int(process.Uid) != want {
			t.Errorf("the host calls it uid %d, want %d", process.Uid, want)
		}
		if out := u.Output(t, "sh", "-c", "id -u; id -g"); out != "0\n0\n" {
			t.Errorf("inside, uid and gid are %q", out)
		}
	})
}

// TestGroups gives the program a group of the host's, which root can make it leave and an ordinary
// user can't: then it is a group without a name.
func TestGroups(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		cmd := u.Program("id", "-G")
		if os.Getuid() == 0 {
			cmd.SysProcAttr.Credential = &syscall.Credential{
				Uid: uint32(u.UID), Gid: uint32(u.GID()), Groups: []uint32{4},
			}
		}
		if out := steptest.Output(t, cmd); out != "0\n" && (u.UID == 0 || out != "0 65534\n") {
			t.Errorf("groups inside: %q", out)
		}
	})
}

// TestProgramsStayTheHosts lifts the flag that makes /usr read-only, as its root may, and asks
// whether it may write. Root's 04 could. The control is the host's root, in a mount namespace.
func TestProgramsStayTheHosts(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		out := u.Output(t, "/proc/self/exe", "test:write-usr")
		if out != "EACCES (permission denied)\n" {
			t.Errorf("access to /usr inside: %q", out)
		}
	})
	if os.Getuid() != 0 {
		return
	}
	control := self("test:write-usr", "bind")
	control.SysProcAttr.Unshareflags = unix.CLONE_NEWNS
	if out := steptest.Output(t, control); out != "ok\n" {
		t.Errorf("the control: %q", out)
	}
}

// TestHelpers gives an ordinary user ranges of IDs and newuidmap(1), and looks for all of them
// inside. The ranges of users and groups differ, one may be missing, and under no_new_privs the
// helpers, which are set-user-ID programs, fail.
func TestHelpers(t *testing.T) {
	steptest.Need(t, "newuidmap", "uidmap")
	if os.Getuid() != 0 {
		steptest.Skip(t, "only root can give another user IDs; run it as root")
	}
	const ownUID, ownGID = "0 12345 1 ", "0 23456 1 "
	for _, c := range []struct{ name, uids, gids, privileges, want string }{
		{"both", steptest.SubUIDs, steptest.SubGIDs, "", ownUID + "1 200000 65536 " + ownGID +
			"1 300000 49999 allow groups 0 CapInh: 0000000000000000 owner 1000"},
		{"users alone", steptest.SubUIDs, "", "", ownUID + "1 200000 65536 " + ownGID +
			"deny groups 0 65534 CapInh: 0000000000000000 owner 1000"},
		{"groups alone", "", steptest.SubGIDs, "", ownUID + ownGID +
			"deny groups 0 65534 CapInh: 0000000000000000 owner 0"},
		{"neither", "", "", "", ownUID + ownGID +
			"deny groups 0 65534 CapInh: 0000000000000000 owner 0"},
		{"helpers that fail", steptest.SubUIDs, steptest.SubGIDs, "no new", ownUID + ownGID +
			"deny groups 0 65534 CapInh: 0000000000000000 owner 0"},
	} {
		cmd := self("test:helpers", c.uids, c.gids, c.privileges)
		cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWNS
		if out := strings.Join(strings.Fields(steptest.Output(t, cmd)), " "); out != c.want {
			t.Errorf("%s: maps, groups and a file's owner:\n%s\nwant:\n%s", c.name, out, c.want)
		}
	}
}

// TestNothingBeforeTheHost starts the inner process without an outer one that says "go".
func TestNothingBeforeTheHost(t *testing.T) {
	for _, text := range []string{"", "!"} {
		inner := self("echo", "the command ran")
		inner.Args = append([]string{role(inside)}, inner.Args[1:]...)
		inner.Stderr = nil
		reader, writer, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := writer.WriteString(text); err != nil {
			t.Fatal(err)
		}
		writer.Close()
		inner.ExtraFiles = []*os.File{reader}
		attr := inner.SysProcAttr
		attr.Cloneflags = namespaces
		attr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
		r := steptest.Run(t, inner)
		reader.Close()
		switch {
		case text == "" && (r.Status != 125 || r.Stdout != ""):
			t.Errorf("exit status %d, standard output %q, want 125 and none", r.Status, r.Stdout)
		case text == "":
			steptest.Contains(t, r.Stderr, "wait for the outer process: EOF")
		case r.Stdout != "the command ran\n":
			t.Errorf("the control: %q, %q", r.Stdout, r.Stderr)
		}
	}
}

// TestNoUserNamespace prepares maps for a namespace that isn't made. The start must set none, or it
// would wait for ever, and the container can't be completed.
func TestNoUserNamespace(t *testing.T) {
	attr := &syscall.SysProcAttr{Cloneflags: namespaces &^ unix.CLONE_NEWUSER}
	later, err := mapIDs(attr)
	if err != nil || attr.UidMappings != nil || attr.GidMappings != nil {
		t.Errorf("maps %v and %v, %v", attr.UidMappings, attr.GidMappings, err)
	}
	if err := later(os.Getpid()); err == nil {
		t.Error("nothing is wrong with that")
	}
}

// TestRanges chooses IDs for root's containers where some are others'. What comes or goes below two
// billion, where useradd hands out ranges, must not move them.
func TestRanges(t *testing.T) {
	host := []idRange{{0, 1<<32 - 1}}
	for name, c := range map[string]struct {
		own, taken []idRange
		known      int64
		first      int64 // 0: none
		failed     bool
	}{
		"nothing taken":         {host, nil, 0, 2_100_000_000, false},
		"useradd's taken":       {host, []idRange{{100_000, 600_000_000}}, 0, 2_100_000_000, false},
		"one ID taken":          {host, []idRange{{2_100_065_535, 1}}, 0, 2_100_100_000, false},
		"the next ID taken":     {host, []idRange{{2_100_065_536, 1}}, 0, 2_100_000_000, false},
		"first ID known":        {host, nil, 2_100_000_000, 2_100_100_000, false},
		"last ID known":         {host, nil, 2_100_065_535, 2_100_100_000, false},
		"from 2 billion on":     {host, []idRange{{2_000_000_000, 1 << 30}}, 0, 700_000_000, false},
		"all taken":             {host, []idRange{{1, 1 << 31}}, 0, 0, true},
		"few in this namespace": {[]idRange{{0, 165_536}}, nil, 0, 100_000, false},
		"fewer":                 {[]idRange{{0, 165_535}}, nil, 0, 0, false},
	} {
		got, err := pickRange(c.own, c.taken, func(r idRange) bool {
			return c.known == r.first || c.known == r.first+r.count-1
		})
		want := idRange{c.first, 65536}
		if c.first == 0 {
			want = idRange{}
		}
		if got != want || (err != nil) != c.failed {
			t.Errorf("%s: %v, %v, want %v", name, got, err, want)
		}
	}
}

// TestTakenIDs adds accounts and ranges to this host, each in a mount namespace of its own, and
// looks which IDs root's container has then.
func TestTakenIDs(t *testing.T) {
	if os.Getuid() != 0 {
		steptest.Skip(t, "only root gives containers IDs that aren't its own; run it as root")
	}
	ldap := t.TempDir() // what its getent(1) knows
	script := "#!/bin/sh\n[ $1 = group ] && [ $3 = 2100065535 ] && echo ldap:*:2100065535:\n"
	if err := os.WriteFile(ldap+"/getent", []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	const first = "2100000000 65536 0 2100000000 65536"
	const second = "2100100000 65536 0 2100100000 65536"
	for name, c := range map[string]struct{ path, line, ids string }{
		"the control":          {"/etc/passwd", "", first},
		"useradd's next range": {"/etc/subuid", "new:165536:65536\n", first},
		"a range of groups":    {"/etc/subgid", "new:2100010000:65536\n", second},
		"a user":               {"/etc/passwd", "new:x:2100001000:1000::/:/bin/sh\n", second},
		"a group":              {"/etc/group", "new:x:2100065535:\n", second},
		"a group of LDAP's":    {"/etc/nsswitch.conf", "group: files ldap\n", second},
		"root's own, two lines": {"/etc/subuid", "root:7:9\nroot:1000000:1000000000\n",
			"1000000 1000000000 0 2100000000 65536"},
	} {
		cmd := self("test:taken", c.path, c.line)
		cmd.Env = append(os.Environ(), "PATH="+ldap+":"+os.Getenv("PATH"))
		cmd.SysProcAttr.Unshareflags = unix.CLONE_NEWNS
		if got := strings.Join(strings.Fields(steptest.Output(t, cmd)), " "); got != "0 "+c.ids {
			t.Errorf("%s: root's container has %q, want %q", name, got, "0 "+c.ids)
		}
	}
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

func TestRefused(t *testing.T) { steptest.Refused(t, "container capset") }

func TestTerminal(t *testing.T)    { steptest.Terminal(t, inside+"# ") }
func TestStartsShell(t *testing.T) { steptest.StartsShell(t, startsShell) }

func TestSharedTmp(t *testing.T)  { steptest.SharedTmp(t) }
func TestNamespaces(t *testing.T) { steptest.Namespaces(t) }

func TestMounts(t *testing.T) {
	steptest.Mounts(t, nil, "/dev/mqueue rw,nosuid,nodev,noexec mqueue ")
}

func TestModes(t *testing.T) { steptest.Modes(t, nil) }

func TestStreamsByName(t *testing.T)            { steptest.StreamsByName(t) }
func TestRefusedStreamIsExplained(t *testing.T) { steptest.RefusedStreamIsExplained(t) }
func TestPipeBothWays(t *testing.T)             { steptest.PipeBothWays(t) }
func TestPermissionsAddUp(t *testing.T)         { steptest.PermissionsAddUp(t, addPermission) }
func TestSharedOffset(t *testing.T)             { steptest.SharedOffset(t) }
func TestRootsRanges(t *testing.T)              { steptest.RootsRanges(t) }
func TestQuotaOfRoot(t *testing.T)              { steptest.QuotaOfRoot(t) }
func TestThreadAfterwards(t *testing.T)         { steptest.ThreadAfterwards(t) }
func TestPrivateProgram(t *testing.T)           { steptest.PrivateProgram(t) }

// innerGets is what a process in the role of the inner one gets: nothing, or a pipe with the word
// to go or another word.
func innerGets(given string) ([]*os.File, []string, error) {
	command := []string{"echo", "ran"}
	if given == "nothing" {
		return nil, command, nil
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	word := "!"
	if given == "wrong" {
		word = "?"
	}
	_, err = writer.WriteString(word)
	return []*os.File{reader}, command, errors.Join(err, writer.Close())
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

// init adds what these tests run in the program's place.
func init() {
	// test:taken adds a line to a file, in this mount namespace, and prints a container's maps.
	experiments["test:taken"] = func(args []string) error {
		text, err := os.ReadFile(args[0])
		if err != nil {
			return err
		}
		file, err := os.CreateTemp("", "taken-")
		if err != nil {
			return err
		}
		_, err = file.WriteString(string(text) + args[1])
		if err := errors.Join(err, mount(file.Name(), args[0], "", unix.MS_BIND, ""),
			os.Remove(file.Name())); err != nil {
			return err
		}
		return host([]string{"cat", "/proc/self/uid_map", "/proc/self/gid_map"})
	}
	// test:write-usr needs no command for it: some shells' test(1) takes uid 0 for almighty.
	experiments["test:write-usr"] = func(args []string) error {
		if len(args) > 0 {
			if err := mount("/usr", "/usr", "", unix.MS_BIND, ""); err != nil {
				return err
			}
		}
		var have unix.Statfs_t // a remount must keep the host's flags: see remount
		if err := unix.Statfs("/usr", &have); err != nil {
			return &os.PathError{Op: "statfs", Path: "/usr", Err: err}
		}
		keep := uintptr(have.Flags) & (unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC)
		if err := mount("none", "/usr", "", unix.MS_REMOUNT|unix.MS_BIND|keep, ""); err != nil {
			return err
		}
		fmt.Println(errno(unix.Access("/usr", unix.W_OK)))
		return nil
	}
	experiments["test:helpers"] = func(args []string) error {
		err := steptest.GiveIDs(args[0], args[1])
		if args[2] == "no new" {
			err = errors.Join(err, unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		}
		if err != nil {
			return err
		}
		cmd := steptest.Ordinary.Program("sh", "-c", `cd /proc/self
			cat uid_map gid_map setgroups; echo "groups $(id -G)"; grep CapInh status
			touch /tmp/file; chown 1000 /tmp/file 2>&-; stat -c 'owner %u' /tmp/file`)
		cmd.SysProcAttr.Credential.Groups = []uint32{4} // which it has to leave
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		return cmd.Run()
	}
}
