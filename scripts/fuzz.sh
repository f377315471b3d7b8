#!/usr/bin/env bash
# Runs every native fuzz target for FUZZTIME (default 10m), FUZZJOBS (2) at a
# time with one worker each. `scripts/fuzz.sh -l` lists them; arguments limit
# the run to targets or packages whose "package Target" line matches one.
# New inputs are kept in .cache/fuzz; a failing one is written to the
# package's testdata/fuzz, where it is a test case from then on.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
FUZZTIME=${FUZZTIME:-10m}
FUZZJOBS=${FUZZJOBS:-2}
# An input that is new is made smaller for a minute by default: all of a short run.
FUZZMINIMIZE=${FUZZMINIMIZE:-100x}
root=$PWD
cache=$root/.cache/fuzz
bins=$root/.cache/fuzzbin

targets() {
  grep -rHoE --include='*_test.go' --exclude-dir=testdata --exclude-dir=node_modules --exclude-dir='.?*' \
    '^func Fuzz[A-Za-z0-9_]*\(' . |
    sed -E 's|^\./(.*)/[^/]+_test\.go:func (Fuzz[A-Za-z0-9_]*)\(|\1 \2|' | sort -u
}

list=$(targets)
if [ "${1:-}" = -l ]; then echo "$list"; exit 0; fi
if [ $# -gt 0 ]; then list=$(grep -E -- "$(IFS='|'; echo "$*")" <<<"$list" || true); fi
if [ -z "$list" ]; then echo "fuzz: no target" >&2; exit 1; fi
case $FUZZTIME in
  *h) limit=$((${FUZZTIME%h} * 3600 + 300)) ;;
  *m) limit=$((${FUZZTIME%m} * 60 + 120)) ;;
  *s) limit=$((${FUZZTIME%s} + 90)) ;;
  *) echo "fuzz: FUZZTIME is a whole number of s, m or h" >&2; exit 2 ;;
esac
export bins
mkdir -p "$cache" "$bins"
rm -f "$bins"/*.failed

# One instrumented binary per package: linking is what costs, and it is one thread's work.
build_one() { go test -c -fuzz=Fuzz -o "$bins/${1//\//_}.test" "./$1"; }
export -f build_one
cut -d' ' -f1 <<<"$list" | sort -u | xargs -P "$FUZZJOBS" -I{} bash -c 'build_one "$0"' {}

run_one() {
  local pkg=$1 target=$2 name=${1//\//_} log code=0 execs
  log=$bins/$name.$target.log
  mkdir -p "$cache/$name"
  for try in 1 2; do
    code=0
    # A hang must end too.
    ( cd "$root/$pkg" && timeout -k 10 "$limit" "$bins/$name.test" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "$FUZZTIME" \
        -test.parallel 1 -test.fuzzcachedir "$cache/$name" -test.fuzzminimizetime "$FUZZMINIMIZE" ) >"$log" 2>&1 || code=$?
    [ $code -ne 0 ] || break
    # At the end of its time the engine itself sometimes reports its own
    # expired context (go.dev/issue/75804, mended in Go 1.27); a real find leaves an input.
    if grep -q 'Failing input written' "$log" || ! grep -q 'context deadline exceeded' "$log"; then break; fi
  done
  # A target that hardly runs finds nothing and looks clean.
  execs=$(grep -oE 'execs: [0-9]+' "$log" | tail -1 | tr -dc 0-9)
  if [ $code -eq 0 ] && [ "${execs:-0}" -lt 50 ]; then
    echo "only ${execs:-0} inputs were tried in $FUZZTIME" >>"$log"
    code=1
  fi
  if [ $code -ne 0 ]; then
    touch "$bins/$name.$target.failed"
    printf 'FAIL\t%s %s\n' "$pkg" "$target"
    sed 's/^/\t/' "$log" | tail -40
    return 0
  fi
  printf 'ok  \t%s %s\t%s\n' "$pkg" "$target" "$execs inputs"
}
export -f run_one
export root cache FUZZTIME FUZZMINIMIZE limit

xargs -P "$FUZZJOBS" -L 1 bash -c 'run_one "$0" "$1"' <<<"$list"
if compgen -G "$bins/*.failed" >/dev/null; then
  echo "fuzz: failures above; the inputs are in testdata/fuzz of their packages" >&2
  exit 1
fi
echo "fuzz: $(wc -l <<<"$list") targets clean, $FUZZTIME each"
