//go:build linux

// OCI layouts (github.com/opencontainers/image-spec), which `docker save` writes today as well: a
// chain of digests, from index.json over a manifest to the config and the layers.

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
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
)

// maxIndexes is how deep an index may lie in others: two are in use.
const maxIndexes = 4

// readOCI follows the digests from index.json, which has none itself.
func readOCI(a *archive) (imageConfig, []layerBlob, error) {
	fail := func(err error) (imageConfig, []layerBlob, error) { return imageConfig{}, nil, err }
	chosen, err := chooseManifest(a)
	if err != nil {
		return fail(err)
	}
	var manifest struct {
		Config descriptor
		Layers []descriptor
	}
	if err := readBlob(a, chosen, manifestTypes, &manifest); err != nil {
		return fail(err)
	}
	name, sum, err := locate(a, manifest.Config, configTypes)
	if err != nil {
		return fail(err)
	}
	config, diffIDs, err := readConfig(a, name, sum, len(manifest.Layers))
	if err != nil {
		return fail(err)
	}
	var layers []layerBlob
	for i, d := range manifest.Layers {
		name, sum, err := locate(a, d, layerTypes)
		if err != nil {
			return fail(err)
		}
		content, err := a.open(name)
		if err != nil {
			return fail(err)
		}
		layers = append(layers, layerBlob{diffIDs[i], sum, content})
	}
	return config, layers, nil
}

// chooseManifest returns the one manifest for this machine that index.json leads to. An image for
// several architectures is an index as well, one floor down.
func chooseManifest(a *archive) (descriptor, error) {
	fit, others := map[digest]descriptor{}, map[string]bool{}
	text, err := a.read("index.json", "")
	if err == nil {
		err = searchIndex(a, text, maxIndexes, map[digest]bool{}, fit, others)
	}
	switch {
	case err != nil:
		return descriptor{}, err
	case len(fit) == 0 && len(others) == 0:
		return descriptor{}, errors.New("index.json names no image")
	case len(fit) == 0:
		names := slices.Sorted(maps.Keys(others))
		return descriptor{}, fmt.Errorf("it is for %s, and this machine is %s",
			strings.Join(names[:min(len(names), maxNamed)], ", "), ours)
	case len(fit) > 1:
		var names []string
		for sum, d := range fit {
			ref := d.Annotations["org.opencontainers.image.ref.name"]
			names = append(names, fmt.Sprintf("%q %q", ref, "sha256:"+sum))
		}
		return descriptor{}, tooMany(names)
	}
	return slices.Collect(maps.Values(fit))[0], nil
}

// maxNamed is how many images an error names.
const maxNamed = 10

// tooMany is the error for an archive of several images.
func tooMany(names []string) error {
	slices.Sort(names)
	if len(names) > maxNamed {
		return fmt.Errorf("more than %d images in one archive, where one is needed: %s and more",
			maxNamed, strings.Join(names[:maxNamed], ", "))
	}
	return fmt.Errorf("%d images in one archive, where one is needed: %s",
		len(names), strings.Join(names, ", "))
}

// searchIndex sorts the manifests of an index, and of those in it, by digest into the ones that fit
// this machine, and by platform into the others. It reads each index once: if one names the next a
// thousand times, and so on, that would have no end. An archive can name millions, and each takes
// memory: it collects no more of either than an error names, and one.
func searchIndex(
	a *archive, text []byte, depth int,
	read map[digest]bool, fit map[digest]descriptor, others map[string]bool,
) error {
	var index struct{ Manifests []descriptor }
	if err := json.Unmarshal(text, &index); err != nil {
		return fmt.Errorf("read an index: %w", err)
	}
	for _, d := range index.Manifests {
		switch {
		case len(fit) > maxNamed:
			return nil
		case slices.Contains(indexTypes, d.MediaType):
			name, sum, err := locate(a, d, indexTypes)
			if err != nil {
				return err
			}
			if read[sum] {
				continue
			}
			read[sum] = true
			text, err := a.read(name, sum)
			if err != nil {
				return err
			}
			if depth == 0 {
				return fmt.Errorf("%d indexes within each other, and more", maxIndexes)
			}
			if err := searchIndex(a, text, depth-1, read, fit, others); err != nil {
				return err
			}
		case d.Platform == nil, *d.Platform == ours: // without one, the config will tell
			sum, err := parseDigest(d.Digest)
			if err != nil {
				return err
			}
			fit[sum] = d
		case d.Platform.OS == "unknown": // which is how build tools mark what is no image
		case len(others) <= maxNamed:
			others[strconv.Quote(d.Platform.String())] = true
		}
	}
	return nil
}

// locate returns where in the archive the blob lies that a descriptor points to, if that is of one
// of the types and has the size that it says.
func locate(a *archive, d descriptor, types []string) (name string, sum digest, err error) {
	if !slices.Contains(types, d.MediaType) {
		return "", "", fmt.Errorf("media type %q, where these are understood: %s",
			d.MediaType, strings.Join(types, ", "))
	}
	if sum, err = parseDigest(d.Digest); err != nil {
		return "", "", err
	}
	name = "blobs/sha256/" + string(sum)
	content, err := a.open(name)
	if err == nil && content.Size() != d.Size {
		err = fmt.Errorf("%s has %d bytes, not %d", name, content.Size(), d.Size)
	}
	return name, sum, err
}

// readBlob reads the JSON that a descriptor points to.
func readBlob(a *archive, d descriptor, types []string, into any) error {
	name, sum, err := locate(a, d, types)
	if err != nil {
		return err
	}
	text, err := a.read(name, sum)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}
