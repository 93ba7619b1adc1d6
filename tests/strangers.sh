#!/usr/bin/env bash
# Clients that nobody here wrote, against real nodes of which one is killed: npm's yjs with y-websocket, phoenix and ws,
# PyPI's websockets.
#
# Usage: tests/strangers.sh. STEAD_BIN names another server's program than the one it would build.
# Bounded in time. Without Node 20 it fails; without Python's venv it says so and leaves out websockets.
set -euo pipefail
cd "$(dirname "$0")/.."
target="${CARGO_TARGET_DIR:-$HOME/.cache/stead-target}"

major="$(node --version 2>/dev/null | sed 's/^v\([0-9]*\).*/\1/' || true)"
if [ "${major:-0}" -lt 20 ] || ! command -v npm >/dev/null; then
  echo "strangers: needs Node 20 or newer with npm. Debian 13 and newer: apt-get install nodejs npm; elsewhere: https://nodejs.org" >&2
  exit 1
fi

if [ -z "${STEAD_BIN:-}" ]; then
  CARGO_TARGET_DIR="$target" cargo build --release --quiet --bin stead
  STEAD_BIN="$target/release/stead"
fi
export STEAD_BIN

venv="$target/websockets"
if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c 'import websockets' 2>/dev/null; then
  if ! { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet 'websockets~=17.4'; } >/dev/null 2>&1; then
    echo "strangers: without websockets, for python3 or its package cannot be had here"
    rm -rf "$venv"
  fi
fi
if [ -x "$venv/bin/python" ]; then export PYTHON="$venv/bin/python"; fi

# The nodes are started by what the JavaScript client's tests use.
for package in clients/js tests/strangers; do
  if grep -q '"resolved"' "$package/package-lock.json"; then
    echo "strangers: $package/package-lock.json names a registry; make it with npm config omit-lockfile-registry-resolved=true" >&2
    exit 1
  fi
  (cd "$package" && timeout 120 npm ci --prefer-offline --no-audit --no-fund --loglevel=error)
done
cd tests/strangers
timeout 150 npm test --silent
