#!/usr/bin/env bash
# What takes too long for every change: .ci/run is the gate, this is for the night.
set -euo pipefail

usage() {
    cat <<'EOF'
usage: scripts/ci/nightly.sh [PART...]

Runs what is too long for the gate, all parts or those given, and prints how long each took. As root.
Install what .ci/run installs first.

  mutation      every row of scripts/ci/mutation, and the lessons' verdicts
  kills         each step killed 300 times while it starts; KILLS=1500 for more
  kernels       the steps' tests in virtual machines: kernels, cgroup v1 and v2, arm64
  leaks         the attacks in such a machine, on cgroup v2
  compare       a process, a container and such a machine, side by side
  fresh         page one's commands on a minimal Debian 13
  environments  doctor.sh beside what happens, on a dozen machines that differ in one thing
  exercises     each one starts broken, its solutions pass, and nothing less does

Exits with 0 only if every part passed.
EOF
}

while getopts h option; do
    case $option in
        h) usage && exit 0 ;;
        *) usage >&2 && exit 2 ;;
    esac
done
CDPATH='' cd "$(dirname "$0")/../.."
[ $# -gt 0 ] || set -- mutation kills kernels leaks compare fresh environments exercises

mutation() {
    go run ./scripts/ci/mutation
    go run ./scripts/ci/mutation -lessons
}

kills() {
    KILLS=${KILLS:-300} go test -count=1 -timeout 3h -run '^TestKilledEarly$' ./0*/
}

kernels() {
    scripts/ci/vm/run.sh -q -matrix
}

leaks() {
    scripts/ci/vm/run.sh -q -leaks 6.12 amd64
}

fresh() {
    scripts/ci/fresh.sh -s trixie
}

environments() {
    scripts/ci/environments.sh
}

compare() {
    scripts/compare-vm.sh
}

exercises() {
    EXERCISES=all go test -count=1 -timeout 1h ./scripts/exercise
}

failed=()
for part; do
    case $part in
        mutation | kills | kernels | leaks | compare | fresh | environments | exercises) ;;
        *) usage >&2 && exit 2 ;;
    esac
    printf '\n== %s\n' "$part"
    SECONDS=0
    "$part" || failed+=("$part")
    printf '== %s took %d s\n' "$part" "$SECONDS"
done
[ ${#failed[@]} -eq 0 ] || { printf 'nightly.sh: failed: %s\n' "${failed[*]}" >&2 && exit 1; }
