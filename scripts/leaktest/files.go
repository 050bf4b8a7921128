//go:build linux

// The host's files: ways to reach, read and change them.

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// identify says which file there is at path.
func identify(path string) (identity, error) {
	var info unix.Stat_t
	if err := unix.Stat(path, &info); err != nil {
		return identity{}, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return identity{uint64(info.Dev), info.Ino}, nil
}

// hostFile looks for a file of the host under its own path.
func hostFile(f *facts) result {
	if holdsSecret(f.Secret, f.SecretSum) {
		return isLeak("read the secret at %s", f.Secret)
	}
	_, err := os.Stat(f.Secret)
	return isHeld("%s: %s", f.Secret, errno(err))
}

// chrootEscape is 01's escape (a). A second chroot, into a directory below, leaves the working
// directory above the root, and nothing holds back "..".
func chrootEscape(f *facts) result {
	if err := os.Chdir("/"); err != nil {
		return isHeld("chdir /: %s", errno(err))
	}
	below := ""
	for _, dir := range []string{"/tmp", "/dev", "/proc", "/etc", "/bin"} {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			below = dir
			break
		}
	}
	if below == "" {
		return cannot("there is no directory here to chroot into")
	}
	if err := unix.Chroot(below); err != nil {
		return isHeld("chroot %s: %s", below, errno(err))
	}
	if err := climb(); err != nil {
		return isHeld("climb: %v", err)
	}
	if err := unix.Chroot("."); err != nil {
		return isHeld("chroot . after the climb: %s", errno(err))
	}
	if holdsSecret(f.Secret, f.SecretSum) {
		return isLeak("climbed to the host's root and read %s", f.Secret)
	}
	return isHeld("chroot and climb succeed, and lead to the root of this mount namespace")
}

// climb goes up from the working directory until ".." leads nowhere new.
func climb() error {
	for {
		here, err := identify(".")
		if err != nil {
			return err
		}
		up, err := identify("..")
		if err != nil {
			return err
		}
		if here == up {
			return nil
		}
		if err := os.Chdir(".."); err != nil {
			return err
		}
	}
}

// maxDescriptor is how many descriptors are looked at: of a process just started few are open.
const maxDescriptor = 256

// inheritedDirectory is 01's escape (b), by a directory that was left open.
func inheritedDirectory(f *facts) result {
	directories := 0
	for fd := range maxDescriptor {
		var info unix.Stat_t
		if unix.Fstat(fd, &info) != nil || info.Mode&unix.S_IFMT != unix.S_IFDIR {
			continue
		}
		directories++
		if unix.Fchdir(fd) != nil || climb() != nil {
			continue
		}
		if holdsSecret(strings.TrimPrefix(f.Secret, "/"), f.SecretSum) {
			return isLeak("descriptor %d is a directory of the host: read %s", fd, f.Secret)
		}
	}
	return isHeld("%d directories among the open descriptors, none of the host", directories)
}

// inheritedFile reads from all descriptors that are files.
func inheritedFile(f *facts) result {
	files := 0
	for fd := range maxDescriptor {
		var info unix.Stat_t
		if unix.Fstat(fd, &info) != nil || info.Mode&unix.S_IFMT != unix.S_IFREG {
			continue
		}
		files++
		var text [messageSize]byte
		if n, err := unix.Pread(fd, text[:], 0); err == nil && sum(string(text[:n])) == f.OpenSum {
			return isLeak("descriptor %d is a file of the host with mode 0600: read it", fd)
		}
	}
	return isHeld("%d files among the open descriptors, none of the host", files)
}

// procRoot looks for the host's root through the links in /proc.
func procRoot(f *facts) result {
	proc, err := procDir()
	if err != nil {
		return cannot("%v", err)
	}
	pids, refused := processes(proc), 0
	for _, pid := range pids {
		root := filepath.Join(proc, pid, "root")
		if holdsSecret(root+f.Secret, f.SecretSum) {
			return isLeak("read /proc/%s/root%s", pid, f.Secret)
		}
		if _, err := os.Stat(root + "/"); errors.Is(err, os.ErrPermission) {
			refused++
		}
	}
	return isHeld("%d processes in /proc: %d roots refused, none has the host's files",
		len(pids), refused)
}

// fileHandle opens a file by the handle that the kernel knows it by. It needs no path, only any
// file on the same file system to begin with. This was Docker's first great escape ("shocker").
func fileHandle(f *facts) result {
	if why := f.Missing["handle"]; why != "" {
		return cannot("no handle: %s", why)
	}
	tried, last := 0, error(nil)
	for _, point := range append([]string{"/", "/usr", "/etc", "/tmp"}, mountPoints()...) {
		mount, err := unix.Open(point, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		tried++
		handle := unix.NewFileHandle(f.HandleType, f.Handle)
		fd, err := unix.OpenByHandleAt(mount, handle, unix.O_RDONLY|unix.O_CLOEXEC)
		unix.Close(mount)
		if errors.Is(err, unix.EPERM) {
			return isHeld("open_by_handle_at: EPERM")
		}
		if last = err; err != nil {
			continue
		}
		file := os.NewFile(uintptr(fd), "handle")
		text, _ := io.ReadAll(io.LimitReader(file, messageSize))
		file.Close()
		if sum(string(text)) == f.SecretSum {
			return isLeak("opened the host's file by its handle, from %s", point)
		}
	}
	if tried == 0 {
		return cannot("nothing here to begin with")
	}
	return isHeld("open_by_handle_at from %d places: %s", tried, errno(last))
}

// mountPoints are the places where something is mounted, at most 60.
func mountPoints() []string {
	text, _ := os.ReadFile("/proc/self/mountinfo") // then there are those that the caller knows
	var points []string
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 4 && len(points) < 60 {
			points = append(points, fields[4])
		}
	}
	return points
}

// mountedAtRoot says what a mount table (proc_pid_mountinfo(5)) has at "/": its device, and which
// directory of it.
func mountedAtRoot(table string) string {
	text, _ := os.ReadFile(table)
	found := ""
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 4 && fields[4] == "/" {
			found = fields[2] + " " + fields[3]
		}
	}
	return found
}

// mountTable looks whether a mount table here is the host's.
func mountTable(f *facts) result {
	proc, err := procDir()
	if err != nil {
		return cannot("%v", err)
	}
	if f.Root == "" {
		return cannot("the host's mount table couldn't be read")
	}
	seen := ""
	for _, pid := range []string{"self", "1"} {
		at := mountedAtRoot(filepath.Join(proc, pid, "mountinfo"))
		if at == f.Root {
			return isLeak("/proc/%s/mountinfo begins at the host's root, device %s", pid, at)
		}
		if at != "" {
			seen = at
		}
	}
	return isHeld("the root here is device %q, the host's %q", seen, f.Root)
}

// hostWrite looks for something of the host that may be written, and writes nothing.
func hostWrite(f *facts) result {
	if sameSecret := holdsSecret(f.Secret, f.SecretSum); sameSecret {
		if fd, err := unix.Open(f.Secret, unix.O_WRONLY|unix.O_CLOEXEC, 0); err == nil {
			unix.Close(fd)
			return isLeak("%s can be opened to write", f.Secret)
		}
	}
	if !sameFile("/usr", f.Usr) {
		return isHeld("no file of the host's is in sight: /usr is another one here")
	}
	err := unix.Faccessat(unix.AT_FDCWD, "/usr", unix.W_OK, unix.AT_EACCESS)
	if errors.Is(err, unix.EROFS) && privateMounts() == nil {
		// A process that may mount can try to clear the read-only flag, in a mount namespace of
		// its own. All other flags are kept, because some can't be cleared.
		var have unix.Statfs_t
		if err := unix.Statfs("/usr", &have); err != nil {
			return cannot("statfs /usr: %s", errno(err))
		}
		keep := uintptr(have.Flags) & (unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC)
		remount := unix.Mount("none", "/usr", "", unix.MS_REMOUNT|unix.MS_BIND|keep, "")
		if remount != nil {
			return isHeld("the host's /usr is read-only; to remount it: %s", errno(remount))
		}
		err = unix.Faccessat(unix.AT_FDCWD, "/usr", unix.W_OK, unix.AT_EACCESS)
		if err == nil {
			return isLeak("the host's /usr is read-only, and a remount makes it writable")
		}
		return isHeld("the host's /usr, remounted writable: %s", errno(err))
	}
	if err != nil {
		return isHeld("the host's /usr: %s", errno(err))
	}
	return isLeak("the host's /usr is writable")
}

// privateMounts gives this thread a mount namespace of its own, from which nothing gets out. In a
// chroot jail "/" is no mount, and can't be made private.
func privateMounts() error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return os.NewSyscallError("unshare(CLONE_NEWNS)", err)
	}
	return os.NewSyscallError("make / private",
		unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
}

// setUID looks whether a process that has given up root can have it back from a set-uid program.
func setUID(*facts) result {
	nnp, _ := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	if os.Geteuid() != 0 {
		return setUIDByRule(nnp)
	}
	program, err := os.ReadFile(os.Args[0])
	if err != nil {
		return cannot("%v", err)
	}
	found := setUIDIn("/tmp", program)
	if found.Verdict != leaks && nnp == 0 && privateMounts() == nil {
		// Perhaps only here. A process that may mount can make another place.
		if unix.Mount("tmpfs", "/tmp", "tmpfs", 0, "mode=1777") == nil {
			found = setUIDIn("/tmp", program)
			found.Evidence += ", on a tmpfs just mounted"
		}
	}
	if found.Verdict == na && nnp == 1 {
		return isHeld("no_new_privs is set (%s)", found.Evidence)
	}
	return found
}

// setUIDIn makes this program set-uid root in a directory and runs it as another user.
func setUIDIn(dir string, program []byte) result {
	path := fmt.Sprintf("%s/leaktest-%s", dir, random())
	defer os.Remove(path)
	err := os.WriteFile(path, program, 0o755)
	if err == nil {
		err = os.Chmod(path, 0o755|os.ModeSetuid)
	}
	if err != nil {
		return cannot("make a set-uid program: %v", err)
	}
	for _, uid := range []uint32{65534, 1} {
		cmd := exec.Command(path, "euid")
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Credential: &syscall.Credential{Uid: uid, Gid: uid, NoSetGroups: true},
		}
		cmd.Stdin = os.Stdin // or there would have to be a /dev/null
		out, err := cmd.Output()
		switch {
		case errors.Is(err, unix.EINVAL):
			continue // no such id in this user namespace
		case errors.Is(err, unix.EPERM):
			return cannot("this root may not become uid %d", uid)
		case err != nil:
			return cannot("run %s as uid %d: %v", path, uid, err)
		case strings.TrimSpace(string(out)) == "0":
			return isLeak("uid %d ran a set-uid program in %s and was uid 0 again", uid, dir)
		}
		return isHeld("uid %d ran a set-uid program in %s and stayed uid %s", uid, dir,
			strings.TrimSpace(string(out)))
	}
	return cannot("this user namespace has one ID: there is no other user to win root back")
}

// setUIDByRule is for those who aren't root. They can't make such a program, and one of the
// system's would do more than tell; but execve(2) says when the bit is honoured.
func setUIDByRule(nnp int) result {
	if nnp == 1 {
		return isHeld("no_new_privs is set")
	}
	for _, program := range []string{"su", "mount", "passwd", "newgrp", "chsh", "sudo"} {
		path := "/usr/bin/" + program
		var info unix.Stat_t
		var at unix.Statfs_t
		if unix.Stat(path, &info) != nil || unix.Statfs(path, &at) != nil ||
			info.Mode&unix.S_ISUID == 0 || info.Uid != 0 {
			continue
		}
		if at.Flags&unix.ST_NOSUID == 0 {
			return isLeak("%s is set-uid root, its mount not nosuid, no_new_privs not set", path)
		}
	}
	return cannot("no set-uid program in sight")
}

// printEUID is what the set-uid program does.
func printEUID([]string) error {
	fmt.Println(os.Geteuid())
	return nil
}

// someDevice chooses a device that a container has no business with: a disk if there is one that
// can be opened here (a cgroup may forbid that), else the kernel's log.
func someDevice() node {
	entries, _ := os.ReadDir("/dev")
	for _, entry := range entries {
		var info unix.Stat_t
		path := "/dev/" + entry.Name()
		if entry.Type()&os.ModeDevice == 0 || entry.Type()&os.ModeCharDevice != 0 ||
			unix.Stat(path, &info) != nil {
			continue
		}
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err == nil {
			unix.Close(fd)
			rdev := uint64(info.Rdev)
			return node{entry.Name(), unix.S_IFBLK, unix.Major(rdev), unix.Minor(rdev)}
		}
	}
	return node{"kmsg", unix.S_IFCHR, 1, 11}
}

// device tries to open a device of the host, by a node made here or found.
func device(f *facts) result {
	found := deviceIn("/tmp", f)
	if found.Verdict == leaks {
		return found
	}
	if fd, err := unix.Open("/dev/"+f.Device.Name, unix.O_RDONLY|unix.O_CLOEXEC, 0); err == nil {
		unix.Close(fd)
		return isLeak("/dev/%s can be opened to read", f.Device.Name)
	}
	// A mount can forbid devices (nodev). A process that may mount can make another one.
	if privateMounts() == nil && unix.Mount("tmpfs", "/tmp", "tmpfs", 0, "") == nil {
		fresh := deviceIn("/tmp", f)
		if fresh.Verdict == leaks {
			fresh.Evidence += ", on a tmpfs just mounted"
			return fresh
		}
	}
	return found
}

// deviceIn makes a node for the device in a directory, and opens it.
func deviceIn(dir string, f *facts) result {
	path := fmt.Sprintf("%s/leaktest-%s", dir, random())
	name := f.Device.Name
	number := int(unix.Mkdev(f.Device.Major, f.Device.Minor))
	if err := unix.Mknod(path, f.Device.Type|0o600, number); err != nil {
		return isHeld("mknod of %s: %s", name, errno(err))
	}
	defer os.Remove(path)
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return isHeld("a node for %s in %s is made, to open it: %s", name, dir, errno(err))
	}
	unix.Close(fd)
	return isLeak("made a node for the host's %s in %s, and opened it", name, dir)
}
