#!/usr/bin/env bash
# Copies the tree as it is now into a new directory, ready to build without a module cache and
# without a network. The tests of the chapters run there, as the ordinary user a reader is.
set -euo pipefail
umask 022 # for the directories, which are made anew

usage() {
    cat <<'END'
usage: scripts/ci/fresh-clone.sh [-u UID] DIR

Makes DIR, which must not exist or be empty, a copy of this tree: the files that git tracks and the
ones it would (all but vendor/ and .git where this is no git checkout), as they are now, with their
modes. Runs `go mod vendor` in it (or copies vendor/, where this tree has one), makes it readable
for everyone and, as root, gives it to uid and gid 65534 (nobody).

  -u UID  as root: give it to this uid and gid
  -h      this help
END
}

die() {
    printf 'fresh-clone.sh: %s\n' "$*" >&2
    exit 1
}

# files prints the paths to copy, each ended by a NUL. git also lists tracked files that have
# been deleted since, and tar would stop at them.
#
# -c safe.directory: the tree may be another user's, and git refuses to read it without.
files() {
    local path
    if [[ -e .git ]] && command -v git >/dev/null; then
        git -c safe.directory="$PWD" ls-files -z -co --exclude-standard |
            while IFS= read -r -d '' path; do
                if [[ -e $path || -L $path ]]; then
                    printf '%s\0' "$path"
                fi
            done
    else
        find . \( -path ./.git -o -path ./vendor \) -prune -o ! -type d -print0
    fi
    if [[ -d vendor ]]; then
        find vendor ! -type d -print0
    fi
}

owner=
while getopts hu: option; do
    case $option in
        h)
            usage
            exit
            ;;
        u) owner=$OPTARG ;;
        *)
            usage >&2
            exit 2
            ;;
    esac
done
shift $((OPTIND - 1))
if (($# != 1)); then
    usage >&2
    exit 2
fi
if [[ -n $owner ]]; then
    [[ $owner =~ ^[0-9]+$ ]] || die "-u $owner: not a uid (a number)"
    ((EUID == 0)) || die "-u $owner: only root can give files away"
fi

tree=$(CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
case $(realpath -m -- "$1")/ in
    "$tree"/*) die "$1 lies in the tree that it would be a copy of" ;;
esac
mkdir -p "$1"
copy=$(CDPATH='' cd "$1" && pwd -P)
[[ -z $(ls -A "$copy") ]] || die "$copy is not empty"

cd "$tree"
files | sort -zu | tar --null -T - -cf - | tar -C "$copy" -xpf -

# GOFLAGS and GOWORK may say things about other trees that `go mod vendor` refuses.
if [[ ! -d vendor ]]; then
    command -v go >/dev/null || die "no go command in PATH, and no vendor/ to copy"
    (cd "$copy" && GOFLAGS='' GOWORK=off go mod vendor)
fi

chmod -R a+rX "$copy"
if ((EUID == 0)); then
    chown -R "${owner:-65534}:${owner:-65534}" "$copy"
fi
