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
	"testing"

	"golang.org/x/sys/unix"
)

// TestOverlay writes to a root, or tries to, and looks at what became of the layer.
func TestOverlay(t *testing.T) {
	asEveryUser(t, func(t *testing.T, u user) {
		b := newBench(t, u)
		layers := b.image(t, layered([]item{
			dir("etc"), file("etc/name", "layer"), dir("d"), file("d/f", ""),
			symlink("proc", "/etc"),
		}).oci().pack()).Layers
		want := "write /etc/name ok\nmkdir /new ok\nremove /d ok\nmake /d anew ok\n" +
			"read /etc/name ok\nproc is a directory\n" +
			"write more than fits ENOSPC (no space left on device)\n"
		writable := want
		if !marksDirectories(t) {
			// A directory that is gone takes a mark that this kernel's tmpfs can't hold.
			writable = strings.NewReplacer("remove /d ok", "remove /d EIO (input/output error)",
				"make /d anew ok", "make /d anew EROFS (read-only file system)").Replace(want)
		}
		if got := b.look(t, layers, "rw", "test:write"); strings.Join(got, "\n")+"\n" != writable {
			t.Errorf("writable:\n%q\nwant:\n%q", got, writable)
		}
		readOnly := strings.NewReplacer(
			"write /etc/name ok", "write /etc/name EROFS (read-only file system)",
			"mkdir /new ok", "mkdir /new EROFS (read-only file system)",
			"remove /d ok", "remove /d EROFS (read-only file system)",
			"make /d anew ok", "make /d anew EROFS (read-only file system)",
			"write more than fits ENOSPC (no space left on device)",
			"write more than fits EROFS (read-only file system)").Replace(want)
		if got := b.look(t, layers, "ro", "test:write"); strings.Join(got, "\n")+"\n" != readOnly {
			t.Errorf("read-only:\n%q\nwant:\n%q", got, readOnly)
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
	asEveryUser(t, func(t *testing.T, u user) {
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
		for _, mode := range []string{"ro", "rw"} {
			got := b.look(t, layers, mode)
			last := fmt.Sprint(maxLayers - 1)
			if len(got) != len(want) || !strings.HasSuffix(got[len(got)-1], " "+last) {
				t.Errorf("%s: %d files, %q", mode, len(got), got[max(0, len(got)-1):])
			}
			for n := range got {
				got[n], _, _ = strings.Cut(got[n], " ")
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: %q", mode, got)
			}
		}
	})
}

// TestNoOverlay has layers that can't be, and kernels that can't.
func TestNoOverlay(t *testing.T) {
	for number, recognised := range map[unix.Errno]bool{
		unix.EPERM: true, unix.ENODEV: true, unix.EINVAL: false, unix.ENOMEM: false,
	} {
		err := whyNoOverlay(number)
		if !errors.Is(err, number) || errors.Is(err, errNoOverlay) != recognised {
			t.Errorf("%v: %v", number, err)
		}
	}
	asEveryUser(t, func(t *testing.T, u user) {
		b := newBench(t, u)
		file := b.write(t, "file", nil)
		for dir, why := range map[string]string{
			b.dir + "/none": "no such file or directory", file: "not a directory",
			"/proc": "is something mounted below a layer", // proc may not lie below an overlay
		} {
			text, err := json.Marshal([]string{dir})
			if err != nil {
				t.Fatal(err)
			}
			r := finish(t, program(u, "test:enter", string(text)))
			if r.status != 125 {
				t.Errorf("%s: exit status %d", dir, r.status)
			}
			contains(t, r.stderr, why)
			contains(t, r.stderr, "nothing is mounted on /tmp")
		}
	})
}

// marksDirectories reports whether a tmpfs has the attributes that overlayfs needs for its marks on
// directories: since Linux 6.6.
func marksDirectories(t *testing.T) bool {
	file, err := os.CreateTemp("/dev/shm", "lesson-")
	if err != nil {
		t.Skipf("no tmpfs to try attributes on: %v", err)
	}
	defer os.Remove(file.Name())
	defer file.Close()
	return unix.Fsetxattr(int(file.Fd()), "user.overlay.try", []byte("y"), 0) == nil
}

// init adds what these tests run in the program's place.
func init() {
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
