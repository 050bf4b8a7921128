//go:build linux

// The lesson of 03: two views of one file system, a host that notices nothing, and 01's ways out
// tried again.

package main

import (
	"crypto/rand"
	"crypto/sha256"
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

// experiments are the programs that the lesson runs inside, and some outside, to compare. Each
// prints what it measured.
var experiments = map[string]func([]string) error{
	"lesson:hold":   hold,
	"lesson:look":   look,
	"lesson:count":  countProcesses,
	"lesson:stat":   tryStat,
	"lesson:mode":   printMode,
	"lesson:write":  tryWrite,
	"lesson:escape": escape,
	"lesson:name":   printHostname,
	"lesson:queue":  printQueue,
}

// lesson sets out a file and a message queue on the host, and then looks for them from inside.
func lesson() error {
	say("host", "%s", whoami(unix.CAP_SYS_ADMIN))
	secret := rand.Text()
	holder, held, err := start(holderCommand(secret))
	if err != nil {
		return err
	}
	defer holder.end()
	var file string
	var key int
	if _, err := fmt.Sscan(held, &file, &key); err != nil {
		return fmt.Errorf("read %q of the holder: %w", held, err)
	}
	for _, part := range []func() error{
		twoViews,
		lessSeen,
		func() error { return waysOut(file, secret) },
		func() error { return whatLeaks(key, secret) },
	} {
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

// twoViews compares what each side sees of the file system, and the host's table of mounts before
// the container, during its life and after it.
func twoViews() error {
	before, err := mountTable()
	if err != nil {
		return err
	}
	control, err := ask(self("lesson:look"))
	if err != nil {
		return err
	}
	container, view, err := start(host("/proc/self/exe", "lesson:look", "closely"))
	if err != nil {
		return err
	}
	during, err := mountTable()
	if err := errors.Join(err, container.end()); err != nil {
		return err
	}
	after, err := mountTable()
	if err != nil {
		return err
	}
	say("host", "%s", control)
	say("container", "%s", view)
	say("host", "my mounts, as a hash: before %s, during %s, after %s", before, during, after)
	if before != during || before != after {
		say("host", "these differ: a mount came or went on the host in the meantime")
	}
	return nil
}

// lessSeen lets both sides count processes as ps does, look at the user's home, and say how the
// programs are mounted. The container tries to write there as well.
func lessSeen() error {
	home, err := os.UserHomeDir()
	if err != nil || home == "/root" || !exists(home) { // /root is inside too: another, empty one
		home = "/home"
	}
	for _, question := range [][]string{
		{"lesson:count"}, {"lesson:stat", home}, {"lesson:mode", "/usr"},
	} {
		outside, err := ask(self(question...))
		if err != nil {
			return err
		}
		within, err := ask(host(append([]string{"/proc/self/exe"}, question...)...))
		if err != nil {
			return err
		}
		say("host", "%s", outside)
		say("container", "%s", within)
	}
	answer, err := ask(host("/proc/self/exe", "lesson:write", "/usr/written-from-inside"))
	if err != nil {
		return err
	}
	say("container", "%s", answer)
	return nil
}

// waysOut tries both escapes of 01 from inside, with the same functions, and with the directory
// that (b) needs left open by the host.
func waysOut(file, secret string) error {
	outside, err := os.Open("/")
	if err != nil {
		return err
	}
	defer outside.Close()
	for _, way := range []string{"a", "b"} {
		cmd := host("/proc/self/exe", "lesson:escape", way, file)
		cmd.ExtraFiles = []*os.File{outside} // descriptor 3, which (b) looks for
		found, err := ask(cmd)
		if err != nil {
			return err
		}
		if strings.Contains(found, secret) || strings.Contains(found, elsewhere) {
			return fmt.Errorf("way out (%s) led out: %s", way, found)
		}
		say("container", "%s", found)
	}
	return nil
}

// whatLeaks reads the host's name and its message queue from inside.
func whatLeaks(key int, secret string) error {
	name, err := ask(host("/proc/self/exe", "lesson:name"))
	if err != nil {
		return err
	}
	text, err := ask(host("/proc/self/exe", "lesson:queue", strconv.Itoa(key)))
	if err != nil {
		return err
	}
	if text != secret {
		return fmt.Errorf("the host's message queue holds %s, inside it is %s", secret, text)
	}
	say("leak", "the hostname inside is %s, the host's", name)
	say("leak", "a message read inside, from a queue of the host's: %s", text)
	say("next", "go run ./04-uts-ipc")
	return nil
}

// mountTable returns a hash of this process's table of mounts, to compare.
func mountTable() (string, error) {
	table, err := os.ReadFile("/proc/self/mountinfo")
	return fmt.Sprintf("%x", sha256.Sum256(table))[:16], err
}

// holderCommand prepares the process that holds what the host has and the container shouldn't
// reach. It dies of nothing but the end of its standard input, and so outlives us by just the
// moment that it needs to remove everything, even if we are killed.
func holderCommand(secret string) *exec.Cmd {
	cmd := self("lesson:hold", secret)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // not in reach of Ctrl-C
	return cmd
}

// hold makes a file and a message queue with the secret in them, says where they are, and removes
// them again when standard input ends.
func hold(args []string) (err error) {
	// Not below /tmp, which the container covers: there it would be out of sight anyway.
	dir, err := os.MkdirTemp("/var/tmp", "secret-")
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "secret")
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.WriteFile(file, []byte(args[0]), 0o600); err != nil {
		return err
	}
	key := randomKey()
	if err := makeQueue(key, args[0]); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, removeQueue(key)) }()
	return holdOn(fmt.Sprint(file, " ", key))
}

// look prints how many mounts there are and what "/" is. Told to look closely, it names what is in
// it as well, and stays until standard input ends.
func look(args []string) error {
	var root unix.Stat_t
	if err := unix.Stat("/", &root); err != nil {
		return &os.PathError{Op: "stat", Path: "/", Err: err}
	}
	entries, err := os.ReadDir("/")
	if err != nil {
		return err
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	facts := fmt.Sprintf("mount namespace %s with %d mounts; / is inode %d with %d entries",
		namespaceOf("mnt"), strings.Count(string(mounts), "\n"), root.Ino, len(names))
	if len(args) > 0 {
		return holdOn(facts + ": " + strings.Join(names, " "))
	}
	fmt.Println(facts)
	return nil
}

// countProcesses prints how many processes /proc lists.
func countProcesses([]string) error {
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return err
	}
	fmt.Println("processes listed in /proc:", len(all))
	return nil
}

// tryStat prints what the kernel says to a look at a path.
func tryStat(args []string) error {
	fmt.Printf("stat(%q) = %s\n", args[0], errno(unix.Stat(args[0], new(unix.Stat_t))))
	return nil
}

// printMode prints whether the mount at a path lets anybody write.
func printMode(args []string) error {
	var mounted unix.Statfs_t
	if err := unix.Statfs(args[0], &mounted); err != nil {
		return &os.PathError{Op: "statfs", Path: args[0], Err: err}
	}
	mode := "read-write"
	if mounted.Flags&unix.ST_RDONLY != 0 {
		mode = "read-only"
	}
	fmt.Printf("%s is mounted %s\n", args[0], mode)
	return nil
}

// tryWrite makes a file, and removes it again. It is meant for the inside.
func tryWrite(args []string) error {
	fd, err := unix.Open(args[0], unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o600)
	fmt.Printf("open(%q, O_CREAT) = %s\n", args[0], errno(err))
	if err != nil {
		return nil
	}
	return errors.Join(unix.Close(fd), os.Remove(args[0]))
}

// elsewhere is the word for a way out that has left the container's root.
const elsewhere = "not its own /"

// escape takes way out "a" or "b", and prints where it led: to which root, and to which secret.
func escape(args []string) error {
	way, file := args[0], args[1]
	names := map[string]string{"a": "second chroot", "b": "the host's / left open, descriptor 3"}
	var own, top unix.Stat_t
	if err := unix.Stat("/", &own); err != nil {
		return &os.PathError{Op: "stat", Path: "/", Err: err}
	}
	var out error
	if way == "a" {
		out = escapeByChroot()
	} else {
		out = escapeByDescriptor(3)
	}
	if out != nil {
		fmt.Printf("way out (%s), %s: %v\n", way, names[way], out)
		return nil
	}
	if err := unix.Stat(".", &top); err != nil {
		return &os.PathError{Op: "stat", Path: ".", Err: err}
	}
	arrived := "its own /"
	if top.Dev != own.Dev || top.Ino != own.Ino {
		arrived = elsewhere
	}
	secret, err := os.ReadFile(strings.TrimPrefix(file, "/")) // from the working directory
	if err != nil {
		secret = []byte(errno(err))
	}
	fmt.Printf("way out (%s), %s: arrives at inode %d, %s; the secret: %s\n",
		way, names[way], top.Ino, arrived, secret)
	return nil
}

// printHostname prints the hostname (uname(2)).
func printHostname([]string) error {
	name, err := os.Hostname()
	fmt.Println(name)
	return err
}

// printQueue prints what is in the message queue with a key, or why that can't be read.
func printQueue(args []string) error {
	key, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	text, err := readQueue(key)
	if err != nil {
		text = err.Error()
	}
	fmt.Println(text)
	return nil
}
