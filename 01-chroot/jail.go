//go:build linux

// The jail: the directories /home/{bin,joonho} of the story, built for one run and kept by a
// process of their own, so that they are gone when the run is, however it ends; and what a program
// in the jail needs: itself, and every library that it names. What isn't in a jail isn't there.

package main

import (
	"bufio"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// picture is the directory, and the process that keeps it.
type picture struct {
	dir    string
	keeper *helper
}

// startJailTree starts the keeper, which makes the directory.
func startJailTree() (*picture, error) {
	keeper := self("lesson:keep")
	// No Pdeathsig: it is there for the time after us. Its own session keeps Ctrl-C from it.
	keeper.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	p, dir, err := start(keeper)
	return &picture{dir, p}, err
}

// jail is the directory that becomes "/".
func (p *picture) jail() string { return filepath.Join(p.dir, "home/joonho") }

// end tells the keeper to take everything away, and waits until that is done. Its own error is on
// standard error already.
func (p *picture) end() { p.keeper.end() }

// keep is the keeper. It makes the directory, prints its path, and waits until whoever started it
// closes the other end of its standard input: on purpose, or by dying, even of SIGKILL. (Only if
// the keeper itself is killed does the directory stay.)
func keep([]string) error {
	dir, err := os.MkdirTemp("", "jail-")
	if err != nil {
		return fmt.Errorf("%w (TMPDIR=DIR names another place for temporary files)", err)
	}
	// The real path, for that is what the kernel says in /proc.
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return err
	}
	return errors.Join(waitForEOF(dir), endProcesses(dir), unmountBelow(dir), remove(dir))
}

// endProcesses kills every process whose root is still in dir, since nothing else would end them.
// It misses those that have broken out; only a PID namespace keeps hold of all its processes. A
// link that can't be read belongs to another user's process, which isn't ours.
func endProcesses(dir string) error {
	for {
		found := false
		roots, err := filepath.Glob("/proc/[0-9]*/root")
		if err != nil {
			return err
		}
		for _, link := range roots {
			root, err := os.Readlink(link)
			if err != nil || !strings.HasPrefix(root, dir+"/") {
				continue
			}
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link)))
			if err != nil {
				return err
			}
			found = true
			if err := unix.Kill(pid, unix.SIGKILL); err != nil && err != unix.ESRCH {
				return fmt.Errorf("kill process %d in %s: %w", pid, root, err)
			}
		}
		if !found {
			return nil
		}
	}
}

// unmountBelow takes down what root may have mounted in the jail, since chroot doesn't forbid
// mounting. It goes from the last mount to the first, as later ones lie on top.
func unmountBelow(dir string) error {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(table)), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		point := unescape.Replace(strings.Fields(lines[i])[4]) // proc_pid_mountinfo(5)
		if !strings.HasPrefix(point, dir+"/") {
			continue
		}
		if err := unix.Unmount(point, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			return &os.PathError{Op: "unmount", Path: point, Err: err}
		}
	}
	return nil
}

// unescape undoes what mountinfo does to blanks in paths.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// remove removes the directory, unless something is mounted in it: that would remove files that
// aren't ours.
func remove(dir string) error {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(table)) {
		if point := unescape.Replace(strings.Fields(line)[4]); strings.HasPrefix(point, dir+"/") {
			return fmt.Errorf("not removing %s: %s is still mounted", dir, point)
		}
	}
	return os.RemoveAll(dir)
}

// tools are copied into every jail, where the host has them.
var tools = []string{"sh", "ls", "cat", "ps", "mkdir", "id"}

// populate copies the tools and the command into the jail, and returns the command as it is called
// in there.
func (p *picture) populate(command []string) ([]string, error) {
	for _, dir := range []string{"bin", "etc", "tmp"} {
		if err := os.MkdirAll(filepath.Join(p.jail(), dir), 0o755); err != nil {
			return nil, err
		}
	}
	// Where the dynamic loader finds libraries that lie in no standard place (ldconfig(8)).
	if cache := "/etc/ld.so.cache"; exists(cache) {
		if err := p.copy(cache, cache); err != nil {
			return nil, err
		}
	}
	for _, tool := range tools {
		if path, err := exec.LookPath(tool); err == nil {
			if err := p.install(path, "/bin/"+tool); err != nil {
				return nil, err
			}
		}
	}
	name := command[0]
	path, err := exec.LookPath(name)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return nil, &commandError{err}
	}
	target := path // a command given as a path is at that path inside as well
	if !strings.Contains(name, "/") {
		target = "/bin/" + name
	}
	if err := p.install(path, target); err != nil {
		return nil, err
	}
	return append([]string{target}, command[1:]...), nil
}

// install copies a program to a place in the jail, and all that it needs to start: the libraries of
// an ELF file, the interpreter of a script.
func (p *picture) install(path, target string) error {
	if exists(filepath.Join(p.jail(), target)) {
		return nil // or a script that is its own interpreter would be installed for ever
	}
	if err := p.copy(path, target); err != nil {
		return err
	}
	if interpreter := shebang(path); interpreter != "" {
		return p.install(interpreter, interpreter)
	}
	file, err := elf.Open(path)
	if err != nil {
		// Neither script nor ELF: the kernel will say what it thinks of it (ENOEXEC).
		return nil
	}
	defer file.Close()
	loader := interpreter(file)
	if loader == "" {
		return nil // static: it needs nothing
	}
	if err := p.copy(loader, loader); err != nil {
		return err
	}
	if path, err = filepath.EvalSymlinks(path); err != nil { // its $ORIGIN is where it really lies
		return err
	}
	return p.copyLibraries(file, path, loader, map[string]bool{})
}

// copyLibraries copies the shared libraries that an ELF file names, and those which they name.
func (p *picture) copyLibraries(file *elf.File, path, loader string, seen map[string]bool) error {
	names, err := file.ImportedLibraries() // the DT_NEEDED entries (elf(5))
	if err != nil {
		return fmt.Errorf("read the libraries that %s needs: %w", path, err)
	}
	for _, name := range names {
		if seen[name] {
			continue
		}
		seen[name] = true
		found, library := findLibrary(name, file, path, loader)
		if library == nil {
			// musl's libc is its loader, and the loader is there already. Else the loader will say
			// what it misses, by name.
			continue
		}
		err := errors.Join(p.copy(found, found), p.copyLibraries(library, found, loader, seen))
		// The loader reads in /proc where $ORIGIN is, and the jail has none. So what may have been
		// found by it is copied to /lib as well, where every loader looks.
		if strings.Contains(strings.Join(runpath(file), ":"), "ORIGIN") {
			err = errors.Join(err, p.copy(found, filepath.Join("/lib", filepath.Base(name))))
		}
		library.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// findLibrary looks for a library where the loader would (ld.so(8)), and opens it.
func findLibrary(name string, file *elf.File, path, loader string) (string, *elf.File) {
	var dirs []string
	for _, list := range runpath(file) {
		for _, origin := range []string{"$ORIGIN", "${ORIGIN}"} {
			list = strings.ReplaceAll(list, origin, filepath.Dir(path))
		}
		dirs = append(dirs, filepath.SplitList(list)...)
	}
	dirs = append(dirs, filepath.SplitList(os.Getenv("LD_LIBRARY_PATH"))...)
	dirs = append(dirs, configuredDirs()...)
	if real, err := filepath.EvalSymlinks(loader); err == nil {
		dirs = append(dirs, filepath.Dir(real)) // a C library and its loader lie side by side
	}
	dirs = append(dirs, "/lib", "/usr/lib", "/lib64", "/usr/lib64")
	if strings.Contains(name, "/") {
		dirs, name = []string{filepath.Dir(name)}, filepath.Base(name)
	}
	for _, dir := range dirs {
		found := filepath.Join(dir, name)
		library, err := elf.Open(found)
		if err != nil {
			continue
		}
		// The loader passes over libraries for another machine, and so do we.
		if library.Machine == file.Machine && library.Class == file.Class && filepath.IsAbs(found) {
			return found, library
		}
		library.Close()
	}
	return "", nil
}

// runpath returns the lists of directories that an ELF file itself names for its libraries.
func runpath(file *elf.File) []string {
	rpath, _ := file.DynString(elf.DT_RPATH) // no such entry, no directories
	runpath, _ := file.DynString(elf.DT_RUNPATH)
	return append(rpath, runpath...)
}

// configuredDirs returns the directories that the host's administrator has added for libraries.
func configuredDirs() []string {
	files, _ := filepath.Glob("/etc/ld.so.conf.d/*.conf") // the pattern is well formed: no error
	var dirs []string
	for _, name := range append(files, "/etc/ld.so.conf") {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // musl has none
		}
		for line := range strings.Lines(string(text)) {
			if dir := strings.TrimSpace(line); filepath.IsAbs(dir) && !slices.Contains(dirs, dir) {
				dirs = append(dirs, dir)
			}
		}
	}
	return dirs
}

// interpreter returns the loader that an ELF file asks for, or "" if it is static.
func interpreter(file *elf.File) string {
	for _, segment := range file.Progs {
		if segment.Type == elf.PT_INTERP {
			name, err := io.ReadAll(segment.Open())
			if err == nil {
				return strings.TrimRight(string(name), "\x00")
			}
		}
	}
	return ""
}

// shebang returns the interpreter of a script, or "" if the file isn't one (execve(2)).
func shebang(path string) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	line, _ := bufio.NewReader(io.LimitReader(file, 256)).ReadString('\n')
	line, script := strings.CutPrefix(line, "#!")
	if words := strings.Fields(line); script && len(words) > 0 {
		return words[0]
	}
	return ""
}

// copy copies one file of the host to a place in the jail, with its permissions. A link is
// followed: the copy is what it leads to.
func (p *picture) copy(path, target string) error {
	target = filepath.Join(p.jail(), target)
	if exists(target) {
		return nil
	}
	from, err := os.Open(path)
	if err != nil {
		return err
	}
	defer from.Close()
	info, err := from.Stat()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	to, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, info.Mode().Perm()|0o200)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, to.Close())
}
