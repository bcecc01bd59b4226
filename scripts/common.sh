# Shared by ./run and ./test: what is needed from Debian's packages, and how it is built.
# Sourced with the project's folder as the current one.

BUILD_PACKAGES=(
  g++ cmake ninja-build pkg-config ccache mold
  libboost1.81-dev libboost-context1.81-dev libboost-json1.81-dev
  libssl-dev libsqlite3-dev libpq-dev libcurl4-openssl-dev zlib1g-dev libbrotli-dev
  libfmt-dev libjemalloc-dev libyaml-cpp-dev libcli11-dev libhiredis-dev libnats-dev librabbitmq-dev librdkafka-dev
)

missing_packages() {
  local package
  for package in "$@"; do
    dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null | grep -q '^ii' || echo "$package"
  done
}

# ensure_packages NAME…: installs those that are missing; says what to do where it can't.
ensure_packages() {
  if ! command -v dpkg-query >/dev/null; then
    echo "This script installs what it needs from Debian 12's packages, and this is no Debian system." >&2
    echo "Install the equivalents of: $*" >&2
    return 1
  fi
  local missing
  missing=$(missing_packages "$@")
  [ -z "$missing" ] && return 0
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
      as_root=(sudo -n)
    else
      echo "These packages are missing, and only root may install them:" >&2
      echo "  apt-get install --no-install-recommends" $missing >&2
      return 1
    fi
  fi
  echo "Installing from Debian's packages:" $missing
  "${as_root[@]}" apt-get update -qq &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      $missing >/tmp/holdfast-apt.$$ 2>&1 || {
    cat /tmp/holdfast-apt.$$ >&2
    rm -f /tmp/holdfast-apt.$$
    echo "Installing packages failed; the lines above say why." >&2
    return 1
  }
  rm -f /tmp/holdfast-apt.$$
}

# configure_and_build FOLDER TARGET… [-DNAME=VALUE…]: quiet when there is nothing to do.
configure_and_build() {
  local folder=$1 argument targets=() settings=()
  shift
  for argument in "$@"; do
    case "$argument" in
      -D*) settings+=("$argument") ;;
      *) targets+=("$argument") ;;
    esac
  done
  # Configured again only when asked for something else than the last time: a second start takes no time.
  local stamp="$folder/.settings" wanted="${settings[*]-}"
  if [ ! -f "$folder/build.ninja" ] || { [ -n "$wanted" ] && [ "$wanted" != "$(cat "$stamp" 2>/dev/null)" ]; }; then
    mkdir -p "$folder"
    cmake -G Ninja -S . -B "$folder" "${settings[@]}" >"$folder/configure.log" 2>&1 || {
      cat "$folder/configure.log" >&2
      return 1
    }
    echo "$wanted" >"$stamp"
  fi
  ninja -C "$folder" "${targets[@]}"
}
