#!/bin/sh
# One small JSON document over keep-alive HTTP/1.1: bench_http_hello against nginx's `return 200`, each
# with one worker, in turns. Prints requests per second of server CPU (utime + stime) and their ratio.
#
#   bench/http_hello.sh build/bench/bench_http_hello [connections] [seconds] [rounds]
#
# Needs nginx and wrk (Debian packages of those names).
set -eu
hello=$1 connections=${2:-64} seconds=${3:-3} rounds=${4:-5}
folder=$(mktemp -d)
ticks=$(getconf CLK_TCK)
body='{"message":"hello, world"}'
cat >"$folder/nginx.conf" <<CONF
worker_processes 1;
pid $folder/nginx.pid;
error_log $folder/nginx.log crit;
daemon off;
events { worker_connections 4096; }
http {
  access_log off;
  keepalive_requests 1000000000;
  server { listen 127.0.0.1:18091; location /hello { default_type application/json; return 200 '$body'; } }
}
CONF
nginx -c "$folder/nginx.conf" &
nginx=$!
"$hello" 127.0.0.1:18090 1 >"$folder/hello.out" &
holdfast=$!
trap 'kill $nginx $holdfast 2>/dev/null; wait; rm -rf "$folder"' EXIT
sleep 1
worker=$(cat "/proc/$nginx/task/$nginx/children" | tr -d ' ')
[ "$(curl -s http://127.0.0.1:18091/hello)" = "$(curl -s http://127.0.0.1:18090/hello)" ] || {
  echo "the two servers do not answer alike" >&2
  exit 1
}

cpu() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }

# measure <pid> <port>: requests per CPU second
measure() {
  before=$(cpu "$1")
  requests=$(wrk -t1 -c"$connections" -d"${seconds}s" "http://127.0.0.1:$2/hello" | awk '/requests in/ { print $1 }')
  awk -v t="$(($(cpu "$1") - before))" -v hz="$ticks" -v n="$requests" 'BEGIN { printf "%.0f", n * hz / t }'
}

measure "$worker" 18091 >/dev/null
measure "$holdfast" 18090 >/dev/null
for round in $(seq "$rounds"); do
  theirs=$(measure "$worker" 18091)
  ours=$(measure "$holdfast" 18090)
  awk -v r="$round" -v a="$ours" -v b="$theirs" \
    'BEGIN { printf "round %d: holdfast %d, nginx %d requests per CPU second, ratio %.2f\n", r, a, b, a / b }'
done | tee "$folder/rounds"
sed 's/.*ratio //' "$folder/rounds" | sort -n | awk '{ a[NR] = $1 } END { printf "http_hello_ratio_to_nginx %.2f (median of %d)\n", a[int((NR + 1) / 2)], NR }'
