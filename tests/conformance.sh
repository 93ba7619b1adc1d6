#!/usr/bin/env bash
# The conformance suites of MCP, against a real node with the fixtures they ask for (examples/mcp_fixtures): every server
# scenario of 0.1.16, and of 0.2.0-alpha.12 what the revisions of 2025-11-25 and 2026-07-28 require, and what is not scored.
#
# Usage: tests/conformance.sh. STEAD_BIN names the server's program, beside which the fixtures are looked for; without it
# they are built here. Bounded in time. No failure is expected: there is no baseline.
set -euo pipefail
cd "$(dirname "$0")/.."
target="${CARGO_TARGET_DIR:-$HOME/.cache/stead-target}"

if ! command -v npm >/dev/null; then
  echo "conformance: needs npm. Debian 13 and newer: apt-get install nodejs npm; elsewhere: https://nodejs.org" >&2
  exit 1
fi
fixtures="$target/release/examples/mcp_fixtures"
if [ -n "${STEAD_BIN:-}" ]; then fixtures="$(dirname "$STEAD_BIN")/examples/mcp_fixtures"; fi
if [ ! -x "$fixtures" ]; then
  CARGO_TARGET_DIR="$target" cargo build --release --quiet --example mcp_fixtures
  fixtures="$target/release/examples/mcp_fixtures"
fi

if grep -q '"resolved"' tests/conformance/package-lock.json; then
  echo "conformance: package-lock.json names a registry; make it with npm config omit-lockfile-registry-resolved=true" >&2
  exit 1
fi
(cd tests/conformance && timeout 240 npm ci --prefer-offline --no-audit --no-fund --loglevel=error)
node="$PWD/tests/conformance/node_modules/.bin/node"
suite() { echo "$PWD/tests/conformance/node_modules/conformance-$1/dist/index.js"; }

home="$(mktemp -d)"
cleanup() {
  if [ -n "${server:-}" ]; then kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; fi
  rm -rf "$home"
}
trap cleanup EXIT
STEAD_DATA="$home/data" STEAD_LISTEN=127.0.0.1:0 STEAD_PEER_LISTEN=127.0.0.1:0 "$fixtures" >"$home/out" 2>"$home/log" &
server=$!
url=""
for _ in $(seq 200); do
  url="$(sed -n 's/^listening on \(http:[^ ]*\)$/\1/p' "$home/out")"
  if [ -n "$url" ] && curl -sf "$url/ready" >/dev/null; then break; fi
  if ! kill -0 "$server" 2>/dev/null; then cat "$home/log" >&2; exit 1; fi
  sleep 0.1
done

# Runs a suite; fails where a scenario does, scored or not.
run() {
  local name="$1" program="$2"
  shift 2
  local seen="$home/$name"
  if ! (cd "$home" && timeout 300 "$node" "$program" server --url "$url/mcp" "$@") >"$seen" 2>&1 ||
    ! grep -q '^Total: ' "$seen" || grep -qE '^ *✗|[1-9][0-9]* (failed|failing|warnings?)' "$seen"; then
    sed -n '/=== SUMMARY ===/,$p' "$seen" >&2
    grep -E 'FAILURE|WARNING' -A4 "$seen" >&2 || tail -40 "$seen" >&2
    echo "conformance: $name fails" >&2
    exit 1
  fi
  echo "conformance: $name: $(sed -n 's/^Total: //p' "$seen")"
}

run 0.1.16 "$(suite 0.1)" --suite all
run 2025-11-25 "$(suite 0.2)" --requirements 2025-11-25
run 2026-07-28 "$(suite 0.2)" --requirements 2026-07-28
