#!/usr/bin/env bash
# Looks at the console as people do: in Chromium, in two windows on two nodes of a cluster of the server built here.
#
# Usage: tests/browser.sh. STEAD_BIN names another server's program than the one it would build, CHROMIUM another
# browser than Debian's chromium, STEAD_SHOTS a directory for the screenshots. Bounded in time: two minutes beside the build.
set -euo pipefail
cd "$(dirname "$0")/.."
target="${CARGO_TARGET_DIR:-$HOME/.cache/stead-target}"

major="$(node --version 2>/dev/null | sed 's/^v\([0-9]*\).*/\1/' || true)"
if [ "${major:-0}" -lt 20 ] || ! command -v npm >/dev/null; then
  echo "browser: needs Node 20 or newer with npm. Debian 13 and newer: apt-get install nodejs npm; elsewhere: https://nodejs.org" >&2
  exit 1
fi
if [ -z "${CHROMIUM:-}" ]; then
  deploy/build-dependencies chromium=chromium
  CHROMIUM="$(command -v chromium)"
fi
export CHROMIUM

if [ -z "${STEAD_BIN:-}" ]; then
  CARGO_TARGET_DIR="$target" cargo build --release --quiet --bin stead
  STEAD_BIN="$target/release/stead"
fi
export STEAD_BIN

# What others made of the console is what its script makes of it.
src/api/console/vendor/make.sh --check

# The harness for nodes is the client's. No browser is downloaded: Debian's is used.
export PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1
for directory in clients/js tests/browser; do
  if grep -q '"resolved"' "$directory/package-lock.json"; then
    echo "browser: $directory/package-lock.json names a registry; make it with npm config omit-lockfile-registry-resolved=true" >&2
    exit 1
  fi
  (cd "$directory" && timeout 60 npm ci --prefer-offline --no-audit --no-fund --loglevel=error)
done

STEAD_SHOTS="${STEAD_SHOTS:-$(mktemp -d "${TMPDIR:-/tmp}/stead-shots-XXXXXX")}"
export STEAD_SHOTS
mkdir -p "$STEAD_SHOTS"
timeout 120 node --test tests/browser/console.test.js
echo "browser: screenshots are in $STEAD_SHOTS"
