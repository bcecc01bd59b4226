#!/usr/bin/env bash
# The order path over HTTP with PostgreSQL beside it, against pgbench with the same statements, in one run:
#   bench/postgres.sh [build folder] [seconds a run] [folder of PostgreSQL's data]
# Starts a PostgreSQL of its own there (default: a new folder in /tmp; /dev/shm shows what the CPU costs without a disk),
# with the settings of postgres_server.sh. After each load the books are checked; a figure whose books do not balance is not
# printed. Server, PostgreSQL and load generator share the cores. Prints ratios.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build} seconds=${2:-8}
place=$(mktemp -d -p "${3:-${TMPDIR:-/tmp}}")
. bench/postgres_server.sh
server=
finish() {
  [ -n "$server" ] && kill -9 "$server" 2>/dev/null || true
  stop_postgres
  rm -rf "$place"
}
trap finish EXIT

# start DATABASE [serve argument…]: a server on that database.
start() {
  export HOLDFAST_DATA=$place/data HOLDFAST_DATABASE_URL; HOLDFAST_DATABASE_URL=$(database_url "$1")
  shift
  rm -f "$place/url"
  "$build/holdfast" serve --ready-file "$place/url" --set http.address=127.0.0.1:0 --set rate_limit.enabled=false \
    --set http.access_log=false --set http.max_waiting=100000 --no-worker "$@" >"$place/server.log" 2>&1 &
  server=$!
  until [ -s "$place/url" ]; do
    kill -0 $server 2>/dev/null || { cat "$place/server.log"; exit 1; }
    sleep 0.01
  done
  url=$(cat "$place/url"); port=${url##*:}; port=${port%/}
  key=$("$build/holdfast" keys create --scope admin 2>/dev/null | tail -n 1)
}
stop() { kill -TERM "$server"; wait "$server" || true; server=; }

load_products() {
  { echo 'sku,name,price'; for i in $(seq 0 999); do printf 'P%05d,Product %d,4.20\n' "$i" "$i"; done; } >"$place/products.csv"
  "$build/holdfast" import products "$place/products.csv" --map sku=sku --map name=name \
    --map price=price --stock 100000000 --currency GBP >"$place/import.log" 2>&1 || { cat "$place/import.log"; exit 1; }
}

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

# The statements of an order, as the server sends them, from one program that does nothing else.
order_script() {
  cat <<SQL
\\set n :n + 1
\\set p $1
begin;
select fingerprint, status, headers, body, expires_at from idempotency_records where scope = decode(md5(:client_id || '.' || :n), 'hex');
select price_minor, currency, status, name from products where sku = 'P' || lpad(:p::text, 5, '0');
update stock_levels set quantity = quantity - 1, updated_at = :n where sku = 'P' || lpad(:p::text, 5, '0') and quantity >= 1;
insert into stock_movements(sku, delta, reason, reference, at) values('P' || lpad(:p::text, 5, '0'), -1, 'sold', 'ord_0000000000' || :client_id || '.' || :n, :n);
insert into orders(id, customer_id, customer_email, status, total_minor, currency, shipping_address, created_at, updated_at, confirmed_at) values('ord_0000000000' || :client_id || '.' || :n, 'c-' || :n % 5000, null, 'confirmed', 420, 'GBP', null, :n, :n, :n);
insert into order_lines(order_id, position, sku, name, quantity, unit_price_minor) values('ord_0000000000' || :client_id || '.' || :n, 0, 'P' || lpad(:p::text, 5, '0'), 'Product', 1, 420);
insert into outbox(id, topic, key, bucket, type, version, headers, payload, occurred_at) values('msg_0000000000' || :client_id || '.' || :n, 'orders', 'ord_0000000000' || :client_id || '.' || :n, :n % 64, 'order.placed', 1, '{}', repeat('p', 360), :n);
insert into idempotency_records(scope, fingerprint, status, headers, body, created_at, expires_at) values(decode(md5(:client_id || '.' || :n), 'hex'), decode(md5(:n::text), 'hex'), 201, '[]', convert_to(repeat('b', 360), 'UTF8'), :n, :n);
commit;
SQL
}

# pgbench_best NAME SKU-EXPRESSION: the best of several client counts, in $rate.
pgbench_best() {
  order_script "$2" >"$place/order.sql"
  rate=0
  for clients in 1 4 16 64; do
    psql -q -d postgres -c 'drop database if exists pgbench' -c 'create database pgbench template products' >/dev/null
    local found
    found=$(pgbench -n -M prepared -c "$clients" -j 2 -T "$seconds" -D n=1000000 -f "$place/order.sql" pgbench 2>/dev/null | awk '/^tps/ { printf "%.0f", $3 }')
    echo "  $1, $clients clients: $found orders/s"
    [ "$found" -le "$rate" ] || rate=$found
  done
}

ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }

start_postgres
createdb --template=template0 --encoding=UTF8 orders
start orders
load_products
stop
psql -q -d postgres -c 'create database products template orders' >/dev/null

echo "== orders through HTTP, one server process ($(psql -At -d orders -c 'show server_version'), data in ${3:-/tmp})"
start orders
load "256 clients, 1,000 skus" --connections 256 --skus 1000; many=$rate
load "64 clients, 1,000 skus" --connections 64 --skus 1000; some=$rate
load "64 clients, one hot sku" --connections 64 --skus 1; hot=$rate
stop

echo "== pgbench with the same statements, prepared, a transaction an order"
pgbench_best "1,000 skus" "random(0, 999)"; plain=$rate
pgbench_best "one hot sku" "0"; plain_hot=$rate

echo "== ratios"
echo "  1,000 skus: HTTP / pgbench's best: $(ratio "$many" "$plain") with 256 clients, $(ratio "$some" "$plain") with 64"
echo "  one hot sku: HTTP / pgbench's best: $(ratio "$hot" "$plain_hot")"
