//go:build linux

// The process that reads an image. Don't trust an archive: others wrote it. So only the container's
// own root reads it, in a user namespace with the container's map, as a user who owns nothing on
// the host. The process gets none of the caller's variables, and six descriptors: /dev/null, a pipe
// for what it has found, the caller's standard error, the archive, a pipe that ends when the caller
// no longer waits, and the directory for the layers.

package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// unpacker is the part that this program plays when it starts itself again to unpack an image.
const unpacker = "unpack"

// unpacked is what the unpacker says: by diff_id, which layers the image has, the lowest first.
type unpacked struct {
	Layers []digest
	Config imageConfig
}

// unpackImage starts the unpacker for the layers of an archive that aren't in the cache yet: the
// directory cache or, if that is "", the usual one. The name picks one of several images. An
// *exec.ExitError means that the unpacker has said on standard error what is wrong.
func unpackImage(archive *os.File, name, cache string) (_ *image, err error) {
	quitQuietly()
	info, err := archive.Stat()
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, fmt.Errorf("%[1]s is a directory: pack it (tar c -C %[1]s .)", archive.Name())
	}
	attr := &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER,
		// Standard error may be the caller's terminal, and any process in a terminal's session
		// may type there (ioctl_tty(2), TIOCSTI).
		Setsid: true,
	}
	mapLater, err := mapIDs(attr)
	if err != nil {
		return nil, err
	}
	dirs, err := cacheDirs(cache, attr)
	if err != nil {
		return nil, fmt.Errorf("make a cache for images: %w", err)
	}
	group, release, err := newUnpackerCgroup()
	if err != nil {
		return nil, err
	}
	defer func() { err = cleanUp(err, release) }()
	for i, dir := range dirs {
		layers, err := dir.open()
		if err != nil {
			return nil, fmt.Errorf("make a cache for images: %w", err)
		}
		defer layers.Close()
		if i == 0 && !info.Mode().IsRegular() {
			// A pipe is read once, and the members of an archive in any order.
			if archive, err = spool(archive, dir.path, maxArchive); err != nil {
				return nil, fmt.Errorf("keep the image that comes in: %w", err)
			}
			defer archive.Close()
		}
		result, err := dir.fill(group, layers, archive, name, attr, mapLater)
		if !errors.Is(err, errNoIdmap) {
			return result, err
		}
	}
	return nil, errNoIdmap
}

// newUnpackerCgroup makes a cgroup for the unpacker, beside the container's, with limits that no
// flag changes: an archive that is made to use up the machine's memory can't, and an honest one can
// be unpacked for a container that gets little.
func newUnpackerCgroup() (group cgroup, release func() error, err error) {
	memory, pids, cpu := memoryLimit, pidsLimit, cpuLimit
	defer func() { memoryLimit, pidsLimit, cpuLimit = memory, pids, cpu }()
	memoryLimit, pidsLimit, cpuLimit = 256<<20, 64, 1*cpuPeriod
	group, remove, err := newCgroup()
	if err != nil {
		return nil, nil, err
	}
	// The keeper undoes the last first: it waits, and then removes the cgroup.
	if err := keep("unpacker", group.String()); err != nil {
		return nil, nil, errors.Join(err, remove())
	}
	waited := func() error { return nil } // by fill
	return group, func() error { return errors.Join(undoNow(waited), remove()) }, nil
}

// undoUnpacker is for the keeper. When the outer process dies, the unpacker tidies up the cache and
// ends. The keeper waits for that; what takes longer than 30 seconds undoCgroup kills.
func undoUnpacker(which string) error {
	dir, _, _ := strings.Cut(which, "\t")                       // the process is in all of them
	_ = removeCgroup(dir+"/inner", func() error { return nil }) // or undoCgroup does
	return nil
}

// fill starts the unpacker in a cgroup, for a directory of the cache that is open.
func (d cacheDir) fill(group cgroup, layers, archive *os.File, name string,
	attr *syscall.SysProcAttr, mapLater func(pid int) error) (*image, error) {
	wait, ready, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer ready.Close()
	defer wait.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{role(unpacker), name}
	cmd.SysProcAttr = attr
	cmd.ExtraFiles = []*os.File{archive, wait, layers} // descriptors 3, 4 and 5 there
	cmd.Env = slices.Clone(defaultEnv)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	// No Pdeathsig: it ends by itself when the pipe does, and tidies up before that.
	if err := group.start(cmd); err != nil {
		return nil, fmt.Errorf("start the unpacker: %w", err)
	}
	if err := mapLater(cmd.Process.Pid); err != nil {
		return nil, abandon(cmd, err)
	}
	if err := resetOOMScore(cmd.Process.Pid); err != nil {
		return nil, abandon(cmd, err)
	}
	if d.idmapped {
		if err := shiftIDs(int(layers.Fd()), cmd.Process.Pid); err != nil {
			return nil, abandon(cmd, err)
		}
	}
	if _, err := ready.Write([]byte{0}); err != nil {
		return nil, abandon(cmd, err)
	}
	said, unreadable := readUnpacked(stdout)
	if err := cmd.Wait(); err != nil {
		if !cmd.ProcessState.Exited() { // it had no time to say why
			err = fmt.Errorf("unpack the image: %s%s", cmd.ProcessState, whyKilled(group))
		}
		return nil, err
	}
	if unreadable != nil {
		return nil, fmt.Errorf("understand the unpacker: %w", unreadable)
	}
	cache := volume{Source: d.path, Target: rootfs, ReadOnly: true, Shifted: !d.idmapped}
	return &image{cache, said.Layers, said.Config}, nil
}

// readUnpacked reads what the unpacker says. A hostile image may have taken it over, so it isn't
// trusted with paths of the host: a layer is a digest. Without layers, the container would get the
// embedded root. The config had at most maxJSON bytes, and a "<" in it comes as six: "\u003c".
func readUnpacked(from io.Reader) (said unpacked, err error) {
	err = json.NewDecoder(io.LimitReader(from, 6*maxJSON)).Decode(&said)
	if len(said.Layers) == 0 {
		err = cmp.Or(err, errors.New("it names no layer"))
	}
	for _, id := range said.Layers {
		_, bad := parseDigest("sha256:" + string(id))
		err = errors.Join(err, bad)
	}
	return said, err
}

// whyKilled is what the kernel has to say about an unpacker that was killed.
func whyKilled(group cgroup) string {
	if kills, err := group.counters().oomKills.read(); err != nil || kills == 0 {
		return ""
	}
	return ", by the kernel: it needed more than 256 MiB of memory (is the cache for images on a " +
		"tmpfs, which counts as memory? XDG_CACHE_HOME=DIR puts it elsewhere)"
}

// beUnpacker is the unpacker: it reads the archive at descriptor 3, fills the cache, and says on
// standard output which layers it holds.
func beUnpacker(args []string) error {
	if len(args) != 1 {
		return errors.New("the unpacker is started by this program alone")
	}
	if err := closeDescriptors(3, 4, 5); err != nil {
		return err
	}
	// What ends our parent reaches us as the end of the pipe, and then there is time to tidy up.
	signal.Ignore(unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGPIPE)
	pipe := os.NewFile(4, "pipe from the outer process")
	word := make([]byte, 1)
	if _, err := io.ReadFull(pipe, word); err != nil {
		return fmt.Errorf("wait for the outer process: %w", err)
	}
	if word[0] != 0 {
		return fmt.Errorf("wait for the outer process: it says %q, not 0", word)
	}
	var alone atomic.Bool
	go func() {
		_, _ = pipe.Read(make([]byte, 1)) // returns when it is over, and only then
		alone.Store(true)
	}()
	gone := func() error {
		if alone.Load() {
			return errAlone
		}
		return nil
	}
	// To this user, no path may lead to the directory for the layers. From here on it is ".".
	if err := unix.Fchdir(5); err != nil {
		return os.NewSyscallError("fchdir", err)
	}
	said, err := unpack(os.NewFile(3, "the image"), args[0], ".", gone)
	if errors.Is(err, errAlone) {
		return nil // no process is left to report it to
	}
	if err != nil {
		return fmt.Errorf("the image: %w", err)
	}
	return json.NewEncoder(os.Stdout).Encode(said)
}

// errAlone says that the outer process has died.
var errAlone = errors.New("the outer process has died")

// watched is a file that can be read as long as the outer process lives.
type watched struct {
	file io.ReaderAt
	gone func() error
}

// ReadAt is for an io.SectionReader. No reading of this file moves an offset that others share.
func (w watched) ReadAt(p []byte, offset int64) (int, error) {
	if err := w.gone(); err != nil {
		return 0, err
	}
	return w.file.ReadAt(p, offset)
}

// unpack reads the archive and fills the cache.
func unpack(file *os.File, name, cache string, gone func() error) (*unpacked, error) {
	if err := dropHostIdentity(); err != nil {
		return nil, err
	}
	unix.Umask(0) // an image's modes are meant as they stand
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	a, err := openArchive(watched{file, gone}, info.Size(), cache, maxArchive)
	if err != nil {
		return nil, err
	}
	a.source = watched{a.source, gone} // which may be a copy by now
	image, err := readImage(a, name)
	if err != nil {
		return nil, err
	}
	users, err1 := isMapped("uid", 1)
	groups, err2 := isMapped("gid", 1)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	left := budget{read: maxBytes, written: maxBytes, entries: maxEntries, names: maxNames}
	if err := fill(cache, image.layers, users && groups, left, gone); err != nil {
		return nil, err
	}
	stack, err := stacked(cache, image.layers)
	return &unpacked{stack, image.config}, err
}
