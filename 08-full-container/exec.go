//go:build linux

// -exec: one more command in a running container. `docker exec` enters the container's namespaces
// from outside (setns(2)) and has to set up everything else again: capabilities, filter, cgroup.
// Here the container's own PID 1 starts the command, as it started the first one, and the command
// inherits all of that.

package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// checkRunning rejects what makes no sense with -exec and -ps.
func (o *options) checkRunning(given []string) error {
	allowed := []string{"ps"}
	if !o.ps {
		allowed = append(always, "exec", "user", "workdir", "env", "tty")
	}
	for _, name := range given {
		if !slices.Contains(allowed, cmp.Or(aliases[name], name)) {
			return fmt.Errorf("-%s is for a new container, not for one that runs", name)
		}
	}
	switch {
	case o.ps && len(o.command) > 0:
		return errors.New("-ps takes no COMMAND")
	case o.ps:
		return nil
	case o.exec <= 0:
		return fmt.Errorf("-exec %d: a PID was expected, as -ps prints it", o.exec)
	case len(o.command) == 0:
		return errors.New("no COMMAND: what is to run in the container?")
	}
	return o.checkWorkdir()
}

// execIn runs a command in a running container and exits with the command's status. To PID 1 this
// process is what the outer process is for the first command: see supervise.
func execIn(o *options) error {
	status, err := o.execWith(catchSignals(lastSignal))
	if err != nil {
		return fmt.Errorf("run a command in container %d: %w", o.exec, err)
	}
	os.Exit(status)
	return nil
}

// execWith runs the command and returns its exit status. Signals that are caught are the command's.
func (o *options) execWith(caught <-chan chan os.Signal) (status int, err error) {
	if err := checkStreams(); err != nil {
		return 0, err
	}
	sharePipes()
	line, _, err := dial(o.exec, 10*time.Second)
	if err != nil {
		return 0, err
	}
	defer line.Close()
	request := &spec{Args: o.command, Env: o.env, Dir: o.workdir, User: o.user, TTY: o.tty}
	if o.tty {
		request.Env = append([]string{"TERM=" + cmp.Or(os.Getenv("TERM"), "xterm")}, o.env...)
	}
	var copies sync.WaitGroup
	streams, outputs := []int{0, 1, 2}, []*os.File(nil)
	if !o.tty {
		if outputs, err = keepTerminals(streams, &copies); err != nil {
			return 0, err
		}
	}
	err = sendMessage(line, append(request.encode(), 0), streams...)
	for _, fd := range streams {
		if fd > 2 {
			unix.Close(fd)
		}
	}
	started := endOnSignal(caught)
	var master *os.File
	if err == nil {
		master, err = takeOver(line)
	}
	if err != nil { // it may hang up on us before we have sent all
		return 0, fmt.Errorf("it takes no commands from this user, or has ended: %w", err)
	}
	signals := started()
	var at *terminal
	if master != nil {
		at = takeTerminal(master)
		defer at.leave()
	}
	if _, err := line.Write([]byte{0}); err != nil {
		return 0, err
	}
	deaf, shown := make(chan bool), make(chan bool)
	go func() { defer close(deaf); relay(signals, line, at, true) }()
	if master != nil {
		outputs = append(outputs, master)
		copies.Go(func() { copyOut(master) })
		go copyIn(master, at)
	}
	go func() { defer close(shown); copies.Wait() }()
	answer, _ := io.ReadAll(line) // nothing, if the container ends first
	for waiting := true; waiting; {
		select {
		case <-shown:
			waiting = false
		case <-deaf:
			waiting = false
		case <-time.After(50 * time.Millisecond):
			// A background job may keep them open for as long as the container runs.
			waiting = slices.ContainsFunc(outputs, hasMore)
		}
	}
	if len(answer) == 0 {
		return 128 + int(unix.SIGKILL), nil // by the kernel, because PID 1 has ended
	}
	if text := answer[1:]; len(text) > 0 {
		at.restore()
		fmt.Fprintf(os.Stderr, "%s: %s\n", step, text)
	}
	return int(answer[0]), nil
}

// keepTerminals puts a pipe in the place of each stream that is a terminal, and copies. What the
// command starts may keep the streams after the client's end, and could read what is typed then. (A
// terminal that is only written to can be read as well.)
func keepTerminals(streams []int, copies *sync.WaitGroup) (outputs []*os.File, err error) {
	for i, ours := range []*os.File{os.Stdin, os.Stdout, os.Stderr} {
		if terminalAt(i) < 0 {
			continue
		}
		ends := make([]int, 2) // the first is read from
		if err := unix.Pipe2(ends, unix.O_CLOEXEC); err != nil {
			return nil, os.NewSyscallError("pipe2", err)
		}
		addPermission(ends[0], 0o066) // see sharePipes
		if i == 0 {
			to := os.NewFile(uintptr(ends[1]), "pipe to the command")
			streams[i] = ends[0]
			go func() {
				defer to.Close()
				_, _ = io.Copy(to, ours) // fails if the command doesn't read
			}()
			continue
		}
		from := os.NewFile(uintptr(ends[0]), "pipe from the command")
		streams[i] = ends[1]
		outputs = append(outputs, from)
		copies.Go(func() { _, _ = io.Copy(ours, from) })
	}
	return outputs, nil
}

// hasMore reports whether there is output that hasn't been read yet.
func hasMore(from *os.File) bool {
	n, err := unix.IoctlGetInt(int(from.Fd()), unix.TIOCINQ)
	return err == nil && n > 0
}

// guests are the commands that PID 1 has started for clients.
var guests = guestBook{statuses: map[int]chan<- unix.WaitStatus{}}

// guestBook says for each PID where its exit status goes.
type guestBook struct {
	sync.Mutex
	statuses map[int]chan<- unix.WaitStatus
}

// add starts a command and notes its PID. The command may end at once; the lock makes reap wait
// until its PID is in the map.
func (g *guestBook) add(ended chan<- unix.WaitStatus, start func() (int, error)) (int, error) {
	g.Lock()
	defer g.Unlock()
	pid, err := start()
	if err == nil {
		g.statuses[pid] = ended
	}
	return pid, err
}

// ended is called for every process that ends, guest or not.
func (g *guestBook) ended(pid int, status unix.WaitStatus) {
	g.Lock()
	defer g.Unlock()
	if g.statuses[pid] != nil {
		g.statuses[pid] <- status
		delete(g.statuses, pid)
	}
}

// signal sends signals to a guest, unless it has ended: its PID may be another process's by now.
func (g *guestBook) signal(pid int, numbers ...unix.Signal) {
	g.Lock()
	defer g.Unlock()
	for _, number := range numbers {
		if g.statuses[pid] != nil {
			signalCommand(pid, number)
		}
	}
}

// serve is PID 1's part: it does what a client asks for. The outer process has checked who that is.
func (s *spec) serve(connection int) {
	client := newSocket(connection, "client")
	go func() {
		defer client.Close()
		request, streams, err := receive(client)
		closeStreams := sync.OnceFunc(func() {
			for _, fd := range streams {
				unix.Close(fd)
			}
		})
		defer closeStreams()
		var answer []byte
		switch {
		case err != nil:
		case len(request.Args) == 0:
			answer = s.describe()
		default:
			answer, err = s.startFor(client, request, streams, closeStreams)
		}
		if err != nil {
			answer = append([]byte{byte(errorStatus(err))}, legible(err.Error())+hint(err)...)
		}
		_, _ = client.Write(answer) // fails if the client has died
	}()
}

// startFor starts a command for a client, on the client's streams, and returns what to answer.
// User, directory and environment are the first command's unless the client says otherwise.
func (s *spec) startFor(client *os.File, request *spec, streams []int, closeStreams func()) (
	answer []byte, err error) {
	if len(streams) != 3 {
		return nil, fmt.Errorf("%d standard streams, and not 3", len(streams))
	}
	request.Env = unique(slices.Concat(s.Env, request.Env))
	request.Dir, request.User = cmp.Or(request.Dir, s.Dir), cmp.Or(request.User, s.User)
	var command process
	master := -1
	err = onFirstThread(func() (err error) {
		command, master, err = request.prepare(streams)
		return err
	})
	if err := errors.Join(err, handOver(client, master)); err != nil {
		return nil, err
	}
	var pid int
	ended := make(chan unix.WaitStatus, 1)
	err = onFirstThread(func() (err error) {
		if err = request.enterDir(); err == nil {
			pid, err = guests.add(ended, func() (int, error) {
				return command.start(uintptr(streams[0]), uintptr(streams[1]), uintptr(streams[2]))
			})
		}
		return err
	})
	closeStreams() // ours would keep the command's pipes open after its end
	if err != nil {
		return nil, err
	}
	go obey(client, pid)
	code, reason := ending(<-ended)
	return append([]byte{byte(code)}, reason...), nil
}

// prepare looks up the user of a client's command, and makes a terminal if it is to have one.
func (s *spec) prepare(streams []int) (command process, master int, err error) {
	command, err = s.process()
	if err != nil || !s.TTY {
		return command, -1, err
	}
	master, err = replaceStreams(command.uid(), streams)
	return command, master, err
}

// replaceStreams makes a terminal and puts its slave in the place of the streams.
func replaceStreams(owner int, streams []int) (master int, err error) {
	master, slave, err := newTerminal(owner, streams)
	if err != nil {
		return -1, err
	}
	defer unix.Close(slave)
	for _, stream := range slaveStreams(streams) {
		if err := unix.Dup3(slave, stream, unix.O_CLOEXEC); err != nil {
			unix.Close(master)
			return -1, os.NewSyscallError("dup3", err)
		}
	}
	return master, nil
}

// obey passes a client's signals on. When the client dies, the command gets SIGHUP, as from a
// terminal that is hung up: it can clean up, and a command that is meant to stay ignores the signal
// (nohup(1)). SIGKILL would allow neither.
func obey(client io.Reader, pid int) {
	number := make([]byte, 1)
	for {
		if _, err := client.Read(number); err != nil {
			guests.signal(pid, unix.SIGHUP, unix.SIGCONT)
			return
		}
		guests.signal(pid, unix.Signal(number[0]))
	}
}
