//go:build linux

// Bench measures 08 beside other runtimes. This is the program behind scripts/bench.sh, which
// builds it and says what for, and gives it a mount namespace of its own.
//
//	bench [-rounds N] [-containers N] DIR    DIR has 08-full-container in it, and room
//
// systems.go says what is compared, start.go how long a start takes, hold.go what a running
// container costs, table.go prints both.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// main has everything measured and prints it.
func main() {
	rounds := flag.Int("rounds", 12, "rounds of starts")
	containers := flag.Int("containers", 200, "containers held at the same time; 0: none")
	flag.Parse()
	if err := bench(flag.Arg(0), *rounds, *containers); err != nil {
		fmt.Fprintf(os.Stderr, "bench.sh: %v\n", err)
		os.Exit(1)
	}
}

// bench does it, with a directory to work in.
func bench(dir string, rounds, containers int) error {
	// crun 1 refuses a host with cgroup v1 and, beside it, the hierarchy of v2.
	// Without that it takes version 1. This is our own mount namespace: the host doesn't notice.
	err := unix.Unmount("/sys/fs/cgroup/unified", 0)
	if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EINVAL) {
		return &os.PathError{Op: "unmount", Path: "/sys/fs/cgroup/unified", Err: err}
	}
	if err := furnish(filepath.Join(dir, "root"), "true", "cat"); err != nil {
		return err
	}
	all := systems(dir)
	for _, s := range all {
		s.try()
	}
	if err := measureStart(all, dir, rounds); err != nil {
		return err
	}
	for _, s := range all {
		switch {
		case containers == 0 || s.missing != "" || s.bare:
		case s.strays:
			s.notHeld = "not counted"
		default:
			s.held, s.notHeld = hold(s, containers)
		}
	}
	fmt.Print(table(all, rounds*startsPerRound, containers))
	return nil
}

// furnish makes a root that holds a few of the host's programs, and the libraries that they need.
func furnish(root string, programs ...string) error {
	for _, empty := range []string{"bin", "proc", "sys", "dev", "etc", "tmp"} {
		if err := os.MkdirAll(filepath.Join(root, empty), 0o755); err != nil {
			return err
		}
	}
	for _, program := range programs {
		path, err := exec.LookPath(program)
		if err != nil {
			return err
		}
		if err := copyFile(path, filepath.Join(root, "bin", program)); err != nil {
			return err
		}
		out, _ := exec.Command("ldd", path).Output() // fails for a static program, which needs none
		for _, library := range libraries(string(out)) {
			if err := copyFile(library, filepath.Join(root, library)); err != nil {
				return err
			}
		}
	}
	return nil
}

// libraries finds the paths in what ldd(1) prints.
func libraries(listing string) (paths []string) {
	for _, word := range strings.Fields(listing) {
		if strings.HasPrefix(word, "/") && !strings.HasSuffix(word, ":") {
			paths = append(paths, word)
		}
	}
	return paths
}

// copyFile copies a program or a library, to a directory that may not be there yet.
func copyFile(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o755)
}
