#!/usr/bin/env bash
# Makes yjs.js, the one file of other people's code that the console serves: Yjs and its WebSocket provider, as the
# lockfile names them. The result is committed: no build of Stead runs this.
#
# Usage: make.sh, or make.sh --check to see that the committed files are what it makes.
set -euo pipefail
cd "$(dirname "$0")"

out="."
if [ "${1:-}" = "--check" ]; then
  out="$(mktemp -d)"
  trap 'rm -rf "$out"' EXIT
fi

timeout 60 npm ci --prefer-offline --no-audit --no-fund --loglevel=error
packages=(yjs y-websocket y-protocols lib0 isomorphic.js)
version() { node -p "require('./node_modules/$1/package.json').version"; }

banner="/* Made by make.sh of"
for package in "${packages[@]}"; do banner+=" $package $(version "$package"),"; done
banner="${banner%,}. Licenses: LICENSES.txt beside this file. */"
node_modules/.bin/esbuild entry.js --bundle --minify --format=esm --platform=browser --target=es2022 \
  --legal-comments=none --log-level=warning "--banner:js=$banner" "--outfile=$out/yjs.js"

for package in "${packages[@]}"; do
  printf '%s %s\n\n' "$package" "$(version "$package")"
  cat "node_modules/$package/LICENSE"
  printf '\n\n'
done | sed 's/[[:space:]]*$//' | cat -s > "$out/LICENSES.txt"

if [ "$out" != "." ]; then
  cmp yjs.js "$out/yjs.js"
  cmp LICENSES.txt "$out/LICENSES.txt"
fi
