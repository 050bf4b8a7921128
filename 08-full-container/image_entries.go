//go:build linux

// The entries of a layer, kind by kind, whiteouts included.

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

// removeExisting removes what an earlier entry of this layer has put at name.
func (t *tree) removeExisting(name string) error {
	if name == "." {
		return errors.New("the layer's root must be a directory")
	}
	if _, isDir := t.dirs[name]; !isDir {
		err := t.root.Remove(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	if err := t.forget(name); err != nil {
		return err
	}
	return t.root.RemoveAll(name)
}

// forget takes a directory and those in it out of t.dirs. It walks them on the disk, which is no
// more work than making them was. If it searched all of t.dirs instead, a few kilobytes of gzip
// ("t is a directory, t is a file", repeated) would keep us busy for hours.
func (t *tree) forget(name string) error {
	delete(t.dirs, name)
	dir, err := t.root.Open(name)
	if err != nil {
		return err
	}
	entries, err := dir.Readdirnames(-1)
	if err := errors.Join(err, dir.Close()); err != nil {
		return err
	}
	for _, entry := range entries {
		below := path.Join(name, entry)
		if _, isDir := t.dirs[below]; !isDir {
			continue
		}
		if err := t.forget(below); err != nil {
			return err
		}
	}
	return nil
}

// writeFile makes a regular file. Holes in it are written as zeros, and count against the budget.
func (t *tree) writeFile(name string, size int64, content io.Reader) error {
	if err := take(&t.left.written, size, "bytes in files"); err != nil {
		return err
	}
	// O_EXCL: a new file, and never one that a link leads to (open(2)).
	file, err := t.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	return errors.Join(err, file.Close())
}

// link makes one more name for a file of this same layer. The target's parents are found by the
// same rules as an entry's own.
func (t *tree) link(target, name string) error {
	file, err := cleanName(target)
	var dir string
	if err == nil {
		dir, err = t.realDir(path.Dir(file))
	}
	if err == nil {
		err = t.root.Link(path.Join(dir, path.Base(file)), name)
	}
	if err != nil {
		return fmt.Errorf("hard link to %q: %w", target, err)
	}
	return nil
}

// mark makes the whiteouts and opaque directories. It comes last because it needs to know what this
// layer holds: a whiteout removes a name of the layers below, and leaves alone what this layer has
// under it. If that is a directory, it is a new one: opaque, so that theirs doesn't show through.
func (t *tree) mark() error {
	for name := range t.gone {
		if _, isDir := t.dirs[name]; isDir {
			t.opaque[name] = true
		}
	}
	for name := range t.opaque {
		if _, isDir := t.dirs[name]; !isDir {
			continue // something took its place
		}
		// The mark that overlayfs reads when mounted with userxattr. ("trusted.overlay.opaque"
		// takes CAP_SYS_ADMIN on the host.)
		err := t.setXattr(name, opaqueXattr, "y")
		if errors.Is(err, unix.EOPNOTSUPP) {
			err = fmt.Errorf("%w (a tmpfs has user xattrs only since Linux 6.6: "+
				"XDG_CACHE_HOME=DIR unpacks to another file system)", err)
		}
		if err != nil {
			return err
		}
	}
	for name := range t.gone {
		if _, isDir := t.dirs[path.Dir(name)]; !isDir || t.isHidden(name) {
			continue // overlayfs would show a whiteout in an opaque directory
		}
		// A whiteout is a character device 0/0. No driver has that number, so mknod(2) allows it in
		// user namespaces too.
		err := t.mknod(name, unix.S_IFCHR)
		if errors.Is(err, unix.EPERM) {
			err = fmt.Errorf("%w (%s)", err, t.whyNoWhiteout())
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// whyNoWhiteout says why this layer can't have a whiteout, and what helps.
func (t *tree) whyNoWhiteout() string {
	var info unix.Statfs_t
	dir, err := t.root.Open(".")
	if err == nil {
		err = errors.Join(unix.Fstatfs(int(dir.Fd()), &info), dir.Close())
	}
	if err == nil && info.Type == unix.OVERLAYFS_SUPER_MAGIC {
		return "an overlayfs, such as a container's root, can't hold a whiteout: " +
			"XDG_CACHE_HOME=DIR unpacks to another file system"
	}
	return "Linux lets user namespaces make whiteouts since 5.8"
}

// isHidden reports whether a directory above is opaque, so that nothing below it shows through.
func (t *tree) isHidden(name string) bool {
	for name != "." {
		if name = path.Dir(name); t.opaque[name] {
			return true
		}
	}
	return false
}

// Overlayfs's own xattrs begin like this. A layer can't set them.
const (
	overlayXattrs = "user.overlay."
	opaqueXattr   = overlayXattrs + "opaque"
)

// setMetadata sets a new entry's owner, mode, xattrs and time, in this order: changing the owner
// clears set-uid bits and capabilities (chown(2)).
func (t *tree) setMetadata(name string, header *tar.Header) error {
	mode := header.FileInfo().Mode()
	if t.owners {
		// (uid_t) -1 would leave the owner as it is: root, and the file may be set-uid.
		none := uint64(1<<32 - 1)
		err := error(unix.EINVAL)
		if uint64(header.Uid) < none && uint64(header.Gid) < none {
			err = t.root.Lchown(name, header.Uid, header.Gid)
		}
		if errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("it belongs to %d:%d, and the container has no such ids (its map: "+
				"/etc/subuid and /etc/subgid)", header.Uid, header.Gid)
		}
		if err != nil {
			return err
		}
	} else {
		// Its owner isn't mapped, so root owns it: set-uid would now mean set-uid root.
		if header.Uid != 0 {
			mode &^= fs.ModeSetuid
		}
		if header.Gid != 0 {
			mode &^= fs.ModeSetgid
		}
	}
	if header.Typeflag == tar.TypeSymlink {
		return t.setTime(name, header.ModTime)
	}
	if err := t.root.Chmod(name, mode); err != nil {
		return err
	}
	for key, value := range header.PAXRecords {
		xattr, found := strings.CutPrefix(key, "SCHILY.xattr.")
		wanted := strings.HasPrefix(xattr, "user.") && !strings.HasPrefix(xattr, overlayXattrs) ||
			xattr == "security.capability" // the kernel adds which user namespace's root it is for
		if !found || !wanted || header.Typeflag == tar.TypeFifo {
			continue
		}
		err := t.setXattr(name, xattr, value)
		// Not every file system has them, and a program works without most of the time.
		if err != nil && !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EPERM) {
			return err
		}
	}
	return t.setTime(name, header.ModTime)
}

// setTime sets when something was last modified. The kernel takes the nearest time that the file
// system has. (Chtimes counts nanoseconds in 64 bits: the year 1600 becomes 2185.)
func (t *tree) setTime(name string, modified time.Time) error {
	return t.inParent(name, func(dir int, base string) error {
		m, err := unix.TimeToTimespec(modified)
		if err != nil {
			return err
		}
		times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, m}
		return unix.UtimesNanoAt(dir, base, times, unix.AT_SYMLINK_NOFOLLOW)
	})
}

// setXattr sets an extended attribute of a file or directory (xattr(7)).
func (t *tree) setXattr(name, xattr, value string) error {
	file, err := t.root.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := unix.Fsetxattr(int(file.Fd()), xattr, []byte(value), 0); err != nil {
		return &fs.PathError{Op: "set the xattr " + xattr + " of", Path: name, Err: err}
	}
	return nil
}

// mknod makes a FIFO or a whiteout.
func (t *tree) mknod(name string, mode uint32) error {
	return t.inParent(name, func(dir int, base string) error {
		if err := unix.Mknodat(dir, base, mode, 0); err != nil {
			return &fs.PathError{Op: "mknod", Path: name, Err: err}
		}
		return nil
	})
}

// inParent is for system calls that os.Root doesn't offer. Given a directory's descriptor and one
// name, and told not to follow a link there, a call can't leave that directory.
func (t *tree) inParent(name string, call func(dir int, base string) error) error {
	dir, err := t.root.Open(path.Dir(name))
	if err != nil {
		return err
	}
	defer dir.Close()
	return call(int(dir.Fd()), path.Base(name))
}
