//go:build linux

// An image's archive: a tar, perhaps compressed as a whole, whose members are read in any order.

package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// The most that an archive may ask for. Anyone can have made it, and a few kilobytes of gzip can
// expand to a full disk.
const (
	maxArchive = 16 << 30 // bytes, where it has to be copied: from a pipe, or out of gzip
	maxMembers = 1 << 14  // three for a layer in the oldest layout
	maxJSON    = 4 << 20  // bytes of a manifest or a config, as Docker has it
	maxLinks   = 40       // followed for one name, as in the kernel (path_resolution(7))
)

// archive knows where the members are. Their bytes stay where they are.
type archive struct {
	source  io.ReaderAt
	members map[string]member
}

// member is one file in the archive: so many bytes from there on, or the name of another.
type member struct {
	offset, size int64
	link         string
}

// openArchive makes the list of the members. A compressed tar can't be read in any order, so it is
// written out first, into a file without a name in dir. (Compressed layers are another matter.)
func openArchive(source io.ReaderAt, size int64, dir string, limit int64) (*archive, error) {
	file := io.NewSectionReader(source, 0, size)
	start := make([]byte, 6)
	n, err := file.ReadAt(start, 0)
	if err != nil && err != io.EOF {
		return nil, err
	}
	switch kind := compression(start[:n]); kind {
	case "":
	case "gzip":
		unzipped, err := gzip.NewReader(bufio.NewReader(file))
		if err != nil {
			return nil, err
		}
		plain, err := spool(unzipped, dir, limit)
		if err != nil {
			return nil, err
		}
		info, err := plain.Stat()
		if err != nil {
			return nil, err
		}
		file = io.NewSectionReader(plain, 0, info.Size())
	default:
		return nil, fmt.Errorf("it is compressed with %[1]s, and only gzip is understood "+
			"here: %[1]s -dc FILE > NEW decompresses it", kind)
	}
	a := &archive{file, map[string]member{}}
	return a, a.index(file)
}

// index goes from header to header. The tar package seeks over what lies between, where it can.
func (a *archive) index(file *io.SectionReader) error {
	reader, end := tar.NewReader(file), int64(0)
	for range maxMembers {
		header, err := reader.Next()
		here, _ := file.Seek(0, io.SeekCurrent) // can't fail
		switch {
		case err == io.EOF && here <= end:
			// To the tar package, this is an end like any other. But a tar ends with blocks of
			// zeros (tar(5)), and a copy that broke off between two members with none.
			return io.ErrUnexpectedEOF
		case err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("read it as a tar, at byte %d: %w", here, err)
		case len(header.Name)+len(header.Linkname) > maxName:
			return fmt.Errorf("a member's name, at byte %d: %w", here, unix.ENAMETOOLONG)
		}
		end = here + (header.Size+511)/512*512
		m := member{offset: here, size: header.Size}
		switch header.Typeflag {
		case tar.TypeReg:
		case tar.TypeSymlink: // as the oldest layout has it, for a layer that comes twice
			m = member{link: path.Join(path.Dir(header.Name), header.Linkname)}
		case tar.TypeLink:
			m = member{link: path.Clean(header.Linkname)}
		default:
			continue
		}
		// Clones, for the reason that cleanName gives.
		m.link = strings.Clone(m.link)
		a.members[strings.Clone(path.Clean(header.Name))] = m
	}
	return fmt.Errorf("more than %d members: %s", maxMembers, notAnImage)
}

// has reports whether there is such a member.
func (a *archive) has(name string) bool {
	_, found := a.members[name]
	return found
}

// open returns a member's bytes, wherever links lead to. They lead to members, never to files.
func (a *archive) open(name string) (*io.SectionReader, error) {
	target := path.Clean(name)
	for range maxLinks {
		m, found := a.members[target]
		switch {
		case !found:
			return nil, fmt.Errorf("%q isn't in the archive", target)
		case m.link == "":
			return io.NewSectionReader(a.source, m.offset, m.size), nil
		}
		target = m.link
	}
	return nil, fmt.Errorf("%q: %w", name, unix.ELOOP)
}

// read returns a whole member that is meant to be JSON, and verifies it where a digest is given.
func (a *archive) read(name string, want digest) ([]byte, error) {
	content, err := a.open(name)
	if err != nil {
		return nil, err
	}
	if content.Size() > maxJSON {
		return nil, fmt.Errorf("%q has %d bytes, more than %d", name, content.Size(), maxJSON)
	}
	text := make([]byte, content.Size())
	if _, err := io.ReadFull(content, text); err != nil {
		return nil, fmt.Errorf("read %q: %w", name, err)
	}
	if got := digestOf(text); want != "" && got != want {
		return nil, fmt.Errorf("%q has the digest sha256:%s, not %s", name, got, want)
	}
	return text, nil
}

// digest is a SHA-256 as 64 hexadecimal digits, so it can be the name of a file.
type digest string

// parseDigest reads "sha256:" and 64 digits. Images may use other hashes, but none do.
func parseDigest(text string) (digest, error) {
	digits, found := strings.CutPrefix(text, "sha256:")
	if raw, err := hex.DecodeString(digits); !found || err != nil || len(raw) != sha256.Size ||
		digits != strings.ToLower(digits) {
		return "", fmt.Errorf("%q is no sha256 digest", text)
	}
	return digest(digits), nil
}

// digestOf returns the digest of a text.
func digestOf(text []byte) digest {
	sum := sha256.Sum256(text)
	return digest(hex.EncodeToString(sum[:]))
}

// compression returns the name of the program that has compressed what begins so, or "".
func compression(start []byte) string {
	for name, magic := range map[string]string{
		"gzip": "\x1f\x8b", "zstd": "\x28\xb5\x2f\xfd", "xz": "\xfd7zXZ\x00", "bzip2": "BZh",
	} {
		if bytes.HasPrefix(start, []byte(magic)) {
			return name
		}
	}
	return ""
}

// spool writes everything into a file without a name in dir (O_TMPFILE, open(2)), so that nothing
// is left of it, whatever ends this process. It gives up beyond limit bytes.
func spool(from io.Reader, dir string, limit int64) (*os.File, error) {
	file, err := os.OpenFile(dir, unix.O_TMPFILE|os.O_RDWR, 0o600)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EISDIR) {
		// Not every file system can. With this name, it is cleared away if we die too early.
		if file, err = os.CreateTemp(dir, partial); err == nil {
			err = os.Remove(file.Name())
		}
	}
	if err != nil {
		return nil, err
	}
	from, done := showProgress(from, "reading the image")
	n, err := io.Copy(file, io.LimitReader(from, limit+1))
	done()
	if err == nil && n > limit {
		err = fmt.Errorf("more than %d bytes", limit)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("copy the archive: %w", err), file.Close())
	}
	return file, nil
}
