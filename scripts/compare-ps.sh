#!/usr/bin/env bash
# Shows the host's ps and the container's side by side. The work is done by scripts/compareps.
set -euo pipefail

usage() {
    cat <<'EOF'
usage: scripts/compare-ps.sh [-a] [STEP]

Runs a small shell in the container of STEP (default: 03-mount-namespace) and shows what ps lists on
the host and in the container at the same moment. Both lists mark the container's processes, each
with its PID on the other side. Below the lists are the counts, and the reason for them.

STEP is any step but 01: a number (02), a name (02-pid-namespace) or a path. On a terminal of 80
columns or more the lists are side by side, otherwise one after the other.

  -a  on a terminal, list all processes, not just the marked ones and 20 others
  -h  this help

Works as root and as an ordinary user. Exit status: 0; 1 if there is no container or no list; 2 for
wrong arguments.
EOF
}

# die STATUS MESSAGE
die() {
    printf 'compare-ps.sh: %s\n' "$2" >&2
    exit "$1"
}

all=
while getopts ah option; do
    case $option in
        a) all=-a ;;
        h) usage && exit ;;
        *) usage >&2 && exit 2 ;;
    esac
done
shift $((OPTIND - 1))
(($# <= 1)) || { usage >&2 && exit 2; }

root=$(CDPATH='' cd "$(dirname "$0")/.." && pwd -P)
step=
for dir in "$root/${1:-03}" "$root/${1:-03}"-* "${1:-03}"; do
    if [[ -z $step && -f $dir/main.go ]]; then
        step=$(CDPATH='' cd "$dir" && pwd -P)
    fi
done
[[ ${step##*/} == [0-9][0-9]-* ]] || die 2 "no step $1; there are: $(cd "$root" && echo [0-9][0-9]-*)"
[[ $step != */01-* ]] || die 2 "${step##*/} has no PID namespace: try 02-pid-namespace"

[[ $(uname) == Linux ]] || die 1 "this needs Linux: Lima, WSL 2 or the devcontainer"
read -r self _ </proc/self/stat
[[ $self == "$$" ]] || die 2 "this shell is process $$, but $self in /proc: run it on the host"
command -v ps >/dev/null || die 1 "no ps command: install the package procps (Fedora, Arch: procps-ng)"
command -v go >/dev/null || die 1 "no go command in PATH; with sudo: sudo env \"PATH=\$PATH\" $0"

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
# -buildvcs=false: git refuses to read another user's tree.
go build -C "$root" -buildvcs=false -o "$tmp/compareps" ./scripts/compareps || exit 1
go build -C "$step" -buildvcs=false -o "$tmp/${step##*/}" . || exit 1
"$tmp/compareps" ${all:+"$all"} "$tmp/${step##*/}"
