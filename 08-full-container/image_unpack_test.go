//go:build linux

// What becomes of an honest layer, of a hostile one, and of one whose unpacker dies.

package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"jail-to-container/scripts/steptest"
)

// owned sets the owner and the mode of an item.
func (i item) owned(uid, gid int, mode int64) item {
	i.Uid, i.Gid, i.Mode = uid, gid, mode
	return i
}

// noted adds an extended attribute.
func (i item) noted(xattr, value string) item {
	i.Format = tar.FormatPAX
	i.PAXRecords = map[string]string{"SCHILY.xattr." + xattr: value}
	return i
}

// layered is an image of layers that are made of these items.
func layered(layers ...[]item) made {
	var m made
	for _, items := range layers {
		m.layers = append(m.layers, pack(items...))
	}
	return m
}

// TestMetadata looks for owners, modes, times, links and xattrs, from inside and from the host.
func TestMetadata(t *testing.T) {
	// CAP_NET_RAW, effective and permitted, as setcap(8) writes it: version 2.
	ping := "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	m := layered([]item{
		dir("./").owned(0, 0, 0o755), dir("./tmp").owned(0, 0, 0o1777),
		dir("srv").owned(1000, 100, 0o2750),
		file("srv/mine", "word").owned(1000, 100, 0o640), file("srv/closed", "").owned(7, 7, 0),
		file("su", "").owned(0, 0, 0o4755), file("sg", "").owned(1000, 100, 0o6711),
		file("last", "").owned(65534, 65534, 0o600), hardlink("srv/same", "srv/mine"),
		symlink("absolute", "/srv/mine").owned(1000, 100, 0o777), symlink("up", "../../../etc"),
		hardlink("alike", "absolute"),
		{tar.Header{Name: "fifo", Typeflag: tar.TypeFifo, Mode: 0o600}, ""},
		device("null"), device("dev/null"), dir("late"), file("late/child", ""),
		file("ping", "").noted("security.capability", ping).owned(0, 0, 0o755),
		file("noted", "").noted("user.word", "mine"),
		dir("hidden").noted(opaqueXattr, "y"), file("implied/by/name", ""),
	})
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		b := newBench(t, u)
		i := b.image(t, m.docker().pack())
		got := b.look(t, i.Layers)
		want := []string{
			"/absolute Lrwxrwxrwx 1000:100 /srv/mine", "/alike Lrwxrwxrwx 1000:100 /srv/mine",
			"/fifo prw-------", "/hidden drwxr-xr-x", "/implied drwxr-xr-x",
			"/implied/by drwxr-xr-x", "/implied/by/name -rw-r--r-- ",
			"/last -rw------- 65534:65534 ", "/late drwxr-xr-x", "/late/child -rw-r--r-- ",
			"/noted -rw-r--r-- ", "/ping -rwxr-xr-x ",
			"/sg ugrwx--x--x 1000:100 ", "/srv dgrwxr-x--- 1000:100", "/srv/closed ---------- 7:7 ",
			"/srv/mine -rw-r----- 1000:100 word", "/srv/same -rw-r----- 1000:100 word",
			"/su urwxr-xr-x ", "/tmp dtrwxrwxrwx", "/up Lrwxrwxrwx ../../../etc",
		}
		first := u.UID
		_, err := fmt.Sscanf(filepath.Base(filepath.Dir(i.Layers[0])), "shifted-%d", &first)
		if u.UID == 0 && (shiftsIDs(t, b.dir) && overlaysIdmapped()) == (err == nil) {
			t.Errorf("the layers are in %s", i.Layers[0])
		}
		if !hasManyIDs(t, u) {
			// One id: all belongs to root, and nothing is set-uid or set-gid that wasn't root's.
			text := strings.NewReplacer(" 1000:100", "", " 7:7", "", " 65534:65534", "",
				" dgrwx", " drwx", " ugrwx", " -rwx").Replace(strings.Join(want, "\n"))
			want = strings.Split(text, "\n")
		}
		if !slices.Equal(got, want) {
			t.Errorf("inside:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		at := func(name string) string { return filepath.Join(i.Layers[0], name) }
		for _, name := range []string{"tmp", "srv", "srv/mine", "up", "fifo", "late", "ping"} {
			info, err := os.Lstat(at(name))
			if errors.Is(err, fs.ErrPermission) && u.UID != 0 {
				return // it belongs to a subordinate ID, not to this user
			}
			if err != nil || !info.ModTime().Equal(then) {
				t.Fatalf("%s: %v, %v", name, err, info)
			}
		}
		mine, err1 := os.Stat(at("srv/mine"))
		same, err2 := os.Stat(at("srv/same"))
		if err := errors.Join(err1, err2); err != nil || !os.SameFile(mine, same) {
			t.Errorf("srv/mine and srv/same aren't the same file: %v", err)
		}
		value := make([]byte, 64)
		n, err := unix.Getxattr(at("noted"), "user.word", value)
		without := unix.ENODATA
		if !keepsMarks(t, b.dir) {
			without = unix.EOPNOTSUPP // and a file is unpacked without what can't be kept
			if err != without {
				t.Errorf("xattr of noted: %v, want %v", err, without)
			}
		} else if err != nil || string(value[:n]) != "mine" {
			t.Errorf("xattr of noted: %v %q", err, value[:max(n, 0)])
		}
		_, err = unix.Getxattr(at("hidden"), opaqueXattr, value)
		if err != without {
			t.Errorf("overlayfs's own xattr, from an archive: %v, want %v", err, without)
		}
		// The kernel has noted whose root is meant: version 3 ends with that root's uid. In an
		// idmapped mount it is the file system's own root, and version 2 says the same.
		caps := make([]byte, 24)
		n, err = unix.Getxattr(at("ping"), "security.capability", caps)
		root := int(binary.LittleEndian.Uint32(caps[20:]))
		if err != nil || int(caps[3]) != 2+min(first, 1) || root != first {
			t.Errorf("file capabilities: %v %x, want root to be %d", err, caps[:max(n, 0)], first)
		}
	})
}

// hasManyIDs reports whether a user's container has more than one ID: root's does, and that of a
// user with subordinate IDs (subuid(5)).
func hasManyIDs(t *testing.T, u steptest.User) bool {
	t.Helper()
	// Of each line, the last number is how many.
	ids := strings.Fields(u.Output(t, "cat", "/proc/self/uid_map"))
	if len(ids) == 0 || len(ids)%3 != 0 {
		t.Fatalf("the container's ids: %q", ids)
	}
	many := len(ids) > 3 || ids[2] != "1"
	if u.UID == 0 && !many {
		t.Errorf("root's container has one id: %q", ids)
	}
	return many
}

// TestWhiteouts stacks two layers, and looks for what the upper one has left of the lower. On a
// file system that can't keep the marks it must be refused.
func TestWhiteouts(t *testing.T) {
	needsOverlay(t)
	lower := []item{
		file("a/x", "1"), file("a/y", "1"), file("b/x", "1"), file("b/y", "1"), file("c", "1"),
		file("d/x", "1"), file("e/x", "1"), file("f", "1"), file("g/x", "1"), file("h", "1"),
	}
	marks := []item{
		file(".wh.c", ""), file("a/.wh.x", ""), file("b/z", "2"), file("b/.wh..wh..opq", ""),
		// Gone and made anew, in either order; and not there at all.
		file(".wh.d", ""), file("d/new", "2"), file("e/new", "2"), file(".wh.e", ""),
		file("f", "2"), file(".wh.f", ""), file(".wh.g", ""), file("g", "2"),
		file("a/.wh.never", ""),
		// What aufs noted for itself.
		file(".wh..wh.aufs", ""), dir(".wh..wh.plnk"), file(".wh..wh.plnk/1.2", ""),
		// Where all is hidden, a mark would be one too many, and be seen.
		file("b/.wh.x", ""), file("d/.wh.x", ""),
	}
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		b := newBench(t, u)
		if !keepsMarks(t, b.dir) {
			b.refuses(t, layered(lower, marks).oci().pack(), "since Linux 6.6")
			return
		}
		i := b.image(t, layered(lower, marks).oci().pack())
		files := func(lines []string) []string {
			return slices.DeleteFunc(slices.Clone(lines), func(l string) bool {
				return strings.Contains(l, " d")
			})
		}
		want := []string{"/a/y 1", "/b/z 2", "/d/new 2", "/e/new 2", "/f 2", "/g 2", "/h 1"}
		for n := range want {
			want[n] = strings.Replace(want[n], " ", " -rw-r--r-- ", 1)
		}
		if got := files(b.look(t, i.Layers)); !slices.Equal(got, want) {
			t.Errorf("with marks: %q, want %q", got, want)
		}
		if got := files(b.look(t, i.Layers[:1])); len(got) != len(lower) {
			t.Errorf("the control, without the upper layer: %q", got)
		}
		// The same for the root: to the kernel, that is never opaque.
		opaque := []item{file(".wh..wh..opq", ""), file("all", "2")}
		i = b.image(t, layered(lower, opaque).oci().pack())
		if got := files(b.look(t, i.Layers)); !slices.Equal(got, []string{"/all -rw-r--r-- 2"}) {
			t.Errorf("below an opaque root: %q", got)
		}
	})
}

// TestWhiteoutOnOverlay unpacks to an overlayfs, such as a container's root, which refuses
// whiteouts.
func TestWhiteoutOnOverlay(t *testing.T) {
	needsOverlay(t)
	if os.Getuid() != 0 {
		steptest.Skip(t, "only root can mount something on the host: go test -exec sudo")
	}
	b := newBench(t, steptest.Root)
	for _, c := range []struct {
		item   item
		status int
		why    string
	}{
		{file("f", ""), 0, ""},
		{file(".wh.etc", ""), 125, ": operation not permitted (an overlayfs, such as a " +
			"container's root, can't hold a whiteout: XDG_CACHE_HOME=DIR unpacks"},
	} {
		archive := b.write(t, "archive", layered([]item{dir("etc")}, []item{c.item}).oci().pack())
		cmd := self("test:on-host", `mkdir -p tmp on; mount -t tmpfs none tmp
			mkdir tmp/lower tmp/upper tmp/work; cd tmp
			mount -t overlay none ../on -o lowerdir=lower,upperdir=upper,workdir=work`,
			"test:unpack", archive, filepath.Join(b.dir, "on/cache"))
		cmd.Dir = b.dir
		cmd.SysProcAttr.Unshareflags = unix.CLONE_NEWNS
		r := steptest.Run(t, cmd)
		if r.Status != c.status {
			t.Errorf("%s: exit status %d, want %d", c.item.Name, r.Status, c.status)
		}
		steptest.Contains(t, r.Stderr, c.why)
	}
}

// TestHostile unpacks layers that would write outside. A simple unpacker does, for a control. Some
// are refused; others are what an honest layer may hold as well, and stay within their directory.
func TestHostile(t *testing.T) {
	for name, c := range map[string]struct {
		// items gets the absolute path of the directory to be attacked, and a relative one.
		items func(outside, up string) []item
		why   string // "" if it is unpacked
	}{
		"..": {func(outside, up string) []item {
			return []item{file(up+"/new", "")}
		}, "a path that leads up"},
		".. within": {func(outside, up string) []item {
			return []item{dir("a"), file("a/../"+up+"/new", "")}
		}, "a path that leads up"},
		"absolute": {func(outside, up string) []item {
			return []item{file(outside+"/new", "")}
		}, ""},
		"parent is an absolute link": {func(outside, up string) []item {
			return []item{symlink("d", outside), file("d/new", "")}
		}, "that is no directory in this layer"},
		"parent is a file": {func(outside, up string) []item {
			return []item{file("d", ""), file(outside+"/new", ""), file("d/new", "")}
		}, "d is no directory in this layer"},
		"links in a circle": {func(outside, up string) []item {
			b := strings.Repeat("b", 250) // not counted, the links soon use up the budget for names
			return []item{file(outside+"/new", ""), symlink("a", b), symlink(b, "./a"),
				file("a/f", "")}
		}, "too many levels of symbolic links"},
		"parent is a relative link": {func(outside, up string) []item {
			return []item{symlink("d", up), file("d/new", "")}
		}, "that is no directory in this layer"},
		"a directory in it": {func(outside, up string) []item {
			return []item{symlink("d", up), dir("d/new")}
		}, "that is no directory in this layer"},
		"parent is a link to a link": {func(outside, up string) []item {
			return []item{symlink("e", outside), symlink("d", "e"), file("d/new", "")}
		}, "that is no directory in this layer"},
		"overwritten link": {func(outside, up string) []item {
			return []item{symlink("f", outside+"/canary"), file("f", "over")}
		}, ""},
		"link, and a directory of its name": {func(outside, up string) []item {
			return []item{symlink("d", outside), dir("d"), file("d/new", "")}
		}, ""},
		"directory, and a link of its name": {func(outside, up string) []item {
			return []item{dir("d"), symlink("d", outside), file("d/new", "")}
		}, "that is no directory in this layer"},
		"absolute hard link": {func(outside, up string) []item {
			return []item{hardlink("h", outside+"/canary"), file("h", "over")}
		}, "no such file or directory"},
		"hard link with ..": {func(outside, up string) []item {
			return []item{hardlink("h", up+"/canary"), file("h", "over")}
		}, "a path that leads up"},
		"hard link through a link": {func(outside, up string) []item {
			return []item{symlink("d", outside), hardlink("h", "d/canary"), file("h", "over")}
		}, "that is no directory in this layer"},
		"hard link to a link": {func(outside, up string) []item {
			return []item{symlink("s", outside+"/canary"), hardlink("h", "s"), file("h", "over")}
		}, ""},
		"whiteout of ..": {func(outside, up string) []item {
			return []item{file(".wh...", "")}
		}, `a whiteout of ".."`},
		"whiteout through a link": {func(outside, up string) []item {
			return []item{symlink("d", outside), file("d/.wh.canary", "")}
		}, "that is no directory in this layer"},
	} {
		t.Run(name, func(t *testing.T) {
			steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
				b := newBench(t, u)
				changed := func(outside string) bool {
					text, err := os.ReadFile(outside + "/canary")
					files, _ := os.ReadDir(outside)
					return err != nil || string(text) != "alive" || len(files) != 1
				}
				for _, outside := range []string{b.dir + "/n/outside", b.dir + "/outside"} {
					err := errors.Join(os.MkdirAll(outside, 0o777), os.Chmod(outside, 0o777),
						os.WriteFile(outside+"/canary", []byte("alive"), 0o666),
						os.Chmod(outside+"/canary", 0o666))
					if err != nil {
						t.Fatal(err)
					}
				}
				naive(pack(c.items(b.dir+"/n/outside", "../outside")...), b.dir+"/n/root")
				if !changed(b.dir + "/n/outside") {
					t.Error("the control: a simple unpacker isn't led astray")
				}
				archive := layered(c.items(b.dir+"/outside", "../../../../outside")).oci().pack()
				if c.why != "" {
					b.refuses(t, archive, c.why)
				} else {
					b.image(t, archive)
				}
				if changed(b.dir + "/outside") {
					t.Error("something was written outside")
				}
			})
		})
	}
}

// TestNamesOfTools has names as tools write them. The right trees are podman's (4.3.1, overlay).
func TestNamesOfTools(t *testing.T) {
	lower := []item{dir("d"), file("d/old", "1"), file("d/x", "1")}
	for name, c := range map[string]struct {
		items []item
		want  string // file names and contents
	}{
		"absolute": {
			[]item{dir("/"), dir("/a/"), file("/a/f", "2")},
			"/a/f=2 /d/old=1 /d/x=1",
		},
		"slashes and points": {
			[]item{file("//a//./f", "2"), dir("./")},
			"/a/f=2 /d/old=1 /d/x=1",
		},
		"..": {
			[]item{file("no/../a/f", "2"), file("d/../d/y", "2")},
			"/a/f=2 /d/old=1 /d/x=1 /d/y=2",
		},
		"hard links": {
			[]item{file("a/f", "2"), hardlink("g", "/a/f"), hardlink("a/h", "./no/../a/f")},
			"/a/f=2 /a/h=2 /d/old=1 /d/x=1 /g=2",
		},
		"below a link": {
			[]item{dir("a/.p/x@1"), symlink("a/x", ".p/x@1"),
				file("a/x/f", "2"), file("a/x/b/g", "2")},
			"/a/.p/x@1/b/g=2 /a/.p/x@1/f=2 /d/old=1 /d/x=1",
		},
		"below an absolute link": {
			[]item{dir("usr/lib"), symlink("lib", "/usr/lib"), file("lib/f", "2")},
			"/d/old=1 /d/x=1 /usr/lib/f=2",
		},
		"below a link that leads up": {
			[]item{dir("a/b"), symlink("a/b/l", "../../../../../a"), file("a/b/l/f", "2")},
			"/a/f=2 /d/old=1 /d/x=1",
		},
		"below links in a link's path": { // where b is, and not where its text is
			[]item{dir("a/b"), symlink("l", "a/b"), symlink("m", "l/.."), file("m/f", "2")},
			"/a/f=2 /d/old=1 /d/x=1",
		},
		"below 40 links": {chain(40), "/a/f=2 /d/old=1 /d/x=1"},
		"hard link by way of links": {
			[]item{file("a/f", "2"), symlink("l", "a"), hardlink("l/g", "l/f")},
			"/a/f=2 /a/g=2 /d/old=1 /d/x=1",
		},
		"whiteout by way of a link": {
			[]item{dir("d"), symlink("l", "d"), file("l/.wh.x", "")},
			"/d/old=1",
		},
		"opaque by way of a link": {
			[]item{dir("d"), symlink("l", "d"), file("l/.wh..wh..opq", ""), file("l/new", "2")},
			"/d/new=2",
		},
		"a directory in a link's place": {
			[]item{dir("a"), symlink("l", "a"), dir("l"), file("l/f", "2")},
			"/d/old=1 /d/x=1 /l/f=2",
		},
		"a link in a directory's place": {
			[]item{dir("a"), file("l/f", "2"), symlink("l", "a"), file("l/g", "2")},
			"/a/g=2 /d/old=1 /d/x=1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			needsOverlay(t)
			steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
				b := newBench(t, u)
				if strings.Contains(name, "by way of") && !keepsMarks(t, b.dir) {
					steptest.Skip(t,
						"this file system can't keep a layer's marks: set TMPDIR to another")
				}
				var got []string
				layers := b.image(t, layered(lower, c.items).oci().pack()).Layers
				for _, line := range b.look(t, layers) {
					if fields := strings.Fields(line); fields[1] == "-rw-r--r--" {
						got = append(got, fields[0]+"="+fields[2])
					}
				}
				if text := strings.Join(got, " "); text != c.want {
					t.Errorf("files %q, want %q", text, c.want)
				}
			})
		})
	}
	ownBench(t).refuses(t, layered(chain(41)).oci().pack(), "too many levels of symbolic links")
}

// chain is a directory a, a chain of links that leads to it, and a file whose path goes through all
// of them.
func chain(links int) []item {
	items := []item{dir("a")}
	for n := range links {
		items = append(items, symlink(fmt.Sprint("l", n), fmt.Sprint("l", n+1)))
	}
	items[links].Linkname = "a"
	return append(items, file("l0/f", "2"))
}

// naive unpacks a layer as one would at first.
func naive(layer []byte, root string) {
	place := func(name string) string {
		if filepath.IsAbs(name) {
			return name
		}
		return filepath.Join(root, name)
	}
	_ = os.MkdirAll(root, 0o777)
	for reader := tar.NewReader(bytes.NewReader(layer)); ; {
		header, err := reader.Next()
		if err != nil {
			return
		}
		name := place(header.Name)
		gone, whiteout := strings.CutPrefix(filepath.Base(name), ".wh.")
		switch {
		case whiteout:
			_ = os.RemoveAll(filepath.Join(filepath.Dir(name), gone))
		case header.Typeflag == tar.TypeDir:
			_ = os.MkdirAll(name, 0o777)
		case header.Typeflag == tar.TypeSymlink:
			_ = os.RemoveAll(name)
			_ = os.Symlink(header.Linkname, name)
		case header.Typeflag == tar.TypeLink:
			_ = os.Link(place(header.Linkname), name)
		default:
			text, _ := io.ReadAll(reader)
			_ = os.WriteFile(name, text, 0o666)
		}
	}
}

// TestOwners has files of owners that aren't there.
func TestOwners(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		many := hasManyIDs(t, u)
		first := int64(65536)
		if u.UID != 0 {
			first++ // of the IDs inside, one is the user's own
		}
		for _, uid := range []int64{first, 1 << 21, -1, math.MaxUint32, 1 << 32} {
			if int64(int(uid)) != uid {
				continue // on a 32-bit machine no archive/tar reads that
			}
			i := file("f", "").owned(int(uid), 0, 0o4755)
			i.Format = tar.FormatGNU
			archive, b := layered([]item{i}).oci().pack(), newBench(t, u)
			if many {
				b.refuses(t, archive, fmt.Sprintf(`"f": it belongs to %d:0, and`, uid))
			} else if got := b.look(t, b.image(t, archive).Layers); got[0] != "/f -rwxr-xr-x" {
				t.Errorf("with one id: %q", got)
			}
		}
	})
}

// TestOddNames has names that are too long, too deep, or none.
func TestOddNames(t *testing.T) {
	b := ownBench(t)
	for name, why := range map[string]string{
		strings.Repeat("d/", maxDepth) + "f":   "",
		strings.Repeat("d/", maxDepth+1) + "f": "file name too long",
		strings.Repeat("d/", 2*maxName) + "f":  "file name too long",
		strings.Repeat("n", 255):               "",
		strings.Repeat("n", 256):               "file name too long",
		".":                                    "the layer's root must be a directory",
		"/.":                                   "the layer's root must be a directory",
		"/../f":                                "a path that leads up",
		"d/../../f":                            "a path that leads up",
		"..f/..":                               "the layer's root must be a directory",
		".wh.":                                 `a whiteout of ""`,
		"a\nb":                                 "",
		strings.Repeat("./", 100) + "a//b/./c": "",
		"d/.wh..":                              `a whiteout of "."`,
		strings.Repeat("d/", maxDepth-3) + ".wh.gone": "",
	} {
		if archive := layered([]item{file(name, "")}).oci().pack(); why != "" {
			b.refuses(t, archive, why)
		} else {
			b.image(t, archive)
		}
	}
}

// TestLinksCost has names that are short, and long by way of a link.
func TestLinksCost(t *testing.T) {
	b, deep := ownBench(t), strings.Repeat("d/", 200)
	for depth, why := range map[int]string{57: "", 58: "file name too long"} {
		archive := layered([]item{dir(deep), symlink("l", deep),
			file("l/"+strings.Repeat("d/", depth)+"f", "")}).oci().pack()
		if why != "" {
			b.refuses(t, archive, why)
		} else {
			b.image(t, archive)
		}
	}
	// In memory are a, l and l/f; to look at l and a; and a/f.
	for names, want := range map[int64]string{10: "", 9: "too many bytes in names"} {
		root, err := os.OpenRoot(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		left := budget{maxBytes, maxBytes, maxEntries, names}
		layer := bytes.NewReader(pack(dir("a"), symlink("l", "a"), file("l/f", "")))
		err = unpackLayer(layer, root, false, &left)
		if fmt.Sprint(err) != "<nil>" && (want == "" || !strings.Contains(err.Error(), want)) ||
			err == nil && want != "" {
			t.Errorf("with %d bytes: %v, want %q", names, err, want)
		}
	}
}

// TestTimes has times that not every file system has, and that 64 bits of nanoseconds don't have.
// touch(1) gets the nearest ones.
func TestTimes(t *testing.T) {
	b := ownBench(t)
	if err := exec.Command("touch", "-d", "@-1", b.write(t, "old", nil)).Run(); err != nil {
		steptest.Skip(t, "this touch has no times before 1970: apt-get install coreutils")
	}
	for _, seconds := range []int64{0, -1, -300_000_000, 1 << 32, 15_000_000_000, 253_402_300_799,
		-11_676_096_000} {
		var items []item
		for _, i := range []item{file("f", ""), dir("d"), symlink("l", "f")} {
			i.ModTime, i.Format = time.Unix(seconds, 0), tar.FormatPAX
			items = append(items, i)
		}
		control := b.write(t, "control", nil)
		touch := exec.Command("touch", "-d", fmt.Sprintf("@%d", seconds), control)
		if out, err := touch.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		want, err := os.Stat(control)
		if err != nil {
			t.Fatal(err)
		}
		layer := b.image(t, layered(items).oci().pack()).Layers[0]
		for _, name := range []string{"f", "d", "l"} {
			info, err := os.Lstat(filepath.Join(layer, name))
			if err != nil || !info.ModTime().Equal(want.ModTime()) {
				t.Errorf("%d of %s: %v, %v, want %v", seconds, name, info, err, want.ModTime())
			}
		}
	}
}

// TestMakeWay lets a file take the place of a directory. What was in that must be gone from the
// list of directories, and to find it, not all of that may be looked through, which may be long.
func TestMakeWay(t *testing.T) {
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	tr := &tree{root: root, dirs: map[string]time.Time{".": {}},
		left: &budget{maxBytes, maxBytes, maxEntries, maxNames}}
	add := func(items ...item) {
		for _, i := range items {
			i.Typeflag = max(i.Typeflag, tar.TypeReg)
			if err := tr.add(&i.Header, strings.NewReader("")); err != nil {
				t.Fatal(err)
			}
		}
	}
	add(dir("t"), dir("t/a"), dir("t/a/b"), dir("t/\xff"), file("t/file", ""))
	tr.dirs["t/nowhere"] = then // not on the disk, so only who looks through all of dirs finds it
	add(file("t", ""))
	var left []string
	for name := range tr.dirs {
		left = append(left, name)
	}
	slices.Sort(left)
	if want := []string{".", "t/nowhere"}; !slices.Equal(left, want) {
		t.Errorf("directories that are known: %q, want %q", left, want)
	}
}

// endless is a tar that has the same entry again and again.
type endless struct{ block []byte }

func (e endless) Read(p []byte) (int, error) { return copy(p, e.block), nil }

// TestBudget unpacks what is larger than allowed, and what is just not.
func TestBudget(t *testing.T) {
	into := func() *os.Root {
		root, err := os.OpenRoot(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { root.Close() })
		return root
	}
	refused := func(err error, what string) {
		t.Helper()
		if err == nil || !strings.HasSuffix(err.Error(), "too many "+what+" for one image") {
			t.Errorf("error %v, want that there are too many %s", err, what)
		}
	}
	full := budget{read: maxBytes, written: maxBytes, entries: maxEntries, names: maxNames}
	left := full
	refused(unpackLayer(endless{pack(device("null"))[:512]}, into(), false, &left), "files")

	items := []item{file("a/b/c", "12345"), file("d", "67890")}
	for _, c := range []struct {
		left budget
		what string // there is too much of
	}{
		{budget{3072, 10, 4, 6}, ""},
		{budget{3071, 10, 4, 6}, "bytes to read"},
		{budget{3072, 9, 4, 6}, "bytes in files"},
		{budget{3072, 10, 3, 6}, "files"},
		{budget{3072, 10, 4, 5}, "bytes in names"},
	} {
		layer := pack(items...)
		s := sha256.Sum256(layer)
		blob := layerBlob{diffID: digest(hex.EncodeToString(s[:])),
			content: io.NewSectionReader(bytes.NewReader(layer), 0, int64(len(layer)))}
		err := unpackBlob(blob, "", filepath.Join(t.TempDir(), "layer"), false, &c.left)
		if c.what == "" && err != nil {
			t.Errorf("the control: %v", err)
		} else if c.what != "" {
			refused(err, c.what)
		}
	}
	// A megabyte of zeros behind the end of the tar makes a kilobyte of gzip.
	bomb := zip(append(pack(items...), make([]byte, 1<<20)...))
	blob := layerBlob{content: io.NewSectionReader(bytes.NewReader(bomb), 0, int64(len(bomb)))}
	left = budget{1 << 20, 1 << 20, 10, 100}
	refused(unpackBlob(blob, "", filepath.Join(t.TempDir(), "layer"), false, &left),
		"bytes to read")

	archive := zip(append(small().oci().pack(), make([]byte, 1<<20)...))
	for limit, why := range map[int64]string{1 << 20: "more than 1048576 bytes", 2 << 20: ""} {
		_, err := openArchive(bytes.NewReader(archive), int64(len(archive)), t.TempDir(), limit)
		if fmt.Sprint(err) != "<nil>" && (why == "" || !strings.HasSuffix(err.Error(), why)) ||
			err == nil && why != "" {
			t.Errorf("an archive of 1 MiB and more, with a limit of %d: %v", limit, err)
		}
	}
}

// TestGiant has a file that is said to be larger than any disk, and one that is all hole.
func TestGiant(t *testing.T) {
	var claimed bytes.Buffer
	w := tar.NewWriter(&claimed)
	h := tar.Header{Name: "f", Typeflag: tar.TypeReg, Mode: 0o644, Size: math.MaxInt64 - 1024}
	if err := w.WriteHeader(&h); err != nil {
		t.Fatal(err)
	}
	sparse := filepath.Join(t.TempDir(), "hole")
	err := errors.Join(os.WriteFile(sparse, nil, 0o644), os.Truncate(sparse, maxBytes+1))
	if err != nil {
		t.Fatal(err)
	}
	hole, err := exec.Command("tar", "-cSC", filepath.Dir(sparse), "hole").Output()
	if err != nil || len(hole) > 1<<20 {
		steptest.Skip(t, "tar -S isn't GNU's here (%v); it comes in the package tar", err)
	}
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		for _, layer := range [][]byte{claimed.Bytes(), hole} {
			m := made{layers: [][]byte{layer}}
			newBench(t, u).refuses(t, m.oci().pack(), "too many bytes in files for one image")
		}
	})
}

// TestSecondStart damages the layers of an archive that is in the cache already.
func TestSecondStart(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		b, m := newBench(t, u), small()
		b.image(t, m.docker().pack())
		damaged := m.docker()
		for _, name := range []string{"layer0/layer.tar", "layer1/layer.tar"} {
			damaged[name] = []byte("no tar")
		}
		delete(damaged, "layer2/layer.tar")
		damaged["layer2/layer.tar"] = []byte("no tar")
		i := b.image(t, damaged.pack())
		b.showsSmall(t, i.Layers)
		newBench(t, u).refuses(t, damaged.pack(), "unexpected EOF")
	})
}

// large is an image of many files, which takes a while.
func large(files int) []byte {
	items := make([]item, 0, files)
	for n := range cap(items) {
		items = append(items, file(fmt.Sprintf("d%d/f%d", n/100, n), "word"))
	}
	return layered([]item{file("first", "")}, items).docker().pack()
}

// TestFirstStartsAtOnce starts some at the same time. All must find the image, and it whole. With
// -short, as on an emulated machine, which takes its time anyway, it is a smaller one.
func TestFirstStartsAtOnce(t *testing.T) {
	count := 4_000
	if testing.Short() {
		count = 1_000
	}
	archive := large(count)
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		b := newBench(t, u)
		name := b.write(t, "archive", archive)
		var group sync.WaitGroup
		answers := make([]string, 4)
		for n := range answers {
			group.Go(func() {
				out, err := b.unpack(name).CombinedOutput()
				answers[n] = fmt.Sprint(string(out), err)
			})
		}
		group.Wait()
		var i unpackedTo
		if err := json.NewDecoder(strings.NewReader(answers[0])).Decode(&i); err != nil {
			t.Fatalf("%v in %q", err, answers)
		}
		if len(slices.Compact(answers)) != 1 || len(b.inCache(t)) != 2 {
			t.Errorf("answers %q, in the cache %v", answers, b.inCache(t))
		}
		files, err := filepath.Glob(i.Layers[1] + "/*/*")
		if err != nil || len(files) != count {
			t.Errorf("%d files, %v", len(files), err)
		}
	})
}

// TestKilled ends an unpacking in its middle, in all the ways there are. Only if the unpacker
// itself is killed, and can't tidy up, is something left; the next start clears it away.
func TestKilled(t *testing.T) {
	archive := large(20_000)
	zipped := zip(archive)
	steptest.AsEveryUserAtOnce(t, func(t *testing.T, u steptest.User) {
		for name, kill := range map[string]func(outer, inner int) error{
			"outer process": func(outer, inner int) error { return unix.Kill(outer, unix.SIGKILL) },
			"Ctrl-C":        func(outer, inner int) error { return unix.Kill(-outer, unix.SIGINT) },
			"zipped":        func(outer, inner int) error { return unix.Kill(outer, unix.SIGINT) },
			"SIGTERM":       func(outer, inner int) error { return unix.Kill(outer, unix.SIGTERM) },
			"SIGQUIT":       func(outer, inner int) error { return unix.Kill(outer, unix.SIGQUIT) },
			"unpacker":      func(outer, inner int) error { return unix.Kill(inner, unix.SIGKILL) },
		} {
			w, b := steptest.NewWatch(t), newBench(t, u)
			cmd := b.unpack(b.write(t, "archive", archive))
			if name == "zipped" {
				cmd = b.unpack(b.write(t, "zipped", zipped))
			}
			cmd.Env = w.Env()
			var stderr strings.Builder
			cmd.Stderr = &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			inner := b.halfway(t, w)
			if err := kill(cmd.Process.Pid, inner); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // the checks are below
			w.NothingLeft(t)
			left := b.inCache(t)
			switch {
			case name == "unpacker":
				steptest.Contains(t, stderr.String(), "unpack the image: signal: killed")
				if cmd.ProcessState.ExitCode() != 125 || len(left) != 1 {
					t.Errorf("%s: %v, left %v", name, cmd.ProcessState, left)
				}
			case len(left) != 0 || cmd.ProcessState.Exited() || stderr.String() != "":
				t.Errorf("%s: %v, left %v, said %q", name, cmd.ProcessState, left, &stderr)
			}
			b.image(t, small().oci().pack())
			if len(b.inCache(t)) != 2 {
				t.Errorf("%s: after the next start: %v", name, b.inCache(t))
			}
		}
	})
}

// TestUnpackersCgroup reads the limits of an unpacker that is in its midst. They aren't those that
// the flags set for the container. Then it kills the outer process.
func TestUnpackersCgroup(t *testing.T) {
	archive := large(20_000)
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		w, b := steptest.NewWatch(t), newBench(t, u)
		b.cache = filepath.Join(b.dir, "jail-to-container")
		cmd := u.Program("-memory", "16M", "-pids", "30", "-cpus", "0.5", "-net=false",
			"-image", b.write(t, "archive", archive), "true")
		cmd.Env = append(w.Env(), "XDG_CACHE_HOME="+b.dir)
		now, failed := readNumber("/proc/self/oom_score_adj")
		resets := failed == nil && now <= 0 && lowersOOMScore(u) && setOOMScore(t, "500")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		inner := b.halfway(t, w)
		err := unix.Kill(inner, unix.SIGSTOP)
		steptest.Limits{Memory: 268435456, PIDs: 64, CPU: 100000}.Check(t, w)
		score, failed := readNumber(fmt.Sprintf("/proc/%d/oom_score_adj", inner))
		if failed != nil || resets && score != 0 {
			t.Errorf("oom_score_adj is %d: %v", score, failed)
		}
		err = errors.Join(err, unix.Kill(cmd.Process.Pid, unix.SIGKILL),
			unix.Kill(inner, unix.SIGCONT))
		if err != nil {
			t.Error(err)
		}
		_ = cmd.Wait() // "signal: killed"
		w.NothingLeft(t)
		if left := b.inCache(t); len(left) != 0 {
			t.Errorf("left in the cache: %v", left)
		}
	})
}

// TestUnpackerOutOfMemory unpacks a file of 272 MiB to where files are memory. The error says so.
func TestUnpackerOutOfMemory(t *testing.T) {
	if testing.Short() {
		steptest.Skip(t, "with -short; it takes some seconds")
	}
	const size = 272 << 20
	var shm unix.Statfs_t
	if err := unix.Statfs("/dev/shm", &shm); err != nil || shm.Type != unix.TMPFS_MAGIC ||
		int64(shm.Bavail)*int64(shm.Bsize) < size {
		steptest.Skip(t, "/dev/shm is no tmpfs with %d bytes to spare: %v", size, err)
	}
	archive := layered([]item{file("large", strings.Repeat("word", size/4))})
	archive.zipped = true
	packed := archive.docker().pack()
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		b := newBench(t, u)
		b.cache = filepath.Join("/dev/shm", filepath.Base(b.dir))
		defer os.RemoveAll(b.cache) // what root's unpacker left in it is root's
		r := steptest.Run(t, b.unpack(b.write(t, "archive", packed)))
		if r.Status != 125 || strings.Count(r.Stderr, "\n") != 1 {
			t.Errorf("%+v", r)
		}
		steptest.Contains(t, r.Stderr,
			"unpack the image: signal: killed, by the kernel: it needed more "+
				"than 256 MiB of memory")
	})
}

// TestReadUnpacked has the unpacker say what only a hostile image would make it say. The control is
// what it says of an honest one.
func TestReadUnpacked(t *testing.T) {
	layer := `"` + strings.Repeat("0123456789abcdef", 4) + `"`
	says := func(layers string) string { return `{"Layers":[` + layers + `],"Config":{}}` }
	for said, fine := range map[string]bool{
		says(layer):                  true,
		says(layer + `,"../../etc"`): false,
		says(`"/etc"`):               false,
		says(`""`):                   false,
		says(""):                     false,
		"{}":                         false,
		strings.Repeat(" ", 23<<20) + says(layer): true,
		strings.Repeat(" ", 24<<20) + says(layer): false, // it has no end
		says(layer)[:90]: false,
	} {
		if _, err := readUnpacked(strings.NewReader(said)); (err == nil) != fine {
			t.Errorf("%.100q: %v", said, err)
		}
	}
}

// TestLongConfig has a config that is longer when the unpacker says it: each "<" takes six bytes.
func TestLongConfig(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		m := small()
		want := imageConfig{Env: []string{"A=" + strings.Repeat("<", 3<<20)}}
		m.change = func(o object) { o["config"] = want }
		if got := newBench(t, u).image(t, m.oci().pack()).Config; !slices.Equal(got.Env, want.Env) {
			t.Errorf("the variable isn't what it was: %.99q", got.Env)
		}
	})
}

// TestLongSpec has a variable that takes more bytes in a spec than the container reads: each of its
// characters takes ten there, in place of four. Only the container says so, not the outer process.
func TestLongSpec(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		b, m := newBench(t, u), small()
		long := imageConfig{Env: []string{"A=" + strings.Repeat("\U000e0001", 1_000_000)}}
		m.change = func(o object) { o["config"] = long }
		cmd := u.Program("-net=false", "-image", b.write(t, "image.tar", m.oci().pack()), "/new")
		cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+b.dir)
		r := steptest.Run(t, cmd)
		want := step + ": the arguments and variables take more than 8 MiB\n"
		if r.Status != 125 || r.Stdout != "" || r.Stderr != want {
			t.Errorf("%+v, want %q", r, want)
		}
	})
}

// TestUnpackersWord starts the program as the unpacker without the outer process's word.
func TestUnpackersWord(t *testing.T) {
	word, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer word.Close()
	if _, err := writer.WriteString("?"); err != nil {
		t.Fatal(err)
	}
	writer.Close()
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	cmd := steptest.Caller().Program("")
	cmd.Args[0] = role(unpacker)
	cmd.ExtraFiles = []*os.File{dir, word, dir}
	r := steptest.Run(t, cmd)
	if r.Status != 125 || r.Stdout != "" {
		t.Errorf("%+v", r)
	}
	steptest.Contains(t, r.Stderr, `wait for the outer process: it says "?", not 0`)
}

// TestCheckCache shows the container caches that belong to others than its root, or are open.
func TestCheckCache(t *testing.T) {
	if os.Getuid() != 0 {
		steptest.Skip(t, "only root can give a directory away: go test -exec sudo")
	}
	for _, c := range []struct {
		uid  int
		mode os.FileMode
		want string
	}{
		{0, 0o700, ""},
		{steptest.Ordinary.UID, 0o700, "belongs to user 12345 here, with mode 700"},
		{0, 0o750, "belongs to user 0 here, with mode 750"},
		{0, 0o701, "belongs to user 0 here, with mode 701"},
	} {
		dir := t.TempDir()
		if err := errors.Join(os.Chmod(dir, c.mode), os.Chown(dir, c.uid, 0)); err != nil {
			t.Fatal(err)
		}
		tree, err := os.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer tree.Close()
		if got := fmt.Sprint(checkCache(int(tree.Fd()))); !strings.Contains(got, c.want) ||
			(c.want == "") != (got == "<nil>") {
			t.Errorf("%d, %o: %s, want %q", c.uid, c.mode, got, c.want)
		}
	}
}

// TestPrunersNameIsNoProof starts the program under the pruner's name, to remove other directories.
// The control is root's: outside of a user namespace, no other user may call setgroups(2).
func TestPrunersNameIsNoProof(t *testing.T) {
	top := filepath.Join(t.TempDir(), "jail-to-container")
	for dir, removed := range map[string]bool{
		top:                                     false,
		filepath.Join(top, "layers"):            false,
		filepath.Join(t.TempDir(), "partial-1"): false,
		filepath.Join(top, "partial-1"):         os.Getuid() == 0, // the control
	} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		cmd := steptest.Caller().Program(dir)
		cmd.Args[0] = role(pruner)
		r := steptest.Run(t, cmd)
		if gone := !exists(dir); gone != removed || r.Status == 0 != removed {
			t.Errorf("%s is gone: %t, and %+v", dir, gone, r)
		}
	}
}

// TestPrune removes what is cached: old caches and an image's layers. One layer has a directory
// that only its owner, another ID of the container, can read. What isn't a cache must stay, and so
// must everything while a container runs.
func TestPrune(t *testing.T) {
	busybox, err := os.ReadFile(steptest.Need(t, "busybox", "busybox-static"))
	if err != nil {
		t.Fatal(err)
	}
	closed := dir("closed").owned(1000, 1000, 0o500)
	layer := pack(dir("bin"), file("bin/sh", string(busybox)).owned(0, 0, 0o755), dir("proc"),
		dir("sys"), dir("dev"), closed, file("closed/f", "x").owned(1000, 1000, 0o400))
	m := made{layers: [][]byte{layer},
		change: func(o object) { o["config"] = imageConfig{Cmd: []string{"/bin/sh", "-c", "cat"}} }}
	pruned := func(t *testing.T, u steptest.User, program func(...string) *exec.Cmd) {
		b := newBench(t, u)
		home := b.dir + "/a[b"
		err := errors.Join(os.Mkdir(home, 0o755), os.Chown(home, u.UID, u.GID()))
		if err != nil {
			t.Fatal(err)
		}
		top := filepath.Join(home, "jail-to-container")
		started := func(args ...string) *exec.Cmd {
			cmd := program(args...)
			cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+home)
			return cmd
		}
		image := b.write(t, "image.tar", m.oci().pack())
		runs := started("-net=false", "-tty=false", "-image", image, "/bin/sh", "-c",
			"echo ready; read line; cat /closed/f")
		keyboard, err := runs.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		s := begin(t, runs)
		r := steptest.Run(t, started("-prune"))
		if r.Status != 125 || r.Stdout != "" {
			t.Errorf("while a container runs: %+v", r)
		}
		steptest.Contains(t, r.Stderr, top+" is in use")
		keyboard.Close()
		if status := s.status(); status != 0 {
			t.Errorf("the container ends with %d", status)
		}
		layers, err := fs.Glob(os.DirFS(top), "*/"+strings.TrimPrefix(sum(layer), "sha256:"))
		if err != nil || len(layers) != 1 {
			t.Fatalf("after -prune refused: %v, %v", layers, err)
		}
		// Old caches, a link that has a cache's name, and what is none.
		for _, name := range []string{"77/a", "shifted-1-2/b", "partial-x/y", "bin/crane", "keep"} {
			path := filepath.Join(top, name)
			if err := errors.Join(os.MkdirAll(path, 0o755),
				os.Chown(filepath.Dir(path), u.UID, u.GID()), os.Chown(path, u.UID, u.GID()),
				os.Chown(top, u.UID, u.GID())); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink(top+"/keep", top+"/78"); err != nil {
			t.Fatal(err)
		}
		r = steptest.Run(t, started("-prune"))
		if r.Status != 0 || strings.Count(r.Stdout, "removed ") != 5 {
			t.Errorf("-prune: %+v", r)
		}
		steptest.Contains(t, r.Stdout, "removed "+top+"/"+filepath.Dir(layers[0])+" (layers: 1)\n")
		if got := entriesOf(t, top); !slices.Equal(got, []string{"bin", "keep"}) {
			t.Errorf("there are still %v", got)
		}
		if out := steptest.Output(t, started("-prune")); out != "nothing is cached\n" {
			t.Errorf("once more: %q", out)
		}
		if r := steptest.Run(t, started("-prune", "true")); r.Status != 125 {
			t.Errorf("with a command: %+v", r)
		}
	}
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		pruned(t, u, func(args ...string) *exec.Cmd { return u.Program(args...) })
	})
	if _, err := exec.LookPath("newuidmap"); err == nil && os.Getuid() == 0 {
		t.Run("user with subordinate IDs", func(t *testing.T) {
			pruned(t, steptest.Ordinary, asSubUser)
		})
	}
}

// TestProgress unpacks two layers that take a while, from a pipe that pauses. At a terminal there
// is a line each, and in the end none; on a pipe there is nothing. An image that is there already
// quickly needs none.
func TestProgress(t *testing.T) {
	needsOverlay(t)
	many := []item{file("first", ""), file("zeros", string(make([]byte, 100_000_000)))}
	for n := range 3_000 {
		many = append(many, file(fmt.Sprint("f", n), ""))
	}
	archive := made{layers: [][]byte{pack(many...), pack(many[1:]...)},
		zipped: true, change: func(o object) { o["config"] = imageConfig{} }}.oci().pack()
	lines := []string{`reading the image: 0 MB`, `unpacking layer 1 of 2: \d+ MB`,
		`unpacking layer 2 of 2: \d+ MB`}
	u := steptest.Caller()
	b := ownBench(t)
	feed := func(cmd *exec.Cmd, pause time.Duration) {
		input, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			defer input.Close()
			input.Write(archive[:1000])
			time.Sleep(pause)
			input.Write(archive[1000:])
		}()
	}
	run := func(cache string) *exec.Cmd {
		cmd := u.Program("-net=false", "-image", "-", "/absent")
		cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+filepath.Join(b.dir, cache))
		return cmd
	}
	for _, cache := range []string{"one", "two"} {
		if err := os.Mkdir(filepath.Join(b.dir, cache), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := run("one")
	feed(cmd, 500*time.Millisecond)
	screen := sit(t, cmd).look().end(127) // it has no such program
	for _, line := range lines {
		if !regexp.MustCompile(`\r` + line + ` *`).MatchString(screen) {
			t.Errorf("no %q on the screen: %q", line, screen)
		}
	}
	blank := "\r" + strings.Repeat(" ", 50) + "\r"
	if strings.Count(screen, blank) != 3 || !strings.Contains(screen, blank+"08-full") {
		t.Errorf("not cleared: %q", screen)
	}
	cmd = run("two")
	feed(cmd, 500*time.Millisecond)
	if r := steptest.Run(t, cmd); r.Status != 127 || strings.Contains(r.Stderr, "\r") {
		t.Errorf("on a pipe: %+v", r)
	}
	cmd = run("one")
	feed(cmd, 0)
	if screen := sit(t, cmd).look().end(127); strings.Contains(screen, "layer") {
		t.Errorf("unpacked already: %q", screen)
	}
}

// TestUnpackAtATerminal unpacks at one, where the unpacker must not be able to type, and ends it
// from there.
func TestUnpackAtATerminal(t *testing.T) {
	archive := large(20_000)
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		u.NeedInsight(t)
		w, b := steptest.NewWatch(t), newBench(t, u)
		cmd := b.unpack(b.write(t, "archive", archive))
		cmd.Env = append(w.Env(), "SECRET=hunter2")
		leaked, err := os.Open(b.dir)
		if err != nil {
			t.Fatal(err)
		}
		defer leaked.Close()
		cmd.ExtraFiles = slices.Repeat([]*os.File{leaked}, 10) // the unpacker's own replace three
		if u.UID == 0 {
			cmd.SysProcAttr.Credential = &syscall.Credential{Groups: []uint32{4321}}
			cmd.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_CHOWN} // and so inheritable
		}
		s := sit(t, cmd).look()
		inner := b.halfway(t, w)
		if os.Getuid() == 0 {
			for pid, wrong := range map[int]bool{inner: true, cmd.Process.Pid: false} {
				link := fmt.Sprintf("/proc/%d/fd/10", pid)
				if dir, _ := os.Readlink(link); (dir == b.dir) == wrong {
					t.Errorf("%s: %q; only the outer process may have %s", link, dir, b.dir)
				}
			}
			if got := environment(t, inner); got != ownEnvironment+w.Mark+"\n" {
				t.Errorf("the unpacker has the environment:\n%s", got)
			}
			steptest.Contains(t, environment(t, cmd.Process.Pid), "SECRET=hunter2\n") // the control
		}
		if u.UID == 0 {
			for pid, want := range map[int]string{ // the outer process is the control
				inner:           "Groups: CapInh:0000000000000000",
				cmd.Process.Pid: "Groups:4321 CapInh:0000000000000001",
			} {
				if got := privileges(t, pid); got != want {
					t.Errorf("process %d has %s, want %s", pid, got, want)
				}
			}
		}
		if session, err := unix.Getsid(inner); err != nil || session == cmd.Process.Pid {
			t.Errorf("the unpacker is %d, in the terminal's session %d: %v", inner, session, err)
		}
		s.dialog("", "\x03") // Ctrl-C
		s.end(128 + int(unix.SIGINT))
		w.NothingLeft(t)
		if left := b.inCache(t); len(left) != 0 {
			t.Errorf("left: %v", left)
		}
	})
}

// privileges returns a process's supplementary groups and inheritable capabilities.
func privileges(t *testing.T, pid int) string {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		if name == "Groups" || name == "CapInh" {
			found = append(found, name+":"+strings.TrimSpace(value))
		}
	}
	return strings.Join(found, " ")
}

// halfway waits until an unpacker has written part of a layer, and returns its PID.
func (b *bench) halfway(t *testing.T, w *steptest.Watch) int {
	for range 10_000 {
		found, _ := filepath.Glob(filepath.Join(b.cache, "*", partial+"*", "*", "d3"))
		if len(found) == 0 {
			time.Sleep(time.Millisecond)
			continue
		}
		for _, line := range w.Processes() {
			name, cmdline, _ := strings.Cut(strings.TrimPrefix(line, "/proc/"), " ")
			if strings.HasPrefix(cmdline, strconv.Quote(unpacker)[:len(unpacker)+1]) {
				pid, _ := strconv.Atoi(name)
				return pid
			}
		}
	}
	t.Fatal("no unpacker to be found in its midst")
	return 0
}

// TestStandInHost unpacks where root is an ordinary user, and the cache is the usual one.
func TestStandInHost(t *testing.T) {
	u := steptest.Caller()
	if u.UID == 0 {
		u.UID = steptest.Ordinary.UID
	}
	b := newBench(t, u)
	archive := b.write(t, "archive", small().oci().pack())
	cmd := u.Program("test:unpack-as-root", archive, "")
	cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+b.dir+"/home")
	var i unpackedTo
	if err := json.Unmarshal([]byte(steptest.Output(t, cmd)), &i); err != nil {
		t.Fatal(err)
	}
	if len(i.Layers) != 2 || !strings.HasPrefix(i.Layers[0], b.dir+"/home/jail-to-container/0/") {
		t.Errorf("unpacked to %v", i.Layers)
	}
	info, err := os.Stat(i.Layers[0])
	if err != nil || int(info.Sys().(*syscall.Stat_t).Uid) != u.UID {
		t.Errorf("the layer: %v, %v", info, err)
	}
}

// TestUsualCache unpacks as root to where it does by itself, in a mount namespace of its own.
func TestUsualCache(t *testing.T) {
	if os.Getuid() != 0 {
		steptest.Skip(t, "only root has a cache below /var; run it as root")
	}
	b := newBench(t, steptest.Root)
	archive := b.write(t, "archive", small().oci().pack())
	cmd := b.Program("test:covered", "/var/cache", archive)
	cmd.Env = append(os.Environ(), "XDG_CACHE_HOME=")
	cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWNS
	var i unpackedTo
	if err := json.Unmarshal([]byte(steptest.Output(t, cmd)), &i); err != nil {
		t.Fatal(err)
	}
	if len(i.Layers) != 2 || !strings.HasPrefix(i.Layers[0], "/var/cache/jail-to-container/") ||
		exists(i.Layers[0]) {
		t.Errorf("unpacked to %v", i.Layers)
	}
}

// TestRootsCache runs an image in root's containers, on hosts of several kinds. Only root can enter
// the cache, and has one copy of a layer, whichever IDs the container has.
func TestRootsCache(t *testing.T) {
	needsOverlay(t)
	if link, _ := os.Readlink("/bin"); os.Getuid() != 0 || link != "usr/bin" {
		steptest.Skip(t,
			"only root has this cache, and the image here has its programs from a merged /usr")
	}
	b := newBench(t, steptest.Root)
	if !shiftsIDs(t, b.dir) || !overlaysIdmapped() {
		steptest.Skip(t,
			"no idmapped layers here: that takes Linux 5.19 and a file system like ext4")
	}
	b.cache = b.dir + "/jail-to-container"
	usr := []item{dir("usr"), symlink("bin", "usr/bin"), symlink("lib", "usr/lib"),
		symlink("lib64", "usr/lib64"), file("r", "").owned(0, 0, 0o600)}
	for _, c := range []struct{ name, host, owner, ids, layers string }{
		{"usual", "true", "1000:100", "0 2100000000 65536", "layers"},
		{"a user has the first ID", "change passwd u:x:2100000000:1::/:/bin/sh", "1000:100",
			"0 2100100000 65536", "layers"},
		{"many IDs for root", "change subuid root:1000000:1000000000; " +
			"change subgid root:1000000:1000000000", "70000:100200300",
			"0 1000000 1000000000", "layers"},
		{"Linux before 5.19", "old", "1000:100", "0 2100000000 65536",
			"shifted-2100000000-2100000000"},
		{"no idmapped mounts of overlayfs", "mkdir -p jail-to-container; " +
			"mount -t tmpfs none /opt; mkdir /opt/u /opt/w /opt/l; " +
			"mount -t overlay none jail-to-container " +
			"-o lowerdir=/opt/l,upperdir=/opt/u,workdir=/opt/w",
			"1000:100", "0 2100000000 65536", ""},
	} {
		var uid, gid int
		if _, err := fmt.Sscanf(c.owner, "%d:%d", &uid, &gid); err != nil {
			t.Fatal(err)
		}
		layer := pack(append(usr, file("f", "").owned(uid, gid, 0o640))...)
		plain := func(config object) { config["config"] = imageConfig{} }
		archive := b.write(t, "archive", made{layers: [][]byte{layer}, change: plain}.oci().pack())
		script := "stat -c %u:%g:%a /f /r; head -1 /proc/self/uid_map; " +
			"grep jail-to-container /proc/self/mountinfo"
		cmd := self("test:on-host", c.host, "-net=false", "-image", archive,
			"-volume", "/usr:/usr:ro", "sh", "-c", script+"; true")
		cmd.Dir, cmd.Env = b.dir, append(os.Environ(), "XDG_CACHE_HOME="+b.dir)
		cmd.SysProcAttr.Unshareflags = unix.CLONE_NEWNS
		got := strings.Join(strings.Fields(steptest.Output(t, cmd)), " ")
		if want := c.owner + ":640 0:0:600 " + c.ids; got != want {
			t.Errorf("%s: owners, map, mounts of the cache: %q, want %q", c.name, got, want)
		}
		kept := filepath.Join(b.cache, c.layers, strings.TrimPrefix(sum(layer), "sha256:"), "f")
		if c.layers != "" && !exists(kept) {
			t.Errorf("%s: no %s: %v", c.name, kept, b.inCache(t))
		}
	}
	if kept := b.inCache(t); len(kept) != 3 {
		t.Errorf("of two layers, one of them also shifted: %v", kept)
	}
	// The owner of the container's IDs can't get in, even where the files are that user's own.
	for path, mode := range map[string]fs.FileMode{"": 0o700, "layers": 0o700} {
		info, err := os.Stat(filepath.Join(b.cache, path))
		if err != nil || info.Sys().(*syscall.Stat_t).Uid != 0 || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", path, err, info)
		}
	}
	for _, path := range []string{"layers", "shifted-2100000000-2100000000"} {
		layers, _ := filepath.Glob(filepath.Join(b.cache, path, "*"))
		cmd := exec.Command("ls", b.dir, layers[0])
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Credential: &syscall.Credential{Uid: 2_100_000_000, Gid: 2_100_000_000}}
		if r := steptest.Run(t, cmd); !strings.Contains(r.Stdout, "archive") || // the control
			!strings.Contains(r.Stderr, "Permission denied") || strings.Contains(r.Stdout, "usr") {
			t.Errorf("%s: the user with the first ID sees %q, %q", path, r.Stdout, r.Stderr)
		}
	}
}

// TestCacheOfOthers finds a cache where it unpacks that others can write to, or could.
func TestCacheOfOthers(t *testing.T) {
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		b := newBench(t, u)
		archive := b.write(t, "archive", small().oci().pack())
		steptest.Output(t, b.unpack(archive))
		inner := filepath.Dir(b.inCache(t)[0])
		other := b.dir + "/other"
		for name, c := range map[string]struct {
			do, undo func() error
			why      string
		}{
			"the cache": {func() error { return os.Chmod(b.cache, 0o770) },
				func() error { return os.Chmod(b.cache, 0o700) }, "has mode 770"},
			"the layers": {func() error { return os.Chmod(inner, 0o702) },
				func() error { return os.Chmod(inner, 0o700) }, "has mode 702"},
			"a link": {func() error {
				return errors.Join(os.Rename(b.cache, other), os.Symlink("other", b.cache))
			}, func() error {
				return errors.Join(os.Remove(b.cache), os.Rename(other, b.cache))
			}, b.cache},
			"a link to the layers": {func() error {
				return errors.Join(os.Rename(inner, other), os.Symlink(other, inner))
			}, func() error {
				return errors.Join(os.Remove(inner), os.Rename(other, inner))
			}, inner},
			"another user's": {func() error { return os.Chown(b.cache, 1234, u.GID()) },
				func() error { return os.Chown(b.cache, u.UID, u.GID()) }, "user 1234"},
			"another user's layers": {func() error { return os.Chown(inner, 1234, u.GID()) },
				func() error { return os.Chown(inner, u.UID, u.GID()) }, "user 1234"},
		} {
			if os.Getuid() != 0 && strings.HasPrefix(name, "another user's") {
				continue // only root can give a directory away
			}
			if err := c.do(); err != nil {
				t.Fatal(err)
			}
			r := steptest.Run(t, b.unpack(archive))
			if err := c.undo(); err != nil {
				t.Fatal(err)
			}
			if r.Status != 125 || r.Stdout != "" || !strings.Contains(r.Stderr, c.why) &&
				!strings.Contains(r.Stderr, "permission denied") { // before a user gets so far
				t.Errorf("%s: exit status %d, %q, %q", name, r.Status, r.Stdout, r.Stderr)
			}
		}
		if err := os.Chmod(b.cache, 0o711); err != nil { // as it was in earlier versions
			t.Fatal(err)
		}
		steptest.Output(t, b.unpack(archive))
		if info, err := os.Stat(b.cache); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("the cache: %v, %v", err, info)
		}
	})
}

// TestHelpersUnpack gives an ordinary user a range of ids and newuidmap(1): owners are kept then.
func TestHelpersUnpack(t *testing.T) {
	steptest.Need(t, "newuidmap", "uidmap")
	if os.Getuid() != 0 {
		steptest.Skip(t, "only root can give another user IDs; run it as root")
	}
	b := newBench(t, steptest.Ordinary)
	m := layered([]item{file("f", "").owned(1000, 100, 0o4755)})
	archive := b.write(t, "archive", m.oci().pack())
	cmd := steptest.Root.Program("test:subids", archive, b.cache)
	cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWNS
	var i unpackedTo
	if err := json.Unmarshal([]byte(steptest.Output(t, cmd)), &i); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(i.Layers[0] + "/f")
	if err != nil {
		t.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	if stat.Uid != 200_999 || stat.Gid != 300_099 || info.Mode() != os.ModeSetuid|0o755 {
		t.Errorf("owner %d:%d, mode %v, want 200999:300099 and set-uid",
			stat.Uid, stat.Gid, info.Mode())
	}
	info, err = os.Stat(filepath.Dir(i.Layers[0]))
	if err != nil || info.Sys().(*syscall.Stat_t).Uid != uint32(steptest.Ordinary.UID) ||
		info.Mode().Perm() != 0o700 {
		t.Errorf("the cache: %v, %v", err, info)
	}
}

// init adds what these tests run in the program's place, in a mount namespace of its own.
func init() {
	// test:on-host becomes the program on a host that a script has changed: in a mount namespace.
	experiments["test:on-host"] = func(args []string) error {
		if args[0] == "old" { // UNAME26 of personality(2): the kernel calls itself 2.6
			if _, _, err := unix.RawSyscall(unix.SYS_PERSONALITY, 0x20000, 0, 0); err != 0 {
				return err
			}
		} else {
			change := `set -e; change() { { cat "/etc/$1"; echo "$2"; } > "$1"
				mount --bind "$1" "/etc/$1"; }; `
			cmd := exec.Command("sh", "-c", change+args[0])
			cmd.Stderr = os.Stderr
			if err := cmd.Run(); err != nil {
				return err
			}
		}
		return unix.Exec("/proc/self/exe", append([]string{step}, args[1:]...), os.Environ())
	}
	experiments["test:covered"] = func(args []string) error {
		err := errors.Join(mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
			mount("tmpfs", args[0], "tmpfs", 0, "mode=755"))
		if err != nil {
			return err
		}
		return experiments["test:unpack"]([]string{args[1], ""})
	}
	experiments["test:subids"] = func(args []string) error {
		if err := steptest.GiveIDs(steptest.SubUIDs, steptest.SubGIDs); err != nil {
			return err
		}
		cmd := steptest.Ordinary.Program(append([]string{"test:unpack"}, args...)...)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		return cmd.Run()
	}
}

// FuzzLayer unpacks layers that are like the right ones. Whatever is in them, nothing may change
// outside their directory.
func FuzzLayer(f *testing.F) {
	f.Add(small().layers[0])
	f.Add(pack(symlink("d", "../out"), dir("d"), file("d/f", ""), hardlink("h", "d/f")))
	f.Add(pack(file("a/.wh.b", ""), dir("a/b"), file("a/.wh..wh..opq", ""), symlink("a", "/")))
	f.Add(pack(hardlink("h", "../out/canary"), file("h", "over"), file("../out/new", "")))
	f.Add(pack(file("f", "1").noted("user.overlay.redirect", "/"), device("n"), file(".wh...", "")))
	f.Fuzz(func(t *testing.T, layer []byte) {
		base := t.TempDir()
		err := errors.Join(os.Mkdir(base+"/out", 0o755), os.Mkdir(base+"/in", 0o755),
			os.WriteFile(base+"/out/canary", []byte("alive"), 0o644))
		if err != nil {
			t.Fatal(err)
		}
		root, err := os.OpenRoot(base + "/in")
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		left := budget{1 << 20, 1 << 20, 100, 10_000}
		_ = unpackLayer(&metered{bytes.NewReader(layer), &left}, root, false, &left)
		text, err := os.ReadFile(base + "/out/canary")
		outs, _ := os.ReadDir(base + "/out")
		all, _ := os.ReadDir(base)
		if err != nil || string(text) != "alive" || len(outs) != 1 || len(all) != 2 {
			t.Errorf("outside: %v %q %v %v", err, text, outs, all)
		}
	})
}
