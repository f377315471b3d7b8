#!/usr/bin/env bash
# The whole test run, step by step; `scripts/test.sh unit lint` runs only the
# steps named. Each step says how long it took; the last lines are go test's
# own. Meant to end within 30 minutes on two cores.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="$PWD/.cache/bin:$PATH" GOTOOLCHAIN=local
jobs=${JOBS:-$(nproc)}

step_tools() { scripts/install-test-tools.sh; }
step_lint() { make --no-print-directory lint; }
step_build() {
  make --no-print-directory build
  # The program must also exist without a C compiler.
  CGO_ENABLED=0 go build -trimpath -o .cache/bartizan-nocgo ./cmd/bartizan
  ./.cache/bartizan-nocgo version
}
step_unit() {
  # e2e and bench start real nodes: they have steps of their own, without the detector's slowdown.
  mapfile -t packages < <(go list ./... | grep -v -E '^bartizan/(e2e|bench)(/|$)')
  go test -race -p "$jobs" -timeout 12m "${packages[@]}"
}
step_fuzz() { FUZZTIME=${FUZZTIME:-10s} scripts/fuzz.sh; }
step_e2e() {
  local dirs=()
  [ -d e2e ] && dirs+=(./e2e/...)
  [ -d bench ] && dirs+=(./bench/...)
  [ ${#dirs[@]} -gt 0 ] || { echo "no e2e or bench folder"; return 1; }
  # One package at a time: they measure times and share the kernel.
  BARTIZAN_KILLS=${BARTIZAN_KILLS:-20} go test -count=1 -short -p 1 -timeout 15m "${dirs[@]}"
}

steps=("$@")
[ ${#steps[@]} -gt 0 ] || steps=(tools lint build unit fuzz e2e)
mkdir -p .cache
for s in "${steps[@]}"; do
  declare -F "step_$s" >/dev/null || { echo "no step called $s (tools lint build unit fuzz e2e)" >&2; exit 2; }
done
for s in "${steps[@]}"; do
  start=$SECONDS
  echo "=== $s"
  if ! ( set -e; "step_$s" ); then
    echo "FAIL: step $s after $((SECONDS - start)) s" >&2
    exit 1
  fi
  echo "--- $s: $((SECONDS - start)) s"
done
