# Sourced: a PostgreSQL of the benchmark's own, in $place, ended with it. What a careful operator sets on a small
# machine; durable: fsync, full_page_writes and synchronous_commit are on, as they are by default.
binaries=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
as_owner() { if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }

start_postgres() {
  chmod 755 "$place"
  mkdir "$place/pg" "$place/socket"
  [ "$(id -u)" != 0 ] || chown postgres "$place/pg" "$place/socket"
  as_owner "$binaries/initdb" -D "$place/pg" -U holdfast -E UTF8 --locale=C -A trust >/dev/null
  cat >>"$place/pg/postgresql.conf" <<CONF
listen_addresses = ''
unix_socket_directories = '$place/socket'
max_connections = 200
shared_buffers = 512MB
max_wal_size = 4GB
checkpoint_timeout = 15min
random_page_cost = 1.1
jit = off
CONF
  as_owner "$binaries/pg_ctl" -D "$place/pg" -w -l "$place/pg/log" start >/dev/null
  export PGHOST=$place/socket PGUSER=holdfast
}
database_url() { echo "postgres:///$1?host=$place/socket&user=holdfast"; }
stop_postgres() { as_owner "$binaries/pg_ctl" -D "$place/pg" -m immediate stop >/dev/null 2>&1 || true; }
