# shellcheck shell=bash
# The parts of ./test: one line in the table and one function each. `./test` runs every part in a process of its own, with
#   PART_DIR     an empty folder for its files        PORT_BASE  the first of ten ports that no other part uses
#   SERVERS_DIR  where serve and start_kafka put logs and pids
# A part fails by its exit status (`set -e` is on), and what it started by serve or start_kafka ends with it.
# `full` is true under --full; a part that does less without it says so by `reduced "…"`.

part quick 45m "~3 min" "formatting, clippy, shellcheck, and every Rust test: needs no server and no network"
part conformance 20m "~1 min" "Kafka Streams' own cases, 159 of them, against the production task, with a count by area; part of quick as well"
part kafka 20m "~3 min" "the node's own integration tests on real Kafka: exactly-once, fencing, takeover"
part clients 20m "45 s" "the store on real Kafka seen by strangers: clients in Python and Java that share nothing with us but the protocol"
part registry 15m "30 s" "the same with a real schema registry (Apicurio): schemas registered there, its ids on every record"

part requirements 15m "90 s" "each numbered requirement of the original documents, through HTTP on the embedded log and on Kafka; with processors stopped, commands are taken and the stopped ones catch up"
part seeds 10m "60 s" "orderflow up, empty, under the original documents' own commands: httpie's orders and calls, siege with 100 users, and with the called step sleeping"
part badinput 10m "5 s" "every row of docs/http.md's table of bad input, over real connections to a real process"
part kill 30m "~3.5 min" "kill -9 under traffic, at random moments and at each step of commit and takeover, on both logs: nothing lost, nothing twice, no rebuild"
part businesses 20m "45 s" "all four businesses in one orderflow up, under their generated traffic at once; then each one's audit without a difference"
part outage 20m "60 s" "the payment provider out of service, then charging and not answering in time, in the middle of traffic: no order refused, none lost, all settle, each charged once"
part browser 10m "25 s" "the console in headless Chromium: of each business a saga by clicks and keys, followed live; the breaker seen to open and close"
part footprint 10m "80 s" "orderflow up with 100,000 orders in state: how soon it is ready again and what memory it takes"
part instances 10m "25 s" "two instances on real Kafka: both answer for every key; one is killed, and the other has its tasks in a bounded time"

part_quick() {
  need_build_tools
  need_rust_component rustfmt
  need_rust_component clippy
  need "checking the scripts" shellcheck shellcheck
  (cd "$ROOT" && do_it cargo fmt --all --check)
  do_it shellcheck "$ROOT"/{run,test,.ci/run} "$ROOT"/deploy/*/*.sh "$ROOT"/tests/*.sh "$ROOT"/bench/{compare,compile-time,growth,profile,lib.sh}
  do_it shellcheck "$ROOT/streams/tests/recorder/record"
  cargo_here clippy --release --workspace --all-targets -- -D warnings
  cargo_here test --release --workspace
}

# The same test runs in quick; here it prints what it did.
part_conformance() {
  need_build_tools
  cargo_here test --release -p streams --test conformance -- --nocapture
}

# Our own code's integration tests: files node/tests/kafka_*.rs, tests marked #[ignore = "needs Kafka: ./test kafka"].
part_kafka() {
  need_build_tools
  start_kafka "$PORT_BASE"
  export ORDERFLOW_TEST_BROKERS=$BROKERS
  cargo_here test --release --workspace --test 'kafka_*' -- --ignored
}

# A node on a broker with four partitions, and real clients in front of it.
part_clients() {
  need_jdk
  need_python
  build_programs
  start_kafka "$PORT_BASE"
  KAFKA_JARS=$("$ROOT/deploy/kafka/kafka.sh" jars)
  start_store_on_kafka $((PORT_BASE + 2))
  client_tests test_orders.py test_partitions.py test_dead_letters.py
  do_it "$LOADGEN" audit --kafka "$BROKERS" --http "$STORE_URL" --payment-url "$PROVIDER_URL"
}

# The same clients, with ids that neither they nor the node chose: both get them from a registry by its REST interface.
part_registry() {
  need_python
  build_programs
  start_registry $((PORT_BASE + 4))
  start_kafka "$PORT_BASE"
  start_store_on_kafka $((PORT_BASE + 2)) --set "registry.url=$REGISTRY_URL"
  client_tests test_registry.py test_orders.py
}

# The commands name port 8088, so it is not one of this part's own.
part_requirements() {
  need_python
  build_programs
  start_provider $((PORT_BASE + 1))
  requirements embedded "$PORT_BASE" "$ORDERFLOW" up
  start_kafka $((PORT_BASE + 3))
  do_it "$ORDERFLOW" topics --brokers "$BROKERS"
  requirements kafka $((PORT_BASE + 2)) "$ORDERFLOW" run --brokers "$BROKERS" --instance-id a
}

# requirements NAME PORT COMMAND…: every requirement against a store that COMMAND starts, then the store stopped in parts.
requirements() {
  local name=$1 port=$2 pid
  shift 2
  STORE_URL=http://127.0.0.1:$port
  set -- "$@" --listen "127.0.0.1:$port" --data-dir "$PART_DIR/$name" --set "payment.url=$PROVIDER_URL"
  serve "$name" "$STORE_URL/readyz" "$@"
  pid=$SERVER_PID
  client_tests test_requirements_table.py test_requirements.py
  stop_pid "$pid"
  ORDERFLOW_COMMAND="${*@Q}" ORDERFLOW_LOG=$SERVERS_DIR/$name-stopped.log client_tests test_fault_isolation.py
}

part_seeds() {
  local seconds=60
  need_python
  need_siege
  build_programs
  port_taken 8088 && die_not_ready "port 8088, which the documents' commands name, is taken: stop what listens there"
  start_provider "$PORT_BASE"
  # The call list sleeps as the documents' called step did; the payment provider does so when a test tells it to.
  start_store_embedded 8088 --set "payment.url=$PROVIDER_URL" --set simulate.accept_delay_ms=400 \
    --set simulate.accept_jitter_ms=220
  if ! full; then
    seconds=10
    reduced "siege for $seconds s instead of 60"
  fi
  # A home of its own: siege writes its configuration there, and somebody's own must not decide the result.
  export HOME=$PART_DIR PATH=$VENV/bin:$PATH SIEGE_SECONDS=$seconds
  client_tests test_seeds.py
  do_it "$LOADGEN" audit --http "$STORE_URL" --payment-url "$PROVIDER_URL" --settle 60s
}

part_badinput() {
  need_python
  build_programs
  start_provider $((PORT_BASE + 1))
  start_store_embedded "$PORT_BASE" --set "payment.url=$PROVIDER_URL"
  client_tests test_bad_input.py
  do_it "$LOADGEN" audit --http "$STORE_URL" --payment-url "$PROVIDER_URL"
}

# The same rounds on both logs (see the head of kill.py). What a task restores after a kill is bounded by what one commit
# interval can have left uncommitted.
part_kill() {
  local rounds=30 per_point=5
  need_build_tools
  build_programs
  if ! full; then
    rounds=10 per_point=2
    reduced "$rounds kills at random moments instead of 30, and $per_point at each point instead of 5, on each log"
  fi
  kill_rounds embedded "$PORT_BASE"
  # Another business: things that only one can have, held over kills.
  rounds=$((rounds / 2)) kill_rounds gdmarket "$PORT_BASE" --app gdmarket
  start_kafka $((PORT_BASE + 2))
  do_it "$ORDERFLOW" topics --app fashion-store --brokers "$BROKERS"
  # At 150 orders a second and some twenty stored entries each, 100 ms are 300 entries over all tasks; a busy machine may
  # commit ten times less often. A rebuild would be all entries so far, tens of thousands.
  kill_rounds kafka $((PORT_BASE + 4)) --brokers "$BROKERS" --restored-max 3000
}

# kill_rounds NAME PORT [options of kill.py…]: with $rounds and $per_point.
kill_rounds() {
  do_it python3 "$ROOT/tests/kill.py" --orderflow "$ORDERFLOW" --loadgen "$LOADGEN" --dir "$PART_DIR/$1" --port "$2" \
    --rounds "$rounds" --per-point "$per_point" "${@:3}"
}

part_instances() {
  need_python
  build_programs
  start_kafka "$PORT_BASE"
  start_store_on_kafka $((PORT_BASE + 2))
  local staying=$STORE_URL
  start_instance other $((PORT_BASE + 4))
  export OTHER_INSTANCE="$STORE_URL $SERVER_PID"
  STORE_URL=$staying
  client_tests test_two_instances.py
  do_it "$LOADGEN" audit --kafka "$BROKERS" --http "$STORE_URL" --payment-url "$PROVIDER_URL"
}

# What unwinds must be there too: some payments are declined.
part_businesses() {
  build_programs
  start_provider $((PORT_BASE + 1))
  provider '{"latency_ms": 5, "jitter_ms": 30, "decline_percent": 3}'
  start_businesses fashion-store taxi gdmarket ebook-rental
  replay_all 3x --orders 1000 --products 200
  await_replays
  audit_all
  happened fashion-store delivered 'called back' 'cancelled OUT_OF_STOCK' 'cancelled PAYMENT_DECLINED'
  happened taxi assigned listed 'drivers told no'
  happened gdmarket returned 'cancelled NOT_AVAILABLE' 'cancelled RENTER' 'items deleted'
  happened ebook-rental returned 'cancelled TAKEN_BY_ANOTHER' 'cancelled REJECTED' 'cancelled PAYMENT_DECLINED'
}

# happened APP WORD…: an audit of nothing finds no difference; these are the fates that it must have counted.
happened() {
  local word
  for word in "${@:2}"; do
    grep -qE "\"$word\": [1-9]" "$PART_DIR/audit-$1.json" || fail "$1: nothing was ever: $word"
  done
}

# Every business that pays. Each outage lasts as long as said, in traffic that begins before and ends behind it.
part_outage() {
  local seconds=60
  build_programs
  if ! full; then
    seconds=10
    reduced "each outage lasts $seconds s instead of 60"
  fi
  start_provider $((PORT_BASE + 1))
  start_businesses fashion-store gdmarket ebook-rental
  outage "$seconds" '{"outage": true}' '{"outage": false}'
  # It takes the money, and its answer comes when nobody waits for it any more.
  outage "$seconds" '{"lost_answer_rate": 1.0}' '{"lost_answer_rate": 0.0}'
}

# outage SECONDS SETTINGS SETTINGS: traffic; the provider behaves as the first settings say for so long, then as the second.
outage() {
  local deferred
  deferred=$(deferred_payments)
  # Five times its pace: 25 orders a second of each business for that long, and half as long again.
  replay_all 5x --orders $((25 * $1 * 3 / 2)) --own-rate 5 --products 400 --skew 0.5
  sleep 2
  provider "$2"
  sleep "$1"
  provider "$3"
  await_replays
  deferred=$(($(deferred_payments) - deferred))
  note "payments put off: $deferred"
  ((deferred > 0)) || fail "the outage was not noticed: it proves nothing"
  audit_all
  # Nobody's order fails because a provider was away for less than the payment's deadline.
  ! grep -lE '"cancelled PAYMENT_(DECLINED|TIMEOUT)"' "$PART_DIR"/audit-*.json || fail "an order was refused for the outage"
}

# fail WHY: ends the part.
fail() {
  warn "$1"
  exit 1
}

deferred_payments() {
  curl -sf "$STORE_URL/metrics" | awk '/^orderflow_payment_deferred/ { sum += $2 } END { print sum + 0 }'
}

# provider SETTINGS: changes how the payment provider behaves from now on.
provider() { do_it curl -sf -o /dev/null -X PUT -H 'content-type: application/json' -d "$1" "$PROVIDER_URL/settings"; }

# start_businesses NAME…: one `orderflow up` with all of them, on the provider; their names in $BUSINESSES.
start_businesses() {
  BUSINESSES=("$@")
  start_store_embedded "$PORT_BASE" "${@/#/--app=}" --set "payment.url=$PROVIDER_URL"
}

# replay_all SPEED [options of generate…]: traffic of all businesses at once, as new orders each time; await_replays waits.
# Outcomes are the audit's: a rent that was not paid when the librarian looked has none.
replay_all() {
  local app
  REPLAYS=()
  for app in "${BUSINESSES[@]}"; do
    do_it "$LOADGEN" generate "$PART_DIR/$app.avro" --app "$app" "${@:2}"
    "$LOADGEN" replay "$PART_DIR/$app.avro" --app "$app" --http "$STORE_URL" --speed "$1" --id-suffix auto --no-outcomes \
      --target-pid "$SERVER_PID" --quiet --report "$PART_DIR/replay-$app.json" &
    REPLAYS+=("$!")
    at_exit stop_pid "$!"
  done
}

# Ends with the first replay that was answered otherwise than its traffic expects.
await_replays() {
  local replay
  for replay in "${REPLAYS[@]}"; do
    wait "$replay" || fail "a replay ended with status $?: see the log above"
  done
}

audit_all() {
  local app
  for app in "${BUSINESSES[@]}"; do
    do_it "$LOADGEN" audit --app "$app" --http "$STORE_URL" --payment-url "$PROVIDER_URL" --settle 120s \
      --report "$PART_DIR/audit-$app.json"
  done
}

part_browser() {
  need "the browser's test" node nodejs
  build_programs
  CHROMIUM=$(need_chromium)
  export CHROMIUM
  start_provider $((PORT_BASE + 1))
  # A breaker that opens and closes after few calls.
  start_store_embedded "$PORT_BASE" \
    --set "payment.url=$PROVIDER_URL" --set breaker.window=2 --set breaker.probes=1 --set breaker.open_ms=1000
  do_it node --experimental-websocket "$ROOT/console/browser-test.mjs" "$STORE_URL" "$PROVIDER_URL" "$PART_DIR"
  do_it "$LOADGEN" audit --http "$STORE_URL"
}

# The aim is 1 s and 150 MB; the limits here are where something is broken, whatever else the machine does.
part_footprint() {
  local orders=100000
  build_programs
  start_store_embedded "$PORT_BASE" --set local.sync=interval
  do_it "$LOADGEN" generate "$PART_DIR/traffic.avro" --orders "$orders" --poison 0
  do_it "$LOADGEN" replay "$PART_DIR/traffic.avro" --http "$STORE_URL" --flat-out --no-outcomes --quiet
  do_it "$LOADGEN" audit --http "$STORE_URL" --settle 120s
  stop_pid "$SERVER_PID"
  do_it "$ROOT/tests/footprint.sh" "$ORDERFLOW" "$PART_DIR/data" "$PORT_BASE" --limits 5000 300
}

# start_store_embedded PORT [options of up…]: `orderflow up`, empty; leaves its base URL in $STORE_URL.
start_store_embedded() {
  STORE_URL=http://127.0.0.1:$1
  serve orderflow "$STORE_URL/readyz" "$ORDERFLOW" up --listen "127.0.0.1:$1" --data-dir "$PART_DIR/data" "${@:2}"
}

# start_provider PORT: a payment provider that tests can set; leaves its base URL in $PROVIDER_URL.
start_provider() {
  PROVIDER_URL=http://127.0.0.1:$1
  serve payment-sim "$PROVIDER_URL/settings" "$ORDERFLOW" payment-sim --listen "127.0.0.1:$1"
}

# start_store_on_kafka PORT [options of run…]: topics, a payment provider on PORT+1 and one node on PORT; leaves its base URL in $STORE_URL.
start_store_on_kafka() {
  do_it "$ORDERFLOW" topics --app fashion-store --brokers "$BROKERS" "${@:2}"
  start_provider $(($1 + 1))
  start_instance node "$1" "${@:2}"
}

# start_instance NAME PORT [options of run…]: one node on $BROKERS; leaves its base URL in $STORE_URL.
start_instance() {
  STORE_URL=http://127.0.0.1:$2
  serve "$1" "$STORE_URL/readyz" "$ORDERFLOW" run --app fashion-store --brokers "$BROKERS" --listen "127.0.0.1:$2" \
    --instance-id "$1" --data-dir "$PART_DIR/$1" --set "payment.url=$PROVIDER_URL" "${@:3}"
}

# client_tests FILE…: the Python tests of tests/clients, against $STORE_URL, and $BROKERS, $PROVIDER_URL where there are any.
client_tests() {
  do_it env PYTHONDONTWRITEBYTECODE=1 ORDERFLOW_URL="$STORE_URL" ORDERFLOW_BROKERS="${BROKERS:-}" \
    PROVIDER_URL="${PROVIDER_URL:-}" REGISTRY_URL="${REGISTRY_URL:-}" KAFKA_JARS="${KAFKA_JARS:-}" \
    "$VENV/bin/python" -m pytest -c "$ROOT/tests/clients/pytest.ini" "${@/#/$ROOT/tests/clients/}"
}
