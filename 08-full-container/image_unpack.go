//go:build linux

// How a layer becomes a directory as overlayfs wants it: files, and whiteouts for removed ones.
//
// Nothing in a layer can lead out of that directory. Two fences see to that. An entry's parents are
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

// What the layers of an image may ask for at the most, all together. They come from anywhere.
const (
	maxBytes   = 16 << 30 // in files, and to read, as a little gzip can stand for a lot
	maxEntries = 1 << 19  // each is an inode of the host's
	maxName    = unix.PathMax
	maxNames   = 64 << 20 // bytes: directories' are kept in memory
	maxDepth   = 256      // directories: to remove them takes a descriptor for each
)

// budget is what is left of that.
type budget struct{ read, written, entries, names int64 }

// take takes n from a part of the budget, if that is left.
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
	// owners says whether there are ids to keep them. Where the map has only one, all is root's.
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
	// Only now, as every new entry has changed the time of its directory.
	for name, modified := range t.dirs {
		if modified.IsZero() {
			continue // nothing was said of it
		}
		if err := t.setTime(name, modified); err != nil {
			return err
		}
	}
	return nil
}

// add takes up one entry. If there are several of one name, the last one counts.
func (t *tree) add(header *tar.Header, content io.Reader) error {
	name, err := cleanName(header.Name)
	if err != nil {
		return err
	}
	if err := take(&t.left.entries, 1, "files"); err != nil {
		return err
	}
	// Its parents' names cost nothing more: they are parts of this one, in the same memory.
	if err := take(&t.left.names, int64(len(name)), "bytes in names"); err != nil {
		return err
	}
	parent, base := path.Dir(name), path.Base(name)
	switch kind := header.Typeflag; {
	case kind == tar.TypeChar, kind == tar.TypeBlock:
		// In a user namespace mknod(2) makes no devices. Images that have some do without: a
		// container's /dev isn't the image's.
		return nil
	case kind == tar.TypeXGlobalHeader:
		return nil // a comment
	case strings.Contains("/"+parent, "/"+whiteout):
		return nil // below what aufs noted for itself
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
		err = t.root.Symlink(header.Linkname, name) // wherever to: nothing here follows it
	case tar.TypeLink:
		return t.link(header.Linkname, name) // of a file that is dressed already
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

// cleanName returns the path of an entry below the layer's root, which is where an absolute one
// starts as well. A path that leads above the root means malice or damage, so it is refused, not
// repaired. It is a clone, as the tar package cuts names out of a text of up to a megabyte
// (pax(1)), which would be kept as long as they are.
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

// realDir returns the directory that dir is in this layer. It makes what is missing, as root's and
// 0755, and follows symbolic links, both as Docker does.
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

// in returns the name of an entry whose parent is another directory than the one it is written
// with.
func (t *tree) in(parent, name string) (string, error) {
	if parent == path.Dir(name) {
		return name, nil // in the same memory
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
			at = path.Dir(at) // which for the root is the root
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

// makeDir makes a directory, if it isn't there. If something else is, that is replaced, or refused.
func (t *tree) makeDir(name string, replace bool) error {
	if _, known := t.dirs[name]; known {
		return nil
	}
	if len(name) > maxName || strings.Count(name, "/") > maxDepth {
		return unix.ENAMETOOLONG // by way of a link
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
