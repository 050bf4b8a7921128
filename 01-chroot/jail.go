//go:build linux

// The jail: the blog post's directories /home/{bin,joonho}, built for one run, and a keeper process
// that removes them when the run ends, however it ends. And what a program needs in the jail: a
// copy of itself and of every library that it names.

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

// jailTree is the directory and its keeper process.
type jailTree struct {
	dir    string
	keeper *helper
}

// startJailTree starts the keeper, which makes the directory.
func startJailTree() (*jailTree, error) {
	keeper := self("lesson:keep")
	// No Pdeathsig: the keeper has to outlive us. In its own session, Ctrl-C doesn't reach it.
	keeper.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	p, dir, err := start(keeper)
	return &jailTree{dir, p}, err
}

// jail is the directory that becomes "/".
func (p *jailTree) jail() string { return filepath.Join(p.dir, "home/joonho") }

// end tells the keeper to remove everything and waits for it. The keeper has printed its error, if
// any.
func (p *jailTree) end() { p.keeper.end() }

// keep is the keeper. It makes the directory, prints its path, and waits until its parent closes
// the other end of standard input: on purpose, or by dying, even of SIGKILL. (The directory stays
// only if the keeper itself is killed.)
func keep([]string) error {
	dir, err := os.MkdirTemp("", "jail-")
	if err != nil {
		return fmt.Errorf("%w (set TMPDIR=DIR to put temporary files elsewhere)", err)
	}
	// The real path, because that is what the kernel shows in /proc.
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return err
	}
	return errors.Join(waitForEOF(dir), endProcesses(dir), unmountBelow(dir), remove(dir))
}

// endProcesses kills every process whose root is still in dir, because nothing else would end them.
// It misses those that have escaped; only a PID namespace keeps hold of all its processes. A link
// that we can't read belongs to another user's process, so that process isn't ours.
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

// unmountBelow unmounts what root may have mounted in the jail: chroot doesn't forbid mounting. It
// goes from the last mount to the first, because later mounts lie on top.
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

// unescape restores the blanks in paths that mountinfo escapes.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// remove removes the directory unless something is mounted in it, because that could remove files
// that aren't ours.
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

// tools are copied into every jail, if the host has them.
var tools = []string{"sh", "ls", "cat", "ps", "mkdir", "id"}

// populate copies the tools and the command into the jail and returns the command with its path in
// the jail.
func (p *jailTree) populate(command []string) ([]string, error) {
	for _, dir := range []string{"bin", "etc", "tmp"} {
		if err := os.MkdirAll(filepath.Join(p.jail(), dir), 0o755); err != nil {
			return nil, err
		}
	}
	// It tells the dynamic loader about libraries outside the standard directories (ldconfig(8)).
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
	target := path // a command given as a path has the same path inside
	if !strings.Contains(name, "/") {
		target = "/bin/" + name
	}
	if err := p.install(path, target); err != nil {
		return nil, err
	}
	return append([]string{target}, command[1:]...), nil
}

// install copies a program into the jail with everything that it needs to start: the libraries of
// an ELF file, the interpreter of a script.
func (p *jailTree) install(path, target string) error {
	if exists(filepath.Join(p.jail(), target)) {
		return nil // otherwise a script that is its own interpreter would recurse for ever
	}
	if err := p.copy(path, target); err != nil {
		return err
	}
	if interpreter := shebang(path); interpreter != "" {
		return p.install(interpreter, interpreter)
	}
	file, err := elf.Open(path)
	if err != nil {
		// Neither a script nor ELF: leave it to the kernel to refuse it (ENOEXEC).
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
	if path, err = filepath.EvalSymlinks(path); err != nil { // $ORIGIN is its real directory
		return err
	}
	return p.copyLibraries(file, path, loader, map[string]bool{})
}

// copyLibraries copies the shared libraries that an ELF file names, and those that they name.
func (p *jailTree) copyLibraries(file *elf.File, path, loader string, seen map[string]bool) error {
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
			// musl's libc is its loader, which is there already. Any other missing library the
			// loader will report by name.
			continue
		}
		err := errors.Join(p.copy(found, found), p.copyLibraries(library, found, loader, seen))
		// The loader finds $ORIGIN through /proc, which the jail doesn't have. So we also copy a
		// library that may depend on $ORIGIN to /lib, where every loader looks.
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

// findLibrary looks for a library where the loader would (ld.so(8)), and opens it. To ask the
// loader itself (--list, as ldd(1) does) would be shorter, but run code of the program outside the
// jail: any library that it names as its auditor (rtld-audit(7)).
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
		dirs = append(dirs, filepath.Dir(real)) // the C library is next to its loader
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
		// The loader skips libraries for another machine, and so do we.
		if library.Machine == file.Machine && library.Class == file.Class && filepath.IsAbs(found) {
			return found, library
		}
		library.Close()
	}
	return "", nil
}

// runpath returns the lists of library directories that the ELF file itself names.
func runpath(file *elf.File) []string {
	rpath, _ := file.DynString(elf.DT_RPATH) // no such entry, no directories
	runpath, _ := file.DynString(elf.DT_RUNPATH)
	return append(rpath, runpath...)
}

// configuredDirs returns the library directories that the host's administrator has added.
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

// copy copies one of the host's files into the jail, with its permissions. It follows a link and
// copies the link's target.
func (p *jailTree) copy(path, target string) error {
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
