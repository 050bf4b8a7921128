//go:build linux

// Leaktest judges a container from the inside: it tries some seventy attacks and peeks, and prints
// for each whether it is held, or leaks, or can't be tried, and what it saw.
//
//	leaktest list                        all probes: what a leak means, which step closes it
//	leaktest host COMMAND [ARG...]       the host's part: makes what is to be found, runs COMMAND
//	leaktest inside FACTS [PROBE...]     the container's part, to be run by COMMAND
//
// The host's part replaces the argument FACTS in COMMAND by what the container's part must be told.
// So `leaktest host leaktest inside FACTS` judges the host, and
// `leaktest host /tmp/step02 leaktest inside FACTS` the container of 02. scripts/leaks.sh does this
// for many, and compares.
//
// No probe does harm where it succeeds. Nothing on the host is written, loaded, mounted or ended:
// files are opened and not written, system calls have arguments that are refused *after* the
// question who is asking, and what is read are secrets made for the purpose. They are random, and
// the container's part is told their SHA-256 only, so it can't find them in its own arguments.
//
// probe.go says what a probe is and runs them, table.go lists them, host.go makes what there is to
// find. The other files are the probes, by area.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strings"
)

// roles are the words by which this program is started, most of them by itself.
var roles = map[string]func(args []string) error{
	"list":   list,
	"host":   host,
	"inside": inside,
	"guest":  guest,      // the first process of a virtual machine
	"probe":  probeAlone, // one probe, in a process of its own
	"keeper": keeper,     // removes from the host what host has made
	"victim": victim,     // a process of the host's, for others to find
	"euid":   printEUID,  // run as a set-uid program
	"mount":  tryMount,   // in a user namespace of its own
}

// init keeps main on the process's first thread. Some probes change their thread alone, such as its
// mount namespace or its root.
func init() { runtime.LockOSThread() }

// main runs this program in one of its roles.
func main() {
	role := func([]string) error {
		return fmt.Errorf("usage: leaktest list | host COMMAND [ARG...] | inside FACTS [PROBE...]")
	}
	var args []string
	if len(os.Args) > 1 && roles[os.Args[1]] != nil {
		role, args = roles[os.Args[1]], os.Args[2:]
	}
	if err := role(args); err != nil {
		fmt.Fprintln(os.Stderr, "leaktest:", strings.TrimSpace(err.Error()))
		os.Exit(1)
	}
}

// list prints the table of probes as JSON.
func list([]string) error {
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(probes())
}
