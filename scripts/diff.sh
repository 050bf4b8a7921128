#!/usr/bin/env bash
# Shows what one step adds to the mechanism of another; -h says more. This only builds the program
# in scripts/stepdiff and runs it. (`go run` would make 1 of its exit status, whatever that is.)
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if ! command -v go >/dev/null; then
    echo "diff.sh: no go command in PATH" >&2
    exit 1
fi
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
# With these, bash lets the build end before it removes what that writes to.
trap 'exit 129' HUP
trap 'exit 143' TERM
# GOTMPDIR: for what the go command leaves if a signal ends it.
# -buildvcs=false: git may refuse to tell, where the tree is another user's.
GOTMPDIR=$tmp go build -C "$root" -buildvcs=false -o "$tmp/" ./scripts/stepdiff || exit 1
"$tmp/stepdiff" "$root" "$@"
