//go:build linux

// Attacks on names and identities: 04's and 05's.

package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

var nameAttacks = []attack{
	{
		name:  "rename",
		tried: "set the hostname to \"mine\" in the container, then look what the host is called",
		try: func(h *host) verdict {
			before, err := os.Hostname()
			hostNeeds(err)
			a := h.probe(run{}, "rename", "mine")
			after, err := os.Hostname()
			_ = unix.Sethostname([]byte(before)) // in the namespace that plays the host
			if err == nil && after != before {
				return verdict{outcome: leaked, came: fmt.Sprintf("the host is %q now", after)}
			}
			return a.worksIf(a.status == 0).otherwise("Root in the container should be able to " +
				"rename it.")
		},
		leak: "Your container has renamed the host: both have their name from the same UTS " +
			"namespace.",
	},
	{
		name:  "names",
		tried: "ask for the container's hostname and NIS domain",
		try: func(h *host) verdict {
			a := h.inside("cat", "/proc/sys/kernel/hostname", "/proc/sys/kernel/domainname")
			names := strings.Fields(a.out)
			return a.worksIf(len(names) == 2 && names[0] == "container" &&
				names[1] == "jail.example")
		},
		leak: "A new UTS namespace starts with a copy of the host's two names. The container " +
			"should be called container, in the domain jail.example.",
	},
	{
		name:  "shm",
		tried: "make a System V shared memory segment on the host, and find it inside by its key",
		try: func(h *host) verdict {
			const key = 4711
			id, err := unix.SysvShmGet(key, 4096, unix.IPC_CREAT|0o666)
			if err != nil {
				return verdict{missing, "shmget on the host: " + err.Error(), ""}
			}
			defer unix.SysvShmCtl(id, unix.IPC_RMID, nil) // it ends with us anyway
			a := h.probe(run{}, "shm", strconv.Itoa(key))
			return a.leaksIf(a.status == 0)
		},
		leak: "Shared memory is found by a number, not by a path, so no mount namespace hides " +
			"it. The container could read and change what the host's programs have in it.",
	},
	{
		name:  "userns",
		tried: "compare the container's user namespace with the host's",
		try: func(h *host) verdict {
			host, err := os.Readlink("/proc/self/ns/user")
			hostNeeds(err)
			a := h.inside("readlink", "/proc/self/ns/user")
			return a.leaksIf(strings.TrimSpace(a.out) == host)
		},
		leak: "Root inside is root of the host's user namespace: its capabilities count there.",
	},
	{
		name:  "root",
		tried: "run id -u and id -g in the container, and make a directory",
		try: func(h *host) verdict {
			a := h.inside("sh", "-c", "mkdir /tmp/a && echo $(id -u) $(id -g)")
			return a.worksIf(strings.TrimSpace(a.out) == "0 0")
		},
		leak: "The command should be uid 0 and gid 0 inside. An ID that the namespace has no map " +
			"for is 65534 (user_namespaces(7)), has no capability after execve(2), and can't own " +
			"a new file.",
	},
	{
		name:  "outside",
		tried: "look from the host at the uid of a process in the container",
		try: func(h *host) verdict {
			if os.Getenv("EXERCISE_NPROC") != "" {
				return verdict{held, "the container's root is you, not the host's root", ""}
			}
			cmd, done := h.start(run{limit: 4 * time.Second}, "sleep", marker)
			defer done()
			uid := ""
			eventually(3*time.Second, func() bool {
				for _, pid := range sleepers(marker) {
					uid = uidOf(pid)
				}
				return uid != ""
			})
			_ = cmd.Process.Kill()
			if uid == "" {
				return verdict{failed, "no process", "The command didn't run."}
			}
			if uid == "0" {
				return verdict{outcome: leaked, came: "uid 0"}
			}
			return verdict{held, "uid " + uid, ""}
		},
		leak: "The container's root is the host's root by another name: with every file that it " +
			"reaches by a descriptor or a mount, it has root's rights.",
	},
	{
		name:  "waits",
		tried: "start the inner process with an outer process that dies before it says a word",
		try: func(h *host) verdict {
			reader, writer, err := os.Pipe()
			hostNeeds(err)
			writer.Close()
			cmd := exec.Command(h.program, "echo", "the command ran")
			cmd.Args[0] = "container of " + h.step
			cmd.ExtraFiles = []*os.File{reader}
			cmd.SysProcAttr = &syscall.SysProcAttr{
				Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNS |
					unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWNET,
				UidMappings: []syscall.SysProcIDMap{{Size: 1}},
				GidMappings: []syscall.SysProcIDMap{{Size: 1}},
				Pdeathsig:   unix.SIGKILL,
			}
			out, err := cmd.CombinedOutput()
			reader.Close()
			lines := strings.Split(strings.TrimSpace(string(out)), "\n")
			came := fmt.Sprintf("%q", lines[len(lines)-1])
			if strings.Contains(string(out), "the command ran") {
				return verdict{outcome: leaked, came: came}
			}
			if err == nil {
				return verdict{failed, came, "It ended as if all were well."}
			}
			return verdict{held, came, ""}
		},
		leak: "The command ran though the outer process was dead. Whatever that had still to do, " +
			"such as the ID maps, a network, limits, was never done.",
	},
	{
		name:  "ids",
		tried: "give a file to uid 1 in the container",
		try: func(h *host) verdict {
			own, _ := os.ReadFile("/proc/self/uid_map") // always there
			if fields := strings.Fields(string(own)); len(fields) == 3 && fields[2] == "1" {
				return verdict{missing, "this host has one ID, yours", "Run it as root, or " +
					"install newuidmap (Debian: uidmap) and give yourself a line in /etc/subuid " +
					"and /etc/subgid."}
			}
			a := h.probe(run{}, "chown")
			return a.worksIf(a.status == 0)
		},
		leak: "Uid 1 has no number on the host, so no file can be its: chown(2) says EINVAL. The " +
			"maps need an entry for it, and so for gid 1.",
	},
	{
		name:  "separate",
		tried: "look from the host at the numbers behind uid 0 and uid 1",
		try: func(h *host) verdict {
			a := h.inside("cat", "/proc/self/uid_map")
			if v, broken := a.broken(); broken {
				return v
			}
			outside := map[string]string{}
			for line := range strings.Lines(a.out) {
				var first, host, count int
				if _, err := fmt.Sscan(line, &first, &host, &count); err != nil {
					continue
				}
				for id := first; id < first+count && id < 2; id++ {
					outside[strconv.Itoa(id)] = strconv.Itoa(host + id - first)
				}
			}
			came := fmt.Sprintf("0 is %s, 1 is %s", outside["0"], outside["1"])
			if outside["1"] == "0" {
				return verdict{leaked, came, "Uid 1 inside is the host's root. Any program that " +
					"runs as it has root's files."}
			}
			return verdict{held, came, ""}
		},
	},
}

// uidOf returns a process's uid, as this namespace has it.
func uidOf(pid string) string {
	text, _ := os.ReadFile("/proc/" + pid + "/status") // it may have ended
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "Uid:" {
			return fields[1]
		}
	}
	return ""
}
