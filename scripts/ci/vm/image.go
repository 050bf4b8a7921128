//go:build linux

// The initramfs: a root that looks like a small host's, below /host, and a way into it.

package main

import (
	"bufio"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// An archive is an initramfs in the making: an archive of cpio(1), in the format "newc" of the
// kernel's Documentation/driver-api/early-userspace/buffer-format.rst. All belongs to root.
type archive struct {
	w     io.Writer
	inode int
	seen  map[string]bool
	err   error // the first one; after it nothing is written
}

// newArchive begins an archive.
func newArchive(w io.Writer) *archive { return &archive{w: w, seen: map[string]bool{}} }

// add adds an entry, and the directories above it. mode is that of stat(2), with the type of file.
// A file that is there already stays what it is.
func (a *archive) add(name string, mode uint32, data []byte) {
	if a.seen[name] || a.err != nil {
		return
	}
	if dir := path.Dir(name); dir != "." {
		a.add(dir, typeDir|0o755, nil)
	}
	a.seen[name] = true
	a.entry(name, mode, data)
}

// The types of files in a mode (inode(7)).
const (
	typeDir  = 0o040000
	typeFile = 0o100000
	typeLink = 0o120000
)

// entry writes one entry: a header of thirteen numbers of eight hexadecimal digits, the name, ended
// by a NUL, and the data; name and data each filled up to a multiple of four bytes.
func (a *archive) entry(name string, mode uint32, data []byte) {
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

// file adds a file of this machine, for everybody to read, and to run if somebody may here. A link
// is followed.
func (a *archive) file(name, source string) {
	if a.seen[name] || a.err != nil {
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
	a.add(name, typeFile|mode, data)
}

// end writes the last entry, and returns the first error.
func (a *archive) end() error {
	a.add("TRAILER!!!", 0, nil)
	return a.err
}

// directories of the machine's root, beside those with files in them, by their modes.
var directories = map[string]uint32{
	"dev": 0o755, "proc": 0o555, "sys": 0o555, "run": 0o755, "root": 0o700, "modules": 0o755,
	"tmp": 0o1777, "var/tmp": 0o1777, "var/cache": 0o755, "home/user": 0o755, "usr/local": 0o755,
}

// texts are the files that a host has, as far as the steps look at them. The ordinary user has a
// range of ids, as every system gives one.
var texts = map[string]string{
	"etc/passwd": "root:x:0:0:root:/root:/bin/sh\n" +
		"user:x:1000:1000::/home/user:/bin/sh\n" +
		"nobody:x:65534:65534:nobody:/:/bin/false\n",
	"etc/group":       "root:x:0:\ntty:x:5:\nuser:x:1000:\nnogroup:x:65534:\n",
	"etc/subuid":      "user:100000:65536\n",
	"etc/subgid":      "user:100000:65536\n",
	"etc/hosts":       "127.0.0.1 localhost vm\n",
	"etc/resolv.conf": "nameserver 192.0.2.53\n",
}

// pack writes the initramfs.
func (v *vm) pack(file, root, scratch string, steps []string, k *kernel, tools string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	a := newArchive(w)
	init := filepath.Join(root, place, "init.sh")
	a.add("dev", typeDir|0o755, nil)
	a.file("bin/busybox", filepath.Join(tools, "bin", "busybox"))
	a.file("init", init)
	a.file("host/usr/sbin/init", init)
	for name, mode := range directories {
		a.add("host/"+name, typeDir|mode, nil)
	}
	for name, text := range texts {
		a.add("host/"+name, typeFile|0o644, []byte(text))
	}
	for _, name := range []string{"bin", "sbin", "lib", "lib64"} {
		a.add("host/"+name, typeLink|0o777, []byte("usr/"+name))
	}
	a.add("host/usr/lib64", typeDir|0o755, nil) // which not every architecture uses
	for _, programs := range toolPackages {
		for _, name := range programs {
			if err := a.program(tools, name); err != nil {
				return err
			}
		}
	}
	if err := a.library(tools, ruleLibrary); err != nil {
		return err
	}
	for i, module := range k.modules {
		text, err := readModule(module)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("host/modules/%02d-%s.ko", i, moduleName(module))
		a.add(name, typeFile|0o644, text)
	}
	for _, step := range steps {
		if step == leakTest {
			const records = "scripts/leaks/record"
			err := errors.Join(a.tree("host/leaks/bin", filepath.Join(scratch, leakTest)),
				a.tree("host/leaks/"+records, filepath.Join(root, records)))
			if err != nil {
				return err
			}
			continue
		}
		name := "host/steps/" + step
		a.file(name+"/"+step+".test", filepath.Join(scratch, step+".test"))
		if err := a.tree(name+"/testdata", filepath.Join(root, step, "testdata")); err != nil {
			return err
		}
	}
	return errors.Join(a.end(), w.Flush(), f.Close())
}

// program adds a program out of a tree of unpacked packages, and the libraries that it needs.
func (a *archive) program(tree, name string) error {
	for _, dir := range []string{"/bin", "/usr/bin", "/sbin", "/usr/sbin"} {
		file, err := within(tree, path.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		a.file("host"+merged(path.Join(dir, name)), file)
		return a.libraries(tree, file)
	}
	return fmt.Errorf("there is no %s in %s; -u asks apt again", name, tree)
}

// libraries adds what an ELF file names: its loader, and its libraries, which lie beside the
// loader or one directory of the same name further.
func (a *archive) libraries(tree, file string) error {
	binary, err := elf.Open(file)
	if err != nil {
		return err
	}
	defer binary.Close()
	if loader := interpreter(binary); loader != "" {
		found, err := within(tree, loader)
		if err != nil {
			return err
		}
		place := merged(strings.TrimPrefix(found, tree))
		a.file("host"+place, found)
		if merged(loader) != place {
			a.add("host"+merged(loader), typeLink|0o777, []byte(place))
		}
	}
	names, err := binary.ImportedLibraries()
	for _, name := range names {
		if err == nil {
			err = a.library(tree, name)
		}
	}
	return err
}

// library adds a library, and those that it needs.
func (a *archive) library(tree, name string) error {
	for _, pattern := range []string{"/lib/*-linux-gnu/", "/usr/lib/*-linux-gnu/"} {
		places, err := filepath.Glob(tree + pattern + name)
		if err != nil {
			return err
		}
		for _, place := range places {
			place = strings.TrimPrefix(place, tree)
			target := "host" + merged(place)
			if a.seen[target] {
				return nil
			}
			file, err := within(tree, place)
			if err != nil {
				return err
			}
			a.file(target, file)
			return a.libraries(tree, file)
		}
	}
	return fmt.Errorf("there is no library %s in %s; -u asks apt again", name, tree)
}

// interpreter returns the loader that an ELF file asks for, or "" if there is none.
func interpreter(binary *elf.File) string {
	section := binary.Section(".interp")
	if section == nil {
		return ""
	}
	name, _ := section.Data() // without a loader it is a program that doesn't start
	return strings.TrimRight(string(name), "\x00")
}

// within follows links in a tree that isn't the root, and returns the path of the file from here.
func within(tree, name string) (string, error) {
	for range 10 {
		file := filepath.Join(tree, name)
		link, err := os.Readlink(file)
		if errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if err != nil {
			return file, nil // no link
		}
		if !path.IsAbs(link) {
			link = path.Join(path.Dir(name), link)
		}
		name = link
	}
	return "", fmt.Errorf("%s in %s: too many links", name, tree)
}

// merged is the place of a file where /bin, /sbin and /lib are links to those in /usr.
func merged(name string) string {
	if strings.HasPrefix(name, "/usr/") {
		return name
	}
	return "/usr" + name
}

// tree adds a directory of this machine with all that is in it, if it is there.
func (a *archive) tree(name, dir string) error {
	return filepath.WalkDir(dir, func(file string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && file == dir {
			return nil
		}
		if err == nil && !entry.IsDir() {
			a.file(name+strings.TrimPrefix(file, dir), file)
		}
		return err
	})
}
