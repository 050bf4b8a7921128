//go:build linux

// Comparevm runs one program three ways, as a plain process, in 08, and in a virtual machine, and
// measures what that takes. It is the program behind scripts/compare-vm.sh, which builds it into a
// directory of its own: the root of the container. It is also the payload: the same file, static,
// runs in all three.
//
//	comparevm [flags] 08               08 is that step, built
//	comparevm payload run|hold NAME    what runs three ways: see payload.go
//
// run.go starts it and reads what it says, hold.go looks at it from outside, table.go prints.
package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"jail-to-container/scripts/qemu"
)

// init keeps main on the process's first thread: if that ends, the kernel kills all that we have
// started (prctl(2), PR_SET_PDEATHSIG).
func init() { runtime.LockOSThread() }

// main measures, or is what is measured.
func main() {
	if len(os.Args) == 4 && os.Args[1] == "payload" {
		payload(os.Args[2], os.Args[3])
		return
	}
	runs := flag.Int("n", 10, "")
	format := flag.String("format", "text", "")
	kernel := flag.String("kernel", "", "")
	flag.Parse()
	c, err := newComparison(flag.Arg(0), *kernel)
	if err == nil {
		err = c.measure(*runs)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "compare-vm.sh: %v\n", err)
		os.Exit(1)
	}
	if *format == "markdown" {
		fmt.Print(c.markdown())
	} else {
		fmt.Print(c.text())
	}
}

// comparison is the three systems, and what is true of all.
type comparison struct {
	systems []*system
	heading string
}

// memory is what the container and the virtual machine may use, in MB.
const memory = 512

// newComparison finds or makes all that the three need.
func newComparison(step, kernel string) (*comparison, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	machine := qemu.Machines[runtime.GOARCH]
	if machine.Program == "" {
		return nil, fmt.Errorf("there is no virtual machine for %s", runtime.GOARCH)
	}
	if err := qemu.Needs(machine.Program, machine.Package); err != nil {
		return nil, err
	}
	if kernel == "" {
		cache, err := qemu.CacheDir()
		if err != nil {
			return nil, err
		}
		store := qemu.Debian{Cache: cache, Out: os.Stderr}
		if _, kernel, err = store.Kernel("6.12", runtime.GOARCH); err != nil {
			return nil, fmt.Errorf("a kernel for the virtual machine: %w; or -kernel FILE", err)
		}
	}
	initramfs, err := qemu.Initramfs(self, func(a *qemu.Archive) {
		a.Add("proc", qemu.TypeDir|0o555, nil)
	})
	if err != nil {
		return nil, err
	}
	kvm := false
	guest := func(role ...string) []string {
		options := " -- payload " + role[0] + " " + role[1]
		return qemu.Command(runtime.GOARCH, kvm, memory, kernel, qemu.InitramfsName, options)
	}
	vm := &system{name: "virtual machine", args: guest, files: []*os.File{initramfs}}
	how := "emulated (TCG): there is no /dev/kvm for us"
	if kvm = qemu.MayKVM(runtime.GOARCH); kvm {
		how = "KVM"
		fmt.Fprintln(os.Stderr, "trying whether a guest boots with /dev/kvm")
		if vm.run(kvmPatience) != nil {
			kvm, how = false, "emulated (TCG): with the /dev/kvm here, guests fail"
		}
		vm.said = nil
	}
	var host unix.Utsname
	_ = unix.Uname(&host) // fails for a bad pointer only
	return &comparison{
		heading: fmt.Sprintf("%s, Linux %s, %d CPUs; the virtual machine is %s",
			time.Now().UTC().Format("2006-01-02"), unix.ByteSliceToString(host.Release[:]),
			runtime.NumCPU(), how),
		systems: []*system{
			{name: "process", args: func(role ...string) []string {
				return append([]string{self, "payload"}, role...)
			}},
			{name: "container (08)", args: func(role ...string) []string {
				return append([]string{step, "-net=false", fmt.Sprintf("-memory=%dM", memory),
					"-root", filepath.Dir(self), "/" + filepath.Base(self), "payload"}, role...)
			}},
			vm,
		},
	}, nil
}

// measure holds each system once, and then runs all of them so many times, each time in another
// order: a machine has good and bad minutes.
func (c *comparison) measure(runs int) error {
	for _, s := range c.systems {
		fmt.Fprintf(os.Stderr, "%s: holding 1 and %d\n", s.name, many)
		if err := s.hold(); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	for i := range runs {
		fmt.Fprintf(os.Stderr, "run %d of %d\n", i+1, runs)
		for _, n := range rand.Perm(len(c.systems)) {
			if err := c.systems[n].run(patience); err != nil {
				return fmt.Errorf("%s: %w", c.systems[n].name, err)
			}
		}
	}
	return nil
}
