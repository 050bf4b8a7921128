//go:build linux

// Paths that an image, a flag, or another container can influence.

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
	"jail-to-container/scripts/steptest"
)

// hostileRoot makes a root with symbolic links, and returns it.
func (b *bench) hostileRoot(t *testing.T, links map[string]string) string {
	t.Helper()
	root := b.busyboxRoot(t)
	err := os.Mkdir(filepath.Join(root, "etc"), 0o755)
	for name, leads := range links {
		err = errors.Join(err, os.Symlink(leads, filepath.Join(root, name)))
	}
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// openDirectory makes a directory that everybody may write to, and leaves it open.
func (b *bench) openDirectory(t *testing.T, name string) *os.File {
	t.Helper()
	dir := filepath.Join(b.dir, name)
	if err := errors.Join(os.Mkdir(dir, 0o755), os.Chmod(dir, 0o777)); err != nil {
		t.Fatal(err)
	}
	open, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { open.Close() })
	return open
}

// entriesOf lists what there is in a directory.
func entriesOf(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestInheritedDirectory has a directory of the host's open when the step starts, and paths that
// begin at that descriptor: the image's working directory, its link in a volume's target, and its
// /etc/passwd. The control is the same descriptor on the host. (CVE-2024-21626 in runc)
func TestInheritedDirectory(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		b := newBench(t, u)
		host := b.openDirectory(t, "host")
		b.write(t, "host/passwd", []byte("secret:x:0:0::/of-the-host:/bin/sh\n"))
		b.write(t, "file", []byte("hello\n"))
		root := b.hostileRoot(t, map[string]string{
			"data": "/proc/self/fd/9", "etc/passwd": "/proc/self/fd/9/passwd",
		})
		inherit := func(args ...string) steptest.Result {
			cmd := u.Program(append([]string{"-net=false", "-root", root}, args...)...)
			cmd.ExtraFiles = slices.Repeat([]*os.File{host}, 7) // descriptors 3 to 9
			return steptest.Run(t, cmd)
		}
		control := self("test:create", "/proc/self/fd/9/control")
		control.ExtraFiles = slices.Repeat([]*os.File{host}, 7)
		steptest.Output(t, control)
		if left := entriesOf(t, host.Name()); !slices.Equal(left, []string{"control", "passwd"}) {
			t.Fatalf("the control has made %q", left)
		}
		echo := []string{"/bin/busybox", "echo", "ran"}
		for _, args := range [][]string{
			{"-workdir", "/proc/self/fd/9/made"},
			{"-volume", host.Name() + ":/data/made"},
			{"-volume", b.dir + "/file:/data/made"},
			{"-user", "secret"},
		} {
			if r := inherit(append(args, echo...)...); r.Status != 125 || r.Stdout != "" {
				t.Errorf("%q: %+v, want exit status 125", args, r)
			}
		}
		// Without any of them the container starts, and knows nothing of the host's user.
		r := inherit("/bin/busybox", "sh", "-c", "echo $HOME")
		if r.Status != 0 || r.Stdout != "/\n" {
			t.Errorf("with a link at /etc/passwd: %+v", r)
		}
		if left := entriesOf(t, host.Name()); !slices.Equal(left, []string{"control", "passwd"}) {
			t.Errorf("the container has made %q in a directory of the host's", left)
		}
	})
}

// TestVolumeReachedByLink has a read-only volume, and links of the image to every descriptor that
// it may be open at while another volume's target is made.
func TestVolumeReachedByLink(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		b := newBench(t, u)
		kept := b.openDirectory(t, "kept").Name()
		b.write(t, "file", []byte("hello\n"))
		links := map[string]string{}
		for fd := range 24 {
			links[fmt.Sprintf("v%d", fd)] = fmt.Sprintf("/proc/self/fd/%d", fd)
		}
		root := b.hostileRoot(t, links)
		for name := range links {
			// The volumes come in the order of their depth: this one is the last.
			r := u.Run(t, "-net=false", "-root", root,
				"-volume", b.dir+"/file:/"+name+"/made",
				"-volume", kept+":/as/deep/as/this:ro", "/bin/busybox", "true")
			if r.Status != 125 && r.Status != 0 {
				t.Errorf("%s: %+v", name, r)
			}
		}
		if left := entriesOf(t, kept); len(left) > 0 {
			t.Errorf("made in a read-only volume: %q", left)
		}
	})
}

// TestVolumeFileTarget has a file as a volume, whose target another container has replaced with a
// link to a file of another volume. That file must stay what it is, at whatever moment that
// happens. And nothing is made where a link leads.
func TestVolumeFileTarget(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		b := newBench(t, u)
		b.openDirectory(t, "shared")
		b.openDirectory(t, "private")
		file := b.write(t, "file", []byte("the volume\n"))
		important := b.write(t, "private/important", []byte("important\n"))
		err := errors.Join(os.Symlink("/b/important", b.dir+"/shared/link"),
			os.Symlink("/b/made", b.dir+"/shared/dangling"))
		if err != nil {
			t.Fatal(err)
		}
		run := func(target string) steptest.Result {
			return u.Run(t, "-net=false", "-volume", file+":"+target,
				"-volume", b.dir+"/private:/b", "-volume", b.dir+"/shared:/a",
				"sh", "-c", "cat /b/important; cat "+target)
		}
		if r := run("/a/link"); r.Stdout != "the volume\nthe volume\n" {
			t.Errorf("mounted on what the link leads to: %+v", r)
		}
		r := run("/a/dangling")
		if r.Status != 125 {
			t.Errorf("a link that leads nowhere: %+v", r)
		}
		steptest.Contains(t, r.Stderr, "the symbolic link dangling -> /b/made leads nowhere")
		if r := run("/a/new"); r.Stdout != "important\nthe volume\n" {
			t.Errorf("a target that is made: %+v", r)
		}
		text, err := os.ReadFile(important)
		if err != nil || string(text) != "important\n" {
			t.Errorf("the other volume's file: %q, %v", text, err)
		}
		if left := entriesOf(t, b.dir+"/private"); !slices.Equal(left, []string{"important"}) {
			t.Errorf("in the other volume: %q", left)
		}
		// What the race comes down to: the name is a link when the file is to be made.
		err = makeAt(unix.AT_FDCWD, b.dir+"/shared/dangling", unix.S_IFREG)
		if !errors.Is(err, unix.EEXIST) {
			t.Errorf("make a file where a link is: %v", err)
		}
		link := b.dir + "/shared/outside"
		if err := os.Symlink(important, link); err != nil {
			t.Fatal(err)
		}
		if err := makeAt(unix.AT_FDCWD, link, unix.S_IFREG); !errors.Is(err, unix.EEXIST) {
			t.Errorf("make a file where a link to one is: %v", err)
		}
		if text, _ := os.ReadFile(important); string(text) != "important\n" {
			t.Errorf("the file behind the link is %q now", text)
		}
	})
}

// TestOpenInRoot follows links of every kind, none of them to where the kernel would follow a magic
// link: the control is a file that no name leads to.
func TestOpenInRoot(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	hidden, err := os.Create(dir + "/hidden")
	if err != nil {
		t.Fatal(err)
	}
	defer hidden.Close()
	magic := fmt.Sprint("/proc/self/fd/", hidden.Fd())
	err = errors.Join(os.Remove(hidden.Name()), os.MkdirAll(dir+"/a/b", 0o755),
		os.WriteFile(dir+"/a/f", nil, 0o644))
	for name, leads := range map[string]string{
		"absolute": dir + "/a", "relative": "a/b/../f",
		"up":    strings.Repeat("../", 40) + dir + "/a/f",
		"twice": "absolute/b", "loop": "loop", "dangling": "none", "magic": magic,
		"slash": dir + "//a///", "root": "/",
	} {
		err = errors.Join(err, os.Symlink(leads, filepath.Join(dir, name)))
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(magic); err != nil {
		t.Fatalf("the control: %v", err)
	}
	for path, want := range map[string]string{
		dir + "/absolute/f": dir + "/a/f", dir + "/relative": dir + "/a/f",
		dir + "/up":    dir + "/a/f",
		dir + "/twice": dir + "/a/b", dir + "/slash/f": dir + "/a/f", dir + "/root": "/",
		dir + "/a/../a/./f": dir + "/a/f", "/..": "/", "/": "/", dir[1:] + "/a": dir + "/a",
		dir + "/loop": "too many levels", magic: "leads nowhere", dir + "/none": "no such file",
		dir + "/dangling": "the symbolic link dangling -> none leads nowhere",
		dir + "/magic":    "the symbolic link magic -> " + magic + " leads nowhere",
		dir + "/a/f/x":    "not a directory",
	} {
		for _, kind := range []uint32{0, unix.S_IFREG, unix.S_IFDIR} {
			place, err := openInRoot(path, kind)
			if err != nil {
				if kind != 0 && path == dir+"/none" {
					t.Errorf("make %s: %v", path, err)
				}
				steptest.Contains(t, err.Error(), want)
				continue
			}
			got, err := os.Readlink(fmt.Sprint("/proc/self/fd/", place.Fd()))
			switch {
			case kind != 0 && path == dir+"/none":
				info, _ := os.Lstat(path)
				if info == nil || info.IsDir() != (kind == unix.S_IFDIR) {
					t.Errorf("made %s: %v", path, info)
				}
				err = errors.Join(err, os.Remove(path))
			case got != want:
				t.Errorf("%s leads to %s, want %s", path, got, want)
			}
			if err := errors.Join(err, place.Close()); err != nil {
				t.Error(err)
			}
		}
	}
	if made := entriesOf(t, dir+"/a"); !slices.Equal(made, []string{"b", "f"}) {
		t.Errorf("made: %q", made)
	}
}

// TestVolumesInVolumes gives volumes in the wrong order: the one below comes first.
func TestVolumesInVolumes(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		b := newBench(t, u)
		for _, name := range []string{"a", "b", "c"} {
			b.openDirectory(t, name)
			b.write(t, name+"/name", []byte(name))
		}
		out := u.Output(t, "-net=false", "-volume", b.dir+"/c:/v/b/c",
			"-volume", b.dir+"/b:/v/b", "-volume", b.dir+"/a:/v",
			"sh", "-c", "cat /v/name /v/b/name /v/b/c/name")
		if out != "abc" {
			t.Errorf("volumes in volumes: %q, want abc", out)
		}
	})
}

// TestOlderKernel has no mount_setattr(2), as before Linux 5.12: a volume gets its flags by another
// way, which must not leave out what is mounted in it.
func TestOlderKernel(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		b := newBench(t, u)
		b.openDirectory(t, "dir")
		file := b.write(t, "file", []byte("hello\n"))
		if err := os.Chmod(file, 0o666); err != nil { // or its mode alone would protect it
			t.Fatal(err)
		}
		cmd := u.Program("test:without", fmt.Sprint(unix.SYS_MOUNT_SETATTR), "-net=false",
			"-volume", b.dir+"/dir:/d", "-volume", b.dir+"/dir:/r:ro", "-volume", file+":/f:ro",
			"sh", "-c", "grep -E ' /[drf] ' /proc/self/mountinfo | cut -d ' ' -f 5,6,7; "+
				"touch /r/x /f; cat /f")
		if u.UID == 0 {
			cmd.SysProcAttr.Unshareflags = unix.CLONE_NEWNS // see test:without
		}
		r := steptest.Run(t, cmd)
		lines := strings.Split(r.Stdout, "\n")
		if len(lines) != 5 || lines[3] != "hello" {
			t.Fatalf("%+v", r)
		}
		for i, want := range []string{
			"/d rw,nosuid,nodev", "/r ro,nosuid,nodev", "/f ro,nosuid,nodev",
		} {
			if !strings.HasPrefix(lines[i], want) || strings.Contains(lines[i], "shared:") {
				t.Errorf("%q, want %q", lines[i], want)
			}
		}
		if strings.Count(r.Stderr, "Read-only file system") != 2 {
			t.Errorf("written to read-only volumes: %q", r.Stderr)
		}
	})
}

// init adds what these tests run in the program's place.
func init() {
	experiments["test:create"] = func(args []string) error {
		return os.WriteFile(args[0], nil, 0o644)
	}
	// test:without runs the program on a kernel without a system call. Root does so in a mount
	// namespace whose mounts are shared, as systemd makes them.
	experiments["test:without"] = func(args []string) error {
		var number uint32
		if _, err := fmt.Sscan(args[0], &number); err != nil {
			return err
		}
		program := []unix.SockFilter{
			{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the call's number
			{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: number, Jf: 1},
			{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)},
			{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		}
		var err error
		if os.Getuid() == 0 {
			err = mount("none", "/", "", unix.MS_REC|unix.MS_SHARED, "")
		} else {
			err = noNewPrivs() // without privileges, a filter takes the promise to get none
		}
		if err != nil {
			return err
		}
		fprog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
		if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER,
			uintptr(unsafe.Pointer(&fprog)), 0, 0); err != nil {
			return err
		}
		return unix.Exec("/proc/self/exe", append([]string{step}, args[1:]...), os.Environ())
	}
}
