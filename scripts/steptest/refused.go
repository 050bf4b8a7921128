//go:build linux

// What a step does when the kernel refuses it something.

package steptest

import (
	"bytes"
	"fmt"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// exception is a call and what may come of its failure. The name has the step's before it, and
// "stand-in" where a network namespace plays the host.
type exception struct {
	name   *regexp.Regexp
	status int
	says   string // on standard error
}

// harmless lists the calls that a step can do without, or whose failure has another exit status
// than 125, and why. Without any other call nothing runs.
var harmless = []exception{
	// Is a stream a terminal, and which process group has it? No answer counts as no terminal.
	{regexp.MustCompile(`ioctl 0x54(01|0f)$`), 0, ""},
	// Go asks whether the kernel has PID file descriptors.
	{regexp.MustCompile(`clone 0x5100$`), 0, ""},
	// libc looks for a name service of its own first (AF_UNIX).
	{regexp.MustCompile(`socket 0x1$`), 0, ""},
	// Without pasta there is no way to the world: the container is more alone, not less.
	{regexp.MustCompile(` (outer|host) openat /dev/(net/tun|null)$`), 0, ""},
	{regexp.MustCompile(` (outer|host) (clone 0x[45]111|setsid|dup3|pipe2|` +
		`openat \S+/(route/flush|forwarding|tag))$`), 0,
		"there is no way to the world"},
	// The step asks for the way to the world once more, to explain why there is none.
	{regexp.MustCompile(` (outer|host) (socket 0x10|bind) #[34]$`), 0, ""},
	{regexp.MustCompile(` (outer|host) sendto (18|26) #[23]$`), 0, ""},
	{regexp.MustCompile(`^(08-\S+|\S+ stand-in) outer (socket 0x10|bind|sendto (18|26))$`), 0, ""},
	// Root without power over its network lets a namespace play the host. 07 and 08 need root's
	// cgroup after that, and end.
	{regexp.MustCompile(`^06-\S+ outer setns$`), 0, ""},
	// The step copies its program into a sealed file instead (exe.go).
	{regexp.MustCompile(` (outer|host) (open_tree /proc/self/exe|mount_setattr)$`), 0, ""},
	// The container opens the volume itself, as it does for an ordinary user.
	{regexp.MustCompile(` outer open_tree /etc$`), 0, ""},
	// Where root may not raise the limit for core dumps, at least no file is written.
	{regexp.MustCompile(` (outer|host) prlimit64 4$`), 0, ""},
	// Go raises the soft limit on open files for itself, and lowers it again for the command.
	{regexp.MustCompile(` (outer|host|container) prlimit64 7$`), 0, ""},
	// PID 1 starts the command. Where it can't, that looks like a command that can't be executed.
	{regexp.MustCompile(` container (clone 0x[45]111|pipe2|setsid)$`), 126, "exec /"},
}

// startsHelper matches the calls that start newuidmap(1) and newgidmap(1). Without these an
// ordinary user's container has one ID, as for a user without subordinate IDs.
var startsHelper = regexp.MustCompile(`^outer (clone 0x5111|dup3|pipe2)( #[0-9]+)?$`)

// repeated matches a call that the same process has made three times before.
var repeated = regexp.MustCompile(`#([4-9]|[0-9]{2,})$`)

// Refused has the kernel refuse, one at a time, each system call that makes the container. Each
// time the step must exit with 125, say why, run nothing, and leave nothing. Calls that come after
// the command may fail without a word, as the keeper cleans up then. The name of a call that the
// step must make, or a part of it, is the control; flags make the step do more that the kernel can
// refuse. With -short, as on an emulated machine, Refused tries one call in four.
func Refused(t *testing.T, call string, flags ...string) {
	NeedNamespaces(t)
	AsEveryUserAtOnce(t, func(t *testing.T, u User) {
		u.NeedInsight(t)
		errno := unix.EIO
		if u.UID == 0 {
			errno = unix.EPERM // as for a user who may not do something
			ownNetwork(t)
		}
		w, network := NewWatch(t), networkOf()
		refuseEach(t, errno, call, func() *exec.Cmd {
			cmd := u.Program(append(slices.Clone(flags), "sh", "-c", "echo it ran </")...)
			cmd.Env = w.Env()
			return cmd
		})
		w.NothingLeft(t)
		if err := networkAgain(network); u.UID == 0 && err != nil {
			t.Error(err)
		}
	})
}

// ownNetwork moves the test, until it ends, into a network namespace that has a default route and
// doesn't forward, so that the step makes it forward.
func ownNetwork(t *testing.T) {
	runtime.LockOSThread() // never unlocked: this thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	addDefaultRoute()
}

// refuseEach has each call of the command fail in turn.
func refuseEach(t *testing.T, errno unix.Errno, must string, command func() *exec.Cmd) {
	name := step.Name
	success := Result{"it ran\n", "", 0}
	var calls []string
	r := refusing(t, command(), "", func(call string) unix.Errno {
		calls = append(calls, call)
		return 0
	})
	if r != success || !strings.Contains(strings.Join(calls, "\n"), must) {
		t.Fatalf("the control: %+v; no %q in %q", r, must, calls)
	}
	if strings.Contains(strings.Join(calls, "\n"), "\nhost ") {
		name += " stand-in" // a namespace plays the host, and the outer process connects nothing
	}
	commandRan := false
	for i, call := range calls {
		commandRan = commandRan || call == "sh"
		words := strings.Fields(call)
		if len(words) < 2 || repeated.MatchString(call) || testing.Short() && i%4 != 0 {
			continue
		}
		refused := false
		r := refusing(t, command(), words[1], func(c string) unix.Errno {
			if c == call {
				refused = true
				return errno
			}
			return 0
		})
		if r.Status == 0 {
			r.forgiveSlowPasta()
		}
		if !refused { // processes run side by side, and not each time in the same order
			t.Logf("%s: it isn't called this time", call)
		} else if !r.failsClosed() && !r.isHarmless(name+" "+call) &&
			!(commandRan && r == success) &&
			!(errno == unix.EIO && startsHelper.MatchString(call) && r == success) {
			t.Errorf("%v for %s: %+v", errno, call, r)
		}
	}
}

// forgiveSlowPasta takes out what the step says if pasta takes long, as on a busy machine: then the
// container is more alone, not less.
func (r *Result) forgiveSlowPasta() {
	slow := step.Name + ": no way to the world: pasta didn't open one in time\n"
	r.Stderr = strings.Replace(r.Stderr, slow, "", 1)
}

// failsClosed reports whether the step said that it couldn't build the container, and ran nothing.
func (r Result) failsClosed() bool { return r.Status == 125 && r.Stdout == "" && r.Stderr != "" }

// isHarmless reports whether this is what comes of a call in the list of harmless ones.
func (r Result) isHarmless(call string) bool {
	name, _, _ := strings.Cut(call, " #")
	return slices.ContainsFunc(harmless, func(h exception) bool {
		return (h.name.MatchString(call) || h.name.MatchString(name)) &&
			h.status == r.Status && strings.Contains(r.Stderr, h.says) &&
			(h.status != 0 || r.Stdout == "it ran\n")
	})
}

// refusing runs a step's command to its end, and asks refuse about each call that makes the
// container, or only about one system call: 0 lets the call go on. A call has a name such as
// "container mount /proc #2", for the second time that the process in this role makes this system
// call with this argument; the call of any other program has just that program's name, such as
// "sh".
func refusing(
	t *testing.T, cmd *exec.Cmd, only string, refuse func(call string) unix.Errno,
) Result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	refused, times := "", map[string]int{}
	f, err := start(cmd, only)
	if err != nil {
		t.Fatalf("no filter: %v; %s", err, &stderr)
	}
	late := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	f.serve(func(n *notification) unix.Errno {
		call, ours := n.name()
		if ours {
			if times[call]++; times[call] > 1 {
				call += fmt.Sprint(" #", times[call])
			}
		}
		errno := refuse(call)
		if errno != 0 {
			refused = call
		}
		return errno
	})
	if !late.Stop() {
		t.Fatalf("%q without %q hasn't ended in a minute: %s", cmd.Args, refused, &stderr)
	}
	return Result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}
