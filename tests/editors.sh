#!/usr/bin/env bash
# Yjs editors as they come from npm (yjs, y-websocket), against real nodes of which one is killed.
#
# Usage: tests/editors.sh. STEAD_BIN names another server's program than the one it would build.
# Bounded in time. Without Node 20 it fails: an editor that nobody tried is not one that works.
set -euo pipefail
cd "$(dirname "$0")/.."
target="${CARGO_TARGET_DIR:-$HOME/.cache/stead-target}"

major="$(node --version 2>/dev/null | sed 's/^v\([0-9]*\).*/\1/' || true)"
if [ "${major:-0}" -lt 20 ] || ! command -v npm >/dev/null; then
  echo "editors: needs Node 20 or newer with npm. Debian 13 and newer: apt-get install nodejs npm; elsewhere: https://nodejs.org" >&2
  exit 1
fi

if [ -z "${STEAD_BIN:-}" ]; then
  CARGO_TARGET_DIR="$target" cargo build --release --quiet --bin stead
  STEAD_BIN="$target/release/stead"
fi
export STEAD_BIN

# The nodes are started by what the JavaScript client's tests use.
for package in clients/js tests/editors; do
  if grep -q '"resolved"' "$package/package-lock.json"; then
    echo "editors: $package/package-lock.json names a registry; make it with npm config omit-lockfile-registry-resolved=true" >&2
    exit 1
  fi
  (cd "$package" && timeout 120 npm ci --prefer-offline --no-audit --no-fund --loglevel=error)
done
cd tests/editors
timeout 150 npm test --silent
