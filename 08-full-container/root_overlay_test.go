//go:build linux

// The overlay that a container gets for its root.

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	"jail-to-container/scripts/steptest"
)

// TestOverlay writes to a root, or tries to, and looks at what became of the layer.
func TestOverlay(t *testing.T) {
	needsOverlay(t)
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		b := newBench(t, u)
		layers := b.image(t, layered([]item{
			dir("etc"), file("etc/name", "layer"), dir("d"), file("d/f", ""),
			symlink("proc", "/etc"),
		}).oci().pack()).Layers
		want := "write /etc/name ok\nmkdir /new ok\nremove /d ok\nmake /d anew ok\n" +
			"read /etc/name ok\nproc is a directory\n" +
			"write more than fits ENOSPC (no space left on device)\n"
		if !keepsMarks(t, "/dev/shm") {
			// A directory that is gone takes a mark that this kernel's tmpfs can't hold.
			want = strings.NewReplacer("remove /d ok", "remove /d EIO (input/output error)",
				"make /d anew ok", "make /d anew EROFS (read-only file system)").Replace(want)
		}
		got := strings.Join(b.look(t, layers, "overlay", "test:write"), "\n") + "\n"
		if got != want {
			t.Errorf("got:\n%s\nwant:\n%s", got, want)
		}
		text, err := os.ReadFile(layers[0] + "/etc/name")
		if err != nil || string(text) != "layer" || exists(layers[0]+"/new") ||
			!exists(layers[0]+"/d/f") {
			t.Errorf("the layer has changed: %v %q", err, text)
		}
	})
}

// TestOverlayOfMany stacks as many layers as there may be, with names that mean something to mount.
func TestOverlayOfMany(t *testing.T) {
	needsOverlay(t)
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		b := newBench(t, u)
		var layers, want []string
		for n := range maxLayers {
			layer := filepath.Join(b.dir, fmt.Sprintf(`a:b,c\d %d`, n))
			name := fmt.Sprintf("%03d", n)
			err := errors.Join(os.Mkdir(layer, 0o755),
				os.WriteFile(filepath.Join(layer, name), []byte(name), 0o644),
				os.WriteFile(filepath.Join(layer, "all"), []byte(name), 0o644))
			if err != nil {
				t.Fatal(err)
			}
			layers = append(layers, layer)
			want = append(want, "/"+name)
		}
		want = append(want, "/all")
		got := b.look(t, layers, "overlay")
		last := fmt.Sprint(maxLayers - 1)
		if len(got) != len(want) || !strings.HasSuffix(got[len(got)-1], " "+last) {
			t.Errorf("%d files, %q", len(got), got[max(0, len(got)-1):])
		}
		for n := range got {
			got[n], _, _ = strings.Cut(got[n], " ")
		}
		if !slices.Equal(got, want) {
			t.Errorf("files: %q", got)
		}
	})
}

// TestNoOverlay has layers that can't be, and kernels that can't.
func TestNoOverlay(t *testing.T) {
	for number, recognised := range map[unix.Errno]bool{
		unix.EPERM: true, unix.ENODEV: true, unix.EINVAL: true, unix.ENOMEM: false,
	} {
		err := whyNoOverlay(number)
		if !errors.Is(err, number) || errors.Is(err, errNoOverlay) != recognised {
			t.Errorf("%v: %v", number, err)
		}
	}
	below := "is something mounted below a layer" // proc may not lie below an overlay
	if !overlays(t) {
		below = errNoOverlay.Error()
	}
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		b := newBench(t, u)
		file := b.write(t, "file", nil)
		for dir, why := range map[string]string{
			b.dir + "/none": "no such file or directory", file: "not a directory", "/proc": below,
		} {
			text, err := json.Marshal([]string{dir})
			if err != nil {
				t.Fatal(err)
			}
			r := u.Run(t, "test:enter", string(text), "overlay")
			if r.Status != 125 {
				t.Errorf("%s: exit status %d", dir, r.Status)
			}
			steptest.Contains(t, r.Stderr, why)
			steptest.Contains(t, r.Stderr, "nothing is mounted on /tmp")
		}
	})
}

// keepsMarks reports whether files in a directory can have the attributes that overlayfs needs for
// its marks: those of a tmpfs do since Linux 6.6.
func keepsMarks(t *testing.T, dir string) bool {
	t.Helper()
	file, err := os.CreateTemp(dir, "lesson-")
	if err != nil {
		steptest.Skip(t, "no place to try attributes in (%v): mount a tmpfs at /dev/shm", err)
	}
	defer os.Remove(file.Name())
	defer file.Close()
	err = unix.Fsetxattr(int(file.Fd()), "user.overlay.try", []byte("y"), 0)
	if err != nil && err != unix.EOPNOTSUPP {
		t.Fatalf("set an attribute of %s: %v", file.Name(), err)
	}
	return err == nil
}

// needsOverlay skips a test where there is no overlayfs for user namespaces.
func needsOverlay(t *testing.T) {
	t.Helper()
	if !overlays(t) {
		steptest.Skip(t,
			"this kernel has no overlayfs for user namespaces: run it on Linux 5.11 or later, "+
				"or after modprobe overlay")
	}
}

// overlays reports whether there is overlayfs for user namespaces. It asks the kernel by itself: an
// error in the step's own code must not look like a kernel that can't.
func overlays(t *testing.T) bool {
	t.Helper()
	cmd := self("test:overlays")
	cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWUSER | unix.CLONE_NEWNS
	cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
	cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	switch out := steptest.Output(t, cmd); out {
	case "ok\n":
		return true
	case "EPERM\n", "ENODEV\n":
		return false
	default:
		t.Fatalf("mounting an overlay: %q", out)
		return false
	}
}

// init adds what these tests run in the program's place.
func init() {
	// test:overlays is in a mount namespace that it makes private before it mounts anything.
	experiments["test:overlays"] = func([]string) error {
		err := errors.Join(unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
			unix.Mount("tmpfs", "/tmp", "tmpfs", 0, ""),
			os.Mkdir("/tmp/upper", 0o755), os.Mkdir("/tmp/lower", 0o755))
		if err != nil {
			return err
		}
		layers := "userxattr,lowerdir=/tmp/upper:/tmp/lower"
		err = unix.Mount("overlay", "/tmp", "overlay", 0, layers)
		fmt.Println(firstWord(errno(err)))
		return nil
	}
	experiments["test:write"] = func([]string) error {
		root := "/tmp"
		before, err := os.ReadFile(root + "/etc/name")
		if err != nil {
			return err
		}
		written := os.WriteFile(root+"/etc/name", []byte("container"), 0o644)
		fmt.Println("write /etc/name", errno(written))
		fmt.Println("mkdir /new", errno(os.Mkdir(root+"/new", 0o755)))
		fmt.Println("remove /d", errno(os.RemoveAll(root+"/d")))
		made := os.Mkdir(root+"/d", 0o755)
		if errors.Is(made, unix.EEXIST) {
			made = unix.EROFS // it could not be removed, as was said
		}
		fmt.Println("make /d anew", errno(made))
		after, err := os.ReadFile(root + "/etc/name")
		if string(after) != "container" && string(after) != string(before) {
			err = fmt.Errorf("read %q", after)
		}
		fmt.Println("read /etc/name", errno(err))
		info, err := os.Lstat(root + "/proc")
		if err == nil && info.IsDir() {
			fmt.Println("proc is a directory")
		}
		file, err := os.OpenFile(root+"/much", os.O_CREATE|os.O_WRONLY, 0o600)
		if err == nil {
			err = unix.Fallocate(int(file.Fd()), 0, 0, 2<<30)
		}
		fmt.Println("write more than fits", errno(err))
		return nil
	}
}
