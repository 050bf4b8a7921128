#!/usr/bin/env bash
# Exercises that check themselves; -h says more. This only builds the program in scripts/exercise
# and runs it.
set -euo pipefail

root=$(CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
if ! command -v go >/dev/null; then
    echo "exercise.sh: no go command in PATH; with sudo: sudo env \"PATH=\$PATH\" $0" >&2
    exit 1
fi

# The go command's cache is below HOME. Without HOME, bash takes ~ from the list of users.
[ -n "${HOME:-}" ] || { unset HOME && export HOME=~; }

tmp=$(mktemp -d)
# Nothing is ever mounted below it: your program's mounts are in namespaces of their own. To be
# sure, this stays in one file system. (BusyBox's rm(1) and find(1) have no shorter way to do that.)
clean_up() {
    find "$tmp" -xdev ! -type d -exec rm -f {} +
    find "$tmp" -xdev -depth -type d -exec rmdir {} +
}
trap clean_up EXIT
# With these traps, bash waits for the running command before it removes the command's directory.
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
chmod 755 "$tmp"

# GOTMPDIR: so that what the go command leaves when a signal ends it is removed, too.
# -buildvcs=false: git refuses to read another user's tree.
(cd "$root" && CGO_ENABLED=0 GOTMPDIR=$tmp go build -buildvcs=false -ldflags '-s -w' \
    -o "$tmp/exercise" ./scripts/exercise) || exit 1
"$tmp/exercise" "$root" "$tmp" "$@"
