#!/bin/busybox sh
# shellcheck shell=dash
#
# The first process of the virtual machine, twice: first in the initramfs, where it moves out; then
# on a root that looks like a host's, where it runs the tests. It speaks to results.go, on the other
# side of the serial line, by lines that begin with "vm: ". The last one is the exit status, and if
# that is missing, something broke before.
#
# Any error ends this script, and when its first process ends, the kernel panics: as it should.
set -eu
export PATH=/usr/sbin:/usr/bin:/sbin:/bin

# pivot_root(2) doesn't work on the root that an initramfs is (EINVAL, until after Linux 6.12), and
# pivot_root is what the steps are about. So all that lies in /host moves to a tmpfs. There it is a
# directory, bound to itself, so that / isn't inode 1: on a host's disk it never is, and the root of
# a container's tmpfs always.
if [ "${1-}" != moved ]; then
    /bin/busybox mkdir /new
    /bin/busybox mount -t tmpfs -o mode=755,size=75% tmpfs /new
    /bin/busybox cp -a /host /new/root
    /bin/busybox mount --bind /new/root /new/root
    # Links for all that busybox can do; where a real tool is, it stays (and that is complained of).
    /bin/busybox --install -s /new/root/usr/bin 2>/dev/null || true
    exec /bin/busybox switch_root /new/root /usr/sbin/init moved
fi

# Every mount is shared, as systemd makes them (mount_namespaces(7)).
mount --make-rshared /
mount -t proc -o nosuid,nodev,noexec proc /proc
mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
mount -t devtmpfs -o nosuid,mode=755 devtmpfs /dev
mkdir -p /dev/pts /dev/shm /dev/mqueue
mount -t devpts -o nosuid,noexec,gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o nosuid,nodev,mode=1777 tmpfs /dev/shm
mount -t mqueue -o nosuid,nodev,noexec mqueue /dev/mqueue
mount -t tmpfs -o nosuid,nodev,mode=755 tmpfs /run
ln -s /proc/self/fd /dev/fd
ln -s fd/0 /dev/stdin
ln -s fd/1 /dev/stdout
ln -s fd/2 /dev/stderr
# Only a panic may be written between the lines of the tests.
echo 1 >/proc/sys/kernel/printk
hostname vm
chown user:user /home/user

for module in /modules/*; do
    insmod "$module"
done

# A /tmp as on a host's disk: on old kernels a tmpfs can do less (no xattrs of users before Linux
# 6.6, no idmapped mounts before 6.3).
truncate -s 1G /disk
mke2fs -F -b 4096 -i 8192 /disk >/dev/null
mount -t ext4 -o loop,nosuid,nodev /disk /tmp
chmod 1777 /tmp

# A network as a host has one: a way to the world, though there is none. (By its path, for otherwise
# this shell takes what is in busybox itself.)
ip=/usr/bin/ip
$ip link set lo up
$ip link add uplink type veth peer name world
$ip addr add 192.0.2.1/24 dev uplink
$ip link set uplink up
$ip link set world up
$ip route add default via 192.0.2.2

groups=/sys/fs/cgroup
case $(cat /proc/cmdline) in
    *cgroup_no_v1=all*)
        cgroups=v2
        mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$groups"
        # Processes live in the leaves only (cgroups(7), "no internal processes"), so all leave the
        # root, and then it may hand on its controllers.
        mkdir "$groups/init"
        echo 1 >"$groups/init/cgroup.procs"
        sed 's/^\| / +/g' "$groups/cgroup.controllers" >"$groups/cgroup.subtree_control"
        ;;
    *)
        cgroups=v1
        mount -t tmpfs -o nosuid,nodev,noexec,mode=755 tmpfs "$groups"
        for controller in memory cpu cpuacct pids freezer; do
            mkdir "$groups/$controller"
            mount -t cgroup -o "nosuid,nodev,noexec,$controller" "$controller" "$groups/$controller"
        done
        ;;
esac

# enter GROUP USER: this process goes into a new cgroup, which is the user's to arrange, as systemd
# delegates one. (In v1 systemd delegates none.)
enter() {
    [ "$cgroups" = v2 ] || return 0
    mkdir "$groups/$1" &&
        chown "$2" "$groups/$1" "$groups/$1/cgroup.procs" "$groups/$1/cgroup.threads" \
            "$groups/$1/cgroup.subtree_control" &&
        echo 0 >"$groups/$1/cgroup.procs" # 0 is the process that writes it
}

# leave GROUP: the cgroup must be empty within ten seconds: no process is left, and no cgroup below.
leave() {
    [ "$cgroups" = v2 ] || return 0
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        if rmdir "$groups/$1" 2>/dev/null; then
            return 0
        fi
        sleep 1
    done
    echo "left in the cgroup:"
    find "$groups/$1" -mindepth 1 -type d
    find "$groups/$1" -name cgroup.procs -exec cat {} + | while read -r pid; do
        /usr/bin/ps -o pid,args -p "$pid" || true # it may end now, after all
    done
    return 1
}

# try STEP USER COMMAND: runs the tests of a step, or the leak test.
try() {
    echo "vm: begin $1 $2"
    local status=0
    (
        enter tests "$2" && exec su -s /bin/sh "$2" -c "$3"
    ) </dev/null 2>&1 || status=$?
    leave tests || status=1
    echo "vm: end $1 $2 $status"
    [ "$status" -eq 0 ] || all=1
}

# leak USER: runs the leak test, as scripts/leaks.sh does, in a directory of the user's own. With
# LEAKS_HAND_OVER it leaves its record there, and here that is handed on to results.go.
leak() {
    local dir="/tmp/leaks-$1" record="$1-$cgroups.txt"
    cp -r /leaks/bin "$dir"
    chown -R "$1" "$dir"
    local command="NO_COLOR=1 LEAKS_HAND_OVER=yes $dir/leaks $dir /leaks $LEAKS"
    if [ "$LEAKS" = -record ]; then
        command="$command && echo vm: record $record && cat $dir/$record"
    fi
    try leaks "$1" "$command"
}

echo "vm: up $(uname -r)"
all=0
# LEAKS is on the kernel's command line: what the kernel doesn't know there becomes the environment
# of the first process (bootparam(7)).
if [ -n "${LEAKS-}" ]; then
    # A host that has just booted can't be told by its uptime, so leaktest asks for two minutes.
    until [ "$(cut -d. -f1 /proc/uptime)" -ge 120 ]; do
        echo "up for less than two minutes: waiting"
        sleep 10
    done
    leak root
    leak user
else
    for step in /steps/*; do
        step=${step##*/}
        for user in root user; do
            try "$step" "$user" \
                "cd /steps/$step && exec ./$step.test -test.v -test.short -test.timeout=2700s"
        done
    done
fi
echo "vm: exit $all"
poweroff -f
sleep 60 # until it is off
