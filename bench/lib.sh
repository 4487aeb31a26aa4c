# shellcheck shell=bash
# What bench/compare and bench/growth have in common: everything installed and built, the broker up.
BENCH=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=deploy/lib/common.sh
source "$BENCH/../deploy/lib/common.sh"
# shellcheck source=deploy/lib/needs.sh
source "$BENCH/../deploy/lib/needs.sh"
export PEER_HOME=${PEER_HOME:-$HOME/.cache/orderflow-peer}

bench_setup() {
  mkdir -p "$PEER_HOME"
  need_build_tools
  need_jdk
  need_maven
  need "the harness" python3 python3
  python3 -c 'import ensurepip, venv' 2>/dev/null || install_packages "a Python environment" python3-venv
  cargo build --release --locked --manifest-path "$ROOT/Cargo.toml" -p bench-app
  ln -sf "$TARGET_DIR/release/bench-app" "$PEER_HOME/bench-app"
  [[ -x $PEER_HOME/venv/bin/python && -f $PEER_HOME/ks/target/app.jsa ]] || "$BENCH/peer/setup.sh"
  # A broker that was already up stays up.
  kill -0 "$(cat "$PEER_HOME/broker/pid" 2>/dev/null)" 2>/dev/null || {
    at_exit "$BENCH/peer/broker/stop.sh"
    "$BENCH/peer/broker/start.sh"
  }
}
