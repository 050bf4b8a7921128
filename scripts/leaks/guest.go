//go:build linux

// The column of a virtual machine: Debian's kernel in qemu, with leaktest as its only program.

package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"jail-to-container/scripts/qemu"
)

// vmKernel is the kernel that it boots.
const vmKernel = "6.12"

// virtualMachine runs leaktest as root in a guest. Only the command that leaktest starts is told
// the facts about the host, so that is this program again, as "guest".
func virtualMachine(p *place) (*start, error) {
	machine := qemu.Machines[runtime.GOARCH]
	if err := qemu.Needs(machine.Program, machine.Package); err != nil {
		return nil, err
	}
	version, err := installed(machine.Program)
	if err != nil {
		return nil, err
	}
	cache, err := qemu.CacheDir()
	if err != nil {
		return nil, err
	}
	store := qemu.Debian{Cache: cache, Out: os.Stderr}
	_, kernel, err := store.Kernel(vmKernel, runtime.GOARCH)
	if err != nil {
		return nil, fmt.Errorf("a kernel: %w", err)
	}
	return &start{version: "qemu " + version, note: "vm as root in " + filepath.Base(kernel),
		args: []string{filepath.Join(p.bin, "leaks"), "guest", kernel, p.leaktest(), "FACTS"}}, nil
}

// kvmPatience is how long a guest with KVM may take for its first line.
const kvmPatience = 20 * time.Second

// guest boots leaktest and passes on its lines. With KVM if that gets as far as to say one.
func guest(kernel, leaktest, facts string) error {
	runtime.LockOSThread() // qemu is to die with this process (prctl(2), PR_SET_PDEATHSIG)
	initramfs, err := qemu.Initramfs(leaktest, func(a *qemu.Archive) {
		a.Add("facts", qemu.TypeFile|0o644, []byte(facts))
		for _, dir := range []string{"proc", "sys", "dev", "tmp", "etc", "usr"} {
			a.Add(dir, qemu.TypeDir|0o755, nil)
		}
	})
	if err != nil {
		return err
	}
	if qemu.MayKVM(runtime.GOARCH) {
		if said, _ := boot(true, kernel, initramfs); said {
			return nil
		}
	}
	said, err := boot(false, kernel, initramfs)
	if err == nil && !said {
		err = errors.New("the guest said nothing")
	}
	return err
}

// boot boots once, and reports whether leaktest has said anything.
func boot(kvm bool, kernel string, initramfs *os.File) (said bool, err error) {
	args := qemu.Command(runtime.GOARCH, kvm, 512, kernel, qemu.InitramfsName, " -- guest")
	cmd := exec.Command(args[0], args[1:]...)
	cmd.ExtraFiles = []*os.File{initramfs}
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return false, err
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return false, err
	}
	watch := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	if kvm {
		watch.Reset(kvmPatience)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if !strings.HasPrefix(line, "{") { // the kernel's
			fmt.Fprintln(os.Stderr, line)
			continue
		}
		fmt.Println(line)
		said = true
		watch.Reset(patience)
	}
	watch.Stop()
	return said, cmd.Wait()
}
