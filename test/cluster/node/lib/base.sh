# shellcheck shell=bash disable=SC2154,SC2164 # the settings and `set -e` are the main script's
# The base images of images with Node, since none can be pulled: localhost/node:24 to build in, a small Debian of this
# machine's release with Node, npm, apt and the user node (1000); and localhost/node-runtime:24 to run in, which has
# only what Node needs.

npm_package=npm@11

node_package() { # the Node of the tests
  local version
  version=$(sed -n 's/^ *"node": "\([0-9][0-9.]*\)",*$/\1/p' "$HERE/../../../package.json")
  echo "${CLUSTER_NODE_PACKAGE:-node@${version:-24}}"
}

build_base_images() {
  local release from node root=$CACHE/rootfs runtime=$CACHE/rootfs-runtime
  release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  node=$(node_package)
  from="1 $release $node $npm_package"
  is_fresh "$IMAGES/node.tar" "$from" && is_fresh "$IMAGES/node-runtime.tar" "$from" && return

  say "building the images localhost/node:24 and localhost/node-runtime:24 ($release, $node)"
  new_folder "$root"
  quietly "$CACHE/debootstrap.log" debian "$release" "$root"
  quietly "$CACHE/npm.log" add_node "$node" "$root"
  image_of_folder node "$root" 'ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt'
  note_fresh "$IMAGES/node.tar" "$from"

  new_folder "$runtime"
  runtime_of "$root" "$runtime"
  image_of_folder node-runtime "$runtime"
  note_fresh "$IMAGES/node-runtime.tar" "$from"
  rm -rf "$root" "$runtime" "$CACHE"/{debootstrap,npm}.log
}

mirror() { # RELEASE: this machine's mirror of it; apt knows none before the first update
  # shellcheck disable=SC2016 # these are apt's variables
  apt-get indextargets --format '$(SITE) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' |
    awk -v release="$1" '$2 == release && $3 == "main" && !found { print $1; found = 1 }'
}

debian() { # RELEASE FOLDER
  local site
  site=$(mirror "$1")
  if [[ -z $site ]]; then
    apt-get -q update
    site=$(mirror "$1")
  fi
  # debootstrap mounts file systems for the packages' scripts.
  unshare --mount debootstrap --variant=minbase --include=ca-certificates "$1" "$2" "$site"
  rm -rf "$2"/var/cache/apt/archives/*.deb "$2"/var/lib/apt/lists/* "$2"/var/log/*
  rm -rf "$2"/usr/share/{doc,man,locale,info}/*
  # A build gets this machine's mirror by a mount; elsewhere its host names may not exist.
  : >"$2/etc/apt/sources.list"
  : >"$2/etc/resolv.conf"
  echo localhost >"$2/etc/hostname"
}

add_node() { # NPM-PACKAGE FOLDER
  local from=$CACHE/npm modules=$2/usr/local/lib/node_modules
  new_folder "$from"
  # The package's script installs Node for this architecture; newer npms only run scripts that are allowed by name.
  echo '{ "private": true, "allowScripts": { "node": true } }' >"$from/package.json"
  (
    cd "$from"
    npm install --no-audit --no-fund --loglevel=error "$1" "$npm_package"
  )
  install -m 755 "$from/node_modules/node/bin/node" "$2/usr/local/bin/node"
  mkdir -p "$modules"
  cp -r "$from/node_modules/npm" "$modules/"
  ln -s ../lib/node_modules/npm/bin/npm-cli.js "$2/usr/local/bin/npm"
  ln -s ../lib/node_modules/npm/bin/npx-cli.js "$2/usr/local/bin/npx"
  chroot "$2" useradd --uid 1000 --user-group --create-home --shell /bin/bash node
  rm -rf "$from"
}

# Node, the libraries that it is linked with, and the files that programs expect on a system. `env` is for scripts that
# begin with #!/usr/bin/env node; there is no shell.
runtime_of() { # FOLDER-OF-DEBIAN FOLDER
  local programs=(/usr/local/bin/node /usr/bin/env) linked libraries
  linked=$(chroot "$1" ldd "${programs[@]}")
  [[ $linked != *'not found'* ]] || die "Node lacks libraries: $linked"
  # NAME => PATH (ADDRESS), or PATH (ADDRESS) for the loader of the others.
  mapfile -t libraries < <(sed -En 's,^\t(.* => )?(/[^ ]*) \(0x.*,\2,p' <<<"$linked" | sort -u)
  mkdir "$1/runtime"
  # Links are replaced by their targets, resolved within the folder.
  chroot "$1" cp --dereference --parents "${programs[@]}" "${libraries[@]}" \
    /etc/ssl/certs/ca-certificates.crt /etc/os-release /etc/nsswitch.conf /runtime
  cp -a "$1/runtime/." "$2"
  rm -r "$1/runtime"
  install -d -m 755 -o 1000 -g 1000 "$2/home/node"
  install -d -m 700 "$2/root"
  install -d -m 1777 "$2/tmp"
  cat >"$2/etc/passwd" <<'EOT'
root:x:0:0:root:/root:/usr/sbin/nologin
node:x:1000:1000::/home/node:/usr/sbin/nologin
EOT
  cat >"$2/etc/group" <<'EOT'
root:x:0:
node:x:1000:
EOT
}

image_of_folder() { # NAME FOLDER [LINE-OF-DOCKERFILE]
  local context=$CACHE/context
  new_folder "$context"
  tar -C "$2" --one-file-system --exclude='./dev/*' --exclude='./proc/*' --exclude='./sys/*' -cf "$context/files.tar" .
  cat >"$context/Dockerfile" <<EOT
FROM scratch
ADD files.tar /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
${3:-}
CMD ["node"]
EOT
  buildah_here bud --quiet --isolation chroot --tag "localhost/$1:24" "$context" >/dev/null
  save_image "localhost/$1:24" "$IMAGES/$1.tar"
  rm -r "$context"
}
