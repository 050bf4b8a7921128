//go:build linux

// What is compared: how each starts a command on the same root.

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// The limits that every system sets that can; they are 08's own.
const (
	memoryLimit = 256 << 20
	pidsLimit   = 128
	cpuPeriod   = 100_000 // microseconds, and the quota is one CPU
)

// system is one row of the table.
type system struct {
	name string
	has  string // what it sets up
	// command returns the words that run a program of the root. No two containers that run at the
	// same time may have the same name.
	command func(name, program string) ([]string, error)
	bare    bool // it supervises nothing
	strays  bool // what supervises isn't below the process that we have started

	missing string    // why it wasn't measured
	times   []float64 // of each start, in seconds
	held    held
	notHeld string // why not
}

// systems lists them, with a directory that has 08 and the root in it.
func systems(dir string) []*system {
	root := filepath.Join(dir, "root")
	words := func(words ...string) func(_, program string) ([]string, error) {
		return func(_, program string) ([]string, error) {
			return append(words[:len(words):len(words)], "/bin/"+program), nil
		}
	}
	eight := filepath.Join(dir, "08-full-container")
	limits := []string{"-memory", strconv.Itoa(memoryLimit), "-pids", strconv.Itoa(pidsLimit)}
	return []*system{
		{name: "fork+exec", has: "nothing", bare: true,
			command: func(_, program string) ([]string, error) {
				return []string{filepath.Join(root, "bin", program)}, nil
			}},
		{name: "unshare", has: "namespaces", command: words("unshare", "--user", "--map-root-user",
			"--mount", "--pid", "--fork", "--kill-child", "--net", "--uts", "--ipc", "--cgroup",
			"--root", root)},
		{name: "bwrap", has: "namespaces, root", command: words("bwrap", "--unshare-all",
			"--die-with-parent", "--bind", root, "/", "--proc", "/proc", "--dev", "/dev")},
		{name: "crun", has: "namespaces, root, limits, masks", command: oci("crun", dir)},
		{name: "runc", has: "namespaces, root, limits, masks", command: oci("runc", dir)},
		{name: "podman", has: "the same, seccomp", command: podman(dir), strays: true},
		{name: "08 -net=false", has: "the same, seccomp, overlay, an init",
			command: words(append([]string{eight, "-net=false", "-root", root}, limits...)...)},
		{name: "08", has: "all of that, a cable and NAT",
			command: words(append([]string{eight, "-root", root}, limits...)...)},
	}
}

// try starts a system once, before anything is measured, and notes what is in the way.
func (s *system) try() {
	words, err := s.command("try", "true")
	if err == nil {
		err = run(words)
	}
	if err != nil {
		s.missing = err.Error()
	}
}

// run runs a command. Its error is the last line that it said.
func run(words []string) error {
	if _, err := exec.LookPath(words[0]); err != nil {
		return fmt.Errorf("not installed")
	}
	var said bytes.Buffer
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.WaitDelay = 10 * time.Second // some leave a process behind that has our pipe
	if err := cmd.Run(); err != nil {
		lines := strings.Split(strings.TrimSpace(said.String()), "\n")
		return fmt.Errorf("%w: %s", err, lines[len(lines)-1])
	}
	return nil
}

// oci returns the command of crun or runc: both read a bundle, which is a directory with a
// config.json (OCI runtime specification), and keep their notes in a directory of ours.
func oci(runtime, dir string) func(name, program string) ([]string, error) {
	return func(name, program string) ([]string, error) {
		bundle := filepath.Join(dir, runtime+"-"+program)
		err := os.Mkdir(bundle, 0o755)
		if err == nil { // it wasn't there yet
			err = writeBundle(runtime, bundle, filepath.Join(dir, "root"), program)
		}
		if err != nil && !os.IsExist(err) {
			return nil, err
		}
		return []string{runtime, "--root", filepath.Join(dir, runtime), "run", "--bundle", bundle,
			"bench-" + filepath.Base(dir) + "-" + name}, nil
	}
}

// writeBundle has a runtime write its own idea of a config.json, and changes what has to be the
// same for all.
func writeBundle(runtime, bundle, root, program string) error {
	cmd := exec.Command(runtime, "spec")
	cmd.Dir = bundle
	if out, err := cmd.CombinedOutput(); err != nil {
		_ = os.Remove(bundle) // it is tried again
		return fmt.Errorf("%s spec: %w: %s", runtime, err, strings.TrimSpace(string(out)))
	}
	file := filepath.Join(bundle, "config.json")
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if text, err = configure(text, root, program); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return os.WriteFile(file, text, 0o644)
}

// configure puts into a config.json: the root, the program, a user namespace as 08 has it, and the
// limits.
func configure(text []byte, root, program string) ([]byte, error) {
	var config struct {
		OCIVersion string         `json:"ociVersion"`
		Process    map[string]any `json:"process"`
		Root       map[string]any `json:"root"`
		Hostname   string         `json:"hostname"`
		Mounts     []any          `json:"mounts"`
		Linux      map[string]any `json:"linux"`
	}
	if err := json.Unmarshal(text, &config); err != nil {
		return nil, err
	}
	if config.Process == nil || config.Linux == nil {
		return nil, fmt.Errorf("no process, or no linux, in it")
	}
	config.Process["terminal"] = false
	config.Process["args"] = []string{"/bin/" + program}
	config.Root = map[string]any{"path": root, "readonly": false}
	namespaces, _ := config.Linux["namespaces"].([]any)
	config.Linux["namespaces"] = append(namespaces, map[string]any{"type": "user"})
	ids := []any{map[string]int{"containerID": 0, "hostID": 100_000, "size": 65_536}}
	config.Linux["uidMappings"], config.Linux["gidMappings"] = ids, ids
	config.Linux["resources"] = map[string]any{
		"memory": map[string]int{"limit": memoryLimit, "swap": memoryLimit},
		"pids":   map[string]int{"limit": pidsLimit},
		"cpu":    map[string]int{"quota": cpuPeriod, "period": cpuPeriod},
	}
	return json.MarshalIndent(config, "", "\t")
}

// podman returns its command, with directories of ours for all that it stores. What stays for a
// container is conmon, which makes itself a child of init's.
func podman(dir string) func(name, program string) ([]string, error) {
	return func(_, program string) ([]string, error) {
		return []string{"podman", "--root", filepath.Join(dir, "podman-root"),
			"--runroot", filepath.Join(dir, "podman-run"), "--cgroup-manager", "cgroupfs",
			"--storage-driver", "vfs", "--events-backend", "none",
			"run", "--rm", "--interactive", "--network", "none", "--log-driver", "none",
			// Its own limits are above what root may set without CAP_SYS_RESOURCE.
			"--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024",
			"--memory", strconv.Itoa(memoryLimit), "--pids-limit", strconv.Itoa(pidsLimit),
			"--cpus", "1", "--rootfs", filepath.Join(dir, "root"), "/bin/" + program}, nil
	}
}
