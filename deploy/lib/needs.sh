# shellcheck shell=bash
# What the scripts need from the machine, and how they get what is missing: Debian or Ubuntu packages by apt-get, Python
# packages into an environment of our own. Every command that changes the machine is shown before it runs.
# Source after common.sh.

# install_packages WHY PACKAGE…: by apt-get, as root or by sudo; else says what to run.
install_packages() {
  local why=$1
  shift
  command -v apt-get >/dev/null || die_missing "$why needs the equivalent of these Debian packages: $*"
  say "$why needs packages that are not installed: $*"
  _apt_update
  _apt env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
}

# A fresh container has no package lists; stale lists name versions that are gone. Once per script run is enough.
_apt_update() {
  [[ -z ${_apt_updated:-} ]] || return 0
  _apt apt-get update -qq
  _apt_updated=yes
}

# Runs a command as root and shows it; keeps dpkg's hundred lines of success out of sight, and shows them when there was none.
_apt() {
  local as_root=()
  if ((EUID != 0)); then
    command -v sudo >/dev/null || die_missing "no sudo here; as root run: $*"
    as_root=(sudo)
  fi
  note "+ ${as_root[*]}${as_root:+ }$*"
  "${as_root[@]}" "$@" >"$RUN_DIR/apt.log" 2>&1 && return 0
  show_tail "$RUN_DIR/apt.log"
  die_missing "this command failed: $*"
}

# need WHY COMMAND PACKAGE…: installs the packages unless COMMAND exists.
need() {
  local why=$1 command=$2
  shift 2
  command -v "$command" >/dev/null || install_packages "$why" "$@"
  command -v "$command" >/dev/null || die_missing "$why: '$command' is still missing after installing $*"
}

# What the build needs beside Rust: a C and C++ compiler for librdkafka and RocksDB, libclang for RocksDB's bindings.
need_build_tools() {
  local missing=() tool
  for tool in cc c++ make; do
    command -v "$tool" >/dev/null || missing=(build-essential)
  done
  command -v cmake >/dev/null || missing+=(cmake)
  command -v pkg-config >/dev/null || missing+=(pkg-config)
  _has_libclang || missing+=(libclang-dev)
  ((${#missing[@]} == 0)) || install_packages "the build" "${missing[@]}"
  need_rust
}

# As bindgen looks for it: an explicit path, LLVM's own folders, the linker's cache. libclang-cpp, which other packages
# bring along, is another library and does not do.
_has_libclang() {
  [[ -n ${LIBCLANG_PATH:-} ]] && return 0
  { compgen -G '/usr/lib/llvm-*/lib/libclang*' || true
    command -v ldconfig >/dev/null && ldconfig -p; } 2>/dev/null | grep -E 'libclang(-[0-9][0-9.]*)?\.so' >/dev/null
}

# Rust itself is the one thing we do not install: which toolchain a machine has is its owner's choice.
need_rust() {
  local wanted found
  wanted=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' "$ROOT/Cargo.toml")
  command -v cargo >/dev/null || die_missing "Rust $wanted or newer is needed: see https://rustup.rs"
  found=$(cargo --version | cut -d' ' -f2)
  [[ $(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1) == "$wanted" ]] ||
    die_missing "Rust $wanted or newer is needed, here is $found: run 'rustup update'"
}

# need_rust_component NAME: clippy or rustfmt, which a minimal toolchain lacks.
need_rust_component() {
  cargo "${1/rustfmt/fmt}" --version >/dev/null 2>&1 && return 0
  command -v rustup >/dev/null || die_missing "cargo has no $1: install it the way Rust was installed here"
  do_it rustup component add "$1" >&2
}

# The major version of java, 0 if there is none.
java_version() {
  local version
  version=$(java -version 2>&1 | sed -n '1s/.*version "\([0-9]*\).*/\1/p') || true
  echo "${version:-0}"
}

# install_java WHY jre|jdk: the oldest long-term release that this distribution has and Kafka runs on: Debian 12 has 17
# only, Debian 13 has 21 and no 17, and what `default-jre` is differs everywhere.
install_java() {
  local release
  _apt_update
  for release in 17 21 25; do
    [[ -n $(apt-cache search --names-only "^openjdk-$release-$2-headless\$") ]] || continue
    install_packages "$1" "openjdk-$release-$2-headless"
    return
  done
  die_missing "$1 needs Java 17 or newer, and no openjdk-17, -21 or -25 package was found"
}

need_java() {
  (($(java_version) >= $1)) && return 0
  install_java "Kafka" jre
  (($(java_version) >= $1)) ||
    die_missing "Java $1+ is needed, and \`java\` is still $(java_version): choose another by update-alternatives --config java"
}

# Java programs in one source file (`java File.java`) need the compiler, which a JRE lacks.
need_jdk() { command -v javac >/dev/null || install_java "the check against Java's own client" jdk; }

need_maven() {
  need_java 17
  need "Kafka (its jars come from Maven Central)" mvn maven
}

# ── Python ──────────────────────────────────────────────────────────────────────────────────────
VENV=$CACHE/python

# Makes the environment of tests/requirements.txt, or brings it up to date; afterwards $VENV/bin/python has everything.
need_python() {
  local wanted stamp=$VENV/requirements.cksum
  need "the Python clients of the tests" python3 python3
  wanted=$(cksum <"$ROOT/tests/requirements.txt")
  [[ -x $VENV/bin/python && $(cat "$stamp" 2>/dev/null) == "$wanted" ]] && return 0
  # Debian splits ensurepip off: python3 is there and cannot make an environment.
  python3 -c 'import ensurepip, venv' 2>/dev/null || install_packages "a Python environment" python3-venv
  say "Python packages of tests/requirements.txt into $VENV (once)"
  # Joined by && because `set -e` means nothing inside a command that `||` follows.
  (
    flock 8 # two test parts may need it at once
    [[ $(cat "$stamp" 2>/dev/null) == "$wanted" ]] ||
      { { [[ -x $VENV/bin/python ]] || do_it python3 -m venv "$VENV"; } &&
        do_it "$VENV/bin/python" -m pip install -q --disable-pip-version-check -r "$ROOT/tests/requirements.txt" >&2 &&
        echo "$wanted" >"$stamp"; }
  ) 8>"$CACHE/python.lock" ||
    die_missing "pip could not install tests/requirements.txt: is PyPI, or a mirror in pip's configuration, reachable?"
}

# ── tools of single test parts ──────────────────────────────────────────────────────────────────
need_siege() { need "the seeds' load commands" siege siege; }
need_curl() { need "talking to servers" curl curl; }

# Prints the headless browser's command; its driver is `chromedriver`.
need_chromium() {
  local name
  need "the console's tests" chromedriver chromium-driver chromium
  for name in chromium chromium-browser google-chrome; do
    command -v "$name" && return 0
  done
  install_packages "the console's tests" chromium
  command -v chromium
}
