#!/usr/bin/env bash
# Runs page one's commands on a machine that has Go and nothing else. -h says more.
set -euo pipefail

usage() {
    cat <<'END'
usage: scripts/ci/fresh.sh [-k] [-r DIR] [-s RELEASE] [-u USER] [-x 'GO TEST FLAGS']

Makes the smallest Debian (mmdebstrap, variant minbase, with git and ca-certificates: no ps, ip, nft,
ping or busybox), adds this machine's Go and a clone of this tree, makes that the root of new mount,
PID, UTS and IPC namespaces with their own /proc, /sys and /dev, and runs the commands of page one in
it, taken from the first section of README.md that shows any: as root, and as reader, an ordinary
user with an account, a login's PATH, umask 002, subordinate IDs, and a gid that isn't the uid.

Then it runs all lessons, and a command in each step, where there is one busybox and no other program.

Every command must exit with 0, a package of tests within five minutes. A block of README.md that
needs more than Go (<!-- needs: ... -->) is left out; one with root's prompt is root's alone.

  -k          keep the directory, and print its name
  -r DIR      start from the Debian in DIR/RELEASE, and make it first if it isn't there
  -s RELEASE  the Debian release (default: this machine's)
  -u USER     only as root, or only as reader
  -x FLAGS    append flags to go test's, to try one test: -x '-run TestTerminal -v'
  -h          this help
Needs root, mmdebstrap, git, go, unshare and a static busybox. Making the Debian takes half a minute.
END
}

die() {
    printf 'fresh.sh: %s\n' "$*" >&2
    exit 2
}

keep='' flags='' cache='' users='root reader'
release=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
while getopts hkr:s:u:x: option; do
    case $option in
        h) usage && exit 0 ;;
        k) keep=yes ;;
        r) cache=$OPTARG ;;
        s) release=$OPTARG ;;
        u) users=$OPTARG ;;
        x) flags=$OPTARG ;;
        *) usage >&2 && exit 2 ;;
    esac
done
CDPATH='' cd "$(dirname "$0")/../.."
((EUID == 0)) || die "only root can do this"

# shellcheck source=scripts/ci/fresh-root.sh
. scripts/ci/fresh-root.sh

# commands USER: the commands of the first section of README.md that shows any.
commands() {
    local prompt='[$] '
    [[ $1 != root ]] || prompt='[$#] '
    awk -v prompt="^$prompt" '
        /^## / && found { exit }
        /^<!-- needs: / { needs = 1 }
        /^```/ { if (inside) needs = 0; inside = !inside && /^```console$/; found += inside }
        inside && !needs && $0 ~ prompt { sub(prompt, ""); print }' README.md
}

failed=0
wrong() { # USER COMMAND STATUS
    failed=1
    printf 'fresh.sh: FAILED as %s, exit status %s: %s\n' "$1" "$3" "$2"
}

for user in $users; do
    mapfile -t all < <(commands "$user")
    [[ ${all[*]} = *"go run ./"*"go test "* ]] ||
        die "README.md: page one shows $user no 'go run' or no 'go test': ${all[*]}"
    all+=(scripts/skips.sh) # a sentence of page one names it
    for command in "${all[@]}"; do
        printf '\n== %s on a fresh %s: %s\n' "$user" "$release" "$command"
        [[ $command != "go test "* ]] || command="${command/go test/go test -timeout 5m} $flags"
        start=$SECONDS status=0
        # What goroutines did when a test hung is long, and of no use here.
        as "$user" "$command" 2>&1 | sed '/^goroutine /,/^FAIL/d; /^go: downloading /d' || status=$?
        printf '== %s s\n' $((SECONDS - start))
        ((status == 0)) || wrong "$user" "$command" "$status"
    done
done
# The other machine: the steps' own programs, and one busybox. Here, too, a shell stays as PID 1: a
# lesson signals its own PID from inside, where PID 1 is another process.
root=$scratch/busybox
mkdir -p "$root"/{bin,dev,etc,home/reader,proc,root,steps,sys,tmp,usr,var/tmp}
chmod 1777 "$root"/{tmp,var/tmp}
cp "$(command -v busybox)" "$root/bin/busybox"
chroot "$root" /bin/busybox --install -s /bin
printf '%s\n' root:x:0:0::/root:/bin/sh reader:x:1001:2000::/home/reader:/bin/sh >"$root/etc/passwd"
printf '%s\n' root:x:0: people:x:2000: >"$root/etc/group"
CGO_ENABLED=0 go build -o "$root/steps/" ./[0-9]*-*/
for user in $users; do
    for step in [0-9]*-*/; do
        step=${step%/}
        for command in "/steps/$step" "/steps/$step echo it runs"; do
            status=0
            enter env -i PATH=/bin su -s /bin/sh "$user" -c "$command; exit \$?" >"$scratch/out" 2>&1 ||
                status=$?
            last=$(tail -n 1 "$scratch/out")
            case "$user $command $status $last" in
                *\ 0\ next\ * | *\ 0\ it\ runs) ;;
                # Where root has delegated no cgroup, an ordinary user runs no command without limits.
                reader*/steps/0[78]*echo*\ 125\ *) ;;
                *) cat "$scratch/out" && wrong "$user" "$command, where there is only busybox" "$status" ;;
            esac
        done
    done
    printf '\n== %s where there is only busybox: all lessons, and a command in each step\n' "$user"
done
exit "$failed"
