#!/usr/bin/env bash
# What a user does with the steps after logging in at a laptop; systemd.sh puts it into one. Each
# line says what was tried and how it went, and the last one whether all went well.
set -uo pipefail
if [ "$(hostname)" != laptop ] || [ ! -d /opt/steps ]; then # it changes the machine, and turns it off
    echo "guest.sh: this runs only in the virtual machine that systemd.sh makes" >&2
    exit 2
fi
export PATH=$PATH:/usr/sbin:/sbin NO_COLOR=1

all=0

# try STATUS COMMAND...: runs a command, which must exit with that status.
try() {
    local want=$1 status=0 output
    shift
    output=$("$@" 2>&1) || status=$?
    if [ "$status" -eq "$want" ]; then
        echo "laptop: ok: $*"
    else
        all=1
        echo "laptop: FAILED, with $status and not $want: $*"
        tail -n 40 <<<"$output" | sed 's/^/    /'
    fi
}

# The ways to start something: as it is, where systemd can't be asked, as root, and in a cgroup that
# is delegated already.
plain() { "$@"; }
alone() { env -u XDG_RUNTIME_DIR "$@"; }
root() { sudo "$@"; }
delegated() { systemd-run --quiet --user --scope --property Delegate=yes "$@"; }

# state is all that a step might leave behind.
state() {
    findmnt --list --noheadings --output TARGET,FSTYPE,PROPAGATION
    ip -o link | cut -d : -f 2
    sudo nft list ruleset
    sudo find /sys/fs/cgroup -type d -name '0[78]-*'
    cat /proc/sys/net/ipv4/conf/*/forwarding
    ls -A /tmp
}

sudo dmesg --console-off
echo "laptop: $(uname -r), $(systemctl --version | head -n 1), $(sudo --version | head -n 1)"
echo "laptop: / is $(findmnt --noheadings --output PROPAGATION /); the limit for cores is" \
    "$(ulimit -Hc), with sudo $(sudo sh -c 'ulimit -Hc')"
mkdir -p ~/volume/below ~/other ~/root/bin
cp /bin/busybox ~/root/bin/
# What sudo, systemd and the network do once, they have done then.
delegated true
for _ in 1 2 3 4 5; do
    ! timeout 5 busybox nc 10.0.2.100 80 </dev/null | grep -q hello || break
    sleep 1
done
before=$(state)

for step in /opt/steps/*; do
    case $step in
        */07-* | */08-*)
            # Without systemd, an ordinary user has no cgroup to divide here.
            try 0 alone "$step"
            try 125 alone "$step" sh -c 'exit 7'
            ways="plain delegated root"
            ;;
        *) ways="plain root" ;;
    esac
    for way in $ways; do
        try 0 "$way" "$step"
        try 7 "$way" "$step" sh -c 'exit 7'
    done
done

# A cgroup such as systemd before version 252 delegates: without the controller cpu.
old() { systemd-run --quiet --user --scope --property "Delegate=memory pids" "$@"; }
says_no_limit() { old "$@" 2>&1 | grep 'there is no CPU limit: .* has no controller cpu'; }
try 0 old /opt/steps/07-cgroups
for step in /opt/steps/07-* /opt/steps/08-*; do
    try 0 says_no_limit "$step" true
    try 7 old "$step" sh -c 'exit 7'
done
try 125 old /opt/steps/08-full-container -cpus 0.5 true

# What doctor.sh says of this laptop, with systemd and without.
verdicts() { # NUMBER VERDICT WAY: whether so many steps have that verdict
    local said
    said=$("$3" sh /opt/repo/scripts/doctor.sh)
    echo "$said"
    [ "$(grep -cE "^0[1-8]-[a-z0-9-]+ +$2\$" <<<"$said")" -eq "$1" ]
}
try 0 verdicts 8 works plain
try 0 verdicts 8 works root
try 0 verdicts 8 works delegated
try 0 verdicts 6 works alone
try 0 verdicts 2 'works with sudo' alone

# The judge of the exercises, in its PID namespace: the step can't move the judge aside.
exercise() { BUILT=07-cgroups /opt/exercise /opt/repo ~/exercise "$@"; }
mkdir ~/exercise
try 0 exercise start 07-3

# The world: through NAT, and as an ordinary user through pasta.
for way in root plain; do
    try 0 "$way" /opt/steps/06-network sh -c 'timeout 20 busybox nc 10.0.2.100 80 | grep hello'
done
# More than once, as udev may come between.
for _ in 1 2 3 4 5; do
    try 0 root /opt/steps/06-network
done
# One volume mounted in another, on the root of the steps and on one of its own.
for way in root plain; do
    for flags in "" "-root=$HOME/root"; do
        try 0 "$way" /opt/steps/08-full-container ${flags:+"$flags"} \
            -volume "$HOME/volume:/v" -volume "$HOME/other:/v/below" \
            busybox touch /v/file /v/below/file
        try 0 ls "$HOME/volume/file" "$HOME/other/file"
        sudo rm -f "$HOME/volume/file" "$HOME/other/file"
    done
done

# A host without systemd, where the top cgroup hands no controllers on: for a container of root's it
# does, and no longer than that runs.
undivided() {
    # shellcheck disable=SC2016
    sudo sh -ec 'mkdir -p /sys/fs/cgroup/top/leaf; echo 0 >/sys/fs/cgroup/top/cgroup.procs
        exec unshare --mount --cgroup sh -ec "
            umount -l /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup
            echo 0 >/sys/fs/cgroup/leaf/cgroup.procs
            $*
            test -z \"\$(cat /sys/fs/cgroup/cgroup.subtree_control)\""' sh "$@"
}
try 0 undivided /opt/steps/07-cgroups grep :/ /proc/self/cgroup
sudo rmdir /sys/fs/cgroup/top/leaf /sys/fs/cgroup/top

after=$(state)
if [ "$before" != "$after" ]; then
    all=1
    echo "laptop: FAILED: something is left behind:"
    diff <(echo "$before") <(echo "$after") | sed 's/^/    /'
fi
echo "laptop: exit $all"
sudo poweroff
