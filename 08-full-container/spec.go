//go:build linux

// What the container should be, in one message from the outer process to the inner one. (runc reads
// much the same: config.json, of the OCI runtime specification.)

package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// spec is that message.
type spec struct {
	Args, Env  []string
	Dir, User  string // User as in -user: numbers, or names that the image knows
	Hostname   string
	ResolvConf string
	Image      string   // what -image or -root said, for -ps
	Layers     []string // directories, the lowest first; none means the embedded root
	Dirs       []string // directories that the image's VOLUMEs promise
	Memory     int      // how many bytes the root can take, too
	Volumes    []volume // if there are layers, the first is what they are in, at rootfs
	Passed     int      // so many of Volumes come as descriptors, along with the message
	ReadOnly   bool
	TTY        bool
	Without    []string // walls
}

// defaultEnv is the environment that every container has. Nothing of the caller's is in it, which
// may hold secrets.
var defaultEnv = []string{
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "PS1=" + inside + "# ",
}

// newSpec puts together what the caller asks for; where the caller doesn't say, the image decides.
func newSpec(o *options) (*spec, error) {
	s := &spec{
		Dir: o.workdir, User: o.user, Hostname: o.hostname,
		Volumes: byDepth(o.volumes), ReadOnly: o.readOnly, TTY: o.tty,
		Without: o.without, Memory: o.memory, Image: cmp.Or(o.image, o.root),
	}
	var config imageConfig
	if o.image != "" {
		image, err := openImage(o.image, o.tty)
		if err != nil {
			return nil, err
		}
		config = image.Config
		s.Dirs = slices.Sorted(maps.Keys(config.Volumes))
		s.Volumes = append([]volume{image.Cache}, s.Volumes...)
		for _, layer := range image.Layers {
			s.Layers = append(s.Layers, rootfs+"/"+string(layer))
		}
	}
	if o.root != "" {
		// Like an image's cache, it comes as a volume would. It is the only layer.
		root := volume{Source: o.root, Target: rootfs, ReadOnly: true}
		s.Volumes = append([]volume{root}, s.Volumes...)
		s.Layers = []string{rootfs}
	}
	if s.Args = o.arguments(config); len(s.Args) == 0 {
		return nil, errors.New("the image doesn't say what to run: name a COMMAND")
	}
	if s.Dir == "" {
		s.Dir = config.WorkingDir
	}
	if s.Dir == "" {
		s.Dir = "/"
	}
	if s.User == "" {
		s.User = config.User
	}
	if o.net {
		s.ResolvConf = resolvConf()
	}
	s.Env = append(slices.Clone(defaultEnv), "HOSTNAME="+o.hostname)
	if s.TTY {
		s.Env = append(s.Env, "TERM="+cmp.Or(os.Getenv("TERM"), "xterm")) // as docker does
	}
	s.Env = unique(slices.Concat(s.Env, config.Env, o.env))
	return s, nil
}

// arguments returns what to run, as docker does: a command takes Cmd's place, and Entrypoint stays
// before either. With another entrypoint there is no Cmd, which was for the image's. To write
// ENTRYPOINT [""] in a Dockerfile is to have none.
func (o *options) arguments(config imageConfig) []string {
	if o.entrypoint != nil {
		return slices.Concat(o.entrypoint, o.command)
	}
	if slices.Equal(config.Entrypoint, []string{""}) {
		config.Entrypoint = nil
	}
	if len(o.command) == 0 {
		return slices.Concat(config.Entrypoint, config.Cmd)
	}
	return slices.Concat(config.Entrypoint, o.command)
}

// unique keeps the last of the variables of each name. What has a name and no "=" gives way to a
// variable that comes later, and replaces none. An image may have a million of them: so each is
// looked at once.
func unique(env []string) (kept []string) {
	given := map[string]bool{}
	for _, variable := range slices.Backward(env) {
		name, _, found := strings.Cut(variable, "=")
		if !given[name] {
			kept = append(kept, variable)
			given[name] = found
		}
	}
	slices.Reverse(kept)
	return kept
}

// openImage has an image's archive unpacked, and returns what it is then.
func openImage(text string, tty bool) (*image, error) {
	file, name := splitImage(text)
	if file == "-" {
		image, err := unpackImage(os.Stdin, name, "")
		if err != nil {
			return nil, err
		}
		return image, newInput(tty)
	}
	archive, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w (an image is a file here; this makes one: %s)", err, pullLine(file))
	}
	if err != nil {
		return nil, err
	}
	defer archive.Close()
	return unpackImage(archive, name, "")
}

// splitImage splits FILE:NAME. Both may have colons in them, and FILE is the longest that exists.
func splitImage(text string) (file, name string) {
	for end := len(text); end >= 0; end = strings.LastIndexByte(text[:end], ':') {
		if file = text[:end]; file == "-" || exists(file) {
			return file, strings.TrimPrefix(text[end:], ":")
		}
	}
	return text, ""
}

// newInput puts something else in the place of standard input. That was the image; and if it is a
// file, a shell in the container would read it once more, as its script. It is the terminal that
// standard output is, where one is asked for: a terminal can be read and written by any descriptor
// of it. Else it is /dev/null.
func newInput(tty bool) error {
	if tty && terminalAt(1) >= 0 {
		return os.NewSyscallError("dup3", unix.Dup3(1, 0, 0))
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	return os.NewSyscallError("dup3", unix.Dup3(int(null.Fd()), 0, 0))
}
