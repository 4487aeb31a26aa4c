# shellcheck shell=bash
# The parts of ./test: one line in the table and one function each. `./test` runs every part in a process of its own, with
#   PART_DIR     an empty folder for its files        PORT_BASE  the first of ten ports that no other part uses
#   SERVERS_DIR  where serve and start_kafka put logs and pids
# A part fails by its exit status (`set -e` is on), and what it started by serve or start_kafka ends with it.
# `full` is true under --full; a part that does less without it says so by `reduced "…"`.

part quick 45m "~3 min" "formatting, clippy, shellcheck, and every Rust test: needs no server and no network"
part kafka 20m "~3 min" "on real Kafka: the node's integration tests, then clients in Python and Java that share nothing with us but the protocol"

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
