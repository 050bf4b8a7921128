//go:build linux

// What runs three ways. It is the first process of the virtual machine, so there it also mounts
// /proc and switches off.

package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mark begins each line of the payload's. The console has lines of the kernel's, too.
const mark = "compare: "

// The work of a run, and of one that is held.
const (
	calls     = 1_000_000
	megabytes = 100
	someCalls = 1000
)

// payload does one of two things: "run" looks around, works and ends; "hold" stays until its input
// ends, and makes some calls for every line of it. name is what to call itself, for ps.
func payload(role, name string) {
	say("start", "")
	guest := false
	if _, err := os.Stat("/proc/self"); err != nil { // the first process of a virtual machine
		guest = unix.Mount("proc", "/proc", "proc", 0, "") == nil
	}
	text, _ := unix.BytePtrFromString(name) // it has no NUL: it was an argument
	_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(text)), 0, 0, 0)
	if role == "hold" {
		say("ready", "")
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); say("done", "") {
			call(unix.SYS_GETPPID, someCalls) // not getpid: that, Go makes by itself, too
		}
	} else {
		lookAround()
		work()
	}
	if guest {
		_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	}
}

// say prints one line.
func say(key string, value any) { fmt.Printf("%s%s %v\n", mark, key, value) }

// lookAround says what the machine looks like from inside.
func lookAround() {
	var name unix.Utsname
	_ = unix.Uname(&name) // fails for a bad pointer only, and so does the next one
	var info unix.Sysinfo_t
	_ = unix.Sysinfo(&info)
	bootID, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		bootID = []byte(err.Error())
	}
	uptime, err := os.ReadFile("/proc/uptime")
	if err != nil {
		uptime = []byte(err.Error())
	}
	say("kernel", unix.ByteSliceToString(name.Release[:]))
	say("boot-id", strings.TrimSpace(string(bootID)))
	say("cpus", runtime.NumCPU())
	say("memory", uint64(info.Totalram)*uint64(info.Unit)>>20)
	seconds, _, _ := strings.Cut(string(uptime), ".")
	say("uptime", seconds)
}

// work makes system calls, and writes a file that has no name, so that it can't be left behind.
func work() {
	began := time.Now()
	call(unix.SYS_GETPID, calls)
	say("calls", time.Since(began).Seconds())
	began = time.Now()
	fd, err := unix.Open("/", unix.O_TMPFILE|unix.O_WRONLY, 0o600)
	for range megabytes {
		if err == nil {
			_, err = unix.Write(fd, make([]byte, 1<<20))
		}
	}
	if err != nil {
		say("write-failed", err)
		return
	}
	say("write", time.Since(began).Seconds())
	var root unix.Statfs_t
	_ = unix.Fstatfs(fd, &root) // it is open
	if kind := kinds[int64(root.Type)]; kind != "" {
		say("filesystem", kind)
	} else {
		say("filesystem", fmt.Sprintf("%#x", root.Type))
	}
}

// kinds are the file systems that a root usually is (statfs(2)).
var kinds = map[int64]string{
	unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs",
	unix.OVERLAYFS_SUPER_MAGIC: "overlay", unix.TMPFS_MAGIC: "tmpfs", unix.RAMFS_MAGIC: "ramfs",
}

// call makes a system call without arguments so many times.
func call(number uintptr, times int) {
	for range times {
		_, _, _ = unix.RawSyscall(number, 0, 0, 0)
	}
}
