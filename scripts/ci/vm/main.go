//go:build linux

// Vm runs the tests of the steps in a virtual machine, on a kernel of one's choice: a container is
// the kernel's doing, so on another kernel it is another one. This is the program behind run.sh,
// which builds it.
//
// kernel.go fetches kernels and tools, build.go compiles the tests, image.go packs it all into an
// initramfs, machine.go starts the machine, init.sh is its first process, results.go reads what
// that says, skips.go knows what may be skipped (skips.txt).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"jail-to-container/scripts/qemu"
)

const usage = `usage: scripts/ci/vm/run.sh [-1] [-q] [-u] [-step NN] [KERNEL [ARCH]]
       scripts/ci/vm/run.sh -leaks [-record] [-1] [-q] [-u] [KERNEL [ARCH]]
       scripts/ci/vm/run.sh -matrix [-u]

Boots a kernel of Debian's in qemu and runs the tests of all steps there, as root and as an ordinary
user. KERNEL is %s (default: %s); ARCH is amd64 or arm64 (default: amd64).
A skipped test counts as a failure, unless scripts/ci/vm/skips.txt says why it may be skipped there.
With -leaks it is the leak test that runs there (scripts/leaks.sh -check), and no other. The record
for cgroup v2 is of 6.12; before 6.2, no kernel can refuse TIOCSTI, and -check complains of that.

Kernels and tools come from apt, which isn't told to install anything, and are kept in
%s.
Needed: go, Debian's apt, xz, and qemu-system-x86 or qemu-system-arm; no root.

`

// A run is one machine.
type run struct {
	kernel string // the word for it, a key of qemu.Suites
	arch   string // as Debian and Go call it
	v1     bool   // cgroup v1; else v2 alone
}

// String is what a pattern in skips.txt is compared with.
func (r run) String() string {
	cgroups := "v2"
	if r.v1 {
		cgroups = "v1"
	}
	return r.kernel + "/" + r.arch + "/" + cgroups
}

// matrix is what the steps are meant to run on. cgroup v1's memory limits are switched off in
// Debian's 6.12.
var matrix = []run{
	{"5.10", "amd64", false},
	{"6.1", "amd64", false},
	{"6.12", "amd64", false},
	{"newest", "amd64", false},
	{"6.1", "amd64", true},
	{"6.12", "arm64", false},
}

// errFailed says that the tests have failed, which has been printed.
var errFailed = errors.New("failed")

// main ends with the status of the tests: 0 or 1, and 2 if they couldn't be run.
func main() {
	// The machine is to die with this process; the kernel takes the end of the thread that started
	// it for its end (prctl(2), PR_SET_PDEATHSIG).
	runtime.LockOSThread()
	if scratch := os.Getenv("VM_SCRATCH"); scratch != "" {
		os.RemoveAll(scratch) // run.sh's, where this program lies
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM,
		syscall.SIGHUP, syscall.SIGPIPE)
	defer stop()
	err := command(ctx, os.Args[1:])
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errFailed):
		os.Exit(1)
	default:
		if ctx.Err() != nil {
			err = errors.New("interrupted")
		}
		fmt.Fprintf(os.Stderr, "vm: %v\n", err)
		os.Exit(2)
	}
}

// command does what the arguments ask for.
func command(ctx context.Context, args []string) error {
	cache, err := qemu.CacheDir()
	if err != nil {
		return err
	}
	flags := flag.NewFlagSet("vm", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprintf(flags.Output(), usage, strings.Join(words(), ", "), matrix[2].kernel, cache)
		flags.PrintDefaults()
		fmt.Fprint(flags.Output(), environment)
	}
	all := flags.Bool("matrix", false, "all kernels, one after the other, and a table at the end")
	v1 := flags.Bool("1", false, "cgroup v1 (default: v2 alone)")
	quiet := flags.Bool("q", false, "print the output of failed tests only, as -matrix does")
	update := flags.Bool("u", false, "ask apt again for kernels and tools that are there already")
	step := flags.String("step", "", "the tests of this `step` only, such as 03")
	leaks := flags.Bool("leaks", false,
		"the leak test and no other: compare with scripts/leaks/record")
	record := flags.Bool("record", false, "with -leaks: write that record")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *step != "" && (*all || *leaks) {
		return errors.New("-matrix and -leaks are for all steps")
	}
	if *all && *leaks {
		return errors.New("-leaks is for one machine: its record is of one kernel")
	}
	leaksFlag := ""
	switch {
	case *record && !*leaks:
		return errors.New("-record is for -leaks")
	case *record:
		leaksFlag = "-record"
	case *leaks:
		leaksFlag = "-check"
	}
	runs := matrix
	if !*all {
		r := run{matrix[2].kernel, "amd64", *v1}
		if flags.NArg() > 0 {
			r.kernel = flags.Arg(0)
		}
		if flags.NArg() > 1 {
			r.arch = flags.Arg(1)
		}
		if qemu.Machines[r.arch].Program == "" || qemu.Suites[r.kernel] == "" || flags.NArg() > 2 {
			flags.Usage()
			return fmt.Errorf("no such machine: %s", strings.Join(flags.Args(), " "))
		}
		runs = []run{r}
	}
	v := &vm{
		Debian: qemu.Debian{Cache: cache, Update: *update, Out: os.Stdout},
		ctx:    ctx, step: *step, leaks: leaksFlag, quiet: *quiet || *all,
	}
	return v.runAll(runs, *all)
}

// environment is the end of the help.
const environment = `
Environment: JAIL_VM_CACHE is the directory to keep them in. JAIL_VM_MIRROR is the URI of a mirror
of Debian's, where apt knows none. JAIL_VM_KVM=no leaves /dev/kvm alone.
`

// words are the kernels that can be asked for, old ones first.
func words() []string {
	var all []string
	for _, r := range matrix {
		if !slices.Contains(all, r.kernel) {
			all = append(all, r.kernel)
		}
	}
	return all
}

// place is this directory, in the repository.
const place = "scripts/ci/vm"

// vm is what all machines have in common.
type vm struct {
	qemu.Debian
	ctx   context.Context // ends the machines
	step  string          // the one to test; "" for all
	leaks string          // run the leak test with this flag, and no other; "" for the steps' tests
	quiet bool
	noKVM bool // it has been found not to work
}

// runAll starts one machine after the other, and prints a table if there are several.
func (v *vm) runAll(runs []run, table bool) error {
	root := os.Getenv("VM_ROOT")
	if root == "" {
		return errors.New("VM_ROOT, the repository, isn't set: start scripts/ci/vm/run.sh")
	}
	allowed, err := readSkips(filepath.Join(root, place, "skips.txt"))
	if err != nil {
		return err
	}
	for _, r := range runs {
		m := qemu.Machines[r.arch]
		if err := qemu.Needs(m.Program, m.Package); err != nil {
			return err
		}
	}
	failed := false
	var rows []string
	for _, r := range runs {
		began := time.Now()
		result, err := v.one(root, r)
		if err != nil && (v.ctx.Err() != nil || !table) {
			return fmt.Errorf("%s: %w", r, err)
		}
		var problems []string
		if err != nil { // the others may do
			result, problems = newResults(nil), []string{err.Error()}
		} else {
			problems = result.problems(r, allowed)
			if err := result.saveRecords(root); err != nil {
				return err
			}
		}
		result.print(v.Out, r, problems)
		failed = failed || len(problems) > 0
		rows = append(rows, row(r, result, problems, time.Since(began)))
	}
	if table {
		fmt.Fprint(v.Out, "\n"+heading+strings.Join(rows, ""))
		// The list must not outlive its reasons. (A step may be missing in a copy of the tree.)
		steps := func(pattern string) bool {
			found, _ := filepath.Glob(filepath.Join(root, pattern))
			return len(found) > 0
		}
		for _, s := range allowed {
			if !s.used && steps(s.step) {
				fmt.Fprintf(v.Out, "FAILED: skips.txt, line %d: nothing is skipped by it\n", s.line)
				failed = true
			}
		}
	}
	if failed {
		return errFailed
	}
	return nil
}

// one builds what a machine needs, starts it, and returns what it said.
func (v *vm) one(root string, r run) (*results, error) {
	scratch, err := os.MkdirTemp("", "vm-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(scratch)
	kernel, err := v.fetchKernel(r.kernel, r.arch)
	if err != nil {
		return nil, err
	}
	tools, err := v.fetchTools(r.arch)
	if err != nil {
		return nil, err
	}
	build := v.buildTests
	if v.leaks != "" {
		build = v.buildLeaks
	}
	steps, err := build(root, scratch, r.arch)
	if err != nil {
		return nil, err
	}
	initramfs := filepath.Join(scratch, "initramfs")
	if err := v.pack(initramfs, root, scratch, steps, kernel, tools); err != nil {
		return nil, err
	}
	return v.boot(r, kernel.image, initramfs, steps)
}
