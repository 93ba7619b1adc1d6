#!/usr/bin/env bash
# Checks what is in deploy/ with the tools that it is for, as far as they can be had: Helm's library, the schemas of
# Kubernetes, a parser of compose files (from PyPI, in an environment of their own under the target directory),
# promtool, systemd-analyze, docker compose. Each one that is missing is named; what needs no tool is in
# tests/it/deploy.rs.
set -euo pipefail
cd "$(dirname "$0")/.."
target="${CARGO_TARGET_DIR:-$HOME/.cache/stead-target}"
venv="$target/deploy-checks"
packages="helm-python-sdk==0.2.2 kubernetes-validate==1.37.0 compose-spec==0.2.1 pyyaml~=6.0"

scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT

skipped() { echo "deploy: SKIPPED $1"; }

# The stamp is written last: half an environment is made again.
if [ "$(cat "$venv/made" 2>/dev/null)" != "$packages" ]; then
  rm -rf "$venv"
  # shellcheck disable=SC2086  # one word a package
  if python3 -m venv "$venv" >/dev/null 2>&1 && "$venv/bin/pip" install --quiet $packages >/dev/null 2>&1; then
    echo "$packages" >"$venv/made"
  else
    rm -rf "$venv"
  fi
fi
if [ -x "$venv/bin/python" ]; then
  "$venv/bin/python" tests/deploy/check.py deploy
else
  skipped "the chart and the compose file: python3 or its packages cannot be had here"
fi

if command -v promtool >/dev/null; then
  promtool check rules deploy/prometheus/rules.yml
  promtool check config --syntax-only deploy/prometheus/prometheus.yml
  promtool test rules tests/deploy/rules.test.yml
  # JSON is YAML too.
  python3 tests/deploy/expressions.py deploy/grafana/stead.json >"$scratch/dashboard.yml"
  promtool check rules "$scratch/dashboard.yml"
else
  skipped "the alert rules and the dashboard: promtool is not installed (Debian: prometheus)"
fi

if command -v systemd-analyze >/dev/null; then
  # The program stands where the unit says only once it is installed, so here another one does for it.
  sed 's|^ExecStart=/usr/local/bin/stead|ExecStart=/bin/true|' deploy/stead.service >"$scratch/stead.service"
  said="$(systemd-analyze verify --man=no "$scratch/stead.service" 2>&1)" || { echo "$said"; exit 1; }
  if grep -F "stead.service" <<<"$said"; then echo "deploy: systemd-analyze complains of the unit"; exit 1; fi
  systemd-analyze security --offline=true --threshold=25 "$scratch/stead.service" | tail -1
else
  skipped "the unit: systemd-analyze is not installed"
fi

if docker compose version >/dev/null 2>&1; then
  STEAD_JOIN_SECRET=sixteen-characters docker compose -f deploy/compose.yaml config --quiet
else
  skipped "docker compose config: docker compose is not installed"
fi
