# shellcheck shell=bash disable=SC2154 # the settings are the main script's
# The pods that run from the beginning: DNS, and metrics-server and KEDA unless they are left out.

wanted() { [[ " $ADDONS " == *" $1 "* ]]; } # ADDON

addon_images() { # archives
  if wanted metrics; then echo "$IMAGES/metrics-server.tar"; fi
  if wanted keda; then printf '%s\n' "$IMAGES"/keda-{operator,adapter,webhooks}.tar; fi
}

addon_manifests() {
  if wanted keda; then echo "$CACHE/keda.yaml"; fi
  if wanted metrics; then echo "$CACHE/metrics-server.yaml"; fi
}

apply() { # FILE...
  local file
  for file; do
    sed -e "s/@HOST_IP@/$HOST_IP/g" -e "s/@DNS_IP@/$DNS_IP/g" "$file" |
      kc apply --server-side --force-conflicts -f - >>"$STATE/log/addons.log"
  done
}

rolled_out() { kc --namespace "$1" rollout status "deploy/$2" --timeout=2s; } # NAMESPACE DEPLOYMENT
serves() { kc wait --for=condition=Available "apiservice/$1" --timeout=2s; } # API

wait_for_addons() {
  local deployment
  wait_for "the cluster's DNS" kubelet rolled_out kube-system coredns
  say "the cluster's DNS is ready"
  if wanted metrics; then
    wait_for metrics-server kubelet serves v1beta1.metrics.k8s.io
    say 'metrics-server is ready'
  fi
  if wanted keda; then
    for deployment in keda-operator keda-metrics-apiserver keda-admission; do
      wait_for "$deployment" kubelet rolled_out keda "$deployment"
    done
    wait_for "KEDA's metrics" kubelet serves v1beta1.external.metrics.k8s.io
    say 'KEDA is ready'
  fi
}
