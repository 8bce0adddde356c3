# shellcheck shell=bash disable=SC2034,SC2154 # the settings are the main script's
# The node: its first process and its mounts, its network, its cgroups, and running commands in it.

# Becomes the node's first process: makes its mounts, then reaps ended processes, until it is killed.
become_node() {
  local stat from setting
  trap - ERR
  # The mounts are still a copy of the machine's, so /proc has the id by which the machine knows this process.
  read -r stat </proc/self/stat
  mount -t proc proc /proc
  # kubelet needs these values, and would set them for the whole machine. If it reads them here, it writes none.
  from=$STATE/sysctl
  mkdir -p "$from"
  for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
    kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
    echo "${setting#*=}" >"$from/$(basename "${setting%=*}")"
    mount --bind "$from/$(basename "${setting%=*}")" "/proc/sys/${setting%=*}"
  done
  mount -t tmpfs -o mode=755 tmpfs /run
  for from in /var/lib /var/log; do
    mkdir -p "$STATE$from"
    mount --bind "$STATE$from" "$from"
  done
  # No DNS server for outside names can be reached.
  mount --bind "$STATE/resolv.conf" "$(readlink -f /etc/resolv.conf)" 2>/dev/null || true
  hostname "$NAME"
  ip link set lo up
  process_and_start "$stat" >"$STATE/node.pid.part"
  mv "$STATE/node.pid.part" "$STATE/node.pid"
  trap 'exit 0' TERM
  while :; do
    sleep 3600 &
    wait $!
  done
}

# Another process may have the same id by now, but not the same start time.
process_and_start() { # STAT: a line as in /proc/PID/stat, which has the start in clock ticks since boot
  local fields
  read -ra fields <<<"${1##*) }" # after the command's name: the fields from 3, the state, on
  echo "${1%% *} ${fields[19]}"
}

first_process() { # of the node, by its id on the machine; fails if it does not run
  local noted stat
  { noted=$(<"$STATE/node.pid") && stat=$(<"/proc/${noted%% *}/stat"); } 2>/dev/null || return 1
  [[ -n $noted && $(process_and_start "$stat") == "$noted" ]] && echo "${noted%% *}"
}

need_node() { NODE=$(first_process) || die "it is not up (in $STATE)"; } # sets NODE, its first process

in_node() { nsenter --target "$NODE" --mount --net --pid --uts --ipc --wd=/ -- "$@"; } # COMMAND ARGUMENT...

start() { # NAME COMMAND ARGUMENT...: a daemon in the node
  # shellcheck disable=SC2016 # the inner shell's variables
  in_node setsid -f "$BASH" -c 'log=$1 pid=$2; shift 2; echo $$ >"$pid"; exec "$@" >>"$log" 2>&1 </dev/null' \
    bash "$STATE/log/$1.log" "$STATE/run/$1.pid" "${@:2}" 9>&-
}

runs() { # NAME of a daemon
  local pid
  pid=$(cat "$STATE/run/$1.pid" 2>/dev/null) && [[ -d /proc/$NODE/root/proc/$pid ]]
}

start_node() {
  local log=$STATE/log/node.log
  setsid -f unshare --mount --net --pid --uts --ipc --fork "$BASH" "$SELF" _node </dev/null >"$log" 2>&1 9>&-
  wait_for "the node's namespaces (see $log)" '' test -s "$STATE/node.pid"
  need_node
  connect
}

# The machine reaches pods and Services by two routes. The node reaches only the machine, which need not forward
# packets.
connect() {
  ip link add "$INTERFACE" type veth peer name eth0 netns "$NODE"
  ip addr add "$HOST_IP/30" dev "$INTERFACE"
  ip link set "$INTERFACE" up
  in_node ip addr add "$NODE_IP/30" dev eth0
  in_node ip link set eth0 up
  in_node ip route add default via "$HOST_IP"
  ip route add "$POD_RANGE" via "$NODE_IP" dev "$INTERFACE"
  ip route add "$SERVICE_RANGE" via "$NODE_IP" dev "$INTERFACE"
  # Between pods too, packets to a Service must pass kube-proxy's rules.
  in_node "$BASH" -c 'echo 1 >/proc/sys/net/ipv4/ip_forward
    [[ ! -e /proc/sys/net/bridge/bridge-nf-call-iptables ]] || echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables'
}

load_modules() { modprobe -qa overlay br_netfilter nf_tables veth 2>/dev/null || true; } # in case they are not built in

# The cgroup folder in each hierarchy of version 1, or the only one of version 2.
cgroup_folders() {
  if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then
    echo "/sys/fs/cgroup/$CGROUP"
  else
    awk -v name="$CGROUP" '$3 ~ /^cgroup2?$/ { print $2 "/" name }' /proc/self/mounts
  fi
}

cgroups_writable() {
  local folder found=''
  while read -r folder; do
    [[ -w ${folder%/*} ]] || return 1
    found=yes
  done < <(cgroup_folders)
  [[ -n $found ]]
}

make_cgroups() {
  local controller folder parent
  if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then
    for controller in cpu cpuset memory pids io hugetlb; do
      echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control 2>/dev/null || true
    done
  fi
  while read -r folder; do
    parent=${folder%/*}
    mkdir -p "$folder"
    # A new cgroup of version 1 has no processors and no memory nodes until they are set.
    if [[ -e $folder/cpuset.cpus && ! -e $parent/cgroup.controllers ]]; then
      cat "$parent/cpuset.cpus" >"$folder/cpuset.cpus"
      cat "$parent/cpuset.mems" >"$folder/cpuset.mems"
    fi
    # By default all pods together would weigh as much as one process of the machine; the stores have dozens.
    if [[ -e $folder/cpu.shares ]]; then echo 10240 >"$folder/cpu.shares"; fi
    if [[ -e $folder/cpu.weight ]]; then echo 1000 >"$folder/cpu.weight"; fi
  done < <(cgroup_folders)
}

remove_cgroups() {
  local folder
  while read -r folder; do
    for _ in {1..50}; do
      [[ -d $folder ]] || break
      # A process that was just killed leaves its cgroup a little later.
      find "$folder" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.1
    done
    [[ ! -d $folder ]] || say "the cgroup $folder is still in use"
  done < <(cgroup_folders)
}
