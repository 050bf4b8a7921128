//go:build linux

// What the chapter of 01 claims.

package main

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
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
	})
}

// TestLesson reads the lesson's facts and compares them with each other.
func TestLesson(t *testing.T) {
	var root syscall.Stat_t
	if err := syscall.Stat("/", &root); err != nil {
		t.Fatal(err)
	}
	outside := fmt.Sprintf("inode %d on %d:%d", root.Ino, unix.Major(root.Dev),
		unix.Minor(root.Dev))
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		cmd := u.Program()
		out := steptest.Output(t, cmd)
		lines := strings.Split(out, "\n")
		// The secret is read inside by line 6: the first way fails, the second doesn't.
		byPath := regexp.MustCompile(
			`^by its path +(\w{8})  ENOENT \(no such file or directory\)  held$`)
		secret := byPath.FindStringSubmatch(lines[4])
		if secret == nil || !strings.HasPrefix(lines[5], "chroot again ") {
			t.Fatalf("lines 5 and 6 are %q, in:\n%s", lines[4:6], out)
		}
		folded := regexp.MustCompile(`  +`).ReplaceAllString(out, "  ")
		steptest.Contains(t, folded,
			fmt.Sprintf("host  process %d, uid %d", cmd.Process.Pid, u.UID),
			fmt.Sprintf("chroot again  %s  %[1]s  LEAK\n"+
				"a directory left open  %[1]s  %[1]s  LEAK\n\n", secret[1]),
			fmt.Sprintf("chroot again  %s  EPERM (operation not permitted)  held\n"+
				"a directory left open  %[1]s  %[1]s  LEAK\n\n", secret[1]))
		// Three names of the root, which is another one in the jail.
		names := regexp.MustCompile(`(?m)^(/\S*).*?  (inode \S+ on \S+)  (inode \S+ on \S+)  held$`)
		roots := names.FindAllStringSubmatch(folded, -1)
		if len(roots) != 3 {
			t.Fatalf("%d names of the root, want 3: %q", len(roots), roots)
		}
		for i, name := range []string{"/", "/..", "/top,"} {
			got := [...]string{roots[i][1], roots[i][2], roots[i][3]}
			if got != [...]string{name, outside, roots[0][3]} || got[2] == outside {
				t.Errorf("%q, want %s to be %s outside, and inside as / is", got, name, outside)
			}
		}
		signals := regexp.MustCompile(`(?m)^(\w+)  tgkill\((\d+), (\d+), 0\) = ok`)
		kills := signals.FindAllStringSubmatch(folded, -1)
		if len(kills) != 2 || kills[0][1] != "host" || kills[1][1] != "jail" ||
			kills[0][2] != kills[0][3] || !slices.Equal(kills[0][2:], kills[1][2:]) {
			t.Errorf("signals: %q", kills)
		}
	})
}

// TestVerdicts judges the lesson's answers again.
func TestVerdicts(t *testing.T) { steptest.Verdicts(t, asked, 5, 4) }

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

// TestDropIsForGood takes CAP_SYS_CHROOT away, becomes another program, and looks whether that has
// it. The control is the same with nothing taken away.
func TestDropIsForGood(t *testing.T) {
	for what, want := range map[string]string{"nothing": "true\n", "chroot": "false\n"} {
		cmd := self("test:drop", what)
		addUserNamespace(cmd.SysProcAttr, unix.CAP_SYS_CHROOT)
		if out := steptest.Output(t, cmd); out != want {
			t.Errorf("%s taken away: after execve, CAP_SYS_CHROOT is %q, want %q", what, out, want)
		}
	}
}

// TestJailIsRoot lists "/" in the jail, which has what was put there and nothing of the host.
func TestJailIsRoot(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		entries := strings.Fields(u.Output(t, "ls", "/"))
		if !slices.Contains(entries, "bin") || slices.Contains(entries, "home") {
			t.Errorf("/ in the jail: %q", entries)
		}
		out := u.Output(t, "sh", "-c", "cd ..; pwd; cd /bin/../..; pwd")
		if out != "/\n/\n" {
			t.Errorf("cd .. in the jail: %q", out)
		}
	})
}

// TestWorkingDirectory looks where a command starts: a process that has been moved to jail without
// its working directory is still outside (chroot(2)).
func TestWorkingDirectory(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		entries := strings.Fields(u.Output(t, "ls"))
		if !slices.Contains(entries, "bin") || slices.Contains(entries, "main_test.go") {
			t.Errorf("the working directory in the jail: %q", entries)
		}
	})
}

// TestKeeperSurvivesItsReader starts the keeper for a process that is dead already: its line goes
// to a pipe without a reader, and its standard input is at its end.
func TestKeeperSurvivesItsReader(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		w := steptest.NewWatch(t)
		reader, writer, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		reader.Close()
		defer writer.Close()
		cmd := u.Program("lesson:keep")
		cmd.Env, cmd.Stdout = w.Env(), writer
		if err := cmd.Run(); err != nil {
			t.Errorf("the keeper: %v", err)
		}
		w.NothingLeft(t)
	})
}

// TestCommands runs programs of several kinds in the jail: each must find its libraries.
func TestCommands(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		steptest.Contains(t, u.Output(t, "id"), "uid=0")
		steptest.Contains(t, u.Output(t, "mkdir", "-p", "/a/b"))
		script := filepath.Join(t.TempDir(), "script")
		if err := os.WriteFile(script, []byte("#!/bin/sh\necho a script\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		if u.UID == os.Getuid() { // another user can't reach this test's directory
			if out := u.Output(t, script); out != "a script\n" {
				t.Errorf("script: %q", out)
			}
		}
	})
}

// TestOwnInterpreter runs a script that is its own interpreter, and two that are each other's: the
// kernel has a limit for that (execve(2), ELOOP). The control is the host.
func TestOwnInterpreter(t *testing.T) {
	dir, err := os.MkdirTemp("", "scripts-") // t.TempDir's parent isn't open to other users
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	err = os.Chmod(dir, 0o755)
	for script, other := range map[string]string{"own": "own", "one": "two", "two": "one"} {
		text := "#!" + filepath.Join(dir, other) + "\n"
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, script), []byte(text), 0o755))
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, script := range []string{"own", "one"} {
		script = filepath.Join(dir, script)
		if err := exec.Command(script).Run(); !errors.Is(err, unix.ELOOP) {
			t.Errorf("the control, %s: %v", script, err)
		}
		steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
			r := u.Run(t, script)
			want := step + ": exec " + script + ": too many levels of symbolic links (it is a " +
				"script, its interpreter is one, too, and so on)\n"
			if r != (steptest.Result{Stderr: want, Status: 126}) {
				t.Errorf("%+v", r)
			}
		})
	}
}

// TestNotExecutable asks for a file that is no program: in the jail, execve(2) says so.
func TestNotExecutable(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		r := u.Run(t, "/etc/passwd")
		if r.Status != 126 || !strings.Contains(r.Stderr, "permission denied") {
			t.Errorf("%+v", r)
		}
	})
}

// TestStaticProgram installs a static program, this one, and nothing beside it.
func TestStaticProgram(t *testing.T) {
	p := &jailTree{dir: t.TempDir()}
	if err := p.install("/proc/self/exe", "/static"); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(p.jail())
	if err != nil || len(entries) != 1 {
		t.Errorf("beside the program: %v %v", entries, err)
	}
}

// TestLibrariesAsTheLoaderFindsThem compares what is copied for a dynamic program with what ldd
// lists.
func TestLibrariesAsTheLoaderFindsThem(t *testing.T) {
	ls, err := exec.LookPath("ls")
	if err != nil {
		t.Fatal(err)
	}
	file, err := elf.Open(ls)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if interpreter(file) == "" {
		steptest.Skip(t,
			"ls is static here and names no libraries; most systems have a dynamic one")
	}
	ldd := steptest.Need(t, "ldd", "libc-bin")
	p := &jailTree{dir: t.TempDir()}
	if err := p.install(ls, "/bin/ls"); err != nil {
		t.Fatal(err)
	}
	listed := steptest.Output(t, exec.Command(ldd, ls))
	for _, path := range regexp.MustCompile(`/\S+`).FindAllString(listed, -1) {
		if !exists(filepath.Join(p.jail(), path)) {
			t.Errorf("ldd lists %s; it isn't in the jail", path)
		}
	}
}

// TestRemoveSparesWhatIsMounted binds a directory of the host into a jail tree, and expects its
// removal to be refused until that is unmounted. All this in a mount namespace of its own.
func TestRemoveSparesWhatIsMounted(t *testing.T) {
	steptest.NeedNamespaces(t)
	precious := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(precious, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := self("test:remove", filepath.Dir(precious), t.TempDir())
	cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWNS
	addUserNamespace(cmd.SysProcAttr, unix.CAP_SYS_ADMIN)
	steptest.Contains(t, steptest.Output(t, cmd),
		"is still mounted\nunmounted: <nil>\nremoved: <nil>\n")
	if text, err := os.ReadFile(precious); string(text) != "kept" {
		t.Errorf("the host's file: %q, %v", text, err)
	}
}

// TestChrootForbidden is about systems that let an ordinary user make a user namespace, and then
// refuse what its root wants to do, as Ubuntu's AppArmor. The error has to name the setting then as
// well. Here the process in the jail has no privileges, and another setting forbids it.
func TestChrootForbidden(t *testing.T) {
	steptest.NeedNamespaces(t)
	steptest.NeedUserNamespaces(t)
	steptest.NeedSettings(t)
	dir := t.TempDir()
	cmd := self("test:forbid", "test:to-jail", dir, "echo", "the command ran")
	cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWUSER
	one := func(id int) []syscall.SysProcIDMap {
		return []syscall.SysProcIDMap{{ContainerID: steptest.Ordinary.UID, HostID: id, Size: 1}}
	}
	cmd.SysProcAttr.UidMappings = one(os.Getuid())
	cmd.SysProcAttr.GidMappings = one(os.Getgid())
	cmd.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_SYS_RESOURCE}
	r := steptest.Run(t, cmd)
	if r.Status != 125 || r.Stdout != "" {
		t.Errorf("exit status %d, standard output %q, want 125 and none", r.Status, r.Stdout)
	}
	steptest.Contains(t, r.Stderr,
		"chroot "+dir+": operation not permitted", "user.max_user_namespaces = 0")
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

func TestRefused(t *testing.T) { steptest.Refused(t, "jail chroot ") }

// init adds test:to-jail, which becomes the process in the jail as it is; test:remove, which does
// the keeper's work for the tree dir with the directory bound into it; and test:drop, which
// drops the capability and looks for it after an execve.
func init() {
	experiments["test:to-jail"] = func(args []string) error {
		return unix.Exec("/proc/self/exe", append([]string{role(inside)}, args...), os.Environ())
	}
	experiments["test:drop"] = func(args []string) error {
		if args[0] == "chroot" {
			if err := dropChroot(); err != nil {
				return err
			}
		}
		return unix.Exec("/proc/self/exe", []string{step, "test:holds"}, os.Environ())
	}
	experiments["test:holds"] = func([]string) error {
		fmt.Println(holds(unix.CAP_SYS_CHROOT))
		return nil
	}
	experiments["test:remove"] = func(args []string) error {
		bound, dir := args[0], filepath.Join(args[1], "tree")
		if err := errors.Join(
			unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
			os.MkdirAll(dir+"/a mount", 0o755),
			unix.Mount(bound, dir+"/a mount", "", unix.MS_BIND, ""),
		); err != nil {
			return err
		}
		fmt.Println(remove(dir))
		fmt.Println("unmounted:", unmountBelow(dir))
		fmt.Println("removed:", remove(dir))
		return nil
	}
}
