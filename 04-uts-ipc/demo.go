//go:build linux

// The lesson of 04: a name on each side, and four kinds of object that each side hides or shows.

package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// experiments are the programs that the lesson runs inside, and some outside, to compare. Each
// prints what it measured.
var experiments = map[string]func([]string) error{
	"lesson:names":  printNames,
	"lesson:rename": rename,
	"lesson:hold":   hold,
	"lesson:find":   find,
	"lesson:stay":   stay,
}

// lesson compares the names, looks for the host's objects from inside and for the container's
// from the host, and asks who root is.
func lesson() error {
	say("host", "%s", whoami(unix.CAP_SYS_ADMIN))
	parts := []func() error{twoNames, objectsOfTheHost, objectsOfTheContainer, whatLeaks}
	for _, part := range parts {
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

// twoNames lets the container rename itself, and reads the host's name before and after.
func twoNames() error {
	before, err := ask(self("lesson:names"))
	if err != nil {
		return err
	}
	renamed, err := ask(host("/proc/self/exe", "lesson:rename", "box-"+strconv.Itoa(os.Getpid())))
	if err != nil {
		return err
	}
	after, err := ask(self("lesson:names"))
	if err != nil {
		return err
	}
	say("host", "%s", before)
	for line := range strings.Lines(renamed) {
		say("container", "%s", strings.TrimSpace(line))
	}
	say("host", "afterwards: %s", after)
	return nil
}

// objectsOfTheHost makes one object of each kind on the host and looks for it from three places.
// The middle one, the host with another IPC namespace and nothing else, tells which namespace
// hides what.
func objectsOfTheHost() error {
	key, name, secret := strconv.Itoa(randomKey()), "lesson-"+rand.Text(), rand.Text()
	holder := self("lesson:hold", key, name, secret)
	// It lives until its standard input ends, and so outlives us by just the moment that it needs
	// to remove everything, even if we are killed. Out of reach of Ctrl-C, with its own session.
	holder.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	held, _, err := start(holder)
	if err != nil {
		return err
	}
	ipcOnly := self("lesson:find", key, name, secret)
	ipcOnly.SysProcAttr.Cloneflags = unix.CLONE_NEWIPC
	borrowRoot(ipcOnly.SysProcAttr, unix.CAP_SYS_ADMIN)
	err = table("an object made on the host, seen from",
		[]string{"the host", "a new IPC namespace", "the container"}, []*exec.Cmd{
			self("lesson:find", key, name, secret),
			ipcOnly,
			host("/proc/self/exe", "lesson:find", key, name, secret),
		})
	return errors.Join(err, held.end())
}

// objectsOfTheContainer is the reverse.
func objectsOfTheContainer() error {
	key, name, secret := strconv.Itoa(randomKey()), "lesson-"+rand.Text(), rand.Text()
	held, _, err := start(host("/proc/self/exe", "lesson:hold", key, name, secret))
	if err != nil {
		return err
	}
	err = table("one made in the container, seen from", []string{"the host"},
		[]*exec.Cmd{self("lesson:find", key, name, secret)})
	fmt.Println()
	return errors.Join(err, held.end())
}

// table runs each finder, which answers with one line for each kind of object, and prints the
// answers side by side.
func table(title string, heads []string, finders []*exec.Cmd) error {
	fmt.Printf("\n%38s", title)
	rows := make([]string, len(objects))
	for column, finder := range finders {
		answer, err := ask(finder)
		if err != nil {
			return err
		}
		lines := strings.Split(answer, "\n")
		if len(lines) != len(objects) {
			return fmt.Errorf("%d answers about %d objects: %q", len(lines), len(objects), answer)
		}
		fmt.Printf("  %-*s", len(heads[column]), heads[column])
		for i, line := range lines {
			rows[i] += fmt.Sprintf("  %-*s", len(heads[column]), line)
		}
	}
	fmt.Println()
	for i, row := range rows {
		fmt.Printf("%38s%s\n", objects[i].what, strings.TrimRight(row, " "))
	}
	return nil
}

// whatLeaks asks the host who a process is that calls itself root.
func whatLeaks() error {
	root, within, err := start(host("/proc/self/exe", "lesson:stay"))
	if err != nil {
		return err
	}
	var status unix.Stat_t // the owner of /proc/PID is the process's (proc_pid(5))
	err = unix.Stat(fmt.Sprintf("/proc/%d", root.cmd.Process.Pid), &status)
	if err := errors.Join(err, root.end()); err != nil {
		return err
	}
	say("container", "%s", within)
	if status.Uid == 0 {
		say("leak", "the host calls the same process uid 0: it is the host's own root")
	} else {
		say("leak", "the host calls the same process uid %d, the user who started it; "+
			"had root started it, it would be the host's root", status.Uid)
	}
	say("next", "go run ./05-user-namespace")
	return nil
}

// printNames prints what uname(2) calls this machine.
func printNames([]string) error {
	var names unix.Utsname
	if err := unix.Uname(&names); err != nil {
		return os.NewSyscallError("uname", err)
	}
	fmt.Printf("hostname %s, NIS domain %s; UTS namespace %s\n",
		unix.ByteSliceToString(names.Nodename[:]), unix.ByteSliceToString(names.Domainname[:]),
		namespaceOf("uts"))
	return nil
}

// rename prints the names, changes the hostname, and prints them again. It is meant for the
// inside: outside, it would rename the host.
func rename(args []string) error {
	if os.Getpid() != 1 {
		return errors.New("not PID 1, so this may be the host: not renaming it")
	}
	if err := printNames(nil); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte(args[0])); err != nil {
		return os.NewSyscallError("sethostname", err)
	}
	return printNames(nil)
}

// hold makes one object of each kind, reads each back, says so, and removes them when standard
// input ends.
func hold(args []string) (err error) {
	key, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	for _, object := range objects {
		if err := object.make(key, args[1], args[2]); err != nil {
			return fmt.Errorf("make a %s: %w", object.what, err)
		}
		defer func() { err = errors.Join(err, object.remove(key, args[1])) }()
		// Found where it was made: else not finding it elsewhere would mean nothing.
		if text, err := object.read(key, args[1]); err != nil || text != args[2] {
			return fmt.Errorf("read back a %s: %q, %v", object.what, text, err)
		}
	}
	return holdOn("holding")
}

// find looks for one object of each kind, and prints a line for each: "found", if the secret is in
// it, or the errno that says why not.
func find(args []string) error {
	key, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	for _, object := range objects {
		text, err := object.read(key, args[1])
		switch {
		case err != nil:
			name, _, _ := strings.Cut(errno(err), " ")
			fmt.Println(name)
		case text == args[2]:
			fmt.Println("found")
		default:
			fmt.Printf("found, with %q in it\n", text)
		}
	}
	return nil
}

// stay says who it is, and stays until standard input ends.
func stay([]string) error {
	return holdOn(fmt.Sprintf("I am uid %d", os.Getuid()))
}
