//go:build linux

// A partner is an experiment that stays while the lesson goes on, and says so with a line once it
// is ready. The same file in every step.

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
)

// partner is a running experiment with both ends of the conversation.
type partner struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines *bufio.Reader
}

// start starts an experiment and returns it with the first line that it says. It ends when its
// standard input does: at the latest when this process ends, by whatever signal.
func start(cmd *exec.Cmd) (*partner, string, error) {
	cmd.Stdin, cmd.Stdout = nil, nil
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, "", err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := cmd.Start(); err != nil {
		return nil, "", fmt.Errorf("start %s: %w", strings.Join(cmd.Args, " "), err)
	}
	p := &partner{cmd, stdin, bufio.NewReader(stdout)}
	line, err := p.listen()
	return p, line, err
}

// listen returns the next line. No line means that the experiment failed, and how it ended is the
// error.
func (p *partner) listen() (string, error) {
	line, err := p.lines.ReadString('\n')
	if err == nil {
		return strings.TrimSuffix(line, "\n"), nil
	}
	if ended := p.end(); ended != nil {
		err = ended
	}
	return "", fmt.Errorf("experiment %s: %w", strings.Join(p.cmd.Args, " "), err)
}

// end closes the conversation and waits until the experiment is over.
func (p *partner) end() error {
	return errors.Join(p.stdin.Close(), p.cmd.Wait())
}
