//go:build linux

// Kernels and tools, from Debian's packages. apt has a configuration of its own here, with an empty
// list of installed packages, so it leaves the host's packages alone and serves other architectures
// too. Nothing is installed, only unpacked.

package qemu

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A Debian fetches packages and keeps them.
type Debian struct {
	Cache  string    // the directory to keep them in
	Update bool      // ask apt again for what is there
	Out    io.Writer // progress
}

// CacheDir is the usual directory for that.
func CacheDir() (string, error) {
	if dir := os.Getenv("JAIL_VM_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	return filepath.Join(dir, "jail-to-container", "vm"), err
}

// Suites are the releases of Debian that have a kernel.
var Suites = map[string]string{
	"5.10":   "bullseye",
	"6.1":    "bookworm",
	"6.12":   "trixie",
	"newest": "trixie-backports",
}

// keyring has the keys with which Debian signs its lists, from the package debian-archive-keyring.
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// needsApt names the package of a program that is missing here.
func needsApt() error {
	for _, n := range []struct{ program, pack string }{
		{"apt-get", "apt"}, {"apt-cache", "apt"}, {"dpkg-deb", "dpkg"}, {"xz", "xz-utils"},
	} {
		if err := Needs(n.program, n.pack); err != nil {
			return err
		}
	}
	if _, err := os.Stat(keyring); err != nil {
		return fmt.Errorf("%w: apt-get install debian-archive-keyring", err)
	}
	return nil
}

// Needs names the package to install if a program isn't here.
func Needs(program, pack string) error {
	if _, err := exec.LookPath(program); err != nil {
		return fmt.Errorf("there is no %s here: apt-get install --no-install-recommends %s",
			program, pack)
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
func (d *Debian) newApt(suite, arch string) (*apt, error) {
	uri, err := mirror()
	if err != nil {
		return nil, err
	}
	a := &apt{filepath.Join(d.Cache, "apt", suite+"-"+arch), arch}
	source := fmt.Sprintf("deb [signed-by=%s] %s %s main\n", keyring, uri, suite)
	if err := errors.Join(
		os.MkdirAll(filepath.Join(a.dir, "lists", "partial"), 0o755),
		os.MkdirAll(filepath.Join(a.dir, "cache", "archives", "partial"), 0o755),
		os.WriteFile(filepath.Join(a.dir, "status"), nil, 0o644),
		os.WriteFile(filepath.Join(a.dir, "sources.list"), []byte(source), 0o644),
	); err != nil {
		return nil, err
	}
	fmt.Fprintf(d.Out, "vm: apt-get update, for %s and %s\n", suite, arch)
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
		"-o", "APT::Sandbox::User=", // other users may not be allowed to enter the directories
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

// Fetch unpacks packages, and of all that they depend on those which are wanted, into a directory,
// unless it is there.
func (d *Debian) Fetch(
	dir, suite, arch string, packages []string, wanted func(string) bool,
) error {
	if _, err := os.Stat(dir); !d.Update && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := needsApt(); err != nil {
		return err
	}
	a, err := d.newApt(suite, arch)
	if err != nil {
		return err
	}
	if packages, err = a.needed(packages, wanted); err != nil {
		return err
	}
	return d.unpack(dir, a, packages)
}

// Kernel returns the directory of an unpacked kernel of Suites, and in it the file to boot.
func (d *Debian) Kernel(word, arch string) (dir, image string, err error) {
	dir = filepath.Join(d.Cache, "kernel", word+"-"+arch)
	// The kernel for clouds is the small one. This is the package that depends on the latest; 7.3
	// is in two packages, the image and the modules.
	packages := []string{"linux-image-cloud-" + arch}
	err = d.Fetch(dir, Suites[word], arch, packages, func(name string) bool {
		return strings.HasPrefix(name, "linux-") && name != "linux-base"
	})
	for _, pattern := range []string{"boot/vmlinuz-*", "usr/lib/modules/*/vmlinuz"} {
		found, _ := filepath.Glob(filepath.Join(dir, pattern)) // it is well formed: no error
		if len(found) > 0 {
			image = found[0]
		}
	}
	if err == nil && image == "" {
		err = fmt.Errorf("there is no kernel in %s", dir)
	}
	return dir, image, err
}

// unpack unpacks packages into a directory, which is there either as a whole or not at all.
func (d *Debian) unpack(dir string, a *apt, packages []string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	scratch, err := os.MkdirTemp(filepath.Dir(dir), "unpack-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	fmt.Fprintf(d.Out, "vm: apt-get download %s\n", strings.Join(packages, " "))
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
