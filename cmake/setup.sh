#!/bin/sh
# setup.sh: what a Debian 12 machine needs before CMake can run: packages (installed when missing, as root) and the
# private Python environment build/venv. Safe to repeat; a second run takes a fraction of a second.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
venv=$top/build/venv
log=$top/build/setup.log
mkdir -p "$top/build"

packages="gcc g++ libc6-dev cmake ninja-build pkg-config python3 python3-venv ca-certificates
    llvm-19-dev libprotobuf-c-dev protobuf-c-compiler libopenblas-dev liblapacke-dev libjansson-dev libxxhash-dev
    clang-19 clang-format valgrind dataset-fashion-mnist"

missing=
for package in $packages; do
    state=$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null || true)
    case $state in ii*) ;; *) missing="$missing $package" ;; esac
done
if [ -n "$missing" ]; then
    if [ "$(id -u)" != 0 ]; then
        echo "setup: these packages are missing, and only root can install them:$missing" >&2
        exit 1
    fi
    echo "setup: installing$missing"
    export DEBIAN_FRONTEND=noninteractive
    # Package lists may be absent or old: try with what there is, then refresh once.
    # shellcheck disable=SC2086
    apt-get install -y --no-install-recommends $missing >"$log" 2>&1 ||
        { apt-get update >"$log" 2>&1 && apt-get install -y --no-install-recommends $missing >>"$log" 2>&1; } ||
        { tail -n 20 "$log" >&2; echo "setup: apt-get failed, see $log" >&2; exit 1; }
fi

stamp=$venv/requirements.txt
if ! cmp -s "$top/cmake/requirements.txt" "$stamp"; then
    echo "setup: making the Python environment build/venv"
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$top/cmake/requirements.txt" >"$log" 2>&1 ||
        { tail -n 20 "$log" >&2; echo "setup: pip failed, see $log" >&2; exit 1; }
    cp "$top/cmake/requirements.txt" "$stamp"
fi
