#!/usr/bin/env bash
# Runs the tests of the steps in a virtual machine, on a kernel of one's choice; -h says more. This
# only builds the program in this directory and becomes it. (`go run` would make 1 of its exit
# status, whatever that is, and wouldn't pass on signals.)
set -euo pipefail

root=$(CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd -P)
if ! command -v go >/dev/null; then
    echo "run.sh: no go command in PATH" >&2
    exit 2
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# With these, bash lets the build end before it removes what that writes to.
trap 'exit 129' HUP
trap 'exit 143' TERM
# -buildvcs=false: git may refuse to tell, where the tree is another user's.
GOTMPDIR=$scratch go build -C "$root" -buildvcs=false -o "$scratch/vm" ./scripts/ci/vm || exit 2
# From here on it is the program that removes the directory.
VM_ROOT=$root VM_SCRATCH=$scratch exec "$scratch/vm" "$@"
