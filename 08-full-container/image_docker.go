//go:build linux

// The archives of `docker save` up to Docker 24, which other tools still write: manifest.json names
// the config and the layers by their files.

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"strings"
)

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
