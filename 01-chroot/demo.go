//go:build linux

// The lesson of 01: a secret next to the jail, two escapes that read it, and what chroot changes.

package main

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// experiments are the programs that the lesson runs in the jail, and some of them also outside, to
// compare. Each prints what it measured.
var experiments = map[string]func([]string) error{
	"lesson:keep":   keep,
	"lesson:read":   readSecret,
	"lesson:inode":  printInode,
	"lesson:signal": signalNothing,
}

// within prepares an experiment to run in the jail. The lesson sets it when the jail is built.
var within func(args ...string) *exec.Cmd

// How the lesson tries to reach the secret.
const (
	byPath       = "by its path"
	byChroot     = "chroot again"
	byDescriptor = "a directory left open"
)

// lesson builds the jail's tree and tries to read a secret next to the jail from inside the jail.
func lesson(n *narrator) error {
	say("host", "%s", whoami(unix.CAP_SYS_CHROOT))
	tree, err := startJailTree()
	if err != nil {
		return err
	}
	defer tree.end()
	within = func(args ...string) *exec.Cmd {
		return host(tree.jail(), append([]string{"/lesson"}, args...)...)
	}
	file, secret := filepath.Join(tree.dir, "home/bin/secret"), rand.Text()[:8]
	if err := draw(tree, file, secret); err != nil {
		return err
	}
	if err := readTheSecret(n, file, secret); err != nil {
		return err
	}
	if err := whereRootIs(n, tree.jail()); err != nil {
		return err
	}
	return whatLeaks(n, tree.keeper.cmd.Process.Pid)
}

// readTheSecret tries each way to the secret, then both escapes once more after the usual fix.
func readTheSecret(n *narrator, file, secret string) error {
	n.part("Can a program in the jail read the secret beside it?")
	control, err := ask(self("lesson:read", file, byPath))
	if err != nil {
		return err
	}
	tries := []experiment{
		{what: byPath, expect: held},
		{what: byChroot, expect: leak},
		{what: byDescriptor, expect: leak},
	}
	for i := range tries {
		tries[i].host, tries[i].rule = control, reaches(secret)
		if tries[i].inside, err = tryWay(file, tries[i].what); err != nil {
			return err
		}
	}
	n.table("home/bin/secret", tries...)

	n.part("The usual fix: take CAP_SYS_CHROOT away")
	rows := [][]string{{"", "before", inside, ""}}
	for _, e := range tries[1:] {
		e.host = e.inside
		if e.inside, err = tryWay(file, e.what, "fixed"); err != nil {
			return err
		}
		if e.what == byChroot {
			e.expect = held
		}
		rows = append(rows, []string{e.what, e.host, e.inside, string(n.judge(e))})
	}
	columns(rows)
	return nil
}

// tryWay tries one way to the secret in the jail.
func tryWay(file, way string, fixed ...string) (string, error) {
	outside, err := os.Open("/")
	if err != nil {
		return "", err
	}
	defer outside.Close()
	cmd := within(append([]string{"lesson:read", file, way}, fixed...)...)
	cmd.ExtraFiles = []*os.File{outside} // descriptor 3, the directory left open
	return ask(cmd)
}

// whereRootIs compares where "/", "/.." and a link to "/" in the jail lead.
func whereRootIs(n *narrator, jail string) error {
	n.part("Where do paths begin?")
	say(inside, "%s", jail)
	rows := []experiment{{what: "/"}, {what: "/.."}, {what: "/top, a link to /"}}
	for i, paths := range [][2]string{{"/", "/"}, {"/..", "/.."}, {jail + "/top", "/top"}} {
		rows[i].rule, rows[i].expect = isShared, held
		var err error
		if rows[i].host, err = ask(self("lesson:inode", paths[0])); err != nil {
			return err
		}
		if rows[i].inside, err = ask(within("lesson:inode", paths[1])); err != nil {
			return err
		}
	}
	n.table("", rows...)
	return nil
}

// whatLeaks signals a process outside the jail: the keeper.
func whatLeaks(n *narrator, pid int) error {
	n.part("What is still the host's: the processes")
	e, err := n.ask("lesson:signal", strconv.Itoa(pid))
	if err != nil {
		return err
	}
	e.rule, e.expect = reaches("= ok"), leak
	n.compare(e)
	n.next("go run ./02-pid-namespace")
	return nil
}

// draw adds what the lesson needs to the tree: the secret, a link to "/", and a copy of this
// program to run in the jail.
func draw(tree *jailTree, file, secret string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		return err
	}
	if err := os.MkdirAll(tree.jail(), 0o755); err != nil {
		return err
	}
	if err := os.Symlink("/", filepath.Join(tree.jail(), "top")); err != nil {
		return err
	}
	return tree.install("/proc/self/exe", "/lesson")
}

// readSecret tries one way to the secret, with the usual fix or without, and prints the text that
// it read or the errno that stopped it.
func readSecret(args []string) (err error) {
	file, way, fixed := args[0], args[1], len(args) > 2
	if fixed {
		if err := dropChroot(); err != nil {
			return err
		}
	}
	switch way {
	case byChroot:
		err = escapeByChroot()
	case byDescriptor: // only the working directory gets out
		file, err = strings.TrimPrefix(file, "/"), escapeByDescriptor(3)
	}
	var secret []byte
	if err == nil {
		secret, err = os.ReadFile(file)
	}
	if err != nil {
		secret = []byte(errno(err))
	}
	fmt.Println(string(secret))
	return nil
}

// printInode prints which file a path leads to: its inode number and its file system's number.
func printInode(args []string) error {
	var file unix.Stat_t
	if err := unix.Stat(args[0], &file); err != nil {
		return &os.PathError{Op: "stat", Path: args[0], Err: err}
	}
	fmt.Printf("inode %d on %d:%d\n", file.Ino, unix.Major(file.Dev), unix.Minor(file.Dev))
	return nil
}

// signalNothing sends signal 0 to a process, which only asks whether it could be signalled
// (kill(2)), and prints the kernel's answer. kill(2) also accepts a thread's ID, and one of our own
// threads may have that number, so this uses tgkill(2), which wants a process and its thread.
func signalNothing(args []string) error {
	pid, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	fmt.Printf("tgkill(%d, %d, 0) = %s\n", pid, pid, errno(unix.Tgkill(pid, pid, 0)))
	return nil
}

// dropChroot removes CAP_SYS_CHROOT from this thread, the program's main thread, for good. It also
// removes it from the bounding set, or execve(2) would give it back to root (capabilities(7)).
func dropChroot() error {
	if err := unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_SYS_CHROOT, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl PR_CAPBSET_DROP", err)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return os.NewSyscallError("capget", err)
	}
	sets[0].Effective &^= 1 << unix.CAP_SYS_CHROOT
	sets[0].Permitted &^= 1 << unix.CAP_SYS_CHROOT
	sets[0].Inheritable &^= 1 << unix.CAP_SYS_CHROOT
	return os.NewSyscallError("capset", unix.Capset(&header, &sets[0]))
}

// whoami is the lesson's first fact: its process, its user, and whether it adds a user namespace.
func whoami(capability int) string {
	line := fmt.Sprintf("process %d, uid %d", os.Getpid(), os.Getuid())
	if !holds(capability) {
		line += ", not root: adds a user namespace (05)"
	}
	return line
}
