//go:build linux

// The first process of a virtual machine: it mounts what every system has, runs the container's
// part, and switches the machine off. scripts/leaks starts the machine.

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// factsFile is where in the guest the facts about the host are.
const factsFile = "/facts"

// ownKernel are the probes that look for nothing of the host's: they ask the kernel that they run
// on what it allows. In a virtual machine that is the guest's kernel, so they say nothing there of
// the host, whatever the answer.
var ownKernel = strings.Fields(`set-uid device host-root raw-socket
	bpf perf keyctl kexec module userfaultfd io_uring nested-userns mount mount-api clock kernel-log
	reboot swapon quotactl acct personality new-calls
	kcore sysrq proc-sys core-pattern release-agent sysfs-write firmware proc-info
	capabilities no-new-privs seccomp core-dump nice pids cpu memory`)

// guest is the role of a virtual machine's first process.
func guest([]string) error {
	err := errors.Join(
		unix.Mount("proc", "/proc", "proc", 0, ""),
		unix.Mount("sysfs", "/sys", "sysfs", 0, ""),
		unix.Mount("devtmpfs", "/dev", "devtmpfs", 0, ""),
		os.MkdirAll("/dev/shm", 0o755), os.MkdirAll("/dev/mqueue", 0o755),
		unix.Mount("tmpfs", "/dev/shm", "tmpfs", 0, ""),
		unix.Mount("mqueue", "/dev/mqueue", "mqueue", 0, ""),
		unix.Sethostname([]byte("guest")),
	)
	if err == nil {
		err = judgeGuest()
	}
	if err != nil {
		fmt.Println("leaktest in the guest:", err)
	}
	return os.NewSyscallError("reboot", unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF))
}

// judgeGuest runs the container's part, and takes the verdict from the probes that don't apply.
func judgeGuest() error {
	told, err := os.ReadFile(factsFile)
	if err != nil {
		return err
	}
	cmd := exec.Command("/init", "inside", string(told))
	// No terminal: it would echo what a probe types into it, between the lines.
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return err
	}
	printed := json.NewEncoder(os.Stdout)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var found result
		if err := json.Unmarshal(lines.Bytes(), &found); err != nil {
			return err
		}
		if err := printed.Encode(inGuest(found)); err != nil {
			return err
		}
	}
	return cmd.Wait()
}

// inGuest is what a result means for the host.
func inGuest(found result) result {
	if slices.Contains(ownKernel, found.Name) {
		found.Verdict = na
		found.Evidence = "it asks the guest's kernel, not the host's: " + found.Evidence
	}
	return found
}
