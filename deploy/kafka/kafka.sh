#!/usr/bin/env bash
# Real Apache Kafka on this machine for tests: jars from Maven Central, one JVM per broker, loopback only.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../lib/common.sh
source "$HERE/../lib/common.sh"
# shellcheck source=../lib/needs.sh
source "$HERE/../lib/needs.sh"

usage() {
  cat <<'END'
kafka.sh COMMAND [options]: a single-node Kafka 4.3.1 (KRaft) for tests, on 127.0.0.1

  start    starts the broker unless it runs, waits until it answers, prints its pid
  stop     stops it in order; its data stays
  kill     kill -9; its data stays
  restart  stop, then start with the settings it had
  status   prints pid and port, and exits 0 if it runs and 1 if not
  clean    stops it and deletes its data
  jars     fetches the jars if need be and prints their folder (for `java -cp "$(kafka.sh jars)/*"`)

  --data DIR        where this broker lives: data, log, pid, settings  [.run/kafka]
  --port P          the broker's port; P+1 is its controller's  [19092, or as started before in this DIR]
  --partitions N    default number of partitions of a new topic  [4]
  --heap SIZE       of the JVM, as in -Xmx  [400m]
  --property K=V    a further line of server.properties, may be repeated; it wins over ours

Several brokers run side by side with their own --data and --port. Every command may be repeated safely.
END
}

# ── settings: from the command line, else what this broker was started with, else the defaults ──
DATA=$RUN_DIR/kafka PORT='' PARTITIONS='' HEAP='' PROPERTIES=()

parse_options() {
  while (($#)); do
    case $1 in
      --data | --port | --partitions | --heap | --property)
        (($# >= 2)) || die_usage "$1 needs a value (kafka.sh --help)"
        ;;&
      --data) DATA=$2 && shift 2 ;;
      --port) PORT=$2 && shift 2 ;;
      --partitions) PARTITIONS=$2 && shift 2 ;;
      --heap) HEAP=$2 && shift 2 ;;
      --property) PROPERTIES+=("$2") && shift 2 ;;
      *) die_usage "unknown option '$1' (kafka.sh --help)" ;;
    esac
  done
  [[ $PORT =~ ^[0-9]*$ && $PARTITIONS =~ ^[0-9]*$ ]] || die_usage "--port and --partitions take numbers"
  DATA=$(mkdir -p "$DATA" && cd "$DATA" && pwd)
}

# The value of a setting in this broker's present server.properties, if there is one.
configured() { sed -n "s/^$1=//p" "$DATA/server.properties" 2>/dev/null | tail -n 1; }

configured_port() { configured listeners | sed -n 's#^PLAINTEXT://127.0.0.1:\([0-9]*\),.*#\1#p'; }

# server.properties is the memory of a broker's settings, so that `start` after `kill` needs only --data.
write_properties() {
  local port=${PORT:-$(configured_port)} partitions=${PARTITIONS:-$(configured num.partitions)} heap=${HEAP:-$(configured '# heap')} extra
  PORT=${port:-19092} PARTITIONS=${partitions:-4} HEAP=${heap:-400m}
  extra=$(sed -n '/^# added on the command line$/,$p' "$DATA/server.properties" 2>/dev/null || true)
  ((${#PROPERTIES[@]} == 0)) || extra=$(printf '%s\n' '# added on the command line' "${PROPERTIES[@]}")
  sed -e "s#@PORT@#$PORT#; s#@CONTROLLER_PORT@#$((PORT + 1))#g; s#@DATA@#$DATA#; s#@PARTITIONS@#$PARTITIONS#; s#@HEAP@#$HEAP#" \
    "$HERE/server.properties.in" >"$DATA/server.properties.new"
  [[ -z $extra ]] || printf '%s\n' "$extra" >>"$DATA/server.properties.new"
  mv "$DATA/server.properties.new" "$DATA/server.properties"
}

# ── the jars ────────────────────────────────────────────────────────────────────────────────────
# The folder carries the checksum of the list: a changed list is another folder, never a mixture of two.
jars_folder() { echo "$CACHE/kafka-$(cksum <"$HERE/pom.xml" | cut -d' ' -f1)"; }

fetch_jars() {
  local folder
  folder=$(jars_folder)
  [[ -d $folder ]] && return 0
  need_maven
  say "Kafka's jars, by Maven, into $folder (45 MB, once)"
  # Joined by && because `set -e` means nothing inside a command that `||` follows.
  (
    flock 8 # two test parts may start their first broker at once
    [[ -d $folder ]] ||
      { rm -rf "$folder.part" &&
        do_it mvn -q -B -ntp -f "$HERE/pom.xml" \
          org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies "-DoutputDirectory=$folder.part" >&2 &&
        mv "$folder.part" "$folder"; }
  ) 8>"$CACHE/kafka.lock" ||
    die_missing "Maven could not fetch Kafka: is Maven Central, or a mirror in ~/.m2/settings.xml, reachable?"
}

# ── the process ─────────────────────────────────────────────────────────────────────────────────
# The pid of this DIR's broker if it runs.
running_pid() { server_pid "$DATA/kafka.pid" "kafka.Kafka $DATA/server.properties"; }

# True when the broker answers a Metadata request and counts itself in: an open port alone says nothing, for
# connections are accepted long before requests are.
answers() {
  local reply
  # Metadata v1: size 14 | api key 3, version 1 | correlation id 1 | no client id | an empty list of topics.
  # Its answer begins: size (4 bytes) | correlation id (4) | number of brokers (4).
  reply=$({
    printf '\0\0\0\x0e\0\x03\0\x01\0\0\0\x01\xff\xff\0\0\0\0' >&3
    timeout 2 head -c 12 <&3 | od -An -tu1 -v
  } 3<>"/dev/tcp/127.0.0.1/$1") || return 1
  [[ $(xargs <<<"$reply") =~ \ 0\ 0\ 0\ 1\ 0\ 0\ 0\ [1-9][0-9]*$ ]]
}

# Sets JVM: the command that runs a class of Kafka. C1 alone: on two cores the optimising compiler costs a short-lived
# broker more than it gives.
set_jvm() {
  JVM=(java "-Xmx$HEAP" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "-Dlog4j2.configurationFile=$HERE/log4j2.properties"
    -cp "$(jars_folder)/*")
}

format_storage() {
  [[ -f $DATA/log/meta.properties ]] && return 0
  local cluster_id
  cluster_id=$(head -c 16 /dev/urandom | base64 | tr '+/' 'AB' | cut -c1-22)
  "${JVM[@]}" kafka.tools.StorageTool format -t "$cluster_id" -c "$DATA/server.properties" >"$DATA/format.log" 2>&1 || {
    show_tail "$DATA/format.log"
    die_not_ready "Kafka could not format $DATA/log"
  }
}

launch() {
  write_properties
  local port
  for port in "$PORT" $((PORT + 1)); do
    port_taken "$port" && die_not_ready "port $port is taken by another program: choose another --port"
  done
  set_jvm
  format_storage
  # A session of its own, so that Ctrl-C and `timeout` at the caller leave it alone; without the lock (descriptor 9).
  setsid "${JVM[@]}" kafka.Kafka "$DATA/server.properties" >>"$DATA/kafka.log" 2>&1 </dev/null 9>&- &
  echo $! >"$DATA/kafka.pid"
}

# ── the commands ────────────────────────────────────────────────────────────────────────────────
start() {
  local pid
  need_java 17
  fetch_jars
  if pid=$(running_pid); then
    [[ -z $PORT || $PORT == "$(configured_port)" ]] ||
      die_usage "the broker of $DATA runs on port $(configured_port) already"
  else
    launch
    pid=$(cat "$DATA/kafka.pid")
  fi
  wait_until 60 "$pid" answers "$(configured_port)" || {
    show_tail "$DATA/kafka.log"
    die_not_ready "Kafka (pid $pid) does not answer on port $(configured_port): see $DATA/kafka.log"
  }
  echo "$pid"
}

stop() {
  local pid
  pid=$(running_pid) || return 0
  stop_pid "$pid" 30
  rm -f "$DATA/kafka.pid"
}

kill_hard() {
  local pid
  pid=$(running_pid) || return 0
  kill_pid "$pid"
  rm -f "$DATA/kafka.pid"
}

status() {
  local pid
  pid=$(running_pid) || { echo "no broker runs in $DATA" && return 1; }
  echo "pid $pid, port $(configured_port), data $DATA"
}

clean() {
  stop
  rm -rf "${DATA:?}"
}

main() {
  local command=${1:---help}
  shift || true
  case $command in
    -h | --help | help) usage && exit 0 ;;
    jars) fetch_jars && jars_folder && exit 0 ;;
    start | stop | kill | restart | status | clean) parse_options "$@" ;;
    *) die_usage "unknown command '$command' (kafka.sh --help)" ;;
  esac
  [[ $command != status ]] || { status && exit 0 || exit 1; }
  # One command at a time per broker: two `start`s at once must not make two JVMs.
  exec 9>"$DATA.lock"
  flock 9
  case $command in
    start) start ;;
    stop) stop ;;
    kill) kill_hard ;;
    restart) stop && start ;;
    clean) clean ;;
  esac
}

main "$@"
