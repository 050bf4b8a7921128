//go:build linux

// Who reaches a container through -publish, and what arrives.

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"jail-to-container/scripts/steptest"
)

// What test:serve does with a connection, by the container's port. On the last port, nothing
// listens.
const (
	echoes    = 1001 // sends back what it receives
	hangsUp   = 1002 // sends its last word first, and then prints what it receives
	witnesses = 1003 // prints whether the connection breaks
	isShut    = 1004
)

// init adds test:serve.
func init() {
	answer := map[int]func(*net.TCPConn) error{
		echoes: func(c *net.TCPConn) error {
			_, err := io.Copy(c, c)
			return err
		},
		hangsUp: func(c *net.TCPConn) error {
			_, err1 := c.Write([]byte("bye"))
			err2 := c.CloseWrite()
			received, err3 := io.ReadAll(c)
			fmt.Printf("received %q\n", received)
			return errors.Join(err1, err2, err3)
		},
		witnesses: func(c *net.TCPConn) error {
			_, err1 := c.Write([]byte("go"))
			_, err2 := io.Copy(io.Discard, c)
			fmt.Println("broken:", errors.Is(err2, unix.ECONNRESET))
			return err1
		},
	}
	experiments["test:serve"] = func([]string) error {
		failed := make(chan error)
		for port, answer := range answer {
			l, err := net.Listen("tcp4", fmt.Sprint(":", port))
			if err != nil {
				return err
			}
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						failed <- err
						return
					}
					go func() {
						defer c.Close()
						if err := answer(c.(*net.TCPConn)); err != nil {
							fmt.Println(err)
						}
					}()
				}
			}()
		}
		fmt.Println("ready")
		return <-failed
	}
}

// freePort returns a port on which no program of this host listens.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp4", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// dialHost connects to a port of this host.
func dialHost(address string, port int) (*net.TCPConn, error) {
	c, err := net.DialTimeout("tcp4", fmt.Sprintf("%s:%d", address, port), 10*time.Second)
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), c.SetDeadline(time.Now().Add(time.Minute))
}

// echo sends data to a port of this host, ends it, and returns what comes back until the other side
// ends that.
func echo(address string, port int, data []byte) ([]byte, error) {
	c, err := dialHost(address, port)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(data)
		sent <- errors.Join(err, c.CloseWrite())
	}()
	back, err := io.ReadAll(c)
	return back, errors.Join(err, <-sent)
}

// TestPublish talks to a container through ports of this host, and then kills the step.
func TestPublish(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		u.NeedInsight(t)
		w := steptest.NewWatch(t)
		port, args := map[int]int{}, []string{}
		for _, inside := range []int{echoes, hangsUp, witnesses, isShut} {
			port[inside] = freePort(t)
			args = append(args, "-publish", fmt.Sprintf("%d:%d/tcp", port[inside], inside))
		}
		cmd := u.Program(append(args, "/proc/self/exe", "test:serve")...)
		cmd.Env = w.Env()
		s := begin(t, cmd)
		if holders := listening(t, w, port[echoes]); len(holders) != 1 {
			t.Errorf("these have the port's socket, want one process: %q", holders)
		}

		// What arrives, both ways. The echo ends only after it has seen the end of what the caller
		// sends, and the caller must still receive then.
		data := make([]byte, 64<<20)
		if testing.Short() {
			data = data[:1<<20]
		}
		rand.New(rand.NewSource(1)).Read(data)
		back, err := echo("127.0.0.1", port[echoes], data)
		if err != nil || !bytes.Equal(back, data) {
			t.Errorf("of %d bytes, %d came back, or others: %v", len(data), len(back), err)
		}

		t.Run("the other side ends first", func(t *testing.T) {
			c, err := dialHost("127.0.0.1", port[hangsUp])
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			last, err1 := io.ReadAll(c)
			_, err2 := c.Write([]byte("still here"))
			if err := errors.Join(err1, err2, c.CloseWrite()); err != nil || string(last) != "bye" {
				t.Errorf("received %q, %v, want bye", last, err)
			}
			if line := s.line(); line != `received "still here"` {
				t.Error(line)
			}
		})
		t.Run("a connection that breaks", func(t *testing.T) {
			// With -1 it ends as usual: the control.
			for broken, linger := range map[bool]int{false: -1, true: 0} {
				c, err := dialHost("127.0.0.1", port[witnesses])
				if err != nil {
					t.Fatal(err)
				}
				_, err = io.ReadFull(c, make([]byte, len("go"))) // it has arrived
				if err := errors.Join(err, c.SetLinger(linger), c.Close()); err != nil {
					t.Fatal(err)
				}
				if line, want := s.line(), fmt.Sprint("broken: ", broken); line != want {
					t.Errorf("inside: %q, want %q", line, want)
				}
			}
		})
		t.Run("nothing listens", func(t *testing.T) {
			if back, err := echo("127.0.0.1", port[isShut], nil); !errors.Is(err, unix.ECONNRESET) {
				t.Errorf("received %q, %v, want a reset", back, err)
			}
		})
		t.Run("100 at once", func(t *testing.T) { hundredAtOnce(t, port[echoes]) })

		open, err := dialHost("127.0.0.1", port[echoes])
		if err != nil {
			t.Fatal(err)
		}
		defer open.Close()
		if err := s.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		s.status()
		if _, err := open.Read([]byte{0}); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a connection to a step that was killed: %v", err)
		}
		w.NothingLeft(t)
		for inside, port := range port {
			if _, err := dialHost("127.0.0.1", port); !errors.Is(err, unix.ECONNREFUSED) {
				t.Errorf("port %d, after the step was killed: %v, want ECONNREFUSED", inside, err)
			}
		}
	})
}

// listening returns which of the step's processes have the socket that listens on a port.
func listening(t *testing.T, w *steptest.Watch, port int) (holders []string) {
	t.Helper()
	table, err := os.ReadFile("/proc/net/tcp") // proc_pid_net(5)
	if err != nil {
		t.Fatal(err)
	}
	socket := ""
	for line := range strings.Lines(string(table)) {
		const listens = "0A"
		fields := strings.Fields(line)
		if strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", port)) && fields[3] == listens {
			socket = "socket:[" + fields[9] + "]"
		}
	}
	for _, process := range w.Processes() {
		dir, _, _ := strings.Cut(process, " ")
		open, _ := os.ReadDir(dir + "/fd") // PID 1 shows it to root only
		for _, entry := range open {
			if target, _ := os.Readlink(dir + "/fd/" + entry.Name()); target == socket {
				holders = append(holders, process)
			}
		}
	}
	return holders
}

// hundredAtOnce has 100 connections: each gets an answer before one of them ends.
func hundredAtOnce(t *testing.T, port int) {
	var all, ready sync.WaitGroup
	ready.Add(100)
	for i := range 100 {
		all.Go(func() {
			c, err := dialHost("127.0.0.1", port)
			if err != nil {
				t.Error(err)
				ready.Done()
				return
			}
			defer c.Close()
			for _, said := range []string{fmt.Sprint("first ", i), fmt.Sprint("second ", i)} {
				_, err1 := c.Write([]byte(said))
				back := make([]byte, len(said))
				_, err2 := io.ReadFull(c, back)
				if err := errors.Join(err1, err2); err != nil || string(back) != said {
					t.Errorf("said %q, received %q, %v", said, back, err)
				}
				if strings.HasPrefix(said, "first") {
					ready.Done()
					ready.Wait()
				}
			}
		})
	}
	all.Wait()
}

// TestIdlePorts has two ports, where one connection is carried at a time. The port that nobody
// connects to takes up no room. Two connections are too many: the second waits for the first's end.
func TestIdlePorts(t *testing.T) {
	server, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		for c, err := server.Accept(); err == nil; c, err = server.Accept() {
			go func() {
				_, _ = io.Copy(c, c)
				c.Close()
			}()
		}
	}()
	var ports []int
	room := make(chan bool, 1)
	for range 2 {
		l, err := net.Listen("tcp4", "127.0.0.1:0") // it stays open, because accept doesn't end
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
		go accept(l, server.Addr().String(), room)
	}
	time.Sleep(100 * time.Millisecond) // for both to wait for a connection
	for i, port := range ports {
		back, err := echo("127.0.0.1", port, []byte("hello"))
		if err != nil || string(back) != "hello" {
			t.Fatalf("port %d of 2, while the other is idle: %q, %v", i+1, back, err)
		}
	}
	first, err1 := dialHost("127.0.0.1", ports[0])
	_, err2 := first.Write([]byte{1})
	_, err3 := first.Read([]byte{0})
	second, err4 := dialHost("127.0.0.1", ports[1])
	_, err5 := second.Write([]byte{2})
	err6 := second.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	if err := errors.Join(err1, err2, err3, err4, err5, err6); err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if _, err := second.Read([]byte{0}); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("where there is no room, a second connection gets an answer: %v", err)
	}
	err7, err8 := first.Close(), second.SetReadDeadline(time.Now().Add(time.Minute))
	_, err9 := second.Read([]byte{0})
	if err := errors.Join(err7, err8, err9); err != nil {
		t.Errorf("the second, after the first's end: %v", err)
	}
}

// TestPublishedForThisHost connects to another address of this host. Only a port that was published
// there can be reached. 127.0.0.2 stands for all that aren't 127.0.0.1.
func TestPublishedForThisHost(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		here, everywhere := freePort(t), freePort(t)
		s := begin(t, u.Program("-publish", fmt.Sprintf("%d:%d", here, echoes),
			"-publish", fmt.Sprintf("0.0.0.0:%d:%d", everywhere, echoes),
			"/proc/self/exe", "test:serve"))
		for _, c := range []struct {
			address string
			port    int
			want    string
		}{
			{"127.0.0.1", here, "hello"}, {"127.0.0.2", here, "refused"},
			{"127.0.0.1", everywhere, "hello"}, {"127.0.0.2", everywhere, "hello"}, // the control
		} {
			back, err := echo(c.address, c.port, []byte("hello"))
			got := string(back)
			if errors.Is(err, unix.ECONNREFUSED) {
				got, err = "refused", nil
			}
			if got != c.want || err != nil {
				t.Errorf("%s, published everywhere %v: %q, %v, want %q", c.address,
					c.port == everywhere, got, err, c.want)
			}
		}
		if err := s.Process.Signal(unix.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if status := s.status(); status != 143 {
			t.Errorf("exit status %d, want 143", status)
		}
	})
}

// TestPortInUse publishes a port that another program has. That is said before anything is done:
// the image isn't even looked for.
func TestPortInUse(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		other, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := other.Addr().String()
		r := u.Run(t, "-publish", address+":80", "-image", "/no/such/image")
		if r.Status != 125 || r.Stdout != "" || strings.Count(r.Stderr, "\n") != 1 {
			t.Errorf("a port that is in use: %+v", r)
		}
		steptest.Contains(t, r.Stderr, "-publish "+address+":80: listen tcp4 "+address+
			": bind: address already in use\n")
		if err := other.Close(); err != nil {
			t.Fatal(err)
		}
		if out := u.Output(t, "-publish", address+":80", "echo", "ran"); out != "ran\n" {
			t.Errorf("the control, when it is free: %q", out)
		}
	})
}

// TestPublishWhereTheHostForwards publishes a port on a host like Docker's: it forwards, and drops
// what it doesn't expect. The control is a filter that drops what this host itself sends.
func TestPublishWhereTheHostForwards(t *testing.T) {
	steptest.Need(t, "nft", "nftables")
	if os.Getuid() != 0 {
		steptest.Skip(t, "only root can be a host that forwards; run it as root")
	}
	cmd := steptest.Root.Program("test:forwarding")
	cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWNET
	want := "through a host that forwards: hello\nthat drops what it sends: nothing\n"
	if out := steptest.Output(t, cmd); out != want {
		t.Errorf("%q, want %q", out, want)
	}
}

// init adds test:forwarding.
func init() {
	experiments["test:forwarding"] = func([]string) error {
		_, err := nft(`table ip filter {
			chain forward { type filter hook forward priority filter; policy drop; }
			chain input {
				type filter hook input priority filter; policy drop;
				iifname lo accept
				ct state established,related accept
			}
		}`)
		err = errors.Join(err, setUpLoopback(), forward("all", true), forward("default", true))
		if err != nil {
			return err
		}
		p, _, err := start(self("-publish", fmt.Sprint("8080:", echoes),
			"/proc/self/exe", "test:serve"))
		if err != nil {
			return err
		}
		back, err := echo("127.0.0.1", 8080, []byte("hello"))
		fmt.Printf("through a host that forwards: %s\n", back)
		_, err2 := nft(`table ip filter {
			chain output {
				type filter hook output priority filter;
				oifname "jail*" drop
			}
		}`)
		c, err3 := dialHost("127.0.0.1", 8080)
		err4 := c.SetDeadline(time.Now().Add(time.Second))
		if err := errors.Join(err, err2, err3, err4); err != nil {
			return err
		}
		_, err = c.Write([]byte("hello"))
		if _, err2 := c.Read([]byte{0}); err == nil && errors.Is(err2, os.ErrDeadlineExceeded) {
			fmt.Println("that drops what it sends: nothing")
		}
		err = p.cmd.Process.Signal(unix.SIGTERM)
		_ = p.end() // "exit status 143"
		return err
	}
}
