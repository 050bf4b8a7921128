#!/usr/bin/env bash
# Tries attacks in the steps and in other containers, and shows what leaks; -h says more. This only
# builds what is needed, all of it static, and runs the program in scripts/leaks.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
if ! command -v go >/dev/null; then
    echo "leaks.sh: no go command in PATH; with sudo: sudo env \"PATH=\$PATH\" $0" >&2
    exit 1
fi

tmp=$(mktemp -d)
# Something may be mounted inside, if a container was not taken down: then nothing is removed.
clean_up() {
    if grep -qF " $tmp/" /proc/self/mountinfo; then
        echo "leaks.sh: something is still mounted below $tmp" >&2
        return
    fi
    rm -rf --one-file-system "$tmp"
}
trap clean_up EXIT
# With these, bash lets what runs end before it removes what that writes to.
trap 'exit 129' HUP
trap 'exit 143' TERM
chmod 755 "$tmp" # for -user

# GOTMPDIR: for what the go command leaves if a signal ends it.
# -buildvcs=false: git may refuse to tell, where the tree is another user's.
(cd "$root" && CGO_ENABLED=0 GOTMPDIR=$tmp go build -buildvcs=false -ldflags '-s -w' -o "$tmp/" \
    ./scripts/leaktest ./scripts/leaks ./[0-9]*-*/) || exit 1
"$tmp/leaks" "$tmp" "$root" "$@"
