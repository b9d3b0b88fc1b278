#!/usr/bin/env bash
# Make the virtual environment .venv and install what is missing: ./setup.sh [--dev]
# With nothing to do it returns at once. start-all.sh and run-tests.sh call it.
set -euo pipefail

root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd -P)
cd "$root"
venv=.venv
log=var/log/setup.log
child=

say() { printf 'setup: %s\n' "$*" >&2; }
fail() {
  say "$*"
  exit 1
}

# Bash runs a trap only between commands, so a long command runs beside it and is ended with it.
run() {
  "$@" >>"$log" 2>&1 &
  child=$!
  wait "$child"
}
stop() {
  if [ -n "$child" ]; then kill "$child" 2>/dev/null || true; fi
  say "interrupted; run it again to finish"
  exit "$1"
}
trap 'stop 130' INT
trap 'stop 143' TERM

case "${1:-}" in
  "") kind=run wanted=requirements.txt ;;
  --dev) kind=dev wanted=requirements-dev.txt ;; # which includes requirements.txt
  *) fail "usage: setup.sh [--dev]" ;;
esac

# The stamp is a copy of what was installed. A changed requirement makes it differ,
# and it is written last, so that a broken install is never taken for a ready one.
ready() {
  cat requirements.txt "$wanted" | cmp -s - "$venv/.installed-$kind" && "$venv/bin/python" -c '' 2>/dev/null
}
if ready; then exit 0; fi

mkdir -p var/log
if command -v flock >/dev/null; then
  exec 9>var/setup.lock
  if ! flock -n 9; then
    say "another set-up is at work, waiting for it"
    flock -w 900 9 || fail "the other set-up has not finished after 15 minutes"
  fi
  if ready; then exit 0; fi
fi
: >"$log"

# Print the first Python that is new enough and can make an environment.
find_python() {
  local name version found="" without_venv=""
  for name in python3 python3.14 python3.13 python3.12 python3.11 python; do
    # The version itself is asked for: a name on PATH may be a shim of something not installed.
    version=$("$name" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    if ! "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      found="${found:+$found, }$name is $version"
    elif ! "$name" -c 'import venv, ensurepip' 2>/dev/null; then
      without_venv="${without_venv:-$version}"
    else
      echo "$name"
      return
    fi
  done
  if [ -n "$without_venv" ]; then
    fail "Python $without_venv lacks the venv module; install it (Debian, Ubuntu: apt-get install python$without_venv-venv or python3-venv)"
  fi
  fail "Python 3.11 or newer is needed (${found:-no python3 found}); install it (Debian, Ubuntu: apt-get install python3 python3-venv)"
}

if ! "$venv/bin/python" -m pip --version >>"$log" 2>&1; then
  python=$(find_python)
  say "making $venv with $("$python" --version)"
  rm -rf "$venv"
  if ! run "$python" -m venv "$venv"; then
    rm -rf "$venv"
    fail "$python could not make $venv: $(tail -n 1 "$log") (log: $log)"
  fi
fi

say "installing $wanted into $venv; a first time takes a minute"
rm -f "$venv/.installed-run" "$venv/.installed-dev"
if ! run "$venv/bin/python" -m pip install --disable-pip-version-check --no-input -r "$wanted"; then
  reason=$(grep '^ERROR:' "$log" | tail -n 1 || true)
  fail "pip could not install $wanted: ${reason:-$(tail -n 1 "$log")} (log: $log)"
fi

cat requirements.txt requirements.txt >"$venv/.installed-run"
if [ "$kind" = dev ]; then cat requirements.txt "$wanted" >"$venv/.installed-dev"; fi
