#!/usr/bin/env bash
# Runs the steps on a laptop, as it were: -h says more.
set -euo pipefail

usage() {
    cat <<'EOF'
usage: scripts/ci/vm/systemd.sh

Boots a Debian with systemd and sudo in qemu, and tries there what run.sh can't, as its machine has
neither: each step as a user who has logged in, with sudo, and in delegated cgroups. All
mounts are shared there, udev looks after the links, and sudo sets limits. It is a Debian of the
same release as this one, and from the same mirror. guest.sh is what is done in it.

Needed: root, for mmdebstrap; mmdebstrap, mke2fs, qemu-system-x86 and go. It takes some minutes.
Exits with 0 if all went well there, and prints what didn't.
EOF
}

if [ "$*" = -h ]; then
    usage
    exit 0
elif [ $# -gt 0 ]; then
    usage >&2
    exit 2
fi
CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")/../../.."
if [ "$(id -u)" -ne 0 ]; then
    echo "systemd.sh: this takes root" >&2
    exit 2
fi

scratch=$(mktemp -d)
# mmdebstrap mounts in a mount namespace of its own; so nothing is mounted below this directory.
trap 'rm -rf --one-file-system "$scratch"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
disk=$scratch/root

release=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
# The mirror that this machine has that release from; all else of it isn't needed.
mirror=$(apt-get indextargets --format "\$(CODENAME) \$(REPO_URI)" 'Created-By: Packages' |
    sed -n "s/^$release //p" | head -n 1)
packages=systemd,systemd-sysv,udev,dbus,dbus-user-session,libpam-systemd,login,passwd,sudo,procps
packages+=,iproute2,iputils-ping,nftables,passt,uidmap,busybox-static,linux-image-cloud-amd64
mmdebstrap --quiet --mode=root --variant=apt --include="$packages" "$release" "$disk" "$mirror"

CGO_ENABLED=0 GOARCH=amd64 go build -buildvcs=false -o "$disk/opt/steps/" ./[0-9]*-*/
install -m 755 scripts/ci/vm/guest.sh "$disk/opt/guest.sh"
# For doctor.sh, which looks for Go and the modules: here the steps are built.
install -D -m 755 scripts/doctor.sh "$disk/opt/repo/scripts/doctor.sh"
cp go.mod "$disk/opt/repo/"
mkdir "$disk/opt/repo/vendor"
for step in [0-9]*-*/; do mkdir "$disk/opt/repo/$step"; done
# For exercise.sh, which copies a step and builds it: the step that BUILT names is built.
cp 07-cgroups/*.go "$disk/opt/repo/07-cgroups/"
install -d -m 777 "$disk/opt/repo/_exercise"
CGO_ENABLED=0 GOARCH=amd64 go build -buildvcs=false -o "$disk/opt/exercise" ./scripts/exercise
{
    echo '#!/bin/sh'
    # shellcheck disable=SC2016
    echo 'case $1 in build) exec cp "/opt/steps/$BUILT" "$4" ;; env) exit ;; esac'
    echo "echo '$(go version)'"
} >"$disk/usr/local/bin/go"
chmod 755 "$disk/usr/local/bin/go"
chroot "$disk" useradd --create-home --shell /bin/bash guest
echo exec /opt/guest.sh >"$disk/home/guest/.bash_profile"
echo 'guest ALL=(ALL) NOPASSWD: ALL' >"$disk/etc/sudoers.d/guest"
echo laptop >"$disk/etc/hostname"
echo 127.0.1.1 laptop >>"$disk/etc/hosts"
mkdir -p "$disk/etc/systemd/system/serial-getty@ttyS0.service.d"
cat >"$disk/etc/systemd/system/serial-getty@ttyS0.service.d/login.conf" <<'EOF'
[Service]
ExecStart=
ExecStart=-/sbin/agetty --autologin guest --noclear --keep-baud 115200 - dumb
EOF
# The only world is what qemu makes: a gateway, and a server that says hello.
cat >"$disk/etc/systemd/network/uplink.network" <<'EOF'
[Match]
Name=en* eth0
[Network]
Address=10.0.2.15/24
Gateway=10.0.2.2
EOF
chroot "$disk" systemctl --quiet enable systemd-networkd

cp "$disk"/boot/vmlinuz-* "$scratch/vmlinuz"
cp "$disk"/boot/initrd.img-* "$scratch/initrd"
truncate -s 3G "$scratch/disk"
mke2fs -q -F -t ext4 -d "$disk" "$scratch/disk"

# One processor: with more, the emulation fails now and then. It takes two or three minutes.
timeout 30m qemu-system-x86_64 -M q35 -accel tcg,thread=multi -cpu qemu64 -smp 1 -m 2048 \
    -nodefaults -no-user-config -display none -serial stdio -no-reboot \
    -netdev "user,id=world,restrict=on,guestfwd=tcp:10.0.2.100:80-cmd:echo hello" -device virtio-net-pci,netdev=world \
    -drive "file=$scratch/disk,if=virtio,format=raw" \
    -kernel "$scratch/vmlinuz" -initrd "$scratch/initrd" \
    -append "console=ttyS0 root=/dev/vda rw quiet panic=-1 mitigations=off random.trust_cpu=on" \
    </dev/null | tr -d '\r' >"$scratch/console" || true
if ! grep -q '^laptop: exit ' "$scratch/console"; then
    echo "systemd.sh: it didn't come to its end:" >&2
    tail -n 100 "$scratch/console" >&2
    exit 1
fi
sed -n '/^laptop: /,$p' "$scratch/console" | grep -E '^(laptop: |    )'
grep -q '^laptop: exit 0$' "$scratch/console"
