#!/usr/bin/env bash
# Installs the library into a temporary folder, builds every project under examples/ against it (with
# CMake, and one with pkg-config alone), and runs what it says in its check.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
ninja -C build holdfast_static holdfast_shared >/dev/null
cmake --install build --prefix "$place/installed" --component library >/dev/null
for example in examples/*/; do
  name=$(basename "$example")
  cmake -G Ninja -S "$example" -B "$place/$name" -DCMAKE_PREFIX_PATH="$place/installed" >"$place/log" 2>&1 &&
    ninja -C "$place/$name" >>"$place/log" 2>&1 || { cat "$place/log"; exit 1; }
  bash "$example/check.sh" "$place/$name"
  echo "examples/$name: built against the installed package and ran"
done
PKG_CONFIG_PATH=$(dirname "$(find "$place/installed" -name holdfast.pc)")
export PKG_CONFIG_PATH
g++ -std=c++23 examples/hello/hello.cpp $(pkg-config --cflags --libs holdfast) -o "$place/hello-pc"
echo "examples/hello: built with pkg-config alone"
