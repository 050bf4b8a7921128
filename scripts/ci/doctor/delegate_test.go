//go:build linux

package doctor

import (
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"jail-to-container/scripts/steptest"
)

// TestDelegateInAContainer runs scripts/delegate.sh where the mount of a hierarchy begins with our
// own cgroup, as it does in a container with cgroup v1, while /proc/self/cgroup has the whole path.
func TestDelegateInAContainer(t *testing.T) {
	const memory = "/sys/fs/cgroup/memory"
	var fs unix.Statfs_t
	if unix.Statfs(memory, &fs) != nil || fs.Type != unix.CGROUP_SUPER_MAGIC {
		return // delegate.sh reads no paths of mounts with cgroup v2
	}
	unshare := []string{"-m", "--propagation", "private", "sh", "-ec"}
	err := exec.Command("unshare", append(unshare, ":")...).Run()
	if err != nil || unix.Access(memory, unix.W_OK) != nil {
		steptest.Skip(t, "only root can delegate a cgroup, outside of containers; run it as root")
	}
	out, err := exec.Command("unshare", append(unshare,
		`own=$(awk -F: '$2 == "memory" { print $3 }' /proc/self/cgroup)
		if [ -d `+memory+`"$own" ]; then # else this is such a container
			mount --bind `+memory+`"$own" /mnt
			umount -l `+memory+`
			mount --bind /mnt `+memory+`
			umount /mnt
		fi
		exec ../../delegate.sh 65534 cat /proc/self/cgroup`)...).CombinedOutput()
	if err != nil || strings.Count(string(out), "/delegated-65534-") != 3 {
		t.Errorf("%v, and it isn't in three cgroups of user 65534:\n%s", err, out)
	}
}
