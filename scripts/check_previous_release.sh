#!/usr/bin/env bash
# The last release's own binary on the schema of this tree: it starts, takes orders, and its books are in balance.
# Built once, from its tag, into build-previous. Skipped, with a message, where this clone has no release's tag.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

tag=$(git tag --list 'v[0-9]*' --sort=-version:refname --no-contains HEAD --merged HEAD | head -n 1)
if [ -z "$tag" ]; then
  echo "No release before this one in this clone (tags v*): nothing to try."
  exit 0
fi
built=build-previous/$tag/build/holdfast
if [ ! -x "$built" ]; then
  mkdir -p "build-previous/$tag"
  git archive "$tag" | tar -x -C "build-previous/$tag"
  (cd "build-previous/$tag" && configure_and_build build holdfast_cli -DHOLDFAST_TESTS=OFF -DHOLDFAST_BENCHES=OFF)
fi

folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$folder"' EXIT
export HOLDFAST_DATA=$folder/data HOLDFAST_HTTP_ADDRESS=127.0.0.1:0
build/holdfast migrate up >"$folder/up"
"$built" serve --demo --ready-file "$folder/url" 2>"$folder/log" &
server=$!
for _ in $(seq 200); do
  [ -s "$folder/url" ] && break
  kill -0 "$server" 2>/dev/null || { cat "$folder/log" >&2; exit 1; }
  sleep 0.1
done
url=$(cat "$folder/url")
key=$("$built" keys create --scope admin | tail -n 1)
for n in 1 2 3; do
  curl -sf "$url/v1/orders" -H "Authorization: Bearer $key" -H 'Content-Type: application/json' \
    -H "Idempotency-Key: previous-$n" -d '{"customerId":"ada","items":[{"sku":"MUG-ANCHOR","quantity":1}]}' >/dev/null
done
curl -sf "$url/v1/ops/reconciliation" -H "Authorization: Bearer $key" | grep -q '"balanced":true'
kill "$server"
wait "$server"
server=
# And this tree's binary goes on with what the other wrote.
build/holdfast outbox status >/dev/null
echo "$tag works on this tree's schema"
