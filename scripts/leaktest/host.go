//go:build linux

// The host's part: it makes what there is to find, runs the command that starts a container, and
// takes everything away again.

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// made is what a keeper has to remove, however we end.
type made struct {
	Dir       string
	QueueKey  int
	MemoryKey int
	Mqueue    string
	Shm       string
}

// host makes what there is to find, and runs a command with all of it in reach. Its exit status is
// the command's.
func host(args []string) error {
	if len(args) == 0 {
		return errors.New("host: no command")
	}
	// The secrets must be readable by every user: the question is only whether a path leads there.
	unix.Umask(0o022)
	f := &facts{Missing: map[string]string{}}
	things := made{
		QueueKey: randomKey(), MemoryKey: randomKey(),
		Mqueue: prefix() + random(), Shm: prefix() + random(),
	}
	var err error
	if things.Dir, err = secretDir(); err != nil {
		return err
	}
	dismiss, err := startKeeper(things)
	if err != nil {
		return errors.Join(err, os.RemoveAll(things.Dir))
	}
	status, err := hostWith(f, things, args)
	if err := errors.Join(err, dismiss()); err != nil {
		return err
	}
	os.Exit(status)
	return nil
}

// prefix begins the names of all that is made. scripts/leaks says what it is for a run of its own,
// so as to find what was left, and that of no other run.
func prefix() string { return "leaktest-" + os.Getenv("LEAKTEST_RUN") }

// secretDir makes the directory for the files. It is best on the file system that has /usr, since
// parts of that are what most containers get to see, and open_by_handle_at(2) needs to see some.
func secretDir() (string, error) {
	usr, err := identify("/usr")
	for _, parent := range []string{os.TempDir(), "/var/tmp"} {
		if at, failed := identify(parent); err == nil && failed == nil && at.Dev == usr.Dev {
			if dir, failed := os.MkdirTemp(parent, prefix()); failed == nil {
				return dir, os.Chmod(dir, 0o755)
			}
		}
	}
	dir, err := os.MkdirTemp("", prefix())
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755)
}

// hostWith does the work of host, and returns the command's exit status.
func hostWith(f *facts, things made, args []string) (int, error) {
	cmd := exec.Command(args[0])
	cmd.Stdin, cmd.Stdout = os.Stdin, os.Stdout
	inherited, err := hostFiles(f, things)
	if err != nil {
		return 0, err
	}
	// They come in at descriptors 3 and 4, as if the caller had left them open.
	cmd.ExtraFiles = inherited
	for _, file := range inherited {
		defer file.Close()
	}
	stop, err := hostVictim(f)
	if err != nil {
		return 0, err
	}
	defer stop()
	starter := random()
	f.StartSum = sum(starter)
	cmd.Env = append(os.Environ(), "LEAKTEST_STARTER="+starter)
	f.missing("ipc", hostIPC(f, things))
	f.missing("key", hostKey(f))
	closeNet, err := hostNetwork(f)
	defer closeNet()
	f.missing("net", err)
	f.missing("limit", setOddLimit(f))
	f.missing("score", setOddScore())
	hostMachine(f, args)

	told, err := f.encode()
	if err != nil {
		return 0, err
	}
	for _, arg := range args[1:] {
		cmd.Args = append(cmd.Args, strings.ReplaceAll(arg, "FACTS", told))
	}
	done := make(chan struct{})
	defer close(done)
	go watch("cpu", told, cpuLimitOf, done)
	go watch("root-quota", told, countedForRoot(), done)
	return runOnTerminal(cmd, f)
}

// missing notes what could not be made.
func (f *facts) missing(what string, err error) {
	if err != nil {
		f.Missing[what] = err.Error()
	}
}

// runOnTerminal runs the command with a terminal of its own: it is the controlling terminal of its
// session and its standard error, as with a user who has redirected the other two. So there is
// something for TIOCSTI to type into, and no shell reads it.
func runOnTerminal(cmd *exec.Cmd, f *facts) (int, error) {
	master, slave, err := openTerminal()
	if err != nil {
		f.missing("terminal", err)
		cmd.Stderr = os.Stderr
	} else {
		cmd.Stderr = slave
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 2}
		defer master.Close()
	}
	// A signal is passed on, so that the program that started a container takes it down.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM)
	err = cmd.Start()
	if slave != nil {
		slave.Close()
	}
	if err != nil {
		return 0, err
	}
	go func() {
		for s := range signals {
			_ = cmd.Process.Signal(s)
		}
	}()
	read := make(chan struct{})
	go func() {
		defer close(read)
		if master != nil {
			_, _ = io.Copy(os.Stderr, master) // ends with EIO once the other end is closed
		}
	}()
	err = cmd.Wait()
	if master != nil {
		// Who outlives the command may have it open still: then there is no end.
		_ = master.SetReadDeadline(soon())
	}
	<-read
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		status := exit.Sys().(syscall.WaitStatus)
		if status.Signaled() {
			return 128 + int(status.Signal()), nil
		}
		return status.ExitStatus(), nil
	}
	return 0, err
}

// openTerminal makes a pseudo-terminal (pty(7)).
func openTerminal() (master, slave *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, &os.PathError{Op: "open", Path: "/dev/ptmx", Err: err}
	}
	master = os.NewFile(uintptr(fd), "terminal")
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		master.Close()
		return nil, nil, err
	}
	return master, slave, nil
}

// hostFiles makes two files with secrets. One is to be found by its path. The other is open, and so
// is the host's root directory: both are returned, to be inherited.
func hostFiles(f *facts, things made) ([]*os.File, error) {
	secret, open := random(), random()
	f.Secret, f.SecretSum, f.OpenSum = filepath.Join(things.Dir, "secret"), sum(secret), sum(open)
	openPath := filepath.Join(things.Dir, "open")
	err := errors.Join(
		os.WriteFile(f.Secret, []byte(secret), 0o644),
		os.WriteFile(openPath, []byte(open), 0o600),
	)
	if err != nil {
		return nil, err
	}
	if handle, _, err := unix.NameToHandleAt(unix.AT_FDCWD, f.Secret, 0); err != nil {
		f.missing("handle", os.NewSyscallError("name_to_handle_at", err))
	} else {
		f.HandleType, f.Handle = handle.Type(), handle.Bytes()
	}
	file, err := os.Open(openPath)
	if err != nil {
		return nil, err
	}
	root, err := os.Open("/")
	if err != nil {
		file.Close()
		return nil, err
	}
	return []*os.File{file, root}, nil
}

// hostVictim starts a process that does nothing but have a secret argument and a secret variable.
func hostVictim(f *facts) (stop func(), err error) {
	argument, variable := random(), random()
	f.VictimSum, f.EnvSum = sum(argument), sum(variable)
	cmd := exec.Command("/proc/self/exe", "victim", argument)
	cmd.Env = []string{"LEAKTEST_VICTIM=" + variable}
	// A session of its own, by which a number that is its PID on the host can be told from the same
	// number in another PID namespace.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: unix.SIGKILL}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the victim: %w", err)
	}
	f.Victim = cmd.Process.Pid
	return func() { stdin.Close(); _ = cmd.Wait() }, nil
}

// victim waits for the end of its standard input.
func victim([]string) error {
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// hostIPC makes one object of each kind that the IPC namespace is about, and a file in /dev/shm.
func hostIPC(f *facts, things made) error {
	queue, memory, mqueue, shm := random(), random(), random(), random()
	f.QueueKey, f.QueueSum = things.QueueKey, sum(queue)
	f.MemoryKey, f.MemorySum = things.MemoryKey, sum(memory)
	f.Mqueue, f.MqueueSum = things.Mqueue, sum(mqueue)
	f.Shm, f.ShmSum = things.Shm, sum(shm)
	return errors.Join(
		makeQueue(things.QueueKey, queue),
		makeMemory(things.MemoryKey, memory),
		makeMqueue(things.Mqueue, mqueue),
		os.WriteFile("/dev/shm/"+things.Shm, []byte(shm), 0o644),
	)
}

// hostKey gives this process a session keyring of its own (it would share its starter's), with a
// key in it. Our children inherit the keyring (session-keyring(7)).
func hostKey(f *facts) error {
	secret := random()
	f.Key, f.KeySum = "leaktest-"+random(), sum(secret)
	if _, err := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, null, 0, 0, 0); err != nil {
		return os.NewSyscallError("keyctl(KEYCTL_JOIN_SESSION_KEYRING)", err)
	}
	_, err := unix.AddKey("user", f.Key, []byte(secret), unix.KEY_SPEC_SESSION_KEYRING)
	return os.NewSyscallError("add_key", err)
}

// hostNetwork listens on the host's 127.0.0.1 and under an abstract name, and sends a secret to
// every process that connects.
func hostNetwork(f *facts) (closeAll func(), err error) {
	var listeners []net.Listener
	closeAll = func() {
		for _, listener := range listeners {
			listener.Close()
		}
	}
	serve := func(network, address, secret string) (net.Listener, error) {
		listener, err := net.Listen(network, address)
		if err != nil {
			return nil, err
		}
		listeners = append(listeners, listener)
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return // closed
				}
				_, _ = io.WriteString(conn, secret)
				conn.Close()
			}
		}()
		return listener, nil
	}
	port, abstract := random(), random()
	f.PortSum, f.AbstractSum = sum(port), sum(abstract)
	f.Abstract = "@leaktest-" + random() // Go's "@" is the zero byte of unix(7)
	if _, err := serve("unix", f.Abstract, abstract); err != nil {
		return closeAll, err
	}
	listener, err := serve("tcp", "127.0.0.1:0", port)
	if err != nil {
		return closeAll, err
	}
	f.Port = listener.Addr().(*net.TCPAddr).Port
	f.NetCookie, _ = netCookie() // since Linux 5.14
	f.Links, err = hardwareSums()
	return closeAll, err
}

// setOddLimit sets unusual limits on open files, for this process and the command.
func setOddLimit(f *facts) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return os.NewSyscallError("getrlimit", err)
	}
	limit.Max -= 7
	limit.Cur, f.OpenFiles = limit.Max, limit.Max
	return os.NewSyscallError("setrlimit", unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
}

// oddScore is an oom_score_adj that no other process has.
const oddScore = "17"

// setOddScore sets it for this process and the command. Where this process couldn't set it back to
// 0, a container couldn't either, and then it doesn't.
func setOddScore() error {
	const file = "/proc/self/oom_score_adj"
	return errors.Join(os.WriteFile(file, []byte("0"), 0), os.WriteFile(file, []byte(oddScore), 0))
}

// hostMachine notes what is known of the machine, and of the command.
func hostMachine(f *facts, args []string) {
	f.HostUID = os.Geteuid()
	f.HostnameSum = sum(hostname())
	f.UTS, _ = os.Readlink("/proc/self/ns/uts")
	f.Usr, _ = identify("/usr")
	f.Root = mountedAtRoot("/proc/self/mountinfo")
	f.Device = someDevice()
	for _, path := range machineWide {
		if _, err := os.Stat("/" + path); err != nil {
			f.Absent = append(f.Absent, path)
		}
	}
	f.Kernel = kernel()
	f.Memory = totalMemory()
	f.Uptime = uptime()
	if entries, err := os.ReadDir("/sys/firmware"); err == nil {
		f.Firmware = len(entries)
	}
	// The programs that processes of the host run: its PID 1, where we may look, this one, and
	// those that start the container.
	exes := []string{"/proc/1/exe", "/proc/self/exe"}
	for _, arg := range args {
		if path, err := exec.LookPath(arg); err == nil {
			exes = append(exes, path)
		}
	}
	for _, exe := range exes {
		if is, err := identify(exe); err == nil && !slices.Contains(f.HostExes, is) {
			f.HostExes = append(f.HostExes, is)
		}
	}
}

// startKeeper starts a process that outlives this one, whatever ends it, by the moment that it
// takes to remove what was made. dismiss asks it to do so, and waits.
func startKeeper(things made) (dismiss func() error, err error) {
	cmd := exec.Command("/proc/self/exe", "keeper")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no Ctrl-C for it
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the keeper: %w", err)
	}
	dismiss = func() error {
		if err := errors.Join(stdin.Close(), cmd.Wait()); err != nil {
			return fmt.Errorf("the keeper: %w", err)
		}
		return nil
	}
	if err := json.NewEncoder(stdin).Encode(things); err != nil {
		return nil, errors.Join(err, dismiss())
	}
	return dismiss, nil
}

// keeper waits for the end of its standard input, when no process holds the other end any longer,
// and removes what was made.
func keeper([]string) error {
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM)
	var things made
	decoder := json.NewDecoder(os.Stdin)
	if err := decoder.Decode(&things); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	return errors.Join(
		gone(removeQueue(things.QueueKey)),
		gone(removeMemory(things.MemoryKey)),
		gone(removeMqueue(things.Mqueue)),
		gone(os.Remove("/dev/shm/"+things.Shm)),
		os.RemoveAll(things.Dir),
	)
}

// gone takes no offence at what was never there.
func gone(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
