//go:build linux

// What an image is: layers, and a config that says how to run them. An archive describes both in
// one of two formats: see image_formats.go.

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"runtime"
	"strings"
)

// image is an unpacked image, ready to be run.
type image struct {
	Cache  volume   // where its layers are
	Layers []digest // directories there, the lowest first
	Config imageConfig
}

// crane gets images from a registry without Docker.
const crane = "github.com/google/go-containerregistry/cmd/crane@v0.21.9"

// pullLine returns the command that makes a file of an image in a registry. What was given is the
// image's name there, or the name of the file. Without --platform, crane gets the image for amd64.
func pullLine(given string) string {
	name := strings.TrimSuffix(given, ".tar")
	if strings.HasPrefix(name, "/") || strings.HasPrefix(name, ".") {
		name = path.Base(name)
	}
	file, _, _ := strings.Cut(path.Base(name), ":")
	return fmt.Sprintf("go run %s pull --platform %s %s %s.tar", crane, ours, name, file)
}

// imageConfig is how an image wants to be run: what of it is honoured here.
type imageConfig struct {
	Env              []string
	WorkingDir, User string
	Entrypoint, Cmd  []string
	Volumes          map[string]struct{} // VOLUME in a Dockerfile: here, just directories
}

// layerBlob is a layer in an archive. Its diff_id is the digest of the tar that it is. Where blob
// isn't empty, it is the digest of what lies in the archive, which may be that tar compressed.
type layerBlob struct {
	diffID, blob digest
	content      *io.SectionReader
}

// maxLayers is how many layers an image may have. Overlayfs stacks up to 500.
const maxLayers = 400

// parts is what an archive has of one image: its config, and its layers, the lowest first. The
// config lists the digests of the layers, so its own digest stands for the whole image.
type parts struct {
	id         digest
	config     imageConfig
	layers     []layerBlob
	unreadable error // why the layers can't be unpacked here
}

// platform is what an image is made for. Architectures are called as in Go.
type platform struct{ OS, Architecture string }

// ours is what this machine runs.
var ours = platform{"linux", runtime.GOARCH}

// String is how docker writes it.
func (p platform) String() string { return p.OS + "/" + p.Architecture }

// fits reports whether this machine runs it. Some tools don't say what an image is for.
func (p platform) fits() bool {
	return (p.OS == "" || p.OS == ours.OS) &&
		(p.Architecture == "" || p.Architecture == ours.Architecture)
}

// wrongPlatform is the error for an image that this machine can't run.
type wrongPlatform struct{ platform }

// Error says what the image is for.
func (w wrongPlatform) Error() string { return "it is for " + w.String() }

// errNotImage is the error for a manifest of something else: signatures and SBOMs have one as well.
var errNotImage = errors.New("not an image")

// errCompressed is the error for a layer in a compression that this program can't read.
func errCompressed(kind string) error {
	return fmt.Errorf("a layer is compressed with %s, and only gzip is understood here: skopeo "+
		"copy --dest-compress-format gzip oci-archive:FILE oci-archive:NEW recompresses it", kind)
}

// readConfig reads an image's config: how to run it, and the diff_ids of its layers. There must be
// as many of them as the manifest names.
func readConfig(a *archive, name string, sum digest, layers int) (*parts, error) {
	var file struct {
		platform
		Config imageConfig
		RootFS struct {
			Type    string
			DiffIDs []string `json:"diff_ids"`
		}
	}
	text, err := a.read(name, sum)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("read the config %q: %w", name, err)
	}
	if !file.fits() {
		return nil, wrongPlatform{file.platform}
	}
	if n := len(file.RootFS.DiffIDs); n != layers || n == 0 || n > maxLayers {
		return nil, fmt.Errorf("%d layers and %d diff_ids, where there must be as many, 1 to %d",
			layers, n, maxLayers)
	}
	image := &parts{id: digestOf(text), config: file.Config}
	for _, text := range file.RootFS.DiffIDs {
		id, err := parseDigest(text)
		if err != nil {
			return nil, err
		}
		image.layers = append(image.layers, layerBlob{diffID: id})
	}
	return image, nil
}
