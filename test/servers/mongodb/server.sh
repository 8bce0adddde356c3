# shellcheck shell=bash disable=SC2034,SC2154 # the arrays, $here and port_open are the main script's
# Debian has no package of MongoDB. SecantusDB from PyPI replaces it: it speaks MongoDB's wire protocol and stores with
# WiredTiger. It is the only member, and so the primary, of the replica set "secantus".

packages[mongodb]='python3 python3-venv'
ports[mongodb]='SERVERS_MONGODB_PORT:6'
patience[mongodb]=60
mongodb_wanted=$here/mongodb/requirements.txt
mongodb_python=$SERVERS_INSTALL/mongodb-$(version_of "$mongodb_wanted")

mongodb_programs() { python3 -c 'import venv, ensurepip' 2>/dev/null; }
mongodb_fetched() { [[ -e $mongodb_python/fetched ]]; }

mongodb_fetch() {
  rm -rf "$mongodb_python"
  python3 -m venv "$mongodb_python" &&
    "$mongodb_python/bin/pip" install -q --disable-pip-version-check --no-deps -r "$mongodb_wanted" &&
    touch "$mongodb_python/fetched"
}

mongodb_run() {
  : >empty.toml # otherwise it would search other folders for a configuration
  # Test commands: fail points.
  exec "$mongodb_python/bin/secantusd-py" --config empty.toml --log-level WARNING --host 127.0.0.1 \
    --port "$SERVERS_MONGODB_PORT" --storage-path db --cache-size 256M --sync-on-commit --enable-test-commands
}

mongodb_answers() {
  port_open "$SERVERS_MONGODB_PORT" && timeout 10 "$mongodb_python/bin/python" -c '
import sys, pymongo
pymongo.MongoClient(sys.argv[1], serverSelectionTimeoutMS=2000).admin.command("ping")
' "$(mongodb_url)" 2>/dev/null
}

mongodb_url() { echo "mongodb://127.0.0.1:$SERVERS_MONGODB_PORT/?replicaSet=secantus"; }
mongodb_variables() { echo "MONGODB_URL=$(mongodb_url)"; }
