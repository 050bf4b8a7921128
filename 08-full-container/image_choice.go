//go:build linux

// Which image in an archive to run. There may be several manifests: an image built for several
// architectures, one image with two tags, signatures and SBOMs next to an image.

package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// choice is the search for the one image in an archive to run. An archive can list millions, so it
// keeps no more images, names or platforms than an error shows, and one.
type choice struct {
	*archive
	name      string          // the one that the caller wants, or ""
	fit       []candidate     // what may be it
	seen      map[string]bool // indexes and manifests that have been taken up
	names     map[string]bool // names of images that the caller doesn't want
	platforms map[string]bool // what images that don't fit this machine are for
	why       error           // why some manifest is no image
}

// candidate is a manifest that may be the one.
type candidate struct {
	names []string
	read  func() (*parts, error)
}

// maxNamed is how many images an error names.
const maxNamed = 10

// notAnImage says what to do with a tar that is something else.
const notAnImage = "-image takes what `docker save` writes, or an OCI layout as tar; " +
	"for a tar of files, such as `docker export` writes, unpack it and use -root"

// readImage finds the image in an archive that fits this machine and has the name, if one is given.
func readImage(a *archive, name string) (*parts, error) {
	c := &choice{archive: a, name: name, seen: map[string]bool{},
		names: map[string]bool{}, platforms: map[string]bool{}}
	var err error
	switch {
	case a.has("index.json"): // today's `docker save` writes both, and this one has more digests
		err = c.searchLayout()
	case a.has("manifest.json"):
		err = c.searchManifests()
	default:
		err = errors.New("it has neither an index.json nor a manifest.json: " + notAnImage)
	}
	if err != nil {
		return nil, err
	}
	return c.pick()
}

// wants reports whether the caller asks for an image with these names: by one of them, or by its
// end, such as the tag.
func (c *choice) wants(names []string) bool {
	if c.name == "" {
		return true
	}
	for _, name := range names {
		if name == c.name || strings.HasSuffix(name, "/"+c.name) ||
			strings.HasSuffix(name, ":"+c.name) {
			return true
		}
	}
	if len(names) > 0 {
		note(c.names, names[0])
	}
	return false
}

// add adds a candidate, once. The key tells it from others.
func (c *choice) add(key string, names []string, read func() (*parts, error)) {
	if !c.seen[key] && len(c.fit) <= maxNamed {
		c.seen[key] = true
		c.fit = append(c.fit, candidate{names, read})
	}
}

// pick returns the one image among the candidates that can run here. Several manifests may stand
// for one image, as its layers can be compressed in several ways.
func (c *choice) pick() (*parts, error) {
	if len(c.fit) > maxNamed {
		return nil, tooMany(c.fit)
	}
	images, found := map[digest]*parts{}, []candidate{}
	for _, f := range c.fit {
		image, err := f.read()
		var wrong wrongPlatform
		switch {
		case errors.As(err, &wrong):
			note(c.platforms, wrong.String())
		case errors.Is(err, errNotImage):
			c.why = err
		case err != nil && len(c.fit) > 1:
			return nil, fmt.Errorf("%q: %w", f.names, err)
		case err != nil:
			return nil, err
		case images[image.id] == nil:
			found = append(found, f)
			images[image.id] = image
		case images[image.id].unreadable != nil:
			images[image.id] = image
		}
	}
	switch len(found) {
	case 0:
		return nil, c.none()
	case 1:
		for _, image := range images {
			return image, image.unreadable
		}
	}
	return nil, tooMany(found)
}

// none is the error for an archive in which nothing fits.
func (c *choice) none() error {
	switch {
	case len(c.platforms) > 0:
		return fmt.Errorf("it is for %s, and this machine is %s (pull it with --platform %[2]s)",
			list(c.platforms), ours)
	case c.why != nil:
		return c.why
	case len(c.names) > 0:
		return fmt.Errorf("no image in it is named %q, but these are: %s", c.name, list(c.names))
	}
	return errors.New("it names no image")
}

// tooMany is the error for an archive in which several images fit.
func tooMany(images []candidate) error {
	var names []string
	for _, i := range images {
		names = append(names, fmt.Sprintf("%q", i.names))
	}
	slices.Sort(names)
	count := fmt.Sprint(len(names))
	if len(names) > maxNamed {
		count = fmt.Sprint("more than ", maxNamed)
		names = append(names[:maxNamed], "...")
	}
	return fmt.Errorf("%s images in one archive, where one is needed (-image FILE:NAME): %s",
		count, strings.Join(names, ", "))
}

// note adds a text to those that an error shows.
func note(texts map[string]bool, text string) {
	if len(texts) <= maxNamed {
		texts[fmt.Sprintf("%q", text)] = true
	}
}

// list is how an error shows them.
func list(texts map[string]bool) string {
	sorted := slices.Sorted(maps.Keys(texts))
	return strings.Join(sorted[:min(len(sorted), maxNamed)], ", ")
}
