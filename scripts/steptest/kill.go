//go:build linux

// The outer process, killed while a command runs and before.

package steptest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// KilledCommand ends the outer process while a command runs that has children, which wait for an
// input that doesn't come.
func KilledCommand(t *testing.T) {
	AsEveryUser(t, func(t *testing.T, u User) {
		for _, signal := range []syscall.Signal{unix.SIGKILL, unix.SIGTERM} {
			w := NewWatch(t)
			cmd := u.Program("sh", "-c", "sh -c 'sh -c \"echo ready; cat; :\"; :'; :")
			cmd.Env = w.Env()
			input, never, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer never.Close()
			cmd.Stdin = input
			var said strings.Builder
			cmd.Stderr = &said
			cmd.WaitDelay = time.Second // what is left has it open
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var line string
			if _, err := fmt.Fscan(stdout, &line); err != nil || line != "ready" {
				_ = cmd.Wait() // it says why
				t.Fatalf("the command said %q, %v; %s", line, err, &said)
			}
			if n := len(w.Processes()); n < 4 { // the control of NothingLeft
				t.Errorf("%d processes carry the mark while the command runs, want 4 and more", n)
			}
			if err := cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			cmd.Wait() // how it ended is not the question
			w.NothingLeft(t)
			input.Close()
		}
	})
}

// KilledEarly kills the outer process 40 times between its start and half as long again as it takes
// to start a command: links, tables and cgroups come late. Nothing may be left. KILLS=1500 in the
// environment makes it 1,500 times. Root's links are those of a network namespace that has a
// default route and doesn't forward.
func KilledEarly(t *testing.T) {
	NeedNamespaces(t)
	kills := 40
	if testing.Short() {
		kills = 10
	}
	if n, err := strconv.Atoi(os.Getenv("KILLS")); err == nil {
		kills = n
	}
	AsEveryUserAtOnce(t, func(t *testing.T, u User) {
		w := NewWatch(t)
		t.Cleanup(w.Kill)
		if u.UID == 0 {
			cmd := u.Program("test:kill-early", strconv.Itoa(kills), w.Mark)
			cmd.Env, cmd.SysProcAttr.Cloneflags = w.Env(), unix.CLONE_NEWNET
			Output(t, cmd)
		} else if err := killEarly(kills, func(args ...string) *exec.Cmd {
			cmd := u.Program(append(args, w.Mark)...)
			cmd.Env = w.Env()
			return cmd
		}); err != nil {
			t.Fatal(err)
		}
		w.NothingLeft(t)
	})
}

// killEarly measures how long the program takes to start a command, and then kills it that many
// times, each a little later.
func killEarly(kills int, program func(args ...string) *exec.Cmd) error {
	var starts []time.Duration
	for range 5 {
		cmd, begun := program("sh", "-c", "echo ready"), time.Now()
		said, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			return err
		}
		late := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
		_, err = said.Read([]byte{0})
		late.Stop()
		starts = append(starts, time.Since(begun))
		if err := errors.Join(err, cmd.Wait()); err != nil {
			return fmt.Errorf("measure a start (for a minute at most): %w", err)
		}
	}
	slices.Sort(starts)
	for i := range kills {
		cmd := program("sh", "-c", "sleep 3600; :")
		if err := cmd.Start(); err != nil {
			return err
		}
		time.Sleep(starts[2] * 3 / 2 * time.Duration(i) / time.Duration(kills))
		cmd.Process.Kill() // it may have failed by itself, but then there is no sleep
		cmd.Wait()         // how it ended is not the question
	}
	return nil
}

// networkOf lists the links of this network namespace, whether they forward, their tags, and nft's
// tables.
func networkOf() string {
	settings, _ := filepath.Glob("/proc/sys/net/ipv4/conf/*/forwarding")
	tags, _ := filepath.Glob("/proc/sys/net/ipv4/conf/*/tag")
	var state strings.Builder
	for _, file := range append(settings, tags...) {
		text, _ := os.ReadFile(file) // one that has just gone says nothing
		fmt.Fprintf(&state, "%s %s", file, text)
	}
	tables, _ := exec.Command("nft", "list", "tables").Output() // without nft there are none
	return state.String() + string(tables)
}

// networkAgain waits until networkOf is what it was before: keepers take their time, and so does
// the kernel.
func networkAgain(before string) error {
	for range 200 {
		if networkOf() == before {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("after 10 seconds the network is:\n%s\nand was:\n%s", networkOf(), before)
}

// addDefaultRoute gives this network namespace a default route and lets it not forward, so that a
// step makes it forward. Without ip(8) there is no such route.
func addDefaultRoute() {
	_ = exec.Command("sh", "-c", `for file in /proc/sys/net/ipv4/conf/*/forwarding; do
		echo 0 >$file; done; ip link set lo up && ip route add default dev lo`).Run()
}

// init adds the host whose network must stay as it is.
func init() {
	experiments["test:kill-early"] = func(args []string) error {
		addDefaultRoute()
		kills, err := strconv.Atoi(args[0])
		if err != nil {
			return err
		}
		before := networkOf()
		if err := killEarly(kills, func(command ...string) *exec.Cmd {
			return exec.Command("/proc/self/exe", append(command, args[1])...)
		}); err != nil {
			return err
		}
		return networkAgain(before)
	}
}
