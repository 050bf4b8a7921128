//go:build linux

// How a spec travels from the outer process to the inner one.

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// encode writes a spec as a few lines of words. They are in quotes, as Go has them in its source;
// so no byte gets lost. (JSON would be less to write here. It has no way to say bytes that aren't
// UTF-8, though, as arguments and file names may have them, and to read a type's fields costs each
// half some 60 kB.)
func (s *spec) encode() (text []byte) {
	var volumes []string
	for _, v := range s.Volumes {
		volumes = append(volumes, v.Source, v.Target, strconv.FormatBool(v.ReadOnly))
	}
	for _, line := range [][]string{s.Args, s.Env, s.Layers, s.Dirs, s.Without, volumes, {
		s.Dir, s.User, s.Hostname, s.ResolvConf,
		strconv.FormatBool(s.ReadOnly), strconv.FormatBool(s.TTY), strconv.Itoa(s.Lent),
		strconv.Itoa(s.Memory),
	}} {
		for _, word := range line {
			text = append(strconv.AppendQuote(text, word), ' ')
		}
		text = append(text, '\n')
	}
	return text
}

// decode reads what encode has written.
func decode(text string) (*spec, error) {
	var lines [][]string
	for line := range strings.Lines(text) {
		var words []string
		for line != "\n" {
			quoted, err := strconv.QuotedPrefix(line)
			if err != nil {
				return nil, fmt.Errorf("read %q: %w", line, err)
			}
			word, _ := strconv.Unquote(quoted) // it has just been found to be one
			rest, found := strings.CutPrefix(line[len(quoted):], " ")
			if !found {
				return nil, fmt.Errorf("read %q: no blank after a word", line)
			}
			words, line = append(words, word), rest
		}
		lines = append(lines, words)
	}
	if len(lines) != 7 || len(lines[5])%3 != 0 || len(lines[6]) != 8 {
		return nil, fmt.Errorf("not a spec: %q", text)
	}
	s := &spec{Args: lines[0], Env: lines[1], Layers: lines[2], Dirs: lines[3], Without: lines[4]}
	for v := lines[5]; len(v) > 0; v = v[3:] {
		s.Volumes = append(s.Volumes, volume{Source: v[0], Target: v[1], ReadOnly: v[2] == "true"})
	}
	last := lines[6]
	s.Dir, s.User, s.Hostname, s.ResolvConf = last[0], last[1], last[2], last[3]
	s.ReadOnly, s.TTY = last[4] == "true", last[5] == "true"
	var err1, err2 error
	s.Lent, err1 = strconv.Atoi(last[6])
	s.Memory, err2 = strconv.Atoi(last[7])
	return s, errors.Join(err1, err2)
}

// send sends the spec over the line, to the container whose first process is pid, with a zero byte
// at its end, and what is lent.
func (s *spec) send(line *os.File, pid int) error {
	lent, err := lendVolumes(s.Volumes, pid)
	defer func() {
		for _, fd := range lent {
			unix.Close(fd)
		}
	}()
	if err != nil {
		return err
	}
	s.Lent = len(lent)
	text := append(s.encode(), 0)
	var rights []byte
	if len(lent) > 0 {
		rights = unix.UnixRights(lent...)
	}
	// The descriptors travel with the first byte (unix(7)).
	if err := unix.Sendmsg(int(line.Fd()), text[:1], rights, nil, 0); err != nil {
		return os.NewSyscallError("sendmsg to the container's half", err)
	}
	_, err = line.Write(text[1:])
	return err
}

// receive waits until the outer half has done its part and sends the spec. If that has no end, it
// died before.
func receive(line *os.File) (*spec, error) {
	text, rights := make([]byte, 1), make([]byte, unix.CmsgSpace(4*maxLent))
	n, size, _, _, err := unix.Recvmsg(int(line.Fd()), text, rights, unix.MSG_CMSG_CLOEXEC)
	for errors.Is(err, unix.EINTR) {
		n, size, _, _, err = unix.Recvmsg(int(line.Fd()), text, rights, unix.MSG_CMSG_CLOEXEC)
	}
	if err == nil && n == 0 {
		err = io.EOF
	}
	received := text[:max(n, 0)]
	for err == nil && !bytes.HasSuffix(received, []byte{0}) {
		// The other half says no more until we have answered: nothing beyond the zero is read.
		more := make([]byte, 4096)
		n, err = line.Read(more)
		received = append(received, more[:n]...)
	}
	if err != nil {
		return nil, fmt.Errorf("wait for the outer process: %w", err)
	}
	s, err := decode(string(received[:len(received)-1]))
	if err != nil {
		return nil, fmt.Errorf("read what the host's half says: %w", err)
	}
	return s, s.takeLent(rights[:size])
}
