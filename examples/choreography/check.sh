#!/usr/bin/env bash
# Three orders by events: one goes through, one is declined, one is charged and released. Run twice: the
# second time finds all of it done.
set -euo pipefail
data=$(mktemp -d)
trap 'rm -rf "$data"' EXIT
wanted='ord_1 confirmed (shipment.booked), charge authorized
ord_2 rejected (payment.declined), charge declined
ord_3 rejected (payment.released), charge released'
for _ in 1 2; do
  seen=$(timeout 60 "$1/choreography" "$data")
  [ "$seen" = "$wanted" ] || { echo "unexpected: $seen"; exit 1; }
done
