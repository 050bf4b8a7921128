// The table of what flips the verdicts of the lessons.

package main

import "fmt"

// flips has a gift for each LEAK of a lesson and a cut for each held.
var flips = []flip{
	{
		step: "01-chroot", says: held,
		edits: []edit{{
			"main.go", `os.Setenv("PATH", "/bin")`,
			`os.Setenv("PATH", "/bin"); if err := dropChroot(); err != nil { return err }`,
		}},
		lines: []string{"read the secret.*: chroot again"},
	},
	{
		step: "01-chroot", says: held,
		edits: []edit{{
			"main.go", `os.Setenv("PATH", "/bin")`,
			`unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC)`,
		}},
		lines: []string{"read the secret.*: a directory left open"},
	},
	{
		step: "01-chroot", says: held,
		edits: []edit{{
			"demo.go", `if err := dropChroot(); err != nil {`,
			`unix.CloseRange(3, ^uint(0), 0); if err := dropChroot(); err != nil {`,
		}},
		lines: []string{"usual fix.*: a directory left open"},
	},
	{
		step: "01-chroot", says: held,
		edits: []edit{{
			"main.go", `addUserNamespace(cmd.SysProcAttr, unix.CAP_SYS_CHROOT)`,
			`cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWPID`,
		}},
		lines: []string{"the processes: "},
	},
	{
		step: "01-chroot", says: leak,
		edits: []edit{
			{
				"main.go", `if err := unix.Chroot(dir); err != nil {`,
				`if err := error(nil); err != nil {`,
			},
			// Where the program is without a jail, and where the link is.
			{"demo.go", `[]string{"/lesson"}`, `[]string{"/proc/self/exe"}`},
			{"demo.go", `{jail + "/top", "/top"}`, `{jail + "/top", jail + "/top"}`},
		},
		lines: []string{"by its path", "begin.: / ", `begin.: /\.\. `, "begin.: /top"},
	},
	{
		step: "01-chroot", says: leak,
		edits: []edit{{
			"demo.go", `if err := dropChroot(); err != nil {`,
			`_ = dropChroot; if err := error(nil); err != nil {`,
		}},
		lines: []string{"usual fix.*: chroot again"},
	},
	{
		step: "02-pid-namespace", says: held,
		edits: []edit{
			{"main.go", `const namespaces = `, `const namespaces = unix.CLONE_NEWNS | `},
			{
				"main.go", `return execCommand(command)`,
				`unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
				unix.Mount("proc", "/proc", "proc", 0, "")
				return execCommand(command)`,
			},
		},
		lines: []string{"/proc: .*/comm says"},
	},
	{
		step: "02-pid-namespace", says: leak,
		edits: []edit{
			{"main.go", `Cloneflags: namespaces,`, ``},
			{"main.go", `if pid := os.Getpid(); pid != 1 {`, `if pid := 1; pid != 1 {`},
		},
		lines: []string{"PID namespace", "tgkill"},
	},
	{
		step: "03-mount-namespace", says: held,
		edits: []edit{{
			"main.go", `const namespaces = `, `const namespaces = unix.CLONE_NEWUTS | `,
		}},
		lines: []string{"hostname"},
	},
	{
		step: "03-mount-namespace", says: held,
		edits: []edit{{
			"main.go", `const namespaces = `, `const namespaces = unix.CLONE_NEWIPC | `,
		}},
		lines: []string{"message queue"},
	},
	{
		step: "03-mount-namespace", says: leak,
		edits: []edit{
			{"main.go", `unix.CLONE_NEWPID | unix.CLONE_NEWNS`, `unix.CLONE_NEWPID`},
			{ // What is mounted here now would be mounted on the host.
				"main.go", `if err := ownMounts(); err != nil {`,
				`if true { return execCommand(command) }; if err := ownMounts(); err != nil {`,
			},
		},
		lines: []string{
			"mount namespace", "processes in /proc", "root of its own: /home", "/usr is mounted",
			"chroot again", "a directory left open", "own: container .* is mounted at /",
		},
	},
	{
		step: "03-mount-namespace", says: leak,
		edits: []edit{{
			"rootfs.go", `mount("proc", rootfs+"/proc", "proc", inert|unix.MS_NOEXEC, "")`,
			`mount("/proc", rootfs+"/proc", "", unix.MS_BIND|unix.MS_REC, "")`,
		}},
		lines: []string{"processes in /proc"},
	},
	{
		step: "03-mount-namespace", says: leak,
		edits: []edit{{"rootfs.go", `"/usr", "/bin", `, `"/home", "/usr", "/bin", `}},
		lines: []string{"root of its own: /home"},
	},
	{
		step: "03-mount-namespace", says: leak,
		edits: []edit{{"rootfs.go", `Attr_set: unix.MOUNT_ATTR_RDONLY`, ``}},
		lines: []string{"/usr is mounted"},
	},
	{
		step: "03-mount-namespace", says: leak,
		edits: []edit{
			{"main.go", `unix.PivotRoot(".", ".")`, `unix.Chroot(".")`},
			{"main.go", `unix.Unmount(".", unix.MNT_DETACH)`, `error(nil)`},
		},
		lines: []string{"chroot again"},
	},
	{
		step: "03-mount-namespace", says: leak,
		edits: []edit{{
			"main.go", `if err := closeDescriptors(); err != nil {`,
			`_ = closeDescriptors; if err := error(nil); err != nil {`,
		}},
		lines: []string{"a directory left open"},
	},
	{
		step: "04-uts-ipc", says: held,
		edits: []edit{{
			"main.go", `addUserNamespace(cmd.SysProcAttr, unix.CAP_SYS_ADMIN)`,
			`ids := []syscall.SysProcIDMap{{HostID: 100_000, Size: 65536}}
			cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
			cmd.SysProcAttr.UidMappings, cmd.SysProcAttr.GidMappings = ids, ids
			cmd.SysProcAttr.Credential = &syscall.Credential{NoSetGroups: true}`,
		}},
		lines: []string{"root.: container PID 1 .* is uid 0"},
	},
	{
		step: "04-uts-ipc", says: leak,
		edits: []edit{{"main.go", `unix.CLONE_NEWUTS | unix.CLONE_NEWIPC`, `unix.CLONE_NEWIPC`}},
		lines: []string{"UTS namespace", "container hostname"},
	},
	{
		step: "04-uts-ipc", says: leak,
		edits: []edit{{"main.go", `unix.CLONE_NEWUTS | unix.CLONE_NEWIPC`, `unix.CLONE_NEWUTS`}},
		lines: []string{
			"on the host: System V m", "on the host: System V s", "on the host: POSIX",
			"container: System V m", "container: System V s", "container: POSIX",
		},
	},
	{
		step: "04-uts-ipc", says: leak,
		edits: []edit{{
			"rootfs.go", `mount("tmpfs", dev+"/shm", "tmpfs", noexec|unix.MS_NODEV, `,
			`mount("/dev/shm", dev+"/shm", "", unix.MS_BIND, `,
		}},
		lines: []string{"on the host: file", "container: file"},
	},
	{
		step: "05-user-namespace", says: held,
		edits: []edit{{
			"main.go", `const namespaces = `, `const namespaces = unix.CLONE_NEWNET | `,
		}},
		lines: []string{"container network namespace", "container 127.0.0.1.* says"},
	},
	{
		step: "05-user-namespace", says: leak,
		edits: noUserNamespace,
		lines: []string{
			"container user namespace", "settimeofday", "mknod", "load a module", "kernel.panic",
			"kmsg", "hard limit", "setns",
		},
	},
	{
		step: "05-user-namespace", says: leak,
		edits: append([]edit{{"rootfs.go", `Attr_set: unix.MOUNT_ATTR_RDONLY`, ``}},
			noUserNamespace...),
		lines: []string{
			"container user namespace", "settimeofday", "mknod", "load a module", "kernel.panic",
			"kmsg", "hard limit", "setns", "access /usr",
		},
	},
	{
		step: "05-user-namespace", says: leak,
		edits: append([]edit{
			{"main.go", `unix.CLONE_NEWPID | unix.CLONE_NEWNS`, `unix.CLONE_NEWNS`},
			{"main.go", `if pid := os.Getpid(); pid != 1 {`, `if pid := 1; pid != 1 {`},
		}, noUserNamespace...),
		lines: []string{
			"container user namespace", "settimeofday", "mknod", "load a module", "kernel.panic",
			"kmsg", "hard limit", "setns", "signal a host process",
		},
	},
	{
		step: "06-network", says: held,
		edits: []edit{{
			"main.go", `explainStreams(command)`,
			`unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: 200 << 20, Max: 200 << 20})`,
		}},
		lines: []string{"use 256 MiB"},
	},
	{
		step: "06-network", says: leak,
		edits: []edit{{
			"demo.go", `inside, err := ask(node(args...))`, `inside, err := ask(self(args...))`,
		}},
		lines: []string{
			"Alone.*: container network", "Alone.*: container 127", "Alone.*: container @jail",
		},
	},
	{
		step: "06-network", says: leak,
		edits: []edit{{
			"demo.go", `inner, _, err := start(node("lesson:obey"))`,
			`shared := node("lesson:obey")
			shared.SysProcAttr.Cloneflags = unix.CLONE_NEWUSER
			inner, _, err := start(shared)`,
		}, {"net_netlink.go", `if os.SameFile(mine, theirs) {`,
			`if false && os.SameFile(mine, theirs) {`}},
		lines: []string{"Plugged in.*: container 127", "Plugged in.*: container @jail"},
	},
	{
		step: "06-network", says: leak,
		edits: []edit{{"net_nat.go", `iifname @links masquerade`, ``}},
		lines: []string{"what the world can see"},
	},
	{
		step: "06-network", says: leak,
		edits: []edit{
			{ // both are the same container
				"demo.go", `words := [2]string{secret, rand.Text()[:8]}`,
				`another = one; words := [2]string{secret, secret}`,
			},
			{
				"demo.go", `if _, err := c.tell("serve " + port + " " + words[i]); err != nil {`,
				`if i == 1 {
					said[1] = said[0]
				} else if _, err := c.tell("serve " + port + " " + words[i]); err != nil {`,
			},
		},
		lines: []string{
			"link on the host", "by side: address", "by side: network namespace", "127.0.0.1:8080",
		},
	},
	{
		step: "07-cgroups", says: held,
		edits: []edit{{
			"main.go", `explainStreams(command)`,
			`unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_SYS_ADMIN, 0, 0, 0)`,
		}},
		lines: []string{"mount a tmpfs"},
	},
	{
		step: "07-cgroups", says: held,
		edits: []edit{
			{"main.go", `import (`, `import ("unsafe"`},
			{
				"main.go", `explainStreams(command)`,
				`filter := []unix.SockFilter{
					{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS},
					{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: unix.SYS_KEYCTL},
					{Code: unix.BPF_RET, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)},
					{Code: unix.BPF_RET, K: unix.SECCOMP_RET_ALLOW},
				}
				program := unix.SockFprog{Len: 4, Filter: &filter[0]}
				unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER,
					uintptr(unsafe.Pointer(&program)), 0, 0)`,
			},
		},
		lines: []string{"keyctl"},
	},
	{
		step: "07-cgroups", says: leak,
		edits: []edit{
			{"cgroup_v1.go", `memory := strconv.Itoa(memoryLimit)`, `memory := "-1"`},
			{"cgroup_v2.go", `value: strconv.Itoa(memoryLimit)`, `value: "max"`},
		},
		lines: []string{"limit.: 64 MiB use 256 MiB", "limits.: container use 256 MiB"},
	},
	{
		step: "07-cgroups", says: leak,
		edits: []edit{
			{"cgroup_v1.go", `value: strconv.Itoa(pidsLimit)`, `value: "max"`},
			{"cgroup_v2.go", `value: strconv.Itoa(pidsLimit)`, `value: "max"`},
		},
		lines: []string{"50 tasks"},
	},
	{
		step: "07-cgroups", says: leak,
		edits: []edit{{"cgroup.go", `cpuLimit    = 20_000`, `cpuLimit    = -1`}},
		lines: []string{"busy for 1 s"},
	},
	{
		step: "07-cgroups", says: leak,
		edits: []edit{{"main.go", `unix.Unshare(unix.CLONE_NEWCGROUP)`, `error(nil)`}},
		lines: []string{"cgroup namespace"},
	},
	{
		step: "07-cgroups", says: leak,
		edits: append([]edit{{"main.go", `unix.Unshare(unix.CLONE_NEWCGROUP)`, `error(nil)`}},
			noUserNamespace...),
		lines: []string{"cgroup namespace", ": nowhere"},
	},
	{
		step: "08-full-container", says: leak,
		edits: without("net"),
		lines: []string{"reach the host"},
	},
	{
		step: "08-full-container", says: leak,
		edits: without("limits"),
		lines: []string{"start 200 processes"},
	},
	{
		step: "08-full-container", says: leak,
		edits: without("seccomp"),
		lines: []string{"mount a nonexistent path", "bpf", "keyctl", "io_uring"},
	},
	{
		step: "08-full-container", says: leak,
		edits: without("seccomp", "capabilities"),
		lines: []string{
			"make a UTS namespace", "mount a nonexistent path", "bpf", "keyctl", "io_uring",
		},
	},
	{
		step: "08-full-container", says: leak,
		edits: without("masks"),
		lines: []string{"read /proc/keys"},
	},
	{
		step: "08-full-container", says: leak,
		edits: []edit{{"rootfs.go", `"/usr", "/bin", `, `"/var", "/usr", "/bin", `}},
		lines: []string{"open the host's /var"},
	},
	{
		step: "08-full-container", says: leak,
		edits: append(without("masks"), noUserNamespace...),
		lines: []string{"read /proc/keys", "read /proc/timer_list"},
	},
	{
		step: "08-full-container", says: leak,
		edits: append(without("read-only"), noUserNamespace...),
		lines: []string{"swappiness"},
	},
	{
		step: "08-full-container", says: leak,
		edits: append([]edit{
			{"main.go", `unix.CLONE_NEWPID | unix.CLONE_NEWNS`, `unix.CLONE_NEWNS`},
			{"main.go", `if pid := os.Getpid(); pid != 1 {`, `if pid := 1; pid != 1 {`},
		}, noUserNamespace...),
		lines: []string{"signal a host process"},
	},
}

// noUserNamespace takes the user namespace away from the container, and the rest stays.
var noUserNamespace = []edit{
	{"main.go", `const namespaces = unix.CLONE_NEWUSER |`, `const namespaces = 0 |`},
	{
		"ids_map.go", `func(int) error { return errors.New("no user namespace to map ids in") }`,
		`later`,
	},
}

// without leaves out some of 08's walls, as its flag -without does.
func without(walls ...string) []edit {
	off := fmt.Sprintf("o.without = append(o.without, %#v...); o.leaveOut()", walls)
	return []edit{{"flags.go", `o.leaveOut()`, off}}
}

// exceptions are the verdicts that no change to a step flips.
var exceptions = []exception{
	{"08-full-container", "Linux .* booted as",
		"one kernel is what containers share; scripts/compare-vm.sh shows the VM that closes it"},
}
