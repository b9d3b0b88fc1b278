#!/usr/bin/env bash
# Install what is missing and run the test suite: ./run-tests.sh [pytest arguments]
set -euo pipefail

root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd -P)
"$root/setup.sh" --dev
cd "$root"
exec .venv/bin/python -m pytest "$@"
