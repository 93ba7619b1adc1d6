#!/usr/bin/env bash
# MCP clients and a server that nobody here wrote, against real nodes of which one is killed: the TypeScript SDKs, the
# Python SDK, the Inspector's command line, and the "everything" server behind ours.
#
# Usage: tests/mcp-clients.sh. STEAD_BIN names another server's program than the one it would build.
# Bounded in time. Without Node 20 it fails; without Python 3.10 and its venv it says so and leaves out the Python SDK.
set -euo pipefail
cd "$(dirname "$0")/.."
target="${CARGO_TARGET_DIR:-$HOME/.cache/stead-target}"

major="$(node --version 2>/dev/null | sed 's/^v\([0-9]*\).*/\1/' || true)"
if [ "${major:-0}" -lt 20 ] || ! command -v npm >/dev/null; then
  echo "mcp-clients: needs Node 20 or newer with npm. Debian 13 and newer: apt-get install nodejs npm; elsewhere: https://nodejs.org" >&2
  exit 1
fi

if [ -z "${STEAD_BIN:-}" ]; then
  CARGO_TARGET_DIR="$target" cargo build --release --quiet --bin stead
  STEAD_BIN="$target/release/stead"
fi
export STEAD_BIN

venv="$target/mcp"
if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c 'from mcp import Client' 2>/dev/null; then
  if ! { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet 'mcp~=2.3'; } >/dev/null 2>&1; then
    echo "mcp-clients: without the Python SDK, for python3 or its package cannot be had here"
    rm -rf "$venv"
  fi
fi
if [ -x "$venv/bin/python" ]; then export PYTHON="$venv/bin/python"; fi

# The nodes are started by what the JavaScript client's tests use.
for package in clients/js tests/mcp-clients; do
  if grep -q '"resolved"' "$package/package-lock.json"; then
    echo "mcp-clients: $package/package-lock.json names a registry; make it with npm config omit-lockfile-registry-resolved=true" >&2
    exit 1
  fi
  # Not `npm ci`: an optional package that vite names for Windows is in no registry, and so in no lock file.
  (cd "$package" && timeout 240 npm install --no-save --prefer-offline --no-audit --no-fund --loglevel=error)
done
cd tests/mcp-clients
timeout 240 npm test --silent
