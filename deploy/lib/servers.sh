# shellcheck shell=bash
# Building the two programs, and starting servers that end with the script. Source after common.sh and needs.sh.

# cargo_here COMMAND ARGS…: cargo with this checkout's lock file, from the checkout's root. The flag comes first: what
# follows a `--` is not cargo's.
cargo_here() { (cd "$ROOT" && do_it cargo "$1" --locked "${@:2}"); }

# The two programs, with the one profile that everything here uses; afterwards $ORDERFLOW and $LOADGEN name them.
# The whole workspace at once: building single packages would resolve features anew and compile dependencies twice.
# ORDERFLOW_PROGRAMS names a folder that has them already (an image's, say): nothing is built then.
build_programs() {
  local built=${ORDERFLOW_PROGRAMS:-}
  if [[ -z $built ]]; then
    need_build_tools
    cargo_here build --release --workspace
    built=$TARGET_DIR/release
  fi
  # shellcheck disable=SC2034 # read by the scripts that source this file
  ORDERFLOW=$built/orderflow LOADGEN=$built/loadgen
  [[ -x $ORDERFLOW && -x $LOADGEN ]] || die_missing "no orderflow and loadgen in ${ORDERFLOW_PROGRAMS:-$built}"
}

http_ok() { curl -sf -m 2 -o /dev/null "$1"; }

# serve NAME READY_URL COMMAND…: starts COMMAND in the background, its log and pid under $SERVERS_DIR, stops it when the
# script ends, and waits until READY_URL answers 2xx. Leaves the pid in $SERVER_PID.
serve() {
  local name=$1 ready=$2
  shift 2
  local log=$SERVERS_DIR/$name.log
  mkdir -p "$SERVERS_DIR"
  note "+ $*"
  "$@" >>"$log" 2>&1 </dev/null &
  SERVER_PID=$!
  echo "$SERVER_PID" >"$SERVERS_DIR/$name.pid"
  at_exit stop_pid "$SERVER_PID"
  await "$name" "$ready"
}

# await NAME READY_URL: waits until the server started last answers READY_URL; shows its log if it does not.
await() {
  wait_until "${READY_SECONDS:-60}" "$SERVER_PID" http_ok "$2" && return 0
  show_tail "$SERVERS_DIR/$1.log" 40
  if alive "$SERVER_PID"; then
    die_not_ready "$1 (pid $SERVER_PID) does not answer $2 after ${READY_SECONDS:-60} s: see $SERVERS_DIR/$1.log"
  fi
  die_not_ready "$1 ended before it was ready: see $SERVERS_DIR/$1.log"
}

# start_kafka PORT [options of kafka.sh start…]: a broker of this script's own, gone when the script ends.
# Leaves its address in $BROKERS.
start_kafka() {
  local data=$SERVERS_DIR/kafka-$1
  at_exit "$ROOT/deploy/kafka/kafka.sh" stop --data "$data"
  "$ROOT/deploy/kafka/kafka.sh" start --port "$1" --data "$data" "${@:2}" >/dev/null
  # shellcheck disable=SC2034
  BROKERS=127.0.0.1:$1
}

# start_registry PORT: an empty schema registry of this script's own, gone when the script ends.
# Leaves its Confluent-compatible base URL in $REGISTRY_URL.
start_registry() {
  local data=$SERVERS_DIR/registry-$1
  at_exit "$ROOT/deploy/registry/registry.sh" stop --data "$data"
  # shellcheck disable=SC2034
  REGISTRY_URL=$("$ROOT/deploy/registry/registry.sh" start --port "$1" --data "$data")
}
