//go:build linux

// What is compared, and how each system starts a command.

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The limits that every system sets if it can. They are the defaults of 08.
const (
	memoryLimit = 256 << 20
	pidsLimit   = 128
	cpuPeriod   = 100_000 // microseconds; the quota is the same, so one CPU
)

// system is one row of the tables.
type system struct {
	name    string
	sets    string // what it sets up
	counted bool   // its supervising processes are our descendants, so their memory can be counted

	// prepare is called once, before the first start, or is nil.
	prepare func() error
	// command returns the command line that runs one of the root's programs. Containers that run at
	// the same time must have different names.
	command func(name, program string) []string

	values  map[string][]float64 // what was measured, by kind
	problem string               // "missing: ..." if it doesn't work here, or "FAILED: ..."
}

// systems lists them. Dir holds the two steps and the root.
func systems(dir string) []*system {
	root := filepath.Join(dir, "root")
	memory, pids := strconv.Itoa(memoryLimit), strconv.Itoa(pidsLimit)
	eight := []string{filepath.Join(dir, "08-full-container"), "-root", root, "-memory", memory,
		"-pids", pids}
	podman := func(network string) []string {
		return podmanIn(filepath.Join(dir, "podman"), "run", "--rm", "--interactive",
			"--network", network, "--log-driver", "none", "--cgroup-parent", filepath.Base(dir),
			// The limits that it sets by default take CAP_SYS_RESOURCE.
			"--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024",
			"--memory", memory, "--pids-limit", pids, "--cpus", "1", "--rootfs", root)
	}
	engine := sync.OnceValue(func() error { return importRoot(root, imageName(dir)) })
	docker := []string{"docker", "run", "--rm", "--interactive", "--memory", memory,
		"--memory-swap", memory, "--pids-limit", pids, "--cpus", "1"}
	const usual = "namespaces, root, limits, masks"
	return []*system{
		{name: "fork+exec", sets: "nothing", command: func(_, program string) []string {
			return []string{filepath.Join(root, "bin", program)}
		}},
		{name: "unshare", sets: "namespaces", counted: true,
			command: words("unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork",
				"--kill-child", "--net", "--uts", "--ipc", "--cgroup", "--root", root)},
		{name: "bwrap", sets: "namespaces, root", counted: true,
			command: words("bwrap", "--unshare-all", "--die-with-parent", "--bind", root, "/",
				"--proc", "/proc", "--dev", "/dev")},
		oci("crun", usual, dir), oci("runc", usual, dir),
		{name: "podman, no network", sets: usual + ", seccomp", command: words(podman("none")...)},
		{name: "podman", sets: "the same, a bridge and NAT", command: words(podman("bridge")...)},
		{name: "docker, no network", sets: usual + ", seccomp", prepare: engine,
			command: words(append(slices.Clone(docker), "--network", "none", imageName(dir))...)},
		{name: "docker", sets: "the same, a bridge and NAT", prepare: func() error {
			if err := engine(); err != nil {
				return err
			}
			_, err := run([]string{"docker", "network", "inspect", "bridge"})
			return err // an engine may have none
		}, command: words(append(docker, imageName(dir))...)},
		{name: "step 05", sets: "namespaces, root",
			command: words(filepath.Join(dir, "05-user-namespace"))},
		{name: "08 -net=false", sets: usual + ", seccomp, overlay, init", counted: true,
			command: words(append(slices.Clone(eight), "-net=false")...)},
		{name: "08", sets: "the same, a cable and NAT", counted: true, command: words(eight...)},
	}
}

// words returns a command line that ends with the program.
func words(words ...string) func(_, program string) []string {
	return func(_, program string) []string { return append(slices.Clone(words), "/bin/"+program) }
}

// try starts a system once, before anything is measured, and notes why it doesn't work here.
func (s *system) try() {
	var err error
	if s.prepare != nil {
		err = s.prepare()
	}
	if err == nil {
		_, err = run(s.command("try", "true"))
	}
	if err != nil {
		s.problem = "missing: " + err.Error()
	}
}

// measureStarts measures a round's starts, in milliseconds. The first one warms up the caches and
// doesn't count.
func (s *system) measureStarts() error {
	for i := range 1 + startsPerRound {
		took, err := run(s.command("start", "true"))
		if err != nil {
			return err
		}
		if i > 0 {
			s.note("start", took.Seconds()*1000)
		}
	}
	return nil
}

// note keeps a measured value.
func (s *system) note(kind string, value float64) {
	if s.values == nil {
		s.values = map[string][]float64{}
	}
	s.values[kind] = append(s.values[kind], value)
}

// run runs a command, and measures how long that takes. If it fails, the error has the last line
// that it printed. It prints to a file, since reading a pipe would take time.
func run(words []string) (time.Duration, error) {
	output, err := os.CreateTemp("", "output-")
	if err != nil {
		return 0, err
	}
	defer output.Close()
	defer os.Remove(output.Name())
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Stdout, cmd.Stderr = output, output
	begin := time.Now()
	err = cmd.Run()
	took := time.Since(begin)
	if errors.As(err, new(*exec.ExitError)) {
		text, _ := os.ReadFile(output.Name())
		err = fmt.Errorf("%w: %s", err, lastLine(string(text)))
	}
	return took, err
}

// lastLine returns the last line of a text that isn't empty.
func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndex(text, "\n")+1:]
}

// oci returns the system crun or runc.
func oci(runtime, sets, dir string) *system {
	return &system{name: runtime, sets: sets, counted: true,
		prepare: func() error { return bundles(runtime, dir) },
		command: func(name, program string) []string {
			return []string{runtime, "run", "--bundle", filepath.Join(dir, runtime+"-"+program),
				filepath.Base(dir) + "-" + name}
		}}
}

// bundles makes a bundle for each program: a directory with a config.json (OCI runtime
// specification). The runtime writes its default one, and this changes what must be the same for
// all.
func bundles(runtime, dir string) error {
	for _, program := range []string{"true", "cat"} {
		bundle := filepath.Join(dir, runtime+"-"+program)
		if err := os.Mkdir(bundle, 0o755); err != nil {
			return err
		}
		if _, err := run([]string{runtime, "spec", "--bundle", bundle}); err != nil {
			return err
		}
		file := filepath.Join(bundle, "config.json")
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if text, err = configure(text, filepath.Join(dir, "root"), program); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if err := os.WriteFile(file, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// configure sets root and program in a config.json, and a user namespace and limits as 08 has them.
func configure(text []byte, root, program string) ([]byte, error) {
	var config map[string]any
	if err := json.Unmarshal(text, &config); err != nil {
		return nil, err
	}
	process, _ := config["process"].(map[string]any)
	linux, _ := config["linux"].(map[string]any)
	namespaces, _ := linux["namespaces"].([]any)
	if process == nil || namespaces == nil {
		return nil, errors.New("it has no process or no namespaces")
	}
	process["terminal"] = false
	process["args"] = []string{"/bin/" + program}
	config["root"] = map[string]any{"path": root, "readonly": false}
	linux["namespaces"] = append(namespaces, map[string]any{"type": "user"})
	ids := []any{map[string]int{"containerID": 0, "hostID": 100_000, "size": 65_536}}
	linux["uidMappings"], linux["gidMappings"] = ids, ids
	linux["resources"] = map[string]any{
		"memory": map[string]int{"limit": memoryLimit, "swap": memoryLimit},
		"pids":   map[string]int{"limit": pidsLimit},
		"cpu":    map[string]int{"quota": cpuPeriod, "period": cpuPeriod},
	}
	return json.MarshalIndent(config, "", "\t")
}

// podmanIn returns a podman command that stores everything in a directory of ours. Its containers
// are supervised by conmon, which makes itself a child of init.
func podmanIn(dir string, words ...string) []string {
	return append([]string{"podman", "--root", dir, "--network-config-dir", dir + "-networks",
		"--cgroup-manager", "cgroupfs", "--storage-driver", "vfs", "--events-backend", "none"},
		words...)
}

// imageName is what docker and podman call our image. Only tags may have capital letters.
func imageName(dir string) string { return "jail-to-container-bench:" + filepath.Base(dir) }

// importRoot makes an image for docker from the root, if an engine answers within two seconds.
// scripts/bench.sh removes it.
func importRoot(root, image string) error {
	if _, err := run([]string{"timeout", "2", "docker", "version"}); err != nil {
		return fmt.Errorf("no engine answers within 2 s: %w", err)
	}
	_, err := run([]string{"sh", "-ec", `tar -c -C "$1" . | docker import - "$2"`, "",
		root, image})
	return err
}
