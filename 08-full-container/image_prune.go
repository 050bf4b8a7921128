//go:build linux

// Removing the cached layers of images: -prune.

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// pruner is the part that this program plays to remove what belongs to the container's IDs.
const pruner = "prune"

// useCache opens the directory that caches are in, and keeps it open, with a shared lock. The
// kernel takes the lock back when this process ends, and with it its container (flock(2)).
func useCache(top string) (err error) {
	cacheInUse, err = cacheDir{path: top, uid: os.Getuid(), gid: os.Getgid()}.open()
	if err != nil {
		return err
	}
	return os.NewSyscallError("flock", unix.Flock(int(cacheInUse.Fd()), unix.LOCK_SH))
}

// cacheInUse is that directory. An open file that nothing refers to would be closed.
var cacheInUse *os.File

// prune removes the caller's caches, also those that no container would use today.
func prune() error {
	var tops []string
	if own, err := os.UserCacheDir(); err == nil { // without a HOME there is none
		tops = append(tops, own)
	}
	if os.Getenv("XDG_CACHE_HOME") == "" {
		tops = append(tops, "/var/cache")
	}
	count := 0
	for _, top := range tops {
		removed, err := pruneBelow(filepath.Join(top, "jail-to-container"))
		if err != nil {
			return err
		}
		count += removed
	}
	if count == 0 {
		fmt.Println("nothing is cached")
	}
	return nil
}

// pruneBelow removes the caches in a directory, if it is the caller's. No container may be running
// from a layer in it, or about to.
func pruneBelow(top string) (removed int, err error) {
	dir, err := os.OpenFile(top, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	var is unix.Stat_t
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) ||
		err == nil && unix.Fstat(int(dir.Fd()), &is) == nil && int(is.Uid) != os.Getuid() {
		return 0, nil // there is none, or it is another user's
	}
	if err != nil {
		return removed, err
	}
	defer dir.Close()
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return 0, fmt.Errorf("%s is in use (%w): end the containers that run from an image (-ps "+
			"lists all), or wait until an image is unpacked", top, err)
	}
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return removed, err
	}
	// The caches of image_cache.go, and what was being removed. Other names stay, such as those of
	// what scripts/prefetch.sh fetches.
	cacheNames := regexp.MustCompile(`^(layers|shifted-\d+-\d+|\d+|` + partial + `.*)$`)
	for _, name := range names {
		if !cacheNames.MatchString(name) {
			continue
		}
		// Not filepath.Glob: a "[" in the path would belong to the pattern.
		layers, err := fs.Glob(os.DirFS(filepath.Join(top, name)), "[0-9a-f]*")
		if err != nil {
			return removed, err
		}
		// Under its name it would be taken for whole, if we are killed now.
		gone, err := os.MkdirTemp(top, partial)
		if err == nil {
			err = os.Rename(filepath.Join(top, name), filepath.Join(gone, name))
		}
		if err == nil {
			err = removeAll(gone)
		}
		if err != nil {
			return removed, err
		}
		fmt.Printf("removed %s (layers: %d)\n", filepath.Join(top, name), len(layers))
		removed++
	}
	return removed, nil
}

// removeAll removes a directory in which some files may belong to the container's IDs: then the
// root of a user namespace with the same IDs does it.
func removeAll(dir string) error {
	if err := os.RemoveAll(dir); !errors.Is(err, fs.ErrPermission) {
		return err
	}
	cmd := exec.Command("/proc/self/exe", dir)
	cmd.Args[0] = role(pruner)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER, Pdeathsig: unix.SIGKILL,
	}
	mapLater, err := mapIDs(cmd.SysProcAttr)
	if err != nil {
		return err
	}
	mapped, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := mapLater(cmd.Process.Pid); err != nil {
		return abandon(cmd, err)
	}
	mapped.Close()
	return cmd.Wait()
}

// bePruner is that root. It waits until its IDs are mapped. argv[0] proves nothing, so it removes
// only what pruneBelow has renamed.
func bePruner(args []string) error {
	if len(args) != 1 || !strings.HasPrefix(filepath.Base(args[0]), partial) ||
		filepath.Base(filepath.Dir(args[0])) != "jail-to-container" {
		return errors.New("the pruner is started by this program alone")
	}
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	if err := dropHostIdentity(); err != nil {
		return err
	}
	return os.RemoveAll(args[0])
}
