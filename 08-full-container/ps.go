//go:build linux

// -ps: which containers run. The step keeps no list of them. Their sockets are the list, and each
// container says what it is.

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// patience is how long -ps waits for one container. A container that Ctrl-Z has stopped doesn't
// answer.
const patience = 200 * time.Millisecond

// born is when this process started.
var born = time.Now()

// describe is what a container says about itself.
func (s *spec) describe() []byte {
	address, _ := linkAddress("eth0") // for people only
	return encodeLines(s.Args, []string{
		s.Hostname, strconv.Itoa(int(time.Since(born).Seconds())), address, s.Image,
	})
}

// listContainers prints a line for each container that answers this user.
func listContainers() error {
	table, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		return err
	}
	var pids []int
	for line := range strings.Lines(string(table)) {
		// A name can contain a newline, so a line proves nothing: see dial.
		_, number, found := strings.Cut(line, " "+strings.TrimSuffix(doorOf(0), "0"))
		pid, err := strconv.Atoi(strings.TrimSpace(number))
		if found && err == nil && exists(fmt.Sprint("/proc/", pid)) {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	pids = slices.Compact(pids) // the server's end of each connection has the same name
	rows := make([][]string, len(pids)+1)
	rows[0] = []string{"PID", "USER", "HOSTNAME", "AGE", "ADDRESS", "IMAGE", "COMMAND"}
	var all sync.WaitGroup
	for i, pid := range pids { // at the same time: another user may have taken a lot of names
		all.Go(func() { rows[i+1] = askContainer(pid) })
	}
	all.Wait()
	columns(slices.DeleteFunc(rows, func(row []string) bool { return row == nil }))
	return nil
}

// askContainer asks a container for its row, and returns nil if it isn't one, or isn't this user's.
func askContainer(pid int) []string {
	line, uid, err := dial(pid, patience)
	if err != nil {
		return nil
	}
	defer line.Close()
	row := []string{strconv.Itoa(pid), userName(uid), "-", "-", "-", "-", "(no answer)"}
	err = errors.Join(line.SetDeadline(time.Now().Add(patience)),
		sendMessage(line, append((&spec{}).encode(), 0)))
	if err != nil {
		return nil
	}
	answer, err := io.ReadAll(io.LimitReader(line, maxSpec))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return row
	}
	lines, err2 := decodeLines(string(answer))
	if err != nil || err2 != nil || len(lines) != 2 || len(lines[1]) != 4 {
		return nil // it has refused us, or has just ended
	}
	args, facts := lines[0], lines[1]
	seconds, _ := strconv.Atoi(facts[1])
	facts[1] = (time.Duration(seconds) * time.Second).String()
	for i, fact := range append(facts, strings.Join(args, " ")) {
		if fact != "" {
			row[2+i] = legible(fact)
		}
	}
	return row
}

// userName returns the name of a user of the host, or the uid if it has none.
func userName(uid uint32) string {
	users, _ := readTable("/etc/passwd", "", "", "")
	for _, user := range users {
		if user[2] == strconv.Itoa(int(uid)) {
			return legible(user[0])
		}
	}
	return strconv.Itoa(int(uid))
}
