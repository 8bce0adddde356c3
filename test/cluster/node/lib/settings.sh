# shellcheck shell=bash disable=SC2154 # the settings are the main script's
# The settings files of the node's daemons.

write_settings() {
  local at=$STATE/etc user
  mkdir -p "$at/cni"
  : >"$STATE/resolv.conf"
  containerd_settings
  cni_settings
  kubelet_settings
  proxy_settings
  kubeconfig admin "$STATE/kubeconfig"
  for user in controller-manager scheduler kubelet proxy; do kubeconfig "$user" "$at/$user.kubeconfig"; done
}

containerd_settings() {
  local plugins
  plugins=$(cni_plugins)
  # restrict_oom_score_adj, because root in a container may lack the capability to lower an OOM score.
  cat >"$STATE/etc/containerd.toml" <<EOT
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  sandbox_image = "localhost/pause:local"
  enable_unprivileged_ports = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$plugins"
    conf_dir = "$STATE/etc/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
EOT
}

cni_settings() {
  # In hairpin mode a pod can reach itself by its Service. No packet leaves this machine, so no address is masked.
  cat >"$STATE/etc/cni/10-pods.conflist" <<EOT
{
  "cniVersion": "0.4.0",
  "name": "pods",
  "plugins": [
    {
      "type": "bridge",
      "bridge": "cni0",
      "isGateway": true,
      "ipMasq": false,
      "hairpinMode": true,
      "ipam": {
        "type": "host-local",
        "ranges": [[{ "subnet": "$POD_RANGE" }]],
        "routes": [{ "dst": "0.0.0.0/0" }],
        "dataDir": "/var/lib/cni/networks"
      }
    }
  ]
}
EOT
}

kubelet_settings() {
  local files
  files=$(ulimit -Hn)
  # If the machine's disk is full, pods and their images are not evicted: the images could not be pulled again.
  # No rules of iptables are made, since the machine may lack iptables.
  cat >"$STATE/etc/kubelet.yaml" <<EOT
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $NODE_IP
authentication:
  anonymous: { enabled: false }
  webhook: { enabled: true }
  x509: { clientCAFile: $STATE/pki/ca.crt }
authorization: { mode: Webhook }
tlsCertFile: $STATE/pki/kubelet.crt
tlsPrivateKeyFile: $STATE/pki/kubelet.key
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
clusterDNS: [$DNS_IP]
clusterDomain: cluster.local
resolvConf: $STATE/resolv.conf
cgroupDriver: cgroupfs
cgroupRoot: /$CGROUP
failCgroupV1: false
failSwapOn: false
makeIPTablesUtilChains: false
maxOpenFiles: ${files/unlimited/1000000}
oomScoreAdj: 0
imageGCHighThresholdPercent: 100
evictionHard:
  memory.available: 100Mi
  nodefs.available: 0%
  nodefs.inodesFree: 0%
  imagefs.available: 0%
  imagefs.inodesFree: 0%
volumePluginDir: /var/lib/kubelet/volumeplugins
EOT
}

proxy_settings() {
  # Zero leaves the settings of the whole machine unchanged.
  cat >"$STATE/etc/proxy.yaml" <<EOT
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: { kubeconfig: $STATE/etc/proxy.kubeconfig }
mode: nftables
clusterCIDR: $POD_RANGE
hostnameOverride: $NAME
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s }
oomScoreAdj: 0
EOT
}
