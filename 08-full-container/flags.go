//go:build linux

// The command line.

package main

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// options is what the caller asks for. What is empty is the image's to say.
type options struct {
	image, root             string
	memory, pids            int // memory in bytes
	cpus                    float64
	asksForCPUs             bool // there is a flag for it
	net, readOnly, tty      bool
	hostname, workdir, user string
	volumes                 []volume
	ports                   []port
	everywhere              string   // a port given as -p, and without an IP
	entrypoint              []string // nil: the image's
	env                     []string // K=V
	command                 []string
	flagged                 bool     // there are flags
	without                 []string // walls
	pause                   bool     // in the lesson
	exec                    int      // the PID of a container that runs
	ps, prune               bool
}

// maxPIDs is how many a system can have (PID_MAX_LIMIT, proc_sys_kernel(5)).
const maxPIDs = 1 << 22

// isLesson reports whether nothing was asked for: then the lesson runs.
func (o *options) isLesson() bool { return len(o.command) == 0 && !o.flagged }

// help is what -h prints: the flags by task.
const help = `usage: %[1]s [COMMAND [ARG...]]    (flags come before COMMAND)

Runs COMMAND in a container and exits with its status. Without a COMMAND, runs
what the image says; without an image either, runs the lesson.

What to run
  -image FILE[:NAME]    an image as docker save writes it, or an OCI layout as
                        tar; - is standard input; NAME, such as a tag, chooses
                        one of several
  -prune                removes the layers of images that are cached
  -root DIR             a copy of this directory
  -user UID[:GID]       as this user, or one that the image knows by name
  -entrypoint CMD       by way of CMD, in place of the image's Entrypoint
  -workdir DIR          in this directory
  -env K=V              with this variable; can be repeated; -env K takes yours
  -hostname NAME        on a machine of this name (default container)
  -tty                  with a terminal of its own (default: if there is one)
        %[1]s -image alpine.tar -user nobody id

What it shares with the host
  -volume SRC:DST[:ro]  mount the host's SRC at DST; can be repeated
  -net                  a cable to the host and a way to the world (default
                        true; -net=false does without)
  -publish [IP:]HOST:CONTAINER
                        the host's port HOST leads to the port CONTAINER; on
                        127.0.0.1 without an IP; can be repeated
  -read-only            a read-only root
        %[1]s -volume "$PWD:/work" -workdir /work -net=false sh
        %[1]s -publish 8080:80 busybox httpd -f -p 80 -h /usr

A container that runs
  -ps                   list your running containers
  -exec PID             run COMMAND in the one with this PID; -user, -workdir,
                        -env and -tty work as above
        %[1]s -exec 4242 sh

How much it may use
  -memory SIZE          memory, such as 64M or 1G (default 256M)
  -pids N               processes and threads (default 128)
  -cpus N               CPUs, such as 0.5 (default 1)
        %[1]s -memory 64M -cpus 0.5 sh

For learning
  -pause                the lesson waits for Enter before each part
  -without WALL         leave out a wall: %[2]s,
                        %[3]s
        %[1]s -without seccomp unshare -U id

Docker's spellings, such as -it, -v, -p and --rm, are understood, too.
As root: go run -exec sudo ./%[1]s
`

// parseFlags reads the command line. It returns nil where only help was asked for.
func parseFlags(args []string) (*options, error) {
	o := &options{memory: memoryLimit, pids: pidsLimit, cpus: 1, net: true}
	flags := flag.NewFlagSet(step, flag.ContinueOnError)
	var said strings.Builder
	flags.SetOutput(&said)
	flags.Usage = func() {
		fmt.Fprintf(&said, help, step, strings.Join(walls[:3], ", "), strings.Join(walls[3:], ", "))
	}
	flags.StringVar(&o.image, "image", "", "")
	flags.StringVar(&o.root, "root", "", "")
	flags.StringVar(&o.user, "user", "", "")
	flags.StringVar(&o.workdir, "workdir", "", "")
	flags.Func("entrypoint", "", o.setEntrypoint)
	flags.Func("env", "", o.addEnv)
	flags.StringVar(&o.hostname, "hostname", "container", "")
	flags.BoolVar(&o.tty, "tty", terminalAt(0) >= 0 && terminalAt(1) >= 0, "")
	flags.Func("volume", "", o.addVolume)
	flags.BoolFunc("net", "", o.setNet)
	flags.Func("publish", "", o.addPort)
	flags.BoolVar(&o.readOnly, "read-only", false, "")
	flags.Func("memory", "",
		func(text string) (err error) { o.memory, err = parseSize(text); return err })
	flags.IntVar(&o.pids, "pids", o.pids, "")
	flags.Func("cpus", "", o.parseCPUs)
	flags.BoolVar(&o.pause, "pause", false, "")
	flags.Func("without", "", o.parseWalls)
	o.addDocker(flags)
	flags.BoolVar(&o.ps, "ps", false, "")
	flags.BoolVar(&o.prune, "prune", false, "")
	flags.IntVar(&o.exec, "exec", 0, "")

	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		_, err := fmt.Print(said.String())
		return nil, err
	case err != nil && strings.HasPrefix(err.Error(), "flag provided but not defined: "):
		return nil, unknownFlag(args[len(args)-flags.NArg()-1])
	case err != nil:
		return nil, err
	}
	o.command = flags.Args()
	var given []string
	flags.Visit(func(f *flag.Flag) {
		o.flagged = o.flagged || f.Name != "pause"
		if f.Value.String() == "" && (f.Name == "image" || f.Name == "root") {
			err = fmt.Errorf("-%s: empty, where a path was expected", f.Name)
		}
		given = append(given, f.Name)
	})
	if err != nil {
		return nil, err
	}
	if slices.Contains(given, "net") && len(o.command) > 0 && o.command[0] == "none" {
		return nil, errors.New(`-net none: that is a COMMAND named "none"; write -net=none`)
	}
	if o.prune && len(given)+len(o.command) > 1 {
		return nil, errors.New("-prune: no other flag and no COMMAND with it")
	}
	if o.prune {
		return o, nil
	}
	if o.ps || slices.Contains(given, "exec") {
		return o, o.checkRunning(given)
	}
	o.leaveOut()
	return o, o.check()
}

// check rejects invalid options and says what is valid.
func (o *options) check() error {
	switch {
	case o.image != "" && o.root != "":
		return errors.New("-image and -root: one of them, not both")
	case o.flagged && o.image == "" && len(o.command)+len(o.entrypoint) == 0:
		return errors.New("no COMMAND, and no -image that could say what to run")
	case o.memory < 6<<20:
		return fmt.Errorf("-memory %d: at least 6M, or the container's own start fails", o.memory)
	case o.pids < 20 || o.pids > maxPIDs:
		return fmt.Errorf("-pids %d: from 20, because PID 1 takes up to 14, to %d", o.pids,
			maxPIDs)
	case !(o.cpus >= 0.01 && o.cpus <= 1024):
		return fmt.Errorf("-cpus %v: from 0.01 to 1024", o.cpus)
	case o.hostname == "" || len(o.hostname) > 64 ||
		strings.ContainsFunc(o.hostname, notInName):
		return fmt.Errorf("-hostname %q: 1 to 64 characters, no blanks", o.hostname)
	case len(o.ports) > 0 && !o.net:
		return errors.New("-publish: a port needs the cable (not -net=false or -without net)")
	}
	if err := o.checkWorkdir(); err != nil {
		return err
	}
	if o.root != "" {
		if info, err := os.Stat(o.root); err != nil {
			return fmt.Errorf("-root: %w", err)
		} else if !info.IsDir() {
			return fmt.Errorf("-root %s: must be a directory", o.root)
		}
	}
	memoryLimit, pidsLimit = o.memory, o.pids
	cpuLimit = int(o.cpus * cpuPeriod)
	if slices.Contains(o.without, "limits") {
		cpuLimit = -1 // none: a number could be more than the cgroup above allows
	}
	return nil
}

// checkWorkdir rejects a working directory that would be relative to another.
func (o *options) checkWorkdir() error {
	if o.workdir != "" && !filepath.IsAbs(o.workdir) {
		return fmt.Errorf("-workdir %s: an absolute path, such as /work", o.workdir)
	}
	return nil
}

// notInName finds what doesn't belong into a hostname: it goes into /etc/hosts and the prompt.
func notInName(r rune) bool {
	return r == '/' || unicode.IsSpace(r) || !unicode.IsPrint(r) || r == unicode.ReplacementChar
}

// parseSize reads a number of bytes: 1024, 64K, 256M, 2G. A unit may be longer, as in 256MB and
// 256MiB, and means the same, as with docker.
func parseSize(text string) (int, error) {
	text = strings.ToUpper(text)
	number, shift := strings.TrimRight(text, "KMGIB"), 0
	switch text[len(number):] {
	case "", "B":
	case "K", "KB", "KI", "KIB":
		shift = 10
	case "M", "MB", "MI", "MIB":
		shift = 20
	case "G", "GB", "GI", "GIB":
		shift = 30
	default:
		number = "" // no unit
	}
	n, err := strconv.Atoi(number)
	if err != nil || n <= 0 || n > math.MaxInt>>shift {
		return 0, errors.New("a number of bytes, such as 64M, was expected")
	}
	return n << shift, nil
}

// parseCPUs reads a number of CPUs.
func (o *options) parseCPUs(text string) (err error) {
	o.asksForCPUs = true
	if o.cpus, err = strconv.ParseFloat(text, 64); err != nil {
		return errors.New("a number with a point was expected, such as 0.5")
	}
	return nil
}

// checkCPUs rejects -cpus where the container can have no limit on CPU time. Without that flag, the
// container runs, and a line says which limit is missing.
func (o *options) checkCPUs(group cgroup) error {
	if reason := noCPULimit(group); reason != "" && o.asksForCPUs {
		return fmt.Errorf("-cpus: %s", reason)
	}
	warnOfNoCPULimit(group)
	return nil
}

// setEntrypoint notes what the command is an argument of. An empty one is none.
func (o *options) setEntrypoint(text string) error {
	o.entrypoint = []string{}
	if text != "" {
		o.entrypoint = []string{text}
	}
	return nil
}

// addEnv notes a variable. Without a value it gets the caller's, if the caller has one.
func (o *options) addEnv(text string) error {
	name, _, given := strings.Cut(text, "=")
	if name == "" {
		return errors.New("K=V was expected, such as LANG=C")
	}
	if !given {
		value, found := os.LookupEnv(name)
		if !found {
			return nil
		}
		text += "=" + value
	}
	o.env = append(o.env, text)
	return nil
}

// addVolume notes a path of the host to be shown inside.
func (o *options) addVolume(text string) error {
	parts := strings.Split(text, ":")
	if len(parts) == 2 {
		parts = append(parts, "rw")
	}
	if len(parts) != 3 || parts[2] != "ro" && parts[2] != "rw" || parts[0] == "" {
		return errors.New("SRC:DST, SRC:DST:ro or SRC:DST:rw was expected")
	}
	source, err := filepath.Abs(parts[0])
	if err != nil {
		return err
	}
	if _, err := os.Stat(source); err != nil {
		return err
	}
	if !filepath.IsAbs(parts[1]) || reserved(filepath.Clean(parts[1])) {
		return errors.New("DST must be an absolute path, and not / or in /proc, /sys or /dev")
	}
	o.volumes = append(o.volumes, volume{
		Source: source, Target: filepath.Clean(parts[1]), ReadOnly: parts[2] == "ro",
	})
	return nil
}
