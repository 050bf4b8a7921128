//go:build linux

// The host's state, before and after: what a system leaves behind, or has changed, is found here.

package main

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// state is what is compared: for each thing a text, whatever kind of thing it is.
type state map[string]string

// restless are what changes by itself in /proc/sys: counters, and names for what is random.
var restless = []string{
	"/proc/sys/fs/dentry-state", "/proc/sys/fs/inode-nr", "/proc/sys/fs/inode-state",
	"/proc/sys/fs/file-nr", "/proc/sys/fs/aio-nr", "/proc/sys/fs/quota/",
	"/proc/sys/kernel/random/", "/proc/sys/kernel/ns_last_pid", "/proc/sys/kernel/pty/nr",
	"/proc/sys/kernel/tainted", "/proc/sys/kernel/perf_event_max_sample_rate",
	"/proc/sys/kernel/perf_cpu_time_max_percent", "/proc/sys/net/netfilter/nf_conntrack_count",
	"/proc/sys/vm/stat_refresh", "/proc/sys/fs/binfmt_misc",
	"/proc/sys/kernel/core_modes", "/proc/sys/net/ipv4/route/flush",
	"/proc/sys/net/ipv6/route/flush", "/proc/sys/fs/fanotify", "/proc/sys/debug/",
}

// directories are those whose entries are compared, with mode, owner, size and time of change.
// /tmp is not among them, because other programs use it: what we run has another /tmp.
var directories = []string{"/", "/etc", "/usr", "/usr/bin", "/usr/lib", "/var", "/root", "/home"}

// takeState notes all of it.
func takeState(bin string) state {
	s := state{}
	s.takeSettings()
	s.takeMounts()
	s.takeFiles()
	s.takeLinks()
	s.takeOwn(bin)
	return s
}

// takeSettings notes /proc/sys.
func (s state) takeSettings() {
	_ = filepath.WalkDir("/proc/sys", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil // not ours to read
		}
		for _, prefix := range restless {
			if strings.HasPrefix(path, prefix) {
				return nil
			}
		}
		// Interfaces come and go with the containers of others; and a file that can't be read, or
		// not now, has nothing to compare.
		if entry.IsDir() || strings.Contains(path, "/neigh/") || strings.Contains(path, "/conf/") {
			return nil
		}
		if info, err := entry.Info(); err == nil && info.Mode().Perm()&0o400 != 0 {
			if text, err := os.ReadFile(path); err == nil {
				s["setting "+path] = strings.TrimSpace(string(text))
			}
		}
		return nil
	})
}

// takeMounts notes the mount table.
func (s state) takeMounts() {
	text, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 5 {
			s["mount "+fields[4]+" "+fields[2]+" "+fields[3]] += fields[5]
		}
	}
}

// takeLinks notes the network's interfaces, but for those of the steps: other containers than ours
// may run at this time, and the tests of 06 see to it that none stays. While there are such, what
// they need is switched on.
func (s state) takeLinks() {
	links, _ := net.Interfaces()
	for _, link := range links {
		if strings.HasPrefix(link.Name, "jail") {
			delete(s, forwarding)
			continue
		}
		s["interface "+link.Name] = link.HardwareAddr.String()
	}
}

// forwarding is the setting that a host needs for the containers of 06 and on.
const forwarding = "setting /proc/sys/net/ipv4/ip_forward"

// takeFiles notes the entries of directories.
func (s state) takeFiles() {
	for _, dir := range directories {
		entries, _ := os.ReadDir(dir)
		for _, entry := range entries {
			info, err := entry.Info()
			if err != nil {
				continue
			}
			text := fmt.Sprint(info.Mode())
			if info.Mode().IsRegular() {
				text += fmt.Sprint(" ", info.Size(), " ", info.ModTime().UnixNano())
			}
			s["file "+filepath.Join(dir, entry.Name())] = text
		}
	}
	for _, dir := range []string{"/run", "/var/lib"} { // where much changes, but little comes
		entries, _ := os.ReadDir(dir)
		for _, entry := range entries {
			s["file "+filepath.Join(dir, entry.Name())] = "there"
		}
	}
	ours := "/leaktest-" + runName + "*"
	for _, pattern := range []string{"/dev/*", "/dev/shm/libpod*", "/dev/shm" + ours,
		"/dev/mqueue" + ours,
		"/var/tmp" + ours, "/tmp" + ours} {
		found, _ := filepath.Glob(pattern) // the patterns are well formed
		for _, path := range found {
			s["file "+path] = "there"
		}
	}
}

// takeOwn notes what is in the temporary directory of all that we run, and its processes that are
// still there: children of ours, as we have said that orphans become.
func (s state) takeOwn(bin string) {
	for _, dir := range []string{"work", "home"} {
		entries, _ := os.ReadDir(filepath.Join(bin, dir))
		for _, entry := range entries {
			// What this program has made there itself goes with the directory.
			ours := regexp.MustCompile(`^(docker|podman)|^(runc|crun|containers-user-\d+)$|^\.\w+$`)
			if !ours.MatchString(entry.Name()) {
				s["file "+filepath.Join(dir, entry.Name())] = "there"
			}
		}
	}
	children, _ := filepath.Glob("/proc/self/task/*/children")
	for _, file := range children {
		text, _ := os.ReadFile(file)
		for _, pid := range strings.Fields(string(text)) {
			status, _ := os.ReadFile("/proc/" + pid + "/stat")
			name, rest, ok := cutLast(string(status), ") ")
			if ok && !strings.HasPrefix(rest, "Z") {
				_, name, _ = strings.Cut(name, "(")
				s["process "+pid] = name
			}
		}
	}
}

// cutLast cuts at the last occurrence.
func cutLast(text, separator string) (before, after string, found bool) {
	i := strings.LastIndex(text, separator)
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+len(separator):], true
}

// changes compares with how it is now. What is different gets a few seconds to be as before, as a
// process that ends, or a mount that is let go, takes a moment.
func (s state) changes(bin string) []string {
	var found []string
	for range 10 {
		for { // those that have become our children, and have ended
			if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
		found = s.diff(takeState(bin))
		if len(found) == 0 {
			break
		}
		time.Sleep(500 * time.Millisecond)
	}
	return found
}

// diff says what is different in another state.
func (s state) diff(now state) []string {
	var found []string
	for what, was := range s {
		// An interface that is gone was another program's: containers have theirs for a while.
		if is, ok := now[what]; !ok &&
			(what == forwarding || strings.HasPrefix(what, "interface ")) {
			continue
		} else if !ok {
			found = append(found, fmt.Sprintf("%s is gone (was %s)", what, was))
		} else if is != was {
			found = append(found, fmt.Sprintf("%s was %q, is %q", what, was, is))
		}
	}
	for what, is := range now {
		if _, ok := s[what]; !ok && what != forwarding {
			found = append(found, fmt.Sprintf("%s is new (%s)", what, is))
		}
	}
	sort.Strings(found)
	return found
}
