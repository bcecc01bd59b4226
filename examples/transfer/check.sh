#!/usr/bin/env bash
# Transfers money twice with one key, kills the service, starts it again: one transfer, one notice.
set -euo pipefail
data=$(mktemp -d)
start() {
  : >"$1/url"
  "$1/transfer" "$data" 127.0.0.1:0 >"$1/url" &
  server=$!
  for _ in $(seq 100); do [ -s "$1/url" ] && break; sleep 0.05; done
  url=$(head -n 1 "$1/url")
}
trap 'kill -9 $server 2>/dev/null || true; rm -rf "$data"' EXIT
transfer() {
  curl -sS -X POST "$url/v1/transfers" -H 'Content-Type: application/json' -H 'Idempotency-Key: rent-may' \
    -d '{"from":"ada","to":"bob","amountMinor":700}' -w '\n%{http_code}\n'
}
start "$1"
first=$(transfer)
kill -9 $server; wait $server 2>/dev/null || true
start "$1"
second=$(transfer)
[ "$first" = "$second" ] || { echo "answers differ: $first / $second"; exit 1; }
[ "$(curl -fsS "$url/v1/accounts/ada")" = '{"name":"ada","balanceMinor":300}' ]
refused=$(curl -s -o /dev/null -w '%{http_code}' -X POST "$url/v1/transfers" -H 'Content-Type: application/json' \
  -H 'Idempotency-Key: rent-june' -d '{"from":"ada","to":"bob","amountMinor":700}')
[ "$refused" = 409 ]
for _ in $(seq 100); do
  notices=$(curl -fsS "$url/v1/accounts/bob/notices")
  [ "$notices" = '{"count":1}' ] && break
  sleep 0.05
done
[ "$notices" = '{"count":1}' ]
kill -TERM $server
wait $server
