#!/usr/bin/env bash
# How soon `orderflow up` is ready on data that is there, and what memory it takes:
#   tests/footprint.sh ORDERFLOW DATA_DIR PORT [--limits MILLISECONDS MEGABYTES]
# Starts it, measures from the start of the process to the first 200 of /readyz, reads its resident memory then and after
# the whole list of orders' first pages was asked for, and stops it. Status 1 when a limit is passed.
set -euo pipefail
# shellcheck source=deploy/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../deploy/lib/common.sh"

(($# == 3 || $# == 6)) || die_usage "tests/footprint.sh ORDERFLOW DATA_DIR PORT [--limits MILLISECONDS MEGABYTES]"
orderflow=$1 data=$2 url=http://127.0.0.1:$3 milliseconds_max=${5:-} megabytes_max=${6:-}

resident_mb() { awk '/^VmRSS/ { print int($2 / 1024) }' "/proc/$pid/status"; }
ready() { curl -sf -m 2 -o /dev/null "$url/readyz"; }

began=$(date +%s%3N)
"$orderflow" up --listen "127.0.0.1:$3" --data-dir "$data" >"$RUN_DIR/footprint.log" 2>&1 &
pid=$!
at_exit stop_pid "$pid"
until ready; do
  alive "$pid" || die_not_ready "it ended: see $RUN_DIR/footprint.log"
  (($(date +%s%3N) - began < 60000)) || die_not_ready "not ready after 60 s: see $RUN_DIR/footprint.log"
  sleep 0.01
done
milliseconds=$(($(date +%s%3N) - began))
at_start=$(resident_mb)
for page in 0 1 2 3 4; do
  curl -sf -m 30 "$url/orders?size=1000&page=$page" -o /dev/null
done
orders=$(curl -sf "$url/orders?size=1" | sed -n 's/.*"totalElements":\([0-9]*\).*/\1/p')
megabytes=$(resident_mb)
echo "orders in state: ${orders:-unknown}; ready after $milliseconds ms; resident memory $at_start MB, $megabytes MB after 5 pages of 1000 orders"
[[ -n $milliseconds_max ]] || exit 0
((milliseconds <= milliseconds_max && megabytes <= megabytes_max)) ||
  { warn "the limits are $milliseconds_max ms and $megabytes_max MB"; exit 1; }
