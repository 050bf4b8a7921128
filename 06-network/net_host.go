//go:build linux

// The network namespace that plays the host for an ordinary user.

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// asksForLesson reports whether the arguments ask for the lesson: none, or only -pause, which the
// stand-in host gets too.
func asksForLesson(args []string) bool {
	return len(args) == 0 || len(args) == 1 && args[0] == "-pause"
}

// notRoot returns why the caller can't connect a container to the host, or "" if it can.
func notRoot() string {
	switch admin := holds(unix.CAP_NET_ADMIN) && holds(unix.CAP_SYS_ADMIN); {
	case admin && ownsNetwork():
		return ""
	case admin:
		return "root of a user namespace that this network doesn't belong to"
	case os.Geteuid() == 0:
		return "root without CAP_NET_ADMIN or CAP_SYS_ADMIN"
	}
	return "not root"
}

// ownsNetwork reports whether this process could return from another network namespace to its own.
// Each belongs to a user namespace, and outside of that one root's capabilities don't count
// (user_namespaces(7)).
func ownsNetwork() bool {
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return false
	}
	defer own.Close()
	return unix.Setns(int(own.Fd()), unix.CLONE_NEWNET) == nil
}

// playHost starts this program again as root of a user namespace with a network namespace that
// plays the host. Only the real host's root could plug that namespace into the world. But where
// pasta(1) is installed, it carries a command's packets there and back, as connections of this
// user.
func playHost(args []string, reason string) error {
	if asksForLesson(args) {
		sayLong("host", fmt.Sprintf("process %d, uid %d, %s: a namespace plays the host",
			os.Getpid(), os.Getuid(), reason), "")
	}
	wait, ready, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Args[0] = role(standIn)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{wait}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNET,
		Pdeathsig:  unix.SIGKILL,
	}
	mapLater, err := mapIDs(cmd.SysProcAttr)
	if err != nil {
		return err
	}
	err = cmd.Start()
	wait.Close()
	if err != nil {
		return fmt.Errorf("play the host: %w", err)
	}
	if err := mapLater(cmd.Process.Pid); err != nil {
		return abandon(cmd, err)
	}
	obstacle := ""
	switch _, missing := exec.LookPath("pasta"); {
	case asksForLesson(args): // the lesson needs no world
		obstacle = "a lesson plays it"
	case missing != nil:
		obstacle = "an ordinary user needs pasta(1) for that (it comes in the package passt)"
	case !tunnels():
		obstacle = "pasta(1) may not open /dev/net/tun"
	case !online():
		obstacle = "this host has no default route for IPv4 (ip -4 route)"
	default:
		keeper := self("keep:pasta", strconv.Itoa(cmd.Process.Pid))
		keeper.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // away from the terminal's signals
		p, _, err := start(keeper)
		if err != nil {
			return abandon(cmd, err)
		}
		defer p.end()
	}
	if _, err := ready.WriteString(obstacle + "\x00"); err != nil {
		return abandon(cmd, err)
	}
	return cmd.Wait()
}

// keepPasta runs pasta for a process's network namespace until standard input ends. By itself pasta
// would keep running, and keep the namespace alive. Its messages are dropped, because standard
// error belongs to the command.
func keepPasta(args []string) error {
	// By default pasta opens more than the way to the world: the gateway's address leads to the
	// host's own 127.0.0.1, and a port that is opened on one side is opened on the other too.
	pasta := exec.Command("pasta", "--foreground", "--config-net", "--quiet", "--no-map-gw",
		"--tcp-ports=none", "--udp-ports=none", "--tcp-ns=none", "--udp-ns=none", args[0])
	pasta.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if err := pasta.Start(); err != nil {
		return err
	}
	err := waitForEOF("started")
	if killed := pasta.Process.Kill(); !errors.Is(killed, os.ErrProcessDone) {
		err = errors.Join(err, killed)
	}
	_ = pasta.Wait() // "signal: killed", as it should be
	return err
}

// noPasta is why a stand-in host has no way to the world, or "" if pasta makes one.
var noPasta string

// beHost is what a stand-in host does first. It waits for the outer process, sets up its loopback,
// and then waits for the way to the world if pasta is making one. Without one it goes on all the
// same.
func beHost() error {
	var err error
	if noPasta, err = awaitHost(); err != nil {
		return err
	}
	n, err := dialNetlink(nil)
	if err != nil {
		return err
	}
	defer n.close()
	if err := n.setUp("lo"); err != nil {
		return err
	}
	for range 500 {
		link, err := uplink()
		if err != nil || link != "" || noPasta != "" {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	noPasta = "pasta didn't open one in time"
	fmt.Fprintf(os.Stderr, "%s: no way to the world: %s\n", step, noPasta)
	return nil
}

// online reports whether this host itself has a way to the world.
func online() bool {
	link, err := uplink()
	return err == nil && link != ""
}

// tunnels reports whether this user can make the kind of link that pasta needs.
func tunnels() bool {
	tun, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		return false
	}
	return tun.Close() == nil
}
