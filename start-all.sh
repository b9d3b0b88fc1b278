#!/usr/bin/env bash
# Install what is missing and start everything: the BFF, the user service and,
# where no TMDB credential is set, the TMDB stub. Ctrl-C or SIGTERM ends all of it.
set -euo pipefail

root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd -P)

# The set-up runs beside this shell, so that a SIGTERM reaches it at once and not after it.
"$root/setup.sh" &
setup=$!
trap 'kill "$setup" 2>/dev/null; wait "$setup"; exit 143' TERM
trap 'kill "$setup" 2>/dev/null; wait "$setup"; exit 130' INT
wait "$setup"
trap - TERM INT

cd "$root"
exec .venv/bin/python -m scripts.start_all
