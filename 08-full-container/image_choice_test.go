//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	"runtime"
	"strings"
	"testing"

	"jail-to-container/scripts/steptest"
)

// The annotations that name an image in an index.
const (
	ref        = "org.opencontainers.image.ref.name"
	containerd = "io.containerd.image.name"
)

// saying is an image whose command is a word, which tells it from others.
func saying(word string) made {
	m := small()
	m.change = func(c object) { c["config"] = imageConfig{Cmd: []string{word}} }
	return m
}

// foreign is an image for another architecture.
func foreign() made {
	m := saying("foreign")
	m.architecture = "riscv64"
	return m
}

// noPlatform is an image that doesn't say what it is for, as `crane append` makes it.
func noPlatform() made {
	m := small()
	m.change = func(c object) {
		c["config"], c["os"], c["architecture"] = imageConfig{Cmd: []string{"anywhere"}}, "", ""
	}
	return m
}

// old makes one archive of several images, as `docker save` did, with the tags 1, 2 and so on.
func old(images ...made) blobs {
	all, list := blobs{}, []object{}
	for n, m := range images {
		b := m.docker()
		var single []object
		if err := json.Unmarshal(b["manifest.json"].([]byte), &single); err != nil {
			panic(err)
		}
		single[0]["RepoTags"] = []string{fmt.Sprintf("example.org/a/i:%d", n+1)}
		list = append(list, single...)
		maps.Copy(all, b)
	}
	text, err := json.Marshal(list)
	if err != nil {
		panic(err)
	}
	all["manifest.json"] = text
	return all
}

// jib makes an archive as jib does: the config's name is config.json.
func jib(m made) blobs {
	b := m.docker()
	b.manifestJSON("config.json", "layer0/layer.tar", "layer1/layer.tar", "layer2/layer.tar")
	b["config.json"] = m.config()
	delete(b, digits(m.config())+".json")
	return b
}

// digits returns a digest as it is in the names of files.
func digits(text []byte) string { return strings.TrimPrefix(sum(text), "sha256:") }

// layout makes an OCI layout of what add has added.
func layout(add func(b blobs) []object) blobs {
	b := blobs{}
	b.index(add(b)...)
	return b
}

// called gives the image of a descriptor a name.
func called(descriptor object, key, name string) object {
	descriptor["annotations"] = object{key: name}
	return descriptor
}

// isFor adds a platform to a descriptor.
func isFor(descriptor object, architecture string) object {
	descriptor["platform"] = object{"os": "linux", "architecture": architecture}
	return descriptor
}

// skopeoDir makes what `skopeo copy` writes to dir: from an OCI layout. The blobs lie at the top,
// and manifest.json is what the last descriptor of index.json leads to.
func skopeoDir(b blobs) blobs {
	var index struct{ Manifests []descriptor }
	if err := json.Unmarshal(b["index.json"].([]byte), &index); err != nil {
		panic(err)
	}
	dir := blobs{}
	for name, content := range b {
		text := content.([]byte)
		switch {
		case name == "index.json":
		case sum(text) == index.Manifests[0].Digest:
			dir["manifest.json"] = text
		case bytes.Contains(text, []byte(`"layers":[`)) && !bytes.Contains(text, []byte("rootfs")):
			dir[path.Base(name)+".manifest.json"] = text
		default:
			dir[path.Base(name)] = text
		}
	}
	return dir
}

// chooses reads the image of that name, which may be "", from an archive, and compares its command,
// or else the error.
func chooses(t *testing.T, archive blobs, name, want string) {
	t.Helper()
	packed := archive.pack()
	a, err := openArchive(bytes.NewReader(packed), int64(len(packed)), t.TempDir(), 0)
	if err != nil {
		t.Fatal(err)
	}
	image, err := readImage(a, name)
	switch {
	case err != nil && !strings.Contains(err.Error(), want):
		t.Errorf("got %q, want %q", err, want)
	case err == nil && image.config.Cmd[0] != want:
		t.Errorf("got the image that says %q, want %q", image.config.Cmd[0], want)
	}
}

// TestChoiceInOldArchives has archives with a manifest.json.
func TestChoiceInOldArchives(t *testing.T) {
	one, two := saying("one"), saying("two")
	withoutLayers := old(foreign(), one)
	withoutLayers.manifestJSON("x.json", "not/there.tar")
	withoutLayers["x.json"] = foreign().config()
	for name, c := range map[string]struct {
		archive    blobs
		name, want string
	}{
		"jib":                    {jib(one), "", "one"},
		"no platform":            {noPlatform().docker(), "", "anywhere"},
		"two architectures":      {old(foreign(), two), "", "two"},
		"foreign without layers": {withoutLayers, "", `it is for "linux/riscv64", and`},
		"the same twice":         {old(one, one), "", "one"},
		"two": {old(one, two), "", `(-image FILE:NAME): ["example.org/a/i:1" "` +
			digits(one.config()) + `.json"], ["example.org/a/i:2" "`},
		"by name":           {old(one, two), "example.org/a/i:2", "two"},
		"by a part of it":   {old(one, two), "i:1", "one"},
		"by tag":            {old(one, two), "2", "two"},
		"by part of a tag":  {old(one, two), "org/a/i", `no image in it is named "org/a/i"`},
		"by another name":   {old(one, two), "3", `"example.org/a/i:1", "example.org/a/i:2"`},
		"by foreign's name": {old(foreign(), two), "1", `it is for "linux/riscv64", and`},
		"by config":         {old(one, two), digits(two.config()) + ".json", "two"},
	} {
		t.Run(name, func(t *testing.T) { chooses(t, c.archive, c.name, c.want) })
	}
}

// TestChoiceInLayouts has OCI layouts of several images.
func TestChoiceInLayouts(t *testing.T) {
	one, two := saying("one"), saying("two")
	zipped, zstd, otherZstd := one, one, two
	zipped.zipped, zstd.layerType, otherZstd.layerType = true, zstdTypes[0], zstdTypes[0]
	tagged := layout(func(b blobs) []object {
		return []object{called(one.manifest(b), ref, "1"),
			called(two.manifest(b), containerd, "docker.io/library/i:2"),
			isFor(called(foreign().manifest(b), ref, "3"), "riscv64")}
	})
	nested := layout(func(b blobs) []object {
		inner := func(m made) object {
			both := []object{foreign().manifest(b), isFor(m.manifest(b), runtime.GOARCH)}
			return b.put(indexTypes[0], object{"manifests": both}.json())
		}
		first := inner(one)
		return []object{called(first, ref, "a"), called(inner(two), ref, "b"),
			called(maps.Clone(first), ref, "c")}
	})
	of := func(images ...made) blobs {
		return layout(func(b blobs) (manifests []object) {
			for _, m := range images {
				manifests = append(manifests, m.manifest(b))
			}
			return manifests
		})
	}
	for name, c := range map[string]struct {
		archive    blobs
		name, want string
	}{
		"no platform":         {noPlatform().oci(), "", "anywhere"},
		"by tag":              {tagged, "1", "one"},
		"by containerd's tag": {tagged, "i:2", "two"},
		"by digest":           {tagged, two.manifest(blobs{})["digest"].(string), "two"},
		"by foreign's tag":    {tagged, "3", `it is for "linux/riscv64", and`},
		"by another tag":      {tagged, "4", `are: "1", "3", "docker.io/library/i:2"`},
		"by none":             {tagged, "", "2 images in one archive"},
		"indexes, a":          {nested, "a", "one"},
		"indexes, b":          {nested, "b", "two"},
		"indexes, c":          {nested, "c", "one"},
		"indexes, d":          {nested, "d", `is named "d", but these are: "a", "b", "c"`},
		"two architectures":   {of(foreign(), two), "", "two"},
		"two tags": {layout(func(b blobs) []object {
			return []object{called(one.manifest(b), ref, "1"), called(one.manifest(b), ref, "2")}
		}), "", "one"},
		"compressed in three ways": {of(zstd, one, zipped), "", "one"},
		"compressed, plain first":  {of(one, zstd), "", "one"},
		"zstd only":                {of(foreign(), zstd), "", "a layer is compressed with zstd"},
		"zstd, beside another":     {of(one, otherZstd), "", "2 images in one archive"},
	} {
		t.Run(name, func(t *testing.T) { chooses(t, c.archive, c.name, c.want) })
	}
}

// TestNotImages has manifests that aren't an image's, alone and beside an image.
func TestNotImages(t *testing.T) {
	cosign := `{"architecture":"","os":"","config":{},"rootfs":{"type":"layers","diff_ids":["` +
		sum([]byte("{}")) + `"]}}`
	for name, c := range map[string]struct{ configType, config, layerType string }{
		"cosign's signature": {configTypes[0], cosign,
			"application/vnd.dev.cosign.simplesigning.v1+json"},
		"cosign's SBOM":  {configTypes[0], "{}", "text/spdx"},
		"an OCI 1.1 one": {"application/vnd.oci.empty.v1+json", "{}", "application/spdx+json"},
		"a Helm chart":   {"application/vnd.cncf.helm.config.v1+json", "{}", layerTypes[1]},
	} {
		t.Run(name, func(t *testing.T) {
			manifest := func(b blobs) object {
				return b.put(manifestTypes[0], object{
					"config": b.put(c.configType, []byte(c.config)),
					"layers": []object{b.put(c.layerType, []byte("{}"))}}.json())
			}
			chooses(t, layout(func(b blobs) []object { return []object{manifest(b)} }), "",
				"not an image: media type \"")
			chooses(t, layout(func(b blobs) []object {
				return []object{manifest(b), saying("one").manifest(b)}
			}), "", "one")
		})
	}
}

// TestDirOfSkopeo has the files of a registry, as skopeo's dir: writes them.
func TestDirOfSkopeo(t *testing.T) {
	one := saying("one")
	single := skopeoDir(layout(func(b blobs) []object { return []object{one.manifest(b)} }))
	all := skopeoDir(one.list("s390x", runtime.GOARCH))
	digest := one.manifest(blobs{})["digest"].(string)
	chooses(t, single, "", "one")
	chooses(t, single, digest, "one")
	chooses(t, single, "1", `no image in it is named "1", but these are: "`+digest+`"`)
	chooses(t, all, "", "one")
	for name := range all {
		if strings.HasSuffix(name, ".manifest.json") {
			return
		}
	}
	t.Error("with several architectures, there is no DIGEST.manifest.json")
}

// TestChoiceByFlag gives a name after the file's, which may have colons in its own.
func TestChoiceByFlag(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"a", "a:b", "a:b:c.tar"} {
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for text, want := range map[string][2]string{
		"a": {"a", ""}, "a:1": {"a", "1"}, "a:b": {"a:b", ""}, "a:b:c": {"a:b", "c"},
		"a:b:c.tar": {"a:b:c.tar", ""}, "a:b:c.tar:x/y:1": {"a:b:c.tar", "x/y:1"},
		"./a:": {"./a", ""}, "none": {"none", ""}, "none:1": {"none:1", ""},
		"-": {"-", ""}, "-:1": {"-", "1"}, "-:x:1": {"-", "x:1"}, "": {"", ""},
	} {
		if file, name := splitImage(text); file != want[0] || name != want[1] {
			t.Errorf("of %q: %q and %q, want %q", text, file, name, want)
		}
	}
	needsOverlay(t)
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		b, m, other := newBench(t, u), small(), small()
		other.architecture = "riscv64"
		two := m.oci()
		two.index(called(other.manifest(two), "org.opencontainers.image.ref.name", "1"),
			called(m.manifest(two), "org.opencontainers.image.ref.name", "2"))
		archive := b.write(t, "a:b", two.pack())
		for name, why := range map[string]string{
			"1": `it is for "linux/riscv64"`,
			"3": `no image in it is named "3", but these are: "1", "2"`,
		} {
			cmd := u.Program("-net=false", "-image", archive+":"+name, "true")
			cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+b.cache)
			if r := steptest.Run(t, cmd); r.Status != 125 || !strings.Contains(r.Stderr, why) {
				t.Errorf("%s: %+v, want %s", name, r, why)
			}
		}
		cmd := u.Program("-net=false", "-image", archive+":2", "-user", "0", "/nothing")
		cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+b.cache)
		if r := steptest.Run(t, cmd); r.Status != 127 {
			t.Errorf("the control: %+v", r)
		}
	})
}
