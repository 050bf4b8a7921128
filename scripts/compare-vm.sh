#!/usr/bin/env bash
# Measures a process, a container and a virtual machine side by side. scripts/comparevm does the work.
set -euo pipefail

usage() {
    cat <<'EOF'
usage: scripts/compare-vm.sh [-n RUNS] [-format text|markdown] [-kernel FILE]

Runs one small program three ways: as a plain process, in the container of 08, and in a virtual
machine that has a kernel, this program and nothing else. Prints one table: how long each takes to
start and to end, how much memory one and ten of them take, what the program sees inside, and what
the host sees of it. Times are medians; in brackets, the ratio to the process. Progress is on
standard error.

  -n RUNS         how often to run each, in shuffled rounds (default: 10)
  -format FORMAT  text or markdown (default: text)
  -kernel FILE    the kernel to boot, such as /boot/vmlinuz-*; by default one of Debian's, which apt
                  downloads to ~/.cache/jail-to-container and doesn't install
  -h              this help

Needs qemu (qemu-system-x86 or qemu-system-arm), and for 08 root or a delegated cgroup. It uses
/dev/kvm where guests boot with it, and otherwise emulates the machine; the heading says which.
JAIL_VM_KVM=no leaves /dev/kvm alone. Exit status: 0; 1 if something couldn't be measured; 2 for
wrong arguments.
EOF
}

wrong() { usage >&2 && exit 2; }

args=()
while (($#)); do
    case $1 in
        -h | --help) usage && exit ;;
        -n) [[ ${2-} =~ ^[1-9][0-9]*$ ]] || wrong ;;
        -format) [[ ${2-} == text || ${2-} == markdown ]] || wrong ;;
        -kernel) [[ -f ${2-} ]] || wrong ;;
        *) wrong ;;
    esac
    args+=("$1" "$2")
    shift 2
done

die() { printf 'compare-vm.sh: %s\n' "$1" >&2 && exit 1; }

root=$(CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
[[ $(uname) == Linux ]] || die "this needs Linux: Lima, WSL 2 or the devcontainer"
command -v go >/dev/null || die "no go command in PATH; with sudo: sudo env \"PATH=\$PATH\" $0"

# A helper process makes the directory, and removes it once no process holds descriptor 9 any more:
# this shell and all that it starts do, and any of them may be killed at any moment.
tmp=$(mktemp -d -u)
exec 9> >(
    # shellcheck disable=SC2016
    exec setsid sh -c 'trap "" HUP INT TERM
        mkdir -m 755 "$1" && cat >/dev/null
        find "$1" -xdev ! -type d -exec rm -f {} +
        find "$1" -xdev -depth -type d -exec rmdir {} +' sh "$tmp"
)
until [[ -d $tmp ]]; do
    kill -0 $! 2>/dev/null || die "no directory $tmp"
    sleep 0.01
done

# -buildvcs=false: git refuses to read another user's tree.
export CGO_ENABLED=0 GOTMPDIR=$tmp
go build -C "$root" -buildvcs=false -ldflags '-s -w' -o "$tmp/root/" ./scripts/comparevm || exit 1
go build -C "$root" -buildvcs=false -ldflags '-s -w' -o "$tmp/" ./08-full-container || exit 1
exec "$tmp/root/comparevm" "${args[@]}" "$tmp/08-full-container"
