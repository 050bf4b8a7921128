//go:build linux

// The archives of `docker save` up to Docker 24, which other tools still write: manifest.json names
// the config and the layers by their files.

package main

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"
)

// readDocker reads what manifest.json names. Of digests there is the config's, which is its name,
// and in it the layers' diff_ids; so all is verified that isn't manifest.json itself.
func readDocker(a *archive) (imageConfig, []layerBlob, error) {
	fail := func(err error) (imageConfig, []layerBlob, error) { return imageConfig{}, nil, err }
	text, err := a.read("manifest.json", "")
	if err != nil {
		return fail(err)
	}
	var images []struct {
		Config           string
		RepoTags, Layers []string
	}
	if err := json.Unmarshal(text, &images); err != nil {
		return fail(fmt.Errorf("read manifest.json: %w", err))
	}
	if len(images) != 1 {
		var names []string
		for _, i := range images[:min(len(images), maxNamed+1)] {
			names = append(names, fmt.Sprintf("%q", i.RepoTags))
		}
		return fail(tooMany(names))
	}
	// Docker calls it DIGEST.json, its newer archives blobs/sha256/DIGEST, others sha256:DIGEST.
	name := images[0].Config
	sum, err := parseDigest("sha256:" +
		strings.TrimSuffix(strings.TrimPrefix(path.Base(name), "sha256:"), ".json"))
	if err != nil {
		return fail(fmt.Errorf("the config isn't named after its digest: %w", err))
	}
	config, diffIDs, err := readConfig(a, name, sum, len(images[0].Layers))
	if err != nil {
		return fail(err)
	}
	var layers []layerBlob
	for i, name := range images[0].Layers {
		content, err := a.open(name)
		if err != nil {
			return fail(err)
		}
		layers = append(layers, layerBlob{diffID: diffIDs[i], content: content})
	}
	return config, layers, nil
}
