#!/usr/bin/env bash
# Prints what the tests skipped, and what to install; -h says more.
set -euo pipefail

usage() {
    cat <<'END'
usage: scripts/skips.sh

Prints the tests that the last `go test` of each package skipped, by reason (go test itself doesn't
mention them). Then prints the command that installs the missing programs, as Debian names their
packages, and the command that runs the tests as root, if some need that. Where go test only
repeated a cached result, the list is older: run go test -count=1 ./...

  -h  this help
END
}

if (($# > 0)); then
    [[ $* = -h ]] && usage && exit
    usage >&2
    exit 2
fi
CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ -d .skips && ! -w .skips ]]; then
    echo "skips.sh: your tests can't write to .skips, which root has made: sudo rm -r .skips" >&2
    exit 1
fi
# The name of a list is its package's directory, and each line is TEST, a tab, REASON.
shopt -s nullglob
lists=(.skips/*)
if ((${#lists[@]} == 0)); then
    echo "nothing was skipped"
    exit
fi
for list in "${lists[@]}"; do
    sed "s|^|${list#.skips/} |" "$list"
done | sort -u | awk -F '\t' '
    { # the package, a blank, the test; and the reason
        if (!($2 in count)) reasons[++n] = $2
        count[$2]++
        name = $1
        sub(/ .*/, "", name)
        if (!(($2, name) in tests)) packages[$2] = packages[$2] name "\t"
        sub(/.* /, "", $1)
        tests[$2, name] = tests[$2, name] " " $1
        several[$2, name]++
    }
    END {
        for (i = 1; i <= n; i++) {
            print count[reasons[i]] " skipped: " reasons[i]
            m = split(packages[reasons[i]], names)
            for (j = 1; j < m; j++) { # the last is empty
                key = reasons[i] SUBSEP names[j]
                print "    " names[j] ":" (several[key] < 5 ? tests[key] : " " several[key] " tests")
            }
        }
    }'
packages=$(cat "${lists[@]}" | sed -n 's/.*: apt-get install \(.*\)/\1/p' | tr ' ' '\n' | sort -u | xargs)
sudo='sudo ' flag=' -exec sudo'
((EUID > 0)) || sudo='' flag='' # root is root already, and may have no sudo
if [[ -n $packages ]]; then
    printf '\nTo run most of them as well:\n\n    %sapt-get install %s\n' "$sudo" "$packages"
fi
steps=$(awk '/run it as root|-exec sudo/ { print FILENAME }' "${lists[@]}" | uniq |
    sed -n 's|^.skips/\([0-9]\)|./\1|p' | xargs)
if [[ -n $steps ]]; then
    printf '\nTo run those that need root:\n\n    go test -count=1%s %s\n' "$flag" "$steps"
fi
