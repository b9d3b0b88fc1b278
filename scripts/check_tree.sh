#!/usr/bin/env bash
# Fail where a file of the project holds a credential or names a path of somebody's machine:
# scripts/check_tree.sh [directory]. What git ignores is not looked at; what is new, is.
# detect-secrets looks for credentials as .secrets.baseline says: `planted-...` and the other
# names there are none. A line that is right nevertheless ends with `pragma: allowlist secret`.
set -euo pipefail

root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd -P)
cd "${1:-$root}"
failed=0

git ls-files -z --cached --others --exclude-standard \
  | xargs -0 "$root/.venv/bin/detect-secrets-hook" --baseline "$root/.secrets.baseline" || failed=1

# What it finds in quotes only, or not at all: a TMDB key is 32 hexadecimal digits, a read token is
# a JWT. The names of pictures in recorded reviews look like a key. CI's output is public, so only
# the place is printed.
credential='(^|[^[:alnum:]])([0-9a-f]{32}|[0-9A-F]{32})([^[:alnum:]]|$)|eyJ[[:alnum:]_-]{16}'
machine='(^|[^[:alnum:]_.~/-])/(work|root|Users/[[:alnum:]]+|home/[[:alnum:]]+)/'
for pattern in "$credential" "$machine"; do
  found=$(git grep --untracked -nIE "$pattern" -- ':!tests/fixtures/tmdb/recorded/*reviews*' || true)
  if [ -n "$found" ]; then
    printf '%s\n' "$found" | sed -E 's/^([^:]*:[0-9]+):.*/\1: a credential or a path of a machine/'
    failed=1
  fi
done
exit "$failed"
