//go:build linux

// The initramfs: a root that looks like a small host's, below /host, and a way into it.

package main

import (
	"bufio"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"jail-to-container/scripts/qemu"
)

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
	"etc/group":         "root:x:0:\ntty:x:5:\nuser:x:1000:\nnogroup:x:65534:\n",
	"etc/subuid":        "user:100000:65536\n",
	"etc/subgid":        "user:100000:65536\n",
	"etc/nsswitch.conf": "group: files\n",
	"etc/hosts":         "127.0.0.1 localhost vm\n",
	"etc/resolv.conf":   "nameserver 192.0.2.53\n",
}

// pack writes the initramfs.
func (v *vm) pack(file, root, scratch string, steps []string, k *kernel, tools string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	a := archive{qemu.NewArchive(w)}
	init := filepath.Join(root, place, "init.sh")
	a.Add("dev", qemu.TypeDir|0o755, nil)
	a.File("bin/busybox", filepath.Join(tools, "bin", "busybox"))
	a.File("init", init)
	a.File("host/usr/sbin/init", init)
	for name, mode := range directories {
		a.Add("host/"+name, qemu.TypeDir|mode, nil)
	}
	for name, text := range texts {
		a.Add("host/"+name, qemu.TypeFile|0o644, []byte(text))
	}
	for _, name := range []string{"bin", "sbin", "lib", "lib64"} {
		a.Add("host/"+name, qemu.TypeLink|0o777, []byte("usr/"+name))
	}
	a.Add("host/usr/lib64", qemu.TypeDir|0o755, nil) // which not every architecture uses
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
		a.Add(name, qemu.TypeFile|0o644, text)
	}
	for _, step := range steps {
		if step == leakTest {
			const records = "scripts/leaks/record"
			err := errors.Join(a.Tree("host/leaks/bin", filepath.Join(scratch, leakTest)),
				a.Tree("host/leaks/"+records, filepath.Join(root, records)))
			if err != nil {
				return err
			}
			continue
		}
		name := "host/steps/" + step
		a.File(name+"/"+step+".test", filepath.Join(scratch, step+".test"))
		if err := a.Tree(name+"/testdata", filepath.Join(root, step, "testdata")); err != nil {
			return err
		}
	}
	return errors.Join(a.End(), w.Flush(), f.Close())
}

// archive adds programs to one, with the libraries that they need.
type archive struct{ *qemu.Archive }

// program adds a program out of a tree of unpacked packages, and the libraries that it needs.
func (a archive) program(tree, name string) error {
	for _, dir := range []string{"/bin", "/usr/bin", "/sbin", "/usr/sbin"} {
		file, err := within(tree, path.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		a.File("host"+merged(path.Join(dir, name)), file)
		return a.libraries(tree, file)
	}
	return fmt.Errorf("there is no %s in %s; -u asks apt again", name, tree)
}

// libraries adds what an ELF file names: its loader, and its libraries, which lie beside the
// loader or one directory of the same name further.
func (a archive) libraries(tree, file string) error {
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
		a.File("host"+place, found)
		if merged(loader) != place {
			a.Add("host"+merged(loader), qemu.TypeLink|0o777, []byte(place))
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
func (a archive) library(tree, name string) error {
	for _, pattern := range []string{"/lib/*-linux-gnu/", "/usr/lib/*-linux-gnu/"} {
		places, err := filepath.Glob(tree + pattern + name)
		if err != nil {
			return err
		}
		for _, place := range places {
			place = strings.TrimPrefix(place, tree)
			target := "host" + merged(place)
			if a.Seen[target] {
				return nil
			}
			file, err := within(tree, place)
			if err != nil {
				return err
			}
			a.File(target, file)
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
