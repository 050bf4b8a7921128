//go:build linux

package main

import "strings"

// variant is a change to a copy, and what the judge has to say of it: nothing, where it is right.
type variant struct {
	edits []edit // from the start of the exercise on
	says  string
}

// proof is what the test knows of an exercise: what the judge says at the start; half a solution,
// and the hint on it; other solutions, and wrong ones.
type proof struct {
	starts string
	half   variant
	hint   string // on the half solution; it differs from the first hint in any case
	other  []variant
	wrong  []variant
}

// forContainer is another body for container.
func forContainer(body string) []edit {
	return []edit{{file: "main.go", fn: "container",
		text: body}}
}

const checksOf02 = `	if os.Getpid() != 1 {
		return errors.New("no container")
	}
	if err := checkParent(outer); err != nil {
		return err
	}
`

// importErrors is for code that needs errors.
var importErrors = edit{file: "main.go", find: "import (\n\"fmt\"", text: "import " +
	"(\n\t\"errors\"\n\t\"fmt\""}

// forkExec starts the command of step 02.
const forkExec = checksOf02 + `	path, err := exec.LookPath(command[0])
	if err != nil {
		return err
	}
	child, err := syscall.ForkExec(path, command, &syscall.ProcAttr{Env: os.Environ(),
		Files: []uintptr{0, 1, 2}})
	if err != nil {
		return err
	}
	var status syscall.WaitStatus
`

// init02 is a variant of the init that reaps.
func init02(rest, says string) variant {
	return variant{append(forContainer(forkExec+rest), importErrors), says}
}

// chroot01 puts a text in the place of a missing chroot.
func chroot01(text string) []edit {
	return []edit{{file: "main.go", find: `if err := os.Chdir("/"); err != nil {`,
		text: text + "\n\tif err := os.Chdir(\"/\"); err != nil {"}}
}

// jail01 is another body for jail.
func jail01(body string) []edit {
	return []edit{{file: "main.go", fn: "jail", text: body}}
}

// attr02 adds a field to the SysProcAttr.
func attr02(field string) []edit {
	return []edit{{file: "main.go", find: "cmd.SysProcAttr = &syscall.SysProcAttr{",
		text: "cmd.SysProcAttr = &syscall.SysProcAttr{\n\t\t" + field}}
}

var proofs = map[string]proof{
	"01-1": {
		starts: "A path that begins with / begins at the host's root",
		half: variant{chroot01(`if err := unix.Chroot("/"); err != nil { return err }`),
			"begins at the host's root"},
		hint: "but not with dir",
	},
	"01-2": {
		starts: "working directory is still the host's",
		half: variant{[]edit{{file: "main.go", find: `os.Setenv("PATH", "/bin")`,
			text: "_ = os.Chdir(\".\")\n\tos.Setenv(\"PATH\", \"/bin\")"}}, "working directory " +
			"is still the host's"},
		hint: "stays where the process is",
		other: []variant{{edits: []edit{{file: "main.go", find: "if err := unix.Chroot(dir); err " +
			"!= nil {",
			text: "if err := os.Chdir(dir); err != nil {\n\t\treturn err\n\t}\n\tif err := " +
				"unix.Chroot(\".\"); err != nil {"}}}},
	},
	"01-3": {
		starts: "execve(2) answers ENOENT for a missing loader too",
		half: variant{[]edit{{file: "jail.go", find: "if path, err = " +
			"filepath.EvalSymlinks(path); err != nil {",
			text: "if err := p.copy(path, loader); err != nil {\n\t\treturn err\n\t}\n\tif path, " +
				"err = filepath.EvalSymlinks(path); err != nil {"}},
			"can't be executed"},
	},
	"01-4": {
		starts: "What is open when the command starts stays open",
		half:   variant{chroot01("unix.CloseOnExec(5)"), "stays open"},
		hint:   "You close one descriptor",
		other: []variant{
			{edits: jail01(`	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, entry := range open {
		var fd int
		if _, err := fmt.Sscan(entry.Name(), &fd); err != nil {
			return err
		}
		if fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
	if err := unix.Chroot(dir); err != nil {
		return err
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	os.Setenv("PATH", "/bin")
	return execCommand(command)`)},
		},
		wrong: []variant{
			{chroot01("_ = unix.CloseRange(3, 8, unix.CLOSE_RANGE_CLOEXEC)"), "descriptors 5 and " +
				"9"},
			{chroot01("_ = unix.CloseRange(0, ^uint(0), unix.CLOSE_RANGE_CLOEXEC)"), "standard " +
				"streams"},
			{chroot01("for fd := 3; fd < 6; fd++ {\n\t\tunix.CloseOnExec(fd)\n\t}"),
				"descriptors " +
					"5 and 9"},
		},
	},
	"01-5": {
		starts: "The command isn't locked in at all",
		half: variant{jail01("\tif err := unix.Chroot(dir); err != nil {\n\t\treturn err\n\t}\n" +
			"\tos.Setenv(\"PATH\", \"/bin\")\n\treturn execCommand(command)"), "working " +
			"directory is still the host's"},
		hint: "What about relative paths?",
	},
	"02-1": {
		starts: "still in the host's PID namespace",
		half:   variant{attr02("Unshareflags: namespaces,"), "has called unshare(2)"},
		hint:   "only the children that it will have",
	},
	"02-2": {
		starts: "Anyone can give a program any argv[0]",
		half: variant{[]edit{{file: "main.go", find: "if err := checkParent(outer); err != nil {",
			text: "if os.Getpid() == 0 {\n\t\treturn fmt.Errorf(\"no container\")\n\t}\n\tif err " +
				":= checkParent(outer); err != nil {"}},
			"Yours believes it"},
		hint: "No process has PID 0",
	},
	"02-3": {
		starts: "The container outlives the program that started it",
		half:   variant{attr02("Pdeathsig: unix.SIGTERM,"), "outlives the program"},
		hint:   "that ignores every signal",
	},
	"02-4": {
		starts: "it stays as a zombie",
		half: init02("\tfor {\n\t\tpid, err := syscall.Wait4(child, &status, 0, nil)\n\t\tif pid "+
			"== child || err != nil {\n"+
			"\t\t\tos.Exit(status.ExitStatus())\n\t\t}\n\t}", "it stays as a zombie"),
		hint: "You wait for one child only",
		other: []variant{
			init02(`	ended := make(chan int)
	go func() {
		for {
			if pid, err := syscall.Wait4(-1, &status, 0, nil); err != nil || pid != child {
				continue
			}
			if status.Signaled() {
				ended <- 128 + int(status.Signal())
			}
			ended <- status.ExitStatus()
		}
	}()
	os.Exit(<-ended)
	return nil`, ""),
		},
		wrong: []variant{
			init02(`	_ = child
	_, err = syscall.Wait4(-1, &status, 0, nil)
	os.Exit(status.ExitStatus())
	return err`, "zombies"),
			init02("\tfor {\n\t\tpid, err := syscall.Wait4(-1, &status, 0, nil)\n\t\tif pid == "+
				"child || err != nil {\n"+
				"\t\t\tos.Exit(0)\n\t\t}\n\t}", "exit 7: exit status 0, not 7"),
			init02("\tcode := 0\n\tfor {\n\t\tpid, err := syscall.Wait4(-1, &status, 0, "+
				"nil)\n\t\tif err != nil {\n"+
				"\t\t\tos.Exit(code)\n\t\t}\n\t\tif pid == child {\n\t\t\tcode = "+
				"status.ExitStatus()\n"+
				"\t\t\tif status.Signaled() {\n\t\t\t\tcode = 128 + "+
				"int(status.Signal())\n\t\t\t}\n\t\t}\n\t}",
				"still running after 4 s"),
			init02("\tfor {\n\t\tpid, err := syscall.Wait4(-1, &status, 0, nil)\n\t\tif pid == "+
				"child || err != nil {\n"+
				"\t\t\tos.Exit(status.ExitStatus())\n\t\t}\n\t}", "not 143"),
		},
	},
	"02-5": {
		starts: "The host's process is dead",
		half:   variant{attr02("Cloneflags: namespaces,"), "Yours believes it"},
		hint:   "What if the outer process is killed?",
	},
	"03-1": {
		starts: "An open directory of the host is an escape",
		half: variant{before("if err := buildRoot(); err != nil {", "defer closeDescriptors()"),
			"is an escape"},
		hint: "A deferred call runs",
		other: []variant{{edits: before("if err := buildRoot(); err != nil {",
			"if err := unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil "+
				"{\n\t\treturn err\n\t}")}},
	},
	"03-2": {
		starts: "/.. is all of the host",
		half: variant{before(`return os.Chdir("/")`,
			"if err := unix.Unmount(\".\", 0); err != nil {\n\t\treturn err\n\t}"),
			"busy"},
		hint: "There is a flag",
	},
	"03-3": {
		starts: "propagation is still shared",
		half: variant{before("if err := buildRoot(); err != nil {",
			`if err := mount("none", "/", "", unix.MS_PRIVATE, ""); err != nil {
		return err
	}`), "propagation is still shared"},
		hint: "MS_PRIVATE changes one mount",
	},
	"03-4": {
		starts: "The file is on the host now",
		half: variant{[]edit{{file: "rootfs.go", find: "&unix.MountAttr{})",
			text: "&unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})"}}, "The " +
			"file is on the host now"},
		hint: "/usr is read-only now",
		other: []variant{{edits: []edit{{file: "rootfs.go", fn: "bindReadOnly",
			text: `	err := mount(source, target, "", unix.MS_BIND|unix.MS_REC, "")
	if err != nil {
		return err
	}
	return remount(target, unix.MS_RDONLY)`}}}},
	},
	"03-5": {
		starts: "chroot moves only a process's idea of /",
		half: variant{[]edit{{file: "main.go", find: `if err := unix.Chroot("."); err != nil {`,
			text: `if err := unix.PivotRoot(".", "."); err != nil {`}}, "/.. is all of the host"},
		hint: "The old one is still mounted",
		wrong: []variant{{before(`return os.Chdir("/")`,
			`_ = unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")`),
			"chroot moves only a process's idea"}},
	},
	"03-6": {
		starts: "The file of the host's directory isn't in /work",
		half:   volumeVariant(`return mount(dir, target, "", unix.MS_BIND, "")`, "it isn't there"),
		hint:   "A bind mount takes one mount",
		other: []variant{volumeVariant(`const flags = unix.OPEN_TREE_CLONE | unix.AT_RECURSIVE
	fd, err := unix.OpenTree(unix.AT_FDCWD, dir, flags)
	if err != nil {
		return err
	}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE,
		&unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV}); err != nil {
		return err
	}
	return unix.MoveMount(fd, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH)`, "")},
		wrong: []variant{
			volumeVariant(`if err := os.CopyFS(target, os.DirFS(dir)); err != nil { return err }`,
				"isn't in the host's directory"),
			volumeVariant(`if err := os.Remove(target); err != nil { return err }
	if err := os.Symlink(dir, target); err != nil { return err }`, "isn't in /work"),
			volumeVariant(`return mount(dir, target, "", unix.MS_BIND|unix.MS_REC, "")`,
				"A device file in the volume is a device"),
			volumeVariant(`if err := bindReadOnly(dir, target); err != nil { return err }`,
				"isn't in the host's directory"),
		},
	},
	"03-7": {
		starts: "begins at the host's root",
		half: variant{[]edit{{file: "main.go", fn: "container",
			text: `	if err := buildRoot(); err != nil {
		return err
	}
	if err := os.Chdir(rootfs); err != nil {
		return err
	}
	if err := unix.Chroot("."); err != nil {
		return err
	}
	return execCommand(command)`}}, "Yours believes it"},
		hint: "the host will see it",
	},
	"04-1": {
		starts: "Your container has renamed the host",
		half: variant{flags04("unix.CLONE_NEWPID|unix.CLONE_NEWNS|unix.CLONE_NEWIPC"), "has " +
			"renamed the host"},
		hint: "nothing to do with the network",
	},
	"04-2": {
		starts: "Shared memory is found by a number",
		half: variant{flags04("unix.CLONE_NEWPID|unix.CLONE_NEWNS|unix.CLONE_NEWUTS"), "found " +
			"by a number"},
		hint: "Shared memory needs none",
	},
	"04-3": {
		starts: "starts with a copy of the host's two names",
		half: variant{before("return execCommand(command)", "if err := "+
			"unix.Sethostname([]byte(\"container\")); err != nil {\n\t\treturn err\n\t}"),
			"host's two names"},
		hint: "That is one of the two names",
		other: []variant{{edits: before("return execCommand(command)",
			`if err := syscall.Setdomainname([]byte("jail.example")); err != nil {
		return err
	}
	if err := syscall.Sethostname([]byte("container")); err != nil {
		return err
	}`)}},
	},
	"04-4": {
		starts: "still in the host's PID namespace",
		half: variant{append([]edit{{file: "main.go", find: "const namespaces = 0",
			text: "const namespaces = unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | " +
				"unix.CLONE_NEWIPC"}},
			edit{file: "main.go", fn: "container", text: `	if err := buildRoot(); err != nil {
		return err
	}
	if err := pivotRoot(rootfs); err != nil {
		return err
	}
	return execCommand(command)`}), "Yours believes it"},
		hint: "What is its name?",
	},
	"05-1": {
		starts: "The command should be uid 0 and gid 0",
		half: variant{[]edit{{file: "ids_map.go", find: "attr.UidMappings = uids",
			text: "attr.UidMappings " +
				"= uids\n\t\tattr.GidMappings = nil"}},
			"The command should be uid 0 and gid 0"},
	},
	"05-2": {
		starts: "no user namespace to map",
		half: variant{[]edit{{file: "main.go", find: "const namespaces = 0 |", text: "const " +
			"namespaces = unix.CLONE_NEWUTS |"}},
			"no user namespace to map"},
	},
	"05-3": {
		starts: "ran though the outer process was dead",
		half: variant{before("if err := closeDescriptors(); err != nil {", "_ = awaitHost()"),
			"ran " +
				"though the outer process was dead"},
		hint: "whatever came",
	},
	"05-4": {
		starts: "Uid 1 has no number on the host",
		half: variant{[]edit{{file: "ids_map.go", find: "attr.UidMappings[0].Size, " +
			"attr.GidMappings[0].Size = 1, 1",
			text: "attr.UidMappings[0].Size, attr.GidMappings[0].Size = 1, " +
				"1\n\t\tattr.UidMappings[0].Size = 2"}},
			"Uid 1 has no number on the host"},
		hint: "two users now, and one group",
		other: []variant{
			{edits: []edit{{file: "ids_map.go", find: "attr.UidMappings[0].Size, " +
				"attr.GidMappings[0].Size = 1, 1",
				text: "attr.UidMappings[0].Size, attr.GidMappings[0].Size = 2, 2"}}},
			{edits: []edit{{file: "ids_map.go", find: "attr.UidMappings[0].Size, " +
				"attr.GidMappings[0].Size = 1, 1",
				text: `attr.UidMappings[0].Size, attr.GidMappings[0].Size = 1, 1
		second := syscall.SysProcIDMap{ContainerID: 1, HostID: uids[0].HostID + 1, Size: 1}
		attr.UidMappings = append(attr.UidMappings, second)
		second.HostID = gids[0].HostID + 1
		attr.GidMappings = append(attr.GidMappings, second)`}}},
		},
		wrong: []variant{
			{[]edit{{file: "ids_map.go", find: "attr.UidMappings[0].Size, " +
				"attr.GidMappings[0].Size = 1, 1",
				text: `attr.UidMappings[0].Size, attr.GidMappings[0].Size = 1, 1
		second := syscall.SysProcIDMap{ContainerID: 1, HostID: 0, Size: 1}
		attr.UidMappings = append(attr.UidMappings, second)
		attr.GidMappings = append(attr.GidMappings, second)`}}, "has root's files"},
			{[]edit{{file: "ids_map.go", find: "attr.UidMappings[0].Size, " +
				"attr.GidMappings[0].Size = 1, 1",
				text: `attr.UidMappings[0].Size, attr.GidMappings[0].Size = 1, 1
		attr.UidMappings = append(attr.UidMappings, attr.UidMappings[0])
		attr.GidMappings = append(attr.GidMappings, attr.GidMappings[0])`}}, "invalid argument"},
		},
	},
	"05-5": {
		starts: "still in the host's PID namespace",
		half: variant{[]edit{
			{file: "main.go", find: "const namespaces = 0", text: "const namespaces = " +
				"unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | " +
				"unix.CLONE_NEWIPC"},
			{file: "main.go", fn: "container",
				text: `	err := mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	if err != nil {
		return err
	}
	if err := buildRoot(); err != nil {
		return err
	}
	if err := pivotRoot(rootfs); err != nil {
		return err
	}
	return execCommand(command)`}}, "ran though the outer process was dead"},
		hint: "Who says when its maps are written?",
	},
	"06-1": {
		starts: "has a lo of its own, and that is down",
		half: variant{inCable(`inside.setUp("eth0")`, `outside.setUp("lo")`),
			"has a lo of its own, and that is down"},
		hint: "Whose is down?",
	},
	"06-2": {
		starts: "no default route",
		half: variant{inCable(`inside.setUp("eth0")`,
			`outside.addDefaultRoute(c.container.Addr())`),
			"no default route"},
		hint: "the host's route, not the container's",
	},
	"06-3": {
		starts: "has no network of its own",
		half: variant{[]edit{{file: "main.go", find: "namespaces = unix.CLONE_NEWUSER |",
			text: "namespaces = unix.CLONE_NEWUSER | unix.CLONE_NEWUTS |"}},
			"has no network of its own"},
		hint: "in spite of its looks",
	},
	"06-4": {
		starts: "The host is a router for your container",
		half: variant{inCable(`inside.setUp("eth0")`, "forward(c.link, true)"),
			"The host is a router"},
		hint: "true lets the host forward",
		other: []variant{{edits: []edit{{file: "net_cable.go",
			find: "func() error { return disableIPv6(c.link, trace) },",
			text: `func() error { return disableIPv6(c.link, trace) },
		func() error {
			return writeFile("/proc/sys/net/ipv4/conf/"+c.link+"/forwarding", "0")
		},`}}}},
	},
	"06-5": {
		starts: "Nothing listens on the host's port",
		half: publishVariant(`	client, err := l.Accept()
	if err == nil {
		client.Close()
	}
	_ = address`, "127.0.0.1:8080", "EOF"),
		hint: "Who connects to the container?",
		other: []variant{publishVariant(`	for {
		client, err := l.(*net.TCPListener).AcceptTCP()
		if err != nil {
			return
		}
		to, err := net.ResolveTCPAddr("tcp", address)
		if err != nil {
			return
		}
		server, err := net.DialTCP("tcp", nil, to)
		if err != nil {
			client.Close()
			continue
		}
		ended := make(chan error, 2)
		go func() { _, err := server.ReadFrom(client); ended <- err }()
		go func() { _, err := client.ReadFrom(server); ended <- err }()
		go func() { <-ended; client.Close(); server.Close() }()
	}`, "127.0.0.1:8080", "")},
		wrong: []variant{
			publishVariant(forwardEach, "0.0.0.0:8080", "open on all of the host's addresses"),
			publishVariant(strings.Replace(forwardEach, "for {", "for range 1 {", 1),
				"127.0.0.1:8080",
				"The first connection gets through"),
			publishVariant(strings.Replace(forwardEach, `"tcp", address`, `"tcp", "127.0.0.1:7000"`,
				1),
				"127.0.0.1:8080", "doesn't get to the container"),
		},
	},
	"06-6": {
		starts: "What one container sends doesn't get to the other",
		half: lan06("func() error { return outside.addPort(port, bridge) },", "",
			"doesn't get to the other"),
		hint:  "Which links are its ports?",
		other: []variant{{edits: []edit{{file: "net_lan.go", text: lanByIP}}}},
		wrong: []variant{
			lan06(`"lan-"+lan`, `"lan"`, "they are all on the same link"),
			lan06("err != nil && !errors.Is(err, unix.EEXIST)", "err != nil",
				"is there already for the second"),
			lan06(`strings.HasPrefix(link.Name, lan+"-")`, `strings.HasPrefix(link.Name, "/")`,
				"cut off"),
			lan06("errors.Join(err, outside.remove(bridge))", "err", "A bridge is the host's"),
			lan06(`func() error { return inside.setUp("eth1") },`, "",
				"doesn't get to the other"),
		},
	},
	"06-7": {
		starts: "still in the host's PID namespace",
		half:   whole06("", resolving, "What is open when the command starts stays open"),
		hint:   "still open",
		wrong:  []variant{whole06(closing, "_ = text", "finds no name server")},
	},
	"07-1": {
		starts: "There is no limit on this container's memory",
		half: variant{[]edit{{file: "cgroup.go", find: "_, err := os.Stat(s.file)",
			text: "var err error\n\t\tif strings.Contains(s.file, \"memory\") {\n\t\t\t" +
				"err = writeFile(s.file, s.value)\n\t\t}"}},
			"no limit on the number of its processes"},
	},
	"07-2": {
		starts: "There is no limit on this container's memory",
		// Half is what is half on v1; on v2 it is nothing.
		half: variant{[]edit{{file: "cgroup_v1.go",
			find: "range c.dirs() {\nif err := writeFile(filepath",
			text: "range c.dirs() {\n\t\tif dir == c.memory {\n\t\t\tif err := " +
				"writeFile(dir+\"/inner/tasks\", \"0\"); err != nil {\n\t\t\t\treturn " +
				"err\n\t\t\t}\n\t\t\tcontinue\n\t\t}\n\t\tif err := writeFile(filepath"}},
			"There is no limit on"},
	},
	"07-3": {
		starts: "sees where in the host's hierarchy",
		half: variant{before(privateCall, "defer unix.Unshare(unix.CLONE_NEWCGROUP)"),
			"sees where"},
		hint: "A deferred call",
	},
	"07-4": {
		starts: "A cgroup stays on the host",
		half: variant{[]edit{{file: "cgroup.go",
			find: "return undoNow(func() error { return nil }) }",
			text: "return undoNow(func() error { _ = group.remove; return nil }) }"}},
			"A cgroup stays on the host"},
	},
	"07-5": {
		starts: "Its weight is the usual one",
		half: variant{[]edit{
			{file: "cgroup_v1.go",
				find: `return apply(c.shown(c.memory+"/inner", c.pids+"/inner"))`,
				text: `return apply(append(c.shown(c.memory+"/inner", c.pids+"/inner"),
		setting{file: c.cpu + "/inner/cpu.shares", value: "102"}))`},
			{file: "cgroup_v2.go", find: "return apply(c.shown(c.inner()))",
				text: `return apply(append(c.shown(c.inner()),
			setting{file: c.inner() + "/cpu.weight", value: "10"}))`},
		}, "inner has none"},
		hint: "A weight counts among neighbours",
		other: []variant{{edits: []edit{{file: "cgroup.go",
			find: "if err := group.create(); err != nil {",
			text: `err = group.create()
	for _, dir := range strings.Split(group.String(), "\t") {
		for file, value := range map[string]string{"/cpu.shares": "102", "/cpu.weight": "10"} {
			if exists(dir + file) {
				err = errors.Join(err, writeFile(dir+file, value))
			}
		}
	}
	if err != nil {`}}}},
		wrong: []variant{
			{weight07("10", "1"), "That isn't a tenth"},
			{append(weight07("102", "10"), edit{file: "cgroup.go",
				find: "cpuLimit    = 20_000 ", text: "cpuLimit    = -1 "}),
				"A weight doesn't replace the limit"},
		},
	},
	"07-6": {
		starts: "The kernel has never slowed it down",
		half:   high07("67108864", "The kernel has never slowed it down"),
		other: []variant{
			high07("48M", ""),
			{edits: []edit{{file: "cgroup_v2.go",
				find: "if err := mkdirCgroup(c.inner()); err != nil {",
				text: `high, err := os.OpenFile(c.limits+"/memory.high", os.O_WRONLY, 0)
		if err == nil {
			_, _ = fmt.Fprintln(high, memoryLimit/4*3)
			_ = high.Close()
		}
		if err := mkdirCgroup(c.inner()); err != nil {`}}},
		},
		wrong: []variant{
			high07("48", "The file takes bytes"),
			{[]edit{{file: "cgroup_v2.go", find: "return apply(c.shown(c.inner()))",
				text: `return apply(append(c.shown(c.inner()),
			setting{file: c.inner() + "/memory.high", value: "48M"}))`}},
				"by the memory.high of inner"},
			high07("60M", "That is too late"),
			{append(high07("48M", "").edits, edit{file: "cgroup_v2.go",
				find: `{file: dir + "/memory.max", value: strconv.Itoa(memoryLimit)},`}),
				"The limit that kills has to stay"},
		},
	},
	"07-7": {
		starts: "still in the host's PID namespace",
		half:   whole06(closing, resolving, "sees where in the host's hierarchy"),
		hint:   "six of them come with clone",
	},
	"08-1": {
		starts: "A set-user-ID program in the container would be given",
		half:   variant{before(capsCall, "_ = noNewPrivs"), "A set-user-ID program"},
	},
	"08-2": {
		starts: "In a new user namespace a process has all capabilities again",
		half:   variant{before(nnpCall, "defer loadSeccomp()"), "all capabilities again"},
		hint:   "A deferred call",
	},
	"08-3": {
		starts: "has all capabilities over its namespaces",
		half: variant{before("// 02: PID 1, with its duties.",
			"defer dropCapabilities()"), "has all capabilities over its namespaces"},
		hint: "A deferred call",
	},
	"08-4": {
		starts: "it can read, trace and change it",
		half: variant{[]edit{{file: "init.go", find: "explainStreams(p.args)",
			text: "defer hideFromCommand()\n\texplainStreams(p.args)"}},
			"it can read, trace and change it"},
		hint: "A deferred call",
	},
	"08-5": {
		starts: "Zombies have used up the limit",
		half: variant{[]edit{{file: "init.go", find: "unix.Wait4(command, &status, 0, nil)",
			text: "unix.Wait4(command, &status, unix.WALL, nil)"}},
			"Zombies have used up the limit"},
	},
	"08-6": {
		starts: "the container got all of it",
		half: variant{[]edit{{file: "spec.go",
			find: "append(slices.Concat(os.Environ(), defaultEnv),",
			text: "append(slices.Concat(defaultEnv, os.Environ()),"}},
			"the container got all of it"},
	},
	"08-7": {
		starts: "The container can still make directories",
		half: variant{[]edit{{file: "seccomp_refused.go", find: someRow,
			text: someRow + "\n\t" + mkdiratRow}}, "A filter that knows only one of them is none"},
		hint: "amd64 has an older call, too",
		other: []variant{{edits: []edit{{file: "seccomp_more.go", text: `//go:build linux

package main

import (
	"runtime"

	"golang.org/x/sys/unix"
)

func init() {
	numbers := []int{unix.SYS_MKDIRAT}
	if runtime.GOARCH == "amd64" {
		numbers = append(numbers, 83)
	}
	for _, number := range numbers {
		refusedHere = append(refusedHere, callRule{uint32(number), eperm, "directories"})
	}
}
`}}}},
		wrong: []variant{
			{[]edit{{file: "seccomp_amd64.go", find: someRowHere, text: mkdirRowHere}},
				"mkdir is refused, and mkdirat isn't"},
			{[]edit{
				{file: "seccomp_refused.go", find: someRow, text: someRow + "\n\t" +
					strings.Replace(mkdiratRow, "eperm", "enosys", 1)},
				{file: "seccomp_amd64.go", find: someRowHere, text: strings.Replace(mkdirRowHere,
					"eperm",
					"enosys", 1)},
			}, "but not with EPERM"},
		},
	},
	"08-8": {
		starts: "The port is open on all of the host's addresses",
		half: variant{[]edit{{file: "net_publish.go", find: `"0.0.0.0:"`, text: `"[::1]:"`}},
			"Nothing listens on the host's port"},
		hint: "connects to 127.0.0.1 finds nothing",
		other: []variant{{edits: []edit{{file: "net_publish.go", find: "host = hostOnly + host",
			text: `host = "127.0.0.1:" + host`}}}},
		wrong: []variant{{[]edit{{file: "net_publish.go",
			find: "address, err1 := netip.ParseAddrPort(host)",
			text: "address, err1 := netip.ParseAddrPort(host)\n\t" +
				"address = netip.AddrPortFrom(netip.MustParseAddr(\"127.0.0.1\"), " +
				"address.Port())"}},
			"and you open another one"}},
	},
	"08-9": {
		starts: "The container has let another user in",
		half:   peer08("peer.Pid < 1", "has let another user in"),
		hint:   "not whose it is",
		other:  []variant{peer08("int(peer.Uid) != os.Getuid()", "")},
		wrong:  []variant{peer08("isTrusted(peer)", "not even the container's own user")},
	},
	"08-10": {
		starts: "The second command has more rights than the first",
		half: variant{[]edit{
			{file: "exec.go", find: `"os"`, text: "\"os\"\n\t\"runtime\""},
			{file: "exec.go", find: "if err = request.enterDir()",
				text: "runtime.LockOSThread()\n\t\tif err = request.enterDir()"},
		}, "The second command has more rights than the first"},
		hint: "It is the wrong one",
	},
	"08-11": {
		starts: "The command doesn't run",
		half: guest08("return []byte{<-o.status}, nil", "return []byte{0}, nil",
			"exit status 0, not 7"),
		hint:  "how do you hear of it",
		other: []variant{guest08("", "", "")},
		wrong: []variant{
			guest08("orders <- o", "o.start()", "more rights than the first"),
			guest08("go o.follow(client)", "", "has never heard of it"),
			guest08("o.tell(unix.SIGHUP)", "", "its command still runs"),
		},
	},
	"08-12": {
		starts: "it can read, trace and change it",
		half: variant{before("// 02: PID 1, with its duties.", capsCall+
			`, dropCapabilities); err != nil {
		return err
	}`), "A set-user-ID program"},
		hint: "What can be had without any?",
	},
}

// inCable puts a call in front of another one in plugIn's list.
func inCable(find, call string) []edit {
	line := "func() error { return " + find + " },"
	return []edit{{file: "net_cable.go", find: line,
		text: "func() error { return " + call + " },\n\t\t" + line}}
}

// What whole06 can leave out.
const (
	closing   = "if err := closeDescriptors(); err != nil {\n\t\treturn err\n\t}"
	resolving = `if err := os.WriteFile("/etc/resolv.conf", []byte(text), 0o644); err != nil {
		return err
	}`
)

// whole06 is another body for container, in 06 and 07.
func whole06(descriptors, resolver, says string) variant {
	return variant{[]edit{
		{file: "main.go", find: "const namespaces = 0", text: namespaces06},
		{file: "main.go", fn: "container", text: `	if os.Getpid() != 1 {
		return errors.New("no container")
	}
	text, err := awaitHost()
	if err != nil {
		return err
	}
	` + descriptors + `
	if err := errors.Join(ownMounts(), dropHostIdentity()); err != nil {
		return err
	}
	if err := mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := buildRoot(); err != nil {
		return err
	}
	if err := pivotRoot(rootfs); err != nil {
		return err
	}
	if err := setNames("container", "jail.example"); err != nil {
		return err
	}
	` + resolver + `
	return execCommand(command)`},
	}, says}
}

// lan06 is the solution of the exercise about a LAN, with one text in it replaced.
func lan06(old, text, says string) variant {
	if strings.Count(lanSolved, old) != 1 {
		panic("not once in lanSolved: " + old)
	}
	return variant{[]edit{{file: "net_lan.go", text: strings.Replace(lanSolved, old, text, 1)}},
		says}
}

// lanByIP is the same by ip(8).
const lanByIP = `//go:build linux

package main

import (
	"fmt"
	"os/exec"
	"strings"
)

func ip(format string, args ...any) (string, error) {
	command := strings.Fields(fmt.Sprintf(format, args...))
	out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %s", strings.Join(command, " "), out)
	}
	return string(out), err
}

func join(lan, address string, pid int) (leave func() error, err error) {
	port, inside := fmt.Sprintf("port%d", pid), fmt.Sprintf("nsenter -t %d -n ip", pid)
	_, _ = ip("ip link add %s type bridge", lan)
	for _, command := range []string{
		"ip link set " + lan + " up",
		fmt.Sprintf("ip link add %s master %s type veth peer name eth1 netns %d", port, lan, pid),
		"ip link set " + port + " up",
		inside + " link set eth1 up",
		inside + " addr add " + address + " dev eth1",
	} {
		if _, err := ip("%s", command); err != nil {
			return nil, err
		}
	}
	return func() error {
		_, _ = ip("ip link del %s", port)
		ports, err := ip("ip -o link show master %s", lan)
		if err == nil && ports == "" {
			_, err = ip("ip link del %s", lan)
		}
		return err
	}, nil
}
`

// high07 sets memory.high.
func high07(value, says string) variant {
	return variant{[]edit{{file: "cgroup_v2.go", find: "return append(c.shown(c.limits), cpu)",
		text: "return append(c.shown(c.limits), cpu,\n\t\t" +
			`setting{file: c.limits + "/memory.high", value: "` + value + `"})`}}, says}
}

// weight07 sets weights.
func weight07(v1, v2 string) []edit {
	return []edit{
		{file: "cgroup_v1.go", find: "return append(c.shown(c.memory, c.pids),",
			text: "return append(c.shown(c.memory, c.pids),\n\t\t" +
				`setting{file: c.cpu + "/cpu.shares", value: "` + v1 + `"},`},
		{file: "cgroup_v2.go", find: "return append(c.shown(c.limits), cpu)",
			text: "return append(c.shown(c.limits), cpu,\n\t\t" +
				`setting{file: c.limits + "/cpu.weight", value: "` + v2 + `"})`},
	}
}

// forwardEach forwards each connection that is accepted.
const forwardEach = `	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", address)
		if err != nil {
			client.Close()
			continue
		}
		go func() { io.Copy(client, server); client.Close() }()
		go io.Copy(server, client)
	}`

// publishVariant is another publish, with a body for what is done with its listener.
func publishVariant(body, listen, says string) variant {
	return variant{[]edit{{file: "net_publish.go", text: `//go:build linux

package main

import (
	"io"
	"net"
)

func publish(spec string, c cable) error {
	l, err := net.Listen("tcp", "` + listen + `")
	if err != nil {
		return err
	}
	go forwardAll(l, c.container.Addr().String()+":7000")
	return nil
}

func forwardAll(l net.Listener, address string) {
	_ = io.Copy
` + body + `
}
`}}, says}
}

// before puts a text before another one in main.go.
func before(find, text string) []edit {
	return []edit{{file: "main.go", find: find, text: text + "\n\t" + find}}
}

// flags04 sets the namespaces of step 04.
func flags04(flags string) []edit {
	return []edit{{file: "main.go", find: "= unix.CLONE_NEWPID",
		text: "= unix.CLONE_NEWNET | " + flags + "\n\nconst _ = unix.CLONE_NEWPID"}}
}

// volumeVariant is another body for addVolume.
func volumeVariant(body, says string) variant {
	return variant{[]edit{{file: "volume.go", text: `//go:build linux

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

func addVolume(dir string) error {
	const _ = unix.MS_BIND
	target := rootfs + "/work"
	if err := os.Mkdir(target, 0o755); err != nil {
		return err
	}
	` + body + `
	return nil
}
`}}, says}
}
