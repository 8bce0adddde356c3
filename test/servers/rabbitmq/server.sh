# shellcheck shell=bash disable=SC2034,SC2154 # the arrays are the main script's
# RabbitMQ from Debian, with name, data, cookie, ports and epmd of its own.

packages[rabbitmq]='rabbitmq-server curl'
ports[rabbitmq]='SERVERS_RABBITMQ_PORT:1 SERVERS_RABBITMQ_MANAGEMENT_PORT:2 SERVERS_RABBITMQ_PROMETHEUS_PORT:3
                 SERVERS_RABBITMQ_DIST_PORT:4 SERVERS_RABBITMQ_EPMD_PORT:5'
patience[rabbitmq]=90
rabbitmq_server=/usr/lib/rabbitmq/bin/rabbitmq-server # the one in PATH would switch to Debian's user rabbitmq

rabbitmq_programs() { [[ -x $rabbitmq_server ]] && has curl; }
rabbitmq_fetched() { :; }

rabbitmq_run() {
  cat >rabbitmq.conf <<END
listeners.tcp.1 = 127.0.0.1:$SERVERS_RABBITMQ_PORT
management.tcp.ip = 127.0.0.1
management.tcp.port = $SERVERS_RABBITMQ_MANAGEMENT_PORT
prometheus.tcp.ip = 127.0.0.1
prometheus.tcp.port = $SERVERS_RABBITMQ_PROMETHEUS_PORT
log.console = true
log.file = false
# The management API's figures are at most a second old, because tests wait for them.
collect_statistics_interval = 1000
END
  echo '[rabbitmq_management, rabbitmq_prometheus, rabbitmq_consistent_hash_exchange].' >enabled_plugins
  : >no-env.conf
  export RABBITMQ_NODENAME=caudal@localhost
  export RABBITMQ_CONFIG_FILE=$PWD/rabbitmq.conf RABBITMQ_CONF_ENV_FILE=$PWD/no-env.conf
  export RABBITMQ_ENABLED_PLUGINS_FILE=$PWD/enabled_plugins RABBITMQ_GENERATED_CONFIG_DIR=$PWD/config
  export RABBITMQ_MNESIA_BASE=$PWD/mnesia RABBITMQ_LOG_BASE=$PWD/log
  export RABBITMQ_DIST_PORT=$SERVERS_RABBITMQ_DIST_PORT
  export ERL_EPMD_PORT=$SERVERS_RABBITMQ_EPMD_PORT ERL_EPMD_ADDRESS=127.0.0.1
  # +sbwt: its schedulers must not spin while they wait, because the tests need the cores.
  export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none'
  # An epmd that ends with the broker, which this process becomes.
  setpriv --pdeathsig KILL epmd -port "$ERL_EPMD_PORT" -address 127.0.0.1 &
  # Makes the start script exec the broker instead of staying as its parent.
  export RUNNING_UNDER_SYSTEMD=yes
  exec "$rabbitmq_server"
}

rabbitmq_answers() { # answers an AMQP greeting with a method frame (1), and its own health check succeeds
  local first
  first=$(
    exec 3<>"/dev/tcp/127.0.0.1/$SERVERS_RABBITMQ_PORT" && printf 'AMQP\x00\x00\x09\x01' >&3 &&
      timeout 2 head -c 1 <&3 | od -An -tx1
  )
  [[ $first == ' 01' ]] &&
    curl -sf -m 2 -o /dev/null -u guest:guest \
      "http://127.0.0.1:$SERVERS_RABBITMQ_MANAGEMENT_PORT/api/health/checks/virtual-hosts"
}

rabbitmq_variables() {
  echo "RABBITMQ_URL=amqp://guest:guest@127.0.0.1:$SERVERS_RABBITMQ_PORT"
  echo "RABBITMQ_MANAGEMENT_URL=http://guest:guest@127.0.0.1:$SERVERS_RABBITMQ_MANAGEMENT_PORT"
  echo "RABBITMQ_PROMETHEUS_URL=http://127.0.0.1:$SERVERS_RABBITMQ_PROMETHEUS_PORT/metrics"
  # What rabbitmqctl needs: the cookie's folder, and the port of its epmd.
  echo "RABBITMQ_HOME=$SERVERS_HOME/data/rabbitmq"
  echo "RABBITMQ_EPMD_PORT=$SERVERS_RABBITMQ_EPMD_PORT"
}
