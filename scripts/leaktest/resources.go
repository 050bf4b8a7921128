//go:build linux

// How much of the machine one container may take. All of it is bounded here, and given back.

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// How far the probes go.
const (
	manyProcesses = 300
	muchMemory    = 256 << 20 // bytes
	memoryStep    = 8 << 20   // bytes at a time
	roomNeeded    = 1 << 30   // bytes that must be free on the machine, or the probe isn't run
	spinners      = 12        // threads
	rounds        = 4
	muchCPU       = 1.3 // CPUs: more than that is no limit of one, nor of less
)

// pids makes processes that sleep, up to a number that no host minds. A limit above that number is
// believed if the cgroup shows it.
func pids(*facts) result {
	var children []uintptr
	defer func() {
		for _, pid := range children {
			_ = unix.Kill(int(pid), unix.SIGKILL)
			_, _ = unix.Wait4(int(pid), nil, 0, nil)
		}
	}()
	for range manyProcesses {
		pid, failed := forkSleeper()
		if failed != 0 {
			return isHeld("%d processes, then fork: %s", len(children), errno(failed))
		}
		children = append(children, pid)
	}
	if file, limit := cgroupLimit("pids.max", "pids", "pids.max"); limit != "" {
		return isHeld("%d processes, and %s says %s", manyProcesses, file, limit)
	}
	return isLeak("%d processes made, and no limit in sight", manyProcesses)
}

// forkSleeper makes a process that sleeps until it is killed, or its parent ends. After fork only
// this thread is left in it, so nothing of Go's runtime may be used there, not even a larger stack.
//
//go:nosplit
//go:norace
func forkSleeper() (pid uintptr, failed unix.Errno) {
	pid, _, failed = unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if failed != 0 || pid != 0 {
		return pid, failed
	}
	unix.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0, 0)
	for {
		unix.RawSyscall6(unix.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
	}
}

// memory touches memory until there is enough, or the kernel ends this process, or with it all of
// the container. So it says all along how far it has come.
func memory(*facts) result {
	if free := availableMemory(); free < roomNeeded {
		return cannot("%d MiB are free on this machine: too few to try", free>>20)
	}
	// If the kernel has to kill a process for it, then this one.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0)
	out := json.NewEncoder(os.Stdout)
	for touched := 0; touched < muchMemory; touched += memoryStep {
		block, err := unix.Mmap(-1, 0, memoryStep, unix.PROT_READ|unix.PROT_WRITE,
			unix.MAP_ANON|unix.MAP_PRIVATE)
		if err != nil {
			return isHeld("%d MiB, then mmap: %s", touched>>20, errno(err))
		}
		for i := 0; i < len(block); i += os.Getpagesize() {
			block[i] = 1
		}
		_ = out.Encode(result{"", trying, fmt.Sprintf("%d MiB touched", (touched+memoryStep)>>20)})
	}
	const v1 = "memory.limit_in_bytes"
	if file, limit := cgroupLimit("memory.max", "memory", v1); limit != "" {
		return isHeld("%d MiB touched, and %s says %s bytes", muchMemory>>20, file, limit)
	}
	return isLeak("%d MiB touched, and no limit in sight", muchMemory>>20)
}

// availableMemory is what the machine can give without swapping, in bytes. Where that can't be
// known, the probe is run.
func availableMemory() int {
	kilobytes := roomNeeded
	if text := memoryField("MemAvailable"); text != "" {
		_, _ = fmt.Sscan(text, &kilobytes)
	}
	return kilobytes << 10
}

// memoryField returns a value of /proc/meminfo.
func memoryField(name string) string {
	text, _ := os.ReadFile("/proc/meminfo")
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

// cpu lets more threads spin than the machine has CPUs, and adds up what they get. The machine may
// be busy, so little is no proof of a limit. It is one if at the same time a CPU stands idle.
func cpu(*facts) result {
	if file, limit := cgroupLimit("cpu.max", "cpu", "cpu.cfs_quota_us"); limit != "" {
		return isHeld("%s says %s", file, limit)
	}
	cpus := float64(runtime.NumCPU())
	runtime.GOMAXPROCS(spinners)
	got, idle := 0.0, 0.0
	for range rounds {
		got, idle = spin()
		switch {
		case cpus == 1 && got > 0.7:
			return cannot("%d threads get %.0f %% of the only CPU: a limit of one isn't felt",
				spinners, 100*got)
		case got > min(muchCPU, 0.7*cpus):
			return isLeak("%d threads get %.0f %% of a CPU, and no limit in sight", spinners,
				100*got)
		case idle > 0.15*cpus:
			return isHeld("%d threads get %.0f %% of a CPU, while %.0f %% of one is idle", spinners,
				100*got, 100*idle)
		}
	}
	return cannot("%d threads get %.0f %% of a CPU: the machine is too busy to say why", spinners,
		100*got)
}

// spin spins for a moment, and returns how many CPUs it got, and how many were idle.
func spin() (got, idle float64) {
	var stop atomic.Bool
	var spinning sync.WaitGroup
	began, used, unused := time.Now(), cpuTime(), idleTime()
	for range spinners {
		spinning.Go(func() {
			for !stop.Load() {
			}
		})
	}
	time.Sleep(500 * time.Millisecond)
	stop.Store(true)
	spinning.Wait()
	took := time.Since(began).Seconds()
	return (cpuTime() - used).Seconds() / took, (idleTime() - unused).Seconds() / took
}

// idleTime is how long the machine's CPUs have been idle, all together (proc_stat(5)).
func idleTime() time.Duration {
	proc, err := procDir()
	if err != nil {
		return 0
	}
	text, _ := os.ReadFile(filepath.Join(proc, "stat"))
	fields := strings.Fields(string(text))
	var ticks int // of 10 ms, whatever the kernel's own clock does (USER_HZ)
	if len(fields) > 4 {
		_, _ = fmt.Sscan(fields[4], &ticks)
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// cpuTime is what this process has used of CPUs.
func cpuTime() time.Duration {
	var usage unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &usage) // fails for a bad argument only
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// cgroupLimit returns a limit that the cgroup shows, as its file and what it says, or nothing where
// there is none. Both versions are looked at: in the cgroup's own directory, if its path leads
// there in this mount namespace, and at the root of what is mounted.
func cgroupLimit(v2, controller, v1 string) (file, limit string) {
	table, _ := os.ReadFile("/proc/self/cgroup")
	for line := range strings.Lines(string(table)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) < 3 {
			continue
		}
		base, name := "/sys/fs/cgroup", v2
		switch {
		case fields[0] == "0":
		case fields[1] == controller || strings.HasPrefix(fields[1], controller+","):
			base, name = base+"/"+controller, v1
		default:
			continue
		}
		for _, dir := range []string{fields[2], "/"} {
			path := filepath.Join(base, dir, name)
			text, err := os.ReadFile(path)
			value := strings.TrimSpace(string(text))
			// "No limit" is max, -1, or, for memory in cgroup v1, the largest number of pages.
			unlimited := strings.HasPrefix(value, "max") || value == "-1" ||
				strings.HasPrefix(value, "922337203685477")
			if err == nil && value != "" && !unlimited {
				return path, value
			}
		}
	}
	return "", ""
}

// nice asks for more than an equal share of the CPUs, for this process, which ends at once.
func nice(*facts) result {
	err := unix.Setpriority(unix.PRIO_PROCESS, 0, -1)
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		return isHeld("setpriority(-1): %s", errno(err))
	}
	return gate("setpriority(-1)", err)
}
