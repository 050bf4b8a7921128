#!/usr/bin/env bash
# Exercises that check themselves; -h says more. This only builds the program in scripts/exercise
# and runs it.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
if ! command -v go >/dev/null; then
    echo "exercise.sh: no go command in PATH; with sudo: sudo env \"PATH=\$PATH\" $0" >&2
    exit 1
fi

# For the go command's cache. Without HOME, bash looks ~ up where the system has its users.
[ -n "${HOME:-}" ] || { unset HOME && export HOME=~; }

tmp=$(mktemp -d)
# Nothing is ever mounted inside: what your program mounts is in namespaces of its own.
trap 'rm -rf --one-file-system "$tmp"' EXIT
# With these, bash lets what runs end before it removes what that writes to.
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
chmod 755 "$tmp"

# GOTMPDIR: for what the go command leaves if a signal ends it.
# -buildvcs=false: git may refuse to tell, where the tree is another user's.
(cd "$root" && CGO_ENABLED=0 GOTMPDIR=$tmp go build -buildvcs=false -ldflags '-s -w' \
    -o "$tmp/exercise" ./scripts/exercise) || exit 1
"$tmp/exercise" "$root" "$tmp" "$@"
