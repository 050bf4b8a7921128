# shellcheck shell=bash
# The smallest Debian with Go and a clone of this tree, as a root directory, for fresh.sh and
# environments.sh, which source this. It sets scratch and root, and defines enter and as. It reads
# release, cache (a directory that keeps such a Debian, or nothing) and keep.

: "${release:?}" "${cache?}" "${keep?}"
scratch=$(mktemp -d)
root=$scratch/root
# shellcheck disable=SC2317 # the trap calls it
cleanup() { # everything is mounted in namespaces that have ended
    if [[ -n $keep ]]; then
        echo "kept: $scratch"
    else
        rm -rf --one-file-system "$scratch"
    fi
}
trap cleanup EXIT
trap 'exit 143' TERM HUP

# make_debian DIR: the mirror that apt has for this machine's release has the others as well.
make_debian() {
    local here mirror
    here=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    mirror=$(apt-get indextargets --format "\$(CODENAME) \$(REPO_URI)" 'Created-By: Packages' |
        sed -n "s/^$here //p" | head -n 1)
    mmdebstrap --quiet --mode=root --variant=minbase --include=ca-certificates,git \
        "$release" "$1" "$mirror"
}

if [[ -z $cache ]]; then
    make_debian "$root"
else
    [[ -d $cache/$release ]] || make_debian "$cache/$release"
    cp -a --reflink=auto "$cache/$release" "$root"
fi
command -v busybox >/dev/null || die "no busybox here: apt-get install busybox-static"
for program in ps ip nft ping busybox newuidmap pasta; do
    ! chroot "$root" sh -c "command -v $program" >/dev/null ||
        die "$program is in this Debian: it isn't minimal"
done

# reader is an account such as a laptop has: with subordinate IDs, and other IDs than any test uses.
chroot "$root" groupadd --gid 2000 people
chroot "$root" useradd --create-home --shell /bin/bash --uid 1001 --gid people reader
echo reader:200000:65536 | tee "$root/etc/subuid" >"$root/etc/subgid"
for home in root home/reader; do
    git clone -q . "$root/$home/jail-to-container"
    git diff HEAD | git -C "$root/$home/jail-to-container" apply --allow-empty
    git -C "$root/$home/jail-to-container" remote remove origin
done
chroot "$root" chown -R reader: /home/reader

# The modules come in the proxy's own layout, so no network is needed.
go mod download
GOROOT=$(go env GOROOT)
modules=$(go env GOMODCACHE)/cache/download
mkdir -p "$root/usr/local/go" "$root/opt/proxy"
cp -r "$modules/." "$root/opt/proxy/"
chmod -R a+rX "$root/opt/proxy"

# What differs from such a machine: commands that root runs there first, and what
# the command is started with.
prepare=: within=()

# enter COMMAND...: as the machine's root, with $root as /. It takes pivot_root: the kernel gives no
# user namespace to a process that has been chrooted (clone(2), EPERM).
enter() {
    # shellcheck disable=SC2016
    unshare --mount --propagation private --pid --fork --kill-child --uts --ipc bash -ec '
        root=$1 goroot=$2 prepare=$3; shift 3
        mount --bind "$root" "$root"
        cd "$root"
        if [ -d usr/local/go ]; then
            mount --bind "$goroot" usr/local/go
            mount -o remount,bind,ro usr/local/go
        fi
        mount -t proc -o nosuid,nodev,noexec proc proc
        mount -t sysfs -o nosuid,nodev,noexec sysfs sys
        mount --rbind /sys/fs/cgroup sys/fs/cgroup
        mount -t tmpfs -o mode=755,nosuid none dev
        for device in null zero full random urandom tty; do
            : >"dev/$device"
            mount --bind "/dev/$device" "dev/$device"
        done
        mkdir dev/pts dev/shm dev/mqueue
        mount -t devpts -o newinstance,ptmxmode=666,gid=5,mode=620 devpts dev/pts
        mount -t tmpfs -o mode=1777 none dev/shm
        mount -t mqueue mqueue dev/mqueue
        ln -s pts/ptmx dev/ptmx
        ln -s /proc/self/fd dev/fd
        ln -s fd/0 dev/stdin
        ln -s fd/1 dev/stdout
        ln -s fd/2 dev/stderr
        hostname fresh
        mkdir -p .old
        pivot_root . .old
        cd /
        umount -l /.old
        eval "$prepare"
        exec "$@"' enter "$root" "$GOROOT" "$prepare" "$@" </dev/null
}

# as USER COMMAND: in the clone, with the environment of a login. The shell stays as PID 1, which
# must reap; bash would exec the last command in its place.
as() {
    local home=/home/reader path=/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games umask=002
    if [[ $1 = root ]]; then
        home=/root path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin umask=022
    fi
    enter "${within[@]}" setpriv --reuid="$1" --regid="$(chroot "$root" id -g "$1")" --init-groups env -i \
        HOME="$home" USER="$1" LOGNAME="$1" SHELL=/bin/bash TERM=xterm LANG=C.UTF-8 \
        GOTOOLCHAIN=local GOPROXY=file:///opt/proxy PATH="$path:/usr/local/go/bin" \
        bash -c "umask $umask; cd ~/jail-to-container; $2"$'\nexit $?'
}
