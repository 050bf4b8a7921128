//go:build linux

// Package doctor tests scripts/doctor.sh: on machines that are made up, and on this one.
package doctor

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// script is what is tested.
const script = "../../doctor.sh"

// tools are the only programs of this machine that the script finds on a made-up one.
var tools = strings.Fields("awk cat cut df dirname grep id printf sed sh tr")

// machine is a made-up machine: its files, and beside them the environment of its user.
type machine struct {
	dir string
	env []string
}

// The commands that doctor.sh tells people to type.
const (
	onlyRoot = "only root may make a cgroup here, or a user to whom root has delegated one"
	sysctl   = "sysctl -w user.max_user_namespaces=15000"
	flags    = " (a container: start it as .devcontainer does)"
)

// laptop is an ordinary user's, with systemd, sudo and cgroup v2. A directory is root's unless its
// file .owner says otherwise.
func laptop(t *testing.T) machine {
	t.Helper()
	m := machine{dir: t.TempDir()}
	m.env = []string{
		"PATH=" + m.dir + "/bin", "HOME=/home", "DOCTOR_ROOT=" + m.dir,
		"XDG_RUNTIME_DIR=/run/user/1000",
	}
	for _, tool := range tools {
		path, err := exec.LookPath(tool)
		if err != nil {
			t.Fatal(err)
		}
		m.link(t, path, "bin/"+tool)
	}
	// A clone of the repository as it is downloaded: this one may have a vendor directory.
	for _, pattern := range []string{"go.mod", "scripts", "0?-*"} {
		paths, err := filepath.Glob("../../../" + pattern)
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: %q, %v", pattern, paths, err)
		}
		for _, path := range paths {
			path, err := filepath.Abs(path)
			if err != nil {
				t.Fatal(err)
			}
			m.link(t, path, "clone/"+filepath.Base(path))
		}
	}
	m.program(t, "uname", "case $1 in -m) echo x86_64 ;; *) echo Linux ;; esac")
	m.program(t, "ls", `for dir; do :; done; read -r owner <"$dir/.owner" || owner=0; `+
		`echo "drwxr-xr-x 2 $owner $owner"`)
	m.program(t, "go", `case $1 in version) echo "go version go1.26.0 linux/amd64" ;; esac`)
	for _, name := range strings.Fields("sudo systemd-run sysctl newuidmap pasta nft curl") {
		m.program(t, name, "exit 9 # it is looked for, never called")
	}
	for _, kind := range []string{"user", "pid", "mnt", "uts", "ipc", "net", "cgroup", "time"} {
		m.file(t, "proc/self/ns/"+kind, "")
	}
	for _, name := range []string{"null", "zero", "full", "random", "urandom", "tty", "net/tun"} {
		m.file(t, "dev/"+name, "")
	}
	for name, text := range map[string]string{
		"proc/sys/kernel/osrelease": "6.8.0-31-generic\n",
		"proc/self/status": "Name:\tawk\nUid:\t1000\t1000\t1000\t1000\n" +
			"CapEff:\t0000000000000000\nCapBnd:\t000001ffffffffff\n" +
			"NoNewPrivs:\t0\nSeccomp:\t0\n",
		"proc/self/uid_map": "         0          0 4294967295\n",
		"proc/self/cgroup":  "0::/user.slice/user-1000.slice/session-1.scope\n",
		"proc/self/mountinfo": "1 0 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n" +
			"2 1 0:5 / /proc rw,nosuid - proc proc rw\n" +
			"3 1 0:6 / /sys rw,nosuid - sysfs sysfs rw\n" +
			"4 3 0:7 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n" +
			"5 2 0:8 / /proc/sys/fs/binfmt_misc rw - autofs systemd-1 rw\n" +
			"6 3 0:9 / /sys/kernel/security rw - securityfs securityfs rw\n",
		"proc/filesystems": "nodev\tsysfs\nnodev\tmqueue\n" +
			"nodev\toverlay\n",
		"proc/net/route":                                  "Iface\tDestination\neth0\t00000000\n",
		"proc/sys/user/max_user_namespaces":               "15000\n",
		"etc/subuid":                                      "1000:100000:65536\n",
		"run/user/1000/systemd/private":                   "",
		"sys/module/veth/version":                         "",
		"sys/fs/cgroup/cgroup.controllers":                "cpuset cpu io memory pids\n",
		"tmp/empty":                                       "",
		"var/tmp/empty":                                   "",
		"sys/fs/cgroup" + service + "/.owner":             "1000\n",
		"sys/fs/cgroup" + service + "/cgroup.controllers": "cpu memory pids\n",
	} {
		m.file(t, name, text)
	}
	text, err := os.ReadFile("../../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	required := regexp.MustCompile(`(?m)^\t(\S+) (v\S+)`)
	for _, module := range required.FindAllStringSubmatch(string(text), -1) {
		m.file(t, "home/go/pkg/mod/"+module[1]+"@"+module[2]+"/empty", "")
	}
	return m
}

// service is the cgroup of the service manager of uid 1000.
const service = "/user.slice/user-1000.slice/user@1000.service"

// file makes a file, or replaces it.
func (m machine) file(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(m.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// link makes a symbolic link.
func (m machine) link(t *testing.T, target, name string) {
	t.Helper()
	m.file(t, name, "")
	path := filepath.Join(m.dir, name)
	if err := errors.Join(os.Remove(path), os.Symlink(target, path)); err != nil {
		t.Fatal(err)
	}
}

// program makes a program of the machine's own.
func (m machine) program(t *testing.T, name, body string) {
	t.Helper()
	m.file(t, "bin/"+name, "#!/bin/sh\n"+body+"\n")
	if err := os.Chmod(filepath.Join(m.dir, "bin", name), 0o755); err != nil {
		t.Fatal(err)
	}
}

// remove removes a file, or a directory with all that is in it.
func (m machine) remove(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.RemoveAll(filepath.Join(m.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// replace changes a text in a file, in which it must occur.
func (m machine) replace(t *testing.T, name, old, text string) {
	t.Helper()
	before, err := os.ReadFile(filepath.Join(m.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(before), old) {
		t.Fatalf("%s: no %q in it", name, old)
	}
	m.file(t, name, strings.ReplaceAll(string(before), old, text))
}

// mounts adds lines to the table of mounts.
func (m machine) mounts(t *testing.T, lines ...string) {
	t.Helper()
	m.replace(t, "proc/self/mountinfo", "1 0 8:1 /",
		strings.Join(append(lines, "1 0 8:1 /"), "\n"))
}

// root makes the user root, with capabilities.
func (m machine) root(t *testing.T, capabilities string) {
	t.Helper()
	m.replace(t, "proc/self/status", "1000", "0")
	m.replace(t, "proc/self/status", "CapEff:\t0000000000000000", "CapEff:\t"+capabilities)
}

// What root's capabilities are, as /proc has them.
const (
	allCapabilities  = "000001ffffffffff"
	dockers          = "00000000a80425fb"
	withAdmin        = "00000000a82425fb" // Docker's, and CAP_SYS_ADMIN
	withAdminNetwork = "00000000a82435fb" // and CAP_NET_ADMIN
)

// container makes the machine one of Docker's, without its masks.
func (m machine) container(t *testing.T, capabilities string) {
	t.Helper()
	m.root(t, capabilities)
	m.replace(t, "proc/self/status", "CapBnd:\t"+allCapabilities, "CapBnd:\t"+capabilities)
	m.file(t, ".dockerenv", "")
	m.file(t, "proc/self/cgroup", "0::/\n")
}

// versionOne gives the machine one hierarchy for each controller, and none for all.
func (m machine) versionOne(t *testing.T) {
	t.Helper()
	m.file(t, "proc/self/cgroup", "3:cpu,cpuacct:/a\n2:pids:/a\n1:memory:/a\n0::/a\n")
	m.file(t, "sys/fs/cgroup/cgroup.controllers", "\n")
	m.mounts(t,
		"11 4 0:11 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
		"12 4 0:12 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids",
		"13 4 0:13 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct")
}

// doctor runs the script with a shell and returns its verdicts, all that it printed, and its exit
// status.
func (m machine) doctor(t *testing.T, shell []string, args ...string) ([]string, string, int) {
	t.Helper()
	name := script
	if m.dir != "" {
		name = m.dir + "/clone/scripts/doctor.sh"
	}
	cmd := exec.Command(shell[0], append(append(slices.Clone(shell[1:]), name), args...)...)
	cmd.Env = m.env
	var said, complained strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &complained
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if complained.Len() > 0 {
		t.Errorf("doctor.sh printed errors:\n%s", &complained)
	}
	var verdicts []string
	for line := range strings.Lines(said.String()) {
		if name, text, _ := strings.Cut(line, " "); regexp.MustCompile(`^0\d-`).MatchString(name) {
			verdicts = append(verdicts, strings.TrimSpace(text))
		}
	}
	return verdicts, said.String(), cmd.ProcessState.ExitCode()
}

// sh is the shell that the script asks for.
var sh = []string{"/bin/sh"}

// others are other shells that this machine has. Some of busybox's find its own programs before
// those in PATH, so a made-up machine is none for it.
func others() (all [][]string) {
	for _, shell := range [][]string{
		{"dash"}, {"busybox", "sh"}, {"bash", "--posix"}, {"mksh"}, {"ksh93"}, {"yash"}, {"posh"},
		{"zsh", "--emulate", "sh"},
	} {
		if path, err := exec.LookPath(shell[0]); err == nil {
			all = append(all, append([]string{path}, shell[1:]...))
		}
	}
	return all
}

// steps repeats verdicts: "works", 6, x, 2 is "works" for the first six steps, x for two.
func steps(pairs ...any) (all []string) {
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, slices.Repeat([]string{pairs[i].(string)}, pairs[i+1].(int))...)
	}
	return all
}

// cases are the made-up machines: what is different from the laptop, and the verdicts.
var cases = []struct {
	name   string
	change func(t *testing.T, m *machine)
	want   []string
}{
	{"a laptop with systemd", func(*testing.T, *machine) {}, steps("works", 8)},
	{"in the scope that systemd-run has made", func(t *testing.T, m *machine) {
		m.file(t, "proc/self/cgroup", "0::"+service+"/app.slice/run-r1.scope\n")
		m.file(t, "sys/fs/cgroup"+service+"/app.slice/.owner", "1000\n")
		m.file(t, "sys/fs/cgroup"+service+"/app.slice/run-r1.scope/.owner", "1000\n")
		m.file(t, "sys/fs/cgroup"+service+"/app.slice/run-r1.scope/cgroup.controllers",
			"cpu memory pids\n")
	}, steps("works", 8)},
	{"in a cgroup of systemd's own for this user", func(t *testing.T, m *machine) {
		m.file(t, "proc/self/cgroup", "0::"+service+"/app.slice\n")
		m.file(t, "sys/fs/cgroup"+service+"/app.slice/.owner", "1000\n")
		m.file(t, "sys/fs/cgroup"+service+"/app.slice/cgroup.controllers", "cpu memory pids\n")
	}, steps("works", 8)},
	{"a cgroup that root has delegated", func(t *testing.T, m *machine) {
		m.remove(t, "bin/systemd-run")
		m.file(t, "proc/self/cgroup", "0::/delegated/outside\n")
		m.file(t, "sys/fs/cgroup/delegated/.owner", "1000\n")
		m.file(t, "sys/fs/cgroup/delegated/cgroup.controllers", "cpu memory pids\n")
	}, steps("works", 8)},
	{"systemd before 252, which delegates no cpu", func(t *testing.T, m *machine) {
		m.file(t, "sys/fs/cgroup"+service+"/cgroup.controllers", "memory pids\n")
	}, steps("works", 8)},
	{"no systemd session", func(t *testing.T, m *machine) {
		m.remove(t, "run/user")
	}, steps("works", 6, "works with sudo", 2)},
	{"no systemd, no sudo", func(t *testing.T, m *machine) {
		m.remove(t, "bin/systemd-run", "bin/sudo")
	}, steps("works", 6, "won't here: "+onlyRoot, 2)},
	{"sudo that no_new_privs takes the power from", func(t *testing.T, m *machine) {
		m.remove(t, "bin/systemd-run")
		m.replace(t, "proc/self/status", "NoNewPrivs:\t0", "NoNewPrivs:\t1")
	}, steps("works", 6, "won't here: "+onlyRoot, 2)},
	{"root", func(t *testing.T, m *machine) { m.root(t, allCapabilities) }, steps("works", 8)},
	{"cgroup v1, a user", func(t *testing.T, m *machine) {
		m.versionOne(t)
	}, steps("works", 6, "works with sudo", 2)},
	{"cgroup v1, a user with delegated cgroups", func(t *testing.T, m *machine) {
		m.versionOne(t)
		for _, controller := range []string{"memory", "pids", "cpu,cpuacct"} {
			m.file(t, "sys/fs/cgroup/"+controller+"/a/.owner", "1000\n")
		}
	}, steps("works", 8)},
	{"cgroup v1, root", func(t *testing.T, m *machine) {
		m.versionOne(t)
		m.root(t, allCapabilities)
	}, steps("works", 8)},
	{"cgroup v1 without memory", func(t *testing.T, m *machine) {
		m.versionOne(t)
		m.root(t, allCapabilities)
		m.replace(t, "proc/self/cgroup", "1:memory:/a\n", "")
	}, steps("works", 6, "won't here: no cgroup hierarchy has memory", 2)},

	{"Alpine, which mounts no cgroups, root", func(t *testing.T, m *machine) {
		unmounted(t, m)
		m.root(t, allCapabilities)
	}, steps("works", 6, "works after: "+mountCgroups, 2)},
	{"Alpine, a user with sudo", func(t *testing.T, m *machine) {
		unmounted(t, m)
	}, steps("works", 6, "works after: sudo "+mountCgroups+" # and with sudo", 2)},
	{"Alpine, a user without", func(t *testing.T, m *machine) {
		unmounted(t, m)
		m.remove(t, "bin/sudo")
	}, steps("works", 6, "won't here: no cgroup hierarchy is mounted (root can change that: "+
		mountCgroups+"); "+onlyRoot, 2)},

	// What forbids user namespaces.
	{"Ubuntu's AppArmor", func(t *testing.T, m *machine) {
		m.file(t, "proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n")
		m.program(t, "unshare", "exit 0") // it has a profile of its own there
	}, steps("works with sudo", 8)},
	{"Ubuntu's AppArmor, no sudo", func(t *testing.T, m *machine) {
		m.file(t, "proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n")
		m.remove(t, "bin/sudo", "bin/systemd-run")
	}, steps("won't here: "+apparmor, 6, "won't here: "+apparmor+"; "+onlyRoot, 2)},
	{"Ubuntu's AppArmor, root", func(t *testing.T, m *machine) {
		m.file(t, "proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n")
		m.root(t, allCapabilities)
	}, steps("works", 8)},
	{"Debian's old switch", func(t *testing.T, m *machine) {
		m.file(t, "proc/sys/kernel/unprivileged_userns_clone", "0\n")
	}, steps("works with sudo", 8)},
	{"no user namespaces for anyone", func(t *testing.T, m *machine) {
		m.file(t, "proc/sys/user/max_user_namespaces", "0\n")
	}, steps("works with sudo", 4, "works after: sudo "+sysctl, 4)},
	{"no user namespaces for anyone, and cgroups are root's", func(t *testing.T, m *machine) {
		m.file(t, "proc/sys/user/max_user_namespaces", "0\n")
		m.remove(t, "bin/systemd-run")
	}, steps("works with sudo", 4, "works after: sudo "+sysctl, 2,
		"works after: sudo "+sysctl+" # and with sudo", 2)},
	{"no user namespaces for root", func(t *testing.T, m *machine) {
		m.file(t, "proc/sys/user/max_user_namespaces", "0\n")
		m.root(t, allCapabilities)
	}, steps("works", 4, "works after: "+sysctl, 4)},
	{"no sysctl(8)", func(t *testing.T, m *machine) {
		m.file(t, "proc/sys/user/max_user_namespaces", "0\n")
		m.root(t, allCapabilities)
		m.remove(t, "bin/sysctl")
	}, steps("works", 4,
		"works after: sh -c 'echo 15000 >/proc/sys/user/max_user_namespaces'", 4)},
	{"a policy that isn't known", func(t *testing.T, m *machine) {
		m.program(t, "unshare", "exit 1")
		m.remove(t, "bin/sudo", "bin/systemd-run")
	}, steps("won't here: this user may not make a user namespace (is this a chroot?)", 6,
		"won't here: this user may not make a user namespace (is this a chroot?); "+onlyRoot, 2)},
	{"root of a user namespace, but not of the network", func(t *testing.T, m *machine) {
		m.program(t, "nsenter", "exit 1")
		m.file(t, "proc/net/fib_trie", "Main:\n")
		m.root(t, allCapabilities)
	}, steps("works", 8)},
	{"a network namespace in which nothing is up", func(t *testing.T, m *machine) {
		m.file(t, "proc/net/fib_trie", "Main:\n")
		m.root(t, allCapabilities)
	}, steps("works", 5, "works after: ip link set lo up", 1, "works", 1,
		"works after: ip link set lo up", 1)},
	{"the same, and a loopback", func(t *testing.T, m *machine) {
		m.file(t, "proc/net/fib_trie", "Main:\n     |-- 127.0.0.1\n")
		m.root(t, allCapabilities)
	}, steps("works", 8)},
	{"a chroot, root", func(t *testing.T, m *machine) {
		m.replace(t, "proc/self/mountinfo", "1 0 8:1 / / ", "1 0 8:1 / /elsewhere ")
		m.program(t, "unshare", `case $1 in -U) exit 1 ;; esac`)
		m.root(t, allCapabilities)
	}, steps("works", 2,
		"won't here: this user may not replace the root directory (is this a chroot?)", 2,
		"won't here: this user may not make a user namespace (is this a chroot?)", 4)},
	{"no network namespaces for anyone", func(t *testing.T, m *machine) {
		m.file(t, "proc/sys/user/max_net_namespaces", "0\n")
		m.root(t, allCapabilities)
	}, steps("works", 5, "works after: sysctl -w user.max_net_namespaces=15000", 3)},

	{"a hostname that hostname(1) refuses", func(t *testing.T, m *machine) {
		refuseHostname(t, m, "a_b")
	}, steps("works", 8)},
	{"a hostname that hostname(1) may not set", func(t *testing.T, m *machine) {
		refuseHostname(t, m, "a-b")
		m.remove(t, "bin/sudo", "bin/systemd-run")
	}, steps("works", 3, "won't here: this user may not set a hostname", 3,
		"won't here: this user may not set a hostname; "+onlyRoot, 2)},

	// Kernels.
	{"no time namespaces, which 08 does without", func(t *testing.T, m *machine) {
		m.root(t, allCapabilities)
		m.remove(t, "proc/self/ns/time")
	}, steps("works", 8)},
	{"no message queues", func(t *testing.T, m *machine) {
		m.replace(t, "proc/filesystems", "nodev\tmqueue\n", "")
		m.root(t, allCapabilities)
	}, steps("works", 3, "won't here: this kernel has no POSIX message queues", 5)},
	{"the modules went with an update", func(t *testing.T, m *machine) {
		m.remove(t, "sys/module/veth")
		m.file(t, "lib/modules/6.9.0/modules.dep", "kernel/drivers/net/veth.ko.zst:\n")
		m.root(t, allCapabilities)
	}, steps("works", 5,
		"won't here: the modules of the running kernel are gone, as after an update: reboot", 3)},
	{"veth is a module that isn't loaded", func(t *testing.T, m *machine) {
		m.remove(t, "sys/module/veth")
		m.file(t, "lib/modules/6.8.0-31-generic/modules.dep", "kernel/drivers/net/veth.ko.zst:\n")
		m.root(t, allCapabilities)
	}, steps("works", 8)},
	{"no veth", func(t *testing.T, m *machine) {
		m.remove(t, "sys/module/veth")
		m.file(t, "lib/modules/6.8.0-31-generic/modules.dep", "kernel/drivers/net/tun.ko:\n")
		m.root(t, allCapabilities)
	}, steps("works", 5, "won't here: this kernel has no virtual network cables (veth)", 3)},
	{"cgroup v2 before clone3 knew it", func(t *testing.T, m *machine) {
		m.file(t, "proc/sys/kernel/osrelease", "5.4.0-216-generic\n")
		m.root(t, allCapabilities)
	}, steps("works", 6, "won't here: cgroup v2 takes Linux 5.7 (clone3)", 2)},
	{"a status without NoNewPrivs, as before Linux 4.10", func(t *testing.T, m *machine) {
		m.remove(t, "bin/systemd-run")
		m.replace(t, "proc/self/status", "NoNewPrivs:\t0\n", "")
	}, steps("works", 6, "works with sudo", 2)},
	{"Raspberry Pi OS", func(t *testing.T, m *machine) {
		m.program(t, "uname", "case $1 in -m) echo aarch64 ;; *) echo Linux ;; esac")
		m.file(t, "proc/cmdline", "coherent_pool=1M cgroup_disable=memory console=tty1\n")
		m.file(t, "sys/fs/cgroup/cgroup.controllers", "cpuset cpu io pids\n")
	}, steps("works", 6, "won't here: the kernel's command line has cgroup_disable=memory (on a "+
		"Raspberry Pi, add cgroup_enable=memory to cmdline.txt, and reboot)", 2)},
	{"a processor without a filter", func(t *testing.T, m *machine) {
		m.root(t, allCapabilities)
		m.program(t, "uname", "case $1 in -m) echo s390x ;; *) echo Linux ;; esac")
	}, steps("works", 7, "won't here: 08 has no filter for s390x", 1)},

	// Containers.
	{"Docker's default, root", func(t *testing.T, m *machine) {
		m.container(t, dockers)
		m.program(t, "unshare", "exit 1")
		m.mounts(t, masks...)
		m.replace(t, "proc/self/mountinfo", "/sys/fs/cgroup rw", "/sys/fs/cgroup ro")
		m.replace(t, "proc/self/status", "Seccomp:\t0", "Seccomp:\t2")
	}, steps("works", 1, "won't here: "+mayNot+flags, 1,
		"won't here: "+mayNot+"; part of /proc is covered or read-only"+flags, 4,
		"won't here: "+mayNot+"; part of /proc is covered or read-only; root needs CAP_SYS_ADMIN "+
			"and CAP_NET_ADMIN for limits"+flags, 1,
		"won't here: "+mayNot+"; part of /proc is covered or read-only; root needs CAP_SYS_ADMIN "+
			"and CAP_NET_ADMIN for limits; part of /sys is covered"+flags, 1)},
	{"the masks alone", func(t *testing.T, m *machine) {
		m.container(t, withAdminNetwork)
		m.mounts(t, masks...)
	}, steps("works", 4, "won't here: part of /proc is covered or read-only"+flags, 3,
		"won't here: part of /proc is covered or read-only; part of /sys is covered"+flags, 1)},
	{"cgroups that are read-only", func(t *testing.T, m *machine) {
		m.container(t, withAdminNetwork)
		m.replace(t, "proc/self/mountinfo", "/sys/fs/cgroup rw", "/sys/fs/cgroup ro")
	}, steps("works", 6, "works after: mount -o remount,bind,rw /sys/fs/cgroup", 2)},
	{"root without CAP_SYS_CHROOT", func(t *testing.T, m *machine) {
		m.root(t, "000001fffffbffff")
	}, steps("works", 2, "won't here: root needs CAP_SYS_CHROOT here", 2, "works", 4)},
	{"a container with CAP_SYS_ADMIN only", func(t *testing.T, m *machine) {
		m.container(t, withAdmin)
	}, steps("works", 6,
		"won't here: root needs CAP_SYS_ADMIN and CAP_NET_ADMIN for limits"+flags, 2)},
	{"Docker's default and no Go, which hides nothing", func(t *testing.T, m *machine) {
		m.container(t, dockers)
		m.program(t, "unshare", "exit 1")
		m.remove(t, "bin/go")
	}, steps("works after: "+install, 1, "won't here: there is no Go 1.25; "+mayNot+flags, 5,
		"won't here: there is no Go 1.25; "+mayNot+"; root needs CAP_SYS_ADMIN and CAP_NET_ADMIN "+
			"for limits"+flags, 2)},
	{"a container to which systemd has delegated no cpu", func(t *testing.T, m *machine) {
		m.container(t, withAdminNetwork)
		m.file(t, "sys/fs/cgroup/cgroup.controllers", "memory pids\n")
	}, steps("works", 6, "won't here: no cgroup hierarchy has cpu"+flags, 2)},
	{"a virtual machine made from an image", func(t *testing.T, m *machine) {
		m.file(t, ".dockerenv", "")
		m.file(t, "proc/sys/user/max_user_namespaces", "0\n")
		m.remove(t, "bin/systemd-run")
	}, steps("works with sudo", 4, "works after: sudo "+sysctl, 2,
		"works after: sudo "+sysctl+" # and with sudo", 2)},
	{"no /dev/tty", func(t *testing.T, m *machine) {
		m.root(t, allCapabilities)
		m.remove(t, "dev/tty")
	}, steps("works", 2, "won't here: there is no /dev/tty", 6)},
	{"a bare root", func(t *testing.T, m *machine) {
		m.root(t, allCapabilities)
		m.remove(t, "var/tmp", "bin/nft", "bin/pasta", "bin/newuidmap", "bin/sudo", "etc/subuid")
	}, steps("works", 2, "works after: mkdir -p -m 1777 /var/tmp", 1, "works", 5)},

	// What Go needs.
	{"no Go", func(t *testing.T, m *machine) {
		m.remove(t, "bin/go")
		m.root(t, allCapabilities)
	}, steps("works after: "+install, 8)},
	{"no Go and no network", func(t *testing.T, m *machine) {
		m.remove(t, "bin/go", "proc/net/route")
		m.root(t, allCapabilities)
	}, steps("won't here: there is no Go 1.25", 8)},
	{"no Go, and wget", func(t *testing.T, m *machine) {
		m.remove(t, "bin/go", "bin/curl")
		m.program(t, "wget", "")
		m.root(t, allCapabilities)
	}, steps("works after: "+strings.Replace(install, "curl -L", "wget -O-", 1), 8)},
	{"no Go, and nothing to fetch it with", func(t *testing.T, m *machine) {
		m.remove(t, "bin/go", "bin/curl")
		m.root(t, allCapabilities)
	}, steps("won't here: there is no Go 1.25, and neither curl nor wget to fetch it with", 8)},
	{"no Go, 32-bit ARM", func(t *testing.T, m *machine) {
		m.remove(t, "bin/go")
		m.program(t, "uname", "case $1 in -m) echo armv7l ;; *) echo Linux ;; esac")
		m.root(t, allCapabilities)
	}, steps("works after: "+strings.Replace(install, "amd64", "armv6l", 1), 7,
		"won't here: there is no Go 1.25; 08 has no filter for arm", 1)},
	{"no Go, 32-bit PC", func(t *testing.T, m *machine) {
		m.remove(t, "bin/go")
		m.program(t, "uname", "case $1 in -m) echo i686 ;; *) echo Linux ;; esac")
		m.root(t, allCapabilities)
	}, steps("works after: "+strings.Replace(install, "amd64", "386", 1), 7,
		"won't here: there is no Go 1.25; 08 has no filter for 386", 1)},
	{"a 32-bit Go on a 64-bit kernel", func(t *testing.T, m *machine) {
		m.program(t, "go", `case $* in version) echo "go version go1.26.0 linux/386" ;; `+
			`*GOARCH) echo 386 ;; esac`)
		m.root(t, allCapabilities)
	}, steps("works", 7, "won't here: 08 has no filter for 386", 1)},
	{"Go where doctor.sh puts it, beside PATH", func(t *testing.T, m *machine) {
		m.remove(t, "bin/go")
		m.program(t, "../home/.local/go/bin/go", "")
		m.root(t, allCapabilities)
	}, steps(`works after: export PATH="$PATH:/home/.local/go/bin"`, 8)},
	{"Go beside PATH", func(t *testing.T, m *machine) {
		m.remove(t, "bin/go")
		m.program(t, "../usr/local/go/bin/go", "")
		m.root(t, allCapabilities)
	}, steps(`works after: export PATH="$PATH:/usr/local/go/bin"`, 8)},
	{"Debian 12's Go", func(t *testing.T, m *machine) {
		m.program(t, "go", `case $1 in version) echo "go version go1.19.8 linux/amd64" ;; esac`)
		m.root(t, allCapabilities)
	}, steps("works after: "+install, 8)},
	{"a Go that fetches another", func(t *testing.T, m *machine) {
		m.program(t, "go", `case $1 in version) echo "go version go1.21.0 linux/amd64" ;; esac`)
		m.root(t, allCapabilities)
	}, steps("works", 8)},
	{"a Go that may not", func(t *testing.T, m *machine) {
		m.program(t, "go", `case $* in version) echo "go version go1.24.4 linux/amd64" ;; `+
			`*GOTOOLCHAIN) echo local ;; esac`)
		m.root(t, allCapabilities)
	}, steps("works after: export GOTOOLCHAIN=auto", 8)},
	{"a Go that is another, and would fetch that first", func(t *testing.T, m *machine) {
		m.program(t, "go", `case $*$GOTOOLCHAIN in versionlocal) `+
			`echo "go version go1.24.4 linux/amd64" ;; *GOTOOLCHAIN*) echo go1.21.0 ;; esac`)
		m.env = append(m.env, "GOTOOLCHAIN=go1.21.0")
		m.root(t, allCapabilities)
	}, steps("works after: export GOTOOLCHAIN=auto", 8)},
	{"no modules and no network", func(t *testing.T, m *machine) {
		m.remove(t, "home/go", "proc/net/route")
		m.root(t, allCapabilities)
	}, steps("won't here: the modules are not fetched, and there is no network", 8)},
	{"no modules and a network of IPv6 alone", func(t *testing.T, m *machine) {
		m.remove(t, "home/go", "proc/net/route")
		m.file(t, "proc/net/ipv6_route", strings.Replace(nowhere, " lo", " eth0", 1))
		m.root(t, allCapabilities)
	}, steps("works", 8)},
	{"no modules and no route but IPv6's default one", func(t *testing.T, m *machine) {
		m.remove(t, "home/go", "proc/net/route")
		m.file(t, "proc/net/ipv6_route", nowhere)
		m.root(t, allCapabilities)
	}, steps("won't here: the modules are not fetched, and there is no network", 8)},
	{"modules and no network", func(t *testing.T, m *machine) {
		m.remove(t, "proc/net/route")
		m.root(t, allCapabilities)
	}, steps("works", 8)},
	{"a TMPDIR on a noexec mount", func(t *testing.T, m *machine) {
		m.root(t, allCapabilities)
		m.mounts(t, "21 1 0:21 / /tmp rw,nosuid,noexec - tmpfs tmpfs rw")
	}, steps("works after: mkdir -p ~/tmp && export TMPDIR=~/tmp", 8)},
	{"a home directory on one, too", func(t *testing.T, m *machine) {
		m.root(t, allCapabilities)
		m.mounts(t, "21 1 0:21 / /tmp rw,nosuid,noexec - tmpfs tmpfs rw",
			"22 1 0:22 / /home rw,nosuid,noexec - tmpfs tmpfs rw")
	}, steps("won't here: /tmp is mounted noexec; /home is mounted noexec", 8)},
	{"a cache on a noexec mount, by a symbolic link", func(t *testing.T, m *machine) {
		m.root(t, allCapabilities)
		m.file(t, "data/cache/empty", "")
		m.link(t, "../data/cache", "home/.cache")
		m.mounts(t, "21 1 0:21 / /data rw,noexec - ext4 /dev/sda2 rw")
	}, steps("works after: "+newCache, 8)},
	{"a cache that can't be made", func(t *testing.T, m *machine) {
		m.root(t, allCapabilities)
		m.env = append(m.env, "XDG_CACHE_HOME=/etc/subuid")
	}, steps("works after: "+newCache, 8)},
	{"modules that are nowhere, and can't be put there", func(t *testing.T, m *machine) {
		m.root(t, allCapabilities)
		m.env = append(m.env, "GOPATH=/etc/subuid")
	}, steps(`works after: export GOMODCACHE="$(mktemp -d)"`, 8)},
	{"a GOTMPDIR on a noexec mount", func(t *testing.T, m *machine) {
		m.root(t, allCapabilities)
		m.env = append(m.env, "GOTMPDIR=/data")
		m.file(t, "data/empty", "")
		m.mounts(t, "21 1 0:21 / /data rw,noexec - ext4 /dev/sda2 rw")
	}, steps("works after: unset GOTMPDIR", 8)},
	{"no HOME", func(t *testing.T, m *machine) {
		m.root(t, allCapabilities)
		m.env = append(m.env, "HOME=")
	}, steps(`works after: export HOME="$(mktemp -d)"`, 8)},
	{"a TMPDIR that isn't there", func(t *testing.T, m *machine) {
		m.root(t, allCapabilities)
		m.env = append(m.env, "TMPDIR=/tmp/user/0")
	}, steps("works after: unset TMPDIR", 8)},
	{"no /tmp", func(t *testing.T, m *machine) {
		m.root(t, allCapabilities)
		m.remove(t, "tmp")
	}, steps("works after: mkdir -p ~/tmp && export TMPDIR=~/tmp", 2,
		"works after: mkdir -p ~/tmp && export TMPDIR=~/tmp && mkdir -m 1777 /tmp", 6)},

	// Elsewhere.
	{"macOS", func(t *testing.T, m *machine) {
		m.program(t, "uname", "echo Darwin")
		m.remove(t, "proc", "sys")
	}, steps("works after: brew install lima && limactl start .lima/steps.yaml && "+
		"limactl shell steps", 8)},
	{"Git Bash", func(t *testing.T, m *machine) {
		m.program(t, "uname", "echo MINGW64_NT-10.0-22631")
		m.remove(t, "sys")
	}, steps("works after: wsl --install", 8)},
	{"WSL 1", func(t *testing.T, m *machine) {
		m.file(t, "proc/sys/kernel/osrelease", "4.4.0-22621-Microsoft\n")
	}, steps(`works after: wsl.exe --set-version "$WSL_DISTRO_NAME" 2`, 8)},
	{"WSL 2", func(t *testing.T, m *machine) {
		m.file(t, "proc/sys/kernel/osrelease", "5.15.167.4-microsoft-standard-WSL2\n")
	}, steps("works", 8)},
	{"no /proc", func(t *testing.T, m *machine) {
		m.remove(t, "proc")
	}, steps("won't here: nothing is mounted on /proc: as root, mount -t proc proc /proc, and ask "+
		"again", 8)},
	{"FreeBSD", func(t *testing.T, m *machine) {
		m.program(t, "uname", "echo FreeBSD")
		m.remove(t, "proc", "sys")
	}, steps("won't here: FreeBSD has no namespaces; a Linux virtual machine has", 8)},
}

// unmounted takes the cgroups and systemd away.
func unmounted(t *testing.T, m *machine) {
	m.remove(t, "bin/systemd-run")
	m.replace(t, "proc/self/mountinfo",
		"4 3 0:7 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n", "")
	m.replace(t, "proc/filesystems", "nodev\tmqueue", "nodev\tcgroup2\nnodev\tmqueue")
}

// refuseHostname names the machine, and lets no attempt to set a hostname succeed.
func refuseHostname(t *testing.T, m *machine, name string) {
	m.program(t, "uname",
		"case $1 in -m) echo x86_64 ;; -n) echo "+name+" ;; *) echo Linux ;; esac")
	m.program(t, "hostname", "")
	m.program(t, "unshare", "case $* in *hostname*) exit 1 ;; esac")
}

// Parts of what the cases want.
const (
	mayNot   = "this container may not make a user namespace"
	apparmor = "kernel.apparmor_restrict_unprivileged_userns is 1 (root can change that: sysctl " +
		"-w kernel.apparmor_restrict_unprivileged_userns=0)"
	mountCgroups = "mount -t cgroup2 cgroup2 /sys/fs/cgroup"
	newCache     = `export GOCACHE="$(mktemp -d)"`
	// nowhere is a line of /proc/net/ipv6_route that every kernel has.
	nowhere = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 " +
		"00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo\n"
	install = "mkdir -p ~/.local && curl -L https://go.dev/dl/go1.25.0.linux-amd64.tar.gz | " +
		`tar -C ~/.local -xz && export PATH="$HOME/.local/go/bin:$PATH"`
)

// masks are some of what Docker mounts over /proc and /sys.
var masks = []string{
	"31 2 0:5 /sys /proc/sys ro,nosuid - proc proc rw",
	"32 2 0:9 /null /proc/keys rw - tmpfs tmpfs rw",
	"33 3 0:10 / /sys/firmware ro - tmpfs tmpfs ro",
}

// TestMadeUpMachines asks doctor.sh about each machine.
func TestMadeUpMachines(t *testing.T) {
	defer unix.Umask(unix.Umask(0o022)) // it is what doctor.sh asks about first
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := laptop(t)
			c.change(t, &m)
			verdicts, said, status := m.doctor(t, sh)
			if !slices.Equal(verdicts, c.want) {
				t.Errorf("got:\n%s\nwant:\n%s\n\nall of it:\n%s",
					strings.Join(verdicts, "\n"), strings.Join(c.want, "\n"), said)
			}
			want := 0
			if strings.Contains(strings.Join(c.want, "\n"), "won't here") {
				want = 1
			}
			if status != want {
				t.Errorf("exit status %d, want %d", status, want)
			}
		})
	}
}

// TestJSON compares the two formats.
func TestJSON(t *testing.T) {
	m := laptop(t)
	m.remove(t, "bin/nft")
	m.file(t, "proc/sys/user/max_user_namespaces", "0\n")
	_, said, status := m.doctor(t, sh, "-format", "json")
	var got struct {
		Facts map[string]string
		Notes []string
		Steps []struct{ Step, Verdict, Command, Reason string }
	}
	if err := json.Unmarshal([]byte(said), &got); err != nil {
		t.Fatalf("%v:\n%s", err, said)
	}
	if status != 0 || len(got.Steps) != 8 {
		t.Fatalf("exit status %d, %d steps:\n%s", status, len(got.Steps), said)
	}
	if s := got.Steps[3]; s.Step != "04-uts-ipc" || s.Verdict != "works with sudo" ||
		s.Command != "" {
		t.Errorf("got %+v, want 04-uts-ipc works with sudo", s)
	}
	if s := got.Steps[7]; s.Step != "08-full-container" || s.Verdict != "works after" ||
		s.Command != "sudo "+sysctl {
		t.Errorf("got %+v, want 08-full-container works after sudo %s", s, sysctl)
	}
	if got.Facts["kernel"] != "Linux 6.8.0-31-generic, x86_64" || got.Facts["nft"] != "no" {
		t.Errorf("got facts %v", got.Facts)
	}
	note := "Without nft, a container can't connect beyond this machine (06 to 08): " +
		"install nftables."
	if len(got.Notes) != 1 || got.Notes[0] != note {
		t.Errorf("got notes %q, want %q", got.Notes, note)
	}
}

// TestStrangeText: whatever a file or a variable has in it, JSON stays JSON, and a line one line.
func TestStrangeText(t *testing.T) {
	m := laptop(t)
	m.file(t, "proc/sys/kernel/osrelease", "6.8\"\\\t\x01\x02\x7f\xff\n2\n")
	m.env = append(m.env, "HOME=/a\nb\tc")
	_, said, _ := m.doctor(t, sh, "-format", "json")
	var got struct{ Facts map[string]string }
	if err := json.Unmarshal([]byte(said), &got); err != nil || !utf8.ValidString(said) {
		t.Fatalf("%v:\n%q", err, said)
	}
	if want := `Linux 6.8"\??????2, x86_64`; got.Facts["kernel"] != want {
		t.Errorf("got %q, want %q", got.Facts["kernel"], want)
	}
	verdicts, said, _ := m.doctor(t, sh)
	if len(verdicts) != 8 || strings.Contains(said, "\nb") {
		t.Errorf("%d verdicts:\n%s", len(verdicts), said)
	}
}

// TestAwks: all of them print the same, also macOS's, which is original-awk and the strictest.
func TestAwks(t *testing.T) {
	m := laptop(t)
	for _, name := range []string{"mawk", "gawk", "original-awk", "busybox"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		if name == "busybox" {
			name = "busybox awk"
			path += " awk"
		}
		m.remove(t, "bin/awk")
		m.program(t, "awk", "exec "+path+` "$@"`)
		if verdicts, said, _ := m.doctor(t, sh); !slices.Equal(verdicts, steps("works", 8)) {
			t.Errorf("%s:\n%s", name, said)
		}
		var got struct{ Steps []struct{ Verdict string } }
		_, said, _ := m.doctor(t, sh, "-format", "json")
		if err := json.Unmarshal([]byte(said), &got); err != nil || len(got.Steps) != 8 {
			t.Errorf("%s: %v:\n%s", name, err, said)
		}
	}
}

// TestLostOutput: the exit status says so, and doctor.sh ends at once if it has no standard output.
func TestLostOutput(t *testing.T) {
	m := laptop(t)
	for _, shell := range append(others(), sh) {
		for _, redirection := range []string{">/dev/full", ">&-"} {
			cmd := exec.Command(sh[0], append([]string{"-c", `"$@" ` + redirection, "sh"},
				append(shell, m.dir+"/clone/scripts/doctor.sh")...)...)
			cmd.Env = m.env
			out, _ := cmd.CombinedOutput()
			status := cmd.ProcessState.ExitCode()
			if status != 2 || strings.Count(string(out), "\n") > 2 {
				t.Errorf("%s %s: exit status %d, want 2:\n%s", shell, redirection, status, out)
			}
		}
	}
}

// TestNoClone: without the steps beside it, doctor.sh says where they are expected.
func TestNoClone(t *testing.T) {
	m := laptop(t)
	m.link(t, m.dir+"/clone/scripts/doctor.sh", "doctor")
	cmd := exec.Command(sh[0], m.dir+"/doctor")
	cmd.Env = m.env
	out, _ := cmd.CombinedOutput()
	want := "doctor.sh: there are no steps in " + filepath.Dir(m.dir) +
		": run it as scripts/doctor.sh in a clone\n"
	if status := cmd.ProcessState.ExitCode(); status != 2 || string(out) != want {
		t.Errorf("exit status %d, %q; want 2, %q", status, out, want)
	}
}

// TestNoCPUController: the note says which limit a user's container won't have.
func TestNoCPUController(t *testing.T) {
	note := "So a container that you start as an ordinary user has no CPU limit (07 and 08).\n"
	m := laptop(t)
	if _, said, _ := m.doctor(t, sh); strings.Contains(said, note) {
		t.Errorf("the control:\n%s", said)
	}
	m.file(t, "sys/fs/cgroup"+service+"/cgroup.controllers", "memory pids\n")
	if _, said, _ := m.doctor(t, sh); !strings.Contains(said, note) {
		t.Errorf("no %q in:\n%s", note, said)
	}
}

// TestNoPasta: the note says who needs it, and what for.
func TestNoPasta(t *testing.T) {
	note := "Without pasta, a container that you start as an ordinary user can't connect beyond " +
		"this machine (06 to 08): install passt."
	m := laptop(t)
	m.remove(t, "bin/pasta")
	_, said, _ := m.doctor(t, sh)
	if !strings.Contains(said, "pasta              no\n") || !strings.Contains(said, note) {
		t.Errorf("an ordinary user is told:\n%s", said)
	}
	m.root(t, allCapabilities)
	_, said, _ = m.doctor(t, sh)
	if !strings.Contains(said, "no, and root doesn't need it\n") || strings.Contains(said, note) {
		t.Errorf("root is told:\n%s", said)
	}
}

// TestArguments: -h explains, and what isn't understood is refused.
func TestArguments(t *testing.T) {
	m := laptop(t)
	if _, said, status := m.doctor(t, sh, "-h"); status != 0 ||
		!strings.HasPrefix(said, "usage: scripts/doctor.sh") {
		t.Errorf("-h: exit status %d:\n%s", status, said)
	}
	for _, args := range [][]string{{"-x"}, {"-format", "xml"}, {"08-full-container"}} {
		cmd := exec.Command("sh", append([]string{script}, args...)...)
		_ = cmd.Run()
		if status := cmd.ProcessState.ExitCode(); status != 2 {
			t.Errorf("doctor.sh %v: exit status %d, want 2", args, status)
		}
	}
}

// TestChangesNothing lists the made-up machine before and after, and takes the time.
func TestChangesNothing(t *testing.T) {
	m := laptop(t)
	list := func() map[string]time.Time {
		all := map[string]time.Time{}
		err := filepath.WalkDir(m.dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := entry.Info()
			all[path] = info.ModTime()
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	before, start := list(), time.Now()
	m.doctor(t, sh)
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("it took %v, and may take 3 s", took)
	}
	if after := list(); !maps.Equal(before, after) {
		t.Errorf("files changed:\nbefore %v\nafter  %v", before, after)
	}
}

// TestHere compares the verdicts on this machine, for this user, with what the steps do.
func TestHere(t *testing.T) {
	verdicts, said, _ := machine{env: os.Environ()}.doctor(t, sh)
	dirs, err := filepath.Glob("../../../0*-*")
	if err != nil || len(dirs) != len(verdicts) {
		t.Fatalf("%d steps, %v; %d verdicts:\n%s", len(dirs), err, len(verdicts), said)
	}
	t.Log(said)
	for _, shell := range others() {
		got, _, _ := machine{env: os.Environ()}.doctor(t, shell)
		if !slices.Equal(got, verdicts) {
			t.Errorf("%s: got %q, and %q from /bin/sh", shell, got, verdicts)
		}
	}
	changed := false // by a command for an earlier step
	for i, dir := range dirs {
		step, verdict := filepath.Base(dir), verdicts[i]
		out, err := runStep(t, dir, ":")
		if after, found := strings.CutPrefix(verdict, "works after: "); found {
			if err == nil && !changed {
				t.Errorf("%s: doctor.sh says %q, and it works before", step, verdict)
			}
			// What asks for another shell, or for sudo, is for a person at a terminal.
			if strings.Contains(after, "$SHELL") || strings.Contains(after, "sudo") {
				continue
			}
			out, err = runStep(t, dir, after)
			verdict, changed = "works", true
		}
		if strings.Contains(verdict, "may not replace the root directory") {
			continue // in a chroot, which 03 and 04 escape from
		}
		if runs := err == nil; runs != (verdict == "works") {
			t.Errorf("%s: doctor.sh says %q; it ends with %v: %s", step, verdicts[i], err, out)
		}
	}
}

// runStep builds and runs a step after a command of doctor's, in one shell: the lesson, which tries
// most. Those of 07 and 08 also end well without a cgroup, where no command runs, and 07's takes
// long.
func runStep(t *testing.T, dir, after string) ([]byte, error) {
	program := filepath.Join(t.TempDir(), filepath.Base(dir))
	script := after + ` && cd "$1" && go build -o "$0" . || exit 99; `
	switch filepath.Base(dir)[:2] {
	case "07":
		script += `"$0" true`
	case "08":
		script += `"$0" && "$0" true`
	default:
		script += `"$0"`
	}
	cmd := exec.Command("sh", "-c", script, program, dir)
	if strings.Contains(after, "go clean -cache") { // not the one that other tests build with
		cmd.Env = append(os.Environ(), "GOCACHE="+t.TempDir())
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 99 {
		t.Fatalf("%s: %v: %s", after, err, out)
	}
	return out, err
}
