#!/usr/bin/env bash
# An order's whole checkout through the real binaries: placed, authorized and captured at paysim, booked at
# carriersim, shipped. As ./run starts them, on loopback, all of them and the load on the same cores.
#   bench/checkout.sh [build folder] [seconds a run] [folder of the data]
# Finds the rate at which checkouts end when orders come as fast as they are answered; then sends half of that
# and prints the time from when an order's request was due to when it was shipped. Beside it, what the same number
# of bare requests and commits takes, one after another. Afterwards all orders must be shipped, and our ledger, our
# stock and paysim's book agree; else no figure counts.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build} seconds=${2:-8}
place=$(mktemp -d -p "${3:-${TMPDIR:-/tmp}}")
secret=whsec_bench
pids=()
finish() { for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null; wait "$pid" 2>/dev/null; done || true; rm -rf "$place"; }
trap finish EXIT

# begin NAME COMMAND…: starts it, waits until it is ready; its address is in $place/NAME.url.
begin() {
  local name=$1; shift
  "$@" --ready-file "$place/$name.url" >"$place/$name.log" 2>&1 &
  pids+=($!)
  until [ -s "$place/$name.url" ]; do
    kill -0 "${pids[-1]}" 2>/dev/null || { cat "$place/$name.log"; exit 1; }
    sleep 0.01
  done
}
url() { cat "$place/$1.url"; }
cpu_seconds() { awk -v hz="$(getconf CLK_TCK)" '{ printf "%.2f", ($14 + $15) / hz }' "/proc/$1/stat"; }

begin paysim "$build/apps/paysim/paysim" --address 127.0.0.1:0 --data "$place/paysim" --webhook-secret "$secret"
begin carriersim "$build/apps/carriersim/carriersim" --address 127.0.0.1:0 --data "$place/carriersim"
export HOLDFAST_DATA=$place/orders
begin orders "$build/holdfast" serve --set http.address=127.0.0.1:0 --set rate_limit.enabled=false \
  --set http.access_log=false --set http.max_waiting=100000 --set payments.provider=stripe \
  --set payments.stripe.url="$(url paysim)" --set payments.stripe.secret_key=sk_test_paysim \
  --set payments.stripe.webhook_secret="$secret" --set payments.default_method=pm_card_visa \
  --set shipping.carrier=legacy --set shipping.legacy.url="$(url carriersim)"
curl -fsS -X PUT -H 'Content-Type: application/json' "$(url paysim)/paysim/webhook" \
  -d "{\"url\":\"$(url orders)/v1/webhooks/payments\",\"secret\":\"$secret\",\"enabledEvents\":[
       \"payment_intent.amount_capturable_updated\",\"payment_intent.succeeded\",\"payment_intent.canceled\"]}" >/dev/null
key=$("$build/holdfast" keys create --scope admin 2>/dev/null | tail -n 1)
{ echo 'sku,name,price'; for i in $(seq 0 999); do printf 'P%05d,Product %d,4.20\n' "$i" "$i"; done; } >"$place/products.csv"
"$build/holdfast" import products "$place/products.csv" --map sku=sku --map name=name --map price=price \
  --stock 100000000 --currency GBP >"$place/import.log" 2>&1 || { cat "$place/import.log"; exit 1; }

cat >"$place/look.py" <<'PY'
import json, sqlite3, sys, urllib.request
place, what = sys.argv[1], sys.argv[2]
db = sqlite3.connect(f"file:{place}/orders/orders.db?mode=ro", uri=True)
def sagas(since):
    return db.execute("select started_at, finished_at from sagas where definition = 'checkout' and "
                      "started_at > ? order by started_at", (since,)).fetchall()
if what == "last":
    print(db.execute("select coalesce(max(started_at), 0) from sagas").fetchone()[0])
elif what == "unfinished":
    print(db.execute("select count(*) from sagas where due_at is not null").fetchone()[0])
elif what == "rate":  # of those that ended between the first end and the last start: neither ramp counts
    rows = sagas(int(sys.argv[3]))
    begin, end = min(f for _, f in rows), max(s for s, _ in rows)
    print("%.0f" % (sum(begin <= f <= end for _, f in rows) * 1e6 / (end - begin)))
elif what == "ended":
    print(len(sagas(int(sys.argv[3]))))
elif what == "times":  # from when a request was due to when its saga had ended
    ended = dict(db.execute("select key, finished_at from sagas where definition = 'checkout'"))
    asked = (line.split() for line in open(f"{place}/asked"))
    took = sorted((ended[order] - int(due)) / 1000 for order, due in asked)
    at = lambda share: took[min(len(took) - 1, int(share * len(took)))]
    print("%.2f %.2f %.2f %d" % (at(0.5), at(0.99), at(0.999), len(took)))
elif what == "books":
    orders, total = db.execute("select count(*), sum(total_minor) from orders").fetchone()
    wrong = db.execute("select status, count(*) from orders where status <> 'shipped' group by status").fetchall()
    told = json.load(urllib.request.urlopen(sys.argv[3] + "/paysim/book"))
    captured = told["totals"]["captured"] - told["totals"].get("refunded", 0)
    charges = len(told["intents"])
    if wrong or captured != total or charges != orders:
        sys.exit(f"the books differ: {orders} orders of {total}, {charges} payments of {captured}, not shipped: {wrong}")
    print(f"{orders} orders, all shipped; {captured} charged in {charges} payments, as ordered")
elif what == "floor":  # one row, one commit, one after another
    import time
    own = sqlite3.connect(f"{place}/floor.db", isolation_level=None)
    own.executescript("pragma journal_mode=wal; pragma synchronous=full; create table raw(id integer primary key, at integer)")
    took = []
    for i in range(300):
        began = time.perf_counter()
        own.execute("insert into raw(at) values(?)", (i,))
        took.append((time.perf_counter() - began) * 1000)
    print("%.3f" % sorted(took)[150])
PY
look() { python3 "$place/look.py" "$place" "$@"; }

port=$(url orders); port=${port##*:}; port=${port%/}
address='"shippingAddress":{"name":"Ada Miles","line1":"1 High Street","city":"Leeds","postalCode":"LS1 4AP","country":"GB"}'
load() { "$build/bench/bench_order_load" --port "$port" --key "$key" --skus 1000 --with "$address" --run "$RANDOM$RANDOM" "$@" | tee "$place/load"; }
settle() { for _ in $(seq 1200); do [ "$(look unfinished)" = 0 ] && return; sleep 0.1; done; echo "checkouts do not end"; exit 1; }
used() { for i in 0 1 2; do cpu_seconds "${pids[$i]}"; echo; done | tr '\n' ' '; }

echo "== as fast as orders are answered (16 clients)"
load --connections 16 --seconds 1 >/dev/null; settle
mark=$(look last); before=$(used)
load --connections 16 --warmup 0 --seconds "$seconds" | sed 's/^/  placed: /'
settle
peak=$(look rate "$mark"); ended=$(look ended "$mark")
echo "  checkouts ended: $peak /s while orders came"
echo "$before $(used)" | awk -v n="$ended" '{ printf "  CPU a checkout: paysim %.0f us, carriersim %.0f us, holdfast %.0f us\n", ($4-$1)*1e6/n, ($5-$2)*1e6/n, ($6-$3)*1e6/n }'

report() { # RATE NAME
  load --connections 256 --warmup 0 --rate "$1" --seconds "$seconds" --log "$place/asked" >/dev/null
  settle
  read -r _ _ _ placed50 _ _ placed99 _ <"$place/load"
  read -r p50 p99 p999 count < <(look times)
  awk -v name="$2" -v r="$1" -v a="$placed50" -v b="$placed99" -v p="$p50" -v q="$p99" -v z="$p999" -v n="$count" 'BEGIN {
    printf "  %s, %.0f/s: request to shipped p50 %.2f ms, p99 %.2f ms, p99.9 %.2f ms (%d; its answer p50 %.2f, p99 %.2f)\n",
      name, r, p, q, z, n, a, b }'
}
echo "== from the request to shipped, open loop"
report "$(awk -v r="$peak" 'BEGIN { print r / 2 }')" "at half"
report "$(awk -v r="$peak" 'BEGIN { print r / 4 }')" "at a quarter"
report 20 "alone"

"$build/bench/bench_order_load" --port "$port" --get /health/live --connections 1 --warmup 0 --seconds 1 >"$place/get"
read -r _ _ _ hop _ <"$place/get"
commit=$(look floor)
awk -v h="$hop" -v c="$commit" 'BEGIN {
  printf "== bare: a request %.3f ms, a commit %.3f ms; 4 requests and 7 commits in a row %.2f ms\n", h, c, 4 * h + 7 * c }'

echo "== afterwards"
look books "$(url paysim)" | sed 's/^/  /'
curl -fsS -H "Authorization: Bearer $key" "$(url orders)/v1/ops/reconciliation" >"$place/books.json"
python3 -c 'import json,sys; b=json.load(open(sys.argv[1])); sys.exit(0 if b.get("balanced", b.get("ok")) else 1)' "$place/books.json" ||
  { echo "the books do not balance:"; cat "$place/books.json"; exit 1; }
echo "  stock and ledger balance"
