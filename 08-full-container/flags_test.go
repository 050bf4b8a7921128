//go:build linux

// Each flag: what it does, and what it refuses.

package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	"jail-to-container/scripts/steptest"
)

// TestBadFlags gives values that make no sense. One line must say what would, and nothing is run.
func TestBadFlags(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ flags, says string }{
		{"-memory abc", "such as 64M"},
		{"-memory -5", "such as 64M"},
		{"-memory 9999999999G", "such as 64M"},
		{"-memory 4K", "at least 6M"},
		{"-pids 2", "from 20"},
		{"-pids 5000000", "to 4194304"},
		{"-pids x", "parse error"},
		{"-cpus 0", "from 0.01"},
		{"-cpus NaN", "from 0.01"},
		{"-cpus 0,5", "a number with a point was expected, such as 0.5"},
		{"-hostname a/b", "1 to 64 characters"},
		{"-hostname a\x1b[7m", "1 to 64 characters"},
		{"-hostname a\x9b7m", "1 to 64 characters"}, // ESC and [ in one byte, and no UTF-8
		{"-workdir here", "an absolute path"},
		{"-env =A", "K=V was expected"},
		{"-volume /tmp", "SRC:DST"},
		{"-volume /tmp:/x:rx", "SRC:DST"},
		{"-volume /tmp:/x:rw:ro", "SRC:DST"},
		{"-volume /no/such/path:/x", "no such file"},
		{"-volume /tmp:x", "DST must be an absolute path"},
		{"-volume /tmp:/a/..", "DST must be an absolute path"},
		{"-volume /tmp:/proc", "and not / or in /proc"},
		{"-volume /tmp:/sys/x", "and not / or in /proc"},
		{"-volume /tmp:/dev/", "and not / or in /proc"},
		{"-volume /tmp:/dev/null", "and not / or in /proc"},
		{"-root=", "a path was expected"},
		{"-root /no/such/root", "no such file"},
		{"-root /tmp -image x", "one of them"},
		{"-root " + file, "must be a directory"},
		{"-image /no/such/image", "no such file"},
		{"-net=perhaps", "true, false, none"},
		{"-publish 80", "two ports from 1 to 65535, such as 8080:80"},
		{"-publish 8080:", "two ports from 1 to 65535"},
		{"-publish :80", "two ports from 1 to 65535"},
		{"-publish 0:80", "two ports from 1 to 65535"},
		{"-publish 8080:0", "two ports from 1 to 65535"},
		{"-publish 8080:65536", "two ports from 1 to 65535"},
		{"-publish 65536:80", "two ports from 1 to 65535"},
		{"-publish 8080-8081:80-81", "two ports from 1 to 65535"},
		{"-publish localhost:8080:80", "an address, not a name, such as 127.0.0.1:8080:80"},
		{"-publish ::1:8080:80", "two ports from 1 to 65535"},
		{"-publish 8080:53/udp", "only TCP can be published"},
		{"-publish 8080:80/", "only TCP can be published"},
		{"-net=false -publish 8080:80", "a port needs the cable"},
		{"-without net -publish 8080:80", "a port needs the cable"},
	} {
		args := append(strings.Fields(c.flags), "echo", "the command ran")
		r := steptest.Caller().Run(t, args...)
		if r.Status != 125 || r.Stdout != "" || strings.Count(r.Stderr, "\n") != 1 {
			t.Errorf("%s: exit status %d, standard output %q, standard error %q",
				c.flags, r.Status, r.Stdout, r.Stderr)
		}
		steptest.Contains(t, r.Stderr, c.says)
	}
	r := steptest.Caller().Run(t, "-read-only")
	if r.Status != 125 {
		t.Errorf("flags without a command: %+v", r)
	}
	steptest.Contains(t, r.Stderr, "no COMMAND")
}

// TestParseSize reads sizes.
func TestParseSize(t *testing.T) {
	for text, want := range map[string]int{
		"1": 1, "64K": 64 << 10, "256m": 256 << 20, "1G": 1 << 30,
		"7b": 7, "64kB": 64 << 10, "256MB": 256 << 20, "256Mi": 256 << 20, "256MiB": 256 << 20,
		"256mib": 256 << 20, "1gb": 1 << 30, "1Gi": 1 << 30,
		"7i": 0, "7IB": 0, "7BM": 0, "7KM": 0, "MB": 0, "K7": 0, "7 M": 0, "\u00df\u00df": 0,
		"": 0, "M": 0, "0": 0, "-1": 0, "1.5G": 0, "1T": 0, "8589934592G": 0,
	} {
		if got, err := parseSize(text); got != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %d, %v, want %d", text, got, err, want)
		}
	}
}

// TestLimits sets each limit, and looks whether it holds, with the same command below it.
func TestLimits(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		hog := func(size string) []string {
			script := "head -c 40000000 /dev/zero | tail | wc -c"
			return []string{"-memory", size, "sh", "-c", script}
		}
		if out := u.Output(t, hog("256M")...); out != "40000000\n" {
			t.Errorf("within the limit: %q", out)
		}
		r := u.Run(t, hog("24M")...)
		if r.Stdout == "40000000\n" {
			t.Errorf("beyond the limit: %+v", r)
		}
		steptest.Contains(t, r.Stderr,
			"killed by the kernel, for more than 24 MiB of memory, written files included (")

		many := "i=0; while [ $i -lt 30 ]; do sleep 5 & i=$((i+1)); done; echo $i"
		if out := u.Output(t, "sh", "-c", many); out != "30\n" {
			t.Errorf("processes within the limit: %q", out)
		}
		r = u.Run(t, "-pids", "24", "sh", "-c", many)
		if r.Status == 0 || r.Stdout != "" {
			t.Errorf("processes beyond the limit: %+v", r)
		}
	})
}

// TestLimitsUnderUmask starts under the strictest umask. The container's root still reads its own
// limits.
func TestLimitsUnderUmask(t *testing.T) {
	defer unix.Umask(unix.Umask(0o077))
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		script := "umask; cd /sys/fs/cgroup; cat pids.max || cat pids/pids.max"
		r := u.Run(t, "-pids", "77", "sh", "-c", script)
		if r.Status != 0 || r.Stdout != "0022\n77\n" {
			t.Errorf("exit status %d, umask and limit: %q %q", r.Status, r.Stdout, r.Stderr)
		}
	})
}

// TestVolume shows a directory and a file of the host inside. There the user's own files belong to
// root, and can be written unless the volume is read-only. Where the kernel can't translate the
// file system's IDs, the host root's files belong to 65534 inside and can't be written.
func TestVolume(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		b := newBench(t, u)
		file := b.write(t, "file", []byte("hello\n"))
		if err := errors.Join(os.Chown(file, u.UID, u.GID()), os.Chmod(b.dir, 0o700)); err != nil {
			t.Fatal(err)
		}
		run := u.Program("-volume", b.dir+":/v", "-volume", file+":/one:ro", "sh", "-c",
			"cat /v/file /one; stat -c %u /v /one; echo new > /v/new && echo wrote")
		if u.UID == 0 && !shiftsIDs(t, b.dir) { // a tmpfs before Linux 6.3, all before 5.12
			r := steptest.Run(t, run)
			if want := "hello\n65534\n65534\n"; r.Stdout != want || exists(b.dir+"/new") ||
				strings.Count(r.Stderr, ": Permission denied\n") != 2 {
				t.Errorf("a volume whose owner isn't mapped: %+v, want %q", r, want)
			}
			return
		}
		out := steptest.Output(t, run)
		want := "hello\nhello\n0\n0\nwrote\n"
		if out != want {
			t.Errorf("a volume:\n%swant:\n%s", out, want)
		}
		info, err := os.Stat(filepath.Join(b.dir, "new"))
		if err != nil || int(info.Sys().(*syscall.Stat_t).Uid) != u.UID {
			t.Errorf("what was written inside, outside: %v, %v", info, err)
		}
		// Devices don't work in it, which the container's own do, nor do set-uid bits.
		r := u.Run(t, "-volume", "/dev/zero:/z", "sh", "-c",
			"grep ' /z ' /proc/self/mountinfo; head -c 1 /dev/zero | wc -c; head -c 1 /z")
		steptest.Contains(t, r.Stdout, "nosuid", "nodev", "\n1\n")
		steptest.Contains(t, r.Stderr, "Permission denied")
		r = u.Run(t, "-volume", b.dir+":/v:ro", "sh", "-c", "echo x > /v/x")
		steptest.Contains(t, r.Stderr, "Read-only file system")
		if exists(filepath.Join(b.dir, "x")) {
			t.Error("a read-only volume was written to")
		}
	})
}

// TestVolumeBelowVolume has a file system mounted in a volume, and one whose ids can't be shifted.
// The volume's own are, nevertheless, and read-only holds for both.
func TestVolumeBelowVolume(t *testing.T) {
	u := steptest.Caller()
	if u.UID != 0 {
		steptest.Skip(t, "only root can mount something in a volume: go test -exec sudo")
	}
	b := newBench(t, u)
	owner := "0"
	if !shiftsIDs(t, b.dir) {
		owner = "65534"
	}
	if err := os.Mkdir(b.dir+"/below", 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := u.Program("test:below", b.dir+"/below", "-volume", b.dir+":/v:ro", "sh", "-c",
		"stat -c %u /v; cat /v/below/file; touch /v/x; touch /v/below/x")
	cmd.SysProcAttr.Unshareflags = unix.CLONE_NEWNS
	r := steptest.Run(t, cmd)
	if want := owner + "\nbelow\n"; r.Stdout != want ||
		strings.Count(r.Stderr, "Read-only file system\n") != 2 {
		t.Errorf("%+v, want %q", r, want)
	}
}

// init adds what has a mount in a volume.
func init() {
	experiments["test:below"] = func(args []string) error {
		if err := mount("ramfs", args[0], "ramfs", 0, ""); err != nil {
			return err
		}
		if err := os.WriteFile(args[0]+"/file", []byte("below\n"), 0o644); err != nil {
			return err
		}
		cmd := self(args[1:]...)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		return cmd.Run()
	}
}

// TestSharedMounts runs where the host's mounts are "shared", as systemd makes them. What is
// mounted in a volume, or in the directory of -root, must not appear on the host, and what the host
// mounts there later must not appear inside: it wouldn't be read-only.
func TestSharedMounts(t *testing.T) {
	if os.Getuid() != 0 {
		steptest.Skip(t, "only root can make the host's mounts shared: go test -exec sudo")
	}
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		b := newBench(t, u)
		root := b.busyboxRoot(t)
		var err error
		for _, dir := range []string{"v", "v/over", "v/late", "w", "root/late"} {
			err = errors.Join(err, os.Mkdir(filepath.Join(b.dir, dir), 0o755))
		}
		if err != nil {
			t.Fatal(err)
		}
		for late, args := range map[string][]string{
			"v/late": {"-volume", b.dir + "/v:/v:ro", "-volume", b.dir + "/w:/v/over",
				"sh", "-c", "echo ready; read go; echo /v/late/*"},
			"root/late": {"-root", root,
				"busybox", "sh", "-c", "echo ready; read go; echo /late/*"},
		} {
			cmd := u.Program(args...)
			// Before it becomes the user, if it does.
			cmd.Args = append([]string{step, "test:shared", filepath.Join(b.dir, late)},
				cmd.Args[1:]...)
			cmd.SysProcAttr.Unshareflags = unix.CLONE_NEWNS
			want := "/" + strings.TrimPrefix(late, "root/") + "/*\n" +
				"the host's mounts are as before\n"
			// Where there is no overlayfs for it, standard error says that the root is read-only.
			if r := steptest.Run(t, cmd); r.Status != 0 || r.Stdout != want {
				t.Errorf("%q: %+v, want %q", args, r, want)
			}
		}
	})
}

// init adds test:shared, which makes all mounts of this mount namespace shared and starts the step.
// Once that is ready, it mounts something at a place, has the step's command look, and says whether
// the mounts are what they were.
func init() {
	experiments["test:shared"] = func(args []string) error {
		if err := mount("none", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
			return err
		}
		before, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			return err
		}
		cmd := self(args[1:]...)
		cmd.Args[0] = step
		p, _, err := start(cmd)
		if err != nil {
			return err
		}
		place := args[0]
		if err := errors.Join(mount("tmpfs", place, "tmpfs", 0, ""),
			os.WriteFile(place+"/came", nil, 0o644)); err != nil {
			return errors.Join(err, p.end())
		}
		_, err1 := fmt.Fprintln(p.stdin, "go")
		seen, err2 := p.listen()
		if err := errors.Join(err1, err2, p.end(), unix.Unmount(place, 0)); err != nil {
			return err
		}
		fmt.Println(seen)
		after, err := os.ReadFile("/proc/self/mountinfo")
		if string(after) == string(before) {
			fmt.Println("the host's mounts are as before")
		} else {
			fmt.Printf("the host's mounts are others now:\n%s", after)
		}
		return err
	}
}

// TestDirectoryAsStream passes a directory of the host as one of the standard streams, an escape.
// The control is step 03: its chapter shows the escape.
func TestDirectoryAsStream(t *testing.T) {
	directory, err := os.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	defer directory.Close()
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		for fd := range 3 {
			var stdout, stderr strings.Builder
			cmd := u.Program("ls", fmt.Sprintf("/proc/self/fd/%d/", fd))
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			want := fmt.Sprintf("standard stream %d is a directory", fd)
			switch fd {
			case 0:
				cmd.Stdin = directory
			case 1:
				cmd.Stdout = directory
			case 2:
				cmd.Stderr, want = directory, "" // where the error would be
			}
			_ = cmd.Run()
			if status := cmd.ProcessState.ExitCode(); status != 125 || stdout.String() != "" {
				t.Errorf("stream %d: exit status %d, %q, want that it is refused",
					fd, status, &stdout)
			}
			steptest.Contains(t, stderr.String(), want)
		}
	})
}

// TestVolumeTarget mounts volumes where the image has symbolic links. They lead nowhere but into
// the image, and not to what the container itself trusts.
func TestVolumeTarget(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		b := newBench(t, u)
		root := b.busyboxRoot(t)
		err := errors.Join(os.Mkdir(b.dir+"/v", 0o755), os.Mkdir(root+"/there", 0o755))
		for name, leads := range map[string]string{
			"link": "/there", "up": "../../there", "proc1": "/proc", "dev1": "dev", "top": "..",
		} {
			err = errors.Join(err, os.Symlink(leads, root+"/"+name))
		}
		if err != nil {
			t.Fatal(err)
		}
		b.write(t, "v/file", []byte("hello\n"))
		for target, leads := range map[string]string{
			"/link": "/there", "/up": "/there", "/top": "/",
			"/dev1": "/dev", "/dev1/pts": "/dev/pts", "/dev1/null": "/dev/null",
			"/proc1": "/proc", "/proc1/1": "/proc/1", "/proc1/self": "/proc/1",
		} {
			r := u.Run(t, "-root", root, "-volume", b.dir+"/v:"+target,
				"/bin/busybox", "cat", "/there/file")
			if leads == "/there" {
				if r.Status != 0 || r.Stdout != "hello\n" {
					t.Errorf("%s: %+v", target, r)
				}
				continue
			}
			if r.Status != 125 || r.Stdout != "" {
				t.Errorf("%s: %+v, want that it is refused", target, r)
			}
			steptest.Contains(t, r.Stderr, "it leads to "+leads+", which isn't for volumes")
		}
		for source, target := range map[string]string{"v": "/bin/busybox", "v/file": "/there"} {
			r := u.Run(t, "-root", root, "-volume", b.dir+"/"+source+":"+target, "/bin/busybox")
			if r.Status != 125 || r.Stdout != "" {
				t.Errorf("%s on %s: %+v, want that it is refused", source, target, r)
			}
			steptest.Contains(t, r.Stderr, "(is only one of the two a directory?)")
		}
	})
}

// shiftsIDs reports whether a mount of this directory can be an idmapped one. It asks the kernel by
// itself: an error in the step's own code must not look like a kernel that can't.
func shiftsIDs(t *testing.T, dir string) bool {
	t.Helper()
	cmd := self("test:hold")
	cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWUSER
	cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: 100_000, Size: 1}}
	cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: 100_000, Size: 1}}
	p, _, err := start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	defer p.end()
	users, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	defer users.Close()
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	tree, err := unix.OpenTree(unix.AT_FDCWD, dir, flags)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(tree)
	return unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &unix.MountAttr{
		Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(users.Fd()),
	}) == nil
}

// busyboxRoot makes a directory to run in, with one program.
func (b *bench) busyboxRoot(t *testing.T) string {
	t.Helper()
	busybox, err := os.ReadFile(steptest.Need(t, "busybox", "busybox-static"))
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(b.dir, "root")
	for _, name := range []string{"", "bin", "proc", "sys", "dev"} {
		err = errors.Join(err, os.Mkdir(filepath.Join(root, name), 0o755))
	}
	err = errors.Join(err, os.WriteFile(root+"/bin/busybox", busybox, 0o755))
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// TestRootDirectory runs in a directory. Nothing that is written inside gets there. Where there is
// no overlayfs for it, nothing can be written.
func TestRootDirectory(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		root := newBench(t, u).busyboxRoot(t)
		err := errors.Join(os.WriteFile(root+"/mark", []byte("here\n"), 0o644),
			os.Chown(root+"/mark", u.UID, u.GID()))
		if err != nil {
			t.Fatal(err)
		}
		// A name that is there, and one that isn't.
		script := "busybox cat /mark; echo inside >/mark; busybox cat /mark; " +
			"busybox mkdir /new && echo made"
		r := u.Run(t, "-root", root, "/bin/busybox", "sh", "-c", script)
		want := "here\ninside\nmade\n"
		switch {
		case !overlays(t):
			want = "here\nhere\n"
			steptest.Contains(t, r.Stderr,
				": the root is read-only\n", "/mark: Read-only file system\n")
		case u.UID == 0 && !shiftsIDs(t, root):
			want = "here\nhere\nmade\n" // root's files belong to 65534 inside
			steptest.Contains(t, r.Stderr, "/mark: Permission denied\n")
		case r.Stderr != "":
			t.Errorf("standard error: %q", r.Stderr)
		}
		if r.Stdout != want {
			t.Errorf("in the directory: %+v, want %q", r, want)
		}
		text, err := os.ReadFile(root + "/mark")
		if err != nil || string(text) != "here\n" || exists(root+"/new") {
			t.Errorf("the host's directory has changed: %q, %v", text, err)
		}
		if r := u.Run(t, "-root", root, "/no/such"); r.Status != 127 {
			t.Errorf("no such program in it: %+v", r)
		}
		// A link leads the container's /proc nowhere: it is covered by a directory, or refused.
		err = errors.Join(os.Remove(root+"/proc"), os.Symlink("dev", root+"/proc"))
		if err != nil {
			t.Fatal(err)
		}
		r = u.Run(t, "-root", root, "/bin/busybox", "readlink", "/proc")
		status := 1 // it is no link
		if !overlays(t) {
			status = 125
			steptest.Contains(t, r.Stderr, "a read-only root must have a directory /proc itself: ")
		}
		if r.Status != status || r.Stdout != "" {
			t.Errorf("with a link at /proc: %+v, want exit status %d", r, status)
		}
	})
}

// TestRootWithMountBelow runs in a directory that something is mounted in. It must be there inside,
// and so the root is read-only, which one line says; but what the container covers doesn't matter.
func TestRootWithMountBelow(t *testing.T) {
	if os.Getuid() != 0 {
		steptest.Skip(t, "only root can mount something on the host: go test -exec sudo")
	}
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		b := newBench(t, u)
		root := b.busyboxRoot(t)
		if err := os.Mkdir(root+"/data", 0o755); err != nil {
			t.Fatal(err)
		}
		run := func(below string) steptest.Result {
			cmd := u.Program("-net=false", "-root", root, "/bin/busybox", "sh", "-c",
				"busybox cat /data/file; busybox touch /x /data/x")
			// Before it becomes the user, if it does.
			cmd.Args = append([]string{step, "test:below", root + below}, cmd.Args[1:]...)
			cmd.SysProcAttr.Unshareflags = unix.CLONE_NEWNS
			return steptest.Run(t, cmd)
		}
		r := run("/data")
		if r.Stdout != "below\n" || strings.Count(r.Stderr, ": Read-only file system\n") != 2 {
			t.Errorf("a mount at /data: %+v", r)
		}
		line, _, _ := strings.Cut(r.Stderr, "\n")
		want := step + ": /data is a mount of its own: overlayfs can't be used here: " +
			"the root is read-only"
		if line != want {
			t.Errorf("it says %q, want %q", line, want)
		}
		// Nothing can be made in it: a link would lead the container's own mounts elsewhere.
		for _, name := range []string{"/proc", "/sys", "/dev"} {
			err := errors.Join(os.Remove(root+name), os.Symlink("data", root+name))
			if err != nil {
				t.Fatal(err)
			}
			r := run("/data")
			if r.Status != 125 || r.Stdout != "" {
				t.Errorf("a link at %s: %+v", name, r)
			}
			steptest.Contains(t, r.Stderr,
				"a read-only root must have a directory "+name+" itself: ")
			err = errors.Join(os.Remove(root+name), os.Mkdir(root+name, 0o755))
			if err != nil {
				t.Fatal(err)
			}
		}
		r = run("/dev")
		if u.UID == 0 && overlays(t) && strings.Contains(r.Stderr, "Read-only") {
			t.Errorf("a mount at /dev: %+v", r)
		}
		steptest.Contains(t, r.Stderr, "'/data/file': No such file or directory\n") // the control
	})
}

// TestRootsFlags compares how the root is mounted: no set-user-ID program and no device in it
// works, whatever it is made of, and whether it can be written to or not.
func TestRootsFlags(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		root := "-root=" + newBench(t, u).busyboxRoot(t)
		for want, flags := range map[string][]string{
			"/ rw,nosuid,nodev tmpfs":   {},
			"/ ro,nosuid,nodev tmpfs":   {"-read-only"},
			"/ rw,nosuid,nodev overlay": {root},
			"/ ro,nosuid,nodev overlay": {root, "-read-only"},
		} {
			if slices.Contains(flags, root) && !overlays(t) {
				continue // see TestRootDirectory
			}
			busybox := steptest.Need(t, "busybox", "busybox-static")
			if slices.Contains(flags, root) {
				busybox = "/bin/busybox"
			}
			out := u.Output(t, append(flags, busybox, "cat", "/proc/self/mountinfo")...)
			row := "none"
			for line := range strings.Lines(out) {
				switch place, r := steptest.MountRow(line); {
				case place == "/":
					row = r
				case place == "/usr" && !strings.HasPrefix(r, "/usr ro,nosuid"):
					t.Errorf("%q", r)
				}
			}
			if !strings.HasPrefix(row, want+" ") {
				t.Errorf("%q: %q, want %q", flags, row, want)
			}
		}
	})
}

// TestReadOnlyRoot writes to a root that can't be written to, and to one that can.
func TestReadOnlyRoot(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		script := "touch /x && echo wrote; touch /usr/x; touch /dev/shm/x && echo there"
		r := u.Run(t, "sh", "-c", script)
		steptest.Contains(t, r.Stderr, "Read-only file system\n")
		if r.Stdout != "wrote\nthere\n" || strings.Count(r.Stderr, "\n") != 1 {
			t.Errorf("without the flag: %+v", r)
		}
		r = u.Run(t, "-read-only", "sh", "-c", script)
		if r.Stdout != "there\n" {
			t.Errorf("with the flag: %+v", r)
		}
		if exists("/usr/x") {
			t.Error("it was written to the host's /usr")
		}
		// What is mounted there, and where the command starts, is made nevertheless.
		b := newBench(t, u)
		volume := b.dir + ":/made/volume"
		for _, run := range [][]string{
			{"sh", "-c", "pwd; cat /made/volume/file; touch /made/x /made/here/x"},
			{"-root", b.busyboxRoot(t), "/bin/busybox", "sh", "-c", "pwd; " +
				"busybox cat /made/volume/file; busybox touch /made/x /made/here/x"},
		} {
			b.write(t, "file", []byte("hello\n"))
			if run[0] == "-root" && !overlays(t) {
				continue // nothing can be made in it: see TestRootDirectory
			}
			r := u.Run(t, append([]string{"-read-only", "-volume", volume,
				"-workdir", "/made/here"}, run...)...)
			if r.Stdout != "/made/here\nhello\n" ||
				strings.Count(r.Stderr, "Read-only file system\n") != 2 {
				t.Errorf("%q: %+v", run, r)
			}
		}
	})
}

// TestNames sets what can be set by a word each.
func TestNames(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		script := "hostname; pwd; echo $X; ls /sys/class/net; grep box /etc/hosts; umask"
		out := u.Output(t, "-hostname", "box", "-workdir", "/a/b", "-env", "X=y z",
			"-net=false", "sh", "-c", script)
		want := "box\n/a/b\ny z\nlo\n127.0.1.1\tbox\n0022\n"
		if out != want {
			t.Errorf("got:\n%swant:\n%s", out, want)
		}
	})
}

// TestWithoutNet has a program talk to itself without a cable. Then it starts a container with one
// and a container without where a VPN has taken all addresses.
func TestWithoutNet(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		out := u.Output(t, "-net=false", "/proc/self/exe", "test:call-itself")
		if out != "lo: 0x9, and a call: ok\n" { // 0x8 would be down (linux/if.h)
			t.Error(out)
		}
	})
	if os.Getuid() != 0 {
		return // only root can run it on the real host
	}
	steptest.Ready(t, steptest.Root)
	for flag, want := range map[string]steptest.Result{
		"-net=false": {Stdout: "ran\n"},
		"-net": {Status: 125, Stderr: step + ": run a container: no four addresses are free: " +
			"this host has routes to all of [10.0.0.0/8 172.16.0.0/12 192.168.0.0/16] " +
			"(ip -4 route lists them; a VPN may have added them); " +
			"-net=false does without a cable\n"},
	} {
		cmd := steptest.Root.Program("test:no-addresses", flag, "echo", "ran")
		cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWNET
		if r := steptest.Run(t, cmd); r != want {
			t.Errorf("%s: %+v, want %+v", flag, r, want)
		}
	}
}

// init adds what TestWithoutNet runs.
func init() {
	experiments["test:call-itself"] = func([]string) error {
		flags, err := os.ReadFile("/sys/class/net/lo/flags")
		if err != nil {
			return err
		}
		port, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer port.Close()
		_, err = net.Dial("tcp4", port.Addr().String())
		fmt.Printf("lo: %s, and a call: %s\n", bytes.TrimSpace(flags), errno(err))
		return nil
	}
	experiments["test:no-addresses"] = func(args []string) error {
		n, err := dialNetlink(nil)
		if err != nil {
			return err
		}
		defer n.close()
		for _, p := range private {
			route := routeHeader(byte(p.Bits()))
			route[7] = unix.RTN_BLACKHOLE
			if _, err := n.request("ip route add blackhole", unix.RTM_NEWROUTE, create, route,
				attribute(unix.RTA_DST, p.Addr().AsSlice())); err != nil {
				return err
			}
		}
		return run(args)
	}
}

// TestLookUp finds users by what people write.
func TestLookUp(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		wanted := map[string]string{
			"": "0 0 /root []", "root": "0 0 /root []", "0:0": "0 0 /root []",
			"nobody": "65534 65534 / []", "7": "7 0 / []", "7:8": "7 8 / []",
			"root:nogroup": "0 65534 /root []",
			"nobodyelse":   "no such name", "-1": "no such name",
			"7:nogroups": "/etc/group has no nogroups",
		}
		args := slices.Collect(maps.Keys(wanted))
		out := u.Output(t, append([]string{"/proc/self/exe", "test:look-up"}, args...)...)
		if lines := strings.Count(out, "\n"); lines != len(wanted) {
			t.Errorf("%d answers to %d questions", lines, len(wanted))
		}
		for text, want := range wanted {
			answer := regexp.MustCompile(fmt.Sprintf("(?m)^%q: .*", text)).FindString(out)
			steptest.Contains(t, answer, want)
		}
	})
}

// init adds what these tests run inside.
func init() {
	experiments["test:look-up"] = func(args []string) error {
		for _, text := range args {
			uid, gid, home, groups, err := lookUp(text)
			if err != nil {
				fmt.Printf("%q: %v\n", text, err)
				continue
			}
			fmt.Printf("%q: %v %v %v %v\n", text, uid, gid, home, groups)
		}
		return nil
	}
}

// TestHelpHasAllFlags: the text is written by hand, so each flag must be found in it, and each line
// must fit into a terminal.
func TestHelpHasAllFlags(t *testing.T) {
	out := steptest.Caller().Output(t, "-h")
	for _, flag := range []string{
		"image FILE", "root DIR", "user UID", "workdir DIR", "env K=V", "hostname NAME", "tty ",
		"volume SRC:DST", "net ", "read-only ", "memory SIZE", "pids N", "cpus N", "pause ",
		"without WALL", "ps ", "exec PID",
	} {
		if !strings.Contains(out, "\n  -"+flag) {
			t.Errorf("no -%s in the help", flag)
		}
	}
	for line := range strings.Lines(out) {
		if len(line) > 81 {
			t.Errorf("%d columns: %s", len(line)-1, line)
		}
	}
	for _, name := range walls {
		if !strings.Contains(out, name) {
			t.Errorf("no wall %s in the help", name)
		}
	}
}

// TestWithoutLimits: no number is written for the CPU, since it could be more than the parent
// cgroup allows, and cgroup v1 refuses that.
func TestWithoutLimits(t *testing.T) {
	memory, pids, cpu := memoryLimit, pidsLimit, cpuLimit
	defer func() { memoryLimit, pidsLimit, cpuLimit = memory, pids, cpu }()
	if _, err := parseFlags([]string{"-without", "limits", "true"}); err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, s := range append(cgroup1{"/m", "/p", "/c"}.settings(), cgroup2{"/2"}.settings()...) {
		if strings.Contains(s.file, "quota") || strings.HasSuffix(s.file, "cpu.max") {
			got += s.value + ";"
		}
	}
	if got != "-1;max 100000;" {
		t.Errorf("quotas %q, want none", got)
	}
}

// TestNoCPULimit: in a cgroup without the controller cpu (see 07's TestOldSystemd), -cpus is an
// error.
func TestNoCPULimit(t *testing.T) {
	for listed, want := range map[string]string{
		"cpu memory pids\n": "<nil>",
		"memory pids\n":     "-cpus: %s has no controller cpu (",
	} {
		dir := t.TempDir()
		err := os.WriteFile(dir+"/cgroup.controllers", []byte(listed), 0o644)
		if err != nil {
			t.Fatal(err)
		}
		o := &options{}
		if err := o.parseCPUs("0.5"); err != nil {
			t.Fatal(err)
		}
		want = strings.ReplaceAll(want, "%s", dir)
		if got := fmt.Sprint(o.checkCPUs(cgroup2{dir + "/x"})); !strings.HasPrefix(got, want) {
			t.Errorf("with %q: %s, want %s", listed, got, want)
		}
	}
}
