#!/usr/bin/env bash
# Shows what one step adds to another: git diff, without what a reader would skip.
set -euo pipefail

usage() {
    cat <<'EOF'
usage: scripts/diff.sh [-stat] FROM TO [FILE...]

Shows what step TO adds to step FROM, for example: scripts/diff.sh 02 03

First come the changes in main.go, then a line for each other file of the mechanism that is new or
has changed. With FILE, shows only the changes in those files. Leaves out the lesson, the tests and
the chapter unless you name them.

  -stat  a line for each file, main.go included
  -h     this help

FROM and TO are numbers (02), names (02-pid-namespace) or paths.
EOF
}

# What is no part of the mechanism: the lesson, and what it is written with.
lesson='_test\.go$|^(demo|escape|narrate|objects|other|sysv|trials)\.go$'

die() {
    printf 'diff.sh: %s\n' "$1" >&2
    exit 2
}

# directory STEP: its path, seen from the top of the repository.
directory() {
    local dir
    for dir in "$1" "$1"-*; do
        [[ ! -f $dir/main.go ]] || { printf '%s\n' "${dir%/}" && return; }
    done
    die "no step $1; there are: $(echo [0-9][0-9]-*)"
}

# git's own settings don't matter here: chapters quote the output.
compare() { # [OPTION...] FILE
    local old=$from/${*: -1} new=$to/${*: -1}
    [[ -f $old ]] || old=/dev/null
    [[ -f $new ]] || new=/dev/null
    GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null GIT_CONFIG_COUNT=0 \
        git diff --no-index --no-ext-diff --no-color --patience -U2 "${@:1:$#-1}" "$old" "$new" || (($? == 1))
}

# full FILE: the changes in it. The line numbers go: they mean nothing to a reader of both files.
full() {
    printf '%s%s%s\n' "$bold" "$1" "$plain"
    compare "$1" | awk -v cyan="$cyan" -v green="$green" -v red="$red" -v plain="$plain" '
        !hunk && !/^@@/ { next }
        /^@@/ { hunk = 1; sub(/^@@ [^@]* @@ ?/, "@@ "); sub(/\(.*|( =)? [{(]$| *$/, ""); print cyan $0 plain; next }
        /^\+/ { print green $0 plain; next }
        /^-/  { print red $0 plain; next }
        /^ *$/ { print ""; next }
        { print }'
}

# brief FILE: one line. A new file says in its first sentence what it is for.
brief() {
    local added gone note=''
    read -r added gone _ < <(compare --numstat "$1") || return 0 # no difference
    if [[ ! -f $from/$1 ]]; then
        note="new: $(sed -n '/^package/q; s,^// ,,p' "$to/$1" | paste -sd' ' | sed 's/[.:] .*//; s/\.$//')"
    elif [[ ! -f $to/$1 ]]; then
        note=gone
    fi
    printf '%-20s +%-4s -%-4s %s\n' "$1" "$added" "$gone" "$note"
}

stat=
while [[ ${1:-} == -* ]]; do
    case $1 in
        -stat | --stat) stat=yes ;;
        -h | --help) usage && exit ;;
        *) usage >&2 && exit 2 ;;
    esac
    shift
done
(($# >= 2)) || { usage >&2 && exit 2; }
command -v git >/dev/null || die "no git command in PATH"
CDPATH='' cd "$(dirname "$0")/.."
from=$(directory "$1") && to=$(directory "$2")
shift 2

bold='' cyan='' green='' red='' plain=''
if [[ -t 1 && -z ${NO_COLOR:-} && ${TERM:-dumb} != dumb ]]; then
    bold=$'\e[1m' cyan=$'\e[36m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[m'
fi
if (($#)); then
    for file; do
        [[ -f $from/$file || -f $to/$file ]] || die "neither step has a file $file"
        full "$file"
        echo
    done
    exit
fi
[[ -n $stat ]] || { full main.go && echo; }
for file in "$from"/*.go "$to"/*.go; do
    echo "${file##*/}"
done | sort -u | grep -vE "$lesson" | grep -vx main.go | { [[ -z $stat ]] || echo main.go && cat; } |
    while read -r file; do brief "$file"; done
