//go:build linux

// The lesson of 08: all parts in order, each with one proof, and what is left.

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math/bits"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// experiments are the programs that the lesson runs inside, and some outside, to compare. Each
// prints what it measured. Keepers aren't experiments, but are started in the same way.
var experiments = map[string]func([]string) error{
	"keep:pasta":    keepPasta,
	"keeper:undo":   undo,
	"lesson:hold":   func([]string) error { return holdOn("ready") },
	"lesson:look":   look,
	"lesson:try":    try,
	"lesson:kernel": printKernel,
}

// undoings are what the keeper can undo.
var undoings = map[string]func(which string) error{
	"cgroup": undoCgroup, "nat": removeNAT, "unpacker": undoUnpacker,
}

// lesson compares the host with a container, part by part.
func lesson() error {
	if os.Args[0] != role(played) { // which has said so itself
		say("host", "I am process %d, uid %d", os.Getpid(), os.Getuid())
	}
	refusal, err := tryCgroup()
	if err != nil {
		return err
	}
	if refusal != "" {
		say("host", "I can't make a cgroup: %s", refusal)
		say("host", "so nothing is run: a full container has limits")
		say("next", "%s", remedy())
		return nil
	}
	for _, part := range []func() error{twoViews, eachPart, eachAttack, sameKernel} {
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

// tryCgroup makes a cgroup and takes it away again. If that is refused, it returns the reason.
func tryCgroup() (refusal string, err error) {
	_, release, err := newCgroup()
	if err != nil {
		return err.Error(), nil
	}
	return "", release()
}

// twoViews starts a container and looks at its first process from outside.
func twoViews() error {
	p, _, err := start(self("/proc/self/exe", "lesson:hold"))
	if err != nil {
		return err
	}
	defer p.end()
	pid, err := firstProcess(p.cmd.Process.Pid)
	if err != nil {
		return err
	}
	numbers, err := statusOf(pid, "NSpid")
	if err != nil {
		return err
	}
	users, err := statusOf(pid, "Uid")
	if err != nil {
		return err
	}
	uid, err := onTheHost(users[0])
	if err != nil {
		return err
	}
	say("host", "process %s, and number %s in the container: an init, of uid %d here and 0 there",
		numbers[0], numbers[len(numbers)-1], uid)
	// A terminal of its own, for it is the image's sh (see "Prove it from another terminal").
	say("host", "to go in there as well, as root: script -qc 'nsenter -t %d -a sh' /dev/null", pid)
	return nil
}

// onTheHost is who somebody is on the host, whom this process sees as uid. It may play the host,
// and be in a user namespace itself.
func onTheHost(uid string) (int, error) {
	seen, err := strconv.Atoi(uid)
	if err != nil {
		return 0, err
	}
	maps, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(maps)) {
		var first, outside, count int
		if _, err := fmt.Sscan(line, &first, &outside, &count); err != nil {
			return 0, fmt.Errorf("read %q in /proc/self/uid_map: %w", line, err)
		}
		if first <= seen && seen < first+count {
			return outside + seen - first, nil
		}
	}
	return seen, nil
}

// firstProcess finds the first process of the container that an outer half has started.
func firstProcess(outer int) (int, error) {
	children, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", outer))
	if err != nil {
		return 0, err
	}
	for _, file := range children {
		text, _ := os.ReadFile(file) // a thread that has ended has none
		for _, child := range strings.Fields(string(text)) {
			cmdline, _ := os.ReadFile("/proc/" + child + "/cmdline")
			if strings.HasPrefix(string(cmdline), role(inside)+"\x00") {
				return strconv.Atoi(child)
			}
		}
	}
	return 0, fmt.Errorf("process %d has no container", outer)
}

// statusOf returns the words of a line of /proc/PID/status (proc_pid_status(5)).
func statusOf(pid int, key string) ([]string, error) {
	file := fmt.Sprintf("/proc/%d/status", pid)
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(line, key+":"); found {
			return strings.Fields(value), nil
		}
	}
	return nil, fmt.Errorf("%s has no %s", file, key)
}

// eachPart shows what one program sees on either side.
func eachPart() error {
	fmt.Println()
	return besides("seen by the same program", "lesson:look")
}

// eachAttack has one program try what a container shouldn't be able to.
func eachAttack() error {
	port, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer port.Close()
	fmt.Println()
	return besides("tried by the same program", "lesson:try",
		strconv.Itoa(os.Getpid()), port.Addr().String())
}

// besides runs an experiment outside and inside, and prints its answers beside each other.
func besides(title string, args ...string) error {
	outside, err := ask(self(args...))
	if err != nil {
		return err
	}
	inner, err := ask(self(append([]string{"/proc/self/exe"}, args...)...))
	if err != nil {
		return err
	}
	fmt.Printf("%44s  %-26s %s\n", title, "on the host", "in the container")
	answers := strings.Split(inner, "\n")
	for i, line := range strings.Split(outside, "\n") {
		name, value, _ := strings.Cut(line, "\t")
		if i >= len(answers) || !strings.HasPrefix(answers[i], name+"\t") {
			return fmt.Errorf("the two sides answer different questions: %q", line)
		}
		fmt.Printf("%44s  %-26s %s\n", name, value, strings.TrimPrefix(answers[i], name+"\t"))
	}
	return nil
}

// sameKernel shows what no step has changed.
func sameKernel() error {
	outside, err := ask(self("lesson:kernel"))
	if err != nil {
		return err
	}
	inner, err := ask(self("/proc/self/exe", "lesson:kernel"))
	if err != nil {
		return err
	}
	fmt.Println()
	say("host", "%s", outside)
	say("leak", "%s: the same, and a fault in it is everybody's", inner)
	say("next", "a kernel of one's own is what a virtual machine is for; the chapter compares")
	return nil
}

// printKernel prints which kernel this is, and which of its starts.
func printKernel([]string) error {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return os.NewSyscallError("uname", err)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return err
	}
	version, _, _ := strings.Cut(unix.ByteSliceToString(name.Release[:]), "-") // what builders add
	fmt.Printf("Linux %s, booted as %s\n", version, strings.TrimSpace(string(boot)))
	return nil
}

// look prints what this process sees, a line for each part: name, tab, value.
func look([]string) error {
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return err
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	root := "?"
	for line := range strings.Lines(string(mounts)) {
		before, after, _ := strings.Cut(line, " - ")
		if strings.Fields(before)[4] == "/" {
			root = strings.Fields(after)[0] // of several, the last covers the others
		}
	}
	hostname, err := os.Hostname()
	if err != nil {
		return err
	}
	maps, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return err
	}
	links, err := net.Interfaces()
	if err != nil {
		return err
	}
	var names []string
	for _, link := range links {
		names = append(names, link.Name)
	}
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return err
	}
	group := "?"
	for line := range strings.Lines(string(groups)) {
		// Number, controllers, path; version 2 has one line, without controllers (cgroups(7)).
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if fields[1] == "memory" || fields[1] == "" && group == "?" {
			group = fields[2]
		}
	}
	var machine unix.Sysinfo_t
	if err := unix.Sysinfo(&machine); err != nil {
		return os.NewSyscallError("sysinfo", err)
	}
	var status [3]string
	for i, key := range []string{"CapEff", "Seccomp", "NoNewPrivs"} {
		words, err := statusOf(os.Getpid(), key)
		if err != nil {
			return err
		}
		status[i] = words[0]
	}
	capabilities, err := strconv.ParseUint(status[0], 16, 64)
	if err != nil {
		return err
	}
	fmt.Printf("02 processes in /proc\t%d\n", len(processes))
	fmt.Printf("03 file system at /\t%s\n", root)
	fmt.Printf("04 hostname\t%s\n", hostname)
	fmt.Printf("05 uid_map\t%s\n", strings.Join(strings.Fields(string(maps)), " "))
	fmt.Printf("06 links\t%s\n", strings.Join(names, " "))
	fmt.Printf("07 /proc/self/cgroup\t%s\n", shortened(group))
	fmt.Printf("08 capabilities\t%d\n", bits.OnesCount64(capabilities))
	fmt.Printf("08 seccomp mode, no_new_privs\t%s, %s\n", status[1], status[2])
	fmt.Printf("08 uptime, in minutes\t%d\n", machine.Uptime/60)
	return nil
}

// shortened returns the last letters of a text, so many that it fits into a column.
func shortened(text string) string {
	if len(text) > 26 {
		text = "..." + text[len(text)-23:]
	}
	return text
}

// try tries what it had better not be able to, a line for each: name, tab, what the kernel answers.
// Nothing is changed where it succeeds. The arguments are what the host has: a process, and an
// address.
func try(args []string) error {
	pid, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	open := func(file string, flags int) error {
		fd, err := unix.Open(file, flags|unix.O_CLOEXEC, 0)
		if err == nil {
			unix.Close(fd)
		}
		return err
	}
	connect := func(address string) error {
		connection, err := net.Dial("tcp4", address)
		if err == nil {
			connection.Close()
		}
		return err
	}
	raw := func(number, a, b, c uintptr) error {
		if _, _, errno := unix.Syscall(number, a, b, c); errno != 0 {
			return errno
		}
		return nil
	}
	short := func(err error) string {
		name, _, _ := strings.Cut(errno(err), " ")
		return name
	}
	read := func(file string) string {
		text, err := os.ReadFile(file)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return "not in this kernel"
		case err != nil:
			return short(err)
		}
		return fmt.Sprint(len(text), " bytes")
	}
	started, err := startMany(200)
	processes := strconv.Itoa(started)
	if err != nil {
		processes += ", then " + short(err)
	}
	for _, attempt := range []struct{ name, answer string }{
		{"02 signal 0 to a process of the host's", short(unix.Kill(pid, 0))},
		{"03 open the host's /var", short(open("/var", unix.O_RDONLY))},
		{"06 connect to the host's 127.0.0.1", short(connect(args[1]))},
		{"07 start 200 processes", processes},
		{"08 unshare(CLONE_NEWUTS)", short(unix.Unshare(unix.CLONE_NEWUTS))},
		{"08 mount, of nothing", short(unix.Mount("none", "/no/such", "none", 0, ""))},
		{"08 bpf, no such command", short(raw(unix.SYS_BPF, 999, 0, 0))},
		{"08 keyctl, which session keyring?", short(raw(unix.SYS_KEYCTL,
			unix.KEYCTL_GET_KEYRING_ID, ^uintptr(2), 0))}, // KEY_SPEC_SESSION_KEYRING, -3
		{"08 io_uring_setup, of nothing", short(raw(unix.SYS_IO_URING_SETUP, 1, 0, 0))},
		{"08 open /proc/sys/vm/swappiness to write",
			short(open("/proc/sys/vm/swappiness", unix.O_WRONLY))},
		{"08 read /proc/keys", read("/proc/keys")},
		{"08 read /proc/timer_list", read("/proc/timer_list")},
	} {
		fmt.Printf("%s\t%s\n", attempt.name, attempt.answer)
	}
	return nil
}

// startMany starts so many processes that only wait, or as many as it may, and ends them.
func startMany(count int) (started int, err error) {
	// Go's runtime would want a thread for this now and then, and there will be none to have.
	debug.SetGCPercent(-1)
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		return 0, err
	}
	var pids []int
	for range count {
		pid, failed := syscall.ForkExec(sleep, []string{"sleep", "60"}, nil)
		if err = failed; err != nil {
			break
		}
		pids = append(pids, pid)
	}
	for _, pid := range pids {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			return 0, os.NewSyscallError("kill", err)
		}
		if _, err := unix.Wait4(pid, nil, 0, nil); err != nil {
			return 0, os.NewSyscallError("wait4", err)
		}
	}
	return len(pids), err
}
