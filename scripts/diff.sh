#!/usr/bin/env bash
# Shows what one step adds to the mechanism of another: a diff without what a reader has to skip.
#
# The comparison is done here in awk, and not by diff(1) or git-diff(1), for two reasons. It knows
# that it reads Go: functions are matched by name, so a new one never begins with the closing brace
# of the one before. And chapters quote the output, which must not depend on the version or the
# settings of a tool: any awk gives the same.
set -euo pipefail
export LC_ALL=C # awk counts bytes everywhere, and files are sorted alike

# What a step has beside its mechanism: the lesson with its helpers, and the word to other systems.
lesson='demo.go escape.go hold.go inode.go narrate.go objects.go other.go partner.go sysv.go'

usage() {
    cat <<END
usage: scripts/diff.sh [-h] FROM TO

Shows what step TO adds to step FROM, for example: scripts/diff.sh 02 03

FROM and TO are a number (02), a name (02-pid-namespace) or the path of a directory.
Left out: the lesson and what is no part of the mechanism (README.md, *_test.go,
$lesson),
and in every file the comment at its head, the imports and the step's name. A new file is shown
with its comment.

A line "@@ func container" names the function that the lines below it are from. The last line
counts: lines of code and of comment that are new, and lines that are gone, blank ones aside.
In colour on a terminal, unless NO_COLOR is set.
END
}

die() {
    printf 'diff.sh: %s\n' "$*" >&2
    exit 2
}

# steps lists the steps that there are.
steps() {
    local dir
    for dir in "$root"/[0-9][0-9]-*/; do
        [[ ! -d $dir ]] || printf ' %s' "$(basename "$dir")"
    done
}

# directory turns what the user calls a step into the path of its directory.
directory() {
    local dir
    for dir in "$root/$1" "$root/$1"-* "$1"; do
        if compgen -G "$dir/*.go" >/dev/null; then
            (cd "$dir" && pwd)
            return
        fi
    done
    die "there is no step $1; there are:$(steps)"
}

# mechanism lists the names of a step's files, as far as they are the mechanism.
mechanism() {
    local file
    for file in "$1"/*.go; do
        file=${file##*/}
        if [[ " $lesson " != *" $file "* && $file != *_test.go ]]; then
            printf '%s\n' "$file"
        fi
    done
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
case ${1-} in
    -h | --help)
        usage
        exit
        ;;
esac
if (($# != 2)); then
    usage >&2
    exit 2
fi
from=$(directory "$1")
to=$(directory "$2")

# One pair of arguments for each file that either step has; /dev/null is the one that isn't there.
# main.go is the first, since what is new in the others is called from there.
pairs=()
for file in main.go $({ mechanism "$from" && mechanism "$to"; } | sort -u | sed '/^main\.go$/d'); do
    for dir in "$from" "$to"; do
        if [[ -f $dir/$file ]]; then
            pairs+=("$dir/$file")
        else
            pairs+=(/dev/null)
        fi
    done
done

colour=0
if [[ -t 1 && -z ${NO_COLOR-} && ${TERM-dumb} != dumb ]]; then
    colour=1
fi

awk -v colour="$colour" '
# A file is read as chunks: one for each declaration, with the comment above it. key[side, n] is
# what a chunk is called, line[side, n, i] are its lines and size[side, n] is their number.

# load reads one side ("-" or "+") of a file and returns the number of its chunks. What stands
# before the package clause is kept apart, in head[side, i].
function load(side, path,    s, n, state, raw, waiting, pending, t, i) {
    heads[side] = n = waiting = raw = 0
    state = "head"
    while ((getline s < path) > 0) {
        if (state == "soft" && !raw && s !~ /^\t/) state = "between"
        if (state == "head") {
            if (s ~ /^package /) state = "between"
            else if (s !~ /^\/\/go:build/) head[side, ++heads[side]] = s
            continue
        }
        if (state == "imports") {
            if (s ~ /^\)/) state = "between"
            continue
        }
        if (state == "between") {
            if (s ~ /^import /) {
                if (s ~ /\($/) state = "imports"
                continue
            }
            if (s !~ /^(func|type|var|const) / && s != "") {
                pending[++waiting] = s
                continue
            }
            if (s == "" && !waiting) continue
            n = chunk(side, n, s == "" ? pending[1] : called(s))
            for (i = 1; i <= waiting; i++) add(side, n, pending[i])
            waiting = 0
            if (s == "") continue
            state = "soft" # a line or some; what is indented below belongs to it
        }
        add(side, n, s)
        if (raw || s !~ /^\t*\/\//) { # in a raw string nothing below means what it seems to
            t = s
            if (gsub(/`/, "", t) % 2) raw = !raw
        }
        if (raw) continue
        sub(/[ \t]+\/\/.*/, "", s)
        if (s ~ /^[^\t].*[({]$/) state = "hard" # until a line that begins with the bracket
        else if (s ~ /^[)}]/) state = "between"
    }
    close(path)
    if (waiting) {
        n = chunk(side, n, pending[1])
        for (i = 1; i <= waiting; i++) add(side, n, pending[i])
    }
    return n
}

# called gives a declaration the name that it has in a heading.
function called(s) {
    if (s ~ /^[a-z]+ \(/ && s !~ /^func/) return substr(s, 1, index(s, " ")) "(...)"
    match(s, /^func \([^)]*\) [^][({ =,]+|^[a-z]+ [^][({ =,]+/)
    return substr(s, 1, RLENGTH)
}

# chunk begins a new chunk. There may be several by one name: init, or groups.
function chunk(side, n, name,    times) {
    n++
    title[side, n] = name
    for (times = 1; (side, name, times) in found; times++) continue
    found[side, name, times] = n
    key[side, n] = name SUBSEP times
    size[side, n] = 0
    return n
}

function add(side, n, s) { line[side, n, ++size[side, n]] = s }

# paint prints a line in a colour, where there are colours.
function paint(code, s) { print (colour ? "\033[" code "m" s "\033[0m" : s) }

# heading prints the name of the file above the first of its differences.
function heading(what) {
    if (headed) return
    if (files++) print ""
    paint("1", name what)
    headed = 1
}

# show prints one line of the diff and counts it.
function show(op, s) {
    if (op == " ") {
        print (s == "" ? "" : " " s) # no blank at the end of a line: chapters quote this
        return
    }
    paint(op == "+" ? "32" : "31", op s)
    count(op, s)
}

function count(op, s) {
    if (s ~ /^[ \t]*$/) return
    if (op == "-") gone++
    else if (s ~ /^[ \t]*\/\//) comment++
    else code++
}

# whole prints a chunk that only one side has.
function whole(side, n, what,    i) {
    heading("")
    paint("36", "@@ " title[side, n] what)
    for (i = 1; i <= size[side, n]; i++) show(side, line[side, n, i])
}

# removed prints the chunks that only the old side has, from one on to the next that both have.
function removed(n) {
    for (; n <= chunks["-"] && !(("+", key["-", n]) in found); n++) whole("-", n, " (removed)")
}

# changed prints the differences within a chunk that both sides have.
function changed(m, n,    a, b, i, j, k, w, best, steps, near, last) {
    # best[i, j] is the weight of what the lines from i and j on have in common at most. Lines
    # that are everywhere, such as a closing brace, weigh little, so they join nothing.
    a = size["-", m]
    b = size["+", n]
    for (i = a; i >= 1; i--)
        for (j = b; j >= 1; j--) {
            w = best[i + 1, j] + 0
            if (best[i, j + 1] > w) w = best[i, j + 1]
            if (line["-", m, i] == line["+", n, j]) {
                k = best[i + 1, j + 1] + (length(line["-", m, i]) > 4 ? 8 : 1)
                if (k >= w) w = k
            }
            best[i, j] = w
        }
    # ops[k] says of the line text[k] whether it is old, new or both.
    i = j = 1
    steps = 0
    while (i <= a || j <= b) {
        steps++
        if (i <= a && j <= b && line["-", m, i] == line["+", n, j] && best[i, j] > best[i + 1, j] &&
            best[i, j] > best[i, j + 1]) {
            ops[steps] = " "
            text[steps] = line["-", m, i++]
            j++
        } else if (i <= a && (j > b || best[i + 1, j] + 0 >= best[i, j + 1] + 0)) {
            ops[steps] = "-"
            text[steps] = line["-", m, i++]
        } else {
            ops[steps] = "+"
            text[steps] = line["+", n, j++]
        }
    }
    ops[0] = ops[steps + 1] = ""
    for (i = 1; i <= steps; i = k + 1) {
        for (k = i; k < steps && ops[k + 1] == ops[i]; k++) continue
        if (ops[i] != " " && ops[i - 1] ops[k + 1] !~ /[-+]/) k = slide(i, k, steps)
    }
    last = 0
    for (k = 1; k <= steps; k++) {
        near = 0
        for (i = k - 2; i <= k + 2; i++) if (i >= 1 && i <= steps && ops[i] != " ") near = 1
        if (!near) continue
        if (!last || last < k - 1) {
            heading("")
            paint("36", "@@ " title["+", n])
        }
        show(ops[k], text[k])
        last = k
    }
}

# slide moves a run of lines, all new or all old, to where a reader would begin it. Where the line
# above a run is the same as its last one, the run one line higher says the same. It
# returns the end of the run.
function slide(from, to, steps,    op, at, bad, least, up) {
    op = ops[from]
    while (from > 1 && ops[from - 1] == " " && text[from - 1] == text[to]) {
        ops[--from] = op
        ops[to--] = " "
    }
    least = -1
    for (at = up = 0; ; at++) {
        bad = awkward(from + at, to + at)
        if (least < 0 || bad <= least) {
            least = bad
            up = at
        }
        if (ops[to + at + 1] != " " || text[to + at + 1] != text[from + at]) break
    }
    for (at = 0; at < up; at++) {
        ops[from + at] = " "
        ops[to + at + 1] = op
    }
    return to + up
}

# awkward says how odd it looks for a run of lines to begin here: deep inside, or at a bracket.
function awkward(from, to,    first, bad) {
    bad = 0
    for (first = from; first < to && text[first] == ""; first++) bad = 1
    match(text[first], /^\t*/)
    return RLENGTH * 4 + bad + (substr(text[first], RLENGTH + 1) ~ /^[])}]/ ? 3 : 0)
}

# complete prints a file that is new, from its comment on, without what every file begins with.
function complete(    i, n) {
    heading(" (new file)")
    for (i = 1; i <= heads["+"]; i++) body(head["+", i])
    for (n = 1; n <= chunks["+"]; n++) {
        body("")
        for (i = 1; i <= size["+", n]; i++) body(line["+", n, i])
    }
}

# body prints a line of a new file; of blank lines only one, and none at the beginning.
function body(s) {
    if (s == "") {
        blank = 1
        return
    }
    if (blank && begun) show("+", "")
    show("+", s)
    blank = 0
    begun = 1
}

BEGIN {
    code = comment = gone = 0
    for (arg = 1; arg < ARGC; arg += 2) {
        for (k in found) delete found[k]
        for (k in key) delete key[k]
        chunks["-"] = load("-", ARGV[arg])
        chunks["+"] = load("+", ARGV[arg + 1])
        headed = blank = begun = 0
        name = ARGV[ARGV[arg + 1] == "/dev/null" ? arg : arg + 1]
        if (name == "/dev/null") continue
        sub(/.*\//, "", name)
        if (ARGV[arg] == "/dev/null") {
            complete()
            continue
        }
        if (ARGV[arg + 1] == "/dev/null") {
            heading(" (removed file)")
            for (n = 1; n <= chunks["-"]; n++)
                for (i = 1; i <= size["-", n]; i++) count("-", line["-", n, i])
            continue
        }
        removed(1)
        for (n = 1; n <= chunks["+"]; n++) {
            if (!(("-", key["+", n]) in found)) {
                whole("+", n, "")
                continue
            }
            m = found["-", key["+", n]]
            # The name of a step differs by nature.
            if (title["+", n] != "const step") changed(m, n)
            removed(m + 1)
        }
    }
    if (files) print ""
    printf "+%d code, +%d comment, -%d\n", code, comment, gone
}' ${pairs[@]+"${pairs[@]}"}
