#!/usr/bin/env bash
# The whole test run, step by step; `scripts/test.sh unit lint` runs only the
# steps named. Each step says how long it took; the last line sums up the
# tests. Meant to end within 30 minutes on two cores.
#   FUZZTIME=10s       per fuzz target
#   BARTIZAN_KILLS=20  how often the node is killed in e2e
#   SOAKTIME=12s       how long the node is under mixed traffic in e2e
#   BARTIZAN_REQUIRE_TOOLS=1  a test that cannot run is a failure; set by itself once the step tools has run
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="$PWD/.cache/bin:$PATH:/usr/sbin:/sbin" GOTOOLCHAIN=local
jobs=${JOBS:-$(nproc)}
report=$PWD/.cache/testreport
total=$PWD/.cache/test-total.json

step_tools() { scripts/install-test-tools.sh; }
step_lint() { make --no-print-directory lint; }
# The program as it is shipped, without C; the race detector of the step unit needs C.
step_build() {
  make --no-print-directory build CGO=0 BIN=.cache/bartizan-static # the form without hunt
  .cache/bartizan-static version
  make --no-print-directory build
  bin/bartizan version
}

# go_test runs go test with these arguments; lint has vetted already.
# What fails is run once more, alone (scripts/testreport/again.go).
go_test() {
  local flags=() # without the number of packages at a time and the packages
  for f in "$@"; do case $f in -race | -short) flags+=("$f") ;; esac; done
  go test -json -vet=off "$@" | "$report" -total "$total" -again "go test -vet=off -timeout 20m ${flags[*]}"
}

step_unit() {
  local packages
  # e2e and bench start real nodes: they have a step of their own, without the detector's slowdown.
  mapfile -t packages < <(go list ./... | grep -v -E '^bartizan/(e2e|bench)(/|$)')
  local code=0
  # The race detector lets a process wait a second before it ends, for the sake of
  # goroutines that are about to race: many minutes, where tests start processes.
  export GORACE="atexit_sleep_ms=20 ${GORACE:-}"
  go_test -race -p "$jobs" -timeout 15m "${packages[@]}" || code=1
  # Where the race detector's own memory rules something out, once more without it.
  mapfile -t packages < <(find internal -name norace_test.go -printf './%h\n')
  go_test -p "$jobs" -timeout 5m "${packages[@]}" || code=1
  return $code
}
step_e2e() {
  local dirs=() bin=''
  [ -d e2e ] && dirs+=(./e2e/...)
  [ -d bench ] && dirs+=(./bench/...)
  if [ -x bin/bartizan ] && [ -n "${built:-}" ]; then
    # A folder that users without rights can reach, too.
    bin=$(mktemp -d)
    trap "rm -rf '$bin'" EXIT
    chmod 755 "$bin"
    cp bin/bartizan "$bin/"
    export BARTIZAN_BIN=$bin/bartizan
  fi
  # One package at a time: they measure times and share the kernel.
  BARTIZAN_KILLS=${BARTIZAN_KILLS:-20} go_test -count=1 -short -p 1 -timeout 20m "${dirs[@]}"
}
# Four at a time on two cores: the short form looks whether the targets still hold
# and has half an hour together with everything else; make fuzz gives each a core.
step_fuzz() { FUZZTIME=${FUZZTIME:-10s} FUZZJOBS=${FUZZJOBS:-4} scripts/fuzz.sh; }

steps=("$@")
[ ${#steps[@]} -gt 0 ] || steps=(tools lint build unit e2e fuzz)
for s in "${steps[@]}"; do
  declare -F "step_$s" >/dev/null || { echo "no step called $s (tools lint build unit e2e fuzz)" >&2; exit 2; }
done
mkdir -p .cache
rm -f "$total"
go build -o "$report" ./scripts/testreport

failed=() times=() built=
for s in "${steps[@]}"; do
  start=$SECONDS
  echo "=== $s"
  code=0
  # In a shell of its own, where set -e holds inside the function.
  set +e
  ( set -e; "step_$s" )
  code=$?
  set -e
  times+=("$s $((SECONDS - start)) s")
  if [ $code -eq 0 ]; then
    echo "--- $s: $((SECONDS - start)) s"
    case $s in
      tools) export BARTIZAN_REQUIRE_TOOLS=1 ;;
      build) built=1 ;;
    esac
    continue
  fi
  echo "FAIL: step $s after $((SECONDS - start)) s"
  failed+=("$s")
  # Without programs or a build the rest would only repeat the complaint.
  case $s in tools | build) break ;; esac
done
printf '%s, ' "${times[@]}"
echo "together $SECONDS s"
if [ ${#failed[@]} -gt 0 ]; then echo "FAIL: ${failed[*]}"; fi
if [ -f "$total" ]; then "$report" -sum "$total" -steps ${#failed[@]}; fi
[ ${#failed[@]} -eq 0 ]
