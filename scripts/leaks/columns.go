//go:build linux

// The systems that are judged, and how each of them is told to run a program.

package main

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// system is a column to be.
type system struct {
	name  string
	step  bool
	start func(p *place) (*start, error)
}

// start is a way to run leaktest in a system. args is the command with which leaktest is to be told
// the facts; piped says that the program itself comes over standard input. The ways that follow by
// or are tried if this one doesn't get leaktest to run at all.
type start struct {
	version string
	note    string
	args    []string
	piped   bool
	or      *start
	after   func() error
}

// systems are the columns, in their order.
var systems = append(append([]system{{"host", false, onHost}}, steps()...),
	system{"docker", false, docker},
	system{"podman", false, podman},
	system{"runc", false, ociRuntime},
	system{"crun", false, ociRuntime},
	system{"bwrap", false, bwrap},
	system{"vm", false, virtualMachine},
)

// place is where the programs are, and where the systems may put their things.
type place struct {
	bin, work, home string
	startDocker     bool
	current         string // the system at hand
	undo            []func()
}

// leaktest is the path of the program.
func (p *place) leaktest() string { return filepath.Join(p.bin, "leaktest") }

// cleanUp takes back what the columns have started.
func (p *place) cleanUp() {
	for _, undo := range p.undo {
		undo()
	}
}

// onHost runs it just so.
func onHost(p *place) (*start, error) {
	return &start{args: []string{p.leaktest(), "inside", "FACTS"}}, nil
}

// steps are the eight.
func steps() []system {
	var all []system
	for n := 1; n <= 8; n++ {
		name := fmt.Sprintf("%02d", n)
		all = append(all, system{name, true, func(p *place) (*start, error) {
			found, err := filepath.Glob(filepath.Join(p.bin, name+"-*"))
			if err != nil || len(found) != 1 {
				return nil, fmt.Errorf("step %s isn't built", name)
			}
			// 01 copies what it is told to run into its jail, and 02 is on the host's root.
			if n <= 2 {
				return &start{args: []string{found[0], p.leaktest(), "inside", "FACTS"}}, nil
			}
			return &start{piped: true, args: []string{found[0], "sh", "-c",
				`cat >/tmp/leaktest && chmod 755 /tmp/leaktest && exec /tmp/leaktest "$@"`,
				"sh", "inside", "FACTS"}}, nil
		}})
	}
	return all
}

// installed returns the first line of what a program says to --version.
func installed(name string) (string, error) {
	if _, err := exec.LookPath(name); err != nil {
		return "", errors.New("not installed")
	}
	out, err := exec.Command(name, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w", name, err)
	}
	line, _, _ := strings.Cut(string(out), "\n")
	for _, word := range strings.Fields(line) { // "Docker version 20.10.24+dfsg1, build 297e128"
		if word[0] >= '0' && word[0] <= '9' {
			return strings.TrimSuffix(word, ","), nil
		}
	}
	return line, nil
}

// bwrap has no defaults. This is what its manual page shows, with everything unshared.
func bwrap(p *place) (*start, error) {
	version, err := installed("bwrap")
	if err != nil {
		return nil, err
	}
	args := []string{"bwrap", "--unshare-all", "--die-with-parent", "--new-session",
		"--ro-bind", "/usr", "/usr", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"}
	for _, link := range []string{"bin", "lib", "lib64", "sbin"} {
		if target, err := os.Readlink("/" + link); err == nil {
			args = append(args, "--symlink", target, "/"+link)
		}
	}
	args = append(args, "--ro-bind", p.leaktest(), "/leaktest", "/leaktest", "inside", "FACTS")
	return &start{version: version, args: args,
		note: "bwrap --unshare-all --new-session, with /usr read-only"}, nil
}

// ociRuntime is runc or crun, with the specification that each writes by itself.
func ociRuntime(p *place) (*start, error) {
	name := p.current
	version, err := installed(name)
	if err != nil {
		return nil, err
	}
	bundle := filepath.Join(p.work, name)
	if err := p.makeRoot(filepath.Join(bundle, "rootfs")); err != nil {
		return nil, err
	}
	spec := exec.Command(name, "spec")
	if os.Geteuid() != 0 {
		spec.Args = append(spec.Args, "--rootless")
	}
	spec.Dir = bundle
	if out, err := spec.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s spec: %w: %s", name, err, oneLine(string(out)))
	}
	config := filepath.Join(bundle, "config.json")
	text, err := os.ReadFile(config)
	if err != nil {
		return nil, err
	}
	// Only what is run is changed, and the terminal, which this program can't give.
	var parsed map[string]any
	if err := json.Unmarshal(text, &parsed); err != nil {
		return nil, fmt.Errorf("%s: %w", config, err)
	}
	process, ok := parsed["process"].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%s: no process in it", config)
	}
	process["terminal"] = false
	process["args"] = []string{"/leaktest", "inside", "TOLD"}
	text, err = json.Marshal(parsed)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(config, text, 0o644); err != nil {
		return nil, err
	}
	id := fmt.Sprintf("leaktest-%d", os.Getpid())
	// The facts can't be known before, so a shell puts them into the specification.
	const fill = `sed -i "s/TOLD/$1/" "$2/config.json" && shift && cd "$1" && shift && exec "$@"`
	args := []string{"sh", "-c", fill, "sh", "FACTS", bundle,
		name, "--root", filepath.Join(bundle, "state"), "run", id}
	way := &start{version: version, args: args}
	if name == "crun" && hybrid() {
		way.args = append(withoutUnified(), args...)
		way.note = "crun with /sys/fs/cgroup/unified unmounted for it"
	}
	return way, nil
}

// hybrid reports whether this host has cgroups of both versions.
func hybrid() bool {
	_, err := os.Stat("/sys/fs/cgroup/unified")
	return err == nil
}

// withoutUnified is the beginning of a command that doesn't get to see cgroup v2: crun refuses a
// host that has both.
func withoutUnified() []string {
	return []string{"unshare", "--mount", "--propagation", "private", "sh", "-c",
		`umount /sys/fs/cgroup/unified; exec "$@"`, "sh"}
}

// makeRoot makes a root with nothing in it but leaktest.
func (p *place) makeRoot(root string) error {
	for _, dir := range []string{"proc", "dev", "sys", "etc", "tmp"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			return err
		}
	}
	text, err := os.ReadFile(p.leaktest())
	if err != nil {
		return err
	}
	return errors.Join(
		os.Chmod(filepath.Join(root, "tmp"), 0o777|os.ModeSticky),
		os.WriteFile(filepath.Join(root, "leaktest"), text, 0o755),
	)
}

// archive writes the same as an archive, to be imported as an image.
func (p *place) archive(path string) (err error) {
	text, err := os.ReadFile(p.leaktest())
	if err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	writer := tar.NewWriter(file)
	for _, dir := range []string{"proc", "dev", "sys", "etc", "tmp"} {
		mode := int64(0o755)
		if dir == "tmp" {
			mode = 0o1777
		}
		header := &tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: mode}
		if err := writer.WriteHeader(header); err != nil {
			return err
		}
	}
	header := &tar.Header{Name: "leaktest", Mode: 0o755, Size: int64(len(text))}
	if err := writer.WriteHeader(header); err != nil {
		return err
	}
	if _, err := writer.Write(text); err != nil {
		return err
	}
	return writer.Close()
}

// docker runs it in a daemon that answers, or in one started for the purpose.
func docker(p *place) (*start, error) {
	version, err := installed("docker")
	if err != nil {
		return nil, err
	}
	client := []string{"docker"}
	if p.startDocker {
		socket, err := p.dockerd()
		if err != nil {
			return nil, err
		}
		client = append(client, "--host", "unix://"+socket)
	}
	command := func(args ...string) (string, error) { return output(append(client, args...)...) }
	if server, err := command("version", "--format", "{{.Server.Version}}"); err != nil {
		return nil, errors.New("no daemon answers (-dockerd starts one by hand)")
	} else if server != "" {
		version = server
	}
	archive := filepath.Join(p.work, "docker.tar")
	image := fmt.Sprintf("leaktest:%d", os.Getpid())
	if err := p.archive(archive); err != nil {
		return nil, err
	}
	if _, err := command("import", archive, image); err != nil {
		return nil, err
	}
	remove := func() error { _, err := command("rmi", image); return err }
	run := func(more ...string) []string {
		args := append(append([]string{}, client...), "run", "--rm")
		return append(append(args, more...), image, "/leaktest", "inside", "FACTS")
	}
	alone := &start{version: version, args: run("--network", "none"), after: remove,
		note: "docker with --network none: this daemon has no bridge"}
	if p.startDocker {
		return alone, nil
	}
	return &start{version: version, args: run(), or: alone, after: remove}, nil
}

// dockerd starts a daemon that has all its things in the work directory, and nothing to do with the
// host's network. It returns the socket, and ends with us.
func (p *place) dockerd() (string, error) {
	if os.Geteuid() != 0 {
		return "", errors.New("-dockerd needs root")
	}
	dir := filepath.Join(p.work, "dockerd")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return "", err
	}
	defer log.Close()
	socket := filepath.Join(dir, "docker.sock")
	cmd := exec.Command("dockerd", "--data-root", dir+"/data", "--exec-root", dir+"/exec",
		"--host", "unix://"+socket, "--pidfile", dir+"/pid", "--bridge=none",
		"--iptables=false", "--ip6tables=false", "--ip-forward=false", "--storage-driver", "vfs")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("start dockerd: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	p.undo = append(p.undo, func() {
		_ = cmd.Process.Signal(unix.SIGTERM)
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
	})
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		if _, err := output("docker", "--host", "unix://"+socket, "version"); err == nil {
			return socket, nil
		}
		select {
		case err := <-ended:
			ended <- err
			return "", fmt.Errorf("dockerd ended: %v", err)
		case <-time.After(200 * time.Millisecond):
		}
	}
	return "", errors.New("dockerd doesn't answer in 30 s")
}

// podman keeps its storage in the work directory for this.
func podman(p *place) (*start, error) {
	version, err := installed("podman")
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(p.work, "podman")
	client := []string{"podman", "--root", dir + "/root", "--runroot", dir + "/run",
		"--tmpdir", dir + "/tmp", "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs",
		"--events-backend", "none"}
	archive := filepath.Join(p.work, "podman.tar")
	if err := p.archive(archive); err != nil {
		return nil, err
	}
	const image = "localhost/leaktest"
	if _, err := output(append(client, "import", archive, image)...); err != nil {
		return nil, err
	}
	// By default it would set up a network on the host: a bridge, forwarding, rules; and leave
	// them. And it raises limits, which not every root may.
	lower := []string{"--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096"}
	none := []string{"--network", "none"}
	ways := [][]string{none, append(none, lower...)}
	if hybrid() && os.Geteuid() != 0 { // crun wouldn't have it, and only root can hide it
		ways = append(ways, []string{"--network", "none", "--runtime", "runc"})
	}
	var before []string
	if hybrid() && os.Geteuid() == 0 {
		before = withoutUnified()
	}
	var way *start
	for _, more := range slices.Backward(ways) {
		args := slices.Concat(before, client, []string{"run", "--rm"}, more,
			[]string{image, "/leaktest", "inside", "FACTS"})
		way = &start{version: version, args: args, or: way,
			note: "podman with " + strings.Join(more, " ")}
	}
	if os.Geteuid() != 0 {
		way.after = func() error { // it leaves a process that holds its user namespace
			_, err := output(append(client, "system", "migrate")...)
			return err
		}
	}
	return way, nil
}

// stray are the places where the runtimes put something wherever they are told to put their things.
var stray = []string{"/run/containerd", "/run/containers", "/run/crun", "/run/docker",
	"/run/libpod", "/run/runc", "/var/lib/containers", "/dev/shm/libpod_lock",
	fmt.Sprintf("/dev/shm/libpod_rootless_lock_%d", os.Geteuid())}

// ifNew notes which of some paths there aren't yet. What it returns removes those, unless something
// is mounted there: then another program has begun to use them.
func ifNew(paths ...string) (remove func() error) {
	paths = slices.DeleteFunc(paths, func(path string) bool {
		_, err := os.Lstat(path)
		return !errors.Is(err, os.ErrNotExist)
	})
	return func() (err error) {
		mounts, err := os.ReadFile("/proc/self/mountinfo")
		for _, path := range paths {
			if err == nil && !strings.Contains(string(mounts), " "+path) {
				err = os.RemoveAll(path)
			}
		}
		return err
	}
}

// output runs a command, and returns what it has printed.
func output(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", args[0], err, oneLine(complaint.String()))
	}
	return strings.TrimSpace(string(out)), err
}

// oneLine makes one line, not too long, of what a program has complained.
func oneLine(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > 200 {
		text = "... " + text[len(text)-200:]
	}
	return text
}
