//go:build linux

// The kernel's modules, and the tools: what scripts/qemu fetches from apt, made use of.

package main

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// toolSuite is where the tools come from, for all kernels alike.
const toolSuite = "bookworm"

// kernel is one that has been unpacked.
type kernel struct {
	image   string   // what to boot
	modules []string // the files of the modules that are wanted, in an order to load them
}

// wantedModules are those that the steps make use of, wherever they aren't part of the kernel.
var wantedModules = []string{
	"overlay", "veth", "bridge", "tun", "loop",
	"nf_tables", "nft_chain_nat", "nft_masq", "nft_nat", "nft_ct", "nf_conntrack",
	"nft_reject", "nft_reject_inet", "nft_reject_ipv4", "nft_counter",
	"iptable_filter", // for iptables-legacy, which can't load it by itself without modprobe
}

// absorbed are modules that newer kernels have as a part of another one: nft_counter is part of
// nf_tables since 5.17.
var absorbed = []string{"nft_counter"}

// fetchKernel returns a kernel and its modules.
func (v *vm) fetchKernel(word, arch string) (*kernel, error) {
	dir, image, err := v.Kernel(word, arch)
	if err != nil {
		return nil, err
	}
	k := &kernel{image: image}
	k.modules, err = findModules(dir, wantedModules, dependencies)
	return k, err
}

// findModules looks for modules in an unpacked kernel, and returns their files and those of the
// modules that they depend on, as told by needs, these first.
func findModules(
	dir string, wanted []string, needs func(file string) ([]string, error),
) ([]string, error) {
	files, builtin := map[string]string{}, map[string]bool{}
	if err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.Name() == "modules.builtin" {
			text, err := os.ReadFile(path)
			for line := range strings.Lines(string(text)) {
				builtin[moduleName(strings.TrimSpace(line))] = true
			}
			return err
		}
		if name := moduleName(path); name != "" {
			files[name] = path
		}
		return nil
	}); err != nil {
		return nil, err
	}
	var ordered []string
	var add func(name string) error
	add = func(name string) error {
		file := files[name]
		switch {
		case builtin[name] || slices.Contains(ordered, file):
			return nil
		case file == "" && slices.Contains(absorbed, name):
			return nil
		case file == "":
			return fmt.Errorf("the kernel in %s has no module %s", dir, name)
		}
		others, err := needs(file)
		for _, other := range others {
			err = errors.Join(err, add(other))
		}
		ordered = append(ordered, file)
		return err
	}
	for _, name := range wanted {
		if err := add(name); err != nil {
			return nil, err
		}
	}
	return ordered, nil
}

// moduleName returns the name of the module in a file, or "" if there is none. The kernel doesn't
// tell apart "-" and "_".
func moduleName(path string) string {
	name, extension, _ := strings.Cut(filepath.Base(path), ".")
	if extension != "ko" && extension != "ko.xz" {
		return ""
	}
	return strings.ReplaceAll(name, "-", "_")
}

// dependencies reads which modules a module needs: in a section of strings, each ended by a NUL
// (modinfo(8)).
func dependencies(file string) ([]string, error) {
	text, err := readModule(file)
	if err != nil {
		return nil, err
	}
	module, err := elf.NewFile(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	section := module.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("%s has no section .modinfo", file)
	}
	info, err := section.Data()
	return namesAfter("depends=", string(info)), err
}

// namesAfter finds a string that begins so, and returns the names in it.
func namesAfter(key, info string) []string {
	for _, line := range strings.Split(info, "\x00") {
		if names, found := strings.CutPrefix(line, key); found && names != "" {
			return strings.Split(strings.ReplaceAll(names, "-", "_"), ",")
		}
	}
	return nil
}

// readModule reads a module, and uncompresses it.
func readModule(file string) ([]byte, error) {
	if filepath.Ext(file) != ".xz" {
		return os.ReadFile(file)
	}
	text, err := exec.Command("xz", "-dc", file).Output()
	return text, err
}

// toolPackages are the programs beside busybox's, by the package they come in. Where busybox has
// one of the same name, this is the one.
var toolPackages = map[string][]string{
	"busybox-static": {"busybox"},
	"iproute2":       {"ip"},
	"iptables":       {"iptables-legacy"},
	"iputils-ping":   {"ping"},
	"nftables":       {"nft"},
	"passt":          {"pasta"},
	"procps":         {"ps"},
	"uidmap":         {"newuidmap", "newgidmap"},
}

// ruleLibrary is what iptables-legacy loads for any rule at all. Its ELF header doesn't mention it.
const ruleLibrary = "xtables/libxt_standard.so"

// fetchTools returns a directory with the unpacked packages of the tools, and asks apt for them if
// they aren't there.
func (v *vm) fetchTools(arch string) (string, error) {
	dir := filepath.Join(v.Cache, "tools", arch)
	packages := slices.Sorted(maps.Keys(toolPackages))
	return dir, v.Fetch(dir, toolSuite, arch, packages, func(name string) bool {
		return strings.HasPrefix(name, "lib") || name == "zlib1g"
	})
}
