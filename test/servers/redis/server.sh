# shellcheck shell=bash disable=SC2034,SC2154 # the arrays are the main script's
# Redis from Debian, in memory only: `down` empties it.

packages[redis]='redis-server redis-tools'
ports[redis]='SERVERS_REDIS_PORT:9'
patience[redis]=20

redis_programs() { has redis-server redis-cli; }
redis_fetched() { :; }

redis_run() {
  exec redis-server --bind 127.0.0.1 --port "$SERVERS_REDIS_PORT" --appendonly no --save '' --dir "$PWD"
}

redis_answers() { [[ $(timeout 2 redis-cli -p "$SERVERS_REDIS_PORT" ping 2>/dev/null) == PONG ]]; }
redis_variables() { echo "REDIS_URL=redis://127.0.0.1:$SERVERS_REDIS_PORT"; }
