//go:build linux

// The two formats that describe an image in its archive: OCI layouts, a chain of digests from
// index.json through a manifest to the config and the layers, which docker save writes today
// (github.com/opencontainers/image-spec); and that of Docker up to 24, which other tools still
// write, where manifest.json names the config and the layers by their files.

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
)

// descriptor points to a blob (image-spec, descriptor.md).
type descriptor struct {
	MediaType, Digest string
	Size              int64
	Platform          *platform
	Annotations       map[string]string
}

// What a descriptor may point to: OCI's types, and Docker's, which they have come from.
var (
	indexTypes = []string{"application/vnd.oci.image.index.v1+json",
		"application/vnd.docker.distribution.manifest.list.v2+json"}
	manifestTypes = []string{"application/vnd.oci.image.manifest.v1+json",
		"application/vnd.docker.distribution.manifest.v2+json"}
	configTypes = []string{"application/vnd.oci.image.config.v1+json",
		"application/vnd.docker.container.image.v1+json"}
	layerTypes = []string{"application/vnd.oci.image.layer.v1.tar",
		"application/vnd.oci.image.layer.v1.tar+gzip",
		"application/vnd.docker.image.rootfs.diff.tar",
		"application/vnd.docker.image.rootfs.diff.tar.gzip"}
	zstdTypes = []string{"application/vnd.oci.image.layer.v1.tar+zstd",
		"application/vnd.docker.image.rootfs.diff.tar.zstd"}
)

// maxIndexes is how deep an index may lie in others: two are in use.
const maxIndexes = 4

// searchLayout searches index.json, which has no digest itself.
func (c *choice) searchLayout() error {
	text, err := c.read("index.json", "")
	if err != nil {
		return err
	}
	return c.searchIndex(text, maxIndexes, nil)
}

// searchDir searches the manifest.json of skopeo's dir:, which is an image's manifest, or an index.
func (c *choice) searchDir(text []byte) error {
	var index struct{ Manifests []descriptor }
	if err := json.Unmarshal(text, &index); err != nil {
		return fmt.Errorf("read manifest.json: %w", err)
	}
	if len(index.Manifests) > 0 {
		return c.searchIndex(text, maxIndexes, nil)
	}
	name := "sha256:" + string(digestOf(text))
	if c.wants([]string{name}) {
		c.add(name, []string{name}, func() (*parts, error) { return c.readManifest(text) })
	}
	return nil
}

// searchIndex takes up the manifests in an index that may fit. An image for several architectures
// is an index as well, one floor down, and its names are those of all that is in it.
func (c *choice) searchIndex(text []byte, depth int, outer []string) error {
	var index struct{ Manifests []descriptor }
	if err := json.Unmarshal(text, &index); err != nil {
		return fmt.Errorf("read an index: %w", err)
	}
	for _, d := range index.Manifests {
		names := append(slices.Clone(outer), d.names()...)
		switch {
		case len(c.fit) > maxNamed:
			return nil
		case slices.Contains(indexTypes, d.MediaType):
			if err := c.searchNested(d, depth, names); err != nil {
				return err
			}
			continue
		case d.Platform != nil && d.Platform.OS == "unknown":
			continue // which is how build tools mark what is no image
		}
		if _, err := parseDigest(d.Digest); err != nil {
			return err
		}
		names = append(names, d.Digest)
		switch {
		case !c.wants(names):
		case d.Platform != nil && !d.Platform.fits():
			note(c.platforms, d.Platform.String())
		default: // without a platform here, the config has one
			c.add(d.Digest, names, func() (*parts, error) {
				text, err := readBlob(c.archive, d, manifestTypes)
				if err != nil {
					return nil, err
				}
				return c.readManifest(text)
			})
		}
	}
	return nil
}

// searchNested searches an index in an index. It reads each only once, or once more under a name
// that is wanted: if one names the next a thousand times, and so on, that would have no end.
func (c *choice) searchNested(d descriptor, depth int, names []string) error {
	key := fmt.Sprint(d.Digest, c.wants(names))
	if c.seen[key] {
		return nil
	}
	if depth == 0 {
		return fmt.Errorf("%d indexes within each other, and more", maxIndexes)
	}
	text, err := readBlob(c.archive, d, indexTypes)
	if err != nil {
		return err
	}
	c.seen[key] = true
	return c.searchIndex(text, depth-1, names)
}

// names returns what an image is called, by OCI and by Docker.
func (d descriptor) names() (names []string) {
	for _, key := range []string{"io.containerd.image.name", "org.opencontainers.image.ref.name"} {
		if name := d.Annotations[key]; name != "" {
			names = append(names, name)
		}
	}
	return names
}

// readManifest reads an image's manifest, and what it points to. The types of the config and of the
// layers tell an image from something else.
func (a *archive) readManifest(text []byte) (*parts, error) {
	var manifest struct {
		Config descriptor
		Layers []descriptor
	}
	if err := json.Unmarshal(text, &manifest); err != nil {
		return nil, fmt.Errorf("read a manifest: %w", err)
	}
	var unreadable error
	for _, d := range manifest.Layers {
		if slices.Contains(zstdTypes, d.MediaType) {
			unreadable = errCompressed("zstd")
		} else if err := d.mustBe(layerTypes); err != nil {
			return nil, err
		}
	}
	if err := manifest.Config.mustBe(configTypes); err != nil {
		return nil, err
	}
	name, sum, err := locate(a, manifest.Config)
	if err != nil {
		return nil, err
	}
	image, err := readConfig(a, name, sum, len(manifest.Layers))
	if err != nil {
		return nil, err
	}
	image.unreadable = unreadable
	for i, d := range manifest.Layers {
		name, sum, err := locate(a, d)
		if err != nil {
			return nil, err
		}
		image.layers[i].blob = sum
		if image.layers[i].content, err = a.open(name); err != nil {
			return nil, err
		}
	}
	return image, nil
}

// mustBe returns an error if a descriptor is of none of the types.
func (d descriptor) mustBe(types []string) error {
	if slices.Contains(types, d.MediaType) {
		return nil
	}
	return fmt.Errorf("%w: media type %q, where these are understood: %s",
		errNotImage, d.MediaType, strings.Join(types, ", "))
}

// locate returns where in the archive the blob lies that a descriptor points to, if that has the
// size that it says.
func locate(a *archive, d descriptor) (name string, sum digest, err error) {
	if sum, err = parseDigest(d.Digest); err != nil {
		return "", "", err
	}
	name = "blobs/sha256/" + string(sum)
	for _, other := range []string{string(sum), string(sum) + ".manifest.json"} { // skopeo's dir:
		if !a.has(name) && a.has(other) {
			name = other
		}
	}
	content, err := a.open(name)
	if err == nil && content.Size() != d.Size {
		err = fmt.Errorf("%s has %d bytes, not %d", name, content.Size(), d.Size)
	}
	return name, sum, err
}

// readBlob reads the JSON that a descriptor points to, if it is of one of the types.
func readBlob(a *archive, d descriptor, types []string) ([]byte, error) {
	if err := d.mustBe(types); err != nil {
		return nil, err
	}
	name, sum, err := locate(a, d)
	if err != nil {
		return nil, err
	}
	return a.read(name, sum)
}

// searchManifests searches manifest.json. It is a list of images, each with the names of its config
// and its layers. In a directory that skopeo's dir: has written, it is a manifest, or an index.
func (c *choice) searchManifests() error {
	text, err := c.read("manifest.json", "")
	if err != nil {
		return err
	}
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		return c.searchDir(text)
	}
	var images []struct {
		Config           string
		RepoTags, Layers []string
	}
	if err := json.Unmarshal(text, &images); err != nil {
		return fmt.Errorf("read manifest.json: %w", err)
	}
	for _, i := range images {
		if names := append(i.RepoTags, i.Config); c.wants(names) {
			c.add(i.Config, names, func() (*parts, error) {
				return c.readDocker(i.Config, i.Layers)
			})
		}
	}
	return nil
}

// readDocker reads an image. Of digests there is the config's, which is its name, and in it the
// layers' diff_ids; so all is verified that isn't manifest.json itself.
func (a *archive) readDocker(config string, layers []string) (*parts, error) {
	// Docker calls it DIGEST.json, its newer archives blobs/sha256/DIGEST, others sha256:DIGEST.
	// Jib calls it config.json: then it is trusted as it is, like manifest.json.
	sum, err := parseDigest("sha256:" +
		strings.TrimSuffix(strings.TrimPrefix(path.Base(config), "sha256:"), ".json"))
	if err != nil {
		sum = ""
	}
	image, err := readConfig(a, config, sum, len(layers))
	if err != nil {
		return nil, err
	}
	for i, name := range layers {
		if image.layers[i].content, err = a.open(name); err != nil {
			return nil, err
		}
	}
	return image, nil
}
