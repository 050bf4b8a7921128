//go:build linux

// The first start of an image, when its layer isn't in a cache yet.

package main

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// unpackers lists what unpacks the image. For their commands, a container's name is the directory
// to unpack to.
func unpackers(dir string) []*system {
	in := func(name string) string { return filepath.Join(dir, name) }
	return []*system{
		{name: "tar x", sets: "the layer's files", command: func(to, _ string) []string {
			return []string{"tar", "-x", "-f", in("layer.tar"), "-C", to}
		}},
		{name: "08 -image", sets: "the same, verified, and a container",
			command: func(to, program string) []string {
				return []string{"env", "XDG_CACHE_HOME=" + to, in("08-full-container"),
					"-net=false", "-image", in("image.tar"), "/bin/" + program}
			}},
		{name: "podman load", sets: "the same, verified, no container",
			command: func(to, _ string) []string {
				return podmanIn(to, "load", "--quiet", "--input", in("image.tar"))
			}},
	}
}

// unpack measures how many seconds it takes to unpack the image to a new directory. Before that,
// everything written earlier has to be on the disk, so that it doesn't count.
func (s *system) unpack(dir string) error {
	to, err := os.MkdirTemp(dir, "unpacked-")
	if err != nil {
		return err
	}
	unix.Sync()
	took, err := run(s.command(to, "true"))
	if err != nil {
		return err
	}
	s.note("image", took.Seconds())
	return os.RemoveAll(to)
}

// writeImage writes an image as docker save does. It has one layer, of about so many bytes: the
// root, and some of the host's files. It returns the layer's size.
func writeImage(dir string, size int64) (int, error) {
	list, layer := filepath.Join(dir, "list"), filepath.Join(dir, "layer.tar")
	files, err := someFiles([]string{"/usr/bin", "/usr/lib", "/usr/share"}, size)
	err = cmp.Or(err, os.WriteFile(list, []byte(strings.Join(files, "\x00")), 0o644))
	if err != nil {
		return 0, err
	}
	_, err = run([]string{"tar", "-c", "-f", layer, "-C", filepath.Join(dir, "root"), ".",
		"-C", "/", "--no-recursion", "--null", "-T", list})
	if err != nil {
		return 0, err
	}
	content, err := os.ReadFile(layer)
	if err != nil {
		return 0, err
	}
	config := fmt.Sprintf(`{"architecture": %q, "os": "linux", "config": {}, "rootfs":
		{"type": "layers", "diff_ids": ["sha256:%x"]}}`, runtime.GOARCH, sha256.Sum256(content))
	manifest := fmt.Sprintf(`[{"Config": "config.json", "Layers": ["layer.tar"],
		"RepoTags": [%q]}]`, imageName(dir))
	for name, text := range map[string]string{"config.json": config, "manifest.json": manifest} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return 0, err
		}
	}
	_, err = run([]string{"tar", "-c", "-f", filepath.Join(dir, "image.tar"), "-C", dir,
		"manifest.json", "config.json", "layer.tar"})
	return len(content), err
}

// someFiles lists files and directories below some directories, as many from each, up to so many
// bytes in all. The paths have no slash in front, as in a layer.
func someFiles(tops []string, size int64) (paths []string, err error) {
	for _, top := range tops {
		left := size / int64(len(tops))
		err := filepath.Walk(top, func(path string, info fs.FileInfo, err error) error {
			if err == nil && (info.IsDir() || info.Mode().IsRegular()) && info.Size() < left {
				left -= info.Size() + 1024 // with tar's header and padding
				paths = append(paths, path[1:])
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return paths, nil
}
