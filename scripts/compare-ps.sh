#!/usr/bin/env bash
# Shows the host's ps beside the container's, of the same moment. This only builds the step and the
# program in scripts/compareps, and becomes that program.
set -euo pipefail

usage() {
    cat <<'END'
usage: scripts/compare-ps.sh [-a] [STEP]

Runs a small shell in the container of STEP (default: 03-mount-namespace) and shows, of the same
moment, what ps lists on the host and in the container. The container's processes are marked in
both lists, with the number that the other side has for them. The counts come last.

STEP is a number (02), a name (02-pid-namespace) or the path of a directory; from 02 on.
On a terminal of 80 columns or more the two stand side by side, one process on one line, otherwise
one after the other. In colour on a terminal, unless NO_COLOR is set.

  -a  on a terminal too: all processes, not only the first 20 beside the marked ones
  -h  this help

Works as root and as an ordinary user. Exit status: 0; 1 if there is no container or no list; 2 if
it can't be done as asked for; 128 and the signal's number if a signal ended it.
END
}

# die STATUS MESSAGE
die() {
    printf 'compare-ps.sh: %s\n' "$2" >&2
    exit "$1"
}

# directory turns what the user calls a step into the path of its directory.
directory() {
    local dir steps
    for dir in "$root/$1" "$root/$1"-* "$1"; do
        dir=$(cd "$dir" 2>/dev/null && pwd -P) || continue
        if [[ -f $dir/main.go && ${dir##*/} == [0-9][0-9]-* ]]; then
            printf '%s\n' "$dir"
            return
        fi
    done
    steps=("$root"/[0-9][0-9]-*)
    die 2 "there is no step $1; there are: ${steps[*]##*/}"
}

# build makes programs of compareps and of the step. (-buildvcs=false: git may refuse to tell, where
# the tree is another user's.)
build() {
    export GOTMPDIR=$tmp # for what the go command leaves, if it is ended
    go build -C "$root" -buildvcs=false -o "$tmp/compareps" ./scripts/compareps &&
        go build -C "$step" -buildvcs=false -o "$tmp/${step##*/}" .
}

# outlast reads from a pipe that build and the compilers have open, so cat ends after the last of
# them. If this script is gone by then (kill -9), nobody else is left to clean up.
outlast() {
    trap '' TERM
    cat
    kill -0 "$$" 2>/dev/null || rm -rf "$tmp"
}

# clean_up ends the build, if it still runs: the whole process group, compilers too.
clean_up() {
    trap '' HUP INT QUIT TERM # not twice
    if kill -TERM %1; then
        wait %1 || true
    fi
    rm -rf "$tmp"
} 2>/dev/null

all=
while getopts ah option; do
    case $option in
        a) all=-a ;;
        h) usage && exit ;;
        *) usage >&2 && exit 2 ;;
    esac
done
shift $((OPTIND - 1))
if (($# > 1)); then
    usage >&2
    exit 2
fi
root=$(cd "$(dirname "$0")/.." && pwd -P)
step=$(directory "${1:-03-mount-namespace}")
[[ $step != */01-* ]] ||
    die 2 "${step##*/} has no PID namespace, so there is only the host's list; try 02-pid-namespace"

[[ $(uname) == Linux ]] || die 1 "this needs Linux: Lima, WSL 2 or the devcontainer"
read -r self _ </proc/self/stat
[[ $self == "$$" ]] ||
    die 2 "this is process $$, and $self in /proc: run it on the host, not in 02's container"
command -v ps >/dev/null ||
    die 1 "no ps command in PATH; it is in the package procps (Fedora and Arch: procps-ng)"
command -v go >/dev/null ||
    die 1 "no go command in PATH; with sudo: sudo env \"PATH=\$PATH\" $0"

tmp=
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 131' QUIT
trap 'exit 143' TERM
tmp=$(mktemp -d)
set -m # a job is a process group; and in the background, for wait heeds signals
build 3>&1 | outlast &
wait %1 || exit 1
# From here on it is the program that removes the directory.
COMPARE_PS_TMP=$tmp exec "$tmp/compareps" ${all:+"$all"} "$tmp/${step##*/}"
