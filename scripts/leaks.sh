#!/usr/bin/env bash
# Tries attacks in the steps and in other containers, and shows what leaks; -h says more. This only
# builds what is needed, all of it static, and runs the program in scripts/leaks.
set -euo pipefail

root=$(CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
if ! command -v go >/dev/null; then
    echo "leaks.sh: no go command in PATH; with sudo: sudo env \"PATH=\$PATH\" $0" >&2
    exit 1
fi

tmp=$(mktemp -d)
# If a container is still there, something may be mounted below $tmp. Then remove nothing.
clean_up() {
    if grep -qF " $tmp/" /proc/self/mountinfo; then
        echo "leaks.sh: something is still mounted below $tmp" >&2
        return
    fi
    rm -rf "$tmp"
}
trap clean_up EXIT
# With these traps, bash waits for the running command before it removes the command's directory.
trap 'exit 129' HUP
trap 'exit 143' TERM
chmod 755 "$tmp" # for -user

# GOTMPDIR: so that what the go command leaves when a signal ends it is removed, too.
# -buildvcs=false: git refuses to read another user's tree.
(cd "$root" && CGO_ENABLED=0 GOTMPDIR=$tmp go build -buildvcs=false -ldflags '-s -w' -o "$tmp/" \
    ./scripts/leaktest ./scripts/leaks ./[0-9]*-*/) || exit 1
"$tmp/leaks" "$tmp" "$root" "$@"
