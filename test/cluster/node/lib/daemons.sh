# shellcheck shell=bash disable=SC2154 # the settings are the main script's
# The daemons in the node: starting them, and waiting for them.

daemons=(etcd kube-apiserver kube-controller-manager kube-scheduler containerd kubelet kube-proxy)
containerd_socket=/run/containerd/containerd.sock

kc() { "$BIN/kubectl" --kubeconfig "$STATE/kubeconfig" "$@"; }

all_run() {
  local daemon
  for daemon in "${daemons[@]}"; do runs "$daemon" || return 1; done
}

# Waits until the command succeeds. Gives up if it takes too long, or if the daemon that it depends on has ended.
wait_for() { # WHAT DAEMON COMMAND ARGUMENT...
  local daemon=$2 deadline=$((SECONDS + PATIENCE)) why
  until "${@:3}" >/dev/null 2>&1; do
    if [[ -n $daemon ]] && ! runs "$daemon"; then
      why="$daemon has ended"
    elif ((SECONDS >= deadline)); then
      why="it took more than $PATIENCE s"
    else
      sleep 0.1
      continue
    fi
    if [[ -n $daemon ]]; then tail -n 15 "$STATE/log/$daemon.log" | sed 's/^/    /' >&2; fi
    die "waiting for $1: $why"
  done
}

start_etcd() {
  # Without fsync: its data does not outlive the cluster.
  start etcd "$BIN/etcd" --data-dir "$STATE/etcd" --unsafe-no-fsync --log-level warn
  wait_for etcd etcd in_node curl -sf http://127.0.0.1:2379/health
}

start_apiserver() {
  local pki=$STATE/pki more
  read -ra more <<<"${CLUSTER_APISERVER_ARGS:-}"
  start kube-apiserver "$BIN/kube-apiserver" --etcd-servers http://127.0.0.1:2379 \
    --advertise-address "$NODE_IP" --secure-port 6443 --service-cluster-ip-range "$SERVICE_RANGE" \
    --tls-cert-file "$pki/apiserver.crt" --tls-private-key-file "$pki/apiserver.key" \
    --client-ca-file "$pki/ca.crt" \
    --kubelet-client-certificate "$pki/admin.crt" --kubelet-client-key "$pki/admin.key" \
    --kubelet-certificate-authority "$pki/ca.crt" --kubelet-preferred-address-types InternalIP \
    --service-account-issuer https://kubernetes.default.svc.cluster.local \
    --service-account-key-file "$pki/accounts.pub" --service-account-signing-key-file "$pki/accounts.key" \
    --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction \
    --requestheader-client-ca-file "$pki/front-ca.crt" --requestheader-allowed-names front-proxy-client \
    --requestheader-username-headers X-Remote-User --requestheader-group-headers X-Remote-Group \
    --requestheader-extra-headers-prefix X-Remote-Extra- \
    --proxy-client-cert-file "$pki/front.crt" --proxy-client-key-file "$pki/front.key" \
    --enable-aggregator-routing=true "${more[@]}"
}

start_controllers() {
  local pki=$STATE/pki etc=$STATE/etc more
  read -ra more <<<"${CLUSTER_CONTROLLER_MANAGER_ARGS:-}"
  # Autoscalers decide within seconds, not minutes as elsewhere, because tests wait for them.
  start kube-controller-manager "$BIN/kube-controller-manager" --kubeconfig "$etc/controller-manager.kubeconfig" \
    --authentication-kubeconfig "$etc/controller-manager.kubeconfig" \
    --authorization-kubeconfig "$etc/controller-manager.kubeconfig" \
    --bind-address 127.0.0.1 --leader-elect=false --use-service-account-credentials=true \
    --service-account-private-key-file "$pki/accounts.key" --root-ca-file "$pki/ca.crt" \
    --cluster-signing-cert-file "$pki/ca.crt" --cluster-signing-key-file "$pki/ca.key" \
    --horizontal-pod-autoscaler-sync-period=5s --horizontal-pod-autoscaler-downscale-stabilization=15s \
    --horizontal-pod-autoscaler-cpu-initialization-period=20s \
    --horizontal-pod-autoscaler-initial-readiness-delay=5s "${more[@]}"
  start kube-scheduler "$BIN/kube-scheduler" --kubeconfig "$etc/scheduler.kubeconfig" \
    --authentication-kubeconfig "$etc/scheduler.kubeconfig" --authorization-kubeconfig "$etc/scheduler.kubeconfig" \
    --bind-address 127.0.0.1 --leader-elect=false
}

start_containerd() {
  start containerd containerd --config "$STATE/etc/containerd.toml"
  wait_for containerd containerd in_node ctr --address "$containerd_socket" version
}

start_kubelet() {
  start kubelet "$BIN/kubelet" --config "$STATE/etc/kubelet.yaml" --kubeconfig "$STATE/etc/kubelet.kubeconfig" \
    --hostname-override "$NAME" --node-ip "$NODE_IP" --node-labels "kubernetes.io/hostname=$NAME"
  start kube-proxy "$BIN/kube-proxy" --config "$STATE/etc/proxy.yaml"
}

import() { # ARCHIVE...: images for containerd
  local archive log=$STATE/log/import.log
  for archive; do
    [[ -r $archive ]] || die "there is no archive $archive"
    if ! in_node ctr --address "$containerd_socket" --namespace k8s.io images import - <"$archive" >>"$log" 2>&1; then
      tail -n 1 "$log" >&2
      die "could not import $archive"
    fi
  done
}
