#!/usr/bin/env bash
# Hands an ordinary user a part of the tree of cgroups, for one command. A system with systemd needs
# this not: there systemd-run does it (see chapter 07).
set -euo pipefail

usage() {
    cat <<'END'
usage: scripts/delegate.sh UID COMMAND [ARG...]

As root: makes a cgroup in which the user UID may make others (one in each tree, in version 1),
runs COMMAND in it, still as root, and removes it when COMMAND has ended. COMMAND may be
`setpriv --reuid=UID …` or `su`. Exits with COMMAND's status; passes SIGTERM and SIGHUP on to all in
there.
END
}

die() {
    printf 'delegate.sh: %s\n' "$*" >&2
    exit 125
}

if [[ ${1-} == -h ]]; then
    usage
    exit
fi
if (($# < 2)); then
    usage >&2
    exit 125
fi
user=$1
shift
[[ $user =~ ^[0-9]+$ ]] || die "$user: not a uid (a number)"
((EUID == 0)) || die "only root can hand out cgroups"

tree=/sys/fs/cgroup
own() { # CONTROLLER: the path of our cgroup in its tree; "" is version 2
    awk -F: -v want="$1" '{ n = split($2, all, ","); if (n == 0) all[n = 1] = ""
        for (i = 1; i <= n; i++) if (all[i] == want) print $3 }' /proc/self/cgroup
}

parents=()
if grep -qs memory "$tree/cgroup.controllers"; then
    # Version 2: upwards, to the first cgroup that hands on what is needed.
    place=$(own "")
    until grep -qw memory "$tree$place/cgroup.subtree_control" &&
        grep -qw pids "$tree$place/cgroup.subtree_control" &&
        grep -qw cpu "$tree$place/cgroup.subtree_control"; do
        [[ $place != / && -n $place ]] || die "no cgroup hands on memory, pids and cpu"
        place=$(dirname "$place")
    done
    parents=("$tree$place")
else
    for controller in memory pids cpu; do
        mount=$(findmnt -rno TARGET -t cgroup -O "$controller" | head -n 1)
        [[ -n $mount ]] || die "there is no tree of cgroups that has $controller"
        parents+=("$mount$(own "$controller")")
    done
fi

made=()
# shellcheck disable=SC2317 # the trap calls it
cleanup() {
    local dir
    for dir in "${made[@]}"; do
        # Those below first; who was in there may take a moment to be gone.
        for _ in {1..100}; do
            find "$dir" -mindepth 1 -depth -type d -exec rmdir {} + 2>/dev/null || true
            rmdir "$dir" 2>/dev/null && continue 2
            sleep 0.1
        done
        printf 'delegate.sh: %s stays: somebody is in it\n' "$dir" >&2
    done
}
trap cleanup EXIT

for parent in "${parents[@]}"; do
    dir=$parent/delegated-$user-$$
    mkdir "$dir"
    made+=("$dir")
    for file in "$dir" "$dir"/{cgroup.procs,cgroup.threads,cgroup.subtree_control,tasks}; do
        [[ ! -e $file ]] || chown "$user:$user" "$file"
    done
done

# shellcheck disable=SC2317 # the traps call it
pass() { # SIGNAL: to all that COMMAND has left in there, too
    local pids
    mapfile -t pids < <(find "${made[0]}" -name cgroup.procs -exec cat {} +)
    kill -s "$1" "${pids[@]}" 2>/dev/null || true # some may be gone meanwhile
}
trap : INT QUIT
trap 'pass TERM' TERM
trap 'pass HUP' HUP

# In the background, so that a signal which asks this script to end finds it waiting, and can be
# passed on: the cgroups go only when COMMAND has. A key such as Ctrl-C reaches both anyway.
(
    trap - INT QUIT
    for dir in "${made[@]}"; do
        echo 0 >"$dir/cgroup.procs" # 0 is the process that writes it
    done
    exec "$@"
) <&0 &
command=$!
status=0
while :; do
    wait "$command" && status=0 || status=$?
    # A trap ends "wait" early; then there is more to wait for.
    kill -0 "$command" 2>/dev/null || break
done
exit "$status"
