# Tests, several processes at a time: most of them wait, for a server, a lease or a timer. Sourced by
# scripts/test_steps.sh.
#   queue_tests [NAME=VALUE…] BINARY [PATTERNS…]
#                               BINARY's tests that match $filter: one process for each PATTERNS (the
#                               shell's, with ':' between), and one for those that match none of them
#   queue_step NAME COMMAND…    a check that counts as one test
#   run_queued N                runs what is queued, in its order, N at a time; prints what each wrote when it
#                               ends, and counts
# Tests that share a server, which each process starts for itself, belong into one PATTERNS.

queue_folder=$(mktemp -d)
queued_names=()
queued_commands=()
declare -A running=()  # index in the queue → its process
declare -A begun=()
failures=()
part_limit=900  # seconds
mkfifo "$queue_folder/ends"
exec {ends}<>"$queue_folder/ends"  # "index code" of each that ended

# signal_tree NAME PROCESS: to it and all that it started, their parents first.
signal_tree() {
  local child children=()
  kill "-$1" "$2" 2>/dev/null || return 0
  read -ra children 2>/dev/null <"/proc/$2/task/$2/children" || true
  for child in "${children[@]}"; do signal_tree "$1" "$child"; done
}

# Ctrl-C, and the end: nothing of ours goes on.
end_side_by_side() {
  local process
  for process in "${running[@]}" ${behind:-}; do
    signal_tree STOP "$process"
    signal_tree TERM "$process"
    signal_tree CONT "$process"
  done
  rm -rf "$queue_folder" "$queue_folder.build"
}
trap end_side_by_side EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

queue() {
  queued_names+=("$1")
  shift
  queued_commands+=("$(printf '%q ' "$@")")
}

queue_step() { queue "$@"; }

queue_tests() {
  local settings=()
  while [[ $1 == *=* ]]; do
    settings+=("$1")
    shift
  done
  local binary=$1 listed name pattern
  shift
  listed=$(env "${settings[@]}" "$binary" --gtest_filter="$filter" --gtest_list_tests) || {
    failures+=("$binary: its tests can't be listed")
    failed=$((failed + 1))
    return 1
  }
  local names
  mapfile -t names < <(awk '/^[^ ].*\.( |$)/ { suite = $1 } /^  / { print suite $1 }' <<<"$listed")
  local part=0 taken left patterns
  for patterns in "$@" '*'; do
    taken=() left=()
    local -a each
    IFS=: read -ra each <<<"$patterns"
    for name in "${names[@]}"; do
      for pattern in "${each[@]}"; do
        # shellcheck disable=SC2053  # a pattern is meant
        [[ $name == $pattern ]] && taken+=("$name") && continue 2
      done
      left+=("$name")
    done
    names=("${left[@]}")
    part=$((part + 1))
    [ ${#taken[@]} -gt 0 ] || continue
    local at=$queue_folder/${#queued_names[@]}
    (IFS=:; printf -- '--gtest_filter=%s\n' "${taken[*]}") >"$at.flags"
    queue "$(basename "$binary"), part $part${settings[*]:+, ${settings[*]}}: ${#taken[@]} tests" \
      run_part "$at" env "${settings[@]}" "$binary"
  done
}

run_part() {
  local at=$1
  shift
  timeout "$part_limit" "$@" --gtest_flagfile="$at.flags" --gtest_brief=1 --gtest_output="xml:$at.xml"
}

run_queued() {
  local at_once=$1 next=0 index code all_well=0
  while [ "$next" -lt ${#queued_names[@]} ] || [ ${#running[@]} -gt 0 ]; do
    while [ "$next" -lt ${#queued_names[@]} ] && [ ${#running[@]} -lt "$at_once" ]; do
      {
        eval "${queued_commands[next]}" >"$queue_folder/$next.log" 2>&1
        echo "$next $?" >&"$ends"
      } </dev/null &
      running[$next]=$!
      begun[$next]=$SECONDS
      next=$((next + 1))
    done
    read -r -u "$ends" index code
    unset "running[$index]"
    ended "$index" "$code" || all_well=1
  done
  queued_names=() queued_commands=()
  rm -f "$queue_folder"/[0-9]*
  return $all_well
}

# ended INDEX CODE: prints what it wrote, and counts.
ended() {
  local at=$queue_folder/$1 name=${queued_names[$1]} code=$2 result=passed
  # One in a process that a test forks and kills is told here only.
  if [ "$code" -eq 0 ] && grep -q '^WARNING: ThreadSanitizer' "$at.log"; then code=66; fi
  [ "$code" -eq 0 ] || result=FAILED
  printf -- '-- %s, %s, %d s\n' "$name" "$result" $((SECONDS - begun[$1]))
  grep -v '^Running main() from \|^\[==========\]\|^\[  PASSED  \]' "$at.log"
  if [ -f "$at.flags" ]; then
    count_report "$at.xml" "$name" "$code" || true
    mapfile -t -O ${#failures[@]} failures < <(sed -n 's/^\[  FAILED  \] \(.*\) ([0-9]* ms)$/\1/p' "$at.log")
  elif [ "$code" -eq 0 ]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    failures+=("$name")
  fi
  return "$code"
}

# count_report FILE NAME CODE: adds the counts of a GoogleTest report. One that died wrote none.
count_report() {
  local counts all bad off
  counts=$(grep -m1 '<testsuites' "$1" 2>/dev/null)
  if [ -z "$counts" ]; then
    echo "$2: ended with exit code $3, and no report"
    failures+=("$2: ended with exit code $3")
    failed=$((failed + 1))
    return
  fi
  all=$(sed -n 's/.* tests="\([0-9]*\)".*/\1/p' <<<"$counts")
  bad=$(sed -n 's/.* failures="\([0-9]*\)".*/\1/p' <<<"$counts")
  off=$(sed -n 's/.* disabled="\([0-9]*\)".*/\1/p' <<<"$counts")
  if [ "$3" -ne 0 ] && [ "$bad" -eq 0 ]; then  # no test of it failed, and a sanitizer found something
    failures+=("$2: ended with exit code $3")
    bad=1
  fi
  failed=$((failed + bad))
  skipped=$((skipped + off))
  passed=$((passed + all - bad - off))
}
