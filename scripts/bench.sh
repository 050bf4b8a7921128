#!/usr/bin/env bash
# Measures what containers cost in 08 and in other runtimes. This script builds the programs and
# prepares a place for them; scripts/bench does the work.
set -euo pipefail

usage() {
    cat <<'END'
usage: scripts/bench.sh [-r ROUNDS] [-n CONTAINERS] [-s MB] [-format text|markdown]

Measures 08-full-container and other ways to start a program: fork and exec alone, unshare(1),
bwrap, crun, runc, step 05 (the least that a container in Go takes), podman with and without a
network, and docker if its engine answers. All but step 05 use the same small root. Prints a table
for each part:

  start   how long it takes to run true in a new container
  many    how many containers come up a second if four are started at a time, how much memory their
          supervising processes hold, and how long it takes to end them all
  image   how long the first start of an image takes, compared with tar and podman load

A row without values says why: "missing" if that runtime doesn't work here, "FAILED" if something
went wrong, such as two containers with the same network.

  -r ROUNDS       rounds of 5 starts each (default: 12)
  -n CONTAINERS   containers at the same time (default: 100; 0 skips this part)
  -s MB           size of the image, made of the host's /usr (default: 100; 0 skips this part)
  -format FORMAT  text or markdown (default: text)
  -h              this help

Needs root. All of this except docker's engine runs in a mount and a network namespace made for it,
with a default route that leads nowhere. So your firewall's rules don't affect the times. Exit
status: 0; 1 if a measurement failed; 2 for wrong arguments.
END
}

wrong() { usage >&2 && exit 2; }
die() { printf 'bench.sh: %s\n' "$*" >&2 && exit 1; }

args=()
while (($#)); do
    case $1 in
        -h | --help) usage && exit ;;
        -r) [[ ${2-} =~ ^[1-9][0-9]*$ ]] || wrong && args+=(-rounds "$2") ;;
        -n) [[ ${2-} =~ ^[0-9]+$ ]] || wrong && args+=(-containers "$2") ;;
        -s) [[ ${2-} =~ ^[0-9]+$ ]] || wrong && args+=(-image "$2") ;;
        -format) [[ ${2-} == text || ${2-} == markdown ]] || wrong && args+=(-format "$2") ;;
        *) wrong ;;
    esac
    shift 2
done

[[ $(uname) == Linux ]] || die "this needs Linux: Lima, WSL 2 or the devcontainer"
[[ $(id -u) == 0 ]] || die "crun and runc are measured as root: sudo env \"PATH=\$PATH\" $0"
for command in go ip ldd nft unshare; do
    command -v "$command" >/dev/null || die "no $command command in PATH"
done

repo=$(CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
tmp=$(mktemp -d)
name=$(basename "$tmp")
cleanup() {
    # There is an image if docker's engine answered.
    timeout 10 docker image rm "jail-to-container-bench:$name" >/dev/null 2>&1 || true
    # Podman leaves its parent cgroup behind, and one in it for conmon.
    find /sys/fs/cgroup -depth -path "*/$name*" -type d -exec rmdir {} + 2>/dev/null || true
    # What was mounted below it was mounted in a namespace that is gone by now.
    find "$tmp" -xdev ! -type d -exec rm -f {} +
    find "$tmp" -xdev -depth -type d -exec rmdir {} +
}
trap cleanup EXIT
# With a trap, bash waits for the running command before it cleans up.
trap 'exit 129' HUP
trap 'exit 143' TERM
chmod 755 "$tmp" # the container's root is another user, and has to reach its root

# GOTMPDIR: what the go command leaves behind if a signal ends it. -buildvcs=false: git refuses to
# look at another user's repository. CGO_ENABLED=0: the C library makes each start slower.
CGO_ENABLED=0 GOTMPDIR=$tmp go build -C "$repo" -buildvcs=false -o "$tmp/" \
    ./05-user-namespace ./08-full-container ./scripts/bench

# The root holds two of the host's programs, and the libraries that they need.
mkdir -p "$tmp"/root/{bin,proc,sys,dev,etc,tmp} "$tmp"/{dev,run}
for program in true cat; do
    file=$(type -P "$program")
    cp "$file" "$tmp/root/bin/$program"
    { ldd "$file" || true; } 2>/dev/null | grep -o '/[^ ]*' | grep -v ':$' |
        xargs -r cp -L --parents -t "$tmp/root"
done

# In the namespaces:
# - a null device of their own: crun gives its standard streams to the container's root, and the
#   host's /dev/null would then belong to that user
# - an empty /run and /var/lib for what podman keeps there; docker's socket stays
# - no cgroup v2 hierarchy beside those of v1: crun 1 refuses to run there, and otherwise uses v1
# - a default route that leads nowhere, so that 08 and podman set up all that they usually do
# shellcheck disable=SC2016 # the inner shell expands "$1" and "$@"
TMPDIR=$tmp unshare --mount --net --propagation private sh -ec '
    mount -t tmpfs -o mode=755 none "$1/dev"
    mknod -m 666 "$1/dev/null" c 1 3
    mount --bind "$1/dev/null" /dev/null
    mount --bind /run "$1/run"
    mount -t tmpfs -o mode=755 none /run
    mount -t tmpfs -o mode=755 none /var/lib
    ln -s "$1/run/docker.sock" /run/docker.sock
    umount /sys/fs/cgroup/unified 2>"$1/dev/null" || true
    ip link set lo up
    ip link add uplink type bridge
    ip address add 192.0.2.1/24 dev uplink
    ip link set uplink up
    ip route add default via 192.0.2.2
    shift
    exec "$@" </dev/null
' sh "$tmp" "$tmp/bench" "${args[@]}" "$tmp"
