//go:build linux

// Leaks runs scripts/leaktest on the bare host, in the eight steps, and in the container runtimes
// that are installed, and shows what held and what leaked as one matrix. This is the program behind
// scripts/leaks.sh, which builds it, leaktest and the steps into one directory.
//
//	leaks DIRECTORY ROOT [flags]    DIRECTORY has the programs, ROOT is the repository
//
// columns.go says how each system is started, collect.go runs leaktest in it, matrix.go, formats.go
// and picture.go show what came of it, record.go compares it with what was recorded, and with what
// it should be, and state.go looks whether the host is as it was.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/fatih/color"
	"golang.org/x/sys/unix"
)

// options are the flags.
type options struct {
	user, dockerd, check, record, why, changed bool
	only, format                               string
	bin, root                                  string
}

// usage is what -h says.
const usage = `usage: scripts/leaks.sh [-user] [-only LIST] [-format FORMAT] [-why] [-dockerd]
                        [-changed | -check | -record]

Tries some seventy attacks on the bare host, in the eight steps, in docker, podman, runc, crun and
bwrap with their defaults if they are installed, and in a virtual machine (vm: qemu with one of
Debian's kernels). Prints a matrix with a row for each attack and a column for each system. A cell
says held, LEAK, or n/a if the attack can't be tried or its success would say nothing about the
host. If a column can't be made, a line below the matrix says why. Progress is on standard error. At
the end it checks that the host is as it was before.

  -user           run as an ordinary user: as yourself (also with sudo) or, as root, as nobody
  -only LIST      make only these columns, such as host,01,08,runc; "all" is every column
  -format FORMAT  text, markdown, json (with all evidence) or svg (default: text)
  -why            after the matrix, print what each attack is, and the evidence for each cell
  -changed        instead of the matrix, print the rows that differ between the first and the last
                  column of -only, with the evidence: -only 02,03 -changed
  -dockerd        start a Docker daemon for this run (as root; no network, storage in /tmp)
  -check          compare the steps (or the columns of -only) with scripts/leaks/record and with
                  what each step claims, and 08 with the runtimes that are among the columns
  -record         write the steps' record
  -h              this help

Exit status: 0; 1 if a check failed or the host has changed; 2 for wrong arguments.
`

// main reads the flags, and makes an exit status of what went wrong.
func main() {
	if len(os.Args) == 5 && os.Args[1] == "guest" {
		if err := guest(os.Args[2], os.Args[3], os.Args[4]); err != nil {
			fmt.Fprintln(os.Stderr, "leaks.sh: vm:", err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) < 3 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	o := options{bin: os.Args[1], root: os.Args[2]}
	flags := flag.NewFlagSet("leaks.sh", flag.ContinueOnError)
	flags.Usage = func() {}
	flags.SetOutput(os.Stderr)
	flags.BoolVar(&o.user, "user", false, "")
	flags.BoolVar(&o.dockerd, "dockerd", false, "")
	flags.BoolVar(&o.check, "check", false, "")
	flags.BoolVar(&o.record, "record", false, "")
	flags.BoolVar(&o.why, "why", false, "")
	flags.BoolVar(&o.changed, "changed", false, "")
	flags.StringVar(&o.only, "only", "", "")
	flags.StringVar(&o.format, "format", "text", "")
	switch err := flags.Parse(os.Args[3:]); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Print(usage)
		return
	case err != nil || flags.NArg() > 0 || formats[o.format] == nil || o.check && o.record ||
		o.record && o.only != "" ||
		o.changed && (o.check || o.record || !strings.Contains(o.only, ",")):
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	if o.user && os.Geteuid() == 0 {
		os.Exit(again(o, os.Args[1:]))
	}
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "leaks.sh:", err)
		os.Exit(1)
	}
}

// records is the directory that has them, in the repository.
const records = "scripts/leaks/record"

// handOver is in the environment of an ordinary user's run that root has started: root takes care
// of the record then.
const handOver = "LEAKS_HAND_OVER"

// again runs this program once more as an ordinary user: the one that called sudo(8), or nobody.
func again(o options, args []string) int {
	uid, gid := nobody("SUDO_UID"), nobody("SUDO_GID")
	err := filepath.WalkDir(o.bin, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, uid, gid)
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "leaks.sh:", err)
		return 1
	}
	// With delegated cgroups, as systemd would do it.
	cmd := exec.Command(filepath.Join(o.root, "scripts", "delegate.sh"), append([]string{
		strconv.Itoa(uid), "setpriv", fmt.Sprint("--reuid=", uid), fmt.Sprint("--regid=", gid),
		"--clear-groups", filepath.Join(o.bin, "leaks")}, args...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "HOME="+o.bin, "XDG_RUNTIME_DIR=", handOver+"=yes")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGTERM}
	signal.Ignore(syscall.SIGINT) // it is for the one below; so is SIGTERM, by Pdeathsig
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	if err == nil && o.record { // the user can't write in our tree
		name := "user-" + cgroupVersion() + ".txt"
		var text []byte
		if text, err = os.ReadFile(filepath.Join(o.bin, name)); err == nil {
			err = os.WriteFile(filepath.Join(o.root, records, name), text, 0o644)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "leaks.sh:", err)
		return 1
	}
	return 0
}

// nobody returns the ID in an environment variable, or the ID of the user nobody.
func nobody(variable string) int {
	if id, err := strconv.Atoi(os.Getenv(variable)); err == nil && id != 0 {
		return id
	}
	return 65534
}

// run makes the matrix, shows it, and checks it and the host.
func run(o options) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGHUP, syscall.SIGINT,
		syscall.SIGTERM)
	defer stop()
	// A process whose parent ends becomes ours, not init's. So what a system leaves running can be
	// told from all else that runs on this machine.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl(PR_SET_CHILD_SUBREAPER)", err)
	}
	// The attempt at it has the kernel load a module, and with that /dev/vsock appears.
	if fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0); err == nil {
		_ = unix.Close(fd)
	}
	before := takeState(o.bin)
	made, err := judge(ctx, o)
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return errors.New("ended by a signal")
	}
	format := formats[o.format]
	if o.changed {
		names := strings.Split(o.only, ",")
		format = func(m *matrix) (string, error) { return m.changed(names[0], names[len(names)-1]) }
	}
	out, err := format(made)
	if err != nil {
		return err
	}
	fmt.Fprint(color.Output, out)
	if o.why {
		fmt.Print(made.evidence())
	}
	var bad []string
	file := filepath.Join(o.root, records, recordName()+".txt")
	if o.record {
		err = os.WriteFile(filepath.Join(o.bin, filepath.Base(file)), []byte(made.record()), 0o644)
		if err == nil && os.Getenv(handOver) == "" {
			err = os.WriteFile(file, []byte(made.record()), 0o644)
		}
	}
	if o.check {
		var notes []string
		bad, notes, err = made.checkAgainst(file)
		for _, note := range notes {
			fmt.Fprintln(os.Stderr, "note:", note)
		}
	}
	if o.check || o.record {
		bad = append(bad, made.rules()...)
	}
	for _, change := range before.changes(o.bin) {
		bad = append(bad, "the host isn't as it was: "+change)
	}
	for _, line := range bad {
		fmt.Fprintln(os.Stderr, "leaks.sh:", line)
	}
	if err == nil && len(bad) > 0 {
		err = fmt.Errorf("%d complaints", len(bad))
	}
	return err
}

// judge runs leaktest in each column.
func judge(ctx context.Context, o options) (*matrix, error) {
	work := filepath.Join(o.bin, "work")
	home := filepath.Join(o.bin, "home")
	if err := errors.Join(os.Mkdir(work, 0o755), os.Mkdir(home, 0o755)); err != nil {
		return nil, err
	}
	m, err := newMatrix(filepath.Join(o.bin, "leaktest"))
	if err != nil {
		return nil, err
	}
	place := &place{bin: o.bin, work: work, home: home, startDocker: o.dockerd}
	removeStray := ifNew(stray...)
	defer func() { _ = removeStray() }() // what stays is seen in the comparison of the host
	defer place.cleanUp()
	var only []string
	if o.only != "" {
		only = strings.Split(o.only, ",")
	}
	for _, system := range systems {
		if only == nil && (o.check || o.record) && !system.step {
			continue
		}
		if only != nil && o.only != "all" && !slices.Contains(only, system.name) {
			continue
		}
		if ctx.Err() != nil {
			break
		}
		began := time.Now()
		fmt.Fprintf(os.Stderr, "%-7s", system.name)
		column := place.column(ctx, system, m)
		m.Columns = append(m.Columns, column)
		if column.Failed != "" {
			fmt.Fprintf(os.Stderr, "%s\n", column.Failed)
			continue
		}
		total := column.total()
		fmt.Fprintf(os.Stderr, "%3d held %3d leak %3d n/a  (%.1f s)\n", total[held], total[leaks],
			total[na], time.Since(began).Seconds())
	}
	if len(m.Columns) == 0 {
		return nil, fmt.Errorf("-only %s: no such column", o.only)
	}
	return m, nil
}

// newMatrix asks leaktest for the rows.
func newMatrix(leaktest string) (*matrix, error) {
	out, err := exec.Command(leaktest, "list").Output()
	if err != nil {
		return nil, fmt.Errorf("%s list: %w", leaktest, err)
	}
	var name unix.Utsname
	_ = unix.Uname(&name) // fails for a bad pointer only
	m := &matrix{
		Date:   time.Now().UTC().Format("2006-01-02"),
		Kernel: unix.ByteSliceToString(name.Release[:]),
		As:     asRoot,
		Cgroup: cgroupVersion(),
	}
	if os.Geteuid() != 0 {
		m.As = "an ordinary user"
	}
	return m, json.Unmarshal(out, &m.Rows)
}

// cgroupVersion says which version the machine has: "v2" if all controllers are in it.
func cgroupVersion() string {
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		return "v2"
	}
	return "v1"
}

// recordName is the name of the record for this environment.
func recordName() string {
	if os.Geteuid() == 0 {
		return "root-" + cgroupVersion()
	}
	return "user-" + cgroupVersion()
}
