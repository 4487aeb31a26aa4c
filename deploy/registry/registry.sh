#!/usr/bin/env bash
# A real schema registry on this machine for tests: Apicurio from Maven Central, one JVM, loopback, schemas in memory.
#
# It is the 2.6 line on purpose: it runs on the Java 17 that Kafka needs anyway and is up in a few seconds, where 3.x asks
# for Java 21 and half a minute. Its Confluent-compatible interface (ccompat v7), which is all that Orderflow uses, is the same.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../lib/common.sh
source "$HERE/../lib/common.sh"
# shellcheck source=../lib/needs.sh
source "$HERE/../lib/needs.sh"

readonly VERSION=2.6.13.Final
readonly APP=$CACHE/apicurio-$VERSION
readonly JAR=$APP/apicurio-registry-app-$VERSION-runner.jar

usage() {
  cat <<'END'
registry.sh COMMAND [options]: an Apicurio schema registry for tests, on 127.0.0.1, its schemas in memory

  start    starts it unless it runs, waits until it answers, prints its Confluent-compatible base URL
  stop     stops it; the schemas are gone
  status   prints pid and URL, and exits 0 if it runs and 1 if not

  --data DIR   where its pid and log live  [.run/registry]
  --port P     its port  [18081, or as started before in this DIR]

Every command may be repeated safely.
END
}

DATA=$RUN_DIR/registry PORT=''

parse_options() {
  while (($#)); do
    case $1 in
      --data | --port) (($# >= 2)) || die_usage "$1 needs a value (registry.sh --help)" ;;&
      --data) DATA=$2 && shift 2 ;;
      --port) PORT=$2 && shift 2 ;;
      *) die_usage "unknown option '$1' (registry.sh --help)" ;;
    esac
  done
  [[ $PORT =~ ^[0-9]*$ ]] || die_usage "--port takes a number"
  DATA=$(mkdir -p "$DATA" && cd "$DATA" && pwd)
}

known_port() { cat "$DATA/port" 2>/dev/null || echo 18081; }

base_url() { echo "http://127.0.0.1:$(known_port)/apis/ccompat/v7"; }

running_pid() { server_pid "$DATA/registry.pid" "$JAR"; }

fetch() {
  [[ -f $JAR ]] && return 0
  need_maven
  say "the Apicurio registry, by Maven, into $APP (once)"
  # Joined by && because `set -e` means nothing inside a command that `||` follows.
  (
    flock 8
    [[ -f $JAR ]] ||
      { rm -rf "$APP.part" && mkdir -p "$APP.part" &&
        do_it mvn -q -B -ntp org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy \
          "-Dartifact=io.apicurio:apicurio-registry-app:$VERSION:tar.gz:all" "-DoutputDirectory=$APP.part" >&2 &&
        tar xzf "$APP.part"/*.tar.gz -C "$APP.part" && rm "$APP.part"/*.tar.gz && mv "$APP.part" "$APP"; }
  ) 8>"$CACHE/registry.lock" || die_missing "Maven could not fetch Apicurio $VERSION: is Maven Central, or a mirror, reachable?"
}

answers() { curl -sf -m 2 "$(base_url)/subjects"; }

launch() {
  PORT=${PORT:-$(known_port)}
  port_taken "$PORT" && die_not_ready "port $PORT is taken by another program: choose another --port"
  echo "$PORT" >"$DATA/port"
  # A session of its own, so that Ctrl-C and `timeout` at the caller leave it alone; without the lock (descriptor 9).
  setsid env QUARKUS_HTTP_HOST=127.0.0.1 QUARKUS_HTTP_PORT="$PORT" \
    java -Xmx300m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -jar "$JAR" >"$DATA/registry.log" 2>&1 </dev/null 9>&- &
  echo $! >"$DATA/registry.pid"
}

start() {
  local pid
  need_java 17
  need_curl
  fetch
  if pid=$(running_pid); then
    [[ -z $PORT || $PORT == "$(known_port)" ]] || die_usage "the registry of $DATA runs on port $(known_port) already"
  else
    launch
    pid=$(cat "$DATA/registry.pid")
  fi
  wait_until 90 "$pid" answers || {
    show_tail "$DATA/registry.log"
    die_not_ready "the registry (pid $pid) does not answer at $(base_url): see $DATA/registry.log"
  }
  base_url
}

stop() {
  local pid
  pid=$(running_pid) || return 0
  stop_pid "$pid" 20
  rm -f "$DATA/registry.pid"
}

status() {
  local pid
  pid=$(running_pid) || { echo "no registry runs in $DATA" && return 1; }
  echo "pid $pid, $(base_url)"
}

main() {
  local command=${1:---help}
  shift || true
  case $command in
    -h | --help | help) usage && exit 0 ;;
    start | stop | status) parse_options "$@" ;;
    *) die_usage "unknown command '$command' (registry.sh --help)" ;;
  esac
  [[ $command != status ]] || { status && exit 0 || exit 1; }
  # One command at a time per registry: two `start`s at once must not make two JVMs.
  exec 9>"$DATA.lock"
  flock 9
  "$command"
}

main "$@"
