# shellcheck shell=bash disable=SC2154 # the settings are the main script's
# Images, built by buildah and kept as archives: those of the programs of build.sh, and by `image` other ones.

# buildah with its store in the cache, and its mounts in a namespace that ends with it.
buildah_here() { unshare --mount buildah --root "$CACHE/storage" --runroot "$CACHE/storage-run" "$@"; }

save_image() { # NAME ARCHIVE
  rm -f "$2.part"
  buildah_here push --quiet "$1" "docker-archive:$2.part:$1"
  mv "$2.part" "$2"
}

build_pod_images() {
  local program from
  # pause, the process that holds a pod's namespaces; its source is a file of Kubernetes.
  from=$(fingerprint "$HERE/tools/go.mod")
  if ! is_fresh "$IMAGES/pause.tar" "$from"; then
    find_go
    gcc -Os -static -DVERSION=local -o "$CACHE/pause" "$(module_folder k8s.io/kubernetes)/build/pause/linux/pause.c"
    image_of_program pause "$CACHE/pause" /pause 65535
    note_fresh "$IMAGES/pause.tar" "$from"
    rm "$CACHE/pause"
  fi
  for program in "${pod_programs[@]}"; do
    from=$(fingerprint "$BIN/$program")
    is_fresh "$IMAGES/$program.tar" "$from" && continue
    image_of_program "$program" "$BIN/$program" "${image_paths[$program]}" 65532
    note_fresh "$IMAGES/$program.tar" "$from"
  done
}

image_of_program() { # NAME FILE PATH-IN-IMAGE USER: an image with nothing else
  local context=$CACHE/context
  say "building the image localhost/$1:local"
  new_folder "$context"
  # A link, because the largest programs have 200 MB.
  ln "$2" "$context/program"
  cat >"$context/Dockerfile" <<EOT
FROM scratch
COPY program $3
USER $4:$4
ENTRYPOINT ["$3"]
EOT
  buildah_here bud --quiet --isolation chroot --tag "localhost/$1:local" "$context" >/dev/null
  save_image "localhost/$1:local" "$IMAGES/$1.tar"
  # No other image is built on it, so the archive is enough.
  buildah_here rmi "localhost/$1:local" >/dev/null
  rm -r "$context"
}

cmd_image() { # TAG FOLDER [OPTION...]
  (($# >= 2)) || die 'usage: cluster image TAG DIR [OPTION of buildah build...]'
  need_root
  need_packages build
  lock_cache
  be_nice
  local tag=$1 folder=$2 archive before part volumes=()
  archive=$IMAGES/$(tr -c 'A-Za-z0-9._\n' - <<<"${tag#localhost/}").tar
  drop_leftovers
  restore_base_images
  before=$(image_id "$tag")
  part=$(mktemp -d "$CACHE/image.XXXXXX")
  # shellcheck disable=SC2064 # this very folder
  trap "rm -rf '$part'" EXIT
  lend_settings "$part"
  buildah_here bud --isolation chroot --pull-never "${volumes[@]}" --tag "$tag" "${@:3}" "$folder" >&2
  save_image "$tag" "$archive"
  drop_leftovers
  # The image that had this name before is removed, unless other images are built on it.
  [[ -z $before || $before == $(image_id "$tag") ]] || buildah_here rmi "$before" >/dev/null 2>&1 || true
  say "$tag has $(($(stat -c %s "$archive") >> 20)) MiB"
  echo "$archive"
}

image_id() { buildah_here inspect --type image --format '{{.FromImageID}}' "$1" 2>/dev/null || true; } # NAME

drop_leftovers() { buildah_here rm --all >/dev/null; } # containers of stages that a build has left in the store

restore_base_images() { # loads them into the store again, since CI may keep only the archives
  local base
  for base in node node-runtime; do
    [[ -e $IMAGES/$base.tar ]] || die "there is no localhost/$base:24: run 'cluster build'"
    [[ -n $(image_id "localhost/$base:24") ]] || buildah_here pull --quiet "docker-archive:$IMAGES/$base.tar" >/dev/null
  done
}

# A build's steps use this machine's package sources: its CA certificates, npm's registries, and apt's sources. They are
# mounted while the steps run, so that no layer contains them. buildah passes on the variables of proxies by itself.
lend_settings() { # FOLDER: for the files that are mounted; adds to `volumes`
  local certificates=/etc/ssl/certs/ca-certificates.crt
  if [[ -r $certificates ]]; then volumes+=(--volume "$certificates:$certificates:ro"); fi

  npm_settings >"$1/npmrc"
  volumes+=(--volume "$1/npmrc:/usr/local/etc/npmrc:ro")

  [[ -d /etc/apt ]] || return 0
  cp -a /etc/apt "$1/apt"
  # Without this machine's hooks of installations: the image lacks their programs.
  rm -rf "$1/apt/apt.conf.d"/*
  # The settings for downloads, without those for additional lists of packages.
  apt-config dump Acquire | sed '/^Acquire::IndexTargets/d' >"$1/apt/apt.conf"
  volumes+=(--volume "$1/apt:/etc/apt:ro" --volume /usr/share/keyrings:/usr/share/keyrings:ro)
}

npm_settings() ( # registries and proxies, from the settings of this user and of the machine
  telling='^ *(//[^ ]+|(@[^=]*:)?registry|(https-|no)?proxy|strict-ssl|ca(\[\])?) *='
  cd / # outside of projects, which may have settings of their own
  for file in "$(npm config get globalconfig)" "$(npm config get userconfig)"; do
    [[ ! -r $file ]] || grep -E "$telling" "$file" || true
  done
  echo "registry=$(npm config get registry)"
  # The path in the build, which may differ from that on this machine.
  echo "cafile=/etc/ssl/certs/ca-certificates.crt"
)
