#!/usr/bin/env bash
# Measures 08 beside other runtimes. This only builds 08 and the program in scripts/bench, and runs
# that one in a mount namespace of its own.
set -euo pipefail

usage() {
    cat <<'END'
usage: scripts/bench.sh [-r ROUNDS] [-n CONTAINERS]

Measures 08-full-container beside fork and exec alone, unshare(1), bwrap, crun, runc and podman, as
far as they are installed. All run the same program on the same root, with a network namespace and
limits where they have any.

  start   one run of hyperfine: in each round every system once, in another order
  held    the memory (PSS) of the processes that supervise a container, while many are running

  -r ROUNDS      rounds of 5 starts each (default 12)
  -n CONTAINERS  containers to hold at the same time (default 200; 0: don't)
  -h             this help

Times are worth something only beside the others of the same run: machines differ, and so do hours.
Needs root and hyperfine. Leaves nothing behind.
END
}

die() {
    printf 'bench.sh: %s\n' "$*" >&2
    exit 1
}

rounds=12
containers=200
while getopts hn:r: option; do
    case $option in
        h) usage && exit ;;
        n) containers=$OPTARG ;;
        r) rounds=$OPTARG ;;
        *) usage >&2 && exit 2 ;;
    esac
done
shift $((OPTIND - 1))
if (($# > 0)) || ! [[ $rounds =~ ^[1-9][0-9]*$ && $containers =~ ^[0-9]+$ ]]; then
    usage >&2
    exit 2
fi

[[ $(uname) == Linux ]] || die "this needs Linux: Lima, WSL 2 or the devcontainer"
[[ $(id -u) == 0 ]] || die "crun and runc are measured as root: sudo env \"PATH=\$PATH\" $0"
for command in go hyperfine unshare ldd; do
    command -v "$command" >/dev/null || die "no $command command in PATH"
done

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
tmp=$(mktemp -d)
# What is mounted below it is mounted in the namespace below, which is gone by then.
trap 'rm -rf --one-file-system "$tmp"' EXIT
# With these, bash lets the running command end before it removes what that writes to.
trap 'exit 129' HUP
trap 'exit 143' TERM
chmod 755 "$tmp" # root inside is another user, who has to get to the root
# GOTMPDIR: for what the go command leaves if a signal ends it.
# -buildvcs=false: git may refuse to tell, where the tree is another user's.
# CGO_ENABLED=0: linked without the C library, as one would ship it; with it, each start takes longer.
CGO_ENABLED=0 GOTMPDIR=$tmp go build -C "$root" -buildvcs=false -o "$tmp/" ./08-full-container ./scripts/bench
mkdir "$tmp/dev"
# With a null device of its own: crun gives its standard streams to the container's root, and the
# host's /dev/null would belong to that one from then on.
# shellcheck disable=SC2016 # that shell is to put in what "$@" is, and "$1"
unshare --mount --propagation private sh -ec '
    mount -t tmpfs -o mode=755 none "$1/dev"
    mknod -m 666 "$1/dev/null" c 1 3
    mount --bind "$1/dev/null" /dev/null
    shift
    exec "$@" </dev/null
' sh "$tmp" "$tmp/bench" -rounds "$rounds" -containers "$containers" "$tmp"
