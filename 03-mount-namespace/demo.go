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
	"lesson:hold":    hold,
	"lesson:look":    look,
	"lesson:count":   countProcesses,
	"lesson:attempt": attempt,
	"lesson:escape":  escape,
	"lesson:name":    printHostname,
	"lesson:queue":   printQueue,
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
	say("host", "my mount table, as a hash: before %s, during %s, after %s", before, during, after)
	if before != during || before != after {
		say("host", "it isn't the same, so somebody mounted: we didn't")
	}
	return nil
}

// lessSeen counts processes as ps does, and tries a write to the host's programs and a look at the
// user's home.
func lessSeen() error {
	outside, err := ask(self("lesson:count"))
	if err != nil {
		return err
	}
	within, err := ask(host("/proc/self/exe", "lesson:count"))
	if err != nil {
		return err
	}
	home, err := os.UserHomeDir()
	if err != nil || home == "/root" { // /root is there, but another, empty one
		home = "/home"
	}
	attempt, err := ask(host("/proc/self/exe", "lesson:attempt", home))
	if err != nil {
		return err
	}
	say("host", "processes listed in /proc: %s", outside)
	say("container", "processes listed in /proc: %s", within)
	say("container", "%s", attempt)
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
		if strings.Contains(found, secret) {
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
	say("leak", "so is this message, read from a queue of the host's: %s", text)
	say("next", "go run ./04-uts-ipc")
	return nil
}

// mountTable returns this process's table of mounts, with its length, as a hash to compare.
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
	dir, err := os.MkdirTemp("", "secret-")
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

// look prints what "/" is. Told to look closely, it names what is in it as well, and stays until
// standard input ends.
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
	facts := fmt.Sprintf("mount namespace %s; / is inode %d with %d entries",
		namespaceOf("mnt"), root.Ino, len(names))
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
	fmt.Println(len(all))
	return nil
}

// attempt prints what the kernel says to a write below /usr, and to a look at a home directory.
func attempt(args []string) error {
	const file = "/usr/written-from-inside"
	fd, write := unix.Open(file, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o600)
	if write == nil {
		unix.Close(fd)
		os.Remove(file)
	}
	fmt.Printf("open(%q, O_CREAT) = %s; stat(%q) = %s\n",
		file, errno(write), args[0], errno(unix.Stat(args[0], new(unix.Stat_t))))
	return nil
}

// escape takes way out "a" or "b", and prints where it led: to which root, and to which secret.
func escape(args []string) error {
	way, file := args[0], args[1]
	names := map[string]string{"a": "second chroot", "b": "open directory"}
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
	var top unix.Stat_t
	if err := unix.Stat(".", &top); err != nil {
		return &os.PathError{Op: "stat", Path: ".", Err: err}
	}
	secret, err := os.ReadFile(strings.TrimPrefix(file, "/")) // from the working directory
	if err != nil {
		secret = []byte(errno(err))
	}
	fmt.Printf("way out (%s), %s: arrives at inode %d; the secret: %s\n",
		way, names[way], top.Ino, secret)
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
