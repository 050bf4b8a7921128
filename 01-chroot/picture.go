//go:build linux

// The picture of the story, /home/{bin,joonho}, as a directory of the host: built for one run, kept
// by a process of its own, and gone when that run is, however it ends.

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// picture is the directory, and the process that keeps it.
type picture struct {
	dir    string
	keeper *helper
}

// startPicture starts the keeper, which makes the directory.
func startPicture() (*picture, error) {
	keeper := self("lesson:keep")
	// No Pdeathsig: it is there for the time after us. Its own session keeps Ctrl-C from it.
	keeper.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	p, dir, err := start(keeper)
	return &picture{dir, p}, err
}

// jail is the directory that becomes "/".
func (p *picture) jail() string { return filepath.Join(p.dir, "home/joonho") }

// end tells the keeper to take everything away, and waits until that is done. Its own error is on
// standard error already.
func (p *picture) end() { p.keeper.end() }

// keep is the keeper. It makes the directory, prints its path, and waits until whoever started it
// closes the other end of its standard input: on purpose, or by dying, even of SIGKILL. (Only if
// the keeper itself is killed does the directory stay.)
func keep([]string) error {
	dir, err := os.MkdirTemp("", "jail-")
	if err != nil {
		return fmt.Errorf("%w (TMPDIR=DIR names another place for temporary files)", err)
	}
	// The real path, for that is what the kernel says in /proc.
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return err
	}
	return errors.Join(waitForEOF(dir), endProcesses(dir), unmountBelow(dir), remove(dir))
}

// endProcesses kills every process whose root is still in dir, since nothing else would end them.
// It misses those that have broken out; only a PID namespace keeps hold of all its processes. A
// link that can't be read belongs to another user's process, which isn't ours.
func endProcesses(dir string) error {
	for {
		found := false
		roots, err := filepath.Glob("/proc/[0-9]*/root")
		if err != nil {
			return err
		}
		for _, link := range roots {
			root, err := os.Readlink(link)
			if err != nil || !strings.HasPrefix(root, dir+"/") {
				continue
			}
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link)))
			if err != nil {
				return err
			}
			found = true
			if err := unix.Kill(pid, unix.SIGKILL); err != nil && err != unix.ESRCH {
				return fmt.Errorf("kill process %d in %s: %w", pid, root, err)
			}
		}
		if !found {
			return nil
		}
	}
}

// unmountBelow takes down what root may have mounted in the jail, since chroot doesn't forbid
// mounting. It goes from the last mount to the first, as later ones lie on top.
func unmountBelow(dir string) error {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(table)), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		point := unescape.Replace(strings.Fields(lines[i])[4]) // proc_pid_mountinfo(5)
		if !strings.HasPrefix(point, dir+"/") {
			continue
		}
		if err := unix.Unmount(point, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			return &os.PathError{Op: "unmount", Path: point, Err: err}
		}
	}
	return nil
}

// unescape undoes what mountinfo does to blanks in paths.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// remove removes the directory, unless something is mounted in it: that would remove files that
// aren't ours.
func remove(dir string) error {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(table)) {
		if point := unescape.Replace(strings.Fields(line)[4]); strings.HasPrefix(point, dir+"/") {
			return fmt.Errorf("not removing %s: %s is still mounted", dir, point)
		}
	}
	return os.RemoveAll(dir)
}
