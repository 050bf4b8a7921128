#!/bin/sh
# Says which steps run on this machine, and what to do about those that don't: -h says more. Plain
# POSIX sh, since it has to run where nothing is installed yet: dash, busybox, macOS, Git Bash.
set -u
export LC_ALL=C PATH="${PATH-/usr/local/bin:/usr/bin:/bin}"

usage() {
    cat <<'END'
usage: scripts/doctor.sh [-format json]

Looks at this machine and says for each step whether you can run it here:

    works                 go run ./NN-name
    works with sudo       go run -exec sudo ./NN-name
    works after: COMMAND  type COMMAND first, then run the step in the same shell
    won't here: REASON    use another machine

It needs neither Go nor root, changes nothing, and loads no kernel module: everything that it
tries happens in namespaces that are gone a moment later.

  -format json  print the same as JSON, for a program to read
  -h            this help

With DOCTOR_ROOT=DIR it looks at DIR/proc, DIR/sys, DIR/dev ... instead of this machine's.
Exit status: 0 if all eight steps run one way or another, 1 if one doesn't, 2 for wrong arguments
and if the output is lost.
END
}

# Output. Each line has a kind and two or three fields, with a control character in between. A path
# may contain such characters, too: line turns them into question marks.

lines='' status=0
line() { lines="$lines$(printf '%s\037%s\037%s\037%s' "$@" | tr '\001-\036\177' '?')
"; }
fact() { line fact "$1" "$2" ''; }
note() { line note "$1" '' ''; }

verdict() { # STEP VERDICT [COMMAND OR REASON]
    line step "$1" "$2" "${3-}"
    [ "$2" != "won't here" ] || status=1
}

finish() {
    if [ "$format" = json ]; then text=$(print_json); else text=$(print_text); fi
    printf '%s\n' "$text" || exit 2
    exit "$status"
}

print_text() {
    printf '%s' "$lines" | awk -F '\037' '
        $1 == "fact" { facts = facts sprintf("%-18s %s\n", $2, $3) }
        $1 == "note" { notes = notes $2 "\n" }
        $1 == "step" { steps = steps sprintf("%-18s %s%s\n", $2, $3, $4 == "" ? "" : ": " $4) }
        END { printf "%s\n%s%s", facts, (notes == "" ? "" : notes "\n"), steps }'
}

print_json() {
    printf '%s' "$lines" | tr '\200-\377' '?' | sed 's/\\/\\\\/g; s/"/\\"/g' | awk -F '\037' '
        function add(list, item) { return list (list == "" ? "" : ",") "\n    " item }
        $1 == "fact" { facts = add(facts, "\"" $2 "\": \"" $3 "\"") }
        $1 == "note" { notes = add(notes, "\"" $2 "\"") }
        $1 == "step" {
            text = ", \"" ($3 == "works after" ? "command" : "reason") "\": \"" $4 "\""
            if ($4 == "") text = ""
            steps = add(steps, "{\"step\": \"" $2 "\", \"verdict\": \"" $3 "\"" text "}")
        }
        END {
            printf "{\n  \"facts\": {%s\n  },\n  \"notes\": [%s\n  ],\n", facts, notes
            printf "  \"steps\": [%s\n  ]\n}\n", steps
        }'
}

# Questions about this machine.

has() { command -v "$1" >/dev/null 2>&1; }

content() { [ ! -r "$root$1" ] || cat "$root$1" 2>/dev/null; }

there() { [ -e "$root$1" ] || [ -L "$root$1" ]; }

# shellcheck disable=SC2012 # POSIX has no stat(1), and these names are the kernel's
owner() { ls -ldn "$root$1" 2>/dev/null | awk '{ print $3 }'; }

lists() { # FILE WORD...: whether FILE has all the words
    words=" $(content "$1" | tr '\n\t' '  ') "
    shift
    for word; do
        case $words in *" $word "*) ;; *) return 1 ;; esac
    done
}

in_sbin() { # PROGRAM: in PATH, or where a user's PATH may not lead: beside each bin is an sbin
    name=$1 old=$IFS IFS=:
    # shellcheck disable=SC2086 # split at the colons
    set -- $PATH
    IFS=$old
    for dir; do
        if [ -x "$dir/$name" ] || [ -x "${dir%bin}sbin/$name" ]; then return; fi
    done
    return 1
}

status_field() { # NAME NUMBER: of this process (proc_pid_status(5))
    content /proc/self/status | awk -v name="$1:" -v n="$2" '$1 == name { print $(n + 1) }'
}

can() { # WHO CAPABILITY: whether "me" has it, or "root" would by sudo (capabilities(7))
    case $1 in me) set=$effective ;; *) set=$bounding ;; esac
    case $2 in NET_ADMIN) n=12 ;; SYS_MODULE) n=16 ;; SYS_CHROOT) n=18 ;; SYS_ADMIN) n=21 ;; esac
    [ $(((0x${set:-0} >> n) & 1)) -eq 1 ]
}

tried() { # COMMAND...: yes or no, or nothing where it can't be tried
    has "$1" || return 0
    if PATH=$PATH:/usr/sbin:/sbin "$@" >/dev/null 2>&1 </dev/null; then echo yes; else echo no; fi
}

mount_options() { # DIR: those of the mount that it is on
    content /proc/self/mountinfo | awk -v dir="$1" '
        $5 != "/" && $5 != dir && index(dir, $5 "/") != 1 { next }
        length($5) >= longest { longest = length($5); options = $6 }
        END { print options }'
}

# whole TYPE EMPTY: whether there is a mount of TYPE that nothing covers. Only then does the kernel
# allow a new proc or sysfs in a user namespace. Directories that it keeps EMPTY may be covered.
whole() {
    content /proc/self/mountinfo | awk -v type="$1" -v empty=" $2 " '
        {
            for (i = 7; i < NF && $i != "-"; i++);
            if ($(i + 1) == type && $4 == "/" && (type == "sysfs" || $6 !~ /^ro/)) good[$1] = $5
            parent[NR] = $2
            point[NR] = $5
        }
        END {
            for (n in parent)
                if (parent[n] in good) {
                    place = substr(point[n], length(good[parent[n]]) + 2)
                    if (!index(empty, " " place " ")) delete good[parent[n]]
                }
            for (id in good) exit 0
            exit 1
        }'
}

# find_hierarchy CONTROLLER: sets top, where that cgroup hierarchy is mounted, own, which cgroup in
# it is ours, and mode, ro or rw. "" is cgroup v2 (cgroups(7), proc_pid_mountinfo(5)).
find_hierarchy() {
    found=$(awk -v want="$1" '
        NR == FNR {
            split($0, field, ":")
            path = substr($0, length(field[1] field[2]) + 3)
            if (want == field[2] || want && index("," field[2] ",", "," want ",")) own = path
            next
        }
        own != "" {
            for (i = 7; i < NF && $i != "-"; i++);
            if (want == "" && $(i + 1) != "cgroup2") next
            if (want && ($(i + 1) != "cgroup" || !index("," $(i + 3) ",", "," want ","))) next
            base = $4 == "/" ? "" : $4
            if (own ~ /^\/\.\./ || index(own "/", base "/") != 1) next
            own = substr(own, length(base) + 1)
            sub(/\/$/, "", own)
            print $5 "|" $5 own "|" ($6 ~ /^ro/ || $(i + 3) ~ /^ro/ ? "ro" : "rw")
            exit
        }' "$root/proc/self/cgroup" "$root/proc/self/mountinfo" 2>/dev/null)
    top=${found%%"|"*} mode=${found##*"|"} own=${found#*"|"} # mksh knows | as "or" in patterns
    own=${own%"|"*}
    [ -n "$found" ]
}

one_hierarchy() { # whether the controllers are those of cgroup v2; some may be missing
    find_hierarchy '' && file=$top/cgroup.controllers &&
        { lists "$file" memory || lists "$file" pids || lists "$file" cpu; }
}

# What keeps a step from running. Each reason goes to why, and the command that helps to fix; where
# one has no command, hopeless is set.

blame() { # REASON [COMMAND]
    case "; $why; " in *"; $1; "*) return ;; esac
    why="$why${why:+; }$1"
    if [ -n "${2-}" ]; then fix="$fix${fix:+ && }$2"; else hopeless=yes; fi
}

blame_root() { # REASON COMMAND, which takes root
    if [ "$uid" -eq 0 ]; then
        blame "$1" "$2"
    elif [ -n "$sudo" ] && [ -z "$container" ]; then
        needs_sudo=yes
        blame "$1" "sudo $2"
    else
        blame "$1 (root can change that: $2)"
    fi
}

blame_policy() { # WHAT: is refused, for no reason that this script knows
    if [ -n "$container" ]; then
        blame "this container may not $1"
    else
        blame "this user may not $1${chroot:+ (is this a chroot?)}"
    fi
}

forbidden() { # SETTING VALUE BETTER: whether the setting has this value
    file=/proc/sys/${1%.*}/${1#*.}
    [ "$(content "$file")" = "$2" ] || return 1
    change="sysctl -w $1=$3"
    in_sbin sysctl || change="sh -c 'echo $3 >$file'"
    if [ "$uid" -ne 0 ] || [ -w "$root$file" ]; then
        blame_root "$1 is $2" "$change"
    else
        blame "$1 is $2, and can't be changed from here"
    fi
}

need_namespace() { # KIND
    there "/proc/self/ns/$1" || blame "this kernel has no $1 namespaces"
    ! forbidden "user.max_$1_namespaces" 0 15000
}

need_user_namespace() { # WHO
    need_namespace user || return
    if ! can "$1" SYS_ADMIN; then
        # Ubuntu's comes before trying: unshare(1) has an AppArmor profile of its own there.
        ! forbidden kernel.apparmor_restrict_unprivileged_userns 1 0 || return
        ! forbidden kernel.unprivileged_userns_clone 0 1 || return
    fi
    if [ "$tried_user" = no ] && [ "$1$container$chroot" != root ]; then
        blame_policy 'make a user namespace'
    fi
}

need_root_directory() { # WHO STEP
    need_namespace mnt
    [ -z "$chroot" ] || [ -n "$why" ] || blame_policy 'replace the root directory'
    [ -d "$root/tmp" ] || blame_root 'there is no directory /tmp' 'mkdir -m 1777 /tmp'
    [ "$2" -ne 3 ] || [ -d "$root/var/tmp" ] ||
        blame_root 'there is no directory /var/tmp' 'mkdir -p -m 1777 /var/tmp'
    for device in null zero full random urandom tty; do
        there "/dev/$device" || blame "there is no /dev/$device"
    done
    [ "$2" -ge 5 ] || ! can "$1" SYS_ADMIN || can "$1" SYS_CHROOT || # they look what is above /
        blame "root needs CAP_SYS_CHROOT here"
    attempt=$tried_root
    if [ "$2" -ge 5 ] || ! can "$1" SYS_ADMIN; then attempt=$tried_user_root; fi
    if [ "$2" -ge 5 ] || [ -z "$initial" ] || ! can "$1" SYS_ADMIN; then
        whole proc 'sys/fs/binfmt_misc fs/nfsd' || blame "$covered"
    fi
    [ "$1$attempt" != meno ] || [ -n "$why" ] || blame_policy 'make a root directory with a /proc'
}
covered='part of /proc is covered or read-only'

need_names_and_queues() { # WHO
    need_namespace uts
    need_namespace ipc
    lists /proc/filesystems mqueue || blame 'this kernel has no POSIX message queues'
    [ "$1$tried_hostname" != meno ] || [ -n "$why" ] || blame_policy 'set a hostname'
}

need_network() { # WHO STEP
    need_namespace net
    # The lessons of 06 and 08 connect to it. A user's have a network namespace that plays the host,
    # and so have those of root that has no power over its network.
    if [ "$2" -ne 7 ] && can "$1" NET_ADMIN && [ "$1$tried_network" != meno ] &&
        there /proc/net/fib_trie &&
        ! content /proc/net/fib_trie | grep -q '127\.0\.0\.1'; then
        blame_root 'the loopback is down' 'ip link set lo up'
    fi
    case $(mount_options /proc/sys/net) in ro*) blame "$covered" ;; esac
    case $veth in
        no) blame 'this kernel has no virtual network cables (veth)' ;;
        gone) blame 'the modules of the running kernel are gone, as after an update: reboot' ;;
    esac
}

need_limits() { # WHO
    need_namespace cgroup
    if [ "$1$uid" = me0 ] && ! { can me SYS_ADMIN && can me NET_ADMIN; }; then
        blame 'root needs CAP_SYS_ADMIN and CAP_NET_ADMIN for limits'
    elif ! content /proc/self/mountinfo | grep -q ' - cgroup' && [ -z "$container" ] &&
        lists /proc/filesystems cgroup2; then
        blame_root 'no cgroup hierarchy is mounted' 'mount -t cgroup2 cgroup2 /sys/fs/cgroup'
        case $1$uid in root* | me0) ;; *) blame "$only_root" ;; esac
    elif one_hierarchy; then
        case $kernel in [1-4].* | 5.[0-6].*) blame 'cgroup v2 takes Linux 5.7 (clone3)' ;; esac
        for controller in memory pids cpu; do
            lists "$file" "$controller" || blame_controller "$controller"
        done
        lists "$file" memory pids cpu || return
        need_writable "$1"
        [ "$1" = root ] || [ "$(owner "$top")" = "$uid" ] || delegated || systemd_delegates ||
            blame "$only_root"
    else
        for controller in memory pids cpu; do
            find_hierarchy "$controller" || { blame_controller "$controller" && continue; }
            need_writable "$1"
            case $1$uid$initial in root* | me0yes) continue ;; esac
            [ "$(owner "$own")" = "$uid" ] || blame "$only_root"
        done
    fi
}

blame_controller() { # NAME
    case $(content /proc/cmdline) in
        *"cgroup_disable=$1"*) blame "the kernel's command line has cgroup_disable=$1 (on a \
Raspberry Pi, add cgroup_enable=$1 to cmdline.txt, and reboot)" ;;
        *) blame "no cgroup hierarchy has $1" ;;
    esac
}
only_root='only root may make a cgroup here, or a user to whom root has delegated one'

need_writable() { # WHO
    if [ "$mode" = rw ]; then
        return
    elif can "$1" SYS_ADMIN; then
        blame_root "$top is read-only" "mount -o remount,bind,rw $top"
    else
        blame '/sys/fs/cgroup is read-only'
    fi
}

delegated() { # whether the cgroup that we are in is this user's to divide (cgroup v2)
    own=${own%/outside}
    case ${own##*/} in run-*) ;; *) [ "$(owner "${own%/*}")" != "$uid" ] || return ;; esac
    [ "$(owner "$own")" = "$uid" ] && lists "$own/cgroup.controllers" memory pids
}

systemd_delegates() { # 07 and 08 ask it
    service=$top/user.slice/user-$uid.slice/user@$uid.service
    has systemd-run && there "${XDG_RUNTIME_DIR:-/none}/systemd/private" &&
        lists "$service/cgroup.controllers" memory pids
}

need_walls() { # WHO
    if ! whole sysfs "fs/bpf fs/cgroup fs/fuse/connections fs/pstore fs/resctrl fs/selinux \
fs/smackfs firmware/efi/efivars kernel/config kernel/debug kernel/security kernel/tracing"; then
        blame 'part of /sys is covered'
    elif [ "$1$tried_sys" = meno ] && [ -z "$why" ]; then
        blame_policy 'mount a /sys'
    fi
    case $arch in amd64 | arm64 | riscv64) ;; *) blame "08 has no filter for $arch" ;; esac
    [ -n "$(status_field Seccomp 1)" ] || blame 'this kernel has no seccomp'
    ! there /proc/self/ns/time || need_namespace time
}

# judge NUMBER WHO: what step NUMBER lacks if I run it, or if root does. Each step needs what those
# before it need. From 05 on root needs a user namespace, too.
judge() {
    why='' fix='' hopeless='' needs_sudo=''
    if [ "$1" -gt 1 ]; then
        need_kernel "$1" "$2"
    elif ! can "$2" SYS_CHROOT; then
        need_user_namespace "$2"
    fi
    why=$go_why${go_why:+${why:+; }}$why
    fix=$go_fix${go_fix:+${fix:+ && }}$fix
    hopeless=$hopeless$go_hopeless
}

need_kernel() { # NUMBER WHO
    if [ "$1" -ge 5 ] || ! can "$2" SYS_ADMIN; then need_user_namespace "$2"; fi
    need_namespace pid
    [ "$2$tried_pid" != meno ] || [ -n "$why" ] || blame_policy 'make a PID namespace'
    [ "$1" -lt 3 ] || need_root_directory "$2" "$1"
    [ "$1" -lt 4 ] || need_names_and_queues "$2"
    [ "$1" -lt 6 ] || need_network "$2" "$1"
    [ "$1" -lt 7 ] || need_limits "$2"
    [ "$1" -lt 8 ] || need_walls "$2"
    # Root's containers have another user. What Go has built, it keeps, with its permissions.
    case $1$2$uid$(umask) in
        [5-8]root*[1357] | [5-8]me0*[1357])
            blame "umask $(umask) makes programs that only their owner can execute" \
                'umask 022 && go clean -cache'
            ;;
    esac
}

decide() { # NUMBER STEP: what asks least of the reader
    judge "$1" me
    my_why=$why my_fix=$fix my_hopeless=$hopeless my_sudo=$needs_sudo
    hopeless=yes
    if [ -z "$why" ]; then
        verdict "$2" works && return
    elif [ -z "$my_hopeless$my_sudo" ]; then
        verdict "$2" 'works after' "$my_fix" && return
    elif [ -n "$sudo" ]; then
        judge "$1" root
    fi
    if [ -z "$why" ]; then
        verdict "$2" 'works with sudo'
    elif [ -z "$my_hopeless" ]; then
        verdict "$2" 'works after' "$my_fix"
    elif [ -z "$hopeless" ]; then
        verdict "$2" 'works after' "$fix # and with sudo"
    else
        flags=' (a container: start it as .devcontainer does)'
        verdict "$2" "won't here" "$my_why${container:+$flags}"
    fi
}

# What this machine has.

look_at_system() {
    kernel=$(content /proc/sys/kernel/osrelease)
    machine=$(uname -m)
    uid=$(status_field Uid 2) # the effective one
    uid=${uid:-$(id -u)}
    effective=$(status_field CapEff 1 | cut -c 9-)
    bounding=$(status_field CapBnd 1 | cut -c 9-)
    initial='' container=${container:+yes} chroot='' sudo=''
    [ "$(content /proc/self/uid_map | tr -s ' ')" != ' 0 0 4294967295' ] || initial=yes
    for file in /.dockerenv /run/.containerenv /run/systemd/container; do
        ! there "$file" || container=yes
    done
    # A virtual machine made from an image has such a file as well, but nothing is forbidden there.
    if [ "$(status_field Seccomp 1)" != 2 ] && can root SYS_MODULE; then container=''; fi
    points=" $(content /proc/self/mountinfo | awk '{ print $5 }' | tr '\n' ' ')"
    case $points in *' /proc/kcore '* | *' /proc/keys '* | *' /proc/sys '*) container=yes ;; esac
    case $points in *' / '*) ;; *) chroot=yes ;; esac
    if has sudo && [ "$uid" -ne 0 ] && [ "$(status_field NoNewPrivs 1)" != 1 ]; then sudo=yes; fi
    fact kernel "Linux $kernel, $machine"
    fact user "uid $uid${container:+, in a container}${chroot:+, in a chroot}"
    case $kernel in
        [1-4].* | 5.[0-9].*) note 'The steps are tested on Linux 5.10 and newer.' ;;
    esac
}

look_at_namespaces() { # by trying what the steps do; the hostname is set to what it is already
    new_root="mount -t proc proc /proc && mount -t tmpfs tmpfs /tmp && cd /tmp &&
        { ! command -v pivot_root || pivot_root . .; }"
    tried_user=$(tried unshare -U -r -m true)
    tried_user_root=$(tried unshare -U -r -m -p -f sh -c "$new_root")
    tried_sys=$(tried unshare -U -r -m -n mount -t sysfs -o ro sysfs /sys)
    tried_pid='' tried_root='' tried_hostname='' tried_network=''
    hostname=$(! has hostname || uname -n)
    case $hostname in -* | *[!a-zA-Z0-9.-]*) hostname='' ;; esac # hostname(1) refuses it
    if can me SYS_ADMIN; then
        tried_pid=$(tried unshare -p -f true)
        tried_root=$(tried unshare -m -p -f sh -c "$new_root")
        [ -z "$hostname" ] || tried_hostname=$(tried unshare -u hostname "$hostname")
        # Root of a user namespace may have power over another network than that which it is in.
        ! can me NET_ADMIN || tried_network=$(tried nsenter -n/proc/self/ns/net true)
    elif [ -n "$hostname" ]; then
        tried_hostname=$(tried unshare -U -r -u hostname "$hostname")
    fi
    why='' fix='' hopeless=''
    need_user_namespace me
    fact 'user namespaces' "${why:-yes}"
    # The kernel makes none in a chroot, and doesn't say that this is why (clone(2), EPERM).
    case $why in 'this user may'*)
        # Nothing else forbids it to the host's root.
        if [ "$uid$initial$container" = 0yes ] && can me SYS_ADMIN; then chroot=yes; fi
        root_of_init || chroot=yes
        ;;
    esac
    if there /proc/self/ns/time; then fact 'time namespaces' yes; else fact 'time namespaces' no; fi
    fact /proc "$(mount_options /proc)"
    below=$(echo "$points" | tr ' ' '\n' | grep '^/usr/' | tr '\n' ' ')
    [ -z "$below" ] || fact 'mounted below /usr' "$below"
}

# shellcheck disable=SC2012
root_of_init() { # whether our / is process 1's, as far as this user may know
    [ -d "$root/proc/1/root/" ] && ls -Ldi "$root/" "$root/proc/1/root/" |
        awk '{ inode[NR] = $1 } END { exit inode[1] != inode[2] }'
}

look_at_cgroups() {
    if one_hierarchy; then
        scope=''
        if systemd_delegates; then
            scope='; systemd delegates cgroups to you'
            [ "$uid" -eq 0 ] || lists "$service/cgroup.controllers" cpu ||
                note "systemd before version 252 delegates no cpu. So a container that you start \
as an ordinary user has no CPU limit (07 and 08)."
        fi
        fact cgroups "v2; in yours: $(content "$own/cgroup.controllers")$scope"
    else
        mounted=''
        for controller in memory pids cpu; do
            ! find_hierarchy "$controller" || mounted="$mounted $controller"
        done
        fact cgroups "${mounted:+v1:}${mounted:-none}"
    fi
}

look_at_network() {
    veth=yes modules=$root/lib/modules
    if ! there /sys/module/veth && ! content /proc/kallsyms | grep -q ' veth_' &&
        ! grep -qs '/veth\.ko' "$modules/$kernel/modules.dep" "$modules/$kernel/modules.builtin" &&
        [ -z "$container" ] && [ -d "$modules" ]; then
        if [ -d "$modules/$kernel" ]; then veth=no; else veth=gone; fi
    fi
    if in_sbin nft; then
        fact nft yes
    else
        fact nft no
        note "Without nft, a container can't connect beyond this machine (06 to 08): \
install nftables."
    fi
    if ! has pasta; then
        pasta="no, and root doesn't need it"
        if [ "$uid" -ne 0 ]; then
            pasta=no
            note "Without pasta, a container that you start as an ordinary \
user can't connect beyond this machine (06 to 08): install passt."
        fi
    elif [ -r "$root/dev/net/tun" ] && [ -w "$root/dev/net/tun" ]; then
        pasta=yes
    else
        pasta="yes, but you aren't allowed to open /dev/net/tun"
    fi
    fact pasta "$pasta"
}

look_at_ids_and_overlay() {
    name=$(id -un 2>/dev/null) || name=$uid # a user without an account has no name
    ranges=$(content /etc/subuid | grep -cE "^($uid|$name):")
    has newuidmap || ranges="$ranges, but no newuidmap (package uidmap)"
    fact 'subuid ranges' "$ranges"
    overlay=no
    ! grep -qs '/overlay\.ko' "$root/lib/modules/$kernel/modules.dep" || overlay='not loaded yet'
    ! lists /proc/filesystems overlay || overlay=yes
    case $kernel in
        [1-4].* | 5.[0-9].* | 5.10.*) overlay="$overlay, but not for users (Linux 5.11)" ;;
    esac
    fact overlayfs "$overlay"
}

go_run() { # without a home Go keeps no count of its use, and this way it fetches no other Go
    file=${GOENV-${XDG_CONFIG_HOME-${HOME-}/.config}/go/env}
    (
        cd /
        [ "${2-}" = GOTOOLCHAIN ] || export GOTOOLCHAIN=local
        HOME='' XDG_CONFIG_HOME='' GOENV=$file go "$@" 2>/dev/null
    )
}

look_at_go() { # blames what keeps go run from working, whatever it runs
    why='' fix='' hopeless=''
    look_at_directories
    wanted=$(awk '$1 == "go" { print $2 }' "$repo/go.mod" | tr -d '\r')
    version=$(go_run version | awk '{ print $3 }')
    minor=$(echo "${version#go1.}" | sed 's/[^0-9].*//')
    arch=$(go_run env GOARCH)
    [ -n "$arch" ] || case $machine in
        x86_64) arch=amd64 ;;
        aarch64) arch=arm64 ;;
        i?86) arch=386 ;;
        arm*) arch=arm ;;
        *) arch=$machine ;;
    esac
    online=no
    if { content /proc/net/route && content /proc/net/ipv6_route; } | awk '
        $2 == "00000000" || $1 ~ /^0+$/ && $2 == "00" && $NF != "lo" { n = 1 }
        END { exit !n }' || [ -n "${https_proxy-}${HTTPS_PROXY-}" ]; then online=yes; fi
    case $(go_run env GOPROXY) in off) online=no ;; file:*) online=yes ;; esac
    cache=$(go_run env GOMODCACHE)
    gopath=${GOPATH:-${HOME:+$HOME/go}}
    cache=${cache:-${gopath:+$gopath/pkg/mod}}
    fetched=yes
    while read -r module release _; do
        case $release in v[0-9]*) [ -d "$root$cache/$module@$release" ] || fetched=no ;; esac
    done <"$repo/go.mod"
    [ ! -d "$repo/vendor" ] || fetched=yes
    fact go "${version:-not in PATH}"
    fact modules "fetched: $fetched; network: $online"
    if [ "$fetched$online" = nono ]; then
        blame 'the modules are not fetched, and there is no network'
    elif [ "$fetched" = no ]; then
        need_cache GOMODCACHE "$cache"
    fi
    if [ -z "$version" ] || [ "${minor:-99}" -lt 21 ]; then
        need_another_go
    elif [ "${minor:-99}" -lt "$(echo "$wanted" | cut -d . -f 2)" ] &&
        [ ! -d "$root$cache/golang.org/toolchain@v0.0.1-go$wanted.linux-$arch" ]; then
        # From 1.21 on, Go fetches the one that go.mod asks for.
        case $online$(go_run env GOTOOLCHAIN) in
            no*) blame "$version would fetch Go $wanted, and there is no network" ;;
            yes | *auto) ;;
            *) blame "$version may not fetch Go $wanted" 'export GOTOOLCHAIN=auto' ;;
        esac
    fi
    go_why=$why go_fix=$fix go_hopeless=$hopeless
}

need_another_go() {
    for place in /usr/local/go "${HOME-}/.local/go"; do
        if [ -z "$version" ] && [ -x "$root$place/bin/go" ]; then
            blame 'go is not in PATH' "export PATH=\"\$PATH:$place/bin\"" && return
        fi
    done
    no_go="there is no Go ${wanted%.*}"
    if has curl; then get='curl -L'; else get='wget -O-'; fi
    has "${get% *}" || no_go="$no_go, and neither curl nor wget to fetch it with"
    case $online$no_go in no* | *wget*) blame "$no_go" && return ;; esac
    blame "$no_go" "mkdir -p ~/.local && $get \
https://go.dev/dl/go$wanted.linux-$arch$([ "$arch" != arm ] || echo v6l).tar.gz | \
tar -C ~/.local -xz && export PATH=\"\$HOME/.local/go/bin:\$PATH\""
}

usable() { # DIR: whether Go can make programs in it, and run them
    at=$1 obstacle="Go can't write to $1"
    case $at in /*) ;; *) at='' obstacle='HOME is not set' && return 1 ;; esac # or is relative
    # Go makes the directories that aren't there.
    while [ -n "$at" ] && [ ! -e "$root$at" ]; do at=${at%/*}; done
    at=$(cd "$root$at/" 2>/dev/null && pwd -P) && [ -w "$at" ] || return
    at=${at#"$root"}
    obstacle="${at:-/} is mounted noexec"
    case ,$(mount_options "$at"), in *,noexec,*) return 1 ;; esac
}

need_cache() { # VARIABLE DIR
    usable "$2" || case $2 in
        /*) blame "$obstacle" "export $1=\"\$(mktemp -d)\"" ;;
        *) blame "$obstacle" "export HOME=\"\$(mktemp -d)\"" ;;
    esac
}

# go run makes programs in its cache and in TMPDIR, and starts them there; 01 makes its jail there.
look_at_directories() {
    [ -z "${GOTMPDIR-}" ] || usable "$GOTMPDIR" || blame "$obstacle" 'unset GOTMPDIR'
    tmp=${TMPDIR:-/tmp}
    if [ ! -d "$root$tmp/" ] || ! usable "$tmp"; then
        [ -d "$root$tmp/" ] || obstacle="there is no directory $tmp"
        tmp_why=$obstacle
        if [ -n "${TMPDIR-}" ] && [ -d "$root/tmp" ] && usable /tmp; then
            blame "$tmp_why" 'unset TMPDIR'
        elif usable "${HOME-}/tmp"; then
            blame "$tmp_why" "mkdir -p ~/tmp && export TMPDIR=~/tmp"
        else
            blame "$tmp_why"
        fi
    fi
    cache=$(go_run env GOCACHE)
    case $cache in '' | off) cache=${GOCACHE:-${XDG_CACHE_HOME:-${HOME:+$HOME/.cache}}} ;; esac
    need_cache GOCACHE "$cache"
    free=$(df -Pk "$root$at/" 2>/dev/null | awk 'END { print int($4 / 1024) }')
    fact 'disk space' "${free:-?} MB free in ${at:-/}"
    [ "${free:-999}" -ge 500 ] || note 'Building all steps takes about 200 MB, a newer Go 250 more.'
    case $kernel$repo in
        *microsoft*/mnt/[a-z]/*) note 'This clone is on a Windows disk: clone it below ~.' ;;
    esac
    ! grep -q "$(printf '\r')" "$repo/go.mod" ||
        note 'This clone has CRLF line endings, so scripts fail: clone it again, inside Linux.'
}

elsewhere() { # SYSTEM VERDICT COMMAND
    fact system "$1"
    for step in "$repo"/[0-9][0-9]-*; do verdict "${step##*/}" "$2" "$3"; done
    finish
}

case ${*-} in
    '') format=text ;;
    '-format json') format=json ;;
    -h) usage && exit ;;
    *) usage >&2 && exit 2 ;;
esac
true 3>&1 || exit 2 # where standard output is closed, pipes would take its place
root=${DOCTOR_ROOT-}
repo=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
if [ ! -f "$repo/go.mod" ]; then
    echo "doctor.sh: there are no steps in $repo: run it as scripts/doctor.sh in a clone" >&2
    exit 2
fi
system=$(uname -s)
case $system in
    Linux)
        there /proc/self/status || elsewhere Linux "won't here" \
            'nothing is mounted on /proc: as root, mount -t proc proc /proc, and ask again'
        case $(content /proc/sys/kernel/osrelease) in
            *Microsoft)
                elsewhere 'WSL 1' 'works after' "wsl.exe --set-version \"\$WSL_DISTRO_NAME\" 2"
                ;;
        esac
        ;;
    Darwin) elsewhere macOS 'works after' \
        'brew install lima && limactl start .lima/steps.yaml && limactl shell steps' ;;
    CYGWIN* | MINGW* | MSYS* | Windows*) elsewhere Windows 'works after' 'wsl --install' ;;
    *)
        elsewhere "$system" "won't here" "$system has no namespaces; a Linux virtual machine has"
        ;;
esac
look_at_system
look_at_namespaces
look_at_cgroups
look_at_network
look_at_ids_and_overlay
look_at_go
for step in "$repo"/[0-9][0-9]-*; do
    number=${step##*/}
    number=${number%%-*}
    decide "${number#0}" "${step##*/}"
done
finish
