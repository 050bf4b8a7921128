//go:build linux

// The initramfs: an archive with the files that the guest begins with.

package qemu

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// An Archive is an initramfs in the making: an archive of cpio(1), in the format "newc" of the
// kernel's Documentation/driver-api/early-userspace/buffer-format.rst. All belongs to root.
type Archive struct {
	w     io.Writer
	inode int
	Seen  map[string]bool
	err   error // the first one; after it nothing is written
}

// NewArchive begins an archive.
func NewArchive(w io.Writer) *Archive { return &Archive{w: w, Seen: map[string]bool{}} }

// Add adds an entry, and the directories above it. mode is that of stat(2), with the type of file.
// A file that is there already stays what it is.
func (a *Archive) Add(name string, mode uint32, data []byte) {
	if a.Seen[name] || a.err != nil {
		return
	}
	if dir := path.Dir(name); dir != "." {
		a.Add(dir, TypeDir|0o755, nil)
	}
	a.Seen[name] = true
	a.entry(name, mode, data)
}

// The types of files in a mode (inode(7)).
const (
	TypeDir  = 0o040000
	TypeFile = 0o100000
	TypeLink = 0o120000
)

// entry writes one entry: a header of thirteen numbers of eight hexadecimal digits, the name, ended
// by a NUL, and the data; name and data each filled up to a multiple of four bytes.
func (a *Archive) entry(name string, mode uint32, data []byte) {
	a.inode++
	text := "070701"
	for _, field := range []int{
		a.inode, int(mode), 0, 0, // owner and group
		1,         // links to it
		0,         // time of the last change
		len(data), // then four for devices
		0, 0, 0, 0,
		len(name) + 1,
		0, // no checksum
	} {
		text += fmt.Sprintf("%08X", field)
	}
	text += name + "\x00"
	text += strings.Repeat("\x00", -len(text)&3)
	_, err := io.WriteString(a.w, text)
	if err == nil {
		_, err = a.w.Write(data)
	}
	if err == nil {
		_, err = io.WriteString(a.w, strings.Repeat("\x00", -len(data)&3))
	}
	a.err = err
}

// File adds a file of this machine that all can read, and run if it is executable here. A link
// is followed.
func (a *Archive) File(name, source string) {
	if a.Seen[name] || a.err != nil {
		return
	}
	info, err := os.Stat(source)
	if err != nil {
		a.err = err
		return
	}
	data, err := os.ReadFile(source)
	if err != nil {
		a.err = err
		return
	}
	mode := uint32(0o644)
	if info.Mode().Perm()&0o111 != 0 {
		mode = 0o755
	}
	if info.Mode()&fs.ModeSetuid != 0 { // newuidmap(1)
		mode |= 0o4000
	}
	a.Add(name, TypeFile|mode, data)
}

// End writes the last entry, and returns the first error.
func (a *Archive) End() error {
	a.Add("TRAILER!!!", 0, nil)
	return a.err
}

// Tree adds a directory of this machine with all that is in it, if it is there.
func (a *Archive) Tree(name, dir string) error {
	return filepath.WalkDir(dir, func(file string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && file == dir {
			return nil
		}
		if err == nil && !entry.IsDir() {
			a.File(name+strings.TrimPrefix(file, dir), file)
		}
		return err
	})
}
