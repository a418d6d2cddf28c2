#!/bin/sh
# build.sh [TARGET...]: configures build/ once and brings it up to date, all of it or the targets named. The compiler's
# output is shown only when it fails.
set -eu
cd "$(dirname "$0")/.."
log=build/build.log
echo "build: configuring and compiling"
{ [ -f build/build.ninja ] || cmake -S . -B build -G Ninja; } >"$log" 2>&1 &&
    ninja -C build "$@" >>"$log" 2>&1 ||
    { tail -n 60 "$log" >&2; echo "build: failed, see $log" >&2; exit 1; }
