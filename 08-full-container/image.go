//go:build linux

// What an image is: layers, and a word on how to run them. There are two ways in which an archive
// says so: oci.go and docker.go.

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
)

// image is an unpacked image, ready to be run.
type image struct {
	Cache  volume   // where its layers are
	Layers []digest // directories there, the lowest first
	Config imageConfig
}

// imageConfig is how an image wants to be run: what of it is honoured here.
type imageConfig struct {
	Env              []string
	WorkingDir, User string
	Entrypoint, Cmd  []string
}

// layerBlob is a layer in an archive. Its diff_id is the digest of the tar that it is. Where blob
// isn't empty, it is the digest of what lies in the archive, which may be that tar compressed.
type layerBlob struct {
	diffID, blob digest
	content      *io.SectionReader
}

// maxLayers is how many layers an image may have. Overlayfs stacks up to 500.
const maxLayers = 400

// platform is what an image is made for. Architectures are called as in Go.
type platform struct{ OS, Architecture string }

// ours is what this machine runs.
var ours = platform{"linux", runtime.GOARCH}

// String is how docker writes it.
func (p platform) String() string { return p.OS + "/" + p.Architecture }

// readImage finds the image in an archive: its config and its layers, the lowest first.
func readImage(a *archive) (imageConfig, []layerBlob, error) {
	switch {
	case a.has("index.json"): // today's `docker save` writes both, and this one has more digests
		return readOCI(a)
	case a.has("manifest.json"):
		return readDocker(a)
	}
	return imageConfig{}, nil, errors.New("it has neither an index.json nor a manifest.json: " +
		"what is understood here are archives of `docker save` and OCI layouts")
}

// readConfig reads an image's config: how to run it, and the diff_ids of its layers, of which
// there must be as many as the manifest names.
func readConfig(a *archive, name string, sum digest, layers int) (imageConfig, []digest, error) {
	var file struct {
		platform
		Config imageConfig
		RootFS struct {
			Type    string
			DiffIDs []string `json:"diff_ids"`
		}
	}
	fail := func(err error) (imageConfig, []digest, error) { return imageConfig{}, nil, err }
	text, err := a.read(name, sum)
	if err != nil {
		return fail(err)
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return fail(fmt.Errorf("read the config %q: %w", name, err))
	}
	if file.platform != ours {
		return fail(fmt.Errorf("it is for %q, and this machine is %s", file.platform, ours))
	}
	if n := len(file.RootFS.DiffIDs); n != layers || n == 0 || n > maxLayers {
		return fail(fmt.Errorf("%d layers and %d diff_ids, where there must be as many, 1 to %d",
			layers, n, maxLayers))
	}
	var diffIDs []digest
	for _, text := range file.RootFS.DiffIDs {
		id, err := parseDigest(text)
		if err != nil {
			return fail(err)
		}
		diffIDs = append(diffIDs, id)
	}
	return file.Config, diffIDs, nil
}
