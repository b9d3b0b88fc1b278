#!/usr/bin/env bash
# Install what is missing and run the test suite: ./run-tests.sh [pytest arguments]
set -euo pipefail

root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd -P)
"$root/setup.sh" --dev
cd "$root"

# The quick tests, which start no process and open no socket, run on two processors. The others
# have real time bounds and the machine to themselves; one file alone is not worth a second start.
quick=
before=
for argument in "$@"; do
  case "$before" in
    --ignore | --deselect | -k | -m) before= && continue ;; # its value is no choice of a suite
  esac
  before=$argument
  case "$argument" in
    tests/api | tests/api/) quick=yes ;;
    tests/unit | tests/unit/) ;;
    -n* | --numprocesses* | --dist* | -s | --capture=no | --pdb | --trace) quick= && break ;;
    -*) ;;
    *) if [ -e "${argument%%::*}" ]; then quick= && break; fi ;;
  esac
done
if [ -n "$quick" ]; then set -- -n 2 --dist loadfile "$@"; fi
exec .venv/bin/python -m pytest "$@"
