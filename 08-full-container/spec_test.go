//go:build linux

// What a spec is made of.

package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestImageFromStandardInput gives the image as a file. The command must not read it once more.
func TestImageFromStandardInput(t *testing.T) {
	path, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("the image is a busybox: apt-get install busybox-static")
	}
	busybox, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// The last three are for kernels without overlayfs: there they can't be laid on top.
	layer := pack(dir("bin"), file("bin/busybox", string(busybox)).owned(0, 0, 0o755),
		dir("proc"), dir("sys"), dir("dev"))
	m := made{layers: [][]byte{layer}, change: func(o object) { o["config"] = imageConfig{} }}
	asEveryUser(t, func(t *testing.T, u user) {
		b := newBench(t, u)
		input, err := os.Open(b.write(t, "image.tar", m.docker().pack()))
		if err != nil {
			t.Fatal(err)
		}
		defer input.Close()
		script := "busybox wc -c; busybox ls /bin"
		cmd := program(u, "-image", "-", "/bin/busybox", "sh", "-c", script)
		cmd.Stdin, cmd.Env = input, append(os.Environ(), "XDG_CACHE_HOME="+b.dir)
		if u.uid == 0 {
			t.Cleanup(func() { // root's cache is everybody's
				id := strings.TrimPrefix(sum(layer), "sha256:")
				kept, err := filepath.Glob("/var/cache/jail-to-container/*/" + id)
				for _, dir := range kept {
					err = errors.Join(err, os.RemoveAll(dir))
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		r := finish(t, cmd)
		if r.status != 0 || r.stdout != "0\nbusybox\n" || overlays(t) == (r.stderr != "") {
			t.Errorf("the container: %+v", r)
		}
		if r.stderr != "" {
			contains(t, r.stderr, ": the root is read-only\n")
		}
		// With a terminal that was asked for, it isn't nothing that comes in, but what is typed.
		if _, err := input.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		shell := program(u, "-image", "-", "-tty", "/bin/busybox", "sh")
		shell.Stdin, shell.Env = input, cmd.Env
		s := sit(t, shell).look()
		s.dialog("container# ", "busybox tty; exit 3\n", "/dev/pts/0")
		s.end(3)
	})
}
