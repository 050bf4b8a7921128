//go:build linux

// The exercises of step 02, PID namespaces.

package main

// initBody is a container of step 02 that stays as an init.
const initBody = `	if pid := os.Getpid(); pid != 1 {
		return fmt.Errorf("not PID 1 of a container: I am process %d", pid)
	}
	if err := checkParent(outer); err != nil {
		return err
	}
	path, err := exec.LookPath(command[0])
	if err != nil {
		return &commandError{err}
	}
	child, err := syscall.ForkExec(path, command, &syscall.ProcAttr{
		Env: os.Environ(), Files: []uintptr{0, 1, 2},
	})
	if err != nil {
		return &commandError{err}
	}
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return err
		case pid == child && status.Signaled():
			os.Exit(128 + int(status.Signal()))
		case pid == child:
			os.Exit(status.ExitStatus())
		}
	}`

var exercises02 = []exercise{
	{
		id: "02-1", step: "02-pid-namespace", title: "Not PID 1", minutes: 5,
		task: "The step refuses to run: its inner process isn't PID 1. One line is missing in " +
			"main.go, where the program starts itself again.",
		start:   []edit{{file: "main.go", find: "Cloneflags: namespaces,"}},
		attacks: []string{"pid1"},
		hints: []string{
			"The inner process looks at its PID before it runs anything, and finds one of the " +
				"host's. So it was started in no new PID namespace.",
			"It is started in main.go with a SysProcAttr: what the kernel is to do differently " +
				"for this one child. The constant namespaces isn't used any more.",
			"Cloneflags: namespaces. These are the flags of clone(2), which makes the child.",
		},
		near: []near{
			{"Unshareflags", "", "Unshareflags calls unshare(2) in the child. With CLONE_NEWPID " +
				"that doesn't move the child itself, only the children that it will have " +
				"(pid_namespaces(7)): a process keeps its PID for life."},
			{"unix.CLONE_NEWNS", "", "CLONE_NEWNS is the flag for mounts. This one is about PIDs."},
			{"unix.CLONE_NEWUSER", "", "CLONE_NEWUSER is the flag for user namespaces. This one " +
				"is about PIDs."},
		},
		why: "A PID namespace is made with the process that is to be its first: clone(2) with " +
			"CLONE_NEWPID. That the step ran nothing, rather than in no container, is thanks to " +
			"the check at the start of container.",
	},
	{
		id: "02-2", step: "02-pid-namespace", title: "It trusts its name", minutes: 10,
		task: "The program believes that it is in a container because its argv[0] says so. Make " +
			"container, in main.go, see for itself.",
		start:   []edit{{file: "main.go", stmt: `if pid := os.Getpid()`}},
		attacks: []string{"guard"},
		hints: []string{
			"exec -a gives a program any name that you like: the judge did that, on the host.",
			"container is the first function to run inside. What does the first process of a PID " +
				"namespace know about itself that no process of the host can have?",
			"os.Getpid() is 1 there, and never on the host, where 1 is taken. Return an error " +
				"otherwise.",
		},
		near: []near{
			{"os.Getppid()", "", "getppid(2) is 0 in a new PID namespace, but it is 0 for the " +
				"host's PID 1, and in a container that was entered by nsenter(1), too. Your own " +
				"PID says more."},
			{"os.Getpid()==0", "", "No process has PID 0. Which one is the first?"},
		},
		why: "Fail closed: the step's whole isolation depends on being in a new namespace, so it " +
			"looks, rather than trust what any caller can set. A step that goes on all the same " +
			"runs a command with no isolation, and says nothing.",
	},
	{
		id: "02-3", step: "02-pid-namespace", title: "The container that lives on", minutes: 10,
		task: "Kill the outer process with kill -9, and the container goes on without it. " +
			"Something in the SysProcAttr in main.go is missing.",
		start:   []edit{{file: "main.go", find: "Pdeathsig: unix.SIGKILL,"}},
		attacks: []string{"outlives"},
		hints: []string{
			"A process that gets SIGKILL can't do anything any more. So the kernel has to end " +
				"the container; it must be told before.",
			"It is a field of the SysProcAttr with which the child is started.",
			"Pdeathsig: unix.SIGKILL (prctl(2), PR_SET_PDEATHSIG): the signal that the child " +
				"gets when its parent dies. With PID 1 the kernel kills all of its namespace.",
		},
		near: []near{
			{"Pdeathsig:unix.SIGTERM", "", "The signal is sent, but to a PID 1, and that ignores " +
				"every signal for which it has no handler, except SIGKILL and SIGSTOP from " +
				"outside."},
			{"Pdeathsig:syscall.SIGTERM", "", "The signal is sent, but to a PID 1, and that " +
				"ignores every signal for which it has no handler, except SIGKILL and SIGSTOP " +
				"from outside."},
			{"Setpgid", "", "A process group matters to a terminal. SIGKILL for one process goes " +
				"to that process alone."},
		},
		why: "The kernel sends the parent-death signal whatever ended the parent. SIGKILL is the " +
			"one that PID 1 can't ignore, and the namespace dies with it.",
	},
	{
		id: "02-4", step: "02-pid-namespace", title: "An init that reaps", minutes: 30, build: true,
		task: "In this step the command itself is PID 1, and orphans stay as zombies. Make " +
			"container stay as PID 1, start the command as its child, wait for every process " +
			"that ends, and end as the command does: with its exit status, or 128+n for signal n.",
		solution: []edit{{file: "main.go", fn: "container", text: initBody}},
		attacks:  []string{"reaps", "passes"},
		except:   []string{"pid1"},
		hints: []string{
			"An orphan's new parent is PID 1. A process that has ended stays as a zombie until " +
				"its parent asks how it ended.",
			"container must not become the command: it starts it, with syscall.ForkExec (os/exec " +
				"would wait for its own child only), and loops.",
			"wait4(2) for any child, unix.Wait4(-1, &status, 0, nil), in a loop; end when the " +
				"PID that it returns is the command's. status.Signaled() and status.ExitStatus() " +
				"say how.",
		},
		near: []near{
			{"Wait4(child", "", "You wait for one child only. Orphans come to PID 1 as well: -1 " +
				"stands for any child."},
			{".Wait()", "Wait4(-1", "os/exec's Wait waits for its own child only. PID 1 has to " +
				"wait for orphans that it doesn't know."},
			{"ECHILD", "", "You go on until there are no more children. The container ends when " +
				"the command does, whatever else still runs."},
			{"Wait4(-1", "ExitStatus()", "You reap, and forget how the command ended."},
		},
		why: "A PID 1 has duties: it is the parent of every orphan in its namespace. An init is " +
			"a loop around wait4(2) that knows which child is the command. Step 08 has one; " +
			"docker run --init adds one.",
	},
	{
		id: "02-5", step: "02-pid-namespace", title: "The whole container", minutes: 20,
		task: "Nothing is left of the isolation: container has no body, and its process is " +
			"started like any other. Write both parts again, in main.go.",
		start: []edit{
			{file: "main.go", fn: "container", text: "\treturn execCommand(command) // in which " +
				"namespace?"},
			{file: "main.go", find: "Cloneflags: namespaces,"},
			{file: "main.go", find: "Pdeathsig: unix.SIGKILL,"},
		},
		attacks: []string{"pid1", "kill", "guard", "outlives"},
		hints: []string{
			"There are four attacks: a PID of the host's, a kill, a forged name, an outer " +
				"process that dies.",
			"Two lines are missing where the child is started, in its SysProcAttr, and two " +
				"checks in container: who am I, and is my parent still there? checkParent is " +
				"written already.",
			"Cloneflags (clone(2)), Pdeathsig (prctl(2)), os.Getpid(), checkParent(outer).",
		},
		near: []near{
			{"Cloneflags:namespaces", "Pdeathsig", "The namespace is there. What if the outer " +
				"process is killed?"},
			{"Pdeathsig", "Cloneflags:namespaces", "The child dies with its parent now. It still " +
				"is in the host's PID namespace."},
			{"Cloneflags:namespaces", "os.Getpid()", "The container is one now. But who proves " +
				"it to the code inside?"},
		},
		why: "The flag makes the namespace; the signal ties its life to ours; the two checks " +
			"refuse whatever else calls this code.",
	},
}
