//go:build linux

// The exercises of step 08, the full container.

package main

// The walls that 08 adds, by how their statements begin.
const (
	nnpCall     = `if err := s.wall("no-new-privs"`
	seccompCall = `if err := s.wall("seccomp"`
	capsCall    = `if err := s.wall("capabilities"`
	hideCall    = `if err := hideFromCommand()`
)

// deferred is a hint for 08, whose PID 1 ends by os.Exit.
const deferred = "A deferred call runs when the function returns. If all goes well it never does."

// A row for the table of refused calls, and where it goes.
const (
	someRow      = `{unix.SYS_SETHOSTNAME, eperm, "the name has been given"},`
	mkdiratRow   = `{unix.SYS_MKDIRAT, eperm, "an exercise"},`
	someRowHere  = `var refusedHere = []callRule{`
	mkdirRowHere = someRowHere + "\n\t" + `{unix.SYS_MKDIR, eperm, "an exercise"},`
)

var exercises08 = []exercise{
	{
		id: "08-1", step: "08-full-container", title: "New privileges", minutes: 5,
		task: "A set-user-ID program in this container gets its owner's rights. One wall is " +
			"missing in container, in main.go.",
		start:   []edit{{file: "main.go", stmt: nnpCall}},
		attacks: []string{"nnp"},
		hints: []string{
			"/proc/self/status says NoNewPrivs: 0.",
			"container puts up its last walls just before it runs the command: s.wall(NAME, " +
				"FUNCTION).",
			"s.wall(\"no-new-privs\", noNewPrivs), which is prctl(2), PR_SET_NO_NEW_PRIVS.",
		},
		why: "With no_new_privs, execve(2) gives nothing that the process doesn't have: no " +
			"set-user-ID bits, no file capabilities. It is inherited, and can't be taken off.",
	},
	{
		id: "08-2", step: "08-full-container", title: "Every system call", minutes: 10,
		task: "Every system call is open to this container. One wall is missing in container, " +
			"in main.go.",
		start:   []edit{{file: "main.go", stmt: seccompCall}},
		attacks: []string{"seccomp"},
		hints: []string{
			"unshare --user needs no capability at all, and brings all of them back, in a " +
				"namespace.",
			"A filter is loaded just before the capabilities go; see the comment there.",
			"s.wall(\"seccomp\", loadSeccomp) (seccomp(2)).",
		},
		near: []near{{"deferloadSeccomp()", "", deferred}},
		why: "Capabilities say what root may do; a filter says which code of the kernel can be " +
			"reached at all. It is the wall against the faults that aren't known yet.",
	},
	{
		id: "08-3", step: "08-full-container", title: "Every capability", minutes: 10,
		task: "Root in this container still has all 41 capabilities. One wall is missing in " +
			"container, in main.go.",
		start:   []edit{{file: "main.go", stmt: capsCall}},
		attacks: []string{"capabilities"},
		hints: []string{
			"CAP_NET_ADMIN is enough to take a link down, and the filter says nothing about that " +
				"call.",
			"It goes last, as the steps before it need some of them.",
			"s.wall(\"capabilities\", dropCapabilities) (capabilities(7)).",
		},
		near: []near{{"deferdropCapabilities()", "", deferred}},
		why: "Podman leaves 11 of the 41, and so does this step: enough for an ordinary program " +
			"that is root. The others go from every set, or execve(2) would give them back.",
	},
	{
		id: "08-4", step: "08-full-container", title: "An exposed PID 1", minutes: 10,
		task: "The command can look into PID 1, which is this program. A call is missing in " +
			"runCommand, in init.go.",
		start:   []edit{{file: "init.go", stmt: hideCall}},
		attacks: []string{"init"},
		hints: []string{
			"/proc/1/environ can be read, and so could PID 1's memory be written.",
			"Both are the same user. A process can say about itself that others may not look " +
				"into it.",
			"hideFromCommand(), before the command is started: prctl(2), PR_SET_DUMPABLE 0.",
		},
		near: []near{{"deferhideFromCommand()", "", deferred}},
		why: "PID 1 stays in the container, with a line to the outside, and threads that have " +
			"kept their capabilities. All that keeps the command out is one bit.",
	},
	{
		id: "08-5", step: "08-full-container", title: "Zombies count", minutes: 10,
		task: "After a few dozen orphans nothing can be started in this container. Repair the " +
			"loop in reap, in init.go.",
		start: []edit{{file: "init.go", find: "unix.Wait4(-1, &status, 0, nil)",
			text: "unix.Wait4(command, &status, 0, nil)"}},
		attacks: []string{"orphans"},
		hints: []string{
			"Each orphan that ended is a zombie, and counts against -pids.",
			"PID 1 is the parent of all orphans. For which child does it wait?",
			"wait4(2) with -1 waits for any child.",
		},
		near: []near{{"unix.Wait4(0,", "",
			"0 stands for the children in PID 1's process group. Orphans have " +
				"other groups."}},
		why: "An ended process keeps its PID until its parent has asked how it ended, and a PID " +
			"is what pids.max counts.",
	},
	{
		id: "08-6", step: "08-full-container", title: "Inherited secrets", minutes: 10,
		task: "The container has the environment of your shell. Repair newSpec, in spec.go.",
		start: []edit{{file: "spec.go",
			find: "append(slices.Clone(defaultEnv), \"HOSTNAME=\"+o.hostname)",
			text: "append(slices.Concat(os.Environ(), defaultEnv), \"HOSTNAME=\"+o.hostname)"}},
		attacks: []string{"environment"},
		hints: []string{
			"env in the container prints TOKEN, which the judge had in its own environment.",
			"A container's environment should be made of what is known: a PATH, a hostname, what " +
				"the image and -env say.",
			"Start from slices.Clone(defaultEnv), not from os.Environ().",
		},
		near: []near{{"os.Unsetenv", "",
			"You take variables away by name. Which names will the next reader's " +
				"secrets have?"}},
		why: "Give what is needed rather than take away what is known to be bad: you can't know " +
			"the names of all secrets.",
	},
	{
		id: "08-7", step: "08-full-container", title: "One more refused call", minutes: 20,
		build: true,
		task: "Let the filter refuse to make directories, with EPERM. The table is in " +
			"seccomp_refused.go; what only one architecture has is in seccomp_amd64.go and its " +
			"neighbours.",
		solution: []edit{
			{file: "seccomp_refused.go", find: someRow, text: someRow + "\n\t" + mkdiratRow},
			{file: "seccomp_amd64.go", find: someRowHere, text: mkdirRowHere},
		},
		attacks: []string{"mkdir"},
		except:  []string{"root"},
		hints: []string{
			"strace -f mkdir x on your machine shows one of the calls that make a directory. The " +
				"judge knows another.",
			"A row is a number, what to answer, and why: {unix.SYS_..., eperm, \"...\"}. Old " +
				"architectures have two numbers for one thing.",
			"unix.SYS_MKDIRAT in refused, and on amd64 unix.SYS_MKDIR in refusedHere (mkdir(2)).",
		},
		near: []near{
			{"unix.SYS_MKDIRAT", "unix.SYS_MKDIR,",
				"That is one of its numbers. amd64 has an older call, too."},
			{"unix.SYS_MKDIR,", "unix.SYS_MKDIRAT",
				"That is one of its numbers. Newer programs use another call."},
			{"unix.SYS_MKDIRAT,enosys", "",
				"ENOSYS says that the kernel doesn't have the call. EPERM says no."},
		},
		why: "A filter sees numbers, and one thing may have several: on amd64, mkdir and " +
			"mkdirat. (io_uring makes directories as well, and no filter sees that; so the step " +
			"refuses all of io_uring.)",
	},
	{
		id: "08-8", step: "08-full-container", title: "Open to the network", minutes: 5,
		task: "-publish 8080:80 opens the port to everyone on the network. It should be open to " +
			"programs on this host, unless the caller names another address. Repair the " +
			"default, in net_publish.go.",
		start: []edit{{file: "net_publish.go", find: `const hostOnly = "127.0.0.1:"`,
			text: `const hostOnly = "0.0.0.0:"`}},
		attacks: []string{"publish", "publishall"},
		hints: []string{
			"0.0.0.0 stands for all addresses of the host (ip(7), INADDR_ANY).",
			"addPort puts an address before a port that has none.",
			"hostOnly should be \"127.0.0.1:\": packets to that address never leave the host.",
		},
		near: []near{
			{`"[::1]:"`, "", "[::1] is this host, too, for programs that use IPv6. One that " +
				"connects to 127.0.0.1 finds nothing there."},
			{`address=netip.AddrPortFrom(`, "", "Now the port is open here only, whatever the " +
				"caller says. Change what happens when no address is given."},
		},
		why: "Docker's default is 0.0.0.0, and its rules come before your firewall's, so a test " +
			"database has been open to the world more than once. The safe default costs one " +
			"word when you mean the other.",
	},
	{
		id: "08-9", step: "08-full-container", title: "Who is there?", minutes: 10,
		task: "Every user of this machine can run commands in this container, with -exec. (Run " +
			"this one as root: only root can play another user.) Repair admit, in door.go.",
		start: []edit{
			{file: "door.go", find: "switch peer, unknown := peerOf(client); {",
				text: "switch _, unknown := peerOf(client); {"},
			{file: "door.go", find: "unknown != nil || !isTrusted(peer)", text: "unknown != nil"},
		},
		attacks: []string{"stranger"},
		hints: []string{
			"The socket's name is abstract, so it is in no directory, and no file permission " +
				"keeps anyone out (unix(7)).",
			"admit asks the kernel who has connected, and looks only whether there was an " +
				"answer. dial, below it, looks at the answer as well.",
			"isTrusted(peer): hang up unless it is root or this user (unix(7), SO_PEERCRED).",
		},
		near: []near{
			{"peer.Pid<", "", "A PID says which process connected, not whose it is."},
			{"!=nil||isTrusted(peer)", "", "You let the others in, and hang up on this " +
				"user."},
		},
		why: "The kernel fills SO_PEERCRED in when a process connects, and the process can't " +
			"change it. What a client says about itself in a message, a server would have to " +
			"believe.",
	},
	{
		id: "08-10", step: "08-full-container", title: "The wrong thread", minutes: 15,
		task: "A command that -exec starts has all capabilities and no filter, and the " +
			"container's first command has neither. Repair startFor, in exec.go.",
		start: []edit{
			{file: "exec.go", find: "err = onFirstThread(func() (err error) {\nif err = request",
				text: "err = elsewhere(func() (err error) {\n\t\tif err = request"},
		},
		attacks: []string{"guestrights", "guest"},
		hints: []string{
			"PID 1 has put up its walls: no_new_privs, the filter, the dropped capabilities. " +
				"Those belong to a thread, not to a process, and a child gets its parent " +
				"thread's.",
			"A goroutine runs on any thread. The end of runCommand, in init.go, is a loop on the " +
				"one thread that has the walls.",
			"onFirstThread(func ...) and not elsewhere(func ...), which takes another thread.",
		},
		near: []near{
			{"runtime.LockOSThread()", "", "That keeps the goroutine on the thread that it is " +
				"on. It is the wrong one."},
		},
		why: "Linux knows tasks, and POSIX processes are what the C library makes of them: " +
			"setuid(2) there tells every thread. capset(2) and prctl(2) don't. So one thread has " +
			"the walls, and everything the container runs must be that thread's child.",
	},
	{
		id: "08-11", step: "08-full-container", title: "A second command", minutes: 40,
		build: true,
		task: "-exec PID COMMAND finds the running container, sends its PID 1 the command and " +
			"three descriptors, and gets the answer that PID 1 can't start it. Write PID 1's " +
			"part: startFor, what is empty below guestBook, and obey, in exec.go; and reap and " +
			"runCommand in init.go need a line or two. The command's rights are the first " +
			"command's, its exit status is the client's, and so are its signals.",
		start: []edit{
			{file: "exec.go", stmt: "var pid int"},
			{file: "exec.go", stmt: "ended := make("},
			{file: "exec.go", find: runOnFirst, text: runAnywhere},
			{file: "exec.go", find: startGuest},
			{file: "exec.go", find: startForEnd, text: startForStub},
			{file: "exec.go", fn: "add", text: yourPart + "\n\treturn 0, " +
				"errors.New(\"add isn't written yet\")"},
			{file: "exec.go", fn: "ended", text: yourPart},
			{file: "exec.go", fn: "signal", text: yourPart},
			{file: "exec.go", fn: "obey", text: yourPart},
			{file: "init.go", find: "default:\nguests.ended(child, status)"},
			{file: "init.go", find: runCommandEnd, text: runCommandStub},
			{file: "init.go", find: startsDecl + startComment, text: startComment},
		},
		attacks: []string{"guest", "guestrights", "guestsignals"},
		hints: []string{
			"process.start, in init.go, starts a command. But every thread of PID 1 may call " +
				"it, and only one has dropped its capabilities; and reap waits for all children, " +
				"so no other code can wait for one.",
			"Three parts: a channel by which the thread in runCommand is told what to start; a " +
				"map from a PID to a channel for its exit status, which reap looks into; a loop " +
				"that reads the client's bytes.",
			"chan func(), sent by startFor and called at the end of runCommand. The map's mutex " +
				"is held from before the start until the PID is in it. signalCommand(pid, " +
				"number), and SIGHUP when the client's line ends.",
		},
		near: []near{
			{"exec.Command(", "", "os/exec waits for its own child, and so does reap, for all. " +
				"One of them is told of the end, and you can't say which."},
			{"Wait4(pid", "", "reap waits for every child, yours as well. One of the two is told " +
				"of the end, and you can't say which."},
			{"command.start(", "ended(child", "The command starts. reap is told when it ends: " +
				"how do you hear of it?"},
			{"command.start(", "signalCommand(pid", "The command starts, and its status comes " +
				"back. Who reads what the client writes after that?"},
		},
		why: "docker exec enters the namespaces from outside, and has to set up everything " +
			"else again; each thing that it forgot was a CVE. PID 1 is inside already, behind " +
			"all walls. What's left is plumbing: the right thread, one waiter, one line.",
	},
	{
		id: "08-12", step: "08-full-container", title: "All four walls", minutes: 20,
		task: "All four walls that 08 adds are gone: three in container, in main.go, and one in " +
			"runCommand, in init.go. Put them up again. The order matters.",
		start: []edit{
			{file: "main.go", stmt: nnpCall}, {file: "main.go", stmt: seccompCall},
			{file: "main.go", stmt: capsCall}, {file: "init.go", stmt: hideCall},
		},
		attacks: []string{"nnp", "seccomp", "capabilities", "init"},
		hints: []string{
			"Take the attacks one by one: the first that gets through says which wall is missing.",
			"s.wall(NAME, FUNCTION) three times, in container; the names are in walls.go. And " +
				"one call in runCommand, before anything is started.",
			"noNewPrivs, loadSeccomp, dropCapabilities, in this order, and hideFromCommand.",
		},
		near: []near{
			{"loadSeccomp", "noNewPrivs);",
				"The filter is there. What about set-user-ID programs?"},
			{"noNewPrivs", "loadSeccomp", "No new privileges; but the old ones?"},
			{"dropCapabilities", "loadSeccomp",
				"The capabilities are gone. What can be had without any?"},
		},
		why: "Each wall stops what the others let through, which is what these four attacks were " +
			"chosen for; 08's lesson measures it, by leaving out one at a time.",
	},
}

// What the exercise about -exec takes out of 08, and what it leaves.
const (
	startForEnd = `closeStreams() // ours would keep the command's pipes open after its end
	if err != nil {
		return nil, err
	}
	go obey(client, pid)
	code, reason := ending(<-ended)
	return append([]byte{byte(code)}, reason...), nil`
	startForStub = `// Your part: start the command, obey its client, and wait for its end.
	_ = command
	return nil, errors.New("PID 1 starts no commands for clients yet")`
	runCommandEnd = `for start := range starts {
		start()
	}
	return nil`
	runCommandStub = "select {} // this thread has nothing left to do"
	startsDecl     = `// starts is for the first thread: what it is to do after the command's start.
var starts = make(chan func())

// onFirstThread runs a function on the first thread. What PID 1 does for a client, it does there,
// with no more rights than the command.
func onFirstThread(f func() error) error {
	done := make(chan error)
	starts <- func() { done <- f() }
	return <-done
}

`
	runOnFirst = `err = onFirstThread(func() (err error) {
		command, master, err = request.prepare(streams)
		return err
	})`
	runAnywhere = "command, master, err = request.prepare(streams)"
	startGuest  = `err = onFirstThread(func() (err error) {
		if err = request.enterDir(); err == nil {
			pid, err = guests.add(ended, func() (int, error) {
				return command.start(uintptr(streams[0]), uintptr(streams[1]), uintptr(streams[2]))
			})
		}
		return err
	})`
	startComment = "// start starts a command,"
	yourPart     = "\t// Your part."
)
