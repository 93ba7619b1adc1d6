#!/usr/bin/env bash
# Checks clients/elixir: its format and its tests, which start real nodes and kill them. No Hex, no network.
#
# Usage: tests/elixir.sh [arguments of mix test]. The server is STEAD_BIN or, without it, built here.
# Elixir 1.14 or newer is needed, and what Debian calls erlang-jiffy and erlang-cowlib. Where they are missing and may not
# be installed it names them and fails.
set -euo pipefail
cd "$(dirname "$0")/.."
target="${CARGO_TARGET_DIR:-$HOME/.cache/stead-target}"

# Whether Erlang finds a library.
has() { erl -noshell -eval 'halt(case code:lib_dir('"$1"') of {error, _} -> 1; _ -> 0 end).' 2>/dev/null; }

wanted=(mix=elixir)
# Libraries have no program to look for, so those that are missing are wanted under a name that none has.
for library in jiffy cowlib; do has "$library" || wanted+=("erlang-$library-library=erlang-$library"); done
deploy/build-dependencies "${wanted[@]}"
for library in jiffy cowlib; do
  has "$library" || { echo "elixir: $(command -v erl) does not find the library $library" >&2; exit 1; }
done

if [ -z "${STEAD_BIN:-}" ]; then
  CARGO_TARGET_DIR="$target" cargo build --release --quiet --bin stead
  STEAD_BIN="$target/release/stead"
fi

export STEAD_BIN MIX_ENV=test
cd clients/elixir
mix format --check-formatted
timeout 300 mix test "$@"
