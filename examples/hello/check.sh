#!/usr/bin/env bash
# Runs the built example ($1 is its build folder) and asks it what a user would.
set -euo pipefail
"$1/hello" 127.0.0.1:0 >"$1/url" &
server=$!
trap 'kill $server 2>/dev/null || true' EXIT
for _ in $(seq 100); do [ -s "$1/url" ] && break; sleep 0.05; done
url=$(cat "$1/url")
[ "$(curl -fsS "$url/v1/greetings/Ada")" = '{"message":"Hello, Ada!"}' ]
[ "$(curl -s -o /dev/null -w '%{http_code}' "$url/v1/greetings/$(printf 'x%.0s' $(seq 41))")" = 400 ]
curl -fsS "$url/openapi.json" | grep -q '"greet"'
kill -TERM $server
wait $server
