#!/usr/bin/env bash
# The whole order path over HTTP, against the same SQL in plain C, in one run on one machine:
#   bench/orders.sh [build folder] [seconds a run]
# Prints ratios. After each load the books are checked through the API (stock, ledger, orders); a figure
# whose books do not balance is not printed. The load generator shares the cores with the server.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build} seconds=${2:-8}
place=$(mktemp -d)
server=
finish() { [ -n "$server" ] && kill -9 "$server" 2>/dev/null || true; rm -rf "$place"; }
trap finish EXIT

now_ms() { date +%s%3N; }
memory_mib() { awk '/^VmRSS/ { printf "%.1f", $2 / 1024 }' "/proc/$server/status"; }

# start NAME [serve argument…]: a server of its own data folder, products loaded.
start() {
  local name=$1; shift
  data=$place/$name
  HOLDFAST_DATA=$data "$build/holdfast" serve --ready-file "$place/$name.url" --set http.address=127.0.0.1:0 \
    --set rate_limit.enabled=false --set http.access_log=false --set http.max_waiting=100000 "$@" \
    >"$place/$name.log" 2>&1 &
  server=$!
  local began; began=$(now_ms)
  until [ -s "$place/$name.url" ]; do
    kill -0 $server 2>/dev/null || { cat "$place/$name.log"; exit 1; }
    sleep 0.005
  done
  ready_ms=$(($(now_ms) - began))
  url=$(cat "$place/$name.url"); port=${url##*:}; port=${port%/}
  key=$(HOLDFAST_DATA=$data "$build/holdfast" keys create --scope admin 2>/dev/null | tail -n 1)
}

load_products() {
  { echo 'sku,name,price'; for i in $(seq 0 999); do printf 'P%05d,Product %d,4.20\n' "$i" "$i"; done; } >"$place/products.csv"
  HOLDFAST_DATA=$data "$build/holdfast" import products "$place/products.csv" --map sku=sku --map name=name \
    --map price=price --stock 100000000 --currency GBP >"$place/import.log" 2>&1 || { cat "$place/import.log"; exit 1; }
}

stop() { kill -TERM "$server"; wait "$server" || true; server=; }

books_balance() {
  curl -fsS -H "Authorization: Bearer $key" "$url/v1/ops/reconciliation" >"$place/books.json"
  python3 -c 'import json,sys; b=json.load(open(sys.argv[1])); sys.exit(0 if b.get("balanced", b.get("ok")) else 1)' "$place/books.json" ||
    { echo "the books do not balance:"; cat "$place/books.json"; exit 1; }
}

# load NAME order_load-arguments…: prints its line, leaves requests/s in $rate.
load() {
  local name=$1; shift
  "$build/bench/bench_order_load" --port "$port" --key "$key" --seconds "$seconds" "$@" | tee "$place/load" | sed "s|^|  $name: |"
  rate=$(awk '{print $1}' "$place/load")
  books_balance
}

ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }

echo "== the same transaction in plain C"
"$build/bench/bench_sql_group_commit" "$place" | tee "$place/sql" | sed 's/^/  /'
rate_of() { awk -v row="($1)" '$1 == row { for (i = 2; i <= NF; i++) if ($i == "orders/s") { print $(i - 1); exit } }' "$place/sql"; }
one=$(rate_of a) grouped=$(rate_of b)

echo "== idle"
start idle
sleep 1
echo "  start to ready: $ready_ms ms; memory idle: $(memory_mib) MiB"
stop

echo "== orders through HTTP, receipts left to a worker that is not running"
start orders --no-worker
load_products
load "256 clients, 1,000 skus" --connections 256 --skus 1000; many=$rate
load "64 clients, 1,000 skus" --connections 64 --skus 1000
load "64 clients, one hot sku" --connections 64 --skus 1; hot=$rate
echo "  memory under load: $(memory_mib) MiB"
stop

echo "== the same with receipts written meanwhile"
start receipts
load_products
load "256 clients, 1,000 skus" --connections 256 --skus 1000; with_receipts=$rate
stop

echo "== latency from commit to handler at half load"
start latency
load_products
# Half of what the machine does with receipts written meanwhile.
half=$(awk -v r="$with_receipts" 'BEGIN { print r / 2 }')
load "open loop at $half/s" --connections 256 --skus 1000 --rate "$half"
for share in 0.5 0.99; do
  curl -fsS "$url/metrics" | awk -v share="$share" '
    /^holdfast_messaging_delivery_seconds_bucket/ && /group="notifications"/ {
      match($0, /le="[^"]*"/); le[++n] = substr($0, RSTART + 4, RLENGTH - 5); count[n] = $NF }
    END { for (i = 1; i <= n; i++) if (count[i] >= share * count[n]) {
      printf "  commit to handler, p%g: at most %s s (of %d messages)\n", share * 100, le[i], count[n]; exit } }'
done
stop

echo "== ratios"
echo "  orders through HTTP / one by one in plain C: $(ratio "$many" "$one")"
echo "  orders through HTTP / grouped in plain C:    $(ratio "$many" "$grouped")"
echo "  one hot sku, 64 clients: $hot orders/s"
