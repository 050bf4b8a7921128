//go:build linux

// Attacks on processes: 02's, and those on an init.

package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// marker is the argument by which the judge knows a sleep of its own.
const marker = "47.11"

var processAttacks = []attack{
	{
		name:  "pid1",
		tried: "run sh -c 'echo $$' in your container, which prints its PID",
		try: func(h *host) verdict {
			a := h.inside("sh", "-c", "echo $$")
			if v, broken := a.broken(); broken && !a.late {
				return v
			}
			return a.leaksIf(a.status == 0 && strings.TrimSpace(a.out) != "1")
		},
		leak: "The inner process isn't PID 1, so it is still in the host's PID namespace and not " +
			"in a new one.",
	},
	{
		name:  "kill",
		tried: "kill a process of the host from inside, by its PID",
		try: func(h *host) verdict {
			victim, end := sleeper()
			defer end()
			a := h.inside("sh", "-c", fmt.Sprint("kill ", victim.Process.Pid, " && echo killed it"))
			gone := eventually(200*time.Millisecond, func() bool {
				var status unix.WaitStatus
				pid, _ := unix.Wait4(victim.Process.Pid, &status, unix.WNOHANG, nil)
				return pid == victim.Process.Pid
			})
			return a.leaksIf(gone)
		},
		leak: "The host's process is dead: your container can still name the host's processes by " +
			"PID.",
	},
	{
		name: "guard",
		tried: "start your program outside of any namespace, under the name (argv[0]) that makes " +
			"it build the inside of a container",
		try: func(h *host) verdict {
			_, done := h.start(run{name: "container of " + h.step}, fmt.Sprint(os.Getpid()), "echo",
				"the command ran")
			a := done()
			if strings.Contains(a.out, "the command ran") {
				return verdict{outcome: leaked, came: a.said()}
			}
			return verdict{outcome: held, came: a.said()}
		},
		leak: "Anyone can give a program any argv[0]. Yours believes it, and ran the command " +
			"with no isolation at all.",
	},
	{
		name:  "outlives",
		tried: "kill -9 the outer process while the container runs, and wait two seconds",
		try: func(h *host) verdict {
			before := len(sleepers(marker))
			cmd, done := h.start(run{}, "sleep", marker)
			up := eventually(5*time.Second, func() bool { return len(sleepers(marker)) > before })
			_ = cmd.Process.Kill() // it may have ended, and then it isn't up either
			a := done()
			if !up {
				v, _ := a.broken()
				return verdict{failed, a.said(), v.means}.otherwise("The command never ran.")
			}
			if eventually(2*time.Second, func() bool { return len(sleepers(marker)) == before }) {
				return verdict{outcome: held, came: "the command is gone, too"}
			}
			return verdict{outcome: leaked, came: "\"sleep " + marker + "\" still runs"}
		},
		leak: "The container outlives the program that started it. Nothing on the host is " +
			"responsible for it any more, and as a PID 1 it doesn't even die of SIGTERM.",
	},
	{
		name: "reaps",
		tried: "leave five orphans in the container; they end, and one second later look for " +
			"zombies",
		try: func(h *host) verdict {
			script := "for i in 1 2 3 4 5; do (sleep 0.1 &); done; exec sleep 2"
			_, done := h.start(run{}, "sh", "-c", script)
			time.Sleep(1300 * time.Millisecond)
			zombies := 0
			for _, p := range processes("/proc") {
				if p.zombie && p.name == "sleep" {
					zombies++
				}
			}
			a := done()
			if v, broken := a.broken(); broken {
				return v
			}
			if zombies > 0 {
				return verdict{outcome: leaked, came: fmt.Sprint(zombies, " zombies")}
			}
			return verdict{outcome: held, came: "no zombies"}
		},
		leak: "An orphan's new parent is PID 1, and while that doesn't wait for it (wait(2)), it " +
			"stays as a zombie: a PID that is used up.",
	},
	{
		name:  "passes",
		tried: "end the command in three ways: exit 7; SIGTERM; exit 3 while an orphan still runs",
		try: func(h *host) verdict {
			for _, c := range []struct {
				script string
				status int
				means  string
			}{
				{"exit 7", 7, "The exit status is the command's, and your init loses it."},
				{"kill -TERM $$; sleep 1", 128 + 15, "The command died of SIGTERM. By convention " +
					"that is exit status 128+15, and your init says something else; or the " +
					"command is still PID 1, which ignores the signal."},
				{"(sleep 20 &); exit 3", 3, "The container ends when its command does, whatever " +
					"else still runs. Which child was it that ended?"},
				{"(sleep 0.1; exit 1) & sleep 0.5; exit 4", 4, "Your init ended with the wrong " +
					"child: an orphan or grandchild isn't the command."},
				{"(sh -c 'sleep 0.1; exit 1' &); sleep 0.5; exit 5", 5, "Your init ended when an " +
					"orphan did. It should go on until its own child, the command, has ended."},
			} {
				_, done := h.start(run{limit: 4 * time.Second}, "sh", "-c", c.script)
				a := done()
				if a.late {
					return verdict{failed, "nothing: it was still running after 4 s", c.means}
				}
				if v, broken := a.broken(); broken {
					return v
				}
				if a.status != c.status {
					came := fmt.Sprintf("%s: exit status %d, not %d", c.script, a.status, c.status)
					return verdict{failed, came, c.means}
				}
			}
			return verdict{outcome: held, came: "7, 143 and 3"}
		},
		leak: "Your init doesn't end as its command does.",
	},
	{
		name:  "proc",
		tried: "read the name of a process of the host in the container's /proc",
		try: func(h *host) verdict {
			victim, end := sleeper()
			defer end()
			a := h.inside("cat", fmt.Sprintf("/proc/%d/comm", victim.Process.Pid))
			return a.leaksIf(strings.TrimSpace(a.out) == "sleep")
		},
		leak: "The container's /proc shows the host's processes, with their arguments and more. " +
			"A proc shows the PID namespace of the process that mounted it (pid_namespaces(7)).",
	},
}
