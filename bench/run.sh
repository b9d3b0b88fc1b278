#!/usr/bin/env bash
# Measure the BFF under load and print one Markdown table; --help says more.
set -euo pipefail

root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd -P)
cd "$root"
if ! command -v wrk >/dev/null; then
  echo "bench: wrk is not installed. Debian, Ubuntu: apt-get install wrk" >&2
  exit 1
fi
"$root/setup.sh" --dev
.venv/bin/python -m pip install --quiet --disable-pip-version-check -r bench/requirements.txt
if command -v npm >/dev/null && [ ! -d bench/peers/node_modules ]; then
  npm ci --prefix bench/peers --no-audit --no-fund --silent
fi
exec .venv/bin/python -m bench.run "$@"
