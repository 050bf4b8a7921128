//go:build linux

// The lesson of 03: which of the host's files each side finds, 01's escapes once more, and a host
// that doesn't see the container's mounts.

package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// experiments are the programs that the lesson runs inside, and some of them also outside, to
// compare. Each prints what it measured.
var experiments = map[string]func([]string) error{
	"lesson:hold":      hold,
	"lesson:namespace": printNamespace,
	"lesson:ps":        countAndName,
	"lesson:inode":     printFile,
	"lesson:mode":      printMode,
	"lesson:escape":    escape,
	"lesson:jail":      escapeFromJail,
	"lesson:root":      showRoot,
	"lesson:name":      printHostname,
	"lesson:queue":     printQueue,
}

// lesson puts a process, a file and a message queue on the host, and looks for them inside.
func lesson(n *narrator) error {
	say("host", "%s", whoami(unix.CAP_SYS_ADMIN))
	secret := rand.Text()[:8]
	holder, held, err := start(holderCommand(secret))
	if err != nil {
		return err
	}
	defer holder.end()
	var dir string
	var key int
	if _, err := fmt.Sscan(held, &dir, &key); err != nil {
		return fmt.Errorf("the holder printed %q: %w", held, err)
	}
	if err := ownFiles(n, holder.cmd.Process.Pid, dir, secret); err != nil {
		return err
	}
	if err := ownMount(n); err != nil {
		return err
	}
	return whatLeaks(n, key, secret)
}

// within prepares an experiment to run in the container.
func within(args ...string) *exec.Cmd {
	return host(append([]string{"/proc/self/exe"}, args...)...)
}

// ownFiles compares which of the host's files a process finds without this step and with it. The
// escapes start in a jail like 01's, and then in the container.
func ownFiles(n *narrator, pid int, dir, secret string) error {
	n.part("A root of its own")
	home := homeOutside()
	rows := [][]string{{"", "before", inside, ""}}
	for _, question := range []struct {
		what string
		rule rule
		args []string
	}{
		{"mount namespace", isShared, []string{"lesson:namespace", "mnt"}},
		{"processes in /proc", reaches(secret), []string{"lesson:ps", strconv.Itoa(pid)}},
		{home, isShared, []string{"lesson:inode", home}},
		{"/usr is mounted", reaches("read-write"), []string{"lesson:mode", "/usr"}},
	} {
		e, err := n.ask(question.args...)
		if err != nil {
			return err
		}
		e.what, e.rule, e.expect = question.what, question.rule, held
		rows = append(rows, []string{e.what, e.host, e.inside, string(n.judge(e))})
	}
	for _, way := range []string{byChroot, byDescriptor} {
		e := experiment{what: way, rule: reaches(secret), expect: held}
		jail := self("lesson:jail", dir, way)
		addUserNamespace(jail.SysProcAttr, unix.CAP_SYS_CHROOT)
		var err error
		if e.host, err = tryEscape(jail); err != nil {
			return err
		}
		if e.inside, err = tryEscape(within("lesson:escape", dir, way)); err != nil {
			return err
		}
		rows = append(rows, []string{e.what, e.host, e.inside, string(n.judge(e))})
	}
	columns(rows)
	return nil
}

// tryEscape runs an escape with the host's root left open, which byDescriptor needs.
func tryEscape(cmd *exec.Cmd) (string, error) {
	outside, err := os.Open("/")
	if err != nil {
		return "", err
	}
	defer outside.Close()
	cmd.ExtraFiles = []*os.File{outside} // descriptor 3
	return ask(cmd)
}

// homeOutside is the user's home directory, or another one if the container has a directory of that
// name.
func homeOutside() string {
	home, _ := os.UserHomeDir() // without one it is "", which doesn't exist
	for _, dir := range []string{home, "/home"} {
		if dir != "/" && dir != "/root" && exists(dir) {
			return dir
		}
	}
	return "/var/tmp"
}

// ownMount looks for the container's root among the host's mounts.
func ownMount(n *narrator) error {
	container, line, err := start(within("lesson:root"))
	if err != nil {
		return err
	}
	device, _, _ := strings.Cut(line, " ")
	listed, err := mountOf(device)
	if err := errors.Join(err, container.end()); err != nil {
		return err
	}
	n.compare(experiment{
		what: "the container's mount", host: "file system " + listed, inside: "file system " + line,
		rule: staysInside("mounted at"), expect: held,
	})
	return nil
}

// staysInside is the rule for what the container makes: only its own answer contains the proof.
func staysInside(proof string) rule {
	return func(host, inside string) verdict { return reaches(proof)(inside, host) }
}

// whatLeaks reads the hostname and the host's message queue from inside.
func whatLeaks(n *narrator, key int, secret string) error {
	n.part("What is still the host's: names that aren't paths")
	name, err := n.ask("lesson:name")
	if err != nil {
		return err
	}
	queue, err := n.ask("lesson:queue", strconv.Itoa(key))
	if err != nil {
		return err
	}
	name.what, name.rule, name.expect = "hostname", isShared, leak
	queue.what, queue.rule, queue.expect = "message queue", reaches(secret), leak
	n.table("", name, queue)
	n.next("go run ./04-uts-ipc")
	return nil
}

// holderCommand prepares the process that holds what the container shouldn't reach. It ends only
// when its standard input closes, so even if we are killed it lives on for just long enough to
// remove everything.
func holderCommand(secret string) *exec.Cmd {
	cmd := self("lesson:hold", secret)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // out of reach of Ctrl-C
	return cmd
}

// hold names itself after the secret, as ps shows it, and makes a file and a message queue that
// contain the secret. It prints where they are and removes them when standard input closes.
func hold(args []string) (err error) {
	secret := args[0]
	if err := os.WriteFile("/proc/self/comm", []byte(secret), 0); err != nil {
		return err
	}
	// Not below /tmp, which the container covers: there the file would be hidden anyway.
	dir, err := os.MkdirTemp("/var/tmp", "secret-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := errors.Join(
		os.WriteFile(filepath.Join(dir, "secret"), []byte(secret), 0o600),
		os.Mkdir(filepath.Join(dir, "jail"), 0o700),
	); err != nil {
		return err
	}
	key := randomKey()
	if err := makeQueue(key, secret); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, removeQueue(key)) }()
	return waitForEOF(fmt.Sprint(dir, " ", key))
}

// printNamespace prints the number of this process's namespace of a kind.
func printNamespace(args []string) error {
	fmt.Println(namespaceOf("self", args[0]))
	return nil
}

// countAndName prints how many processes /proc lists, and the name of one process of the host.
func countAndName(args []string) error {
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return err
	}
	fmt.Print(len(all))
	if name, err := os.ReadFile("/proc/" + args[0] + "/comm"); err == nil {
		fmt.Print(", one is ", string(name))
	}
	fmt.Println()
	return nil
}

// printFile prints which file a path leads to, by its inode number, or why it leads to none.
func printFile(args []string) error {
	var file unix.Stat_t
	if err := unix.Stat(args[0], &file); err != nil {
		fmt.Println(errnoName(err))
		return nil
	}
	fmt.Printf("inode %d on %d:%d\n", file.Ino, unix.Major(file.Dev), unix.Minor(file.Dev))
	return nil
}

// errnoName is errno without the explanation.
func errnoName(err error) string {
	name, _, _ := strings.Cut(errno(err), " ")
	return name
}

// printMode prints whether the mount at a path is read-only.
func printMode(args []string) error {
	var mounted unix.Statfs_t
	if err := unix.Statfs(args[0], &mounted); err != nil {
		return &os.PathError{Op: "statfs", Path: args[0], Err: err}
	}
	mode := "read-write"
	if mounted.Flags&unix.ST_RDONLY != 0 {
		mode = "read-only"
	}
	fmt.Println(mode)
	return nil
}

// The escapes of 01.
const (
	byChroot     = "chroot again"
	byDescriptor = "a directory left open"
)

// escape tries one of 01's escapes and prints whether it got out of its root, and which secret it
// read.
func escape(args []string) error {
	dir, way := args[0], args[1]
	var own, top unix.Stat_t
	if err := unix.Stat("/", &own); err != nil {
		return &os.PathError{Op: "stat", Path: "/", Err: err}
	}
	var err error
	switch way {
	case byChroot:
		err = escapeByChroot()
	case byDescriptor:
		err = escapeByDescriptor(3)
	}
	if err != nil {
		fmt.Println(errnoName(err))
		return nil
	}
	if err := unix.Stat(".", &top); err != nil {
		return &os.PathError{Op: "stat", Path: ".", Err: err}
	}
	where := "no escape"
	if top.Dev != own.Dev || top.Ino != own.Ino {
		where = "escapes"
	}
	secret, err := os.ReadFile(filepath.Join(dir, "secret")[1:]) // from the working directory
	if err != nil {
		fmt.Printf("%s: %s\n", where, errnoName(err))
		return nil
	}
	fmt.Printf("%s and reads %s\n", where, secret)
	return nil
}

// escapeFromJail is 01 in short: it locks itself into a jail and tries to escape.
func escapeFromJail(args []string) error {
	jail := filepath.Join(args[0], "jail")
	if err := unix.Chroot(jail); err != nil {
		return &os.PathError{Op: "chroot", Path: jail, Err: err}
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	return escape(args)
}

// showRoot prints where this process's root is mounted, and waits.
func showRoot([]string) error {
	var root unix.Stat_t
	if err := unix.Stat("/", &root); err != nil {
		return &os.PathError{Op: "stat", Path: "/", Err: err}
	}
	line, err := mountOf(fmt.Sprintf("%d:%d", unix.Major(root.Dev), unix.Minor(root.Dev)))
	if err != nil {
		return err
	}
	return waitForEOF(line)
}

// mountOf says where this process's list of mounts has the file system with a device number
// (proc_pid_mountinfo(5)).
func mountOf(device string) (string, error) {
	table, err := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(table)) {
		if fields := strings.Fields(line); fields[2] == device {
			return device + " is mounted at " + fields[4], nil
		}
	}
	return device + " isn't mounted", err
}

// printHostname prints the hostname (uname(2)) and the UTS namespace that holds it.
func printHostname([]string) error {
	name, err := os.Hostname()
	fmt.Printf("%s, namespace %s\n", name, namespaceOf("self", "uts"))
	return err
}

// printQueue prints the message in the queue with a key, or why it can't be read.
func printQueue(args []string) error {
	key, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	text, err := readQueue(key)
	if err != nil {
		text = errnoName(err)
	}
	fmt.Println(text)
	return nil
}

// whoami is the lesson's first fact: its process, its user, and whether it adds a user namespace.
func whoami(capability int) string {
	line := fmt.Sprintf("process %d, uid %d", os.Getpid(), os.Getuid())
	if !holds(capability) {
		line += ", not root: adds a user namespace (05)"
	}
	return line
}

// namespaceOf returns the inode number that names a process's namespace of a kind, such as "pid"
// (namespaces(7)). Two processes are in the same one if they have the same number.
func namespaceOf(process, kind string) string {
	link, err := os.Readlink("/proc/" + process + "/ns/" + kind)
	if err != nil {
		return "" // n/a: isShared
	}
	return strings.Trim(link, kind+":[]")
}
