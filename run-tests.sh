#!/usr/bin/env bash
# Install what is missing and run the tests: ./run-tests.sh [--all] [pytest arguments]
#
# Without arguments: what proves the product, in about three minutes, without Node or a browser.
# --all adds the page in a browser, deployment, several machines and every end-to-end test.
# A path runs just that.
set -euo pipefail

root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd -P)
"$root/setup.sh" --dev
cd "$root"

which=(-m "not slow")
named=
arguments=()
for argument in "$@"; do
  case "$argument" in
    --all) which=() ;;
    -*) arguments+=("$argument") ;;
    *)
      if [ -e "${argument%%::*}" ]; then named=yes; fi
      arguments+=("$argument")
      ;;
  esac
done
if [ -n "$named" ]; then
  which=()
else
  which+=(-n 2 --dist loadfile)
fi
exec .venv/bin/python -m pytest "${which[@]}" "${arguments[@]}"
