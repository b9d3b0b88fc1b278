#!/bin/sh
# Print the nginx site of the BFF, made from site.conf.template and these variables:
#   BFF_SERVERS          instances of the BFF, host:port, separated by spaces (127.0.0.1:8000)
#   SERVER_NAME          names of the site (_, which is any)
#   HTTP_LISTEN          addresses and ports of plain HTTP (80)
#   HTTPS_LISTEN         the same for HTTPS (443)
#   HTTPS_PORT           the port that clients see, where it is another than that of HTTPS_LISTEN
#   TLS_CERTIFICATE      file of the certificate and its chain. Empty: plain HTTP serves the site;
#                        set: it redirects to HTTPS
#   TLS_CERTIFICATE_KEY  file of its key
#   METRICS_FROM         who may read /metrics (127.0.0.1)
#   ACCESS_LOG           file of the access log (/var/log/nginx/bff.access.log)
#   CACHE_DIR            where copies of public reads are kept, best in memory (/run/nginx-bff)
# Use: BFF_SERVERS="127.0.0.1:8000 127.0.0.1:8010" deploy/nginx/render.sh >/etc/nginx/conf.d/bff.conf
set -eu

here=$(dirname "$0")
: "${BFF_SERVERS:=127.0.0.1:8000}" "${SERVER_NAME:=_}" "${HTTP_LISTEN:=80}" "${HTTPS_LISTEN:=443}"
: "${HTTPS_PORT:=${HTTPS_LISTEN##*:}}"
: "${METRICS_FROM:=127.0.0.1}" "${ACCESS_LOG:=/var/log/nginx/bff.access.log}"
: "${CACHE_DIR:=/run/nginx-bff}" "${TLS_CERTIFICATE:=}" "${TLS_CERTIFICATE_KEY:=}"

value=
for name in BFF_SERVERS SERVER_NAME HTTP_LISTEN HTTPS_LISTEN HTTPS_PORT METRICS_FROM ACCESS_LOG \
  CACHE_DIR TLS_CERTIFICATE TLS_CERTIFICATE_KEY; do
  eval "value=\$$name"
  case $value in
    *[!A-Za-z0-9_./:\ *-]*)
      case $name:$value in
        *_LISTEN:*[!A-Za-z0-9_./:\ \[\]-]*) ;;
        *_LISTEN:*) continue ;;
      esac
      echo "render.sh: $name holds a character that nginx could take for more than a value" >&2
      exit 1
      ;;
  esac
done
if [ -n "$TLS_CERTIFICATE" ]; then
  if [ -z "$TLS_CERTIFICATE_KEY" ]; then
    echo "render.sh: TLS_CERTIFICATE is set and TLS_CERTIFICATE_KEY is not" >&2
    exit 1
  fi
  kept=tls dropped=plain
else
  kept=plain dropped=tls
fi
suffix=:$HTTPS_PORT
if [ "$HTTPS_PORT" = 443 ]; then suffix=; fi

# A line that starts with "#name: " is written once for each word of a list.
each() { # name of the lines, placeholder, words...
  line=$1 placeholder=$2
  shift 2
  printf 's|^\\( *\\)#%s: \\(.*\\)@%s@\\(.*\\)$|' "$line" "$placeholder"
  separator=
  for word in "$@"; do
    printf '%s\\1\\2%s\\3' "$separator" "$word"
    separator='\
'
  done
  printf '|\n'
}

# The lists are split into words on purpose; the check above leaves nothing that expands but *.
set -f
# shellcheck disable=SC2086
{
  printf '/^ *#%s: /d\n' "$dropped"
  printf 's|^\\( *\\)#%s: |\\1|\n' "$kept"
  each servers SERVER $BFF_SERVERS
  each http LISTEN $HTTP_LISTEN
  each https LISTEN $HTTPS_LISTEN
  each metrics ALLOW $METRICS_FROM
  for name in SERVER_NAME ACCESS_LOG CACHE_DIR TLS_CERTIFICATE TLS_CERTIFICATE_KEY; do
    eval "value=\$$name"
    printf 's|@%s@|%s|g\n' "$name" "$value"
  done
  printf 's|@HTTPS_SUFFIX@|%s|g\n' "$suffix"
} | sed -f /dev/stdin "$here/site.conf.template"
