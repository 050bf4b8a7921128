//go:build linux

// What is typed as for Docker.

package main

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"jail-to-container/scripts/steptest"
)

// parsed reads a command line, and leaves the limits as they were.
func parsed(t *testing.T, flags string) options {
	t.Helper()
	defer func(memory, pids, cpu int) {
		memoryLimit, pidsLimit, cpuLimit = memory, pids, cpu
	}(memoryLimit, pidsLimit, cpuLimit)
	o, err := parseFlags(append(strings.Fields(flags), "sh"))
	if err != nil {
		t.Fatalf("%s: %v", flags, err)
	}
	o.flagged = false // that there is a flag is all that some of them say
	return *o
}

// TestDockersSpellings compares what Docker's flags do with what ours do. The control is that ours
// do something.
func TestDockersSpellings(t *testing.T) {
	usual := parsed(t, "-tty=false")
	for docker, ours := range map[string]string{
		"-it": "-tty", "-ti": "-tty", "-t": "-tty", "--tty": "-tty",
		"-v /tmp:/x:rw": "-volume /tmp:/x", "--volume /tmp:/x:ro": "-volume /tmp:/x:ro",
		"-p 127.0.0.1:8080:80":      "-publish 127.0.0.1:8080:80",
		"-p [::1]:8080:80/tcp":      "-publish [::1]:8080:80/tcp",
		"--publish 8080:80":         "-publish 8080:80",
		"-e A=1 -e B=2":             "-env A=1 -env B=2",
		"-w /srv":                   "-workdir /srv",
		"-u 1:2":                    "-user 1:2",
		"-m 64m":                    "-memory 64M",
		"--memory=64mb":             "-memory 64M",
		"--pids-limit 20":           "-pids 20",
		"--cpus=0.5":                "-cpus 0.5",
		"--name web":                "-hostname web",
		"--hostname=web":            "-hostname web",
		"--read-only":               "-read-only",
		"--network none":            "-net=false",
		"--net=none":                "-net=false",
		"--entrypoint id":           "-entrypoint id",
		"-i":                        "",
		"--interactive":             "",
		"--rm":                      "",
		"--init --network=bridge":   "",
		"--rm -i -e A=1 --name=web": "-hostname web -env A=1",
	} {
		got, want := parsed(t, "-tty=false "+docker), parsed(t, "-tty=false "+ours)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v\n%s: %+v", docker, got, ours, want)
		}
		if reflect.DeepEqual(want, usual) != (ours == "") {
			t.Errorf("the control: %s does nothing", ours)
		}
	}
}

// TestDockersOthers types what means something else here, or nothing. The error says what to type.
func TestDockersOthers(t *testing.T) {
	for flags, says := range map[string]string{
		"-d": "your shell's & runs it in the background", "--detach": "your shell's &",
		"--privileged":                     "-without WALL",
		"--cap-add NET_ADMIN":              "-without capabilities",
		"--cap-drop=ALL":                   "-without capabilities",
		"--security-opt label=disable":     "-without seccomp",
		"--mount type=bind,src=/a,dst=/b":  "-volume SRC:DST",
		"--tmpfs /x":                       "-volume SRC:DST",
		"--env-file vars":                  "-env K=V",
		"-P":                               "-publish HOST:CONTAINER",
		"--network host":                   "-without net shares the host's network",
		"--net=host":                       "-without net shares the host's network",
		"--net none":                       "write -net=none",
		"--network=web":                    "-without net",
		"-v data:/x":                       "write a slash: ./data",
		"-v ./no-such-directory:/x":        "no such file",
		"--rm=false":                       "it can't be turned off",
		"--no-such-flag":                   "unknown flag --no-such-flag",
		"-p 80":                            "two ports from 1 to 65535",
		"--network none -p 127.0.0.1:1:80": "a port needs the cable",
	} {
		r := steptest.Caller().Run(t, append(strings.Fields(flags), "echo", "the command ran")...)
		if r.Status != 125 || r.Stdout != "" || strings.Count(r.Stderr, "\n") != 1 {
			t.Errorf("%s: %+v", flags, r)
		}
		steptest.Contains(t, r.Stderr, says)
	}
}

// TestInterfacesAreSaid publishes as for Docker, where that means all interfaces. Only one of the
// step's processes says what it means here.
func TestInterfacesAreSaid(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		port := fmt.Sprint(freePort(t), ":80")
		want := step + ": -p " + port + ": only this host can connect; to Docker it means all " +
			"interfaces, and here -p 0.0.0.0:" + port + " does\n"
		for flag, want := range map[string]string{
			"-p " + port: want, "-p 127.0.0.1:" + port: "", "-publish " + port: "",
		} {
			r := u.Run(t, append(strings.Fields(flag), "echo", "ran")...)
			if r.Status != 0 || r.Stdout != "ran\n" || r.Stderr != want {
				t.Errorf("%s: %+v, want %q", flag, r, want)
			}
		}
	})
}

// TestEntrypoint puts commands together, as docker does.
func TestEntrypoint(t *testing.T) {
	image := imageConfig{Entrypoint: []string{"/start", "-x"}, Cmd: []string{"serve"}}
	for flags, want := range map[string][]string{
		"":                       {"/start", "-x", "serve"},
		"id -u":                  {"/start", "-x", "id", "-u"},
		"-entrypoint sh":         {"sh"},
		"-entrypoint sh -- -c w": {"sh", "-c", "w"},
		"-entrypoint= id -u":     {"id", "-u"},
		"-entrypoint=":           {},
	} {
		o, err := parseFlags(append([]string{"-image", "x"}, strings.Fields(flags)...))
		if err != nil {
			t.Fatal(err)
		}
		if got := o.arguments(image); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", flags, got, want)
		}
	}
	none := imageConfig{Entrypoint: []string{""}, Cmd: []string{"serve"}}
	for flags, want := range map[string]string{"": "serve", "id": "id"} {
		o, err := parseFlags(append([]string{"-image", "x"}, strings.Fields(flags)...))
		if err != nil {
			t.Fatal(err)
		}
		if got := o.arguments(none); !slices.Equal(got, []string{want}) {
			t.Errorf("%s, with the image's ENTRYPOINT [\"\"]: %q, want %q", flags, got, want)
		}
	}
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		if out := u.Output(t, "-net=false", "-entrypoint", "echo"); out != "\n" {
			t.Errorf("an entrypoint without an image: %q", out)
		}
	})
}

// TestEnvOfTheCaller hands variables on by name. One that the caller doesn't have isn't there then.
func TestEnvOfTheCaller(t *testing.T) {
	t.Setenv("OURS", "a b=c")
	t.Setenv("EMPTY", "")
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		out := u.Output(t, "-net=false", "-env", "OURS", "-e", "EMPTY", "-e", "NO_SUCH_ONE", "env")
		steptest.Contains(t, "\n"+out, "\nOURS=a b=c\n", "\nEMPTY=\n")
		if strings.Contains(out, "NO_SUCH_ONE") {
			t.Errorf("a variable that the caller doesn't have:\n%s", out)
		}
		if out := u.Output(t, "-net=false", "env"); strings.Contains(out, "OURS") { // the control
			t.Errorf("without -env:\n%s", out)
		}
	})
}
