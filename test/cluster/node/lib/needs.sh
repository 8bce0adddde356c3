# shellcheck shell=bash disable=SC2154 # the settings are the main script's
# What the machine must have: the commands `possible` and `install`, and the checks of other commands.

# A command, and Debian's package that has it.
declare -A to_build=([gcc]=gcc [buildah]=buildah [debootstrap]=debootstrap [npm]=npm [tar]=tar [unshare]=util-linux)
declare -A to_run=([containerd]=containerd [ctr]=containerd [runc]=runc [nft]=nftables [ip]=iproute2 [openssl]=openssl
  [curl]=curl [mount]=mount [unshare]=util-linux [nsenter]=util-linux)

cni_plugins() { # prints their folder; fails if there is none
  local folder
  for folder in "${CLUSTER_CNI_BIN:-}" /usr/lib/cni /opt/cni/bin /usr/libexec/cni; do
    if [[ -n $folder && -x $folder/bridge && -x $folder/host-local && -x $folder/loopback ]]; then
      echo "$folder"
      return
    fi
  done
  return 1
}

lacking_to_build() { # prints packages
  local program
  for program in "${!to_build[@]}"; do has "$program" || echo "${to_build[$program]}"; done
  # The C library for static linking.
  [[ $(gcc -print-file-name=libc.a 2>/dev/null) == /* ]] || echo libc6-dev
  # If Go is missing, it is installed from PyPI.
  go_is_new || python3 -c 'import venv, ensurepip' 2>/dev/null || echo python3-venv
}

lacking_to_run() { # prints packages
  local program
  for program in "${!to_run[@]}"; do has "$program" || echo "${to_run[$program]}"; done
  cni_plugins >/dev/null || echo containernetworking-plugins
}

lacking() { { lacking_to_build && lacking_to_run; } | sort -u; }

need_packages() { # build|run
  local lacking
  mapfile -t lacking < <("lacking_to_$1" | sort -u)
  ((${#lacking[@]} == 0)) ||
    die "not installed: ${lacking[*]} (Debian's names). 'cluster install' installs them by apt-get"
}

cmd_install() {
  local lacking
  mapfile -t lacking < <(lacking)
  if ((${#lacking[@]} == 0)); then
    say 'everything is installed'
    return
  fi
  has apt-get || die "not installed: ${lacking[*]} (Debian's names; this machine has no apt-get)"
  ((EUID == 0)) || die "not installed: ${lacking[*]}. As root: apt-get install --no-install-recommends ${lacking[*]}"
  say "apt-get install --no-install-recommends ${lacking[*]}"
  apt_install "${lacking[@]}"
}

apt_install() { # PACKAGE...: installs them without starting their daemons, since the node has its own containerd
  local policy=/usr/sbin/policy-rc.d made='' log failed=''
  log=$(mktemp)
  if [[ ! -e $policy ]]; then
    made=yes
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
  fi
  export DEBIAN_FRONTEND=noninteractive
  { apt-get -q update && apt-get -qy --no-install-recommends -o DPkg::Lock::Timeout=300 install "$@"; } \
    </dev/null >"$log" 2>&1 || failed=yes
  [[ -z $made ]] || rm -f "$policy"
  if [[ -n $failed ]]; then tail -n 20 "$log" >&2; fi
  rm -f "$log"
  [[ -z $failed ]] || die 'apt-get failed'
}

cmd_possible() {
  local why
  if why=$(obstacle); then
    printf '%s\n' "$why"
    exit 3
  fi
}

# It tries what is cheap to try: the rights in a kernel, or in a container around this process, can hardly be read.
obstacle() { # prints what is missing; fails if nothing is
  local lacking
  if ((EUID != 0)); then
    echo 'it needs root'
  elif mapfile -t lacking < <(lacking) && ((${#lacking[@]})) && ! has apt-get; then
    echo "not installed, and this machine has no apt-get: ${lacking[*]}"
  elif ! in_new_namespaces --mount-proc true; then
    echo 'it needs the right to create namespaces for mounts, processes and network'
  elif ! overlay_works; then
    echo "it needs overlayfs on ${STATE%/*}"
  elif ! nftables_work; then
    echo 'it needs nf_tables'
  elif has ip && ! in_new_namespaces ip link add name veth-a type veth peer name veth-b; then
    echo 'it needs the right to create veth interfaces'
  elif ! cgroups_writable; then
    echo 'it needs cgroups that it can write to'
  else
    return 1
  fi
}

in_new_namespaces() { unshare --mount --net --pid --uts --ipc --fork "$@" >/dev/null 2>&1; }

overlay_works() { # in the folder of the state
  local at works=''
  mkdir -p "${STATE%/*}/" && at=$(mktemp -d "${STATE%/*}/cluster-probe.XXXXXX") || return
  mkdir "$at"/{lower,upper,work,merged}
  load_modules
  in_new_namespaces mount -t overlay overlay -o "lowerdir=$at/lower,upperdir=$at/upper,workdir=$at/work" "$at/merged" &&
    works=yes
  rm -rf "$at"
  [[ -n $works ]]
}

nftables_work() {
  load_modules
  if has nft; then
    in_new_namespaces nft add table inet probe
  else # the kernel's list of its functions shows it, if the kernel has one
    [[ ! -s /proc/kallsyms ]] || grep -qw nf_tables_newtable /proc/kallsyms
  fi
}
