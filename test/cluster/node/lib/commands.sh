# shellcheck shell=bash disable=SC2154 # the settings are the main script's
# The commands of a running cluster: up, down, load, status and others.

one_at_a_time() { # until this process ends; processes that it starts in the node do not inherit the lock
  mkdir -p "$CACHE"
  exec 9>"$CACHE/$NAME.lock"
  flock -n 9 || die "another 'up' or 'down' of $NAME is running"
}

cmd_up() {
  need_root
  need_packages run
  check_settings
  check_built
  one_at_a_time
  if NODE=$(first_process); then
    if [[ -e $STATE/ready ]] && all_run && kc get --raw /readyz >/dev/null 2>&1; then
      say 'it is up already'
      return
    fi
    say 'it is only half up: ending it first'
    remove
  elif [[ -e $STATE ]]; then
    remove
  fi
  check_network
  mkdir -p "${STATE%/*}/"
  mkdir "$STATE" "$STATE"/{log,run}
  touch "$STATE/.cluster"
  bring_up
  touch "$STATE/ready"
  say "it is up: export KUBECONFIG=$STATE/kubeconfig"
}

bring_up() {
  local importer manifests
  load_modules
  quietly "$STATE/log/certificates.log" make_certificates
  write_settings
  make_cgroups
  start_node
  say "the node $NAME is $NODE_IP, and reaches this machine as $HOST_IP"

  start_etcd
  start_apiserver
  start_containerd
  import "$IMAGES"/{pause,coredns}.tar
  # In the background: these are large, and not needed yet.
  addon_images | { mapfile -t archives && import "${archives[@]}"; } &
  importer=$!
  # shellcheck disable=SC2064 # this very process
  trap "kill $importer 2>/dev/null || true" EXIT
  wait_for kube-apiserver kube-apiserver kc get --raw /readyz
  say 'the API server is ready'

  start_controllers
  apply "$HERE/addons/rbac.yaml"
  start_kubelet
  apply "$HERE/addons/coredns.yaml"
  wait "$importer" || die "could not import the images; see $STATE/log/import.log"
  trap - EXIT
  mapfile -t manifests < <(addon_manifests)
  apply "${manifests[@]}"
  wait_for "the node $NAME" kubelet kc wait --for=condition=Ready "node/$NAME" --timeout=1s
  wait_for 'the default service account' kube-controller-manager kc get serviceaccount default
  say 'the node is ready'
  wait_for_addons
}

check_settings() {
  local folder
  [[ $NAME =~ ^[a-z0-9]{1,8}$ ]] || die 'CLUSTER_NAME must be 1 to 8 of a-z and 0-9'
  for folder in "$STATE" "$CACHE"; do
    case $folder/ in
      /var/lib/* | /var/log/* | /run/* | /proc/*) die "the node has its own folder there: choose another path than $folder" ;;
    esac
  done
  [[ $STATE$CACHE != *[[:space:]]* ]] || die "CLUSTER_STATE and CLUSTER_CACHE must have no blanks: $STATE, $CACHE"
}

check_built() {
  local file
  while read -r file; do
    [[ -e $file ]] || die "$file is missing: run 'cluster build'"
  done < <(
    printf '%s\n' "${node_programs[@]/#/$BIN/}" "$IMAGES"/{pause,coredns}.tar
    addon_images
    addon_manifests
  )
}

check_network() {
  ! ip link show "$INTERFACE" >/dev/null 2>&1 || die "the interface $INTERFACE exists already: set CLUSTER_NAME"
  [[ -z $(ip route show to match "$HOST_IP" | sed '/^default/d') ]] ||
    die "$PREFIX.0.0/16 is in use here: set CLUSTER_PREFIX"
}

cmd_down() {
  need_root
  one_at_a_time
  remove
  say 'it is down'
}

remove() {
  local process mount
  if process=$(first_process); then
    # The kernel kills all other processes of the node with it.
    kill -KILL "$process" 2>/dev/null || true
    for _ in {1..300}; do
      [[ -d /proc/$process ]] || break
      sleep 0.1
    done
    [[ ! -d /proc/$process ]] || die "process $process, the node's first, does not end"
  fi
  if ip link show "$INTERFACE" >/dev/null 2>&1; then ip link del "$INTERFACE" 2>/dev/null || true; fi
  remove_cgroups
  [[ -e $STATE ]] || return 0
  [[ -e $STATE/.cluster ]] || die "$STATE is not the folder of a cluster: check it, and remove it if it is not needed"
  while read -r mount; do
    umount -l "$mount" || true
  done < <(awk -v under="$STATE/" 'index($2, under) == 1 { print $2 }' /proc/self/mounts | sort -r)
  rm -rf --one-file-system "$STATE"
}

cmd_load() { # ARCHIVE...
  local before
  (($#)) || die 'usage: cluster load ARCHIVE...'
  need_root
  need_node
  before=$(wc -l <"$STATE/log/import.log")
  import "$@"
  tail -n "+$((before + 1))" "$STATE/log/import.log" | sed -n 's/^unpacking \([^ ]*\) .*/\1/p'
}

cmd_kubeconfig() {
  [[ -e $STATE/kubeconfig ]] || die "it is not up (in $STATE)"
  echo "$STATE/kubeconfig"
}

cmd_env() {
  cmd_kubeconfig >/dev/null
  # shellcheck disable=SC2016 # the shell that evaluates it expands that
  printf 'export %s\n' "KUBECONFIG='$STATE/kubeconfig'" "PATH='$BIN':"'"$PATH"' \
    "CLUSTER_HOST_IP=$HOST_IP" "CLUSTER_NODE_IP=$NODE_IP"
}

cmd_kubectl() {
  cmd_kubeconfig >/dev/null
  kc "$@"
}

cmd_status() {
  need_root
  local daemon pid memory failed=0
  if ! NODE=$(first_process); then
    echo down
    exit 3
  fi
  for daemon in "${daemons[@]}"; do
    if runs "$daemon"; then
      pid=$(<"$STATE/run/$daemon.pid")
      memory=$(awk '/^VmRSS/ { print int($2 / 1024) }' "/proc/$NODE/root/proc/$pid/status")
      printf '%-24s up   %6s MiB\n' "$daemon" "$memory"
    else
      printf '%-24s died; see %s\n' "$daemon" "$STATE/log/$daemon.log"
      failed=1
    fi
  done
  # Memory that processes share is counted once.
  awk '/^Pss:/ { sum += $2 } END { printf "%-24s %11d MiB\n", "all, pods too", sum / 1024 }' \
    "/proc/$NODE/root/proc"/[0-9]*/smaps_rollup 2>/dev/null || true
  if ! { kc get nodes -o wide && kc get pods -A -o wide; }; then failed=1; fi
  exit "$failed"
}

cmd_version() {
  local module
  for module in k8s.io/kubernetes go.etcd.io/etcd/server/v3 github.com/coredns/coredns sigs.k8s.io/metrics-server \
    github.com/kedacore/keda/v2; do
    echo "$module $(version_of "$module")"
  done
  node_package
  if has containerd; then containerd --version; fi
  if has runc; then runc --version | sed 1q; fi
}
