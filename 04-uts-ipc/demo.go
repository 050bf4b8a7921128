//go:build linux

// The lesson of 04: a name on each side, and four kinds of object that each side looks for.

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

// experiments are the programs that the lesson runs inside, and some of them also outside, to
// compare. Each prints what it measured.
var experiments = map[string]func([]string) error{
	"lesson:names":  printNames,
	"lesson:rename": rename,
	"lesson:hold":   hold,
	"lesson:find":   find,
	"lesson:stay":   stay,
}

// lesson compares the names, looks for the host's objects from inside and for the container's from
// the host, and asks which user the container's root is.
func lesson(n *narrator) error {
	say("host", "%s", whoami(unix.CAP_SYS_ADMIN))
	parts := []func(*narrator) error{twoNames, objectsOfTheHost, objectsOfTheContainer, whatLeaks}
	for _, part := range parts {
		if err := part(n); err != nil {
			return err
		}
	}
	return nil
}

// within prepares an experiment to run in the container.
func within(args ...string) *exec.Cmd {
	return host(append([]string{"/proc/self/exe"}, args...)...)
}

// twoNames compares the names, then the hostnames again after the container has renamed itself.
func twoNames(n *narrator) error {
	n.part("A name of its own")
	names, err := n.ask("lesson:names")
	if err != nil {
		return err
	}
	theirs, ours := strings.Split(names.host, "|"), strings.Split(names.inside, "|")
	rows := []experiment{
		{what: "hostname"}, {what: "NIS domain"},
		{what: "UTS namespace", rule: isShared, expect: held},
	}
	for i := range rows {
		rows[i].host, rows[i].inside = theirs[i], ours[i]
	}
	n.table("", rows...)
	return renamed(n, "box-"+rand.Text()[:8])
}

// renamed lets the container rename itself, then compares the names on both sides.
func renamed(n *narrator, name string) error {
	rename, err := ask(within("lesson:rename", name))
	if err != nil {
		return err
	}
	names, err := ask(self("lesson:names"))
	if err != nil {
		return err
	}
	hostname, _, _ := strings.Cut(names, "|")
	n.compare(experiment{
		what: "sethostname", host: "hostname " + hostname, inside: rename,
		rule: isShared, expect: held,
	})
	return nil
}

// objectsOfTheHost makes one object of each kind on the host and looks for it from three places.
// The middle one, the host with a new IPC namespace and nothing else, shows which namespace hides
// what.
func objectsOfTheHost(n *narrator) error {
	n.part("Objects made on the host")
	key, name, secret := strconv.Itoa(randomKey()), "lesson-"+rand.Text(), rand.Text()[:8]
	holder := self("lesson:hold", key, name, secret)
	// It ends when its standard input closes, so even if we are killed it lives on for just long
	// enough to remove everything. In its own session, Ctrl-C doesn't reach it.
	holder.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	held, _, err := start(holder)
	if err != nil {
		return err
	}
	ipcOnly := self("lesson:find", key, name)
	ipcOnly.SysProcAttr.Cloneflags = unix.CLONE_NEWIPC
	addUserNamespace(ipcOnly.SysProcAttr, unix.CAP_SYS_ADMIN)
	middle, err1 := ask(ipcOnly)
	found, err2 := n.ask("lesson:find", key, name)
	if err := errors.Join(err1, err2, held.end()); err != nil {
		return err
	}
	rows := [][]string{{"", "host", "new IPC namespace", inside, ""}}
	for i, e := range perObject(found.host, found.inside, reaches(secret)) {
		rows = append(rows, []string{
			e.what, e.host, strings.Fields(middle)[i], e.inside, string(n.judge(e)),
		})
	}
	columns(rows)
	return nil
}

// objectsOfTheContainer is the same in the other direction.
func objectsOfTheContainer(n *narrator) error {
	n.part("Objects made in the container")
	key, name, secret := strconv.Itoa(randomKey()), "lesson-"+rand.Text(), rand.Text()[:8]
	held, own, err := start(within("lesson:hold", key, name, secret))
	if err != nil {
		return err
	}
	outside, err := ask(self("lesson:find", key, name))
	if err := errors.Join(err, held.end()); err != nil {
		return err
	}
	n.table("", perObject(outside, own, staysInside(secret))...)
	return nil
}

// staysInside is the rule for what the container makes: only its own answer contains the proof.
func staysInside(proof string) rule {
	return func(host, inside string) verdict { return reaches(proof)(inside, host) }
}

// perObject turns the output of find on both sides into one experiment per kind of object.
func perObject(host, inside string, rule rule) []experiment {
	var found []experiment
	for i, object := range objects {
		found = append(found, experiment{
			what: object.what, host: strings.Fields(host)[i], inside: strings.Fields(inside)[i],
			rule: rule, expect: held,
		})
	}
	return found
}

// whatLeaks asks the host for the uid of a process that calls itself root.
func whatLeaks(n *narrator) error {
	n.part("Is the container's root the host's root?")
	root, said, err := start(within("lesson:stay"))
	if err != nil {
		return err
	}
	var process unix.Stat_t // the owner of /proc/PID is the process's user (proc_pid(5))
	err = unix.Stat(fmt.Sprintf("/proc/%d", root.cmd.Process.Pid), &process)
	if err := errors.Join(err, root.end()); err != nil {
		return err
	}
	e := experiment{what: "root", host: saysUID(int(process.Uid)), inside: said, rule: isShared}
	if e.expect = leak; !holds(unix.CAP_SYS_ADMIN) && os.Geteuid() != 0 {
		e.expect = held // by the user namespace that we had to add, whose root is this user
	}
	n.compare(e)
	n.next("go run ./05-user-namespace")
	return nil
}

// printNames prints this machine's names (uname(2)) and the UTS namespace that holds them.
func printNames([]string) error {
	var names unix.Utsname
	if err := unix.Uname(&names); err != nil {
		return os.NewSyscallError("uname", err)
	}
	fmt.Printf("%s|%s|%s\n", unix.ByteSliceToString(names.Nodename[:]),
		unix.ByteSliceToString(names.Domainname[:]), namespaceOf("self", "uts"))
	return nil
}

// rename changes the hostname and prints the new one, or why that failed. It is for the container
// only: outside, it would rename the host.
func rename(args []string) error {
	if os.Getpid() != 1 {
		return errors.New("not PID 1, so this may be the host: not renaming it")
	}
	if err := unix.Sethostname([]byte(args[0])); err != nil {
		fmt.Println("sethostname =", errno(err))
		return nil
	}
	name, err := os.Hostname()
	fmt.Println("hostname", name)
	return err
}

// hold makes one object of each kind, prints what it reads in them, and removes them when standard
// input closes.
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
	}
	return waitForEOF(findAll(key, args[1]))
}

// find looks for one object of each kind.
func find(args []string) error {
	key, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	fmt.Println(findAll(key, args[1]))
	return nil
}

// findAll returns the text in the object of each kind, or the errno that says why there is none.
func findAll(key int, name string) string {
	var found []string
	for _, object := range objects {
		text, err := object.read(key, name)
		if err != nil {
			text, _, _ = strings.Cut(errno(err), " ")
		}
		found = append(found, text)
	}
	return strings.Join(found, " ")
}

// stay prints its uid and waits until standard input closes.
func stay([]string) error { return waitForEOF(saysUID(os.Getuid())) }

// saysUID is how each side describes the same process.
func saysUID(uid int) string { return fmt.Sprintf("PID 1 of the container is uid %d", uid) }

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
