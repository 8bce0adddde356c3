# shellcheck shell=bash disable=SC2034,SC2154,SC2164 # the settings and `set -e` are the main script's
# Programs from Go's modules, and their manifests. tools/go.mod has the versions. Each is built again if its sources have
# changed: the fingerprint of its sources is beside it.

# A program, and its Go package.
declare -A go_packages=(
  [etcd]=go.etcd.io/etcd/server/v3
  [kube-apiserver]=k8s.io/kubernetes/cmd/kube-apiserver
  [kube-controller-manager]=k8s.io/kubernetes/cmd/kube-controller-manager
  [kube-scheduler]=k8s.io/kubernetes/cmd/kube-scheduler
  [kubelet]=k8s.io/kubernetes/cmd/kubelet
  [kube-proxy]=k8s.io/kubernetes/cmd/kube-proxy
  [kubectl]=k8s.io/kubernetes/cmd/kubectl
  [coredns]=./coredns
  [metrics-server]=sigs.k8s.io/metrics-server/cmd/metrics-server
  [keda-operator]=github.com/kedacore/keda/v2/cmd/operator
  [keda-adapter]=github.com/kedacore/keda/v2/cmd/adapter
  [keda-webhooks]=github.com/kedacore/keda/v2/cmd/webhooks
)
# Programs of the node itself; programs of pods, with their paths in the images that upstream's manifests expect.
node_programs=(kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl etcd)
pod_programs=(coredns metrics-server keda-adapter keda-operator keda-webhooks)
declare -A image_paths=([coredns]=/coredns [metrics-server]=/metrics-server [keda-operator]=/keda
  [keda-adapter]=/keda-adapter [keda-webhooks]=/keda-admission-webhooks)

cmd_build() {
  need_root
  need_packages build
  lock_cache
  be_nice
  mkdir -p "$BIN" "$IMAGES"
  build_programs
  build_manifests
  build_pod_images
  build_base_images
  # Gigabytes of unwritten data would delay the next programs that sync: etcd, and the databases of the tests.
  timeout 180 sync || true
  say "all is built: $(du -sh "$CACHE" | cut -f1) in $CACHE"
}

lock_cache() { # until this process ends
  mkdir -p "$CACHE"
  exec 8>"$CACHE/lock"
  flock -n 8 && return
  say 'waiting for another build to end'
  flock 8
}

be_nice() { renice -n 19 "$BASHPID" >/dev/null; } # a build takes all cores, and other programs need them too

is_fresh() { [[ -e $1 && $(cat "$1.made-from" 2>/dev/null) == "$2" ]]; } # FILE FINGERPRINT
note_fresh() { echo "$2" >"$1.made-from"; }
fingerprint() { cat "$@" | sha256sum | head -c 16; } # FILE...

# In a process of its own, because `set -e` has no effect in a command before `||`.
quietly() { # LOG FUNCTION ARGUMENT...: shows the log's end if it fails
  "${@:2}" >"$1" 2>&1 &
  wait $! && return
  tail -n 10 "$1" >&2
  die "$2 failed; its whole output is in $1"
}

version_of() { # MODULE
  awk -v module="$1" '{ sub(/^require /, "") } $1 == module && $2 ~ /^v/ { print $2; exit }' "$HERE/tools/go.mod"
}

module_folder() ( # MODULE
  cd "$HERE/tools"
  go mod download "$1"
  go list -m -f '{{.Dir}}' "$1"
)

build_programs() {
  local program sources from flags version
  version=$(version_of k8s.io/kubernetes)
  # As in Kubernetes' own build: kubelet and API server compare these versions.
  flags="-s -w -X k8s.io/component-base/version.gitVersion=$version -X k8s.io/client-go/pkg/version.gitVersion=$version"
  flags+=" -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitTreeState=clean"
  flags+=" -X k8s.io/component-base/version.gitMinor=$(cut -d. -f2 <<<"$version")"
  flags+=" -X github.com/kedacore/keda/v2/version.Version=$(version_of github.com/kedacore/keda/v2)"
  for program in "${node_programs[@]}" "${pod_programs[@]}"; do
    sources=("$HERE/tools/go.mod")
    if [[ $program == coredns ]]; then sources+=("$HERE/tools/coredns/main.go"); fi
    from=$(fingerprint "${sources[@]}")
    is_fresh "$BIN/$program" "$from" && continue
    say "building $program"
    find_go
    go_build "$BIN/$program.part" "$flags" "${go_packages[$program]}"
    mv "$BIN/$program.part" "$BIN/$program"
    note_fresh "$BIN/$program" "$from"
  done
}

# In the background: it may take ten minutes, and a shell handles signals at once only in `wait`.
go_build() { # FILE LINKER-FLAGS PACKAGE
  (
    cd "$HERE/tools"
    export CGO_ENABLED=0 GOFLAGS='-mod=readonly -buildvcs=false'
    exec go build -trimpath -ldflags "$2" -o "$1" "$3"
  ) &
  wait $!
}

build_manifests() { # upstream's, with the changes in addons/
  local addon from upstream
  for addon in metrics-server keda; do
    from=$(fingerprint "$HERE/tools/go.mod" "$HERE/addons/$addon/kustomization.yaml")
    is_fresh "$CACHE/$addon.yaml" "$from" && continue
    say "rendering the manifests of $addon"
    find_go
    case $addon in
      metrics-server) upstream=$(module_folder sigs.k8s.io/metrics-server)/manifests/base ;;
      keda) upstream=$(module_folder github.com/kedacore/keda/v2)/config ;;
    esac
    new_folder "$CACHE/render"
    cp -r "$upstream" "$CACHE/render/upstream"
    cp "$HERE/addons/$addon/kustomization.yaml" "$CACHE/render"
    # Its warnings about deprecated fields in upstream's files go to the log.
    quietly "$CACHE/render.log" "$BIN/kubectl" kustomize "$CACHE/render" --output "$CACHE/render/$addon.yaml"
    mv "$CACHE/render/$addon.yaml" "$CACHE"
    note_fresh "$CACHE/$addon.yaml" "$from"
    rm -rf "$CACHE/render" "$CACHE/render.log"
  done
}

new_folder() { # creates it, or empties it
  rm -rf "$1"
  mkdir -p "$1"
}
