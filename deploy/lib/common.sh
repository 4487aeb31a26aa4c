# shellcheck shell=bash
# What every script of this project starts from: where things are, how it speaks, how it ends.
# Source it after `set -euo pipefail`; it changes nothing but its own variables and the EXIT trap.

# Root of the checkout, of this run's files (git-ignored), and of everything worth keeping between checkouts.
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
RUN_DIR=${ORDERFLOW_RUN_DIR:-$ROOT/.run}
CACHE=${ORDERFLOW_CACHE:-$HOME/.cache/orderflow}
mkdir -p "$RUN_DIR" "$CACHE"

# A fresh clone per CI run must not compile RocksDB and librdkafka again.
if [[ -n ${CI:-} ]]; then
  export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$CACHE/target}
fi
# shellcheck disable=SC2034 # read by the scripts that source this file
TARGET_DIR=${CARGO_TARGET_DIR:-$ROOT/target}

if [[ -t 2 && -z ${NO_COLOR:-} ]]; then
  BOLD=$'\e[1m' DIM=$'\e[2m' RED=$'\e[31m' GREEN=$'\e[32m' YELLOW=$'\e[33m' PLAIN=$'\e[0m'
else
  # shellcheck disable=SC2034
  BOLD='' DIM='' RED='' GREEN='' YELLOW='' PLAIN=''
fi

# Progress goes to stderr: stdout belongs to what a script was asked for (a pid, a path).
say()  { printf '%s==>%s %s\n' "$BOLD" "$PLAIN" "$*" >&2; }
note() { printf '%s    %s%s\n' "$DIM" "$*" "$PLAIN" >&2; }
warn() { printf '%swarning:%s %s\n' "$YELLOW" "$PLAIN" "$*" >&2; }

# The ways a script gives up; each message says what to do about it. 1 is left for "what was checked failed".
die_usage()     { _die 2 "$@"; } # the command line makes no sense
die_missing()   { _die 3 "$@"; } # something is not installed and could not be installed
die_not_ready() { _die 4 "$@"; } # a server did not come up, or went away

_die() {
  printf '%serror:%s %s\n' "$RED" "$PLAIN" "${*:2}" >&2
  exit "$1"
}

# do_it COMMAND…: shows a command that changes the machine, then runs it.
do_it() {
  note "+ $*"
  "$@"
}

# ── what must happen at the end, whichever way the script ends ──────────────────────────────────
_at_exit=()

# at_exit COMMAND…: runs COMMAND when the script ends; the last one registered runs first.
at_exit() {
  local quoted
  printf -v quoted '%q ' "$@"
  _at_exit+=("$quoted")
}

_run_at_exit() {
  local status=$? i
  # A second signal must not cut the cleaning up short and leave servers behind.
  trap '' INT TERM HUP
  for ((i = ${#_at_exit[@]} - 1; i >= 0; i--)); do
    eval "${_at_exit[i]}" || true
  done
  exit "$status"
}
trap _run_at_exit EXIT
# Without these, bash would die of the signal and skip the EXIT trap of a script waiting for a child.
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# ── processes, always by pid ────────────────────────────────────────────────────────────────────
alive() { [[ -n ${1:-} ]] && kill -0 "$1" 2>/dev/null && ! _is_zombie "$1"; }

_is_zombie() { [[ $(ps -o stat= -p "$1" 2>/dev/null) == Z* ]]; }

# server_pid FILE WORDS: the pid in FILE if that process lives and has WORDS in its command line: a pid that was since
# given to another program does not count.
server_pid() {
  local pid
  pid=$(cat "$1" 2>/dev/null) || return 1
  alive "$pid" && tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF -- "$2" || return 1
  echo "$pid"
}

# kill_pid PID: kill -9, and waits until the process is really gone: only then its port and its locks are free.
kill_pid() {
  kill -9 "$1" 2>/dev/null || return 0
  while alive "$1"; do sleep 0.02; done
}

# stop_pid PID [SECONDS]: asks with TERM, waits so long (10 s), then kills.
stop_pid() {
  local pid=$1 patience=${2:-10} i
  alive "$pid" || return 0
  kill "$pid" 2>/dev/null || return 0
  for ((i = 0; i < patience * 10; i++)); do
    alive "$pid" || return 0
    sleep 0.1
  done
  warn "process $pid did not stop within $patience s of SIGTERM: killed"
  kill_pid "$pid"
}

# wait_until SECONDS PID COMMAND…: true as soon as COMMAND is; false when the time or the process PID ends.
# PID may be empty when there is no process to watch.
wait_until() {
  local deadline=$((SECONDS + $1)) pid=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || return 1
    [[ -z $pid ]] || alive "$pid" || return 1
    sleep 0.1
  done
}

# port_taken PORT: true when something listens there.
port_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# show_tail FILE [LINES]: the end of a log, marked as such.
show_tail() {
  [[ -s $1 ]] || { note "(nothing in $1)"; return 0; }
  note "last lines of $1:"
  tail -n "${2:-30}" "$1" | sed 's/^/      | /' >&2
}
