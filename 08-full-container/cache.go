//go:build linux

// Unpacked layers are kept, each as a directory that is called by its diff_id, so that the second
// start of an image is immediate, and images share what they have in common. A layer is in the
// cache as a whole or not at all.

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
	"time"

	"golang.org/x/sys/unix"
)

// partial is what the names begin with of what isn't finished. Such a thing belongs to whoever
// holds the lock, or else to nobody any more.
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
	// Those who died by SIGKILL left theirs.
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
	for _, l := range blobs {
		if err := unpackBlob(l, filepath.Join(work, string(l.diffID)), owners, &left); err != nil {
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

// lock waits until nobody else unpacks into this cache. The kernel takes the lock back when its
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
			time.Sleep(20 * time.Millisecond) // as the lock alone can't wait for our parent's end
			continue
		}
		return nil, errors.Join(err, dir.Close())
	}
}

// stacked returns the layers that make up the image, the lowest first. Overlayfs takes a directory
// once; of a layer that comes twice, only the upper one can be seen anyway. And at the root it
// minds no mark: so layers below an opaque root are left out here.
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

// unpackBlob unpacks one layer into a new directory, and verifies it while it is read.
func unpackBlob(l layerBlob, dir string, owners bool, left *budget) error {
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
	compressed, err := isGzip(start)
	if err != nil {
		return err
	}
	var plain io.Reader = stored
	if compressed {
		if plain, err = gzip.NewReader(stored); err != nil {
			return err
		}
	}
	plain = io.TeeReader(&metered{plain, left}, diffSum)
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
		return 0, over // a reader of n bytes that wanted no more would take no notice
	}
	return n, err
}
