#!/usr/bin/env bash
# Builds golangci-lint once (exact version, into .cache) and runs it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
version=v2.15.0
bin=$PWD/.cache/golangci-lint-$version
if [ ! -x "$bin" ]; then
  mkdir -p .cache
  GOBIN=$PWD/.cache/gobin go install "github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$version"
  mv .cache/gobin/golangci-lint "$bin"
fi
exec "$bin" "$@"
