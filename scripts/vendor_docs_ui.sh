#!/usr/bin/env bash
# Fetch Swagger UI and ReDoc into docs_ui/, so that /docs and /redoc need no other server.
# Needs npm. Run it after a change of a version below, and commit what it changed.
set -euo pipefail

# ReDoc stays on 2.x: 3.0 sends usage data to its maker unless each page turns it off, and is
# twice the size. Both packages are checked against the hash of the day they were reviewed.
swagger='swagger-ui-dist-5.35.0'
swagger_sha256=1b8e891893404ea4c3558b6a87e2a3e494e7eedba41168c2ece5800a391a6ea6
redoc='redoc-2.5.4'
redoc_sha256=44922df4d0eb45c1b066c09ec251e6bd9bd7ded16bc69e87613337b9d911a56e

root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd -P)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

fetch() { # name-version, sha256
  npm pack --silent "${1%-*}@${1##*-}" >/dev/null
  echo "$2  $1.tgz" | sha256sum --check --quiet
  mkdir "$1"
  tar -xzf "$1.tgz" -C "$1" --strip-components=1
}
fetch "$swagger" "$swagger_sha256"
fetch "$redoc" "$redoc_sha256"

out=$root/docs_ui
rm -rf "$out"
mkdir -p "$out/swagger-ui" "$out/redoc"
for file in swagger-ui.css swagger-ui-bundle.js swagger-ui-standalone-preset.js \
  swagger-ui-bundle.js.LICENSE.txt swagger-ui-standalone-preset.js.LICENSE.txt \
  favicon-32x32.png LICENSE NOTICE; do
  cp "$swagger/$file" "$out/swagger-ui/"
done
cp "$redoc/bundles/redoc.standalone.js" "$redoc/bundles/redoc.standalone.js.LICENSE.txt" \
  "$redoc/LICENSE" "$out/redoc/"

# A browser with open tools asks for the source maps, which are not shipped.
sed -i '\|^//# sourceMappingURL=|d; \|^/\*# sourceMappingURL=.*\*/$|d' \
  "$out"/swagger-ui/*.js "$out"/swagger-ui/*.css "$out"/redoc/*.js
# ReDoc loads one picture from its maker's server. An empty one fails to load, and then it
# shows none.
grep -q 'https://cdn.redoc.ly/redoc/logo-mini.svg' "$out/redoc/redoc.standalone.js"
sed -i 's|https://cdn.redoc.ly/redoc/logo-mini.svg|data:,|' "$out/redoc/redoc.standalone.js"

cd "$out"
sha256sum redoc/* swagger-ui/* >SHA256SUMS
