//go:build linux

// What ps says, on either side, and what the host's /proc says.

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// listing is what one side's ps lists.
type listing struct {
	processes []*process
	byPID     map[int]*process
	kernel    int // the kernel's own threads, which are left out
	tries     int // of ps
}

// process is a line of it, with what stands beside it.
type process struct {
	pid        int
	name, mark string
	paint      hue // of the mark
}

// read reads what ps prints, after a line with the number of ps itself. A ps lists itself too, and
// is gone when the other one looks; so it is left out, on either side.
func read(side, text string) (listing, error) {
	l := listing{byPID: map[int]*process{}}
	self, kthreadd, complaint := "", "", ""
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		pid, err := strconv.Atoi(words[0])
		if err == nil && len(words) == 1 {
			self = words[0]
			l.tries++
			continue
		}
		if err != nil || len(words) < 3 {
			complaint = strings.TrimSpace(line) // or the heading
			continue
		}
		parent, name := words[1], strings.Join(words[2:], " ")
		// The kernel's own threads are kthreadd, which is always number 2, and its children.
		if pid == 2 && parent == "0" && name == "kthreadd" {
			kthreadd = "2"
		}
		switch {
		case words[0] == self:
		case words[0] == kthreadd, parent == kthreadd:
			l.kernel++
		default:
			l.byPID[pid] = &process{pid: pid, name: name}
			l.processes = append(l.processes, l.byPID[pid])
		}
	}
	if len(l.processes) == 0 {
		return l, fmt.Errorf("no list from ps, %s, in %d tries; it says: %s",
			side, l.tries, complaint)
	}
	return l, nil
}

// status is what /proc/PID/status says of a process: a number for each PID namespace that it is in,
// the innermost last (proc_pid_status(5)).
type status struct {
	name    string
	parent  int
	numbers []string
}

// table is what /proc says, by PID.
type table map[int]status

// processes reads /proc. What has ended is left out, whether or not its parent knows yet.
func processes() table {
	all := table{}
	files, _ := filepath.Glob("/proc/[0-9]*/status")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil || strings.Contains(string(text), "\nState:\tZ") {
			continue
		}
		var s status
		for line := range strings.Lines(string(text)) {
			switch key, value, _ := strings.Cut(strings.TrimSpace(line), ":\t"); key {
			case "Name":
				s.name = value
			case "PPid":
				s.parent, _ = strconv.Atoi(value)
			case "NSpid":
				s.numbers = strings.Fields(value)
			}
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		all[pid] = s
	}
	return all
}

// descends tells whether a process is the ancestor, its child, its child's child or so on.
func (t table) descends(pid, ancestor int) bool {
	for pid != ancestor && pid != 0 {
		pid = t[pid].parent
	}
	return pid == ancestor
}

// namespaces are the names of a process's mount and PID namespaces.
type namespaces struct{ mnt, pid string }

// namespacesOf reads them.
func namespacesOf(pid int) (n namespaces) {
	n.mnt, _ = os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", pid))
	n.pid, _ = os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid))
	return n
}
