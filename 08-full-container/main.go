//go:build linux

// 08-full-container: all of it together, around an image.
//
//	go run ./08-full-container                                  the lesson
//	go run ./08-full-container sh                               a shell
//	docker save alpine | go run ./08-full-container -image - ls an image
//
// What holds: all earlier steps, with capabilities, seccomp and masks on top.
// What doesn't: the kernel is the host's. That is what a virtual machine is for.
//
// New here: seccomp*.go (seccomp_refused.go lists the refused calls), capabilities.go, root_*.go
// (overlay, volumes, masks), image_*.go (image_entries.go makes the whiteouts), init.go, pty.go,
// spec.go, protocol.go (what the processes tell one another), net_publish.go, door.go (a socket for
// clients), exec.go (-exec, both ends), ps.go, flags*.go, user.go, signals.go, time.go, exe.go and
// inherited.go. Carried from 07: cgroup*.go, net_*.go (net_nat.go has the NAT rule), ids_*.go,
// rootfs.go, streams.go, descriptors.go, undo.go. The lesson: demo.go and walls.go.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// step is the name of this directory, and of this program in its messages.
const step = "08-full-container"

// inside is the part that this program plays when it starts itself again in the container.
const inside = "container"

// standIn is its part where a network namespace plays the host.
const standIn = "host"

// namespaces is what the container doesn't share with the host, from its first moment on. Two come
// in other ways: that of time (see startClocks), and that of cgroups (see container).
const namespaces = unix.CLONE_NEWUSER | unix.CLONE_NEWNET |
	unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC

// init keeps main on the process's first thread; otherwise Go may move it to another. Pdeathsig,
// below, goes by threads, not processes: the kernel sends it when the *thread* that called clone
// ends (prctl(2)), and drops it if any thread but the one it was set for calls execve.
func init() { runtime.LockOSThread() }

// main runs this program in one of its roles and exits with that role's status.
func main() { os.Exit(exitStatus(run(os.Args[1:]))) }

// run looks at the arguments and runs the lesson, an experiment, a command or the inner process.
func run(args []string) error {
	switch {
	case os.Args[0] == role(inside):
		return container()
	case os.Args[0] == role(unpacker):
		return beUnpacker(args)
	case os.Args[0] == role(pruner):
		return bePruner(args)
	case len(args) > 0 && experiments[args[0]] != nil:
		return experiments[args[0]](args[1:])
	}
	o, err := parseFlags(args)
	if err != nil || o == nil {
		return err
	}
	switch {
	case o.ps:
		return listContainers()
	case o.prune:
		return prune()
	case o.exec != 0:
		return execIn(o)
	}
	if os.Args[0] == role(standIn) {
		if err := beHost(); err != nil {
			return err
		}
	} else if reason := notRoot(); reason != "" {
		enterScope(o.isLesson())
		quitQuietly()
		return playHost(args, o, reason)
	}
	if o.isLesson() {
		return tell(o.pause)
	}
	if err := host(o); err != nil {
		return fmt.Errorf("run a container: %w", err)
	}
	return nil
}

// host is the outer process. It gets what the container needs: an image, a cgroup, a spec. Then it
// starts this program once more, as the first process of new namespaces, gives it what only a
// process outside can give, and waits for its end.
func host(o *options) error {
	if len(o.without) > 0 && !isExperiment(o.command) { // the lesson says so itself
		fmt.Fprintf(os.Stderr, "%s: this container is without %s\n", step,
			strings.Join(o.without, ", "))
	}
	sockets, err := openHostPorts(o)
	if err != nil {
		return err
	}
	runtime.GOMAXPROCS(1) // we mostly wait, and Go takes memory for each CPU that it may use
	if err := checkStreams(); err != nil {
		return err
	}
	sharePipes()
	if err := setLimits(); err != nil {
		return err
	}
	s, err := newSpec(o)
	if err != nil {
		return err
	}
	if slices.Contains(o.without, "limits") { // then it gets a cgroup, without limits, if it can
		if refusal, err := tryCgroup(); err == nil && refusal != "" {
			return contain(unlimited{}, s, o, sockets)
		}
	}
	return inCgroup(func(group cgroup) error {
		if err := o.checkCPUs(group); err != nil {
			return err
		}
		defer warnOfOOM(group)
		return contain(group, s, o, sockets)
	})
}

// contain starts the container of a spec in a cgroup. The sockets listen at the host's ports. What
// else it starts comes from other threads (elsewhere), because the children of this one enter the
// container's time namespace.
func contain(group cgroup, s *spec, o *options, sockets []*os.File) error {
	line, theirs, err := newLine()
	if err != nil {
		return err
	}
	defer line.Close()
	program, err := sealedProgram()
	if err != nil {
		return err
	}
	cmd := exec.Command("/proc/self/fd/4")
	cmd.Args = append([]string{role(inside)}, s.Args...) // for ps; the spec is what counts
	// None of the caller's variables. PID 1 mostly waits too, so one CPU is enough for it.
	cmd.Env = append(slices.Clone(defaultEnv), "GOMAXPROCS=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{theirs, program} // descriptors 3 and 4 there
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: namespaces,
		// If we die, by whatever signal, the kernel kills PID 1, and with it its namespace.
		Pdeathsig: unix.SIGKILL,
		// Ctrl-C comes in here, and goes on over the line; it must not arrive twice.
		Setsid: true,
	}
	if slices.Contains(s.Without, "net") {
		cmd.SysProcAttr.Cloneflags &^= unix.CLONE_NEWNET
	}
	mapLater, err := mapIDs(cmd.SysProcAttr)
	if err != nil {
		return err
	}
	// From here on, children of this thread are born in the container's time namespace.
	if err := startClocks(); err != nil {
		return err
	}
	// Until started is called, SIGTERM and the like end us, and the container with us.
	started := endOnSignal(catchSignals(lastSignal))
	err = group.start(cmd)
	theirs.Close()
	program.Close()
	if err != nil {
		return err
	}
	if err := elsewhere(func() error { return mapLater(cmd.Process.Pid) }); err != nil {
		return abandon(cmd, err)
	}
	if err := resetOOMScore(cmd.Process.Pid); err != nil {
		return abandon(cmd, err)
	}
	// PID 1 builds its root from the spec while we plug in its cable, then waits in handOver.
	if err := s.send(line, cmd.Process.Pid); err != nil {
		return itsReason(cmd, abandon(cmd, err))
	}
	disconnect := func() error { return nil }
	if o.net {
		if err := elsewhere(func() (err error) {
			if disconnect, err = connect(cmd.Process.Pid); err != nil {
				return fmt.Errorf("%w; -net=false does without a cable", err)
			}
			return publish(o.ports, sockets, cmd.Process.Pid)
		}); err != nil {
			err = itsReason(cmd, abandon(cmd, err))
			return cleanUp(err, func() error { return elsewhere(disconnect) })
		}
	}
	err = supervise(cmd, line, outerLine(), started)
	return cleanUp(err, func() error { return elsewhere(disconnect) })
}

// outerLine returns the line to the process that started this one to play the host, or nil.
func outerLine() *os.File {
	if os.Args[0] != role(standIn) {
		return nil
	}
	unix.CloseOnExec(3)
	return newSocket(3, "line to the outer process")
}

// abandon kills a container that can't be completed, and returns the reason. How the killed process
// ended doesn't matter.
func abandon(cmd *exec.Cmd, reason error) error {
	reason = errors.Join(reason, cmd.Process.Kill())
	_ = cmd.Wait()
	return reason
}

// itsReason returns how a container ended if it did so by itself, before abandon could kill it, and
// has said why. Otherwise it returns our reason.
func itsReason(cmd *exec.Cmd, ours error) error {
	if cmd.ProcessState.Exited() {
		return &exec.ExitError{ProcessState: cmd.ProcessState}
	}
	return ours
}

// container is the inner process, already in the new namespaces. It follows the tutorial step by
// step and ends as PID 1 of the container. It returns only if a step failed; then nothing was run.
func container() error {
	// argv[0] proves nothing: go on only as PID 1 of a new PID namespace.
	if pid := os.Getpid(); pid != 1 {
		return fmt.Errorf("started as %q, but not as PID 1 of a container: I am process %d",
			os.Args[0], pid)
	}
	// Signals sent to PID 1 itself. Those sent to the outer process come over the line, with
	// whatever number they have.
	caught := catchSignals(lastStandard)
	surviveFaults()
	line := newSocket(3, "line to the outer process")
	unix.CloseOnExec(3)
	// No descriptor of the host's but the line, which closes at the command's exec.
	if err := closeDescriptors(3); err != nil {
		return err
	}
	s, passed, err := receive(line)
	if err != nil {
		return err
	}
	if err := s.takeVolumes(passed); err != nil {
		return err
	}
	if err := ownMounts(); err != nil {
		return err
	}

	// 05: root inside, an ordinary user on the host.
	if err := dropHostIdentity(); err != nil {
		return err
	}
	// 07: the cgroup that we are in becomes the root of the hierarchy that we see.
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return os.NewSyscallError("unshare(CLONE_NEWCGROUP)", err)
	}
	// 03: a root of our own, now from an image. First we leave the caller's working directory,
	// which we may not be allowed to open.
	if err := os.Chdir("/"); err != nil {
		return err
	}
	if err := mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := s.protectVolumes(); err != nil {
		return err
	}
	if err := s.buildRoot(); err != nil {
		return err
	}
	if err := pivotRoot(rootfs); err != nil {
		return err
	}
	// wall leaves its function out if -without names the wall.
	if err := s.wall("masks", maskPaths); err != nil {
		return err
	}
	if err := s.wall("net", openPorts); err != nil {
		return err
	}
	if err := s.wall("read-only", protectPaths); err != nil {
		return err
	}
	if err := s.attachVolumes(); err != nil {
		return err
	}
	// 04: a name of our own.
	if err := setNames(s.Hostname, "jail.example"); err != nil {
		return err
	}
	// 06: the outer process plugs the cable in, and handOver waits for it. Without a cable the
	// loopback is down; we set it up ourselves.
	if err := s.wall("net", setUpLoopback); err != nil {
		return err
	}

	// The command's user, its working directory and its terminal.
	command, err := s.process()
	if err != nil {
		return err
	}
	if err := s.enterDir(); err != nil {
		return err
	}
	master := -1
	if s.TTY {
		if master, err = openTerminal(command.uid()); err != nil {
			return err
		}
	}
	signals := <-caught
	// Wait until the outer process has plugged in the cable and relays signals.
	if err := handOver(line, master); err != nil {
		return err
	}
	if err := addToHosts(s.Hostname); err != nil {
		return err
	}
	// -read-only takes effect only now, because all of the above writes to the root.
	if err := s.closeRoot(); err != nil {
		return err
	}
	// Clients may come from now on, but this thread starts their commands, after runCommand's.
	go listen(line, signals, s.serve)

	// New in 08: fewer rights, and less of the kernel within reach.
	if err := newKeyring(); err != nil {
		return err
	}
	if err := s.wall("no-new-privs", noNewPrivs); err != nil {
		return err
	}
	// Before dropCapabilities: without no_new_privs, loading a filter takes CAP_SYS_ADMIN.
	if err := s.wall("seccomp", loadSeccomp); err != nil {
		return err
	}
	if err := s.wall("capabilities", dropCapabilities); err != nil {
		return err
	}
	// 02: PID 1, with its duties.
	return runCommand(command, signals)
}

// setUpLoopback sets up lo, the link by which the container's processes talk to one another.
func setUpLoopback() error {
	n, err := dialNetlink(nil)
	if err != nil {
		return err
	}
	defer n.close()
	return n.setUp("lo")
}

// parentPID returns our parent's PID from /proc, which is still the host's: the second field after
// the name (proc_pid_stat(5)). getppid(2) says 0, because the parent is in another PID namespace.
func parentPID() (string, error) {
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return "", err
	}
	return strings.Fields(string(stat[strings.LastIndex(string(stat), ")")+1:]))[1], nil
}

// ownMounts refuses to go on in our parent's mount namespace: what follows would change its mounts,
// which may be the host's. That happens without CLONE_NEWNS, or if anything but host started
// this program in this role.
func ownMounts() error {
	mine, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return err
	}
	parent, err := parentPID()
	if err != nil {
		return err
	}
	theirs, err := os.Readlink("/proc/" + parent + "/ns/mnt")
	// EACCES means that our parent is in another user namespace, and so do EPERM and ENOENT, with
	// proc's mount option hidepid (proc(5)).
	hidden := errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) ||
		errors.Is(err, unix.ENOENT)
	if hidden && parent != "0" {
		return nil // we are in a new user namespace: the kernel protects all other mounts
	}
	if err == nil && mine == theirs {
		err = errors.New("it is also my parent's")
	}
	if err != nil {
		return fmt.Errorf("change the mounts of this namespace, %s: %w", mine, err)
	}
	return nil
}

// setNames renames the machine in this UTS namespace, where uname(2) reads the names. (UTS, "UNIX
// Time-sharing System", is part of the name of the structure that it fills.) Without CLONE_NEWUTS,
// root would rename the host here.
func setNames(host, domain string) error {
	if err := unix.Sethostname([]byte(host)); err != nil {
		return fmt.Errorf("set the hostname to %s: %w", host, err)
	}
	if err := unix.Setdomainname([]byte(domain)); err != nil {
		return fmt.Errorf("set the NIS domain to %s: %w", domain, err)
	}
	return nil
}

// pivotRoot makes newRoot the root of this mount namespace and removes the host's from it.
// chroot(2) would only change this process's "/", and 01 escapes from that.
func pivotRoot(newRoot string) error {
	if err := os.Chdir(newRoot); err != nil {
		return err
	}
	// With "." for both, the old root ends up on top of the new one, and no directory is needed
	// to put it in (pivot_root(2), NOTES).
	if err := unix.PivotRoot(".", "."); err != nil {
		return &os.PathError{Op: "pivot_root", Path: newRoot, Err: err}
	}
	// umount2(2) removes the topmost mount at ".", which is the old root. MNT_DETACH removes it
	// with everything mounted below, although this very program still runs from there.
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return &os.PathError{Op: "unmount the old root at", Path: "/", Err: err}
	}
	return os.Chdir("/")
}
