//go:build linux

// The lesson of 01: what chroot changes, what it doesn't, and two ways out.

package main

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// experiments are the programs that the lesson runs in the jail, and some outside, to compare. Each
// prints what it measured.
var experiments = map[string]func([]string) error{
	"lesson:keep":   keep,
	"lesson:look":   look,
	"lesson:escape": escape,
}

// lesson draws the picture, looks at it from both sides, and then leaves the jail in two ways.
func lesson() error {
	say("host", "%s", whoami(unix.CAP_SYS_CHROOT))
	picture, err := startPicture()
	if err != nil {
		return err
	}
	defer picture.end()
	secret := rand.Text()
	file := filepath.Join(picture.dir, "home/bin/secret")
	if err := draw(picture, file, secret); err != nil {
		return err
	}
	say("host", "the picture: %s/home/{bin,joonho}", picture.dir)
	say("host", "the jail is home/joonho; outside of it, home/bin/secret holds %s", secret)

	for _, side := range []struct {
		name string
		look *exec.Cmd
	}{
		{"host", self("lesson:look", picture.jail(), file)},
		{"jail", host(picture.jail(), "/lesson", "lesson:look", "/", file)},
	} {
		facts, err := ask(side.look)
		if err != nil {
			return err
		}
		for fact := range strings.Lines(facts) {
			say(side.name, "%s", strings.TrimSpace(fact))
		}
	}

	for _, privileges := range []string{"root", "fixed"} {
		if privileges == "root" {
			say("host", "two ways out, tried in the jail by its root:")
		} else {
			say("host", "the usual fix: take CAP_SYS_CHROOT away. Both ways once more:")
		}
		for _, way := range []string{"a", "b"} {
			if err := tryWay(picture, way, privileges, file, secret); err != nil {
				return err
			}
		}
	}
	say("next", "go run ./02-pid-namespace")
	return nil
}

// draw puts into the picture what the lesson needs: the secret, a link that begins with "/", and
// this program, so that it can be run in the jail.
func draw(picture *picture, file, secret string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		return err
	}
	if err := os.MkdirAll(picture.jail(), 0o755); err != nil {
		return err
	}
	if err := os.Symlink("/", filepath.Join(picture.jail(), "top")); err != nil {
		return err
	}
	return picture.install("/proc/self/exe", "/lesson")
}

// tryWay takes one way out and says what it led to.
func tryWay(picture *picture, way, privileges, file, secret string) error {
	outside, err := os.Open("/")
	if err != nil {
		return err
	}
	defer outside.Close()
	cmd := host(picture.jail(), "/lesson", "lesson:escape", way, file, privileges)
	cmd.ExtraFiles = []*os.File{outside} // descriptor 3, which (b) finds open
	found, err := ask(cmd)
	if err != nil {
		return err
	}
	if strings.Contains(found, secret) {
		say("leak", "%s", found)
	} else {
		say("jail", "%s", found)
	}
	return nil
}

// look prints what "/" is, where its ".." leads, where the link "top" in dir, which points to "/",
// leads, and what is in a file.
func look(args []string) error {
	dir, file := args[0], args[1]
	var root, parent, link unix.Stat_t
	for path, stat := range map[string]*unix.Stat_t{
		"/": &root, "/..": &parent, filepath.Join(dir, "top"): &link,
	} {
		if err := unix.Stat(path, stat); err != nil {
			return &os.PathError{Op: "stat", Path: path, Err: err}
		}
	}
	entries, err := os.ReadDir("/")
	if err != nil {
		return err
	}
	content, err := os.ReadFile(file)
	if err != nil {
		content = []byte(errno(err))
	}
	fmt.Printf("/ is inode %d, with %d entries; /.. is inode %d\n",
		root.Ino, len(entries), parent.Ino)
	fmt.Printf("the link %s -> / leads to inode %d\n", filepath.Join(dir, "top"), link.Ino)
	fmt.Printf("%s: %s\n", file, content)
	return nil
}

// escape takes way out "a" or "b", and prints where it led: to which root, and to which secret.
func escape(args []string) error {
	way, file := args[0], args[1]
	names := map[string]string{"a": "second chroot", "b": "the host's / left open, descriptor 3"}
	if args[2] == "fixed" {
		if err := dropChroot(); err != nil {
			return err
		}
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

// dropChroot takes CAP_SYS_CHROOT from this thread, which is the program's main thread, for good:
// out of the bounding set as well, or execve(2) would give it back to root (capabilities(7)).
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
