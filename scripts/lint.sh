#!/usr/bin/env bash
# clang-tidy over the sources: all, or those given. Needs ./test to have configured build-address/ (Clang 16).
#   scripts/lint.sh [file.cpp …]
set -euo pipefail
cd "$(dirname "$0")/.."
files=("$@")
[ ${#files[@]} -gt 0 ] || mapfile -t files < <(git ls-files 'src/*.cpp' 'apps/*.cpp' 'cli/*.cpp' | grep -vE '_(test|bench|fuzz)\.cpp$')
printf '%s\0' "${files[@]}" | xargs -0 -n 4 -P "$(nproc)" clang-tidy-16 -p build-address --quiet
