#!/usr/bin/env bash
# Fetches everything that the steps need from a network, for a day without one; -h says more.
set -euo pipefail

usage() {
    cat <<'END'
usage: scripts/prefetch.sh [-i IMAGE]

Fetches the Go modules, and the Go that go.mod asks for if yours is older. Builds everything and
runs one test of each step (07 and 08 skip it if you can't make cgroups). Then fetches an image for
08 with crane, which it builds from source. After that, all of it works without a network.

  -i IMAGE  the image, by the name that docker pull takes (default: alpine:latest; "" for none)
  -h        this help

crane and the image go to ~/.cache/jail-to-container. Exit status: 0 if everything has been fetched.
END
}

image=alpine:latest
while getopts hi: option; do
    case $option in
        h) usage && exit ;;
        i) image=$OPTARG ;;
        *) usage >&2 && exit 2 ;;
    esac
done
if ((OPTIND <= $#)); then
    usage >&2
    exit 2
fi
CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")/.."
crane=github.com/google/go-containerregistry/cmd/crane@v0.21.9
cache=${XDG_CACHE_HOME:-$HOME/.cache}/jail-to-container
steps=(./[0-9]*-*)

say() { printf '\n== %s\n' "$*"; }

say "modules"
go mod download

# GOPROXY=off: anything that is still missing fails here, and not on the day.
say "build everything, without a network"
GOPROXY=off go build ./...
GOPROXY=off go vet ./...

say "one test of each step, without a network (07 and 08 skip it if you can't make cgroups)"
GOPROXY=off go test -count=1 -run '^TestExitStatus$' "${steps[@]}"

# sudo -s gives root another home directory, and go looks for modules there.
printf '\nAs root, without a network, type this first: export GOMODCACHE=%s\n' "$(go env GOMODCACHE)"

[[ -n $image ]] || exit 0
# 08 keeps unpacked images there as well, and refuses a directory that others could have written to.
mkdir -p "$cache"
chmod 700 "$cache"
# Installed, because "go run crane@VERSION" asks the network each time.
say "crane"
GOBIN=$cache/bin go install "$crane"

say "the image $image"
file=$cache/$(tr -c 'A-Za-z0-9.\n' - <<<"$image").tar
"$cache/bin/crane" pull --platform "linux/$(go env GOARCH)" "$image" "$file.part" || {
    rm -f "$file.part"
    printf "\nEverything is here but the image, which only 08's -image needs.\n" >&2
    exit 1
}
mv "$file.part" "$file"
printf '\nAll is here. To try the image: go run ./08-full-container -image %s sh\n' "$file"
