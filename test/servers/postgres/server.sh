# shellcheck shell=bash disable=SC2034,SC2154 # the arrays, pid_of and $SERVERS_HOME are the main script's
# Debian's PostgreSQL (15, or the version of the release) in a cluster of its own, and a streaming replica of it.

packages[postgres]='postgresql'
packages[postgres-replica]='postgresql'
ports[postgres]='SERVERS_POSTGRES_PORT:10'
ports[postgres-replica]='SERVERS_POSTGRES_REPLICA_PORT:11'
patience[postgres]=60
patience[postgres-replica]=60
stop_by[postgres]=INT # ends the sessions instead of waiting for them
stop_by[postgres-replica]=INT
after[postgres-replica]=postgres

postgres_bin() { printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1; }

postgres_programs() { [[ -x $(postgres_bin)/postgres ]]; }
postgres_fetched() { :; }
postgres_replica_programs() { postgres_programs; }
postgres_replica_fetched() { :; }

# PostgreSQL refuses to run as root. Root runs it as the user postgres, which keeps one right of root: to pass through
# folders that are closed to other users, such as root's home above SERVERS_HOME.
postgres_user=()
if ((EUID == 0)); then
  # shellcheck disable=SC2054 # commas belong to setpriv's lists
  postgres_user=(setpriv --reuid postgres --regid postgres --clear-groups
    --inh-caps=-all,+dac_override --ambient-caps=-all,+dac_override --bounding-set=-all,+dac_override)
fi

postgres_serve() { # PORT [OPTION...]: becomes the server of ./db
  exec "${postgres_user[@]}" "$(postgres_bin)/postgres" -D "$PWD/db" -p "$1" -c listen_addresses=127.0.0.1 \
    -c unix_socket_directories= -c max_connections=300 -c wal_level=replica -c wal_keep_size=256MB \
    -c fsync="${SERVERS_POSTGRES_FSYNC:-on}" "${@:2}"
}

postgres_run() {
  if [[ ! -e db/PG_VERSION ]]; then
    ((EUID)) || chown postgres .
    rm -rf db # what an interrupted initdb has left
    "${postgres_user[@]}" "$(postgres_bin)/initdb" -D "$PWD/db" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync
  fi
  postgres_bury_the_dead
  postgres_serve "$SERVERS_POSTGRES_PORT"
}

postgres_replica_run() {
  until postgres_answers; do
    if [[ -e $SERVERS_HOME/run/postgres.pid ]] && ! pid_of postgres >/dev/null; then
      echo 'the primary does not run'
      exit 1
    fi
    sleep 0.1
  done
  if [[ ! -e db/PG_VERSION ]]; then
    ((EUID)) || chown postgres .
    rm -rf db
    "${postgres_user[@]}" "$(postgres_bin)/pg_basebackup" -d "$(postgres_url "$SERVERS_POSTGRES_PORT")" -D "$PWD/db" \
      --write-recovery-conf --checkpoint=fast --no-sync
  fi
  postgres_bury_the_dead
  # The primary's port may differ from that at the time of the copy.
  postgres_serve "$SERVERS_POSTGRES_REPLICA_PORT" \
    -c primary_conninfo="host=127.0.0.1 port=$SERVERS_POSTGRES_PORT user=postgres"
}

postgres_bury_the_dead() { # after a kill -9: the server's children end by themselves, a little later
  local process
  for process in /proc/[0-9]*; do
    while [[ $process/cwd -ef db ]]; do sleep 0.1; done
  done
  rm -f db/postmaster.pid # its pid may belong to another process by now
}

postgres_ask() { # PORT QUERY
  PGCONNECT_TIMEOUT=2 timeout 5 psql -XAtq "$(postgres_url "$1")" -c "$2" 2>/dev/null
}

postgres_answers() { [[ $(postgres_ask "$SERVERS_POSTGRES_PORT" 'select 1') == 1 ]]; }
postgres_replica_answers() {
  [[ $(postgres_ask "$SERVERS_POSTGRES_REPLICA_PORT" 'select status from pg_stat_wal_receiver') == streaming ]]
}

postgres_url() { echo "postgres://postgres@127.0.0.1:$1/postgres"; }
postgres_variables() { echo "POSTGRES_URL=$(postgres_url "$SERVERS_POSTGRES_PORT")"; }
postgres_replica_variables() { echo "POSTGRES_REPLICA_URL=$(postgres_url "$SERVERS_POSTGRES_REPLICA_PORT")"; }
