//go:build linux

// Who gets in by a container's socket, and whose socket it must be.

package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"jail-to-container/scripts/steptest"
)

// TestDoorIsOutside tries to connect from inside. The control does so from outside.
func TestDoorIsOutside(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		r := runContainer(t, u, "cat")
		if out := r.output("/proc/self/exe", "test:connect", r.pid()); out != "ECONNREFUSED\n" {
			t.Errorf("inside: %q", out)
		}
		if out := u.Output(t, "test:connect", r.pid()); out != "ok\n" {
			t.Errorf("outside: %q", out)
		}
	})
}

// TestNoDoorWithoutNet: a container that shares root's network could connect, so there is nothing
// to connect to. An ordinary user's shares the one of a stand-in host, where no socket is.
func TestNoDoorWithoutNet(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		cmd := u.Program("-without", "net", "/proc/self/exe", "test:connect-forever")
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		r := &running{t, begin(t, cmd), u}
		fmt.Fprintln(stdin, r.pid())
		if line := r.line(); line != "ECONNREFUSED" {
			t.Errorf("inside: %q", line)
		}
		want := 1
		if u.UID == 0 {
			want = 0
		}
		if n := sockets(t, r.pid()); n != want {
			t.Errorf("%d sockets, want %d", n, want)
		}
	})
}

// TestOtherUserIsRefused has one user ask for another's container. Nothing runs in it.
func TestOtherUserIsRefused(t *testing.T) {
	if os.Getuid() != 0 {
		steptest.Skip(t, "only root can become another user")
	}
	for _, c := range []struct {
		owner, client steptest.User
		says          string
	}{
		{steptest.Root, steptest.Ordinary, "it takes no commands from this user, or has ended"},
		{steptest.Ordinary, steptest.Root, "it belongs to uid 12345: only that user can enter"},
	} {
		t.Run(c.client.Name, func(t *testing.T) {
			steptest.Ready(t, c.owner)
			r := runContainer(t, c.owner, "cat")
			got := c.client.Run(t, "-exec", r.pid(), "touch", "/tmp/file")
			if got.Status != 125 {
				t.Errorf("%+v", got)
			}
			steptest.Contains(t, got.Stderr, c.says)
			if out := r.output("ls", "/tmp"); out != "" {
				t.Errorf("the other user has left %q", out)
			}
			if out := c.client.Output(t, "-ps"); strings.Contains(out, r.pid()) {
				t.Errorf("the other user sees it:\n%s", out)
			}
			r.output("touch", "/tmp/file") // the control
			if out := r.output("ls", "/tmp"); out != "file\n" {
				t.Errorf("its owner has left %q", out)
			}
		})
	}
}

// TestFakeDoor has another process take a container's name. The client must notice before it sends
// anything. The control is one that is what it says, and gets the three streams.
func TestFakeDoor(t *testing.T) {
	users := []steptest.User{steptest.Caller()}
	if os.Getuid() == 0 {
		users = append(users, steptest.Ordinary)
	}
	for _, owner := range users {
		sleep := exec.Command("sleep", "1000")
		if os.Getuid() == 0 { // the owner's, as /proc may hide those of others (hidepid)
			sleep.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{
				Uid: uint32(owner.UID), Gid: uint32(owner.GID()),
			}}
		}
		if err := sleep.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { sleep.Process.Kill(); sleep.Wait() })
		for _, c := range []struct {
			pid  int // 0: its own
			says string
			got  [2]string // from -ps, and from -exec
		}{
			{sleep.Process.Pid, "has taken the name of its socket",
				[2]string{"nothing", "nothing"}},
			{0, "it belongs to uid 12345", [2]string{"nothing", "nothing"}},
			{0, "it takes no commands from this user, or has ended",
				[2]string{"words, 0 descriptors", "words, 3 descriptors"}},
		} {
			client, fakes := owner, c.got[0] == "nothing"
			if fakes && c.pid == 0 {
				if client = steptest.Caller(); client == owner {
					continue // it takes two users
				}
			}
			fake := begin(t, owner.Program("test:fake-door", strconv.Itoa(c.pid)))
			pid := c.pid
			if pid == 0 {
				pid = fake.Process.Pid
			}
			begun := time.Now()
			list := client.Output(t, "-ps")
			if fakes == strings.Contains(list, "\n"+strconv.Itoa(pid)+" ") {
				t.Errorf("a fake is listed, or the other isn't:\n%s", list)
			}
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("-ps took %v", took)
			}
			got := client.Run(t, "-exec", strconv.Itoa(pid), "true")
			if got.Status != 125 {
				t.Errorf("%+v", got)
			}
			steptest.Contains(t, got.Stderr, c.says)
			for _, want := range c.got {
				if line := fake.line(); line != want {
					t.Errorf("uid %d for uid %d got %s, want %s", owner.UID, client.UID, line, want)
				}
			}
			fake.Process.Kill()
			fake.Wait()
		}
	}
}

// TestTakenName takes a container's name before it can. It says so, and runs.
func TestTakenName(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		cmd := u.Program("test:wait", "-net=false", "echo", "ran")
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		var said, out strings.Builder
		cmd.Stderr, cmd.Stdout = &said, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(socket)
		name := fmt.Sprint("@jail-to-container/", cmd.Process.Pid)
		if err := unix.Bind(socket, &unix.SockaddrUnix{Name: name}); err != nil {
			t.Fatal(err)
		}
		stdin.Close()
		if err := cmd.Wait(); err != nil || out.String() != "ran\n" {
			t.Errorf("%v, %q", err, out.String())
		}
		steptest.Contains(t, said.String(), "listen at "+name+": address already in use: "+
			"-ps and -exec won't find this container\n")
	})
}

// init adds what connects to a container's socket, and what plays one.
func init() {
	connect := func(pid string) error {
		socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		answer := errno(unix.Connect(socket, &unix.SockaddrUnix{Name: "@jail-to-container/" + pid}))
		_, err = fmt.Println(firstWord(answer))
		return err
	}
	experiments["test:connect"] = func(args []string) error { return connect(args[0]) }
	experiments["test:connect-forever"] = func([]string) error {
		fmt.Println("ready")
		for {
			var pid string
			if _, err := fmt.Scan(&pid); err != nil {
				return nil
			}
			if err := connect(pid); err != nil {
				return err
			}
		}
	}
	experiments["test:fake-door"] = func(args []string) error {
		if args[0] == "0" {
			args[0] = strconv.Itoa(os.Getpid())
		}
		socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err == nil {
			err = unix.Bind(socket, &unix.SockaddrUnix{Name: "@jail-to-container/" + args[0]})
		}
		if err == nil {
			err = unix.Listen(socket, 1)
		}
		if err != nil {
			return err
		}
		fmt.Println("ready")
		for {
			client, _, err := unix.Accept(socket)
			if err != nil {
				return err
			}
			line := os.NewFile(uintptr(client), "client")
			_, descriptors, err := receiveMessage(line, []byte{0})
			if err != nil {
				fmt.Println("nothing")
			} else {
				fmt.Printf("words, %d descriptors\n", len(descriptors))
			}
			for _, fd := range descriptors {
				unix.Close(fd)
			}
			time.Sleep(300 * time.Millisecond) // all that is sent can be written
			line.Close()
		}
	}
	experiments["test:wait"] = func(args []string) error {
		_, _ = os.Stdin.Read([]byte{0})
		return unix.Exec("/proc/self/exe", append([]string{step}, args...), os.Environ())
	}
}
