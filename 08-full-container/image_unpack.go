//go:build linux

// How a layer becomes a directory as overlayfs wants it; image_entries.go makes its files.
//
// Two fences keep a layer inside that directory. We resolve an entry's parents ourselves, to
// directories of this same layer, whatever its links and ".." say; and every call goes through
// os.Root, which doesn't follow a link to the outside either.

package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The most that all layers of an image together may ask for. Anyone can have made them.
const (
	maxBytes   = 16 << 30 // in files, and to read: a little gzip can expand to a lot
	maxEntries = 1 << 19  // each takes an inode on the host
	maxName    = unix.PathMax
	maxNames   = 64 << 20 // bytes: the names of directories are kept in memory
	maxDepth   = 256      // directories: RemoveAll holds a descriptor for each level
)

// budget is what is left of that.
type budget struct{ read, written, entries, names int64 }

// take deducts n from a part of the budget. It fails if less than n is left.
func take(from *int64, n int64, what string) error {
	if n > *from {
		return fmt.Errorf("too many %s for one image", what)
	}
	*from -= n
	return nil
}

// tree is a layer that is being unpacked into a directory, which must be empty and ours alone.
type tree struct {
	root *os.Root
	// dirs are the layer's directories so far, and when they were last modified.
	dirs map[string]time.Time
	// gone are the names that this layer removes from those below. opaque are its directories
	// that hide the contents of the same directories below.
	gone, opaque map[string]bool
	// owners says whether files keep their owners. With only one ID in the map, all are root's.
	owners bool
	left   *budget
}

// The marks of a layer's tar: one that hides a name below, one that hides all of a directory below
// (image-spec, layer.md). Docker has them from aufs.
const (
	whiteout   = ".wh."
	opaqueMark = ".wh..wh..opq"
)

// unpackLayer unpacks a tar into a directory.
func unpackLayer(from io.Reader, into *os.Root, owners bool, left *budget) error {
	t := &tree{
		root: into, owners: owners, left: left,
		dirs: map[string]time.Time{".": {}}, gone: map[string]bool{}, opaque: map[string]bool{},
	}
	reader := tar.NewReader(from)
	for {
		header, err := reader.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if err := t.add(header, reader); err != nil {
			return fmt.Errorf("%q: %w", header.Name, err)
		}
	}
	if err := t.mark(); err != nil {
		return err
	}
	// The times come last, because every new entry has changed that of its directory.
	for name, modified := range t.dirs {
		if modified.IsZero() {
			continue // the layer has no entry for it
		}
		if err := t.setTime(name, modified); err != nil {
			return err
		}
	}
	return nil
}

// add unpacks one entry. If several have the same name, the last one counts.
func (t *tree) add(header *tar.Header, content io.Reader) error {
	name, err := cleanName(header.Name)
	if err != nil {
		return err
	}
	if err := take(&t.left.entries, 1, "files"); err != nil {
		return err
	}
	// Its parents' names need no memory of their own: they are slices of this one.
	if err := take(&t.left.names, int64(len(name)), "bytes in names"); err != nil {
		return err
	}
	parent, base := path.Dir(name), path.Base(name)
	switch kind := header.Typeflag; {
	case kind == tar.TypeChar, kind == tar.TypeBlock:
		// In a user namespace mknod(2) makes no devices. Images don't need theirs: the container's
		// /dev isn't the image's.
		return nil
	case kind == tar.TypeXGlobalHeader:
		return nil // a comment
	case strings.Contains("/"+parent, "/"+whiteout):
		return nil // below a file of aufs's own
	case strings.HasPrefix(base, whiteout+whiteout) && base != opaqueMark:
		return nil // aufs again
	}
	if parent, err = t.realDir(parent); err == nil {
		name, err = t.in(parent, name)
	}
	if err != nil {
		return err
	}
	if base == opaqueMark {
		t.opaque[parent] = true
		return nil
	}
	if gone, found := strings.CutPrefix(base, whiteout); found {
		if gone == "" || gone == "." || gone == ".." {
			return fmt.Errorf("a whiteout of %q", gone)
		}
		t.gone[path.Join(parent, gone)] = true
		return nil
	}
	if header.Typeflag == tar.TypeDir {
		if err := t.makeDir(name, true); err != nil {
			return err
		}
		t.dirs[name] = header.ModTime
		return t.setMetadata(name, header)
	}
	if err := t.removeExisting(name); err != nil {
		return err
	}
	switch header.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse:
		err = t.writeFile(name, header.Size, content)
	case tar.TypeSymlink:
		err = t.root.Symlink(header.Linkname, name) // to any path: nothing here follows it blindly
	case tar.TypeLink:
		return t.link(header.Linkname, name) // to a file that has its owner and mode already
	case tar.TypeFifo:
		err = t.mknod(name, unix.S_IFIFO|0o600)
	default:
		err = fmt.Errorf("an entry of unknown type %q", header.Typeflag)
	}
	if err != nil {
		return err
	}
	return t.setMetadata(name, header)
}

// cleanName returns the path of an entry below the layer's root, where an absolute path starts as
// well. A path that leads above the root means malice or damage, so it is refused, not repaired.
// The result is a clone: the tar package slices names out of a header of up to a megabyte (pax(1)),
// and a slice would keep all of that in memory.
func cleanName(name string) (string, error) {
	clean := path.Clean(strings.TrimLeft(name, "/"))
	switch {
	case clean == "..", strings.HasPrefix(clean, "../"):
		return "", errors.New("a path that leads up (..)")
	case len(name) > maxName, strings.Count(clean, "/") > maxDepth:
		return "", unix.ENAMETOOLONG
	}
	return strings.Clone(clean), nil
}

// realDir resolves dir to a directory of this layer. Like Docker, it makes what is missing (mode
// 0755, root's) and follows symbolic links.
func (t *tree) realDir(dir string) (string, error) {
	if _, known := t.dirs[dir]; known {
		return dir, nil
	}
	parent, err := t.realDir(path.Dir(dir))
	if err != nil {
		return "", err
	}
	name, err := t.in(parent, dir)
	if err != nil {
		return "", err
	}
	if _, known := t.dirs[name]; known {
		return name, nil
	}
	if _, err := t.root.Readlink(name); err == nil {
		return t.follow(name)
	}
	if err := take(&t.left.entries, 1, "files"); err != nil {
		return "", err
	}
	return name, t.makeDir(name, false)
}

// in returns an entry's name below its real parent, which is another one than the entry names if
// there is a link on the way.
func (t *tree) in(parent, name string) (string, error) {
	if parent == path.Dir(name) {
		return name, nil // the same string
	}
	name = path.Join(parent, path.Base(name))
	return name, take(&t.left.names, int64(len(name)), "bytes in names")
}

// follow returns the directory of this layer that a symbolic link leads to, as the kernel would
// find it if the layer were its root (path_resolution(7)). What isn't in this layer isn't made:
// what would be there depends on the layers below.
func (t *tree) follow(link string) (string, error) {
	at, rest := ".", link
	for links := 0; rest != ""; {
		var next string
		next, rest, _ = strings.Cut(rest, "/")
		if next == ".." {
			at = path.Dir(at) // the root's ".." is the root
			continue
		}
		name := path.Join(at, next)
		if _, known := t.dirs[name]; known {
			at = name
			continue
		}
		target, err := t.root.Readlink(name)
		if err != nil {
			return "", fmt.Errorf("%s leads to %s, and that is no directory in this layer",
				link, name)
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("%s: %w", link, unix.ELOOP)
		}
		// A few kilobytes of gzip can stand for many entries below long links.
		if err := take(&t.left.names, int64(len(name)+len(target)), "bytes in names"); err != nil {
			return "", err
		}
		if path.IsAbs(target) {
			at = "."
		}
		rest = target + "/" + rest
	}
	return at, nil
}

// makeDir makes a directory unless there is one. Anything else of that name is replaced, or makes
// it fail.
func (t *tree) makeDir(name string, replace bool) error {
	if _, known := t.dirs[name]; known {
		return nil
	}
	if len(name) > maxName || strings.Count(name, "/") > maxDepth {
		return unix.ENAMETOOLONG // a link has made it longer than cleanName allows
	}
	err := t.root.Mkdir(name, 0o755)
	if errors.Is(err, fs.ErrExist) {
		if !replace {
			return fmt.Errorf("%s is no directory in this layer", name)
		}
		err = errors.Join(t.root.Remove(name), t.root.Mkdir(name, 0o755))
	}
	if err == nil {
		t.dirs[name] = time.Time{}
	}
	return err
}
