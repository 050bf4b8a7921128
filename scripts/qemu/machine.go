//go:build linux

// Package qemu boots Debian's kernels in virtual machines: apt.go fetches them, archive.go packs
// what a guest begins with, memory.go keeps that in memory, machine.go says how to call qemu.
package qemu

import (
	"os"
	"runtime"
	"strconv"
)

// Machines says how to emulate each architecture. These models of processors are fast to emulate.
var Machines = map[string]struct {
	Program, Package string // of qemu
	machine, cpu     string
	options          string // for the kernel: the serial line, as it calls that
}{
	// no_timer_check: on a busy host the emulated timer is late, and the kernel would panic.
	"amd64": {"qemu-system-x86_64", "qemu-system-x86", "q35", "qemu64",
		"console=ttyS0 no_timer_check"},
	"arm64": {"qemu-system-aarch64", "qemu-system-arm", "virt", "cortex-a72", "console=ttyAMA0"},
}

// MayKVM says whether /dev/kvm is there for us, and of use for an architecture. On some machines it
// is, and guests still fail or hang.
func MayKVM(arch string) bool {
	if arch != runtime.GOARCH || os.Getenv("JAIL_VM_KVM") == "no" {
		return false
	}
	device, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return false
	}
	device.Close()
	return true
}

// Command is the command line for a guest with one CPU and some memory, in MB. Its console is
// qemu's standard input and output, and qemu ends when the guest does.
//
// Two emulated processors would take half as much work again, to wait for each other.
func Command(arch string, kvm bool, memory int, image, initramfs, options string) []string {
	m := Machines[arch]
	accel := []string{"-accel", "tcg,thread=multi", "-cpu", m.cpu}
	if kvm {
		accel = []string{"-accel", "kvm", "-cpu", "host"}
	}
	// mitigations=off: only our tests attack this kernel. random.trust_cpu: there is no other
	// randomness to wait for. panic=-1: reboot at once after a panic; -no-reboot makes that the
	// end. An option that the kernel doesn't know, without a "=", becomes an argument of the
	// guest's first program.
	options = m.options + " quiet panic=-1 mitigations=off random.trust_cpu=on" + options
	args := []string{m.Program, "-M", m.machine, "-smp", "1", "-m", strconv.Itoa(memory),
		"-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot",
		"-kernel", image, "-initrd", initramfs, "-append", options}
	return append(args, accel...)
}
