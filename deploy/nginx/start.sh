#!/bin/sh
# Run nginx for the BFF in the foreground, without root: deploy/nginx/start.sh RUN_DIRECTORY
# The variables are those of render.sh. Needs a directory that it may write to; ends on SIGTERM
# at once and on SIGQUIT after the open requests.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
run=$1
mkdir -p "$run"
: "${CACHE_DIR:=$run/copies}" "${ACCESS_LOG:=/dev/stdout}"
export CACHE_DIR ACCESS_LOG
"$here/render.sh" >"$run/site.conf"
cp "$here/nginx.conf" "$run/nginx.conf"
exec nginx -p "$run" -c "$run/nginx.conf" -g "daemon off;"
