# shellcheck shell=bash disable=SC2034,SC2154 # the arrays, $here and port_open are the main script's
# S3's protocol by moto from PyPI, in memory: `down` empties it. Any credentials are good. Only what S3 needs of moto's
# dependencies is installed.

packages[s3]='python3 python3-venv'
ports[s3]='SERVERS_S3_PORT:12'
patience[s3]=60
s3_wanted=$here/s3/requirements.txt
s3_python=$SERVERS_INSTALL/s3-$(version_of "$s3_wanted")

s3_programs() { python3 -c 'import venv, ensurepip' 2>/dev/null; }
s3_fetched() { [[ -e $s3_python/fetched ]]; }

s3_fetch() {
  rm -rf "$s3_python"
  python3 -m venv "$s3_python" &&
    "$s3_python/bin/pip" install -q --disable-pip-version-check --no-deps -r "$s3_wanted" &&
    touch "$s3_python/fetched"
}

s3_run() {
  export TMPDIR=$PWD # where large objects are kept
  exec "$s3_python/bin/moto_server" --host 127.0.0.1 --port "$SERVERS_S3_PORT"
}

s3_answers() { port_open "$SERVERS_S3_PORT"; }
s3_variables() { echo "S3_URL=http://127.0.0.1:$SERVERS_S3_PORT"; }
