#!/usr/bin/env bash
# Call every endpoint of the BFF once, and show how it fails: examples/curl-examples.sh
#   BASE_URL           the BFF; default http://localhost:8000
#   USER_SERVICE_URL   the user service; default http://localhost:3001. Its failure is shown if it
#                      accepts faults at /__faults
# Exits with 1 if an answer is not the expected one. Uses film 603 of the demo user and cleans up.
set -euo pipefail

base=${BASE_URL:-http://localhost:8000}
users=${USER_SERVICE_URL:-http://localhost:3001}
film=603
wrong=0

ask() { # METHOD ADDRESS [curl options]: sets status and body
  local answer
  answer=$(curl --silent --show-error --max-time 30 --request "$1" --write-out '\n%{http_code}' "${@:3}" "$2") || true
  status=${answer##*$'\n'}
  body=${answer%$'\n'*}
}

show() { # STATUS TEXT METHOD PATH [JSON body or curl options]: expect STATUS and TEXT in the answer
  local expected=$1 text=$2 method=$3 path=$4 options=("${@:5}")
  if [[ ${options[0]:-} == '{'* ]]; then
    options=(--header 'Content-Type: application/json' --data "${options[0]}")
  fi
  ask "$method" "$base$path" ${options[@]+"${options[@]}"}
  printf '%-6s %-60s %s  %.90s\n' "$method" "$path" "$status" "${body//$'\n'/ }"
  if [[ $status != "$expected" || $body != *"$text"* ]]; then
    printf '       ^ expected %s with %s\n' "$expected" "$text"
    wrong=$((wrong + 1))
  fi
}

heading() { printf '\n-- %s\n' "$1"; }

# Clean up after an interrupted run.
for list in favorites watchlist history; do ask DELETE "$base/api/users/$list/$film"; done

heading "Dashboard: one call per screen"
show 200 '"movies":[{' GET '/api/dashboard/feed?page=1'
show 200 '"title":"Fight Club"' GET /api/dashboard/movie/550/enriched
show 200 '"recommended_for_you":[' GET /api/dashboard/complete
show 200 '"results":[{' GET '/api/dashboard/search/enriched?query=fight%20club'

heading "Films and people: TMDB, cached and guarded"
show 200 '"results":[{' GET '/api/movies/popular?language=en-US'
show 200 '"results":[{' GET /api/movies/trending/day
show 200 '"results":[{' GET '/api/movies/now-playing?region=US'
show 200 '"results":[{' GET '/api/movies/upcoming?region=US'
show 200 '"results":[{' GET /api/movies/top-rated
show 200 '"results":[{' GET '/api/movies/search?query=inception'
show 200 '"results":[{' GET '/api/movies/discover?with_genres=18&primary_release_year=1999'
show 200 '"genres":[{' GET /api/movies/genres
show 200 '"title":"Fight Club"' GET /api/movies/550
show 200 '"cast":[{' GET /api/movies/550/credits
show 200 '"results":[' GET /api/movies/550/reviews
show 200 '"results":[{' GET /api/movies/550/recommendations
show 200 '"results":[{' GET /api/movies/550/similar
show 200 '"results":[' GET /api/movies/550/videos
show 200 '"posters":[' GET /api/movies/550/images
show 200 '"results":{' GET /api/movies/550/watch-providers
show 200 '"media_type":"person"' GET '/api/search/multi?query=brad%20pitt'
show 200 '"name":"Brad Pitt"' GET /api/people/287
show 200 '"cast":[{' GET /api/people/287/credits

heading "The user's lists"
show 200 '"favorites":[' GET /api/users/favorites
show 201 '"title":"The Matrix"' POST /api/users/favorites "{\"movie_id\": $film, \"rating\": 4}"
show 409 '"title":"Conflict"' POST /api/users/favorites "{\"movie_id\": $film}"
show 200 '"rating":5' PUT "/api/users/favorites/$film" '{"rating": 5}'
show 200 '"rating":5' GET "/api/users/favorites/$film"
show 200 '"is_favorite":true' GET "/api/dashboard/movie/$film/enriched"
show 200 '"removed":{' DELETE "/api/users/favorites/$film"
show 200 '"watchlist":[' GET /api/users/watchlist
show 201 '"watchlist_item":{' POST /api/users/watchlist "{\"movie_id\": $film}"
show 200 '"title":"Matrix"' PUT "/api/users/watchlist/$film" '{"title": "Matrix"}'
show 200 '"title":"Matrix"' GET "/api/users/watchlist/$film"
show 200 '"removed":{' DELETE "/api/users/watchlist/$film"
show 201 '"progress":0.4' PUT "/api/users/history/$film" '{"progress": 0.4}'
show 200 '"history":[{' GET /api/users/history
show 200 '"watched_date":null' GET "/api/users/history/$film"
show 200 '"removed":{' DELETE "/api/users/history/$film"

heading "The service"
show 200 '"images":{' GET /api/configuration
show 200 '"status":"healthy"' GET /health
show 200 '"status":"healthy"' GET /health/live
show 200 '"checks":{' GET /health/ready
show 200 'bff_' GET /metrics
show 200 '"openapi": "3.1' GET /openapi.json
show 200 '<html' GET /docs
show 200 '<html' GET /redoc

heading "Errors: problem documents"
show 404 '"detail":"there is no such film' GET /api/movies/999999999
show 422 '"errors":{"pag":' GET '/api/movies/popular?pag=1'
show 422 '"errors":{"page":' GET '/api/movies/popular?page=501'
show 422 '"errors":{"query":' GET /api/movies/search
show 422 '"errors":{"rating":' POST /api/users/favorites "{\"movie_id\": $film, \"rating\": 6}"
show 400 'not JSON' POST /api/users/favorites '{"movie_id":'
show 415 'application/json' POST /api/users/favorites --data "$film" --header 'Content-Type: text/plain'
show 401 '"status":401' GET /api/users/favorites --header 'Authorization: Bearer not-a-token'
show 405 '"status":405' PATCH "/api/users/favorites/$film"
show 200 '"status":422' GET /problems/validation

heading "The feed while the user service fails: films, and null for the unknown"
ask PUT "$users/__faults" --header 'Content-Type: application/json' --data '{"status": 503}'
if [[ $status == 200 ]]; then
  trap 'ask DELETE "$users/__faults"' EXIT
  # This header asks for newer lists than the BFF can have in memory.
  show 200 '"is_favorite":null' GET /api/dashboard/feed --header 'X-Library-Revision: 999999'
  show 502 '"upstream":"users"' GET /api/users/favorites --header 'X-Library-Revision: 999999'
  ask DELETE "$users/__faults"
  trap - EXIT
else
  echo "left out: $users does not accept faults at /__faults"
fi

if ((wrong)); then
  printf '\n%d answers were not as expected\n' "$wrong"
  exit 1
fi
printf '\nevery answer was as expected\n'
