//go:build linux

// The systems from outside, while the payload waits in them: memory, processes, system calls.

package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// many is how many are held at once.
const many = 10

// hold starts one payload and looks at it, and then as many more as it takes.
func (s *system) hold() (err error) {
	var held []*running
	defer func() {
		for _, r := range held {
			r.end()
		}
	}()
	for len(held) < many {
		more := min(runtime.NumCPU(), many-len(held))
		if len(held) == 0 {
			more = 1
		}
		for range more { // at once
			r, err := s.start(patience, "hold")
			if err != nil {
				return err
			}
			held = append(held, r)
		}
		for _, r := range held[len(held)-more:] {
			if err := r.await("ready"); err != nil {
				return err
			}
		}
		if len(held) == 1 {
			time.Sleep(time.Second / 2) // for what comes after the start
			s.note("pss 1", memoryOf(held))
			s.note("page tables", held[0].sum("status", "VmPTE"))
			held[0].look()
		}
	}
	time.Sleep(time.Second / 2)
	s.note("pss many", memoryOf(held))
	return nil
}

// end ends a held payload: the end of its input is that of a process. A virtual machine has no such
// thing, and is switched off.
func (r *running) end() {
	r.in.Close()
	if r.files != nil {
		_ = r.cmd.Process.Kill()
	}
	_ = r.await("") // how it ends isn't what is measured, nor is the next
	_ = r.cmd.Wait()
	r.watch.Stop()
}

// process is what /proc says of one.
type process struct {
	name   string
	parent int
}

// processes reads them all (proc_pid_status(5)).
func processes() map[int]process {
	all := map[int]process{}
	files, _ := filepath.Glob("/proc/[0-9]*/status") // the pattern is well formed
	for _, file := range files {
		text, _ := os.ReadFile(file) // it may have ended
		var p process
		for line := range strings.Lines(string(text)) {
			switch key, value, _ := strings.Cut(strings.TrimSpace(line), ":\t"); key {
			case "Name":
				p.name = value
			case "PPid":
				p.parent, _ = strconv.Atoi(value)
			}
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		all[pid] = p
	}
	return all
}

// tree returns a process and its descendants.
func tree(all map[int]process, top int) []int {
	pids := []int{top}
	for pid, p := range all {
		if p.parent == top {
			pids = append(pids, tree(all, pid)...)
		}
	}
	return pids
}

// memoryOf is the memory of everything started, in kB: of a page that n processes share, each has
// an n-th (Pss in proc_pid_smaps(5)).
func memoryOf(held []*running) (kB float64) {
	for _, r := range held {
		kB += r.sum("smaps_rollup", "Pss")
	}
	return kB
}

// sum adds up a number that /proc has for each process, in a file there.
func (r *running) sum(file, name string) (kB float64) {
	for _, pid := range tree(processes(), r.cmd.Process.Pid) {
		kB += field(fmt.Sprintf("/proc/%d/%s", pid, file), name)
	}
	return kB
}

// cgroupKernel is the kernel's memory for a process's cgroup, in kB, if that isn't also ours.
func cgroupKernel(pid int) (kB float64) {
	ours, _ := os.ReadFile("/proc/self/cgroup")
	groups, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid)) // ID:controllers:path, cgroups(7)
	for line := range strings.Lines(string(groups)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if strings.Contains(string(ours), line) || len(parts) != 3 {
			continue
		}
		text, _ := os.ReadFile("/sys/fs/cgroup" + parts[2] + "/memory.stat")
		if parts[1] != "" {
			text, _ = os.ReadFile("/sys/fs/cgroup/" + parts[1] + parts[2] +
				"/memory.kmem.usage_in_bytes")
			text = append([]byte("kernel "), text...)
		}
		for line := range strings.Lines(string(text)) {
			if words := strings.Fields(line); len(words) == 2 && words[0] == "kernel" {
				bytes, _ := strconv.ParseFloat(words[1], 64)
				return bytes / 1024
			}
		}
	}
	return 0
}

// field returns a number of kB in a file, 0 if it isn't there.
func field(file, name string) float64 {
	text, _ := os.ReadFile(file)
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); len(words) > 1 && words[0] == name+":" {
			kB, _ := strconv.ParseFloat(words[1], 64)
			return kB
		}
	}
	return 0
}

// look finds the payload on the host, and who sees its system calls.
func (r *running) look() {
	all := processes()
	top := r.cmd.Process.Pid
	payload, others := 0, []int{}
	for _, pid := range tree(all, top) {
		if all[pid].name == r.payload {
			payload = pid
		} else {
			others = append(others, pid)
		}
	}
	shown := "only " + all[top].name
	from := top // a virtual machine's processes are unknown to the host: what runs it is the last
	if payload != 0 {
		text, _ := exec.Command("ps", "-o", "args=", "-p", strconv.Itoa(payload)).Output()
		if kB := cgroupKernel(payload); kB > 0 {
			r.note("cgroup kernel", kB)
		}
		shown, from = strings.TrimSpace(string(text)), all[payload].parent
	}
	r.note("ps", shown)
	var between []string
	for pid := from; pid != os.Getpid() && pid > 1; pid = all[pid].parent {
		between = append(between, all[pid].name)
	}
	slices.Reverse(between)
	if payload == top {
		between = []string{"none"}
	}
	r.note("between", strings.Join(between, ", "))
	r.note("traced others", r.trace(others))
	if payload != 0 {
		r.note("traced itself", r.trace([]int{payload}))
	} else {
		r.note("traced itself", "no such process here")
	}
}

// trace counts the calls of getppid(2) that strace sees in some processes while the payload makes
// its own.
func (r *running) trace(pids []int) string {
	if len(pids) == 0 {
		return "no such process"
	}
	if _, err := exec.LookPath("strace"); err != nil {
		return "no strace here: apt-get install strace"
	}
	cmd := exec.Command("strace", "-f", "-e", "trace=getppid")
	for _, pid := range pids {
		cmd.Args = append(cmd.Args, "-p", strconv.Itoa(pid))
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return err.Error()
	}
	lines, last := bufio.NewScanner(out), "strace ended"
	for n := 0; n < len(pids) && lines.Scan(); last = lines.Text() {
		if strings.Contains(lines.Text(), " attached") {
			n++
		}
	}
	seen := make(chan int)
	go func() { // it must not fill the pipe: then the payload would wait for strace
		n := 0
		for lines.Scan() {
			if strings.Contains(lines.Text(), "getppid(") {
				n++
			}
		}
		seen <- n
	}()
	_, err = io.WriteString(r.in, "\n")
	if err == nil {
		err = r.await("done")
	}
	_ = cmd.Process.Signal(syscall.SIGINT)
	n := <-seen
	if failed := cmd.Wait(); err != nil || !strings.Contains(last, " attached") {
		return fmt.Sprint("not measured: ", last, err, failed)
	}
	return fmt.Sprintf("%d of %d", n, someCalls)
}
