#!/usr/bin/env bash
# clang-tidy over the sources: all, or those given. Needs ./test or ./run to have configured build/.
#   scripts/lint.sh [file.cpp …]
set -euo pipefail
cd "$(dirname "$0")/.."
files=("$@")
[ ${#files[@]} -gt 0 ] || mapfile -t files < <(git ls-files 'src/*.cpp' 'apps/*.cpp' 'cli/*.cpp' | grep -vE '_(test|bench|fuzz)\.cpp$')
printf '%s\0' "${files[@]}" | xargs -0 -n 4 -P "$(nproc)" clang-tidy -p build --quiet
