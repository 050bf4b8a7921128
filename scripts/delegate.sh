#!/usr/bin/env bash
# Delegates a cgroup to an ordinary user, for one command. You don't need this where systemd runs:
# there systemd-run does it (see chapter 07).
set -euo pipefail

usage() {
    cat <<'END'
usage: scripts/delegate.sh UID COMMAND [ARG...]

Run this as root. It makes a cgroup (with cgroup v1, one in each of three hierarchies), delegates it
to the user with that UID, runs COMMAND in it, still as root, and removes it when COMMAND has ended.
To become that user, begin COMMAND with `su USER` or `setpriv --reuid=UID`. Exits with COMMAND's
status. Passes SIGTERM and SIGHUP on to all processes in the cgroup.
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
((EUID == 0)) || die "only root can delegate cgroups"

tree=/sys/fs/cgroup
own() { # CONTROLLER: the path of our cgroup in its hierarchy; "" is cgroup v2
    awk -F: -v want="$1" '{ n = split($2, all, ","); if (n == 0) all[n = 1] = ""
        for (i = 1; i <= n; i++) if (all[i] == want) print $3 }' /proc/self/cgroup
}

enables_all() { # CGROUP
    local controller
    for controller in memory pids cpu; do
        grep -qw "$controller" "$tree$1/cgroup.subtree_control" || return
    done
}

undo=
parents=()
if grep -qs memory "$tree/cgroup.controllers"; then
    # cgroup v2: go up to the first cgroup that enables the controllers for its children. Without
    # systemd there may be none; then enable them at the top while COMMAND runs.
    place=$(own "")
    until enables_all "$place"; do
        if [[ $place == / || -z $place ]]; then
            echo "+memory +pids +cpu" >"$tree/cgroup.subtree_control" ||
                die "$tree can't enable memory, pids and cpu for the cgroups in it: move its" \
                    "processes (cgroup.procs) to another cgroup, or give this container all cgroups"
            undo=$tree/cgroup.subtree_control
            break
        fi
        place=$(dirname "$place")
    done
    parents=("$tree$place")
else
    for controller in memory pids cpu; do
        read -r mount top < <(findmnt -rno TARGET,FSROOT -t cgroup -O "$controller" | head -n 1) ||
            die "no cgroup hierarchy has $controller"
        # In a container, the mount may show only the part from the cgroup "top" on.
        place=$(own "$controller")
        parents+=("$mount${place#"${top%/}"}")
    done
fi

made=()
# shellcheck disable=SC2317 # the trap calls it
cleanup() {
    local dir
    for dir in "${made[@]}"; do
        # The cgroups below it first. Their last processes may take a moment to end.
        for _ in {1..100}; do
            find "$dir" -mindepth 1 -depth -type d -exec rmdir {} + 2>/dev/null || true
            rmdir "$dir" 2>/dev/null && continue 2
            sleep 0.1
        done
        printf 'delegate.sh: %s stays: a process is still in it\n' "$dir" >&2
    done
    # Not if by now another cgroup has a limit or enables the controllers for its children.
    if [[ -n $undo && -z $(find "${undo%/*}" -mindepth 2 \( -name memory.max -o -name pids.max \
        -o -name cgroup.subtree_control \) -exec grep -v '^max$' {} +) ]]; then
        echo "-memory -pids -cpu" >"$undo" || true # then the controllers stay on
    fi
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
pass() { # SIGNAL: to COMMAND, and to processes that it has left in the cgroups
    local pids
    mapfile -t pids < <(find "${made[0]}" -name cgroup.procs -exec cat {} +)
    kill -s "$1" "${pids[@]}" 2>/dev/null || true # some may be gone meanwhile
}
trap : INT QUIT
trap 'pass TERM' TERM
trap 'pass HUP' HUP

# In the background, so that this script can pass on a signal that asks it to end. It stays until
# COMMAND has ended, to remove the cgroups. A key such as Ctrl-C reaches both anyway.
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
    # A trap ends "wait" early; then COMMAND is still running.
    kill -0 "$command" 2>/dev/null || break
done
exit "$status"
