//go:build linux

// The exercises of steps 04 and 05: names, and who is who.

package main

var exercises04 = []exercise{
	{
		id: "04-1", step: "04-uts-ipc", title: "The container renames the host", minutes: 5,
		task: "Root in the container sets a hostname, and it is the host's. A flag is missing in " +
			"main.go. (Don't run this one by hand as root: it renames your machine.)",
		start: []edit{{file: "main.go", find: "unix.CLONE_NEWNS | unix.CLONE_NEWUTS | " +
			"unix.CLONE_NEWIPC",
			text: "unix.CLONE_NEWNS | unix.CLONE_NEWIPC"}},
		attacks: []string{"rename"},
		hints: []string{
			"sethostname(2) in the container, and the judge, which plays the host, has another " +
				"name.",
			"The constant namespaces lists what the container doesn't share with the host.",
			"unix.CLONE_NEWUTS (uts_namespaces(7)).",
		},
		near: []near{{"unix.CLONE_NEWNET", "", "CLONE_NEWNET is about links and addresses. A " +
			"hostname has nothing to do with the network, as far as the kernel is concerned."}},
		why: "The hostname is a string in the kernel, one for each UTS namespace. Without a " +
			"namespace of its own, the container has the host's.",
	},
	{
		id: "04-2", step: "04-uts-ipc", title: "Found by its key", minutes: 5,
		task: "A program in the container finds the host's shared memory. A flag is missing in " +
			"main.go.",
		start: []edit{{file: "main.go", find: "unix.CLONE_NEWUTS | unix.CLONE_NEWIPC",
			text: "unix.CLONE_NEWUTS"}},
		attacks: []string{"shm"},
		hints: []string{
			"The judge made a segment with shmget(2) and a key; with the key it was found " +
				"inside. There is no path in that.",
			"The constant namespaces lists what the container doesn't share with the host.",
			"unix.CLONE_NEWIPC (ipc_namespaces(7)).",
		},
		near: []near{{"unix.CLONE_NEWNET", "", "CLONE_NEWNET is about the network. Shared memory " +
			"needs none."}},
		why: "System V objects are found by a key and POSIX message queues by a name that is no " +
			"path, so no mount hides them. An IPC namespace does.",
	},
	{
		id: "04-3", step: "04-uts-ipc", title: "Whose name is this?", minutes: 5,
		task: "The container has UTS namespace and name of its own, but the name is the host's. " +
			"Call what gives it another, in container, in main.go: container, in the domain " +
			"jail.example.",
		start: []edit{{file: "main.go",
			stmt: `if err := setNames("container"`}},
		attacks: []string{"names"},
		hints: []string{
			"A new UTS namespace is a copy: it starts with the host's two names.",
			"setNames is still there, and nothing calls it. It belongs in container, before the " +
				"command runs.",
			"sethostname(2) and setdomainname(2): setNames(\"container\", \"jail.example\").",
		},
		near: []near{
			{"unix.Sethostname([]byte(\"container\"))", "jail.example", "That is one of the two " +
				"names."},
			{"defersetNames(", "", "A deferred call runs when container returns. If all goes " +
				"well it never does."},
		},
		why: "A namespace makes a thing separate, not different: it starts as a copy. What " +
			"should differ has to be set.",
	},
	{
		id: "04-4", step: "04-uts-ipc", title: "The whole container", minutes: 20,
		task: "container, in main.go, has no body any more, and namespaces is empty. Write them.",
		start: []edit{
			{file: "main.go", fn: "container", text: "\treturn execCommand(command)"},
			{file: "main.go", find: "const namespaces = unix.CLONE_NEWPID | unix.CLONE_NEWNS | " +
				"unix.CLONE_NEWUTS | unix.CLONE_NEWIPC", text: "const namespaces = 0"},
		},
		attacks: []string{"pid1", "guard", "path", "descriptors", "shared", "rename", "names",
			"shm"},
		hints: []string{
			"Take the attacks one by one: the first that gets through says what is missing next.",
			"Four flags; two checks and ownMounts; closeDescriptors; propagation; buildRoot; " +
				"pivotRoot; setNames.",
			"The order of step 03, then setNames: clone(2), mount(2), pivot_root(2), " +
				"sethostname(2).",
		},
		near: []near{
			{"pivotRoot(rootfs)", "setNames(\"container", "The root is right. What is its name?"},
			{"buildRoot()", "MS_PRIVATE", "You mount before the mounts are private: the host " +
				"will see it."},
		},
		why: "Step 04 is step 03 with two flags and a name more.",
	},
}

var exercises05 = []exercise{
	{
		id: "05-1", step: "05-user-namespace", title: "Half a map", minutes: 10,
		task: "If root starts it, the container doesn't run any more: its first process may not " +
			"be what it should be. The judge tries that, in namespaces that play the host. " +
			"Look at mapIDs, in ids_map.go.",
		start: []edit{
			{file: "ids_map.go", find: "attr.UidMappings, attr.GidMappings = uids, gids",
				text: "_ = gids\n\t\tattr.UidMappings = uids"},
		},
		attacks: []string{"root"},
		hints: []string{
			"The new process should be uid 0 and gid 0, and the kernel refuses one of them: " +
				"there is no such ID in the namespace.",
			"A process has a user and a group, and so has a file. mapIDs fills a map for one of " +
				"them.",
			"attr.GidMappings, as attr.UidMappings (user_namespaces(7), \"User and group ID " +
				"mappings\").",
		},
		near: []near{{"attr.GidMappings=uids", "", "You gave the groups the users' numbers. They " +
			"may be others than those set aside for groups."}},
		why: "IDs without a map don't exist in a user namespace, and the two kinds have a map " +
			"each. A file system stores both, and refuses a file that has only one (EOVERFLOW).",
	},
	{
		id: "05-2", step: "05-user-namespace", title: "Root, but whose?", minutes: 5,
		task: "The container should be in a user namespace of its own. A flag is missing in " +
			"main.go.",
		start:   []edit{{file: "main.go", find: "unix.CLONE_NEWUSER |", text: "0 |"}},
		attacks: []string{"userns"},
		hints: []string{
			"The step refuses to go on: it has maps to write, and no namespace to write them for.",
			"The constant namespaces lists what the container doesn't share with the host.",
			"unix.CLONE_NEWUSER (user_namespaces(7)). The kernel makes this namespace first, and " +
				"it owns the others.",
		},
		near: []near{{"unix.CLONE_NEWUTS|unix.CLONE_NEWUTS", "", "You have that flag twice. " +
			"Which one makes users?"}},
		why: "CLONE_NEWUSER is the flag that makes root inside another ID outside. " +
			"The others need a privilege; this one needs none, and gives it, for what it owns.",
	},
	{
		id: "05-3", step: "05-user-namespace", title: "Too early", minutes: 10,
		task: "The command may run before the outer process has written the maps, or without it, " +
			"if that dies. Something in container, in main.go, doesn't wait any more.",
		start:   []edit{{file: "main.go", stmt: `if err := awaitHost()`}},
		attacks: []string{"waits"},
		hints: []string{
			"The judge started the inner process itself, with a pipe that no process writes to.",
			"The outer process writes one byte to a pipe when it has done its part; descriptor " +
				"3 is the other end. Who reads it?",
			"awaitHost() is written already. Call it in container before anything else is done, " +
				"and return its error: end of file means that the outer process has died.",
		},
		near: []near{
			{"_=awaitHost()", "", "You wait, and then go on whatever came. End of file means " +
				"that the outer process died."},
			{"deferawaitHost()", "", "A deferred call runs when container returns. If all goes " +
				"well it never does."},
		},
		why: "Two processes build one container, and the kernel doesn't order what they do. A " +
			"pipe does: a byte for \"go on\", end of file for \"the other has died\".",
	},
	{
		id: "05-4", step: "05-user-namespace", title: "A second ID", minutes: 30, build: true,
		task: "This mapIDs knows one ID: the container's root. Give the container uid 1 and gid " +
			"1 as well, with numbers of the host's that are neither its root's nor the " +
			"container's root's. toGive returns what may be given: several entries, or one with " +
			"a size. (Run by root, or by a user with newuidmap and a line in /etc/subuid.)",
		start: []edit{{file: "ids_map.go", find: "attr.UidMappings, attr.GidMappings = uids, gids",
			text: "attr.UidMappings, attr.GidMappings = uids[:1], gids[:1]\n\t\t" +
				"attr.UidMappings[0].Size, attr.GidMappings[0].Size = 1, 1"}},
		attacks: []string{"ids", "separate"},
		hints: []string{
			"chown(2) to uid 1 says EINVAL: that uid has no number on the host.",
			"An entry of a map says: from ContainerID on, Size IDs, are HostID and following on " +
				"the host. mapIDs, in ids_map.go, cuts them to one.",
			"SysProcIDMap{ContainerID: 1, HostID: uids[0].HostID + 1, Size: 1}, appended; or " +
				"Size: 2 in the first. Both maps need it.",
		},
		near: []near{
			{"ContainerID:1,HostID:0", "", "You give uid 1 the host's number 0. That is root."},
			{"attr.UidMappings[0].Size=2", "attr.GidMappings[0].Size=2", "There are two users " +
				"now, and one group."},
		},
		why: "A map is a list of ranges. Most images have more users than root, so containers " +
			"get a range: root takes one that no account has, a user takes what /etc/subuid " +
			"sets aside.",
	},
	{
		id: "05-5", step: "05-user-namespace", title: "The whole container", minutes: 30,
		task: "container, in main.go, has no body any more, and namespaces is empty. Write them.",
		start: []edit{
			{file: "main.go", fn: "container", text: "\treturn execCommand(command)"},
			{file: "main.go", find: `const namespaces = unix.CLONE_NEWUSER |
				unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC`,
				text: "const namespaces = 0"},
		},
		attacks: []string{"pid1", "path", "descriptors", "shared", "rename", "names", "shm",
			"userns", "root", "waits"},
		hints: []string{
			"Take the attacks one by one: the first that gets through says what is missing next.",
			"Five flags; then PID 1, awaitHost, closeDescriptors, ownMounts, and what drops the " +
				"host's groups; then as in step 04.",
			"The function that is written and that nothing calls: see the compiler's or your " +
				"editor's list.",
		},
		near: []near{
			{"=awaitHost()", "CLONE_NEWUSER", "You wait for the maps. Which namespace's?"},
			{"buildRoot()", "MS_PRIVATE", "You mount before the mounts are private: the host " +
				"will see it."},
			{"CLONE_NEWUSER", "=awaitHost()", "The namespace is there. Who says when its maps " +
				"are written?"},
		},
		why: "Step 05 is step 04 in a user namespace; the new thing is that two processes have " +
			"to agree when it is ready.",
	},
}
