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
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// experiments are the programs that the lesson runs inside, and some of them also outside, to
// compare. Each prints what it measured. Keepers aren't experiments, but start in the same way.
var experiments = map[string]func([]string) error{
	"keep:pasta":    keepPasta,
	"keeper:undo":   undo,
	"lesson:init":   seeInit,
	"lesson:wait":   func([]string) error { return waitForEOF("ready") },
	"lesson:look":   look,
	"lesson:try":    try,
	"lesson:kernel": printKernel,
}

// undoings are what the keeper can undo.
var undoings = map[string]func(which string) error{
	"cgroup": undoCgroup, "nat": removeNAT, "unpacker": undoUnpacker,
}

// lesson compares the host with a container: what one program sees, and what it can do.
func lesson(n *narrator) error {
	if os.Args[0] != role(standIn) { // which has said so itself
		say("host", "process %d, uid %d", os.Getpid(), os.Getuid())
	}
	refusal, err := tryCgroup()
	if err != nil {
		return err
	}
	if refusal != "" {
		sayLong("host", "I can't make a cgroup: "+refusal, "")
		say("host", "so this lesson's containers have no limits")
		noLimits = []string{"-without", "limits"}
	}
	for _, part := range []func(*narrator) error{twoViews, whatItSees, whatItTries, sameKernel} {
		if err := part(n); err != nil {
			return err
		}
	}
	return nil
}

// startTarget starts a host process for the container to reach for. In a small PID namespace, such
// as another container's, the host's PIDs are as low as the container's own, and the same PID
// inside would be another process. So the target's is higher than any that the container uses.
func startTarget(args ...string) (target *helper, line string, err error) {
	for {
		if target, line, err = start(self(args...)); err != nil || target.cmd.Process.Pid >= 100 {
			return target, line, err
		}
		if err := target.end(); err != nil {
			return nil, "", err
		}
	}
}

// noLimits are arguments for the lesson's containers where no cgroup can be made, otherwise none.
var noLimits []string

// within prepares an experiment to be run in a container, as a reader would run any command.
func within(args ...string) *exec.Cmd {
	return self(slices.Concat(noLimits, []string{"/proc/self/exe"}, args)...)
}

// sayLong prints a fact on as many lines as it needs. Each but the last ends in end.
func sayLong(who, text, end string) {
	for most := width - margin; len(text) > most; {
		blank := strings.LastIndex(text[:most-len(end)+1], " ")
		if blank < most/2 { // a long word follows: say cuts that
			if blank = most + strings.Index(text[most:], " "); blank < most {
				break
			}
		}
		say(who, "%s", text[:blank]+end)
		text = "  " + text[blank+1:]
	}
	say(who, "%s", text)
}

// tryCgroup makes a cgroup and removes it. If the kernel refuses, it returns the reason.
func tryCgroup() (refusal string, err error) {
	_, release, err := newCgroup()
	if err != nil {
		return err.Error(), nil
	}
	return "", release()
}

// twoViews starts a container and looks at its first process from both sides.
func twoViews(n *narrator) error {
	n.part("PID 1 of the container, seen from both sides")
	p, seen, err := start(within("lesson:init"))
	if err != nil {
		return err
	}
	defer p.end()
	pid, err := firstProcess(p.cmd.Process.Pid)
	if err != nil {
		return err
	}
	users, err := statusOf(strconv.Itoa(pid), "Uid")
	if err != nil {
		return err
	}
	uid, err := onTheHost(users[0])
	if err != nil {
		return err
	}
	numbers, err := statusOf(strconv.Itoa(pid), "NSpid")
	if err != nil {
		return err
	}
	n.table("",
		experiment{what: "PID", host: numbers[0], inside: numbers[len(numbers)-1]},
		experiment{what: "uid", host: strconv.Itoa(uid), inside: seen})
	return nil
}

// seeInit prints the uid of PID 1 as it is seen inside, and stays until standard input ends.
func seeInit([]string) error {
	users, err := statusOf("1", "Uid")
	if err != nil {
		return err
	}
	return waitForEOF(users[0])
}

// onTheHost translates a uid that this process sees into the host's, through its own uid_map: it
// may play the host, in a user namespace.
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
	return 0, fmt.Errorf("uid %d has no mapping in /proc/self/uid_map", seen)
}

// firstProcess finds the first process of the container that an outer process has started.
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
func statusOf(pid, key string) ([]string, error) {
	file := "/proc/" + pid + "/status"
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

// whatItSees shows what one program sees on each side.
func whatItSees(n *narrator) error {
	n.part("What one program sees")
	rows, err := n.rows("lesson:look")
	n.table("step", rows...)
	return err
}

// whatItTries has one program try on each side what a container shouldn't be able to.
func whatItTries(n *narrator) error {
	n.part("What it tries, and the wall that holds it")
	port, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer port.Close()
	target, _, err := startTarget("lesson:wait")
	if err != nil {
		return err
	}
	defer target.end()
	attack := []string{"lesson:try", strconv.Itoa(target.cmd.Process.Pid), port.Addr().String()}
	rows, err := n.rows(attack...)
	if err != nil {
		return err
	}
	by, err := heldBy(attack...)
	if err != nil {
		return err
	}
	outside, inner := 0, 0
	var nonsense []string
	lines := [][]string{{"step", "host", inside, "", "held by"}}
	for i, r := range rows {
		r.rule, r.expect = reaches(attacks[i].proof), held
		if noLimits != nil && strings.HasPrefix(r.what, "07 ") {
			r.expect = leak
		}
		if r.rule(r.host, r.host) == leak {
			outside++
			if strings.HasPrefix(r.host, "E") && !slices.Contains(nonsense, r.host) {
				nonsense = append(nonsense, r.host)
			}
		}
		v := n.judge(r)
		if v == leak {
			inner++
		}
		switch {
		case v == leak && r.expect == leak:
			by[i] = "no cgroup"
		case v != held:
			by[i] = ""
		}
		lines = append(lines, []string{r.what, r.host, r.inside, string(v), by[i]})
	}
	columns(lines)
	got := fmt.Sprintf("%d of %d got through", outside, len(rows))
	if len(nonsense) > 0 {
		got += fmt.Sprintf(" (%s: allowed, but nonsense)", strings.Join(nonsense, ", "))
	}
	say("host", "%s", got)
	say(inside, "%d of %d", inner, len(rows))
	return nil
}

// heldBy repeats the attacks with one wall missing at a time, then with all missing. A wall holds
// an attack if the attack gets through without it; "several" means only without all.
func heldBy(args ...string) ([]string, error) {
	by := make([]string, len(attacks))
	for i, missing := range append(slices.Clone(walls), strings.Join(walls, ",")) {
		flags := append(slices.Clone(noLimits), "-without", missing, "/proc/self/exe")
		out, err := ask(self(append(flags, args...)...))
		if err != nil {
			return nil, err
		}
		answers := strings.Split(out, "\n")
		for a := range attacks {
			_, answer, _ := strings.Cut(answers[a], "\t")
			switch {
			case !strings.Contains(answer, attacks[a].proof):
			case i == len(walls) && by[a] == "":
				by[a] = "several"
			case i < len(walls):
				by[a] = strings.TrimPrefix(by[a]+", "+missing, ", ")
			}
		}
	}
	for a := range by {
		if by[a] == "" {
			by[a] = "another wall"
		}
	}
	return by, nil
}

// rows runs an experiment on both sides, which prints a line for each row: what, tab, answer.
func (n *narrator) rows(args ...string) (rows []experiment, err error) {
	both, err := n.ask(args...)
	if err != nil {
		return nil, err
	}
	answers := strings.Split(both.inside, "\n")
	for i, line := range strings.Split(both.host, "\n") {
		what, answer, _ := strings.Cut(line, "\t")
		if i >= len(answers) || !strings.HasPrefix(answers[i], what+"\t") {
			return nil, fmt.Errorf("the two sides answer different questions: %q", line)
		}
		rows = append(rows, experiment{
			what: what, host: answer, inside: strings.TrimPrefix(answers[i], what+"\t")})
	}
	return rows, nil
}

// sameKernel shows what no step has changed.
func sameKernel(n *narrator) error {
	n.part("What is still the host's: the kernel")
	e, err := n.ask("lesson:kernel")
	if err != nil {
		return err
	}
	e.rule, e.expect = isShared, leak
	n.compare(e)
	next := "a virtual machine has its own kernel: see the end of the chapter"
	if noLimits != nil && !isRoot() && !inContainer() {
		next = remedy() // to see the limits
	}
	n.next(next)
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
	version, _, _ := strings.Cut(unix.ByteSliceToString(name.Release[:]), "-")
	version, _, _ = strings.Cut(version, "+") // what builders add
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
		// Number, controllers, path. The line of cgroup v2 has no controllers (cgroups(7)).
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
		words, err := statusOf("self", key)
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
	ranges := strings.Split(strings.TrimSpace(string(maps)), "\n")
	for i := range ranges {
		ranges[i] = strings.Join(strings.Fields(ranges[i]), " ")
	}
	fmt.Printf("05 uid_map\t%s\n", strings.Join(ranges, ", "))
	fmt.Printf("06 links\t%s\n", strings.Join(names, " "))
	fmt.Printf("07 /proc/self/cgroup\t%s\n", group)
	fmt.Printf("08 capabilities\t%d\n", bits.OnesCount64(capabilities))
	fmt.Printf("08 seccomp mode\t%s\n", status[1])
	fmt.Printf("08 no_new_privs\t%s\n", status[2])
	fmt.Printf("08 uptime in minutes\t%d\n", machine.Uptime/60)
	return nil
}

// An attack is something that a container shouldn't be able to do. If it succeeds it changes
// nothing, and its answer has the proof in it.
type attack struct {
	what, proof string
	try         func(host hostSide) string
}

// hostSide is what the attacks are aimed at: a process and an address of the host's.
type hostSide struct {
	pid     int
	address string
}

// attacks are the rows of the lesson's second table, each with the step that holds it.
var attacks = []attack{
	{"02 signal a host process", "ok",
		func(h hostSide) string { return short(unix.Tgkill(h.pid, h.pid, 0)) }},
	{"03 open the host's /var", "ok",
		func(hostSide) string { return open("/var", unix.O_RDONLY) }},
	{"06 reach the host's 127.0.0.1", "ok",
		func(h hostSide) string { return connectTo(h.address) }},
	{"07 start 200 processes", "200", func(hostSide) string { return startMany(200) }},
	{"08 make a UTS namespace", "ok",
		func(hostSide) string { return short(unix.Unshare(unix.CLONE_NEWUTS)) }},
	// These ask for something that isn't there. Who gets that far has passed the kernel's check.
	{"08 mount a nonexistent path", "ENOENT",
		func(hostSide) string { return short(unix.Mount("none", "/no/such", "none", 0, "")) }},
	{"08 bpf, an unknown command", "EINVAL",
		func(hostSide) string { return syscallN(unix.SYS_BPF, 999, 0, 0) }},
	{"08 keyctl, to find a keyring", "ok", func(hostSide) string {
		return syscallN(unix.SYS_KEYCTL, unix.KEYCTL_GET_KEYRING_ID, sessionKeyring, 0)
	}},
	{"08 io_uring_setup, a bad address", "EFAULT",
		func(hostSide) string { return syscallN(unix.SYS_IO_URING_SETUP, 1, 0, 0) }},
	{"08 write /proc/sys/vm/swappiness", "ok",
		func(hostSide) string { return open("/proc/sys/vm/swappiness", unix.O_WRONLY) }},
	{"08 read /proc/keys", "bytes", func(hostSide) string { return read("/proc/keys") }},
	{"08 read /proc/timer_list", "bytes",
		func(hostSide) string { return read("/proc/timer_list") }},
}

// sessionKeyring is KEY_SPEC_SESSION_KEYRING, -3.
const sessionKeyring = ^uintptr(2)

// try makes all attacks and prints a line for each: what, tab, what the kernel answered.
func try(args []string) error {
	pid, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	for _, a := range attacks {
		fmt.Printf("%s\t%s\n", a.what, a.try(hostSide{pid, args[1]}))
	}
	return nil
}

// short is what a system call answered: "ok", or the errno without its explanation.
func short(err error) string {
	name, _, _ := strings.Cut(errno(err), " ")
	return name
}

// syscallN makes a system call by its number.
func syscallN(number, a, b, c uintptr) string {
	if _, _, err := unix.Syscall(number, a, b, c); err != 0 {
		return short(err)
	}
	return "ok"
}

// open opens a file and closes it again.
func open(file string, flags int) string {
	fd, err := unix.Open(file, flags|unix.O_CLOEXEC, 0)
	if err == nil {
		unix.Close(fd)
	}
	return short(err)
}

// connectTo connects to an address and hangs up.
func connectTo(address string) string {
	connection, err := net.Dial("tcp4", address)
	if err == nil {
		connection.Close()
	}
	return short(err)
}

// read says how much there is to read in a file.
func read(file string) string {
	text, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "not there" // in this kernel
	case err != nil:
		return short(err)
	case len(text) == 0:
		return "empty"
	}
	return fmt.Sprint(len(text), " bytes")
}

// startMany starts so many processes that only wait, or as many as it may, and ends them. It says
// how many there were, and why not more.
func startMany(count int) string {
	// Go's runtime would want a thread for this now and then, and there will be none to have.
	debug.SetGCPercent(-1)
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		return err.Error()
	}
	var pids []int
	for range count {
		pid, failed := syscall.ForkExec(sleep, []string{"sleep", "60"},
			&syscall.ProcAttr{Sys: &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}})
		if err = failed; err != nil {
			break
		}
		pids = append(pids, pid)
	}
	answer := strconv.Itoa(len(pids))
	if err != nil {
		answer += ", " + short(err)
	}
	for _, pid := range pids {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			return short(err)
		}
		if _, err := unix.Wait4(pid, nil, 0, nil); err != nil {
			return short(err)
		}
	}
	return answer
}
