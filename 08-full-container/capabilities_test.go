//go:build linux

// Which capabilities root keeps inside, and whether the command can get at PID 1, which has more.

package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"jail-to-container/scripts/steptest"
)

// TestCapabilities reads what the kernel says of a command, of PID 1, and of each of its threads.
func TestCapabilities(t *testing.T) {
	// Podman's, by their numbers: 0, 1, 3 to 8, 10, 18, 31.
	const eleven = "00000000800405fb"
	if len(kept) != 11 {
		t.Errorf("%d capabilities are kept", len(kept))
	}
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		out := u.Output(t, "/proc/self/exe", "test:status")
		views := 0
		for view := range strings.Lines(out) {
			who, fields, _ := strings.Cut(strings.TrimSpace(view), ": ")
			views++
			steptest.Contains(t, fields, "NoNewPrivs 1", "Seccomp 2") // every thread
			if strings.HasPrefix(who, "/proc/1/task/") && who != "/proc/1/task/1/status" {
				continue // its other threads keep theirs; TestInitIsClosed is about that
			}
			steptest.Contains(t, fields,
				"CapInh 0000000000000000", "CapPrm "+eleven, "CapEff "+eleven,
				"CapBnd "+eleven, "CapAmb 0000000000000000")
		}
		if views < 4 {
			t.Errorf("only %d views:\n%s", views, out)
		}
	})
}

// TestOpenPorts pings 127.0.0.1, and listens on port 80, as root inside and as other users. What
// the files say has a literal right value: an ID that isn't mapped couldn't be written.
func TestOpenPorts(t *testing.T) {
	try := []string{"/proc/self/exe", "test:open-ports"}
	want := func(groups string) string { return "ping: ok, port 80: ok, groups 0 " + groups + "\n" }
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		last := "65535"
		if u.UID != 0 { // as many as this user has, perhaps one
			last = strings.TrimSpace(u.Output(t, "sh", "-c", "tail -n 1 /proc/self/gid_map | "+
				"{ read first outside count; echo $((first+count-1)); }"))
		}
		for _, flag := range []string{"-net=true", "-net=false"} {
			if out := u.Output(t, slices.Insert(try, 0, flag)...); out != want(last) {
				t.Errorf("%s: %q, want %q", flag, out, want(last))
			}
		}
		if u.UID == 0 {
			if out := u.Output(t, slices.Insert(try, 0, "-user=1000:1000")...); out != want(last) {
				t.Errorf("user 1000: %q, want %q", out, want(last))
			}
		}
	})
	if _, err := exec.LookPath("newuidmap"); err != nil || os.Getuid() != 0 {
		return // it comes in the package uidmap (or shadow); and only root can give IDs away
	}
	for _, user := range []string{"0", "1000:1000"} {
		cmd := asSubUser(slices.Insert(try, 0, "-user", user)...)
		if out := steptest.Output(t, cmd); out != want("49999") {
			t.Errorf("a user with subordinate IDs, as %s: %q", user, out)
		}
	}
	// The user's own group, which is 0 inside, is higher than the subordinate ones.
	cmd := asSubUser(try...)
	cmd.Args[1] = "test:as-user-of-low-groups"
	if out := steptest.Output(t, cmd); out != want("0") {
		t.Errorf("a user with lower subordinate groups: %q, want %q", out, want("0"))
	}
}

// TestInitIsClosed tries to read and write what belongs to PID 1, whose other threads can do more
// than the command. The control is a process of the command's own.
func TestInitIsClosed(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		out := u.Output(t, "/proc/self/exe", "test:reach-init")
		want := "PID 1: mem EACCES, environ EACCES, fd/0 EACCES, ptrace EPERM\n" +
			"its child: mem ok, environ ok, fd/0 ok, ptrace ok\n"
		if out != want {
			t.Errorf("got:\n%swant:\n%s", out, want)
		}
	})
}

// ping sends one echo request to 127.0.0.1 and waits for the reply (icmp(7), "unprivileged").
func ping() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMP)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	wait := unix.NsecToTimeval(int64(10 * time.Second))
	home := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}
	echo := []byte{8, 0, 0, 0, 0, 0, 0, 1} // type 8; the kernel fills in the checksum and the ID
	if err := errors.Join(unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait),
		unix.Sendto(fd, echo, 0, home)); err != nil {
		return err
	}
	_, _, err = unix.Recvfrom(fd, echo, 0)
	if err == nil && echo[0] != 0 {
		err = fmt.Errorf("a reply of type %d", echo[0])
	}
	return err
}

// init adds what runs inside.
func init() {
	experiments["test:open-ports"] = func([]string) error {
		pinged := ping()
		listener, err := net.Listen("tcp4", "127.0.0.1:80")
		if err == nil {
			listener.Close()
		}
		groups, unread := os.ReadFile("/proc/sys/net/ipv4/ping_group_range")
		fmt.Printf("ping: %s, port 80: %s, groups %s\n", errno(pinged), errno(err),
			strings.Join(strings.Fields(string(groups)), " "))
		return unread
	}
	experiments["test:status"] = func([]string) error {
		threads, err := filepath.Glob("/proc/1/task/*/status")
		if err != nil {
			return err
		}
		for _, file := range append(threads, "/proc/1/status", "/proc/self/status") {
			text, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			var fields []string
			for line := range strings.Lines(string(text)) {
				name, value, _ := strings.Cut(strings.TrimSpace(line), ":\t")
				if strings.HasPrefix(name, "Cap") || name == "NoNewPrivs" || name == "Seccomp" {
					fields = append(fields, name+" "+value)
				}
			}
			fmt.Printf("%s: %s\n", file, strings.Join(fields, ", "))
		}
		return nil
	}
	experiments["test:reach-init"] = func([]string) error {
		try := func(who string, pid int) {
			proc := fmt.Sprintf("/proc/%d/", pid)
			var answers []string
			file, err := os.OpenFile(proc+"mem", os.O_RDWR, 0)
			answers = append(answers, "mem "+firstWord(errno(err)))
			file.Close()
			_, err = os.ReadFile(proc + "environ")
			answers = append(answers, "environ "+firstWord(errno(err)))
			_, err = os.Readlink(proc + "fd/0")
			answers = append(answers, "fd/0 "+firstWord(errno(err)))
			err = unix.PtraceSeize(pid)
			answers = append(answers, "ptrace "+firstWord(errno(err)))
			fmt.Printf("%s: %s\n", who, strings.Join(answers, ", "))
		}
		try("PID 1", 1)
		child, _, err := start(self("test:hold"))
		if err != nil {
			return err
		}
		try("its child", child.cmd.Process.Pid)
		// Being traced, it would stop at the next signal, as Go's runtime sends itself some.
		err = child.cmd.Process.Kill()
		child.end() // "signal: killed", as meant
		return err
	}
	experiments["test:hold"] = func([]string) error { return waitForEOF("ready") }
}

// firstWord is the name of an errno without its description.
func firstWord(text string) string { return strings.Fields(text)[0] }
