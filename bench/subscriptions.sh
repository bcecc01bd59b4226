#!/usr/bin/env bash
# Messages handled a second on PostgreSQL, in batches and one by one, and the delay from commit to handler; beside
# them graphile-worker, a job queue on PostgreSQL, on the same server in the same run:
#   bench/subscriptions.sh [build folder] [messages] [folder of PostgreSQL's data]
# Handlers do nothing. graphile-worker is fetched by npm into a temporary folder; without npm, or without a way to its
# registry, only ours is measured.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build} messages=${2:-20000}
place=$(mktemp -d -p "${3:-${TMPDIR:-/tmp}}")
. bench/postgres_server.sh
trap 'stop_postgres; rm -rf "$place"' EXIT

# As its own documentation tunes it for throughput; then a job a round trip, as it is without.
peer() {
  mkdir "$place/peer"
  (cd "$place/peer" && npm install --silent --no-audit --no-fund graphile-worker@0.17 >/dev/null 2>&1) || return 1
  cat >"$place/peer/peer.mjs" <<'JS'
import { run, makeWorkerUtils, Logger } from "graphile-worker";
import pg from "pg";
const [jobs, database] = [Number(process.argv[2]), process.argv[3]];
const logger = new Logger(() => () => {});
const pgPool = new pg.Pool({ host: process.env.PGHOST, user: process.env.PGUSER, database, max: 20 });
const utils = await makeWorkerUtils({ pgPool, logger });
await utils.migrate();
async function rate(worker) {
  await pgPool.query("select graphile_worker.add_jobs(array(select row('noop', '{}', null, null, null, null, null, null)" +
    "::graphile_worker.job_spec from generate_series(1, $1)))", [jobs]);
  let handled = 0, done;
  const all = new Promise((resolve) => (done = resolve));
  const begun = process.hrtime.bigint();
  const runner = await run({ pgPool, logger, noHandleSignals: true,
    taskList: { noop: () => { if (++handled === jobs) done(); } }, preset: { worker } });
  await all;
  while (Number((await pgPool.query("select count(*) from graphile_worker.jobs")).rows[0].count) > 0)
    await new Promise((resolve) => setTimeout(resolve, 1));
  const seconds = Number(process.hrtime.bigint() - begun) / 1e9;
  await runner.stop();
  return Math.round(jobs / seconds);
}
const batched = await rate({ concurrentJobs: 24, localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 });
const single = await rate({ concurrentJobs: 24 });
console.log(`${batched} ${single}`);
await utils.release();
await pgPool.end();
process.exit(0);
JS
  node "$place/peer/peer.mjs" "$messages" peer
}
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.1f", a / b }'; }

start_postgres
createdb ours
createdb peer
"$build/bench/bench_messaging_delivery" "$messages" "$(database_url ours)" | tee "$place/ours"
command -v npm >/dev/null || { echo "graphile-worker: npm is not here"; exit 0; }
figures=$(peer) || { echo "graphile-worker: it could not be fetched, or did not run"; exit 0; }
read -r batched single <<<"$figures"
echo "graphile-worker a backlog: $batched/s in batches, $single/s one by one"
ours() { awk -v kind="$1" -v column="$2" '$1 == kind && $2 == "a" { split($column, n, "/"); print n[1] }' "$place/ours"; }
for kind in external transactional; do
  echo "$kind handlers / graphile-worker: $(ratio "$(ours $kind 4)" "$batched") in batches, $(ratio "$(ours $kind 7)" "$single") one by one"
done
