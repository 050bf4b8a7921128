//go:build linux

// Paths that an image, a flag, or another container can influence.

package main

import (
	"errors"
	"fmt"
	"net"
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

// openDirectory makes a directory that any user may write to, and leaves it open.
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

// TestHosts looks for the container's name in /etc/hosts: at the address that eth0 has, or on the
// loopback without one. A volume at that place stays as it is.
func TestHosts(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		b := newBench(t, u)
		mine := b.write(t, "hosts", []byte("192.0.2.1\tmine\n"))
		if err := os.Chmod(mine, 0o666); err != nil {
			t.Fatal(err)
		}
		const own = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n"
		for _, c := range []struct{ flags, want string }{
			{"-net=true", own + "%s\tbox\n"},
			{"-net=true -read-only", own + "%s\tbox\n"},
			{"-net=false", own + "127.0.1.1\tbox\n"},
			{"-net=true -volume " + mine + ":/etc/hosts", "192.0.2.1\tmine\n"},
		} {
			args := append(strings.Fields(c.flags), "-hostname", "box")
			out := u.Output(t, append(args, "/proc/self/exe", "test:hosts")...)
			address, hosts, _ := strings.Cut(out, "\n")
			want := strings.Replace(c.want, "%s", address, 1)
			if hosts != want || (address == "") != strings.Contains(c.flags, "-net=false") {
				t.Errorf("%s: eth0 has %q, hosts is %q, want %q", c.flags, address, hosts, want)
			}
		}
		if text, err := os.ReadFile(mine); err != nil || string(text) != "192.0.2.1\tmine\n" {
			t.Errorf("the volume is %q now, %v", text, err)
		}
	})
}

// TestRootSize compares the size of the root, which is memory, with the limit.
func TestRootSize(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		bytes := []string{"stat", "-f", "-c", "%b*%S", "/"}
		for flag, want := range map[string]string{"48M": "12288*4096", "2G": "524288*4096"} {
			args := []string{"-net=false", "-memory", flag}
			out := u.Output(t, slices.Concat(args, bytes, []string{"/tmp"})...)
			if os.Getpagesize() == 4096 && out != want+"\n"+want+"\n" {
				t.Errorf("-memory %s: / and /tmp have %q, want %s", flag, out, want)
			}
			if !overlays(t) || os.Getpagesize() != 4096 {
				continue
			}
			root := newBench(t, u).busyboxRoot(t)
			args = append(args, "-root", root, "/bin/busybox")
			out = u.Output(t, slices.Concat(args, bytes)...)
			if out != want+"\n" {
				t.Errorf("-memory %s -root: / has %q, want %s", flag, out, want)
			}
		}
	})
}

// TestCertificates has a host with certificates, with a link to them, and without any.
func TestCertificates(t *testing.T) {
	const file = "/etc/ssl/certs/ca-certificates.crt"
	script := "cat " + file + "; true"
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		host, err := os.ReadFile(file)
		r := u.Run(t, "-net=false", "sh", "-c", script)
		if r.Status != 0 || r.Stdout != string(host) {
			t.Errorf("as on this host (%v): %d bytes, want %d: %s", err, len(r.Stdout), len(host),
				r.Stderr)
		}
		for state, want := range map[string]string{
			"file": "certificates\n", "link": "certificates\n", "none": "",
		} {
			if u.UID != 0 {
				return // only root can make another host of this one
			}
			cmd := u.Program("test:etc", state, "-net=false", "sh", "-c", script)
			cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWNS
			if r := steptest.Run(t, cmd); r.Status != 0 || r.Stdout != want {
				t.Errorf("%s: %+v", state, r)
			}
		}
	})
}

// TestImageVolumes runs images with VOLUMEs, in a directory that a layer has and in others.
func TestImageVolumes(t *testing.T) {
	needsOverlay(t)
	busybox, err := os.ReadFile(steptest.Need(t, "busybox", "busybox-static"))
	if err != nil {
		t.Fatal(err)
	}
	layer := pack(dir("bin"), file("bin/busybox", string(busybox)).owned(0, 0, 0o755),
		dir("srv"), file("srv/kept", ""))
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		b := newBench(t, u)
		run := func(volumes map[string]struct{}, flags ...string) steptest.Result {
			m := made{layers: [][]byte{layer},
				change: func(o object) { o["config"] = imageConfig{Volumes: volumes} }}
			image := b.write(t, "image.tar", m.oci().pack())
			cmd := u.Program(append(flags, "-net=false", "-image", image, "/bin/busybox", "sh",
				"-c", "busybox find /srv /data /a | busybox sort; busybox stat -c %a:%u /data; "+
					"busybox touch /data/f && echo wrote")...)
			cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+b.dir)
			return steptest.Run(t, cmd)
		}
		volumes := map[string]struct{}{"/data": {}, "/a/b": {}, "/srv": {}, "/sys/fs/x": {}}
		const found = "/a\n/a/b\n/data\n/srv\n/srv/kept\n755:0\n"
		if r := run(volumes); r.Stdout != found+"wrote\n" || r.Status != 0 {
			t.Errorf("got %+v", r)
		}
		if r := run(volumes, "-read-only"); r.Stdout != found {
			t.Errorf("read-only: %+v", r)
		}
		if r := run(nil); r.Stdout != "/srv\n/srv/kept\n" {
			t.Errorf("the control, without: %+v", r)
		}
	})
}

// TestOlderKernel has no mount_setattr(2), as before Linux 5.12: a volume gets its flags by another
// way, which must not leave out what is mounted in it, and so do the host's programs.
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
			"sh", "-c", "rows() { grep -E \" /($1) \" /proc/self/mountinfo | cut -d' ' -f5-7; }\n"+
				"rows  '[drf]'; touch /r/x /f; cat /f; rows 'usr|bin'")
		if u.UID == 0 {
			cmd.SysProcAttr.Unshareflags = unix.CLONE_NEWNS // see test:without
		}
		r := steptest.Run(t, cmd)
		lines := strings.Split(r.Stdout, "\n")
		if len(lines) < 6 || lines[3] != "hello" {
			t.Fatalf("%+v", r)
		}
		for _, line := range lines[4 : len(lines)-1] {
			if path, flags, _ := strings.Cut(line, " "); !strings.HasPrefix(flags, "ro,nosuid") {
				t.Errorf("programs of the host at %s: %s", path, flags)
			}
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
	experiments["test:hosts"] = func([]string) error {
		address := ""
		if eth0, err := net.InterfaceByName("eth0"); err == nil {
			addresses, err := eth0.Addrs()
			if err != nil {
				return err
			}
			address, _, _ = strings.Cut(addresses[0].String(), "/")
		}
		text, err := os.ReadFile("/etc/hosts")
		fmt.Printf("%s\n%s", address, text)
		return err
	}
	experiments["test:etc"] = func(args []string) error {
		certs, crt := "/etc/ssl/certs", "/etc/ssl/certs/ca-certificates.crt"
		err := errors.Join(mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
			mount("tmpfs", "/etc", "tmpfs", 0, "mode=755"), os.MkdirAll(certs, 0o755))
		switch args[0] {
		case "file":
			err = errors.Join(err, os.WriteFile(crt, []byte("certificates\n"), 0o644))
		case "link":
			err = errors.Join(err, os.Symlink("../../bundle", crt),
				os.WriteFile("/etc/bundle", []byte("certificates\n"), 0o644))
		}
		if err != nil {
			return err
		}
		args[0] = step
		return unix.Exec("/proc/self/exe", args, os.Environ())
	}
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
