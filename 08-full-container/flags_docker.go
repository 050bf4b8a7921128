//go:build linux

// Docker's spellings of the flags. Those that mean the same here work. For the others, an error
// names what to use instead.

package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
)

// aliases maps Docker's names of flags to ours. Others have one name in both, such as -cpus, and
// any flag can be written with two dashes. Containers have no names here, but people give them one
// to find them again, and a hostname does that.
var aliases = map[string]string{
	"e": "env", "m": "memory", "name": "hostname", "pids-limit": "pids", "t": "tty", "it": "tty",
	"ti": "tty", "u": "user", "w": "workdir",
}

// always are flags that ask for what every container here has or does.
var always = []string{"i", "interactive", "rm", "init"}

// instead says what to use in place of some of Docker's other flags.
var instead = map[string]string{
	"d":            "a container ends with this program; your shell's & runs it in the background",
	"privileged":   "-without WALL leaves out one wall at a time",
	"cap-add":      "there is one list, in capabilities.go; -without capabilities keeps all",
	"security-opt": "-without seccomp or -without no-new-privs leaves out that wall",
	"mount":        "-volume SRC:DST[:ro] mounts a path of the host",
	"env-file":     "-env K=V sets one variable, and can be repeated",
	"P":            "-publish HOST:CONTAINER publishes one port, and can be repeated",
}

// init adds the flags with the same answer.
func init() {
	instead["detach"], instead["cap-drop"] = instead["d"], instead["cap-add"]
	instead["tmpfs"], instead["publish-all"] = instead["mount"], instead["P"]
}

// addDocker adds Docker's spellings to the flags.
func (o *options) addDocker(flags *flag.FlagSet) {
	for docker, ours := range aliases {
		flags.Var(flags.Lookup(ours).Value, docker, "")
	}
	for _, name := range always {
		flags.BoolFunc(name, "", func(text string) error {
			if text != "true" {
				return errors.New("it can't be turned off")
			}
			return nil
		})
	}
	flags.Func("v", "", func(text string) error {
		source, _, _ := strings.Cut(text, ":")
		if !strings.HasPrefix(source, ".") && !strings.Contains(source, "/") {
			return fmt.Errorf("%q is the name of a volume to Docker, and volumes have none here; "+
				"for a directory, write a slash: ./%[1]s", source)
		}
		return o.addVolume(text)
	})
	flags.Func("p", "", func(text string) error {
		if strings.Count(text, ":") == 1 {
			o.everywhere = text
		}
		return o.addPort(text)
	})
	flags.Func("network", "", o.setNet)
}

// setNet says whether there is a cable, in our words, as in -net=false, or in Docker's.
func (o *options) setNet(text string) error {
	switch text {
	case "true", "bridge":
		o.net = true
	case "false", "none":
		o.net = false
	default:
		return errors.New("true, false, none or bridge was expected; -without net shares the " +
			"host's network")
	}
	return nil
}

// tellOfInterfaces says how -p differs from Docker's, if it was used without an IP.
func (o *options) tellOfInterfaces() {
	if o.everywhere != "" && os.Args[0] != role(standIn) {
		fmt.Fprintf(os.Stderr, "%s: -p %s: only this host can connect; to Docker it means all "+
			"interfaces, and here -p 0.0.0.0:%[2]s does\n", step, o.everywhere)
	}
}

// unknownFlag answers a flag that doesn't exist here.
func unknownFlag(flag string) error {
	name, _, _ := strings.Cut(strings.TrimLeft(flag, "-"), "=")
	if answer := instead[name]; answer != "" {
		return fmt.Errorf("%s is a Docker flag: %s", flag, answer)
	}
	return usage(flag)
}
