//go:build linux

// What the judge does inside your container: this program again, as one small attacker.

package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// probeFlag is the first argument of this program as a probe.
const probeFlag = "--probe"

// probes are what a probe can do. Each prints one line, if it succeeds.
var probes = map[string]func(args []string) error{
	"escape": escape,
	"rename": func(args []string) error {
		if err := unix.Sethostname([]byte(args[0])); err != nil {
			return os.NewSyscallError("sethostname", err)
		}
		fmt.Println("renamed")
		return nil
	},
	"shm": func(args []string) error {
		key, err := strconv.Atoi(args[0])
		if err != nil {
			return err
		}
		if _, err := unix.SysvShmGet(key, 1, 0); err != nil {
			return os.NewSyscallError("shmget", err)
		}
		fmt.Println("found the segment")
		return nil
	},
	"dial": func(args []string) error {
		address := args[0]
		if port, found := strings.CutPrefix(address, "gateway:"); found {
			gateway, err := gateway()
			if err != nil {
				return err
			}
			address = net.JoinHostPort(gateway, port)
		}
		c, err := net.DialTimeout("tcp", address, 2*time.Second)
		if err != nil {
			return err
		}
		defer c.Close()
		text, err := io.ReadAll(c)
		fmt.Printf("%s says %q\n", address, text)
		return err
	},
	"self": func([]string) error {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		c, err := net.DialTimeout("tcp", l.Addr().String(), 2*time.Second)
		if err != nil {
			return err
		}
		fmt.Println("connected")
		return c.Close()
	},
	"serve": func(args []string) error {
		l, err := net.Listen("tcp", args[0])
		if err != nil {
			return err
		}
		fmt.Println("listening")
		for n := 1; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return err
			}
			fmt.Fprintf(c, "connection %d to the container", n)
			_ = c.Close() // what was written is on its way
			if len(args) > 1 && args[1] == strconv.Itoa(n) {
				time.Sleep(200 * time.Millisecond) // it is sent by now
				return nil
			}
		}
	},
	"chown": func(args []string) error {
		if err := os.WriteFile("/tmp/theirs", nil, 0o600); err != nil {
			return err
		}
		if err := os.Chown("/tmp/theirs", 1, 1); err != nil {
			return err
		}
		fmt.Println("the file is uid 1's now")
		return nil
	},
	"eat": func(args []string) error {
		size, err := strconv.Atoi(args[0])
		if err != nil {
			return err
		}
		memory := make([]byte, size<<20)
		for i := 0; i < len(memory); i += os.Getpagesize() {
			memory[i] = 1 // memory that isn't touched isn't used
		}
		fmt.Printf("used %d MiB\n", len(memory)>>20)
		return nil
	},
	"grow": func(args []string) error {
		most, err := strconv.Atoi(args[0])
		if err != nil {
			return err
		}
		var all [][]byte
		for range most {
			memory := make([]byte, 1<<20)
			for i := 0; i < len(memory); i += os.Getpagesize() {
				memory[i] = 1
			}
			all = append(all, memory)
			time.Sleep(20 * time.Millisecond)
		}
		fmt.Printf("used %d MiB\n", len(all))
		return nil
	},
	"processes": func(args []string) error {
		most, err := strconv.Atoi(args[0])
		if err != nil {
			return err
		}
		for n := range most {
			if err := exec.Command("sleep", "3").Start(); err != nil {
				return fmt.Errorf("process %d: %w", n, err)
			}
		}
		fmt.Printf("made %d processes\n", most)
		return nil
	},
	"lodown": func([]string) error {
		if err := setFlags("lo", 0); err != nil {
			return err
		}
		fmt.Println("took the link lo down")
		return nil
	},
	"mkdir": mkdirBothWays,
	"knock": knock,
}

// beProbe is a probe in your container.
func beProbe(args []string) int {
	probe := probes[args[0]]
	if probe == nil {
		return trouble("there is no probe %s", args[0])
	}
	if err := probe(args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// escape is step 01's escape from a chroot (chroot(2), NOTES).
func escape(args []string) error {
	if err := os.MkdirAll("/tmp/deeper", 0o700); err != nil {
		return err
	}
	if err := unix.Chroot("/tmp/deeper"); err != nil { // and stay where we are
		return os.NewSyscallError("chroot", err)
	}
	for range 64 {
		if err := unix.Chdir(".."); err != nil {
			return os.NewSyscallError("chdir", err)
		}
	}
	if err := unix.Chroot("."); err != nil {
		return os.NewSyscallError("chroot", err)
	}
	text, err := os.ReadFile(args[0])
	fmt.Print(string(text))
	return err
}

// mkdirBothWays makes a directory by each system call that does.
func mkdirBothWays([]string) error {
	for _, c := range mkdirCalls {
		name := "/tmp/made-by-" + c.name
		path, err := unix.BytePtrFromString(name)
		if err != nil {
			return err
		}
		if errno := c.call(path); errno == 0 {
			fmt.Printf("%s made a directory\n", c.name)
		} else {
			fmt.Fprintf(os.Stderr, "%s: %v\n", c.name, errno)
		}
	}
	return nil
}

// gateway returns the address of the default route's gateway.
func gateway() (string, error) {
	table, err := os.ReadFile("/proc/net/route")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line) // link, network, gateway, ..., in hex
		if len(fields) < 3 || fields[1] != "00000000" {
			continue
		}
		n, err := strconv.ParseUint(fields[2], 16, 32)
		if err != nil {
			return "", err
		}
		var native [4]byte
		putNative32(native[:], uint32(n))
		return net.IP(native[:]).String(), nil
	}
	return "", fmt.Errorf("no default route")
}
