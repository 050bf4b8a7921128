//go:build linux

// Images of every kind, made here, valid and broken.

package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"

	"golang.org/x/sys/unix"
	"jail-to-container/scripts/steptest"
)

// item is one entry of a tar that is being made.
type item struct {
	tar.Header
	content string
}

// then is when the entries were modified that don't say otherwise.
var then = time.Unix(1_000_000_000, 0)

// file, dir and others make an item as short as it can be.
func file(name, content string) item {
	return item{tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}, content}
}

func dir(name string) item {
	return item{tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o755}, ""}
}

func symlink(name, target string) item {
	h := tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target, Mode: 0o777}
	return item{h, ""}
}

func hardlink(name, target string) item {
	return item{tar.Header{Name: name, Typeflag: tar.TypeLink, Linkname: target}, ""}
}

func device(name string) item {
	h := tar.Header{Name: name, Typeflag: tar.TypeChar, Mode: 0o666, Devmajor: 1, Devminor: 3}
	return item{h, ""}
}

// pack makes a tar.
func pack(items ...item) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, i := range items {
		if i.ModTime.IsZero() {
			i.ModTime = then
		}
		if i.Typeflag == 0 {
			i.Typeflag = tar.TypeReg
		}
		err := w.WriteHeader(&i.Header)
		if err == nil {
			_, err = io.WriteString(w, i.content)
		}
		if err != nil {
			panic(fmt.Sprintf("%s: %v", i.Name, err))
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// zip compresses.
func zip(plain []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(plain)
	if err := errors.Join(err, w.Close()); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// sum is a digest as manifests have it.
func sum(text []byte) string {
	s := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(s[:])
}

// object is a JSON object that is being made.
type object map[string]any

// json writes it as other tools do: "<" is one byte.
func (o object) json() []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(o); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// made is an image that is being made: its layers as tars, and what differs from the usual.
type made struct {
	layers       [][]byte
	zipped       bool // the layers
	architecture string
	layerType    string
	change       func(object) // of the config, before it gets its digest
}

// wanted is the config of every image made here.
var wanted = imageConfig{
	Env: []string{"PATH=/bin", "WORD=a b"}, WorkingDir: "/srv", User: "1000:1000",
	Entrypoint: []string{"/bin/sh", "-c"}, Cmd: []string{"echo $WORD"},
}

// config returns the image's config.
func (m made) config() []byte {
	var ids []string
	for _, l := range m.layers {
		ids = append(ids, sum(l))
	}
	if m.architecture == "" {
		m.architecture = runtime.GOARCH
	}
	c := object{"architecture": m.architecture, "os": "linux", "config": wanted,
		"rootfs": object{"type": "layers", "diff_ids": ids}}
	if m.change != nil {
		m.change(c)
	}
	return c.json()
}

// blobs are the members of an archive that is being made, by name, in the order of their names.
type blobs map[string]any // []byte, or a string: where a symbolic link leads to

// put adds a blob and returns a descriptor of it.
func (b blobs) put(mediaType string, text []byte) object {
	b["blobs/sha256/"+strings.TrimPrefix(sum(text), "sha256:")] = text
	return object{"mediaType": mediaType, "digest": sum(text), "size": len(text)}
}

// pack makes the archive.
func (b blobs) pack() []byte {
	var items []item
	for name, content := range b {
		switch c := content.(type) {
		case []byte:
			items = append(items, file(name, string(c)))
		case string:
			items = append(items, symlink(name, c))
		}
	}
	slices.SortFunc(items, func(a, b item) int { return strings.Compare(a.Name, b.Name) })
	return pack(items...)
}

// manifest adds config and layers, and returns a descriptor of the manifest.
func (m made) manifest(b blobs) object {
	var layers []object
	for _, l := range m.layers {
		kind := layerTypes[0]
		if m.zipped {
			l, kind = zip(l), layerTypes[1]
		}
		if m.layerType != "" {
			kind = m.layerType
		}
		layers = append(layers, b.put(kind, l))
	}
	manifest := object{"schemaVersion": 2, "mediaType": manifestTypes[0],
		"config": b.put(configTypes[0], m.config()), "layers": layers}
	return b.put(manifestTypes[0], manifest.json())
}

// oci makes an OCI layout, as umoci and skopeo do: without a word on platforms.
func (m made) oci() blobs {
	b := blobs{"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`)}
	b.index(m.manifest(b))
	return b
}

// index writes index.json.
func (b blobs) index(manifests ...object) {
	b["index.json"] = object{"schemaVersion": 2, "manifests": manifests}.json()
}

// list makes an OCI layout of one image for several architectures, as build tools do: the index
// is a blob, and so is an attestation, which is no image.
func (m made) list(architectures ...string) blobs {
	b := blobs{}
	note := b.put(manifestTypes[0], []byte(`{}`))
	note["platform"] = object{"os": "unknown", "architecture": "unknown"}
	all := []object{note}
	for _, a := range architectures {
		m.architecture = a
		d := m.manifest(b)
		d["platform"] = object{"os": "linux", "architecture": a}
		all = append(all, d)
	}
	b.index(b.put(indexTypes[0], object{"manifests": all}.json()))
	return b
}

// docker makes an archive as `docker save` did up to version 24, where a layer that comes twice is
// a link to the first.
func (m made) docker() blobs {
	b, names, where := blobs{}, []string{}, map[string]string{}
	for i, l := range m.layers {
		name := fmt.Sprintf("layer%d/layer.tar", i)
		names = append(names, name)
		b[name] = l
		if first, twice := where[sum(l)]; twice {
			b[name] = "../" + first
		}
		where[sum(l)] = name
		if m.zipped {
			b[name] = zip(l)
		}
	}
	config := strings.TrimPrefix(sum(m.config()), "sha256:") + ".json"
	b[config] = m.config()
	b.manifestJSON(config, names...)
	return b
}

// manifestJSON writes manifest.json.
func (b blobs) manifestJSON(config string, layers ...string) {
	one := object{"Config": config, "RepoTags": []string{"made:latest"}, "Layers": layers}
	b["manifest.json"] = append(append([]byte("["), one.json()...), ']')
}

// both makes an archive as `docker save` does since version 25.
func (m made) both() blobs {
	b := m.oci()
	var names []string
	for _, l := range m.layers {
		if m.zipped {
			l = zip(l)
		}
		names = append(names, "blobs/sha256/"+strings.TrimPrefix(sum(l), "sha256:"))
	}
	b.manifestJSON("blobs/sha256/"+strings.TrimPrefix(sum(m.config()), "sha256:"), names...)
	return b
}

// small is an image of three layers; the third is the first once more.
func small() made {
	base := pack(dir("etc"), file("etc/name", "base"), file("etc/other", "base"))
	return made{layers: [][]byte{base, pack(file("etc/name", "upper"), file("new", "upper")), base}}
}

// smallTree is what small looks like from inside.
var smallTree = []string{
	"/etc drwxr-xr-x", "/etc/name -rw-r--r-- base", "/etc/other -rw-r--r-- base",
	"/new -rw-r--r-- upper",
}

// bench is where a test unpacks: a directory of the user's, and a cache in it.
type bench struct {
	steptest.User
	dir, cache string
}

// newBench makes one, or skips the test if that user can't make a cgroup for the unpacker. Where
// the container has other IDs, they must be able to enter each directory on the way, so t.TempDir
// won't do.
func newBench(t *testing.T, u steptest.User) *bench {
	t.Helper()
	steptest.Ready(t, u)
	dir, err := os.MkdirTemp("", "image-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // nothing is ever mounted there but in mount namespaces that are gone
		err := os.RemoveAll(dir)
		if errors.Is(err, fs.ErrPermission) { // some files belong to subordinate IDs
			u.Output(t, "test:remove", dir)
			err = os.RemoveAll(dir)
		}
		if err != nil {
			t.Error(err)
		}
	})
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chown(dir, u.UID, u.GID())); err != nil {
		t.Fatal(err)
	}
	return &bench{u, dir, filepath.Join(dir, "cache")}
}

// ownBench makes one for the user who runs the tests.
func ownBench(t *testing.T) *bench {
	t.Helper()
	return newBench(t, steptest.Caller())
}

// write makes a file for the test.
func (b *bench) write(t *testing.T, name string, content []byte) string {
	t.Helper()
	name = filepath.Join(b.dir, name)
	if err := os.WriteFile(name, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// unpack prepares to unpack an archive as the bench's user.
func (b *bench) unpack(archive string) *exec.Cmd {
	return b.Program("test:unpack", archive, b.cache)
}

// unpackedTo is an image as test:unpack prints it: its layers are paths on the host.
type unpackedTo struct {
	Layers []string
	Config imageConfig
}

// image unpacks an archive, which must go well.
func (b *bench) image(t *testing.T, archive []byte) unpackedTo {
	t.Helper()
	out := steptest.Output(t, b.unpack(b.write(t, "archive", archive)))
	var i unpackedTo
	if err := json.Unmarshal([]byte(out), &i); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	return i
}

// look returns what is to be seen from inside, below an overlay of the layers.
func (b *bench) look(t *testing.T, layers []string, args ...string) []string {
	t.Helper()
	text, err := json.Marshal(layers)
	if err != nil {
		t.Fatal(err)
	}
	out := b.Output(t, append([]string{"test:enter", string(text)}, args...)...)
	return strings.Split(strings.TrimSpace(out), "\n")
}

// inCache lists what there is in the cache, of all maps.
func (b *bench) inCache(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(b.cache, "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// showsSmall looks for the whole of the small image in its layers. Without overlayfs they can't be
// stacked, which must be said, and then each is looked at by itself.
func (b *bench) showsSmall(t *testing.T, layers []string) {
	t.Helper()
	if overlays(t) {
		if tree := b.look(t, layers); !slices.Equal(tree, smallTree) {
			t.Errorf("inside: %q, want %q", tree, smallTree)
		}
		return
	}
	text, err := json.Marshal(layers)
	if err != nil {
		t.Fatal(err)
	}
	r := b.Run(t, "test:enter", string(text))
	if r.Status != 125 || r.Stdout != "" {
		t.Errorf("several layers without overlayfs: %+v", r)
	}
	steptest.Contains(t, r.Stderr, errNoOverlay.Error(), "nothing is mounted on /tmp")
	for _, want := range [][]string{
		{"/etc drwxr-xr-x", "/etc/name -rw-r--r-- upper", "/new -rw-r--r-- upper"},
		{"/etc drwxr-xr-x", "/etc/name -rw-r--r-- base", "/etc/other -rw-r--r-- base"},
	} {
		if len(layers) == 0 {
			t.Fatal("a layer is missing")
		}
		if tree := b.look(t, layers[:1]); !slices.Equal(tree, want) {
			t.Errorf("a layer: %q, want %q", tree, want)
		}
		layers = layers[1:]
	}
}

// refuses unpacks an archive that is bad, and compares the error, the status and the cache.
func (b *bench) refuses(t *testing.T, archive []byte, why string) {
	t.Helper()
	before := b.inCache(t)
	r := steptest.Run(t, b.unpack(b.write(t, "archive", archive)))
	if r.Status != 125 || r.Stdout != "" || strings.Count(r.Stderr, "\n") != 1 {
		t.Errorf("exit status %d, standard output %q, standard error %q, want 125, none, a line",
			r.Status, r.Stdout, r.Stderr)
	}
	steptest.Contains(t, r.Stderr, step+": the image: ", why)
	if strings.ContainsFunc(strings.TrimSuffix(r.Stderr, "\n"), unicode.IsControl) {
		t.Errorf("control characters in %q", r.Stderr)
	}
	if after := b.inCache(t); !slices.Equal(after, before) {
		t.Errorf("in the cache: %v, before %v", after, before)
	}
}

// TestLayouts unpacks one and the same image from every kind of archive.
func TestLayouts(t *testing.T) {
	m := small()
	other := map[string]string{"amd64": "arm64"}[runtime.GOARCH]
	for name, make := range map[string]func(made) blobs{
		"docker": made.docker, "oci": made.oci, "both": made.both,
		"list": func(m made) blobs { return m.list("s390x", runtime.GOARCH, other) },
	} {
		for _, zipped := range []bool{false, true} {
			for _, whole := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s layers zipped=%t whole=%t", name, zipped, whole),
					func(t *testing.T) {
						m.zipped = zipped
						archive := make(m).pack()
						if whole {
							archive = zip(archive)
						}
						steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
							unpacksSmall(t, u, archive)
						})
					})
			}
		}
	}
}

// unpacksSmall looks for the whole of the small image, from a file and from a pipe.
func unpacksSmall(t *testing.T, u steptest.User, archive []byte) {
	b := newBench(t, u)
	got := b.image(t, archive)
	if !reflect.DeepEqual(got.Config, wanted) {
		t.Errorf("config %+v, want %+v", got.Config, wanted)
	}
	if len(got.Layers) != 2 || len(b.inCache(t)) != 2 {
		t.Errorf("of three layers, two alike: %v, in the cache %v", got.Layers, b.inCache(t))
	}
	b.showsSmall(t, got.Layers)
	piped := newBench(t, u)
	cmd := piped.unpack("-")
	cmd.Stdin = io.MultiReader(bytes.NewReader(archive)) // no file: os/exec makes a pipe
	steptest.Output(t, cmd)
	if len(piped.inCache(t)) != 2 {
		t.Errorf("from a pipe: %v", piped.inCache(t))
	}
}

// TestBroken unpacks images with something wrong in them, each beside its innocent twin.
func TestBroken(t *testing.T) {
	other := "riscv64"
	damage := func(b blobs, name string) []byte {
		for full, content := range b {
			if strings.HasSuffix(full, strings.TrimPrefix(name, "sha256:")) {
				text := slices.Clone(content.([]byte))
				text[len(text)/2] ^= 1
				b[full] = text
				return b.pack()
			}
		}
		panic("no member " + name)
	}
	m := small()
	zipped := m
	zipped.zipped = true
	foreign := m
	foreign.architecture = other
	config := sum(m.config())
	without := func(b blobs, name string) []byte {
		delete(b, name)
		return b.pack()
	}
	with := func(b blobs, name string, content any) []byte {
		b[name] = content
		return b.pack()
	}
	changed := func(change func(object)) []byte {
		m := m
		m.change = change
		return m.oci().pack()
	}
	digits := func(text string) []byte {
		return changed(func(c object) {
			c["rootfs"].(object)["diff_ids"].([]string)[1] = "sha256:" + text
		})
	}
	// The layer is what its diff_id says, but compressed in another way than its digest says.
	recompressed := zipped.oci()
	for name, content := range recompressed {
		if name == "blobs/sha256/"+strings.TrimPrefix(sum(zip(m.layers[1])), "sha256:") {
			again := slices.Clone(content.([]byte))
			again[9] ^= 1 // the system on which it was made (RFC 1952)
			recompressed[name] = again
		}
	}
	typed := func(kind string) []byte {
		m := m
		m.layerType = kind
		return m.oci().pack()
	}
	two, second := m.oci(), m
	second.change = func(c object) { c["author"] = "another" }
	two.index(m.manifest(two), second.manifest(two))
	nested := m.oci()
	inner := nested.put(indexTypes[0], nested["index.json"].([]byte))
	for range maxIndexes {
		inner = nested.put(indexTypes[0], object{"manifests": []object{inner}}.json())
	}
	nested.index(inner)
	manifestSum := m.manifest(blobs{})["digest"].(string)
	wrongSize := m.oci()
	d := m.manifest(wrongSize)
	d["size"] = 1
	wrongSize.index(d)
	loop := m.docker()
	loop["layer0/layer.tar"] = "../layer2/layer.tar" // which is a link to layer0's
	many := make([]item, maxMembers+1)
	for i := range many {
		many[i] = file(fmt.Sprint(i), "")
	}
	zstd := append([]byte("\x28\xb5\x2f\xfd"), make([]byte, 600)...)
	badLayer := m.docker()
	badLayer["layer1/layer.tar"] = zstd
	for name, c := range map[string]struct {
		archive []byte
		why     string
	}{
		"another architecture, docker": {
			foreign.docker().pack(),
			`it is for "linux/riscv64", and this`,
		},
		"another architecture, oci": {foreign.oci().pack(), `it is for "linux/riscv64", and this`},
		"others, list": {
			m.list("s390x", other).pack(),
			`it is for "linux/riscv64", "linux/s390x", and`,
		},
		"another system": {changed(func(c object) { c["os"] = "windows" }),
			`it is for "windows/` + runtime.GOARCH + `"`},
		"zstd, by type": {
			typed(layerTypes[0] + "+zstd"), "a layer is compressed with zstd, and only gzip is " +
				"understood here: skopeo copy --dest-compress-format gzip oci-archive:FILE " +
				"oci-archive:NEW recompresses it\n",
		},
		"zstd, whole": {zstd, ": it is compressed with zstd, and only gzip is understood here: " +
			"zstd -dc FILE > NEW decompresses it\n"},
		"xz, whole":     {[]byte("\xfd7zXZ\x00\x00"), "here: xz -dc FILE > NEW decompresses it\n"},
		"bzip2, whole":  {[]byte("BZh91AY&SY"), "here: bzip2 -dc FILE > NEW decompresses it\n"},
		"zstd, a layer": {badLayer.pack(), ": a layer is compressed with zstd, and only gzip"},
		"unknown type":  {typed("text/plain"), "media type \"text/plain\""},

		"damaged manifest": {damage(m.oci(), manifestSum), " has the digest sha256:"},
		"damaged config":   {damage(m.oci(), config), " has the digest sha256:"},
		"damaged config, old": {
			damage(m.docker(), strings.TrimPrefix(config, "sha256:")+".json"),
			" has the digest sha256:",
		},
		"damaged layer":        {damage(m.oci(), sum(m.layers[0])), "layer sha256:"},
		"damaged layer, upper": {damage(m.oci(), sum(m.layers[1])), "layer sha256:"},
		"damaged layer, old":   {damage(m.docker(), "layer1/layer.tar"), "layer sha256:"},
		"recompressed layer":   {recompressed.pack(), "what lies in the archive has the digest"},
		"wrong diff_id": {changed(func(c object) {
			c["rootfs"].(object)["diff_ids"].([]string)[1] = sum([]byte("other"))
		}), "the layer's tar has the digest sha256:"},
		"another digest's name": {changed(func(c object) {
			c["rootfs"].(object)["diff_ids"].([]string)[1] = "md5:00"
		}), `"md5:00" is no sha256 digest`},
		"no digits":    {digits(""), `"sha256:" is no sha256 digest`},
		"63 digits":    {digits(strings.Repeat("a", 63)), `aaa" is no sha256 digest`},
		"65 digits":    {digits(strings.Repeat("a", 65)), `aaa" is no sha256 digest`},
		"66 digits":    {digits(strings.Repeat("a", 66)), `aaa" is no sha256 digest`},
		"upper case":   {digits(strings.Repeat("A", 64)), `AAA" is no sha256 digest`},
		"other digits": {digits(strings.Repeat("g", 64)), `ggg" is no sha256 digest`},
		"a path for a digest": {changed(func(c object) {
			c["rootfs"].(object)["diff_ids"].([]string)[1] = "sha256:../../../../etc"
		}), "is no sha256 digest"},
		"too few diff_ids": {
			changed(func(c object) { c["rootfs"] = object{} }),
			"3 layers and 0 diff_ids",
		},
		"wrong size": {wrongSize.pack(), "bytes, not 1"},

		"no manifest": {pack(file("hello", "")), "neither an index.json nor a manifest.json"},
		"of docker export": {
			pack(file("bin/sh", "")),
			"for a tar of files, such as `docker export` writes, unpack it and use -root\n",
		},
		"no images": {
			with(m.docker(), "manifest.json", []byte("[]")),
			"it names no image",
		},
		"no JSON": {
			with(m.docker(), "manifest.json", []byte("{")),
			"read manifest.json: ",
		},
		"null": {
			with(m.docker(), "manifest.json", []byte("[null]")),
			`"." isn't in the archive`,
		},
		"no index": {
			with(m.oci(), "index.json", []byte("{}")),
			"it names no image",
		},
		"two images": {
			two.pack(),
			"2 images in one archive, where one is needed (-image FILE:NAME): [\"sha256:",
		},
		"indexes in indexes": {nested.pack(), "4 indexes within each other"},
		"missing layer": {
			without(m.docker(), "layer1/layer.tar"),
			`"layer1/layer.tar" isn't in the archive`,
		},
		"links in a circle": {loop.pack(), "too many levels of symbolic links"},
		"giant JSON": {
			with(m.oci(), "index.json", make([]byte, maxJSON+1)),
			`"index.json" has 4194305 bytes`,
		},
		"a million members": {pack(many...), "more than 16384 members: -image takes"},
		"a giant name":      {pack(file(strings.Repeat("n", 1<<19), "")), "file name too long"},
		"a giant link":      {pack(symlink("l", strings.Repeat("n", 1<<19))), "file name too long"},
		"a link out": {
			with(m.docker(), "layer1/layer.tar", "/etc/passwd"),
			"isn't in the archive",
		},

		"nothing": {nil, "unexpected EOF"},
		"text":    {[]byte(strings.Repeat("no tar at all\n", 100)), "read it as a tar"},
	} {
		t.Run(name, func(t *testing.T) {
			steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
				newBench(t, u).refuses(t, c.archive, c.why)
			})
		})
	}
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		unpacksSmall(t, u, zipped.both().pack())
	})
}

// TestCutShort cuts archives at every 64 KiB, and once just before their end.
func TestCutShort(t *testing.T) {
	random := make([]byte, 600_000)
	source := rand.NewChaCha8([32]byte{})
	_, _ = source.Read(random) // never fails
	m := small()
	m.layers = append(m.layers, pack(file("big", string(random[:300_000]))),
		pack(file("big", string(random[300_000:]))))
	steptest.AsEveryUserAtOnce(t, func(t *testing.T, u steptest.User) {
		for name, archive := range map[string][]byte{
			"docker": m.docker().pack(), "oci": m.oci().pack(), "zipped": zip(m.both().pack()),
		} {
			b := newBench(t, u)
			cuts := []int{1, 511, 512, 1024, len(archive) - 1024, len(archive) - 1025}
			for cut := 0; cut < len(archive); cut += 64 << 10 {
				cuts = append(cuts, cut)
			}
			for _, cut := range cuts {
				b.refuses(t, archive[:cut], "")
			}
			if b.image(t, archive); len(b.inCache(t)) != 4 {
				t.Errorf("%s: the control: %v", name, b.inCache(t))
			}
		}
	})
}

// TestNoCommandsForTheTerminal has images whose names would change the window title of a terminal
// that shows the error. refuses looks whether the error contains such a command.
func TestNoCommandsForTheTerminal(t *testing.T) {
	const title, quoted = "\x1b]0;title\a", `\x1b]0;title\a`
	m := small()
	changed := func(key string) made {
		m := m
		m.change = func(o object) { o[key] = title }
		return m
	}
	platform := m.oci()
	d := m.manifest(platform)
	d["platform"] = object{"os": title, "architecture": title}
	platform.index(d)
	names := m.oci()
	d = m.manifest(names)
	d["annotations"] = object{"org.opencontainers.image.ref.name": title}
	other := object{"mediaType": manifestTypes[0], "digest": title}
	names.index(d, other)
	kind := m
	kind.layerType = title
	tags := m.docker()
	one, two := object{"RepoTags": []string{title}, "Config": "1"}, object{"Config": "2"}
	tags["manifest.json"] = append(append(append([]byte("["), one.json()...), ','),
		append(two.json(), ']')...)
	config, layer, text := m.docker(), m.docker(), m.docker()
	name := title + "/" + strings.Repeat("0", 64)
	config.manifestJSON(name)
	layer.manifestJSON(strings.TrimPrefix(sum(m.config()), "sha256:")+".json",
		"layer0/layer.tar", title, title)
	text[name] = []byte("text")
	text.manifestJSON(name)
	loop := m.docker()
	loop[title], loop["layer0/layer.tar"] = title, title
	for name, b := range map[string]blobs{
		"system": changed("os").oci(), "architecture": changed("architecture").docker(),
		"platform": platform, "names": names, "media type": kind.oci(), "tags": tags,
		"config": config, "layer": layer, "no config": text, "loop": loop,
		"entry":      layered([]item{file(title+strings.Repeat("n", 256), "")}).oci(),
		"hard link":  layered([]item{hardlink("h", title)}).oci(),
		"its parent": layered([]item{file(title, ""), file(title+"/f", "")}).oci(),
	} {
		t.Run(name, func(t *testing.T) {
			ownBench(t).refuses(t, b.pack(), quoted)
		})
	}
}

// limited can be read so many times.
type limited struct {
	io.ReaderAt
	left int
}

// ReadAt is for an io.SectionReader.
func (l *limited) ReadAt(p []byte, offset int64) (int, error) {
	if l.left--; l.left < 0 {
		return 0, errors.New("read too many times")
	}
	return l.ReaderAt.ReadAt(p, offset)
}

// TestManyIndexes has an index that names the next one a thousand times, and that one too.
func TestManyIndexes(t *testing.T) {
	b := small().oci()
	inner := b.put(indexTypes[0], b["index.json"].([]byte))
	for range maxIndexes - 1 {
		manifests := slices.Repeat([]object{inner}, 1000)
		inner = b.put(indexTypes[0], object{"manifests": manifests}.json())
	}
	b.index(inner)
	archive := b.pack()
	a, err := openArchive(bytes.NewReader(archive), int64(len(archive)), t.TempDir(), 0)
	if err != nil {
		t.Fatal(err)
	}
	a.source = &limited{a.source, 1000}
	if image, err := readImage(a, ""); err != nil || len(image.layers) != 3 {
		t.Errorf("%+v, %v", image, err)
	}
}

// TestManyImages has archives of more images than an error can name, in an order that isn't that
// of the names, and a name that is longer than an error may be.
func TestManyImages(t *testing.T) {
	b, indexes := blobs{}, []object{}
	for i := range 20 {
		var manifests []object
		for n := range 1000 {
			name := object{"org.opencontainers.image.ref.name": fmt.Sprint("v", i, ".", n)}
			manifests = append(manifests, object{"mediaType": manifestTypes[0], "size": 1,
				"digest": sum(fmt.Append(nil, i, n)), "annotations": name})
		}
		indexes = append(indexes, b.put(indexTypes[0], object{"manifests": manifests}.json()))
	}
	b.index(indexes...)
	names := func(err error) int { return strings.Count(fmt.Sprint(err), `"v0.`) }
	archive := b.pack()
	a, err := openArchive(bytes.NewReader(archive), int64(len(archive)), t.TempDir(), 0)
	if err != nil {
		t.Fatal(err)
	}
	a.source = &limited{a.source, 2} // index.json and the first index
	_, err = readImage(a, "")
	if names(err) != 10 || !strings.Contains(err.Error(), "more than 10 images in one archive") {
		t.Errorf("%d names in: %v", names(err), err)
	}
	old, long := []object{}, object{"RepoTags": []string{strings.Repeat("n", 1<<20)}}
	for n := range 12 {
		tags := []string{fmt.Sprint("v0.", n)}
		old = append(old, object{"RepoTags": tags, "Config": fmt.Sprint(n)})
	}
	for _, images := range [][]object{old, {long, long}} {
		text, err := json.Marshal(images)
		if err != nil {
			t.Fatal(err)
		}
		bench := ownBench(t)
		archive := bench.write(t, "archive", pack(file("manifest.json", string(text))))
		r := steptest.Run(t, bench.unpack(archive))
		if r.Status != 125 || len(r.Stderr) > 4200 || len(images) > 2 &&
			strings.Count(r.Stderr, `"v0.`) != 10 {
			t.Errorf("%d images: exit status %d, %d bytes: %.2000s", len(images), r.Status,
				len(r.Stderr), r.Stderr)
		}
	}
}

// FuzzArchive reads archives that are like the right ones.
func FuzzArchive(f *testing.F) {
	m := small()
	zipped := m
	zipped.zipped = true
	for _, b := range []blobs{m.docker(), m.oci(), zipped.both(), m.list("s390x", runtime.GOARCH)} {
		f.Add(b.pack())
		f.Add(zip(b.pack()))
		f.Add(b.pack()[:700])
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := openArchive(bytes.NewReader(text), int64(len(text)), t.TempDir(), 1<<20)
		if err != nil {
			return
		}
		image, err := readImage(a, "")
		if err != nil {
			return
		}
		for _, l := range image.layers {
			if _, err := parseDigest("sha256:" + string(l.diffID)); err != nil {
				t.Error(err)
			}
		}
	})
}

// mountPoints are what these tests have on top of an image.
var mountPoints = map[string]os.FileMode{"proc": 0o555, "sys": 0o555, "dev": 0o755}

// init adds what these tests run in the program's place.
func init() {
	experiments["test:unpack"] = func(args []string) error {
		file := os.Stdin
		if args[0] != "-" {
			var err error
			if file, err = os.Open(args[0]); err != nil {
				return err
			}
		}
		unix.Umask(0o077) // the strictest that users have, and nothing may come of it
		i, err := unpackImage(file, strings.Join(args[2:], ""), args[1])
		if err != nil {
			return err
		}
		there := unpackedTo{Config: i.Config}
		for _, layer := range i.Layers {
			there.Layers = append(there.Layers, filepath.Join(i.Cache.Source, string(layer)))
		}
		return json.NewEncoder(os.Stdout).Encode(there)
	}
	// test:unpack-as-root does so as root of a user namespace, which an ordinary user can be.
	experiments["test:unpack-as-root"] = func(args []string) error {
		cmd := self(append([]string{"test:unpack"}, args...)...)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET,
			UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		}
		return cmd.Run()
	}
	// test:enter LAYERS [overlay [EXPERIMENT...]] looks at layers, where the word is given by no
	// other way, and test:remove DIR empties a directory, both as root of a container's namespaces.
	experiments["test:enter"] = func(args []string) error {
		var layers []string
		if err := json.Unmarshal([]byte(args[0]), &layers); err != nil {
			return err
		}
		cache := filepath.Dir(layers[0])
		shifted := strings.HasPrefix(filepath.Base(cache), "shifted-")
		if !shifted && filepath.Base(cache) != "layers" {
			return asRootInside("test:inside", args, nil)
		}
		// Root passes its cache on. The layers are below /tmp then.
		for i, layer := range layers {
			layers[i] = filepath.Join("/tmp", filepath.Base(layer))
		}
		text, err := json.Marshal(layers)
		if err != nil {
			return err
		}
		args[0] = string(text)
		return asRootInside("test:passed", args, &volume{Source: cache, Shifted: shifted})
	}
	experiments["test:passed"] = func(args []string) error {
		_, err := io.Copy(io.Discard, os.Stdin)
		err = errors.Join(err, checkCache(3),
			mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
			unix.MoveMount(3, "", unix.AT_FDCWD, "/tmp", unix.MOVE_MOUNT_F_EMPTY_PATH))
		if err != nil {
			return err
		}
		return experiments["test:inside"](args)
	}
	experiments["test:remove"] = func(args []string) error {
		return asRootInside("test:empty", args, nil)
	}
	experiments["test:empty"] = func(args []string) error {
		_, err := io.Copy(io.Discard, os.Stdin)
		if err := errors.Join(err, dropHostIdentity()); err != nil {
			return err
		}
		names, err := filepath.Glob(filepath.Join(args[0], "*"))
		for _, name := range names {
			err = errors.Join(err, os.RemoveAll(name))
		}
		return err
	}
	experiments["test:inside"] = func(args []string) error {
		_, err := io.Copy(io.Discard, os.Stdin)
		if err := errors.Join(err, dropHostIdentity(),
			mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")); err != nil {
			return err
		}
		var layers []string
		if err := json.Unmarshal([]byte(args[0]), &layers); err != nil {
			return err
		}
		before, _ := os.ReadFile("/proc/self/mounts")
		if err := mountOverlay("/tmp", layers, contents{dirs: mountPoints}, 64<<20); err != nil {
			if after, _ := os.ReadFile("/proc/self/mounts"); bytes.Equal(after, before) {
				err = fmt.Errorf("%w; nothing is mounted on /tmp", err)
			}
			if !errors.Is(err, errNoOverlay) || len(args) > 1 || len(layers) > 1 {
				return err
			}
			// A single layer can be looked at without.
			if err := bindReadOnly(layers[0], "/tmp"); err != nil {
				return err
			}
		}
		if len(args) > 2 {
			return experiments[args[2]](args[3:])
		}
		return printTree("/tmp")
	}
}

// asRootInside is the outer process of a container that runs an experiment. The experiment waits
// until its IDs are mapped, which it hears over standard input. passed is its descriptor 3.
func asRootInside(experiment string, args []string, passed *volume) error {
	cmd := exec.Command("/proc/self/exe", append([]string{experiment}, args...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	later, err := mapIDs(cmd.SysProcAttr)
	if err != nil {
		return err
	}
	ready, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if passed == nil {
		if err := cmd.Start(); err != nil {
			return err
		}
		return errors.Join(later(cmd.Process.Pid), ready.Close(), cmd.Wait())
	}
	tree, err := openTree(*passed)
	if err != nil {
		return err
	}
	cmd.ExtraFiles = []*os.File{os.NewFile(uintptr(tree), passed.Source)}
	if err := cmd.Start(); err != nil {
		return err
	}
	if !passed.Shifted {
		err = shiftIDs(tree, cmd.Process.Pid)
	}
	return errors.Join(err, later(cmd.Process.Pid), ready.Close(), cmd.Wait())
}

// printTree prints a tree as it is to be seen there: path, mode, owner if it isn't root, and
// content.
func printTree(root string) error {
	return filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		line := strings.TrimPrefix(name, root)
		if _, ours := mountPoints[strings.TrimPrefix(line, "/")]; ours || line == "" {
			return nil
		}
		stat := info.Sys().(*syscall.Stat_t)
		line += " " + info.Mode().String()
		if stat.Uid != 0 || stat.Gid != 0 {
			line += fmt.Sprintf(" %d:%d", stat.Uid, stat.Gid)
		}
		switch info.Mode().Type() {
		case 0:
			text, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			line += " " + string(text[:min(len(text), 40)])
		case fs.ModeSymlink:
			target, err := os.Readlink(name)
			if err != nil {
				return err
			}
			line += " " + path.Clean(target)
		}
		fmt.Println(line)
		return nil
	})
}
