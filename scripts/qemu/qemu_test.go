//go:build linux

// What can be tested without a machine.

package qemu

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// An entry is one of an archive, as TestArchive reads it.
type entry struct {
	name string
	mode uint64
	data string
}

// readArchive reads an archive, by the text in the kernel's documentation.
func readArchive(t *testing.T, text string) []entry {
	t.Helper()
	var all []entry
	padded := func(n int) int { return (n + 3) / 4 * 4 }
	for rest := text; rest != ""; {
		if !strings.HasPrefix(rest, "070701") || len(rest) < 110 {
			t.Fatalf("no header: %.20q", rest)
		}
		field := func(n int) int {
			number, err := strconv.ParseUint(rest[6+8*n:14+8*n], 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			return int(number)
		}
		name := rest[110 : 110+field(11)]
		data := rest[padded(110+field(11)):][:field(6)]
		all = append(all, entry{strings.TrimSuffix(name, "\x00"), uint64(field(1)), data})
		rest = rest[padded(110+field(11))+padded(field(6)):]
	}
	return all
}

// TestArchive writes an archive, and reads it.
func TestArchive(t *testing.T) {
	dir := t.TempDir()
	setuid := filepath.Join(dir, "setuid")
	if err := os.WriteFile(setuid, []byte("12345"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(setuid, 0o700|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	a := NewArchive(&out)
	a.Add("a/b/file", TypeFile|0o640, []byte("text"))
	a.Add("a/b/file", TypeFile|0o640, []byte("another"))
	a.Add("a/link", TypeLink|0o777, []byte("b/file"))
	a.File("bin/setuid", setuid)
	if err := a.Tree("data", filepath.Join(dir, "no such")); err != nil {
		t.Error(err)
	}
	if err := a.Tree("data", dir); err != nil {
		t.Error(err)
	}
	if err := a.End(); err != nil {
		t.Fatal(err)
	}
	want := []entry{
		{"a", 0o040755, ""}, {"a/b", 0o040755, ""}, {"a/b/file", 0o100640, "text"},
		{"a/link", 0o120777, "b/file"},
		{"bin", 0o040755, ""}, {"bin/setuid", 0o104755, "12345"},
		{"data", 0o040755, ""}, {"data/setuid", 0o104755, "12345"},
		{"TRAILER!!!", 0, ""},
	}
	if got := readArchive(t, out.String()); !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	a = NewArchive(&out)
	a.File("file", filepath.Join(dir, "no such"))
	a.Add("another", TypeFile, nil)
	if err := a.End(); !os.IsNotExist(err) {
		t.Errorf("without the file: %v", err)
	}
}

// TestPackages reads what apt says.
func TestPackages(t *testing.T) {
	list := "tool\n  Depends: libone\n    libone-other\n  Depends: <libvirtual>\n" +
		"libone\n<libvirtual>\nbash\n"
	wanted := func(name string) bool { return strings.HasPrefix(name, "lib") }
	got := choosePackages(list, []string{"tool"}, wanted)
	if !slices.Equal(got, []string{"tool", "libone"}) {
		t.Errorf("packages: %q", got)
	}
	uris := "Other Debian https://other.example/\nDebian Debian-Security https://sec.example/\n" +
		"Debian Debian https://deb.example/debian/\nDebian Debian https://second.example/\n"
	if got := firstMirror(uris); got != "https://deb.example/debian/" {
		t.Errorf("mirror: %q", got)
	}
	if got := firstMirror("Ubuntu Ubuntu https://ubuntu.example/\n"); got != "" {
		t.Errorf("mirror: %q", got)
	}
}

// TestCommand: a guest's first program gets the arguments after "--" and no other, so no kernel may
// be given an option that it doesn't know.
func TestCommand(t *testing.T) {
	for arch, want := range map[string]string{
		"amd64": "console=ttyS0 no_timer_check quiet panic=-1 mitigations=off " +
			"random.trust_cpu=on -- x",
		"arm64": "console=ttyAMA0 quiet panic=-1 mitigations=off random.trust_cpu=on -- x",
	} {
		args := Command(arch, false, 512, "kernel", InitramfsName, " -- x")
		if i := slices.Index(args, "-append"); args[i+1] != want {
			t.Errorf("%s: %q, want %q", arch, args[i+1], want)
		}
		if args[0] != Machines[arch].Program || !slices.Contains(args, "tcg,thread=multi") {
			t.Errorf("%s: %q", arch, args)
		}
	}
}
