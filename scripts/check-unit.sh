#!/usr/bin/env bash
# Checks the systemd unit with systemd's own tool, where there is one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unit=packaging/systemd/bartizan.service
if ! command -v systemd-analyze >/dev/null; then echo "systemd-analyze is not here: $unit not checked"; exit 0; fi
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
# verify also wants the program to exist.
sed 's|^ExecStart=[^ ]*|ExecStart=/bin/true|' "$unit" >"$tmp/bartizan.service"
out=$(systemd-analyze verify --man=no "$tmp/bartizan.service" 2>&1) || { echo "$out" >&2; exit 1; }
# It ends with success on unknown settings, and complains about other units of the machine.
if grep -F 'bartizan.service' <<<"$out" >&2; then exit 1; fi
