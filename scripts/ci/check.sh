#!/usr/bin/env bash
# What CI checks, in one command, but for other runtimes and virtual machines: those are in .ci/run.
set -euo pipefail

usage() {
    cat <<'EOF'
usage: scripts/ci/check.sh [-u] [-q | -a]

Checks the repository: format, modules, vet and build for every system that it is meant for, the
oldest Go for it, staticcheck, shellcheck, shfmt and actionlint, then the tests, and last the tests
of the tests (scripts/ci/mutation): a fifth of them, another one every day, and the verdicts of all
lessons. As root the tests run twice: as root, and as an ordinary user in a copy of the tree.

  -u  as root, run the tests only as the ordinary user (.ci/run has run them as root)
  -q  quick: without scripts/ci/mutation, which takes minutes
  -a  with all rows of scripts/ci/mutation
  -h  this text

A test that is skipped is listed; where the variable CI is set it counts as a failure.
Exits with 0 only if all is well.
EOF
}

part=$(($(date +%-j) % 5 + 1))/5 caller=yes
while getopts uqah option; do
    case $option in
        u) caller= ;;
        q) part= ;;
        a) part=1/1 ;;
        h) usage && exit 0 ;;
        *) usage >&2 && exit 2 ;;
    esac
done
CDPATH='' cd "$(dirname "$0")/../.."

# The checking tools, by exact version, so that a check means the same tomorrow.
staticcheck=honnef.co/go/tools/cmd/staticcheck@v0.8.2
shfmt=mvdan.cc/sh/v3/cmd/shfmt@v3.14.1
actionlint=github.com/rhysd/actionlint/cmd/actionlint@v1.7.12

# The systems on which the steps run, and, after them, those on which they say what is needed.
systems='linux/amd64 linux/arm64 linux/riscv64 linux/arm linux/386 darwin/arm64 windows/amd64'

scratch=$(mktemp -d)
# Nothing is ever mounted inside: the tests that mount do so in namespaces of their own.
trap 'rm -rf --one-file-system "$scratch"' EXIT

say() {
    printf '\n== %s\n' "$*"
}

fail() {
    printf 'check.sh: %s\n' "$*" >&2
    exit 1
}

packages=(./...) # what run_tests tests

# run_tests NAME ROOTS COMMAND...: runs "COMMAND... go test" and looks at what was passed, failed,
# skipped. ROOTS are the tests that may be skipped here, as only root can run them.
run_tests() {
    local name=$1 roots=$2 log="$scratch/$1.log" status=0
    shift 2
    say "tests as $name"
    "$@" go test -count=1 -v "${packages[@]}" >"$log" 2>&1 || status=$?
    if [ "$status" -ne 0 ]; then
        grep -vE '^ *(=== |--- PASS)' "$log" || cat "$log"
    fi
    # What each package says at its end, and what the transcripts test didn't run.
    grep -E '^(ok|FAIL|---) |not run: ' "$log" | grep -vE '^--- PASS' || true # none is none
    if grep -A3 -E '^ *--- SKIP' "$log" && grep -E '^ *--- SKIP' "$log" | grep -qvE "SKIP: ($roots) "; then
        [ -z "${CI:-}" ] || fail "skipped tests, above: in CI every test must run"
    fi
    passed=$((passed + $(grep -cE '^ *--- PASS' "$log")))
    [ "$status" -eq 0 ] || fail "tests as $name: go test ended with $status"
}

say "gofmt"
unformatted=$(gofmt -l -- *-*/ scripts)
[ -z "$unformatted" ] || fail "not gofmt's format: $unformatted"

say "go.mod is tidy, and the modules are what go.sum says"
go mod tidy -diff
go mod verify

for system in $systems; do
    say "build and vet, tests included: $system"
    GOOS=${system%/*} GOARCH=${system#*/} go build -o "$scratch/build/" ./[0-9]*-*/
    GOOS=${system%/*} GOARCH=${system#*/} go vet ./...
done

# A reader with an older Go than ours fetches this one (https://go.dev/doc/toolchain).
oldest=go$(go list -m -f '{{.GoVersion}}')
say "vet, and the tests of the first steps, with the oldest Go that go.mod allows: $oldest"
GOTOOLCHAIN=$oldest go vet ./...
GOTOOLCHAIN=$oldest go test ./0[1-5]-*/

say "staticcheck"
go run "$staticcheck" ./...

say "shellcheck, shfmt, actionlint"
command -v shellcheck >/dev/null || fail "no shellcheck here: apt-get install shellcheck"
shellcheck scripts/*.sh scripts/*/*.sh scripts/ci/*/*.sh .ci/run
go run "$shfmt" -i 4 -ci -d scripts/*.sh scripts/*/*.sh scripts/ci/*/*.sh .ci/run
go run "$actionlint" .github/workflows/*.yml

passed=0
# Where every mount is shared, as on a host with systemd, which a machine that builds may not have.
shared=()
[ "$(id -u)" -ne 0 ] || shared=(unshare --mount --propagation shared)
if [ -n "$caller" ] || [ "$(id -u)" -ne 0 ]; then
    run_tests "$(id -un)" none "${shared[@]}" env
fi
if [ "$(id -u)" -eq 0 ]; then
    # reader is what a person has on a laptop: an account with a login's PATH and umask (Debian's is
    # 002), subordinate IDs, and a gid that isn't the uid. It exists in a mount namespace only.
    uid=12001 gid=12002
    chmod 755 "$scratch"
    scripts/ci/fresh-clone.sh -u "$uid" "$scratch/clone"
    chown -R "$uid:$gid" "$scratch/clone"
    install -d -o "$uid" -g "$gid" "$scratch/home" "$scratch/tmp"
    mkdir "$scratch/etc"
    for file in passwd group subuid subgid; do
        grep -v '^reader:' "/etc/$file" >"$scratch/etc/$file" || true # none is none
    done
    echo "reader:x:$uid:$gid::$scratch/home:/bin/bash" >>"$scratch/etc/passwd"
    echo "readers:x:$gid:" >>"$scratch/etc/group"
    echo reader:700000000:65536 | tee -a "$scratch/etc/subuid" >>"$scratch/etc/subgid"
    # shellcheck disable=SC2016
    account=(unshare --mount --propagation private sh -c 'etc=$1; shift
        for file in passwd group subuid subgid; do
            mount --bind "$etc/$file" /etc/$file || exit
        done
        umask 002; exec "$@"' sh "$scratch/etc")
    cd "$scratch/clone"
    # Most systems let every user make the link that pasta needs, see tun(4); this one may not.
    # shellcheck disable=SC2016
    tun=(sh -c 'mount -t tmpfs -o mode=755 none /dev/net && mknod /dev/net/tun c 10 200 &&
        chmod 666 /dev/net/tun && exec "$@"' sh)
    [ -d /dev/net ] || tun=()
    roots="TestHelpers|TestHelpersUnpack|TestManyIDs|TestPasta|TestUsualCache|TestRealImages"
    roots+="|TestHidepid|TestVolumeBelowVolume|TestSharedMounts|TestMountBelowUsr|TestRootWithMountBelow"
    roots+="|TestSharedTmp|TestAnotherHost|TestTakenIDs|TestRootsRanges|TestRootsCache|TestUserOpensPipes"
    roots+="|TestLargeSet|TestEnvironmentOfPID1|TestWhiteoutOnOverlay|TestQuotaOfRoot"
    roots+="|TestPublishWhereTheHostForwards|TestOtherUserIsRefused"
    roots+="|TestCheckCache|TestGroups|TestUserOwnsTerminal|TestUptimeInATimeNamespace|TestCompareVMKilled"
    roots+="|TestCrane|TestChildrenInOrder|TestInAChroot|TestDelegateInAContainer"
    login=(HOME="$scratch/home" USER=reader LOGNAME=reader SHELL=/bin/bash LANG=C.UTF-8
        PATH="/usr/local/bin:/usr/bin:/bin:/usr/games:$(dirname "$(command -v go)")")
    ordinary=("${account[@]}" "${shared[@]}" "${tun[@]}"
        setpriv --reuid="$uid" --regid="$gid" --init-groups env -i "${login[@]}" CI="${CI:-}"
        TMPDIR="$scratch/tmp" GOFLAGS=-mod=vendor GOPROXY=off)
    # With delegated cgroups, as systemd would do it; but the chapters show what it is
    # like without.
    mapfile -t packages < <("${ordinary[@]}" go list ./... | grep -v scripts/ci/transcripts)
    run_tests "an ordinary user" "$roots|TestContainersKeyring|TestUnlimitedIsRefused" \
        scripts/delegate.sh "$uid" "${ordinary[@]}"
    packages=(./scripts/ci/transcripts)
    run_tests "an ordinary user without cgroups" none "${ordinary[@]}"
    cd - >/dev/null
fi

if [ -n "$part" ]; then
    say "mutation: lines of isolation taken out, one at a time, and a test that notices; part $part"
    go run ./scripts/ci/mutation -part "$part"
    if [ "$(id -u)" = 0 ]; then
        say "mutation: leaks closed and holes opened, and lessons that say so"
        go run ./scripts/ci/mutation -lessons
    fi
fi

printf '\n%d passed, 0 failed\n' "$passed"
