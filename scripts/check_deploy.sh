#!/usr/bin/env bash
# What deploy/ says is understood by Kubernetes, Compose and holdfast itself. The types and schemas it is held
# against come from npm (deploy/check/package-lock.json), once, into build/deploy-check.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

command -v npm >/dev/null || ensure_packages nodejs npm
folder=$PWD/build/deploy-check
mkdir -p "$folder"
cp deploy/check/package.json deploy/check/package-lock.json deploy/check/check.mjs "$folder/"
if ! cmp -s "$folder/package-lock.json" "$folder/installed"; then
  (cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
  cp "$folder/package-lock.json" "$folder/installed"
fi
node "$folder/check.mjs" "$PWD/deploy"
node "$folder/check.mjs" "$PWD/deploy" --prove

# The settings, as the binary reads them; secrets are files that are not here.
secrets=$(mktemp -d)
trap 'rm -rf "$secrets"' EXIT
printf 'postgres://holdfast:x@127.0.0.1:5432/orders' >"$secrets/database-url"
sed "s|/run/secrets/|$secrets/|" deploy/config/holdfast.yaml >"$secrets/compose.yaml"
sed -n '/holdfast.yaml: |/,$s/^    //p' deploy/kubernetes/10-config.yaml |
  sed "s|/run/secrets/holdfast/|$secrets/|" >"$secrets/kubernetes.yaml"
for file in "$secrets/compose.yaml" "$secrets/kubernetes.yaml"; do
  build/holdfast config print --config "$file" >"$secrets/printed"
  grep -q 'nats' "$secrets/printed"
done
echo "deploy/: Kubernetes, Compose and the settings are understood, and faults are noticed"
