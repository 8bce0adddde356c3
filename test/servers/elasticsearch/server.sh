# shellcheck shell=bash disable=SC2034,SC2154 # the arrays, $here and die_with_log are the main script's
# Elasticsearch from its jars on Maven Central. They hold the server and its HTTP transport, but neither a start script
# nor the modules that a distribution bundles: Launcher.java and Essentials.java provide what the tests need of those.

packages[elasticsearch]='openjdk-17-jdk-headless maven curl'
ports[elasticsearch]='SERVERS_ELASTICSEARCH_PORT:7 SERVERS_ELASTICSEARCH_TRANSPORT_PORT:8'
patience[elasticsearch]=120
elasticsearch_source=$here/elasticsearch
# A folder of its own for each version: another kit may be running from the one before.
# In it, lib is the class path, and modules has a folder for each plug-in.
elasticsearch_home=$SERVERS_INSTALL/elasticsearch-$(version_of "$elasticsearch_source"/{server.sh,pom.xml,*.java})

elasticsearch_programs() { has java javac jar mvn curl; }
elasticsearch_fetched() { [[ -e $elasticsearch_home/fetched ]]; }

elasticsearch_fetch() {
  local home=$elasticsearch_home source=$elasticsearch_source
  local netty=$home/modules/netty4 essentials=$home/modules/essentials
  rm -rf "$home"
  mkdir -p "$netty" "$essentials"
  mvn -B -q -f "$source/pom.xml" dependency:copy-dependencies -DoutputDirectory="$home/lib" </dev/null \
    >"$SERVERS_HOME/log/maven.log" 2>&1 || die_with_log maven 'Maven failed'
  mv "$home"/lib/{netty-,transport-netty4-}*.jar "$netty" &&
    elasticsearch_descriptor transport-netty4 org.elasticsearch.transport.netty4.Netty4Plugin >"$netty/plugin-descriptor.properties" &&
    elasticsearch_descriptor essentials Essentials >"$essentials/plugin-descriptor.properties" &&
    javac -nowarn -cp "$home/lib/*" -d "$home/lib" "$source/Launcher.java" &&
    javac -nowarn -cp "$home/lib/*" -d "$home/classes" "$source/Essentials.java" &&
    jar cf "$essentials/essentials.jar" -C "$home/classes" . &&
    touch "$home/fetched"
}

elasticsearch_descriptor() { # NAME CLASS: what makes a folder of jars a plug-in
  local jar=("$elasticsearch_home"/lib/elasticsearch-[0-9]*.jar)
  [[ ${jar[0]} =~ -([0-9.]+)\.jar$ ]]
  printf '%s\n' "name=$1" "classname=$2" "description=$1" version=1 java.version=17 "elasticsearch.version=${BASH_REMATCH[1]}"
}

elasticsearch_run() {
  mkdir -p tmp
  # shellcheck disable=SC2086 # several options in one word
  exec java -Xms256m -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto ${ES_JAVA_OPTS:-} \
    -Djava.io.tmpdir="$PWD/tmp" -Dlog4j2.disable.jmx=true --add-opens=java.base/java.io=ALL-UNNAMED \
    -cp "$elasticsearch_home/lib:$elasticsearch_home/lib/*" Launcher "$elasticsearch_home" "$PWD" \
    http.port="$SERVERS_ELASTICSEARCH_PORT" transport.port="$SERVERS_ELASTICSEARCH_TRANSPORT_PORT"
}

elasticsearch_answers() { # and every primary shard is there: green or yellow
  local health
  health=$(curl -sf -m 2 "http://127.0.0.1:$SERVERS_ELASTICSEARCH_PORT/_cluster/health") &&
    [[ $health == *'"status":"'[gy]* ]]
}

elasticsearch_variables() { echo "ELASTICSEARCH_URL=http://127.0.0.1:$SERVERS_ELASTICSEARCH_PORT"; }
