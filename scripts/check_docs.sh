#!/usr/bin/env bash
# The settings that documents show are settings that holdfast takes: each ```yaml block of README.md and docs/.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
printf 'redis://127.0.0.1:6379' >"$folder/secret"
awk -v folder="$folder" '
  /^```yaml$/ { name = FILENAME; gsub(/\//, "-", name); file = folder "/" name "-" FNR ".yaml"; next }
  /^```$/ { if (file) close(file); file = "" }
  file { gsub(/\/run\/secrets\/[A-Za-z0-9_.\/-]+/, folder "/secret"); print > file }
' README.md docs/*.md
count=0
for block in "$folder"/*.yaml; do
  build/holdfast config print --config "$block" >"$folder/said" 2>&1 || { cat "$folder/said" >&2; exit 1; }
  count=$((count + 1))
done
[ "$count" -gt 0 ]
echo "$count blocks of settings in documents are understood"
