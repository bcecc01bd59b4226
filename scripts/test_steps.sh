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

say() { printf '\n== %s\n' "$*"; }

# run_gtest BINARY [ARG…]: runs it and adds its counts.
run_gtest() {
  local report
  report=$(mktemp)
  timeout 900 "$@" --gtest_filter="$filter" --gtest_brief=1 --gtest_output="xml:$report"
  local code=$? counts
  counts=$(grep -m1 '<testsuites' "$report" 2>/dev/null)
  rm -f "$report"
  if [ -z "$counts" ]; then  # it died before it could count
    echo "$1 ended with exit code $code and no report" >&2
    failed=$((failed + 1))
    return 1
  fi
  local all bad off
  all=$(sed -n 's/.* tests="\([0-9]*\)".*/\1/p' <<<"$counts")
  bad=$(sed -n 's/.* failures="\([0-9]*\)".*/\1/p' <<<"$counts")
  off=$(sed -n 's/.* disabled="\([0-9]*\)".*/\1/p' <<<"$counts")
  [ "$code" -ne 0 ] && [ "$bad" -eq 0 ] && bad=1
  failed=$((failed + bad))
  skipped=$((skipped + off))
  passed=$((passed + all - bad - off))
  return "$code"
}

# What rooms and modules promise of their data, asked once more with PostgreSQL under them.
postgres_tests() {
  say "unit tests over PostgreSQL"
  local all=$filter
  export HOLDFAST_TEST_DATABASE=postgres
  filter='Broker*:*/Broker.*:*Poison*:SagaWorkers*:Idempotency*:Subscribers*:Incoming*:OverTheNetwork*'
  filter+=':*/BrokerContract.KeepsEach*:*/BrokerContract.AProcessKilled*:*/BrokerContract.WhatIsSentTwice*'
  filter+=':*/ServerContract.AServerKilled*:*/LeaseContract.*/sql:*/ClaimsOverBrokers.*/embedded'
  filter+=':RedisAnswersTest.AnAnswer*:RedisAnswersTest.WhatARepeat*'
  filter+=':-*InVirtualTime*:*OnARetryIsCounted*'
  run_gtest build/holdfast_tests
  filter='-ProductPage.*'  # these wait for a time that only simulated runtimes bring about
  run_gtest build/apps/orders_tests
  unset HOLDFAST_TEST_DATABASE
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
    return 1
  fi
}

check_format() {
  local files
  mapfile -t files < <(git ls-files '*.cpp' '*.hpp')
  clang-format --dry-run --Werror "${files[@]}"
}

build_everything() { configure_and_build build all -DHOLDFAST_TESTS=ON -DHOLDFAST_BENCHES=OFF; }

# One more build a sanitizer, of the same unit tests. The address build is Clang's: it keeps the second
# compiler warning-free and carries the fuzz targets too.
address_sanitizer_build() {
  configure_and_build build-address holdfast_tests orders_tests paysim_tests carriersim_tests fuzz_targets -DCMAKE_CXX_COMPILER=clang++-16 \
    -DHOLDFAST_SANITIZER=address -DHOLDFAST_FUZZERS=ON -DHOLDFAST_OPTIMIZATION="-O1 -g1"
}

thread_sanitizer_build() {
  configure_and_build build-thread holdfast_tests orders_tests paysim_tests carriersim_tests -DHOLDFAST_SANITIZER=thread \
    -DHOLDFAST_OPTIMIZATION="-O1 -g1"
}

sanitized_tests() {
  local sanitizer=$1
  step "build with the $sanitizer sanitizer" "${sanitizer}_sanitizer_build" || return 1
  say "unit tests, $sanitizer sanitizer"
  # Fibers count as threads, and some tests end a forked process that runs a runtime.
  export TSAN_OPTIONS="suppressions=$PWD/tests/tsan.supp die_after_fork=0"
  run_gtest "build-$sanitizer/holdfast_tests"
  run_gtest "build-$sanitizer/apps/orders_tests"
  run_gtest "build-$sanitizer/apps/paysim_tests"
  run_gtest "build-$sanitizer/apps/carriersim_tests"
}

# The binary with its fault sites, ended at each of them.
fault_point_tests() {
  say "killed at fault sites"
  local all=$filter
  filter='*FaultPoints*'
  HOLDFAST_BINARY=$PWD/build/with-faults/holdfast run_gtest build/tests/crash_tests
  filter=$all
  step "drill: killed between the steps of a checkout" kill_between_steps --quick
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
  for target in build-address/fuzz/*_fuzz; do
    step "fuzz $(basename "$target") for $fuzz_seconds s" fuzz_one "$target"
  done
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
    return
  fi
  build/holdfast drill run --all
  local code=$?
  [ $code -eq 4 ] && code=0  # what could not be run here says so, and is tried below
  kill_between_steps && return $code
}

main() {
  parse_arguments "$@"
  local started=$SECONDS
  ensure_packages "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}" || exit 1
  if [ "$embedded" = no ]; then
    ensure_no_cluster_is_made || exit 1
    ensure_packages "${SERVER_PACKAGES[@]}" || exit 1
  fi
  say "build"
  build_everything || { echo "The build failed."; echo "0 passed, 1 failed"; exit 1; }

  say "unit tests"
  local binary
  for binary in build/architecture_tests build/holdfast_tests build/apps/orders_tests \
    build/apps/paysim_tests build/apps/carriersim_tests build/cli/cli_tests \
    build/drills/drills_tests; do
    [ -x "$binary" ] && run_gtest "$binary"
  done
  [ "$only_filter" = yes ] || [ "$embedded" = yes ] || postgres_tests
  say "end to end"
  for binary in build/tests/*_tests; do
    [ -x "$binary" ] && HOLDFAST_CRASH_ROUNDS=$crash_rounds run_gtest "$binary"
  done

  if [ "$only_filter" = no ]; then
    step "installed package and examples" scripts/check_package.sh
    step "commands of README.md" scripts/check_readme.sh
    step "settings that documents show" scripts/check_docs.sh
    step "drills" run_drills
    if [ "$quick" = no ]; then
      step "manifests of deploy/" scripts/check_deploy.sh
      ensure_packages "${CHECK_PACKAGES[@]}" || exit 1
      step "formatting" check_format
      fault_point_tests
      sanitized_tests address && fuzzing
      if [ "$full" = yes ]; then
        step "the release before on this schema" scripts/check_previous_release.sh
        sanitized_tests thread
      fi
    fi
  fi
  printf '\n%d s\n' $((SECONDS - started))
  printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
  [ "$failed" -eq 0 ]
}
