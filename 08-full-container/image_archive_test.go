//go:build linux

// What the step keeps in memory of an archive and of a layer: names, and nothing else.

package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// heap returns how many bytes are in use.
func heap() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// TestNamesInMemory has short names, each with a megabyte of comment in the same extended header.
func TestNamesInMemory(t *testing.T) {
	const count, limit = 30, 10 << 20
	var items []item
	for n := range count {
		for _, i := range []item{
			file(fmt.Sprintf("ä%d", n), ""), symlink(fmt.Sprintf("link-ä%d", n), "ä"),
			hardlink(fmt.Sprintf("hard-ä%d", n), "ä0"), dir(fmt.Sprintf("dir-ä%d", n)),
			file(fmt.Sprintf(".wh.ä%d", n), ""), file(fmt.Sprintf("parent-ä%d/f", n), ""),
		} {
			i.Format = tar.FormatPAX
			i.PAXRecords = map[string]string{"comment": strings.Repeat("c", 1<<20-1000)}
			items = append(items, i)
		}
	}
	text := pack(items...)
	before := heap()
	a, err := openArchive(bytes.NewReader(text), int64(len(text)), t.TempDir(), 0)
	if err != nil || len(a.members) != 5*count {
		t.Fatalf("%d members, %v", len(a.members), err)
	}
	if kept := heap() - before; kept > limit {
		t.Errorf("the list of an archive's members keeps %d bytes", kept)
	}
	runtime.KeepAlive(a)

	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	layer := &tree{root: root, dirs: map[string]time.Time{".": {}}, gone: map[string]bool{},
		left: &budget{maxBytes, maxBytes, maxEntries, maxNames}}
	before = heap()
	for reader := tar.NewReader(bytes.NewReader(text)); ; {
		header, err := reader.Next()
		if err == io.EOF {
			break
		}
		if err == nil {
			err = layer.add(header, reader)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(layer.dirs) != 2*count+1 || len(layer.gone) != count {
		t.Errorf("%d directories, %d whiteouts", len(layer.dirs), len(layer.gone))
	}
	if kept := heap() - before; kept > limit {
		t.Errorf("the names of a layer's directories keep %d bytes", kept)
	}
	runtime.KeepAlive(layer)
	runtime.KeepAlive(text) // or it would make up for what is kept
}
