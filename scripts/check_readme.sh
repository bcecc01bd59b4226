#!/usr/bin/env bash
# Runs README.md's ```sh blocks, in order and word for word, against a data folder and a port of its own.
# Blocks that start the server run in the background; `./test` is what runs this, so it is only named.
set -euo pipefail
cd "$(dirname "$0")/.."
place=$(mktemp -d)
# Below those that the kernel chooses from, and those of other tests (base/testing/free_port.hpp).
port=$((10000 + RANDOM % 10000))
while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((10000 + RANDOM % 10000)); done
export HOLDFAST_DATA=$place/data HOLDFAST_HTTP_ADDRESS=127.0.0.1:$port PAYSIM_ADDRESS=127.0.0.1:0
export CARRIERSIM_ADDRESS=127.0.0.1:0
server=
finish() {
  # ./run passes SIGTERM on to what it has started; it ends when they have.
  [ -n "$server" ] && kill -TERM "$server" 2>/dev/null && wait "$server" || true
  rm -rf "$place"
}
trap finish EXIT

awk -v place="$place" '/^```sh$/ { n++; on = 1; next } /^```$/ { on = 0 } on { print > sprintf("%s/%02d.sh", place, n) }' README.md

# Code is quoted, not copied: every line of a block marked `quoted from FILE` stands in FILE.
awk '/^<!-- quoted from / { file = $4 } /^```cpp$/ { on = 1; next } /^```$/ { on = 0; file = "" } on && file && NF { print file "\t" $0 }' \
  README.md >"$place/quoted"
while IFS=$'\t' read -r file line; do
  grep -Fxq -- "$line" "$file" || { echo "README.md quotes a line that is not in $file: $line"; exit 1; }
done <"$place/quoted"
[ -s "$place/quoted" ] || { echo "README.md quotes no code"; exit 1; }

start_server() {
  ./run >"$place/server.log" 2>&1 &
  server=$!
  for _ in $(seq 600); do
    curl -fsS -o /dev/null "http://127.0.0.1:$port/health/ready" 2>/dev/null && return 0
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
  done
  echo "./run did not become ready:"; cat "$place/server.log"; return 1
}

ran=0
: >"$place/session.sh"
for block in "$place"/[0-9][0-9].sh; do
  case "$(head -n 1 "$block")" in
    ./run) start_server; ran=$((ran + 1)); continue ;;
    ./test) continue ;;
  esac
  # A reader's shell keeps KEY from block to block; here a session file does.
  sed "s/127\.0\.0\.1:8080/127.0.0.1:$port/g; s#data/holdfast.pid#$HOLDFAST_DATA/holdfast.pid#g; s#data/paysim.ready#$HOLDFAST_DATA/paysim.ready#g" "$block" >"$block.run"
  { cat "$place/session.sh"; echo 'set -eo pipefail'; cat "$block.run"; printf '\ndeclare -p KEY >"%s" 2>/dev/null || true\n' "$place/session.sh"; } >"$place/now.sh"
  bash "$place/now.sh" >"$place/out" 2>&1 || { echo "README.md, block $(basename "$block"):"; cat "$block" "$place/out"; exit 1; }
  ran=$((ran + 1))
done
[ "$ran" -ge 9 ] || { echo "only $ran blocks of README.md ran"; exit 1; }
kill -TERM "$(cat "$HOLDFAST_DATA/holdfast.pid")"
echo "README.md: $ran blocks ran as written"
