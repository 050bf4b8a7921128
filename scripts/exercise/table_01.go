//go:build linux

// The exercises of step 01, a jail.

package main

// The two statements of step 01.
const (
	chrootCall = `if err := unix.Chroot(dir)`
	chdirCall  = `if err := os.Chdir("/")`
)

var exercises01 = []exercise{
	{
		id: "01-1", step: "01-chroot", title: "A jail without walls", minutes: 5,
		task: "One call is missing in jail, in main.go: the one that this step is about. Put " +
			"it back.",
		start:   []edit{{file: "main.go", stmt: chrootCall}},
		attacks: []string{"path"},
		hints: []string{
			"The command in the jail reads a file of the host by its path. So / inside is " +
				"still the host's root, although dir, the jail's directory, was made and filled.",
			"It belongs at the start of jail, which runs in a process of its own: what it does " +
				"to itself is inherited by the command.",
			"It is chroot(2), in Go unix.Chroot(dir). Look at its error: nothing may run if it " +
				"failed.",
		},
		near: []near{{"unix.Chroot(", "unix.Chroot(dir)", "You call Chroot, but not with dir, " +
			"the directory that was filled for the jail."}},
		why: "chroot(2) changes one thing in a process: where a path that begins with / starts. " +
			"The command inherits it, and so do its children.",
	},
	{
		id: "01-2", step: "01-chroot", title: "One foot outside", minutes: 5,
		task: "The jail's root is right, and a relative path still leads out of it. Find what " +
			"jail, in main.go, doesn't do any more.",
		start:   []edit{{file: "main.go", stmt: chdirCall}},
		attacks: []string{"cwd"},
		hints: []string{
			"The attack reads a file by its bare name, in the directory in which you called the " +
				"program.",
			"In jail, chroot moves the root. What else does a process have, by which the kernel " +
				"finds a path?",
			"The working directory. os.Chdir(\"/\") after the chroot moves it inside (chdir(2)).",
		},
		near: []near{
			{"os.Chdir(\".\")", "", "Chdir(\".\") stays where the process is: that is outside."},
			{"os.Chdir(dir)", "", "dir is a path of the host. After the chroot there is no such " +
				"path: which one is the jail's root now?"},
		},
		why: "chroot(2) leaves the working directory alone, and so does Go's SysProcAttr.Chroot. " +
			"A process whose working directory is outside can simply walk: cd .. is all it takes.",
	},
	{
		id: "01-3", step: "01-chroot", title: "No such file, and there it is", minutes: 10,
		task: "Nothing runs in this jail, though every program is in it. Something that they " +
			"need isn't copied any more.",
		start:   []edit{{file: "jail.go", stmt: `if err := p.copy(loader, loader)`}},
		attacks: []string{"runs"},
		hints: []string{
			"execve(2) says ENOENT for /bin/ls, and the file is there. What else can be missing?",
			"ldd /bin/ls on the host lists what the program needs. install, in jail.go, copies it.",
			"The loader, which an ELF file names as its interpreter (ld.so(8)): install has its " +
				"path in the variable loader. Copy it to the same path in the jail, by p.copy.",
		},
		why: "The kernel doesn't start a dynamically linked program: it starts the loader that " +
			"the program names, and that looks for the libraries. A jail has only what was put " +
			"into it, so the loader has to be copied as well.",
	},
	{
		id: "01-4", step: "01-chroot", title: "Close what was left open", minutes: 15, build: true,
		task: "Step 01 leaves an escape open on purpose: a descriptor that was open when the " +
			"jail was made. Close it: in main.go, let jail see to it that the command has 0, 1 " +
			"and 2, and no other.",
		solution: []edit{{file: "main.go", find: chrootCall,
			text: `if err := unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("close descriptors: %w", err)
	}
	` + chrootCall}},
		attacks: []string{"descriptors", "works"},
		hints: []string{
			"cat <&5 in the jail reads a file of the host: it was open before, and stays so.",
			"jail runs before the command does, in the same process: what it closes is closed.",
			"close_range(2), in Go unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC): it " +
				"marks them to be closed at execve(2). Closing them at once would also close " +
				"what Go's runtime needs.",
		},
		near: []near{
			{"unix.CloseRange(0", "", "You begin at descriptor 0. Those of the command are 0, 1 " +
				"and 2."},
			{"unix.CloseOnExec(5)", "",
				"You close one descriptor. The program that starts the jail may " +
					"have any open."},
			{"/proc/self/fd", "", "In the jail there is no /proc: read the list before the " +
				"chroot."},
		},
		why: "A descriptor is a reference to an open file, and no root stands between. Whatever " +
			"starts the jail can't know what else is open in this process, so all are closed, " +
			"not those that it knows of. (Step 03 shows why even that is a moment late.)",
	},
	{
		id: "01-5", step: "01-chroot", title: "The whole jail", minutes: 15,
		task: "jail, in main.go, has no body any more: it only runs the command. Write it.",
		start: []edit{{file: "main.go", fn: "jail", text: "\treturn execCommand(command) // " +
			"where?"}},
		attacks: []string{"path", "cwd", "runs"},
		hints: []string{
			"Two things decide where a path leads: the root, and the working directory.",
			"jail gets the directory that was filled, dir, and the command, which is a path " +
				"inside, such as /bin/ls.",
			"unix.Chroot(dir), os.Chdir(\"/\"), and PATH=/bin for the command; none of their " +
				"errors may be ignored.",
		},
		near: []near{
			{"unix.Chroot(dir)", "os.Chdir(", "The root is right now. What about relative paths?"},
			{"os.Chdir(", "unix.Chroot(", "You change the directory, but / is still the host's."},
		},
		why: "These lines are all that step 01 isolates. Each of them is about where paths " +
			"begin, and nothing else about the process has changed: the steps from 02 on start " +
			"over.",
	},
}
