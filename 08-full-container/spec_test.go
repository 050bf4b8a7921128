//go:build linux

// What goes into a spec.

package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"jail-to-container/scripts/steptest"
)

// TestImageFromStandardInput gives the image as a file. The command must not read it once more.
func TestImageFromStandardInput(t *testing.T) {
	busybox, err := os.ReadFile(steptest.Need(t, "busybox", "busybox-static"))
	if err != nil {
		t.Fatal(err)
	}
	// The last three are for kernels without overlayfs: there they can't be laid on top.
	layer := pack(dir("bin"), file("bin/busybox", string(busybox)).owned(0, 0, 0o755),
		dir("proc"), dir("sys"), dir("dev"))
	m := made{layers: [][]byte{layer}, change: func(o object) { o["config"] = imageConfig{} }}
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		b := newBench(t, u)
		input, err := os.Open(b.write(t, "image.tar", m.docker().pack()))
		if err != nil {
			t.Fatal(err)
		}
		defer input.Close()
		script := "busybox wc -c; busybox ls /bin"
		cmd := u.Program("-image", "-", "/bin/busybox", "sh", "-c", script)
		cmd.Stdin, cmd.Env = input, append(os.Environ(), "XDG_CACHE_HOME="+b.dir)
		if u.UID == 0 {
			t.Cleanup(func() { // root has one cache for all
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
		r := steptest.Run(t, cmd)
		if r.Status != 0 || r.Stdout != "0\nbusybox\n" || overlays(t) == (r.Stderr != "") {
			t.Errorf("the container: %+v", r)
		}
		if r.Stderr != "" {
			steptest.Contains(t, r.Stderr, ": the root is read-only\n")
		}
		// With a terminal that was asked for, it isn't nothing that comes in, but what is typed.
		if _, err := input.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		shell := u.Program("-image", "-", "-tty", "/bin/busybox", "sh")
		shell.Stdin, shell.Env = input, cmd.Env
		s := sit(t, shell).look()
		s.dialog("container# ", "busybox tty; exit 3\n", "/dev/pts/0")
		s.end(3)
	})
}

// TestSpecTravels sends a spec through its lines: every byte has to arrive, and lists of no words.
func TestSpecTravels(t *testing.T) {
	for name, s := range map[string]spec{
		"empty": {},
		"full": {
			Args:   []string{"sh", "-c", "echo \"a\"\n\ttrue", ""},
			Env:    []string{"A=1", "B=\xff\x00 \\"},
			Layers: []string{"/var/a b", "/var/\xc3("}, Dir: "/ä", User: "1:2", Hostname: "box",
			Dirs: []string{"/data", "/d 2"}, Memory: 48 << 20,
			ResolvConf: "nameserver 192.0.2.1\r\nsearch .\n", ReadOnly: true, TTY: true, Passed: 2,
			Volumes: []volume{{"/a", "/b", true, false}, {"/\"", "/`", false, false}},
		},
	} {
		text := string(s.encode())
		got, err := decode(text)
		if err != nil || !reflect.DeepEqual(*got, s) {
			t.Errorf("%s: %q became %+v, %v", name, text, got, err)
		}
		if strings.Contains(text, "\x00") {
			t.Errorf("%s: %q has a zero byte, which is to be its end", name, text)
		}
		for _, broken := range []string{"", text + "\n", text[:len(text)/2], text[:len(text)-1],
			"\"a\n" + text, strings.Replace(text, "\n", "x\n", 1),
			"\"a\"", "\"a\"\n"} {
			if s, err := decode(broken); err == nil {
				t.Errorf("%s: of %q decode makes %+v", name, broken, s)
			}
		}
	}
}

// TestUnique has variables of the same name, and half a million without a name, as an image may.
func TestUnique(t *testing.T) {
	for _, c := range []struct{ env, want []string }{
		{nil, nil},
		{[]string{"A=1", "B=1", "A=2", "C=1", "B="}, []string{"A=2", "C=1", "B="}},
		{[]string{"=1", "AB=1", "A=1", "=2"}, []string{"AB=1", "A=1", "=2"}},
		{[]string{"A", "A=1", "A", "B", "B"}, []string{"A=1", "A", "B", "B"}},
	} {
		if got := unique(c.env); !slices.Equal(got, c.want) {
			t.Errorf("of %q: %q, want %q", c.env, got, c.want)
		}
	}
	// An image may have a million. To compare each with all others would take go test's patience.
	if got := unique(make([]string, 1_000_000)); len(got) != 1_000_000 {
		t.Errorf("of a million without a name: %d", len(got))
	}
}

// TestBytes gives the command an argument and a variable that aren't UTF-8.
func TestBytes(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		r := u.Run(t, "-net=false", "-env", "B=b\xff",
			"sh", "-c", `printf "$0$B"`, "a\xfe")
		if r.Status != 0 || r.Stdout != "a\xfeb\xff" {
			t.Errorf("the container: %+v", r)
		}
	})
}
