//go:build linux

// The machine: qemu, which emulates it, or lets the processor do so (KVM).

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"jail-to-container/scripts/qemu"
)

// testTimeout is how long the tests of a step may take in the machine, bootTimeout how long it may
// take until they begin, and silence how long nothing may be heard from it. An emulated processor
// is ten times slower and more, and others may use this one. With KVM it isn't emulated.
const (
	testTimeout = 45 * time.Minute
	bootTimeout = 2 * time.Minute
	silence     = 46 * time.Minute

	kvmBootTimeout = 20 * time.Second
	kvmSilence     = 2 * time.Minute
)

// boot starts the machine and returns what the tests said. It tries KVM, where that is to be had.
// There are machines on which it is, and guests fail or hang, so what doesn't come to its end with
// it is tried without.
func (v *vm) boot(r run, image, initramfs string, steps []string) (*results, error) {
	if !v.noKVM && qemu.MayKVM(r.arch) {
		result, err := v.start(r, image, initramfs, steps, true)
		if v.ctx.Err() != nil || err == nil && result.exit != "" {
			return result, err
		}
		fmt.Fprintln(v.Out, "vm: with /dev/kvm it doesn't come to its end; so without:")
		v.noKVM = true
	}
	result, err := v.start(r, image, initramfs, steps, false)
	if errors.Is(err, errNotUp) {
		return nil, fmt.Errorf("%w:\n%s", err, strings.Join(result.loose, "\n"))
	}
	return result, err
}

// errNotUp says that the machine hasn't got as far as to begin with the tests.
var errNotUp = errors.New("the machine doesn't come up")

// start starts the machine, and reads what it says until it is off.
func (v *vm) start(r run, image, initramfs string, steps []string, kvm bool) (*results, error) {
	bootTimeout, silence := bootTimeout, silence
	if kvm {
		bootTimeout, silence = kvmBootTimeout, kvmSilence
	}
	options := ""
	if !r.v1 {
		options += " cgroup_no_v1=all"
	}
	if v.leaks != "" {
		options += " LEAKS=" + v.leaks // for init.sh
	}
	// The memory is for the limit on processes and threads that comes of it; most is never touched.
	args := qemu.Command(r.arch, kvm, 2048, image, initramfs, options)
	ctx, stop := context.WithCancelCause(v.ctx)
	defer stop(nil)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	fmt.Fprintf(v.Out, "vm: %s: %s\n", r, strings.Join(cmd.Args, " "))
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	watchdog := time.AfterFunc(bootTimeout, func() { stop(errors.New("it has fallen silent")) })
	result := newResults(steps)
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := strings.TrimRight(lines.Text(), "\r")
		result.read(line)
		if result.up() {
			watchdog.Reset(silence)
		}
		if !v.quiet || strings.HasPrefix(line, "vm: ") {
			fmt.Fprintln(v.Out, line)
		}
	}
	err = errors.Join(lines.Err(), cmd.Wait())
	watchdog.Stop()
	switch {
	case v.ctx.Err() != nil:
		return nil, v.ctx.Err()
	case !result.up():
		result.loose = append(result.loose, stderr.String())
		return result, errNotUp
	case err != nil: // the marker is missing, and then all that is known counts
		result.loose = append(result.loose, fmt.Sprint("qemu: ", err, " ", context.Cause(ctx)))
	}
	return result, nil
}
