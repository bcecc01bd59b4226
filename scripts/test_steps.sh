# The steps of ./test. Sourced by it, after scripts/common.sh.

TEST_PACKAGES=(libgtest-dev libgmock-dev curl openssl sqlite3)
SERVER_PACKAGES=(redis-server nats-server rabbitmq-server postgresql-15)
CHECK_PACKAGES=(clang-16 libclang-rt-16-dev clang-format)

filter='*'
only_filter=no
quick=no
embedded=no
all_drills=no
crash_rounds=20
full=no
fuzz_seconds=5
passed=0
failed=0
skipped=0
behind=  # the process of what is built behind the tests

# How many processes at a time: of those that wait, and of those that compute or start a dozen programs.
readonly WAITING=$((2 * $(nproc))) COMPUTING=$(($(nproc) + 1))

# Each broker's and database's tests are a process of their own, those of RabbitMQ, which takes longest to
# start, three; and so are the thirds of what is left.
HOLDFAST_PARTS=('*ServerContract*/rabbitmq' 'RabbitStreams.*' '*Postgres*:*/postgres*:OnSlot.*:OnReplicas.*'
  '*/rabbitmq*:*Rabbit*' '*/nats*:*Nats*' '*/kafka*:*Kafka*' '*/redis*:*Redis*' '[A-C]*' '[D-R]*')
E2E_PARTS=('*InFlight*' 'PostgresTroubles.*' 'Checkout*:Parked*' '*Postgres*:Migrate*:*Schema*')
CRASH_PARTS=('*FleetCrash*/rabbitmq' '*Pgoutput*' 'Worker*' 'Crash.*' '*FleetCrash*/kafka' '*/rabbitmq*:*Rabbit*'
  '*FleetCrash*/embedded' '*FleetCrash*/nats' '*FleetCrash*/redis')

usage() { sed -n '2,8s/^# //p' ./test; }

parse_arguments() {
  while [ $# -gt 0 ]; do
    case "$1" in
      --filter) filter=${2:?--filter needs a pattern}; only_filter=yes; shift 2 ;;
      --crash-rounds) crash_rounds=${2:?--crash-rounds needs a number}; shift 2 ;;
      --fuzz-seconds) fuzz_seconds=${2:?--fuzz-seconds needs a number}; shift 2 ;;
      --quick) quick=yes; shift ;;
      --embedded) embedded=yes; quick=yes; export HOLDFAST_EMBEDDED_ONLY=1; shift ;;
      --full) full=yes; crash_rounds=50; export HOLDFAST_FULL=1; shift ;;
      --drills) all_drills=yes; shift ;;
      -h | --help) usage; exit 0 ;;
      *) echo "test: unknown argument '$1'" >&2; usage >&2; exit 2 ;;
    esac
  done
}

# PostgreSQL's package makes a cluster and starts it, unless it is told not to: the tests start servers of
# their own.
ensure_no_cluster_is_made() {
  [ -n "$(missing_packages postgresql-15)" ] || return 0
  ensure_packages postgresql-common || return 1
  local setting=/etc/postgresql-common/createcluster.conf as_root=()
  [ "$(id -u)" -eq 0 ] || as_root=(sudo -n)
  "${as_root[@]}" sed -i 's/^#* *create_main_cluster .*/create_main_cluster = false/' "$setting"
}

# say STEP: what is done from now on; the table of times has a row of it.
said=() said_at=()
say() {
  said+=("$*")
  said_at+=("$SECONDS")
  printf '\n== %s\n' "$*"
}

times() {
  local i
  said_at+=("$SECONDS")
  printf '\n'
  for i in "${!said[@]}"; do printf '%6d s  %s\n' $((said_at[i + 1] - said_at[i])) "${said[i]}"; done
}

# queue_postgres_tests FOLDER: what rooms and modules promise of their data, asked once more with PostgreSQL
# under them.
queue_postgres_tests() {
  local folder=$1 all=$filter
  filter='Broker*:*/Broker.*:*Poison*:SagaWorkers*:Idempotency*:Subscribers*:Incoming*:OverTheNetwork*'
  filter+=':*/BrokerContract.KeepsEach*:*/BrokerContract.AProcessKilled*:*/BrokerContract.WhatIsSentTwice*'
  filter+=':*/ServerContract.AServerKilled*:*/LeaseContract.*/sql:*/ClaimsOverBrokers.*/embedded'
  filter+=':RedisAnswersTest.AnAnswer*:RedisAnswersTest.WhatARepeat*'
  filter+=':-*InVirtualTime*:*OnARetryIsCounted*'
  queue_tests HOLDFAST_TEST_DATABASE=postgres "$folder/holdfast_tests" '*/rabbitmq*' '*/nats*'
  filter='-ProductPage.*'  # these wait for a time that only simulated runtimes bring about
  queue_tests HOLDFAST_TEST_DATABASE=postgres "$folder/apps/orders_tests" '[A-M]*' 'O*'
  filter=$all
}

# step NAME COMMAND…: one check that is not a GoogleTest binary counts as one test.
step() {
  local name=$1
  shift
  say "$name"
  if "$@"; then
    passed=$((passed + 1))
  else
    echo "FAILED: $name" >&2
    failed=$((failed + 1))
    failures+=("$name")
    return 1
  fi
}

check_format() {
  local files
  mapfile -t files < <(git ls-files '*.cpp' '*.hpp')
  clang-format --dry-run --Werror "${files[@]}"
}

build_everything() {
  configure_and_build build all holdfast_shared -DHOLDFAST_TESTS=ON -DHOLDFAST_BENCHES=OFF
}

# One more build a sanitizer, of the same unit tests. The address build is Clang's: it keeps the second
# compiler warning-free and carries the fuzz targets too.
address_sanitizer_build() {
  configure_and_build build-address holdfast_tests orders_tests paysim_tests carriersim_tests fuzz_targets -DCMAKE_CXX_COMPILER=clang++-16 \
    -DHOLDFAST_SANITIZER=address -DHOLDFAST_FUZZERS=ON -DHOLDFAST_OPTIMIZATION="-O1 -g1"
}

# Without precompiled headers, so that each source includes what it uses.
thread_sanitizer_build() {
  configure_and_build build-thread holdfast_tests orders_tests paysim_tests carriersim_tests -DHOLDFAST_SANITIZER=thread \
    -DHOLDFAST_PCH=OFF -DHOLDFAST_OPTIMIZATION="-O1 -g1"
}

# build_behind COMMAND: at the lowest priority, while tests wait.
build_behind() {
  {
    renice -n 19 "$BASHPID" >/dev/null
    "$1"
  } </dev/null >"$queue_folder.build" 2>&1 &
  behind=$!
}

# Its end, and what it wrote where it failed. All the processors are its own from here on.
built_behind() {
  local code
  wait "$behind"
  code=$?
  behind=
  if [ $code -eq 0 ]; then tail -n 1 "$queue_folder.build"; else cat "$queue_folder.build"; fi
  rm -f "$queue_folder.build"
  return $code
}

# sanitized_tests SANITIZER: its unit tests, once they are built. Those of threads on PostgreSQL, too: they are
# up to ten times slower, and compute.
sanitized_tests() {
  # shellcheck disable=SC2034  # run_part reads it
  local sanitizer=$1 name at_once=$WAITING part_limit=1800
  say "unit tests, $sanitizer sanitizer"
  # Fibers count as threads, and some tests end a forked process that runs a runtime. (One that is forked where a
  # library keeps a thread, as libnats does once it was used, ends with "dup thread with used id": GCC 12's
  # sanitizer takes its first new thread for that one. So such tests are in other parts than NATS's.)
  export TSAN_OPTIONS="suppressions=$PWD/tests/tsan.supp die_after_fork=0"
  queue_tests "build-$sanitizer/holdfast_tests" "${HOLDFAST_PARTS[@]}"
  for name in orders paysim carriersim; do queue_tests "build-$sanitizer/apps/${name}_tests"; done
  if [ "$sanitizer" = thread ]; then
    queue_postgres_tests "build-$sanitizer"
    at_once=$COMPUTING
  fi
  run_queued "$at_once"
}

# The binary with its fault sites, ended at each of them.
queue_fault_points() {
  local all=$filter
  filter='*FaultPoints*'
  queue_tests HOLDFAST_BINARY="$PWD/build/with-faults/holdfast" build/tests/crash_tests
  filter=$all
}

# kill_between_steps [--quick]: the drill that takes a binary with fault sites.
kill_between_steps() {
  local settings=()
  [ "${1:-}" = --quick ] && settings=(--seconds 3)  # each site once, in the server or in a worker
  build/with-faults/holdfast drill run kill-between-steps "${settings[@]}"
}

# Each target runs from its corpus for a few seconds.
fuzzing() {
  local target
  say "fuzzing"
  for target in build-address/fuzz/*_fuzz; do
    queue_step "fuzz $(basename "$target") for $fuzz_seconds s" fuzz_one "$target"
  done
  run_queued "$(nproc)"
}

fuzz_one() {
  local target=$1 name corpus log
  name=$(basename "$target")
  corpus=$(mktemp -d)
  log=$(mktemp)
  [ -d "tests/corpus/$name" ] && cp -r "tests/corpus/$name/." "$corpus/"
  "$target" -max_total_time="$fuzz_seconds" -max_len=8192 -timeout=10 -rss_limit_mb=2048 \
    -artifact_prefix="$corpus/" "$corpus" >"$log" 2>&1
  local code=$?
  if [ $code -eq 0 ]; then tail -n 1 "$log"; else tail -n 40 "$log"; fi
  rm -rf "$corpus" "$log"
  return $code
}

# The quick drills, with three seconds of load each; all of them, as long as they are, where asked for. The
# one that kills at fault sites takes a binary that has them.
run_drills() {
  if [ "$all_drills" = no ]; then
    build/holdfast drill run --quick
    local code=$?
    if [ "$embedded" = yes ]; then  # those that want a server could not be run
      [ $code -eq 4 ] && code=0
    elif [ $code -eq 0 ]; then
      build/holdfast drill run double-click --seconds 3 --database postgres
      code=$?
    fi
    return $code
  fi
  build/holdfast drill run --all
  local code=$?
  [ $code -eq 4 ] && code=0  # what could not be run here says so, and is tried below
  kill_between_steps && return $code
}

unit_and_end_to_end_tests() {
  say "unit tests, end to end"
  local name
  queue_tests build/tests/e2e_tests "${E2E_PARTS[@]}"
  queue_tests build/holdfast_tests "${HOLDFAST_PARTS[@]}"
  [ "$only_filter" = yes ] || [ "$embedded" = yes ] || queue_postgres_tests build
  for name in apps/orders apps/paysim apps/carriersim architecture cli/cli drills/drills; do
    queue_tests "build/${name}_tests"
  done
  run_queued "$WAITING"
}

crash_tests() {
  say "kill -9 and worse"
  if [ "$only_filter" = no ] && [ "$quick" = no ]; then
    queue_step "drill: killed between the steps of a checkout" kill_between_steps --quick
  fi
  queue_tests HOLDFAST_CRASH_ROUNDS="$crash_rounds" build/tests/crash_tests "${CRASH_PARTS[@]}"
  [ "$only_filter" = yes ] || [ "$quick" = yes ] || queue_fault_points
  run_queued "$COMPUTING"
}

checks() {
  say "package, deploy/, documents, formatting"
  queue_step "installed package and examples" scripts/check_package.sh
  queue_step "settings that documents show" scripts/check_docs.sh
  if [ "$quick" = no ]; then
    queue_step "manifests of deploy/" scripts/check_deploy.sh
    queue_step "formatting" check_format
  fi
  run_queued "$COMPUTING"
  step "commands of README.md" scripts/check_readme.sh
  [ -z "$behind" ] || signal_tree STOP "$behind"  # these say how fast something is
  step "drills" run_drills
  [ -z "$behind" ] || signal_tree CONT "$behind"
}

main() {
  parse_arguments "$@"
  local started=$SECONDS
  say "packages"
  ensure_packages "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}" || exit 1
  if [ "$embedded" = no ]; then
    ensure_no_cluster_is_made || exit 1
    ensure_packages "${SERVER_PACKAGES[@]}" || exit 1
  fi
  [ "$quick" = yes ] || [ "$only_filter" = yes ] || ensure_packages "${CHECK_PACKAGES[@]}" || exit 1
  say "build"
  build_everything || { echo "The build failed."; echo "0 passed, 1 failed"; exit 1; }

  [ "$quick" = yes ] || [ "$only_filter" = yes ] || build_behind address_sanitizer_build
  unit_and_end_to_end_tests
  crash_tests
  [ "$only_filter" = yes ] || checks
  if [ "$only_filter" = no ] && [ "$quick" = no ]; then
    step "what is left of the build with the address sanitizer" built_behind && sanitized_tests address && fuzzing
    if [ "$full" = yes ]; then
      step "the release before on this schema" scripts/check_previous_release.sh
      step "build with the thread sanitizer" thread_sanitizer_build && sanitized_tests thread
    fi
  fi
  times
  if [ ${#failures[@]} -gt 0 ]; then printf '\nFAILED:\n'; printf '  %s\n' "${failures[@]}"; fi
  printf '\n%d s\n' $((SECONDS - started))
  printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
  [ "$failed" -eq 0 ]
}
