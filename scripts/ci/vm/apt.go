//go:build linux

// Kernels and tools, from Debian's packages. apt has a configuration of its own here, with an empty
// list of installed packages, so the host's isn't touched, and the other architecture is as good as
// the own. Nothing is installed, only unpacked.

package main

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// suites are the releases of Debian that have a kernel.
var suites = map[string]string{
	"5.10":   "bullseye",
	"6.1":    "bookworm",
	"6.12":   "trixie",
	"newest": "trixie-backports",
}

// toolSuite is where the tools come from, for all kernels alike.
const toolSuite = "bookworm"

// keyring has the keys with which Debian signs its lists, from the package debian-archive-keyring.
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// needs looks for the programs that this takes, and says which packages they come in.
func needs(arch string) error {
	for _, n := range []struct{ program, pack string }{
		{machines[arch].program, machines[arch].pack},
		{"go", "go"}, {"apt-get", "apt"}, {"apt-cache", "apt"}, {"dpkg-deb", "dpkg"},
		{"xz", "xz-utils"},
	} {
		if _, err := exec.LookPath(n.program); err != nil {
			return fmt.Errorf("there is no %s here: apt-get install --no-install-recommends %s",
				n.program, n.pack)
		}
	}
	if _, err := os.Stat(keyring); err != nil {
		return fmt.Errorf("%w: apt-get install debian-archive-keyring", err)
	}
	return nil
}

// mirror is a place that has Debian's packages: the one from which this machine has its own.
func mirror() (string, error) {
	if uri := os.Getenv("JAIL_VM_MIRROR"); uri != "" {
		return uri, nil
	}
	const format = "$(ORIGIN) $(LABEL) $(REPO_URI)" // see apt-get(8), indextargets
	out, err := output(exec.Command("apt-get", "indextargets", "--format", format))
	if err != nil {
		return "", err
	}
	uri := firstMirror(out)
	if uri == "" {
		return "", errors.New("apt knows no mirror of Debian's here: " +
			"run apt-get update, or set JAIL_VM_MIRROR to the URI of one")
	}
	return uri, nil
}

// firstMirror picks one from a list of origins, labels and URIs. The label of updates for security
// is another one, and they lie elsewhere.
func firstMirror(list string) string {
	for line := range strings.Lines(list) {
		if uri, found := strings.CutPrefix(strings.TrimSpace(line), "Debian Debian "); found {
			return uri
		}
	}
	return ""
}

// apt is one configuration of apt.
type apt struct{ dir, arch string }

// newApt makes the configuration for a suite and an architecture, and fetches the list of packages.
func (v *vm) newApt(suite, arch string) (*apt, error) {
	uri, err := mirror()
	if err != nil {
		return nil, err
	}
	a := &apt{filepath.Join(v.cache, "apt", suite+"-"+arch), arch}
	source := fmt.Sprintf("deb [signed-by=%s] %s %s main\n", keyring, uri, suite)
	if err := errors.Join(
		os.MkdirAll(filepath.Join(a.dir, "lists", "partial"), 0o755),
		os.MkdirAll(filepath.Join(a.dir, "cache", "archives", "partial"), 0o755),
		os.WriteFile(filepath.Join(a.dir, "status"), nil, 0o644),
		os.WriteFile(filepath.Join(a.dir, "sources.list"), []byte(source), 0o644),
	); err != nil {
		return nil, err
	}
	fmt.Fprintf(v.out, "vm: apt-get update, for %s and %s\n", suite, arch)
	_, err = a.run("", "apt-get", "update", "--error-on=any")
	return a, err
}

// run runs a program of apt's in a directory and returns its output.
func (a *apt) run(dir, program string, args ...string) (string, error) {
	cmd := exec.Command(program,
		"-o", "Dir::Etc::SourceList="+filepath.Join(a.dir, "sources.list"),
		"-o", "Dir::Etc::SourceParts=/dev/null",
		"-o", "Dir::State="+a.dir,
		"-o", "Dir::State::Lists="+filepath.Join(a.dir, "lists"),
		"-o", "Dir::State::status="+filepath.Join(a.dir, "status"),
		"-o", "Dir::Cache="+filepath.Join(a.dir, "cache"),
		"-o", "APT::Architecture="+a.arch,
		"-o", "APT::Architectures="+a.arch,
		"-o", "APT::Sandbox::User=", // the directories may be for nobody else to enter
		"-o", "Acquire::Languages=none",
		"-o", "Acquire::Retries=3",
		"-o", "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
		"-q")
	cmd.Args = append(cmd.Args, args...)
	cmd.Dir = dir
	return output(cmd)
}

// needed lists packages and, of all that they depend on, those which are wanted.
func (a *apt) needed(packages []string, wanted func(string) bool) ([]string, error) {
	args := append([]string{"depends", "--recurse", "--no-recommends", "--no-suggests",
		"--no-breaks", "--no-conflicts", "--no-replaces", "--no-enhances"}, packages...)
	out, err := a.run("", "apt-cache", args...)
	return choosePackages(out, packages, wanted), err
}

// choosePackages reads the output of apt-cache depends. What isn't indented in it is a package, but
// for "<name>": that is no package, but something that some provide.
func choosePackages(list string, packages []string, wanted func(string) bool) []string {
	var all []string
	for line := range strings.Lines(list) {
		name := strings.TrimSpace(line)
		if strings.HasPrefix(line, name) && (slices.Contains(packages, name) || wanted(name)) {
			all = append(all, name)
		}
	}
	return all
}

// unpack unpacks packages into a directory, which is there either as a whole or not at all.
func (v *vm) unpack(dir string, a *apt, packages []string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	scratch, err := os.MkdirTemp(filepath.Dir(dir), "unpack-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	fmt.Fprintf(v.out, "vm: apt-get download %s\n", strings.Join(packages, " "))
	args := append([]string{"download"}, packages...)
	if _, err := a.run(scratch, "apt-get", args...); err != nil {
		return err
	}
	archives, err := filepath.Glob(filepath.Join(scratch, "*.deb"))
	if err != nil {
		return err
	}
	tree := filepath.Join(scratch, "tree")
	for _, archive := range archives {
		if _, err := output(exec.Command("dpkg-deb", "-x", archive, tree)); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.Rename(tree, dir)
}

// output runs a command and returns its output. The error has what it said, if it fails.
func output(cmd *exec.Cmd) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, stderr.String())
	}
	return stdout.String(), nil
}

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

// fetchKernel returns a kernel, and asks apt for it if it isn't there.
func (v *vm) fetchKernel(word, arch string) (*kernel, error) {
	dir := filepath.Join(v.cache, "kernel", word+"-"+arch)
	if _, err := os.Stat(dir); v.update || errors.Is(err, fs.ErrNotExist) {
		a, err := v.newApt(suites[word], arch)
		if err != nil {
			return nil, err
		}
		// The kernel for clouds is the small one. This is the package that depends on the latest;
		// 7.3 is in two packages, the image and the modules.
		packages, err := a.needed([]string{"linux-image-cloud-" + arch}, func(name string) bool {
			return strings.HasPrefix(name, "linux-") && name != "linux-base"
		})
		if err != nil {
			return nil, err
		}
		if err := v.unpack(dir, a, packages); err != nil {
			return nil, err
		}
	}
	k := &kernel{}
	for _, pattern := range []string{"boot/vmlinuz-*", "usr/lib/modules/*/vmlinuz"} {
		found, _ := filepath.Glob(filepath.Join(dir, pattern)) // it is well formed: no error
		if len(found) > 0 {
			k.image = found[0]
		}
	}
	if k.image == "" {
		return nil, fmt.Errorf("there is no kernel in %s", dir)
	}
	var err error
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
	text, err := output(exec.Command("xz", "-dc", file))
	return []byte(text), err
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

// ruleLibrary is what iptables-legacy loads for any rule at all, of which its ELF header says
// nothing.
const ruleLibrary = "xtables/libxt_standard.so"

// fetchTools returns a directory with the unpacked packages of the tools, and asks apt for them if
// they aren't there.
func (v *vm) fetchTools(arch string) (string, error) {
	dir := filepath.Join(v.cache, "tools", arch)
	if _, err := os.Stat(dir); err == nil && !v.update {
		return dir, nil
	}
	a, err := v.newApt(toolSuite, arch)
	if err != nil {
		return "", err
	}
	var packages []string
	for name := range toolPackages {
		packages = append(packages, name)
	}
	slices.Sort(packages)
	packages, err = a.needed(packages, func(name string) bool {
		return strings.HasPrefix(name, "lib") || name == "zlib1g"
	})
	if err != nil {
		return "", err
	}
	return dir, v.unpack(dir, a, packages)
}
