//go:build linux

// All probes, in the order in which they are run and shown. The last one may end the container.

package main

// probes is the table: name, what a leak means, the step that closes it ("" for what no container
// can), and where to read about it.
func probes() []probe {
	var all []probe
	for _, area := range []struct {
		name   string
		probes []probe
	}{
		{"files", []probe{
			{Name: "host-file", Closed: "03", See: "mount_namespaces(7)", try: hostFile,
				Leaks: "A file of the host can be read at its own path."},
			{Name: "chroot-escape", Closed: "03", See: "chroot(2)", try: chrootEscape,
				Leaks: "A second chroot and \"..\" lead to the host's root."},
			{Name: "inherited-dir", Closed: "03", See: "CVE-2024-21626", try: inheritedDirectory,
				Leaks: "A directory of the host is among the open descriptors, and its " +
					"files can be read."},
			{Name: "inherited-file", Closed: "03", See: "CVE-2016-9962", try: inheritedFile,
				Leaks: "A file of the host is among the open descriptors."},
			{Name: "proc-root", Closed: "03", See: "proc_pid_root(5)", try: procRoot,
				Leaks: "The host's files can be read through /proc/PID/root."},
			{Name: "file-handle", Closed: "05", See: "open_by_handle_at(2)", try: fileHandle,
				Leaks: "A file of the host can be opened by its handle, without a path."},
			{Name: "mount-table", Closed: "03", See: "proc_pid_mountinfo(5)", try: mountTable,
				Leaks: "The host's mount table can be read."},
			{Name: "host-write", Closed: "05", See: "mount(2)", try: hostWrite,
				Leaks: "A file or directory of the host is writable."},
			{Name: "set-uid", Closed: "08", See: "execve(2)", try: setUID,
				Leaks: "A set-uid program gives root back to a process that gave it up."},
			{Name: "device", Closed: "05", See: "mknod(2)", try: device,
				Leaks: "A disk, or the log, of the host can be opened as a device."},
		}},
		{"processes", []probe{
			{Name: "processes", Closed: "03", See: "pid_namespaces(7)", try: seen,
				Leaks: "The host's processes are listed."},
			{Name: "signal", Closed: "02", See: "kill(2)", try: signal0,
				Leaks: "A process of the host can be signalled."},
			{Name: "ptrace", Closed: "02", See: "ptrace(2)", try: ptraceVictim,
				Leaks: "A process of the host can be traced."},
			{Name: "environ", Closed: "03", See: "proc_pid_environ(5)", try: environ,
				Leaks: "The environment of a process of the host can be read."},
			{Name: "exe-write", Closed: "03", See: "CVE-2019-5736", try: exeWrite,
				Leaks: "A program of the host can be opened to write through /proc/PID/exe."},
		}},
		{"names", []probe{
			{Name: "hostname", Closed: "04", See: "uts_namespaces(7)", try: hostName,
				Leaks: "The host's name is seen."},
			{Name: "sysv-queue", Closed: "04", See: "sysvipc(7)", try: sysvQueue,
				Leaks: "A System V message queue of the host can be read."},
			{Name: "sysv-memory", Closed: "04", See: "sysvipc(7)", try: sysvMemory,
				Leaks: "System V shared memory of the host can be read."},
			{Name: "posix-queue", Closed: "04", See: "mq_overview(7)", try: posixQueue,
				Leaks: "A POSIX message queue of the host can be read."},
			{Name: "dev-shm", Closed: "03", See: "shm_overview(7)", try: devShm,
				Leaks: "POSIX shared memory of the host can be read."},
		}},
		{"users", []probe{
			{Name: "host-root", Closed: "05", See: "user_namespaces(7)", try: hostRoot,
				Leaks: "Root inside is the host's root."},
		}},
		{"network", []probe{
			{Name: "interfaces", Closed: "06", See: "network_namespaces(7)", try: interfaces,
				Leaks: "An interface of the host is seen."},
			{Name: "loopback", Closed: "06", See: "network_namespaces(7)", try: tcpLoopback,
				Leaks: "What listens on the host's 127.0.0.1 answers."},
			{Name: "abstract", Closed: "06", See: "CVE-2020-15257", try: abstractSocket,
				Leaks: "An abstract UNIX socket of the host answers."},
			{Name: "raw-socket", Closed: "05", See: "packet(7)", try: rawSocket,
				Leaks: "Packets on the host's interfaces can be read and forged."},
			{Name: "vsock", Closed: "08", See: "vsock(7)", try: vsock,
				Leaks: "The hypervisor can be talked to."},
		}},
		{"kernel", []probe{
			{Name: "bpf", Closed: "08", See: "bpf(2)", try: bpf,
				Leaks: "A BPF map can be made."},
			{Name: "perf", Closed: "08", See: "perf_event_open(2)", try: perf,
				Leaks: "A performance counter can be opened."},
			{Name: "keyctl", Closed: "08", See: "keyrings(7)", try: keyctl,
				Leaks: "Keyrings, which no namespace covers, can be used."},
			{Name: "session-keyring", Closed: "08", See: "session-keyring(7)", try: sessionKeyring,
				Leaks: "A key in the host's session keyring can be read."},
			{Name: "kexec", Closed: "05", See: "kexec_load(2)", try: kexec,
				Leaks: "Another kernel may be loaded."},
			{Name: "module", Closed: "05", See: "init_module(2)", try: module,
				Leaks: "A kernel module may be loaded."},
			{Name: "userfaultfd", Closed: "08", See: "userfaultfd(2)", try: userfaultfd,
				Leaks: "Page faults can be delayed, by userfaultfd(2)."},
			{Name: "io_uring", Closed: "08", See: "io_uring_setup(2)", try: ioUring,
				Leaks: "An io_uring can be made: it bypasses the filter, and has had many bugs."},
			{Name: "nested-userns", Closed: "08", See: "CVE-2022-0185", try: nestedUser,
				Leaks: "A nested user namespace can be made, and mount(2) works in it."},
			{Name: "mount", Closed: "08", See: "mount(2)", try: mount,
				Leaks: "mount(2) is allowed."},
			{Name: "mount-api", Closed: "08", See: "fsopen(2)", try: mountAPI,
				Leaks: "The newer mount calls are allowed."},
			{Name: "clock", Closed: "05", See: "settimeofday(2)", try: clock,
				Leaks: "The machine's clock may be set."},
			{Name: "kernel-log", Closed: "08", See: "syslog(2)", try: kernelLog,
				Leaks: "The kernel's log can be read."},
			{Name: "reboot", Closed: "02", See: "reboot(2)", try: reboot,
				Leaks: "The machine may be rebooted."},
			{Name: "swapon", Closed: "05", See: "swapon(2)", try: swapon,
				Leaks: "Swap space may be added."},
			{Name: "quotactl", Closed: "08", See: "quotactl(2)", try: quotactl,
				Leaks: "The kernel's code for disk quotas can be reached."},
			{Name: "acct", Closed: "05", See: "acct(2)", try: acct,
				Leaks: "Process accounting may be switched on."},
			{Name: "personality", Closed: "08", See: "personality(2)", try: personality,
				Leaks: "Address space randomisation can be switched off."},
			{Name: "new-calls", Closed: "08", See: "seccomp(2)", try: newCalls,
				Leaks: "A system call newer than any filter knows isn't refused."},
			{Name: "tiocsti", Closed: "08", See: "CVE-2017-5226", try: tiocsti,
				Leaks: "Characters can be typed into the user's terminal."},
		}},
		{"proc and sys", []probe{
			{Name: "kcore", Closed: "05", See: "proc_kcore(5)", try: kcore,
				Leaks: "The machine's memory can be read at /proc/kcore."},
			{Name: "sysrq", Closed: "05", See: "proc_sysrq-trigger(5)", try: sysrq,
				Leaks: "/proc/sysrq-trigger can be opened to write."},
			{Name: "proc-sys", Closed: "05", See: "proc_sys(5)", try: procSys,
				Leaks: "Settings of the whole machine in /proc/sys can be opened to write."},
			{Name: "core-pattern", Closed: "05", See: "core(5)", try: corePattern,
				Leaks: "/proc/sys/kernel/core_pattern can be opened to write: a program " +
					"for the kernel to run as the host's root."},
			{Name: "release-agent", Closed: "05", See: "CVE-2022-0492", try: releaseAgent,
				Leaks: "A cgroup's release_agent can be set: a program for the kernel to " +
					"run as the host's root."},
			{Name: "sysfs-write", Closed: "05", See: "sysfs(5)", try: sysfsWrite,
				Leaks: "Settings of the whole machine in /sys can be opened to write."},
			{Name: "firmware", Closed: "05", See: "sysfs(5)", try: firmware,
				Leaks: "The tables of the machine's firmware are listed."},
			{Name: "proc-info", Closed: "05", See: "proc(5)", try: procInfo,
				Leaks: "What only the host's root should know can be read in /proc."},
		}},
		{"leftovers", []probe{
			{Name: "environment", Closed: "08", See: "environ(7)", try: environment,
				Leaks: "The caller's environment is visible."},
			{Name: "capabilities", Closed: "08", See: "capabilities(7)", try: bounding,
				Leaks: "The bounding set has capabilities beyond those that Docker leaves."},
			{Name: "no-new-privs", Closed: "08", See: "prctl(2)", try: noNewPrivs,
				Leaks: "execve may still give privileges."},
			{Name: "seccomp", Closed: "08", See: "seccomp(2)", try: seccomp,
				Leaks: "There is no seccomp filter."},
			{Name: "open-files", Closed: "08", See: "getrlimit(2)", try: openFiles,
				Leaks: "The limit on open files is the caller's."},
			{Name: "oom-score", Closed: "08", See: "proc_pid_oom_score_adj(5)", try: oomScore,
				Leaks: "When memory runs out, the kernel spares it as it spares its caller."},
			{Name: "core-dump", Closed: "08", See: "core(5)", try: coreDump,
				Leaks: "A crash may leave its memory where the host's core_pattern says."},
		}},
		{"shared", []probe{
			{Name: "kernel", Closed: "", See: "uname(2)", try: sharedKernel,
				Leaks: "The kernel is the host's. Only a virtual machine has its own."},
			{Name: "memory-size", Closed: "", See: "sysinfo(2)", try: sharedMemory,
				Leaks: "The size of the host's memory is seen. No namespace covers it."},
			{Name: "uptime", Closed: "08", See: "time_namespaces(7)", try: bootTime,
				Leaks: "The time since the host has booted is seen."},
		}},
		{"resources", []probe{
			{Name: "nice", Closed: "05", See: "setpriority(2)", try: nice,
				Leaks: "A process may take precedence over the host's."},
			{Name: "root-quota", Closed: "05", See: "proc_pid_status(5)", try: rootQuota,
				Leaks: "What it uses counts against quotas of the host's root, such as that " +
					"of queued signals."},
			{Name: "pids", Closed: "07", See: "cgroups(7)", try: pids,
				Leaks: "There is no limit on processes."},
			{Name: "cpu", Closed: "07", See: "cgroups(7)", try: cpu,
				Leaks: "There is no limit on CPU time."},
			{Name: "memory", Closed: "07", See: "cgroups(7)", try: memory,
				Leaks: "There is no limit on memory."},
		}},
	} {
		for _, p := range area.probes {
			p.Area = area.name
			all = append(all, p)
		}
	}
	return all
}
