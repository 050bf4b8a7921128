// The table of what is taken out, and which test has to notice.

package main

// row is one line of isolation, and the test that is there because of it. A row holds if the test
// passes on the tree as it is, and fails without the line.
type row struct {
	// step is the directory: 02-pid-namespace.
	step string

	// file is the file in it.
	file string

	// find is the text to take out, to the letter, except that the tabs at the beginning of its
	// lines may be left out, here and in the file. It may be a part of a line or several lines. It
	// must be in the file exactly once: comments count, so that a row can't cut into the wrong
	// place. If it is no longer there, the row is wrong and the run fails.
	find string

	// replace is what to put in its place: nothing, mostly. The file must still compile, or nothing
	// is proved: an import or a variable that would be unused needs another user ("_ = root"), and
	// a call whose error is looked at needs another error ("error(nil)").
	replace string

	// test is what "go test -run" gets. Every test that it selects must fail without the line, one
	// that passes or skips is one too many; so name them in full, between ^ and $. With
	// "^TestLesson$/^user$" it is the subtest that must fail.
	test string

	// why says what the reader of the report should know: what the line keeps apart.
	why string
}

// table has a row for each line without which something would no longer be isolated, undone, or
// refused.
var table = []row{
	{
		step: "01-chroot", file: "main.go",
		find:    `if err := unix.Chroot(dir); err != nil {`,
		replace: `if err := error(nil); err != nil {`,
		test:    "^(TestLesson|TestJailIsRoot)$",
		why:     "without chroot, / is the host's",
	},
	{
		step: "01-chroot", file: "main.go",
		find:    `if err := os.Chdir("/"); err != nil {`,
		replace: `if err := error(nil); err != nil {`,
		test:    "^TestWorkingDirectory$",
		why:     "chroot moves the root alone; the working directory stays outside",
	},
	{
		step: "01-chroot", file: "picture.go",
		find:    `endProcesses(dir), unmountBelow(dir), remove(dir))`,
		replace: `unmountBelow(dir), remove(dir))`,
		test:    "^TestKilledCommand$",
		why:     "chroot ends nobody: the children of a killed command live on",
	},
	{
		step: "01-chroot", file: "picture.go",
		find:    `unmountBelow(dir), remove(dir))`,
		replace: `unmountBelow(dir))`,
		test:    "^TestLessonLeavesNothing$",
		why:     "the picture is a directory on the host's disk",
	},
	{
		step: "01-chroot", file: "picture.go",
		find: `strings.HasPrefix(point, dir+"/") {
			return fmt.Errorf`,
		replace: `point == "" {
			return fmt.Errorf`,
		test: "^TestRemoveSparesWhatIsMounted$",
		why:  "removing below a bind mount would remove the host's files",
	},
	{
		step: "01-chroot", file: "hold.go",
		find:    `signal.Ignore(unix.SIGPIPE)`,
		replace: `signal.Ignore(unix.SIGWINCH)`,
		test:    "^TestHolderSurvivesItsReader$",
		why:     "the keeper's first line may find nobody to read it",
	},
	{
		step: "01-chroot", file: "demo.go",
		find:    `if err := dropChroot(); err != nil {`,
		replace: "_ = dropChroot\n\t\tif err := error(nil); err != nil {",
		test:    "^TestLesson$",
		why:     "with the capability, (a) would lead out in the fixed jail too",
	},
	{
		step: "01-chroot", file: "demo.go",
		find:    `unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_SYS_CHROOT, 0, 0, 0)`,
		replace: `error(nil)`,
		test:    "^TestDropIsForGood$",
		why:     "execve would give root the capability back",
	},
	{
		step: "02-pid-namespace", file: "main.go",
		find: "Cloneflags: namespaces,",
		test: "^(TestLesson|TestCommandIsPID1|TestSignalsToPID1|TestHostProcessHasNoNumber)$",
		why:  "without the flag the child stays in the host's PID namespace",
	},
	{
		step: "02-pid-namespace", file: "main.go",
		find:    "if pid := os.Getpid(); pid != 1 {",
		replace: "if pid := os.Getpid(); pid < 1 {",
		test:    "^TestInnerHalfIsPID1$",
		why:     "without CLONE_NEWPID the command would run, and in no container",
	},
	{
		step: "02-pid-namespace", file: "main.go",
		find: "Pdeathsig: unix.SIGKILL,",
		test: "^TestKilledCommand$",
		why:  "a killed outer process must take the container along",
	},
	{
		step: "02-pid-namespace", file: "main.go",
		find:    "func init() { runtime.LockOSThread() }",
		replace: "func init() { _ = runtime.LockOSThread }",
		test:    "^TestKilledCommand$",
		why:     "the kernel forgets Pdeathsig if another thread calls execve than it was set for",
	},
	{
		step: "02-pid-namespace", file: "borrow.go",
		find:    "attr.Cloneflags |= unix.CLONE_NEWUSER",
		replace: "_ = unix.CLONE_NEWUSER",
		test:    "^TestCommandIsPID1$/^user$",
		why:     "without a user namespace an ordinary user may make no other",
	},
	{
		step: "03-mount-namespace", file: "main.go",
		find:    "if err := ownMounts(); err != nil {",
		replace: "if err := error(nil); err != nil {",
		test:    "^TestNameIsNoProof$",
		why:     "whoever starts this without CLONE_NEWNS would lose his root",
	},
	{
		step: "03-mount-namespace", file: "main.go",
		find:    "if pid := os.Getpid(); pid != 1 {",
		replace: "if pid := os.Getpid(); pid < 1 {",
		test:    "^TestNameIsNoProof$",
		why:     "a link by the name of the inner half would move the host's own root",
	},
	{
		step: "03-mount-namespace", file: "main.go",
		find:    "unix.CLONE_NEWPID | unix.CLONE_NEWNS",
		replace: "unix.CLONE_NEWPID",
		test:    "^(TestLesson|TestWaysOut|TestAlone)$/^user$",
		why:     "without a mount namespace of its own nothing can be mounted but on the host",
	},
	{
		step: "03-mount-namespace", file: "main.go",
		find:    `if err := mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {`,
		replace: `if err := error(nil); err != nil {`,
		test:    "^TestPropagation$",
		why:     "a shared mount passes on what is mounted inside",
	},
	{
		step: "03-mount-namespace", file: "main.go",
		find:    "if err := pivotRoot(rootfs); err != nil {",
		replace: "_ = pivotRoot\n\tif err := os.Chdir(rootfs); err != nil {",
		test:    "^(TestLesson|TestOldRootIsGone)$",
		why:     "without pivot_root the command runs on the host's root",
	},
	{
		step: "03-mount-namespace", file: "main.go",
		find:    `if err := unix.PivotRoot(".", "."); err != nil {`,
		replace: `if err := unix.Chroot("."); err != nil {`,
		test:    "^(TestWaysOut|TestOldRootIsGone)$",
		why:     "with chroot in place of pivot_root, 01's ways out lead out",
	},
	{
		step: "03-mount-namespace", file: "main.go",
		find:    `if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {`,
		replace: `if err := error(nil); err != nil {`,
		test:    "^TestOldRootIsGone$",
		why:     "the host's root would stay, below the new one",
	},
	{
		step: "03-mount-namespace", file: "main.go",
		find:    "if err := closeDescriptors(); err != nil {",
		replace: "_ = closeDescriptors\n\tif err := error(nil); err != nil {",
		test:    "^(TestWaysOut|TestDescriptorsAreClosed)$",
		why:     "a directory left open is a way out (CVE-2024-21626)",
	},
	{
		step: "03-mount-namespace", file: "descriptors.go",
		find:    "unix.Close(fd)",
		replace: "unix.CloseOnExec(fd)",
		test:    "^TestNoProgramOfTheHost$",
		why:     "what is open while execve looks its path up leads to the host's programs",
	},
	{
		step: "03-mount-namespace", file: "rootfs.go",
		find:    "&unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})",
		replace: "&unix.MountAttr{})",
		test:    "^(TestLesson|TestReadOnly)$/^user$",
		why:     "the host's /usr would be writable by whoever may write it outside",
	},
	{
		step: "03-mount-namespace", file: "rootfs.go",
		find:    "target, unix.AT_RECURSIVE,",
		replace: "target, 0,",
		test:    "^TestReadOnly$",
		why:     "what is mounted below /usr would stay writable",
	},
	{
		step: "03-mount-namespace", file: "rootfs.go",
		find:    "defer unix.Umask(unix.Umask(0))",
		replace: "",
		test:    "^TestUmask$",
		why:     "a caller's umask would close /tmp to everybody",
	},
	{
		step: "04-uts-ipc", file: "main.go",
		find:    "unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC",
		replace: "unix.CLONE_NEWNS | unix.CLONE_NEWIPC",
		test:    "^(TestLesson|TestRenameStaysInside)$",
		why:     "the container would rename the host, or not be allowed to",
	},
	{
		step: "04-uts-ipc", file: "main.go",
		find:    "unix.CLONE_NEWUTS | unix.CLONE_NEWIPC",
		replace: "unix.CLONE_NEWUTS",
		test:    "^(TestLesson|TestObjectsOfTheHost)$",
		why:     "the host's queues and memory would be there to find",
	},
	{
		step: "04-uts-ipc", file: "main.go",
		find:    `if err := setNames("container", "jail.example"); err != nil {`,
		replace: "_ = setNames\n\tif err := error(nil); err != nil {",
		test:    "^(TestLesson|TestNames)$",
		why:     "a new UTS namespace begins with the host's names",
	},
	{
		step: "05-user-namespace", file: "idmap.go",
		find:    `if attr.Cloneflags&unix.CLONE_NEWUSER == 0 {`,
		replace: `if false {`,
		test:    "^TestNoUserNamespace$",
		why:     "without the flag, parent and child would wait for each other for ever",
	},
	{
		step: "05-user-namespace", file: "main.go",
		find:    "unix.CLONE_NEWUSER |",
		replace: "0 |",
		test:    "^(TestLesson|TestWhoItIs)$/^user$",
		why:     "without a user namespace an ordinary user may make no other",
	},
	{
		step: "05-user-namespace", file: "idmap.go",
		find:    "HostID: found.first,",
		replace: "HostID: 0,",
		test:    "^(TestLesson|TestWhoItIs|TestProgramsStayTheHosts)$/^root$",
		why:     "root inside would be root outside",
	},
	{
		step: "05-user-namespace", file: "main.go",
		find:    "if err := awaitHost(); err != nil {",
		replace: "_ = awaitHost\n\tif err := error(nil); err != nil {",
		test:    "^TestNothingBeforeTheHost$",
		why:     "a command would run before the host's half has done its part, or without it",
	},
	{
		step: "05-user-namespace", file: "idmap.go",
		find:    "if err := unix.Setgroups(nil); err != nil {",
		replace: "if err := error(nil); err != nil {",
		test:    "^TestHelpers$",
		why:     "the groups of the host's user would stay",
	},
	{
		step: "05-user-namespace", file: "idmap.go",
		find: "sets[0].Inheritable, sets[1].Inheritable = 0, 0",
		test: "^TestHelpers$",
		why:  "inheritable capabilities turn up again in programs of other users",
	},
	{
		step: "06-network", file: "main.go",
		find:    "unix.CLONE_NEWUSER | unix.CLONE_NEWNET |",
		replace: "unix.CLONE_NEWUSER |",
		test:    "^TestOwnNetwork$",
		why:     "the container would sit on the host's network",
	},
	{
		step: "06-network", file: "nat.go",
		find:    "ip saddr %[2]s oifname != %[1]s masquerade",
		replace: "ip saddr %[2]s oifname != %[1]s accept",
		test:    "^(TestLesson|TestWorld)$",
		why:     "the world would see the container's own address, and couldn't answer",
	},
	{
		step: "06-network", file: "nat.go",
		find:    "return relieve(func() error { return removeNAT(link) })",
		replace: "return relieve(func() error { return nil })",
		test:    "^TestTwenty$",
		why:     "tables and forwarding would stay on the host",
	},
	{
		step: "06-network", file: "keeper.go",
		find: `exec /proc/self/fd/3 keeper:undo "$@"`,
		test: "^TestTwenty$",
		why:  "tables and forwarding of those that are killed would stay on the host",
	},
	{
		step: "06-network", file: "keeper.go",
		find: "trap '' HUP INT TERM",
		test: "^TestTwenty$",
		why:  "when all processes of a session are asked to end, its table would stay",
	},
	{
		step: "06-network", file: "keeper.go",
		find:    "cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}",
		replace: "_ = syscall.SysProcAttr{}",
		test:    "^TestTwenty$",
		why:     "a keeper that is killed with the step's group can tidy up nothing",
	},
	{
		step: "06-network", file: "nat.go",
		find: "iifname @links drop",
		test: "^TestWorld$",
		why:  "whoever is out there could send packets through the host, as if it were a router",
	},
	{
		step: "06-network", file: "netlink.go",
		find:    `if os.SameFile(mine, theirs) {`,
		replace: `if false && os.SameFile(mine, theirs) {`,
		test:    "^TestNoNetworkOfItsOwn$",
		why:     "without CLONE_NEWNET the cable, with both ends, and a route would be the host's",
	},
	{
		step: "06-network", file: "nat.go",
		find:    `if link == "all" || everywhere && strings.Contains(set, ` + "`\"all\"`" + `) {`,
		replace: `if link == "all" || everywhere && false {`,
		test:    "^TestForwardingTakenOver$",
		why:     "forwarding that somebody else has switched on would be switched off",
	},
	{
		step: "06-network", file: "played.go",
		find: `, "--no-map-gw"`,
		test: "^TestPasta$",
		why:  "the gateway's address would lead to the host's own 127.0.0.1",
	},
	{
		step: "06-network", file: "played.go",
		find:    "mapLater, err := mapIDs(cmd.SysProcAttr)",
		replace: "mapLater, err := func(int) error { return nil }, error(nil)",
		test:    "^TestManyIDs$",
		why:     "who has more ids than one would have only one again, or none",
	},
	{
		step: "06-network", file: "network.go",
		find:    "used = append(used, c.host.Masked())",
		replace: "return c, err",
		test:    "^TestNameTaken$",
		why:     "two containers may choose the same addresses at the same time",
	},
	{
		step: "06-network", file: "main.go",
		find:    "resolvConf, err := awaitHost()",
		replace: "resolvConf, err := \"\", error(nil)\n\t_ = awaitHost",
		test:    "^TestNothingBeforeTheHost$",
		why:     "a command would run before its network is there",
	},
	{
		step: "07-cgroups", file: "cgroup.go",
		find:    "err := writeFile(s.file, s.value)",
		replace: "err := error(nil)",
		test:    "^(TestLesson|TestMemory|TestProcesses)$",
		why:     "the container could use up the machine",
	},
	{
		step: "07-cgroups", file: "cgroup1.go",
		find:    `err := writeFile(dir+"/inner/tasks", "0"); err != nil {`,
		replace: `err := writeFile(filepath.Dir(dir)+"/tasks", "0"); err != nil {`,
		test:    "^(TestLesson|TestMemory|TestProcesses)$",
		why:     "limits hold for those who are in the cgroup",
	},
	{
		step: "07-cgroups", file: "cgroup1.go",
		find:    `writeFile(dir+"/inner/tasks",`,
		replace: `writeFile(dir+"/tasks",`,
		test:    "^TestTree$/^user$",
		why:     "root inside may own the files: its limits must be out of sight",
	},
	{
		step: "07-cgroups", file: "main.go",
		find:    "if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {",
		replace: "if err := error(nil); err != nil {",
		test:    "^(TestLesson|TestTree)$",
		why:     "the container would see the host's tree of cgroups",
	},
	{
		step: "07-cgroups", file: "cgroup.go",
		find:    "return relieve(group.remove) }",
		replace: "return relieve(func() error { return nil }) }",
		test:    "^(TestThirty|TestLessonLeavesNothing)$",
		why:     "cgroups would stay on the host",
	},
	{
		step: "07-cgroups", file: "main.go",
		find:    "resolvConf, err := awaitHost()",
		replace: "resolvConf, err := \"\", error(nil)\n\t_ = awaitHost",
		test:    "^TestNothingBeforeTheHost$",
		why:     "a command would run before its network and its limits are there",
	},
	{
		step: "08-full-container", file: "main.go",
		find:    "started := endable(catchSignals(lastSignal))",
		replace: "c := catchSignals(lastSignal); started := func() chan os.Signal { return <-c }",
		test:    "^TestEndWhileStarting$",
		why:     "a start that hangs could be ended only by SIGKILL",
	},
	{
		step: "08-full-container", file: "main.go",
		find:    `if err := dropCapabilities(); err != nil {`,
		replace: "_ = dropCapabilities\n\tif err := error(nil); err != nil {",
		test:    "^TestCapabilities$",
		why:     "root inside would have all capabilities in its user namespace",
	},
	{
		step: "08-full-container", file: "main.go",
		find:    `if err := noNewPrivs(); err != nil {`,
		replace: "_ = noNewPrivs\n\tif err := error(nil); err != nil {",
		test:    "^TestCapabilities$",
		why:     "set-user-ID programs would give privileges back",
	},
	{
		step: "08-full-container", file: "main.go",
		find:    `if err := loadSeccomp(); err != nil {`,
		replace: "_ = loadSeccomp\n\tif err := error(nil); err != nil {",
		test:    "^(TestCapabilities|TestLesson)$",
		why:     "the whole table of system calls would be open",
	},
	{
		step: "08-full-container", file: "main.go",
		find:    `if err := maskPaths(); err != nil {`,
		replace: "_ = maskPaths\n\tif err := error(nil); err != nil {",
		test:    "^(TestMasks|TestProcSysCannotBeSet)$",
		why:     "what has no namespace in /proc would be there to read, or to set",
	},
	{
		step: "08-full-container", file: "main.go",
		find:    `if err := newKeyring(); err != nil {`,
		replace: "_ = newKeyring\n\tif err := error(nil); err != nil {",
		test:    "^TestContainersKeyring$",
		why:     "the keys of the host's session would be held inside",
	},
	{
		step: "08-full-container", file: "main.go",
		find:    `if err := closeDescriptors(3); err != nil {`,
		replace: "_ = closeDescriptors\n\tif err := error(nil); err != nil {",
		test:    "^TestDescriptorsAreClosed$",
		why:     "a directory left open is a way out (CVE-2024-21626)",
	},
	{
		step: "08-full-container", file: "main.go",
		find:    `exec.Command("/proc/self/fd/4")`,
		replace: `exec.Command("/proc/self/exe")`,
		test:    "^TestProgramOutlivesItsContainer$",
		why:     "root inside could write to this program (CVE-2019-5736)",
	},
	{
		step: "08-full-container", file: "main.go",
		find:    `if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {`,
		replace: `if err := error(nil); err != nil {`,
		test:    "^TestLesson$",
		why:     "the tree of cgroups would be the host's",
	},
	{
		step: "08-full-container", file: "capabilities.go",
		find:    `err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(capability), 0, 0, 0)`,
		replace: `err := error(nil)`,
		test:    "^TestCapabilities$",
		why:     "execve would give root all capabilities again",
	},
	{
		step: "08-full-container", file: "init.go",
		find:    `if err := hideFromCommand(); err != nil {`,
		replace: "_ = hideFromCommand\n\tif err := error(nil); err != nil {",
		test:    "^(TestInitIsClosed|TestPID1IsHidden)$",
		why:     "PID 1's memory would be open to the command",
	},
	{
		step: "08-full-container", file: "init.go",
		find:    `child, err := unix.Wait4(-1, &status, 0, nil)`,
		replace: `child, err := unix.Wait4(command, &status, 0, nil)`,
		test:    "^TestOrphansReaped$",
		why:     "orphans would stay as zombies, and use up the limit",
	},
	{
		step: "08-full-container", file: "seccomp.go",
		find:    `unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr`,
		replace: `0, uintptr`,
		test:    "^(TestCapabilities|TestOtherFilterIsAnError)$",
		why:     "the other threads of PID 1 would be without the filter",
	},
	{
		step: "08-full-container", file: "seccomp.go",
		find:    `compare(unix.BPF_JEQ, unix.TIOCSTI, eperm, ""),`,
		replace: ``,
		test:    "^(TestFilterArguments|TestKernelRefuses)$",
		why:     "a program could type into the terminal",
	},
	{
		step: "08-full-container", file: "seccomp.go",
		find:    `compare(unix.BPF_JSET, newNamespaces, eperm, allow)`,
		replace: `compare(unix.BPF_JSET, newNamespaces, allow, allow)`,
		test:    "^(TestFilterArguments|TestKernelRefuses)$",
		why:     "new user namespaces would bring all capabilities back",
	},
	{
		step: "08-full-container", file: "seccomp.go",
		find:    `string{newest + 1: enosys}`,
		replace: `string{}`,
		test:    "^TestFilterNumbers$",
		why:     "calls that nobody has judged would be open",
	},
	{
		step: "08-full-container", file: "keyring.go",
		find:    `_, err := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0)`,
		replace: `err := error(nil)`,
		test:    "^(TestNewKeyring|TestContainersKeyring)$",
		why:     "the keys of the host's session would be held inside",
	},
	{
		step: "08-full-container", file: "exe.go",
		find:    `Attr_set: unix.MOUNT_ATTR_RDONLY`,
		replace: `Attr_set: unix.MOUNT_ATTR_NOSUID`,
		test:    "^TestReadOnlyProgram$",
		why:     "root inside could write to this program",
	},
	{
		step: "08-full-container", file: "exe.go",
		find:    `unix.F_ADD_SEALS, seals)`,
		replace: `unix.F_GET_SEALS, 0)`,
		test:    "^TestSeals$",
		why:     "root inside could write to this program",
	},
	{
		step: "08-full-container", file: "volume.go",
		find:    `uint64(unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV)`,
		replace: `uint64(0)`,
		test:    "^TestVolume$",
		why:     "a device that lies in a volume would be one",
	},
	{
		step: "08-full-container", file: "volume.go",
		find: `, Propagation: unix.MS_PRIVATE`,
		test: "^TestSharedMounts$",
		why:  "what is mounted in a volume or in -root's directory would appear on the host",
	},
	{
		step: "08-full-container", file: "volume.go",
		find:    `if reserved(target) {`,
		replace: `if false && reserved(target) {`,
		test:    "^TestVolumeTarget$",
		why:     "an image's link would put a volume over the /proc that PID 1 trusts",
	},
	{
		step: "08-full-container", file: "main.go",
		find:    `if err := s.closeRoot(); err != nil {`,
		replace: `if err := error(nil); err != nil {`,
		test:    "^TestReadOnlyRoot$",
		why:     "a root that was to be read-only",
	},
	{
		step: "08-full-container", file: "main.go",
		find:    `unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 1, Max: 1})`,
		replace: `error(nil)`,
		test:    "^TestNoCoreDump$",
		why:     "a crash would leave its memory where the host's core_pattern says",
	},
	{
		step: "08-full-container", file: "sys.go",
		find:    `const inert = unix.MS_RDONLY |`,
		replace: `const inert =`,
		test:    "^TestOwnSys$",
		why:     "the container could write to /sys",
	},
	{
		step: "08-full-container", file: "unpack.go",
		find:    `return fmt.Errorf("%s is no directory in this layer", name)`,
		replace: `return nil`,
		test:    "^TestHostile$",
		why:     "a layer could write through a link to the outside",
	},
	{
		step: "08-full-container", file: "spec.go",
		find:    `append(slices.Clone(defaultEnv), "HOSTNAME="+o.hostname)`,
		replace: `append(os.Environ(), "HOSTNAME="+o.hostname)`,
		test:    "^TestCleanEnvironment$",
		why:     "the caller's secrets are in its environment",
	},
}
