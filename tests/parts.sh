# shellcheck shell=bash
# The parts of ./test: one line in the table and one function each. `./test` runs every part in a process of its own, with
#   PART_DIR     an empty folder for its files        PORT_BASE  the first of ten ports that no other part uses
#   SERVERS_DIR  where serve and start_kafka put logs and pids
# A part fails by its exit status (`set -e` is on), and what it started by serve or start_kafka ends with it.
# `full` is true under --full; a part that does less without it says so by `reduced "…"`.

part quick 45m "~3 min" "formatting, clippy, shellcheck, and every Rust test: needs no server and no network"
part kafka 20m "~3 min" "the node's own integration tests on real Kafka: exactly-once, fencing, takeover"
part clients 20m "~2 min" "the store on real Kafka seen by strangers: clients in Python and Java that share nothing with us but the protocol"

part_quick() {
  need_build_tools
  need_rust_component rustfmt
  need_rust_component clippy
  need "checking the scripts" shellcheck shellcheck
  (cd "$ROOT" && do_it cargo fmt --all --check)
  do_it shellcheck "$ROOT"/{run,test,.ci/run} "$ROOT"/deploy/*/*.sh "$ROOT"/tests/*.sh
  cargo_here clippy --release --workspace --all-targets -- -D warnings
  cargo_here test --release --workspace
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
  start_store_on_kafka $((PORT_BASE + 2))
  client_tests tests/clients
}

# start_store_on_kafka PORT: topics, a payment provider on PORT+1 and one node on PORT; leaves its base URL in $STORE_URL.
start_store_on_kafka() {
  local provider=127.0.0.1:$(($1 + 1))
  STORE_URL=http://127.0.0.1:$1
  do_it "$ORDERFLOW" topics --app fashion-store --brokers "$BROKERS"
  serve payment-sim "http://$provider/settings" "$ORDERFLOW" payment-sim --listen "$provider"
  serve node "$STORE_URL/readyz" "$ORDERFLOW" run --app fashion-store --brokers "$BROKERS" --listen "127.0.0.1:$1" \
    --instance-id node --data-dir "$PART_DIR/node" --set "payment.url=http://$provider"
}

# client_tests PATH…: the Python tests there, against $BROKERS and $STORE_URL.
client_tests() {
  local jars
  jars=$("$ROOT/deploy/kafka/kafka.sh" jars)
  do_it env PYTHONDONTWRITEBYTECODE=1 ORDERFLOW_BROKERS="$BROKERS" ORDERFLOW_URL="$STORE_URL" KAFKA_JARS="$jars" \
    "$VENV/bin/python" -m pytest -c "$ROOT/tests/clients/pytest.ini" "${@/#/$ROOT/}"
}
