#!/usr/bin/env bash
# Compares doctor.sh with what happens, on machines that differ from one another. -h says more.
set -euo pipefail

usage() {
    cat <<'END'
usage: scripts/ci/environments.sh [-a] [-r DIR] [-s RELEASE] [ENVIRONMENT...]

Takes fresh.sh's minimal Debian, changes one thing at a time about it (a hidden /proc, a mount below
/usr, a read-only cgroup tree, a Docker container ...), and runs the test that compares the verdicts
of scripts/doctor.sh with the steps: as root, and as an ordinary user. "works after: COMMAND" means
that COMMAND is run as well.

  -a          all tests: go test ./... must pass, too
  -l          list the environments
  -r DIR      start from the Debian in DIR/RELEASE, and make it first if it isn't there
  -s RELEASE  the Debian release (default: this machine's)
  -h          this help
Needs root, mmdebstrap, git, go, unshare, a static busybox, and dockerd for docker and devcontainer.
END
}

die() {
    printf 'environments.sh: %s\n' "$*" >&2
    exit 2
}

# shellcheck disable=SC2016
# Each is a list of commands for root on that machine. /proc, /sys and /dev are its own.
declare -A change=(
    ["bare"]=:
    ["hidepid-1"]='mount -o remount,hidepid=1 /proc'
    ["hidepid-2"]='mount -o remount,hidepid=2 /proc'
    ["hidepid-4"]='mount -o remount,hidepid=4 /proc'
    ["below-usr"]='mount -t tmpfs none /usr/local/share'
    ["masked-proc"]='mount --bind /dev/null /proc/keys'
    ["read-only-settings"]='mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys'
    ["read-only-cgroups"]='for at in /sys/fs/cgroup /sys/fs/cgroup/*; do
        ! mountpoint -q $at || mount -o remount,bind,ro $at; done'
    ["busybox"]='box=/usr/lib/box # below /usr, so that containers have it, too
        [ -d $box ] || { mkdir $box && cp /opt/busybox $box && $box/busybox --install -s $box; }'
    ["umask-077"]=:
    ["no-net-admin"]=:
    ["no-sys-admin"]=:
    ["chroot"]='mkdir -p /newroot && mount --rbind / /newroot'
    ["docker"]=:
    ["devcontainer"]=:
)

everything='' cache='' keep=''
release=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
while getopts ahlr:s: option; do
    case $option in
        a) everything=yes ;;
        h) usage && exit 0 ;;
        l) printf '%s\n' "${!change[@]}" | sort && exit 0 ;;
        r) cache=$OPTARG ;;
        s) release=$OPTARG ;;
        *) usage >&2 && exit 2 ;;
    esac
done
shift $((OPTIND - 1))
CDPATH='' cd "$(dirname "$0")/../.."
((EUID == 0)) || die "only root can do this"
if [[ $# -eq 0 ]]; then
    mapfile -t all < <(printf '%s\n' "${!change[@]}" | sort)
    set -- "${all[@]}"
fi
for environment; do
    [[ -v change[$environment] ]] || die "no environment $environment; -l lists them"
done

# shellcheck source=scripts/ci/fresh-root.sh
. scripts/ci/fresh-root.sh
cp "$(command -v busybox)" "$root/opt/busybox"

# Docker: a daemon with a directory of its own, and the same Debian as an image.
daemon=''
docker() { command docker --host "unix://$scratch/docker.sock" "$@"; }
start_docker() {
    [[ -z $daemon ]] || return 0
    dockerd --host "unix://$scratch/docker.sock" --data-root "$scratch/docker" \
        --exec-root "$scratch/docker-run" --pidfile "$scratch/docker.pid" --bridge none \
        --iptables=false --storage-driver vfs >"$scratch/docker.log" 2>&1 &
    daemon=$!
    trap 'kill "$daemon"; wait "$daemon" || true; cleanup' EXIT
    for _ in {1..60}; do
        ! docker version >/dev/null 2>&1 || break
        sleep 0.5
    done
    tar -C "$root" --one-file-system -c . | docker import - steps >/dev/null
}

# in_docker USER COMMAND FLAG...: as "as" does, in a container.
in_docker() {
    local user=$1 command=$2 home=/home/reader
    shift 2
    [[ $user != root ]] || home=/root
    docker run --rm --network none "$@" --env HOME="$home" --env GOPROXY=file:///opt/proxy \
        --env GOTOOLCHAIN=local --env PATH="/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/go/bin" \
        --volume "$GOROOT:/usr/local/go:ro" --workdir "$home/jail-to-container" steps \
        bash -c "$remount; exec setpriv --reuid=$user --regid=$(chroot "$root" id -g "$user") \
            --init-groups bash -c '$command'"
}

# run ENVIRONMENT USER COMMAND
run() {
    local flags=() command=$3
    within=() prepare=${change[$1]} remount=:
    case $1 in
        busybox) command="PATH=/usr/lib/box:\$PATH; $command" ;;
        umask-077) command="umask 077; $command" ;;
        no-net-admin) within=(setpriv --bounding-set -net_admin --inh-caps -net_admin) ;;
        no-sys-admin) within=(setpriv --bounding-set -sys_admin --inh-caps -sys_admin) ;;
        chroot) within=(chroot /newroot) ;;
    esac
    case $1 in
        docker | devcontainer) start_docker ;;&
        docker) in_docker "$2" "$command" ;;
        devcontainer)
            mapfile -t flags < <(sed -n 's/^ *"\(--[a-z-]*=.*\)",\{0,1\}$/\1/p' .devcontainer/devcontainer.json)
            remount=$(sed -n 's/^ *"postStartCommand": "\(.*\)",$/\1/p' .devcontainer/devcontainer.json)
            remount=${remount//\\/}
            in_docker "$2" "$command" "${flags[@]}"
            ;;
        *) as "$2" "$command" ;;
    esac
}

failed=()
for environment; do
    for user in root reader; do
        tests=('./scripts/ci/doctor -run ^TestHere$')
        [[ -z $everything ]] || tests+=(./...)
        for test in "${tests[@]}"; do
            printf '\n== %s as %s: go test %s\n' "$environment" "$user" "$test"
            run "$environment" "$user" "go test -count=1 -timeout 8m $test" >"$scratch/out" 2>&1 || {
                grep -vE '^go: downloading' "$scratch/out" || true
                failed+=("$environment as $user, $test")
            }
            grep -hE '^(ok|FAIL)' "$scratch/out" || true
        done
    done
done
[[ ${#failed[@]} -eq 0 ]] || { printf 'environments.sh: FAILED: %s\n' "${failed[@]}" && exit 1; }
