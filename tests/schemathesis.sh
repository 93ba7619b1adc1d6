#!/usr/bin/env bash
# Checks that /openapi.json is true: schemathesis makes requests from it and compares the answers.
#
# Usage: tests/schemathesis.sh [URL of a running node]. Without one it starts a node of its own,
# of the program that STEAD_BIN names or of the one that it builds.
# Bounded in time. Where Python or its packages cannot be had it says so and ends with 0.
set -euo pipefail
cd "$(dirname "$0")/.."
target="${CARGO_TARGET_DIR:-$HOME/.cache/stead-target}"
venv="$target/schemathesis"
version=4.32

if [ ! -x "$venv/bin/schemathesis" ]; then
  if ! { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet "schemathesis~=$version"; } >/dev/null 2>&1; then
    echo "schemathesis: skipped, for python3 or its package cannot be had here"
    rm -rf "$venv"
    exit 0
  fi
fi

url="${1:-}"
if [ -z "$url" ]; then
  if [ -z "${STEAD_BIN:-}" ]; then
    CARGO_TARGET_DIR="$target" cargo build --release --quiet --bin stead
    STEAD_BIN="$target/release/stead"
  fi
  home="$(mktemp -d)"
  "$STEAD_BIN" serve --listen 127.0.0.1:0 --peer-listen 127.0.0.1:0 --data "$home/data" >"$home/log" 2>&1 &
  node=$!
  trap 'kill "$node" 2>/dev/null || true; wait "$node" 2>/dev/null || true; rm -rf "$home"' EXIT
  for _ in $(seq 200); do
    url="$(grep -ao 'listening on http://[0-9.:]*' "$home/log" | head -1 | cut -d' ' -f3 || true)"
    [ -n "$url" ] && break
    sleep 0.05
  done
  [ -n "$url" ] || { echo "schemathesis: the node did not start:"; cat "$home/log"; exit 1; }
fi

# What a description cannot say is said in tests/openapi. Live paths answer 101 or a stream without end,
# which schemathesis does not speak.
root="$PWD"
cd "$target" # where it leaves its notes
hold() {
  SCHEMATHESIS_HOOKS=hooks PYTHONPATH="$root/tests/openapi" timeout 300 "$venv/bin/schemathesis" \
    --config-file "$root/tests/openapi/schemathesis.toml" run "$url/openapi.json" --url "$url" \
    --max-examples "${EXAMPLES:-25}" --seed 3 --request-timeout 10 --checks all --continue-on-failure --no-color "$@"
}
# A refusal of a method was an exception in the original worker, and is 500 to its clients.
methods='/object/\{id\}/method/'
hold --exclude-path-regex "/(live|websocket)\$|^/v1/yjs/|$methods" --exclude-checks ignored_auth
hold --include-path-regex "$methods" --exclude-checks ignored_auth,not_a_server_error
