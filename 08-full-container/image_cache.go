//go:build linux

// Unpacked layers are cached, each as a directory named after its diff_id, so that an image starts
// at once the second time, and images share the layers that they have in common. The cache holds a
// layer whole or not at all.
//
// The step later trusts what is in the cache. So only the user who runs the step can enter it; the
// unpacker and the container get it as an open descriptor. It is one of these:
//
//	/var/cache/jail-to-container/layers       Root's. Files belong to the IDs that the image
//	                                          names, and idmapped mounts show them to containers
//	                                          as theirs, whichever IDs those have on the host.
//	/var/cache/jail-to-container/shifted-U-G  Root's where that can't be done. Files belong to
//	                                          the container's IDs; U and G are the first ones.
//	~/.cache/jail-to-container/UID            A user's. Files belong to the container's IDs: to
//	                                          the user, and to those of /etc/subuid.

package main

import (
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// cacheDir is one of these directories.
type cacheDir struct {
	path     string
	uid, gid int // its owner
	idmapped bool
}

// cacheDirs returns those that will do for a user namespace with the maps in attr, the best first.
// They are below top, or, if that is "", at the usual place.
func cacheDirs(top string, attr *syscall.SysProcAttr) ([]cacheDir, error) {
	// Without maps yet, there will be those of mapByHelpers, where 0 is us.
	uid, gid := os.Getuid(), os.Getgid()
	if len(attr.UidMappings) > 0 {
		uid, gid = attr.UidMappings[0].HostID, attr.GidMappings[0].HostID
	}
	if top == "" {
		parent, err := "/var/cache", error(nil)
		if uid == os.Getuid() || os.Getenv("XDG_CACHE_HOME") != "" {
			parent, err = os.UserCacheDir() // $XDG_CACHE_HOME or ~/.cache
		}
		if err != nil {
			return nil, err
		}
		top = filepath.Join(parent, "jail-to-container")
	}
	top, err := filepath.Abs(top)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(top), 0o755); err != nil {
		return nil, err
	}
	if err := useCache(top); err != nil {
		return nil, err
	}
	if uid == os.Getuid() {
		return []cacheDir{{filepath.Join(top, strconv.Itoa(uid)), uid, gid, false}}, nil
	}
	shifted := filepath.Join(top, fmt.Sprintf("shifted-%d-%d", uid, gid))
	dirs := []cacheDir{{shifted, uid, gid, false}}
	if overlaysIdmapped() {
		layers := filepath.Join(top, "layers")
		dirs = slices.Insert(dirs, 0, cacheDir{layers, os.Getuid(), os.Getgid(), true})
	}
	return dirs, nil
}

// overlaysIdmapped reports whether overlayfs takes idmapped layers: since Linux 5.19
// (mount_setattr(2)). Before, mount(2) would answer EINVAL, but only when all is unpacked.
func overlaysIdmapped() bool {
	var name unix.Utsname
	var major, minor int
	err := unix.Uname(&name)
	if err == nil {
		_, err = fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &major, &minor)
	}
	return err == nil && (major > 5 || major == 5 && minor >= 19)
}

// open opens the directory, which it makes if there is none. That of root is opened as a mount of
// its own, which can show its files' owners as others, and from which no ".." leads on.
func (d cacheDir) open() (*os.File, error) {
	if err := os.Mkdir(d.path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	dir, err := os.OpenFile(d.path, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	if err := d.claim(dir); err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	if !d.idmapped {
		return dir, nil
	}
	defer dir.Close()
	tree, err := openTree(volume{Source: fmt.Sprint("/proc/self/fd/", dir.Fd())})
	return os.NewFile(uintptr(tree), d.path), err
}

// claim closes an opened directory to all but its owner. If it wasn't the owner's, or others could
// write to it, they may have put something in.
func (d cacheDir) claim(dir *os.File) error {
	var is unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &is); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	ours := int(is.Uid) == d.uid || int(is.Uid) == os.Getuid() // which a new one is
	if !ours || is.Mode&0o022 != 0 {
		return fmt.Errorf("%s belongs to user %d and has mode %03o: others could have written to "+
			"it (chmod 700 %[1]s if you trust what is in it, otherwise rm -r)",
			d.path, is.Uid, is.Mode&0o777)
	}
	return errors.Join(dir.Chown(d.uid, d.gid), dir.Chmod(0o700))
}

// checkCache is for the container, which has the cache as an opened mount. It must belong to the
// container's root alone, and doesn't if that mount isn't idmapped as it should be.
func checkCache(tree int) error {
	var is unix.Stat_t
	if err := unix.Fstat(tree, &is); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	if is.Uid != 0 || is.Mode&0o077 != 0 {
		return fmt.Errorf("the cache for images belongs to user %d here, with mode %03o, and not "+
			"to root alone", is.Uid, is.Mode&0o777)
	}
	return nil
}

// partial begins the name of everything unfinished. It belongs to the process that holds the lock;
// if no process does, it is left over from one that was killed.
const partial = "partial-"

// fill unpacks the layers that aren't in the cache yet: all of them, or none if one is bad.
func fill(cache string, layers []layerBlob, owners bool, left budget, gone func() error) error {
	missing := func() (blobs []layerBlob) {
		for _, l := range layers {
			twice := slices.ContainsFunc(blobs, func(other layerBlob) bool {
				return other.diffID == l.diffID
			})
			if !twice && !exists(filepath.Join(cache, string(l.diffID))) {
				blobs = append(blobs, l)
			}
		}
		return blobs
	}
	if len(missing()) == 0 {
		return nil
	}
	unlock, err := lock(cache, gone)
	if err != nil {
		return err
	}
	defer unlock()
	// Unpackers that were killed have left theirs.
	old, err := filepath.Glob(filepath.Join(cache, partial+"*"))
	for _, dir := range old {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp(cache, partial)
	if err != nil {
		return err
	}
	defer os.RemoveAll(work) // nothing is ever mounted there
	blobs := missing()
	for i, l := range blobs {
		what := fmt.Sprintf("unpacking layer %d of %d", i+1, len(blobs))
		err := unpackBlob(l, what, filepath.Join(work, string(l.diffID)), owners, &left)
		if err != nil {
			return fmt.Errorf("layer sha256:%s: %w", l.diffID, err)
		}
	}
	for _, l := range blobs {
		name := string(l.diffID)
		if err := os.Rename(filepath.Join(work, name), filepath.Join(cache, name)); err != nil {
			return err
		}
	}
	return nil
}

// lock waits until no other process unpacks into this cache. The kernel releases the lock when its
// holder dies (flock(2)).
func lock(cache string, gone func() error) (unlock func() error, err error) {
	dir, err := os.Open(cache)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return dir.Close, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			err = &fs.PathError{Op: "flock", Path: cache, Err: err}
		} else if err = gone(); err == nil {
			time.Sleep(20 * time.Millisecond) // a blocking flock wouldn't notice our parent's end
			continue
		}
		return nil, errors.Join(err, dir.Close())
	}
}

// stacked returns the layers that make up the image, the lowest first. Overlayfs takes each
// directory only once; if a layer comes twice, the upper one hides the lower anyway. And overlayfs
// ignores the opaque mark of a layer's root, so this leaves out the layers below such a root.
func stacked(cache string, layers []layerBlob) ([]digest, error) {
	var stack []digest
	for _, l := range slices.Backward(layers) {
		if slices.Contains(stack, l.diffID) {
			continue
		}
		stack = append(stack, l.diffID)
		dir := filepath.Join(cache, string(l.diffID))
		_, err := unix.Getxattr(dir, opaqueXattr, make([]byte, 1))
		if err == nil {
			break
		}
		if !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.EOPNOTSUPP) {
			return nil, &fs.PathError{Op: "getxattr", Path: dir, Err: err}
		}
	}
	slices.Reverse(stack)
	return stack, nil
}

// unpackBlob unpacks one layer into a new directory, and verifies it while it is read. What says
// which one it is.
func unpackBlob(l layerBlob, what, dir string, owners bool, left *budget) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	blobSum, diffSum := sha256.New(), sha256.New()
	stored := bufio.NewReaderSize(io.TeeReader(l.content, blobSum), 1<<16)
	start, err := stored.Peek(6)
	if err != nil && err != io.EOF {
		return err
	}
	var plain io.Reader = stored
	switch kind := compression(start); kind {
	case "":
	case "gzip":
		if plain, err = gzip.NewReader(stored); err != nil {
			return err
		}
	default:
		return errCompressed(kind)
	}
	plain, done := showProgress(io.TeeReader(&metered{plain, left}, diffSum), what)
	defer done()
	if err := unpackLayer(plain, root, owners, left); err != nil {
		return err
	}
	// The digests are about all of it, though the tar may have ended before.
	for _, rest := range []io.Reader{plain, stored} {
		if _, err := io.Copy(io.Discard, rest); err != nil {
			return err
		}
	}
	if got := digest(hex.EncodeToString(blobSum.Sum(nil))); l.blob != "" && got != l.blob {
		return fmt.Errorf("what lies in the archive has the digest sha256:%s, not %s", got, l.blob)
	}
	if got := digest(hex.EncodeToString(diffSum.Sum(nil))); got != l.diffID {
		return fmt.Errorf("the layer's tar has the digest sha256:%s", got)
	}
	return nil
}

// metered is a reader that takes what it reads from the budget.
type metered struct {
	io.Reader
	left *budget
}

// Read reads as much as the budget has left.
func (m *metered) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	if over := take(&m.left.read, int64(n), "bytes to read"); over != nil {
		return 0, over // not n: a caller that has all it wanted would ignore the error
	}
	return n, err
}
