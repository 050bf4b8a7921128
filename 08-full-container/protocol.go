//go:build linux

// What the processes of a container say to one another, over sockets (unix(7)).
//
//	from    to      what, and which descriptors with it              when
//	outer   PID 1   the spec; volumes                                first (send, receive)
//	PID 1   outer   a zero byte; the terminal                        before the command (handOver)
//	outer   PID 1   a zero byte                                      once it relays signals
//	outer   PID 1   a byte, the number of a signal                   from then on (relay, listen)
//	outer   PID 1   a zero byte; a client's connection               from then on (admit, listen)
//
// A process that plays the host stands between the two and passes everything on.
//
// A client is this program, started with -exec or -ps. It connects to the outer process, and from
// the last line above on it talks to PID 1 directly:
//
//	client  PID 1   a spec; standard input, output and error         first, with -exec
//	PID 1   client  a zero byte; the new terminal                    before the command (handOver)
//	client  PID 1   a zero byte, then signals, as above              until the end
//	PID 1   client  an exit status, one byte, and an error message   at the end
//	client  PID 1   a spec without arguments                         with -ps
//	PID 1   client  its arguments, hostname, age, address, image     at once (describe)

package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// encode writes a spec as a few lines of words, each quoted as in Go's source, so that no byte gets
// lost. JSON strings are UTF-8, and arguments and file names needn't be. encoding/gob keeps all
// bytes, but isn't meant for input that others write, as a client reads it from PID 1.
func (s *spec) encode() []byte {
	var volumes []string
	for _, v := range s.Volumes {
		volumes = append(volumes, v.Source, v.Target, strconv.FormatBool(v.ReadOnly))
	}
	return encodeLines(s.Args, s.Env, s.Layers, s.Dirs, s.Without, volumes, []string{
		s.Dir, s.User, s.Hostname, s.ResolvConf, s.Image,
		strconv.FormatBool(s.ReadOnly), strconv.FormatBool(s.TTY), strconv.Itoa(s.Passed),
		strconv.Itoa(s.Memory),
	})
}

// encodeLines writes lines of words.
func encodeLines(lines ...[]string) (text []byte) {
	for _, line := range lines {
		for _, word := range line {
			text = append(strconv.AppendQuote(text, word), ' ')
		}
		text = append(text, '\n')
	}
	return text
}

// decodeLines reads what encodeLines has written.
func decodeLines(text string) (lines [][]string, err error) {
	for line := range strings.Lines(text) {
		var words []string
		for line != "\n" {
			quoted, err := strconv.QuotedPrefix(line)
			if err != nil {
				return nil, fmt.Errorf("read %.99q: %w", line, err)
			}
			word, _ := strconv.Unquote(quoted) // it has just been found to be one
			rest, found := strings.CutPrefix(line[len(quoted):], " ")
			if !found {
				return nil, fmt.Errorf("read %.99q: no blank after a word", line)
			}
			words, line = append(words, word), rest
		}
		lines = append(lines, words)
	}
	return lines, nil
}

// decode reads what encode has written.
func decode(text string) (*spec, error) {
	lines, err := decodeLines(text)
	if err != nil {
		return nil, err
	}
	if len(lines) != 7 || len(lines[5])%3 != 0 || len(lines[6]) != 9 {
		return nil, fmt.Errorf("not a spec: %.99q", text)
	}
	s := &spec{Args: lines[0], Env: lines[1], Layers: lines[2], Dirs: lines[3], Without: lines[4]}
	for v := lines[5]; len(v) > 0; v = v[3:] {
		s.Volumes = append(s.Volumes, volume{Source: v[0], Target: v[1], ReadOnly: v[2] == "true"})
	}
	last := lines[6]
	s.Dir, s.User, s.Hostname, s.ResolvConf = last[0], last[1], last[2], last[3]
	s.Image, s.ReadOnly, s.TTY = last[4], last[5] == "true", last[6] == "true"
	var err1, err2 error
	s.Passed, err1 = strconv.Atoi(last[7])
	s.Memory, err2 = strconv.Atoi(last[8])
	return s, errors.Join(err1, err2)
}

// send sends the spec over the line, to the container whose first process is pid, with a zero byte
// at its end, and the volumes.
func (s *spec) send(line *os.File, pid int) error {
	passed, err := passVolumes(s.Volumes, pid)
	defer func() {
		for _, fd := range passed {
			unix.Close(fd)
		}
	}()
	if err != nil {
		return err
	}
	s.Passed = len(passed)
	return sendMessage(line, append(s.encode(), 0), passed...)
}

// maxSpec is how long a spec may be. What execve(2) takes as arguments and variables fits in.
// Without a limit a client could use up the container's memory.
const maxSpec = 8 << 20

// receive waits until the outer process has done its part and sends the spec, and returns the
// descriptors that came with it. If the spec has no end, that process died before.
func receive(line *os.File) (s *spec, passed []int, err error) {
	var text []byte
	for !bytes.HasSuffix(text, []byte{0}) {
		// The other side says no more until we have answered: nothing beyond the zero is read.
		more := make([]byte, 4096)
		n, descriptors, err := receiveMessage(line, more)
		if err != nil {
			return nil, passed, fmt.Errorf("wait for the outer process: %w", err)
		}
		text, passed = append(text, more[:n]...), append(passed, descriptors...)
		if len(text) > maxSpec {
			return nil, passed, fmt.Errorf("the arguments and variables take more than %d MiB",
				maxSpec>>20)
		}
	}
	if s, err = decode(string(text[:len(text)-1])); err != nil {
		err = fmt.Errorf("read what the outer process says: %w", err)
	}
	return s, passed, err
}

// sendMessage writes to a socket. Descriptors travel with the first byte (SCM_RIGHTS of unix(7)).
func sendMessage(to *os.File, data []byte, descriptors ...int) error {
	var rights []byte
	if len(descriptors) > 0 {
		rights = unix.UnixRights(descriptors...)
	}
	socket, err := to.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = socket.Write(func(fd uintptr) (done bool) {
		failed = unix.Sendmsg(int(fd), data[:1], rights, nil, 0)
		return !errors.Is(failed, unix.EAGAIN)
	})
	if err = cmp.Or(err, failed); err != nil {
		return &os.PathError{Op: "write to the", Path: to.Name(), Err: err}
	}
	_, err = to.Write(data[1:])
	return err
}

// receiving is held while a message is received. If the table of descriptors must grow for those
// that come with it, that takes the kernel milliseconds, and Go starts another thread meanwhile.
// Without the lock, a crowd of clients would take a crowd of threads: see reserveThreads.
var receiving sync.Mutex

// receiveMessage reads from a socket, and takes the descriptors that come along. At the end of what
// the other side says it returns io.EOF.
func receiveMessage(from *os.File, data []byte) (n int, descriptors []int, err error) {
	socket, err := from.SyscallConn()
	if err != nil {
		return 0, nil, err
	}
	rights, size := make([]byte, unix.CmsgSpace(4*maxPassed)), 0
	var failed error
	err = socket.Read(func(fd uintptr) (done bool) {
		receiving.Lock()
		defer receiving.Unlock()
		for failed = unix.EINTR; errors.Is(failed, unix.EINTR); {
			n, size, _, _, failed = unix.Recvmsg(int(fd), data, rights, unix.MSG_CMSG_CLOEXEC)
		}
		return !errors.Is(failed, unix.EAGAIN)
	})
	switch err = cmp.Or(err, failed); {
	case err != nil:
		return 0, nil, err
	case n == 0:
		return 0, nil, io.EOF
	}
	messages, err := unix.ParseSocketControlMessage(rights[:size])
	for i := range messages {
		more, failed := unix.ParseUnixRights(&messages[i])
		descriptors, err = append(descriptors, more...), cmp.Or(err, failed)
	}
	return n, descriptors, err
}
