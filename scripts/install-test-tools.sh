#!/usr/bin/env bash
# Installs the programs the tests use as the other side of the wire; only
# what is missing. Needs root for apt. Nothing is started: Debian would start
# a Docker daemon with docker.io, so only the client is unpacked from it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cache=$PWD/.cache
mkdir -p "$cache/bin"
export PATH="$cache/bin:$PATH:/usr/sbin:/sbin" DEBIAN_FRONTEND=noninteractive

# program=package
tools=(nft=nftables ip=iproute2 ps=procps nmap=nmap hydra=hydra medusa=medusa redis-cli=redis-tools ssh=openssh-client
  scp=openssh-client sftp=openssh-client sshpass=sshpass curl=curl wget=wget telnet=inetutils-telnet tftp=tftp-hpa jq=jq
  rsyslogd=rsyslog softflowd=softflowd)
missing=()
for t in "${tools[@]}"; do command -v "${t%%=*}" >/dev/null || missing+=("${t#*=}"); done
# The TLS side of rsyslog is a package of its own that brings no program.
compgen -G '/usr/lib/*/rsyslog/lmnsd_ossl.so' >/dev/null || missing+=(rsyslog-openssl)
need_docker=
command -v docker >/dev/null || need_docker=1

apt_ready=
refresh() {
  [ -n "$apt_ready" ] && return
  if [ "$(id -u)" != 0 ]; then
    echo "missing: ${missing[*]} ${need_docker:+docker}; run as root, or install them with apt-get" >&2
    exit 1
  fi
  for try in 1 2 3; do
    if apt-get update -q >"$cache/apt.log" 2>&1; then apt_ready=1; return; fi
  done
  tail -5 "$cache/apt.log" >&2
  echo "apt-get update failed (log: .cache/apt.log)" >&2
  exit 1
}

if [ ${#missing[@]} -gt 0 ]; then
  refresh
  echo "installing ${missing[*]}"
  # A broken package elsewhere on the machine makes apt end with an error
  # although ours are installed: what counts is whether the programs are there.
  apt-get install -y -q --no-install-recommends -o Dpkg::Options::=--force-confold "${missing[@]}" >>"$cache/apt.log" 2>&1 ||
    tail -5 "$cache/apt.log" >&2
fi

# Debian's redis-server is this program of redis-tools by another name; its package would start a server.
command -v redis-server >/dev/null || ln -sf "$(command -v redis-check-rdb)" "$cache/bin/redis-server"

if [ -n "$need_docker" ]; then
  refresh
  echo "unpacking the docker client"
  tmp=$(mktemp -d)
  trap 'rm -rf "$tmp"' EXIT
  chmod 755 "$tmp"
  chown _apt "$tmp" 2>/dev/null || true
  ( cd "$tmp" && apt-get download -q docker-cli >>"$cache/apt.log" 2>&1 || apt-get download -q docker.io >>"$cache/apt.log" 2>&1 ) || true
  if deb=$(compgen -G "$tmp/*.deb" | head -1) && dpkg-deb -x "$deb" "$tmp/x" && [ -x "$tmp/x/usr/bin/docker" ]; then
    install -m 0755 "$tmp/x/usr/bin/docker" "$cache/bin/docker"
  fi
fi

# An S3 server for the lake's bucket, from source; its go.mod pins every module and is no part of ours.
vgw=scripts/tools/versitygw
if [ ! -x "$cache/bin/versitygw" ] || [ "$vgw/go.sum" -nt "$cache/bin/versitygw" ]; then
  echo "building versitygw"
  CGO_ENABLED=0 go build -C "$vgw" -trimpath -ldflags '-s -w' -o "$cache/bin/versitygw" github.com/versity/versitygw/cmd/versitygw
fi

# A receiver of the HTTP Event Collector's protocol, that of the OpenTelemetry Collector, for the long tests only.
hec=scripts/tools/hecreceiver
if [ -n "${BARTIZAN_HEC:-}" ] && { [ ! -x "$cache/bin/hecreceiver" ] || [ "$hec/go.sum" -nt "$cache/bin/hecreceiver" ]; }; then
  echo "building hecreceiver"
  CGO_ENABLED=0 go build -C "$hec" -trimpath -ldflags '-s -w' -o "$cache/bin/hecreceiver" .
fi

# A second S3 server, for the long tests only: moto, an emulator of AWS. Debian's packages of its newest suite are pure
# Python and run with an older python3 when they are unpacked into a folder; only the compiled ones come from the own suite.
moto=$cache/moto
if [ -n "${BARTIZAN_MOTO:-}" ] && [ ! -e "$moto/complete" ]; then
  [ -x /usr/bin/python3 ] && [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || { echo "moto needs Debian and its python3" >&2; exit 1; }
  refresh
  echo "unpacking moto"
  sid=$(mktemp -d)
  mkdir -p "$sid/lists/partial" "$sid/archives/partial" "$sid/debs"
  chmod 755 "$sid"
  chown -R _apt "$sid" 2>/dev/null || true
  echo 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian sid main' >"$sid/sid.list"
  only_sid=(-o "Dir::Etc::sourcelist=$sid/sid.list" -o Dir::Etc::sourceparts=/dev/null -o "Dir::State::lists=$sid/lists" -o "Dir::Cache=$sid")
  (
    cd "$sid/debs"
    apt-get download -q python3-{cryptography,cffi-backend,yaml,markupsafe}
    apt-get "${only_sid[@]}" -q update
    apt-get "${only_sid[@]}" -q download python3-{moto,antlr4,boto3,botocore,flask,requests,responses,werkzeug,xmltodict,jmespath,s3transfer,dateutil} \
      python3-{urllib3,jinja2,itsdangerous,click,blinker,six,certifi,idna,charset-normalizer,flask-cors}
  ) >>"$cache/apt.log" 2>&1 || { tail -5 "$cache/apt.log" >&2; rm -rf "$sid"; exit 1; }
  rm -rf "$moto"
  for deb in "$sid"/debs/*.deb; do dpkg-deb -x "$deb" "$moto"; done
  rm -rf "$sid"
  PYTHONPATH=$moto/usr/lib/python3/dist-packages /usr/bin/python3 -c 'import moto.server'
  touch "$moto/complete"
fi

lost=()
for t in "${tools[@]}" docker=docker.io redis-server=redis-tools versitygw=versitygw; do command -v "${t%%=*}" >/dev/null || lost+=("${t%%=*}"); done
if [ ${#lost[@]} -gt 0 ]; then
  echo "could not install: ${lost[*]} (log: .cache/apt.log)" >&2
  exit 1
fi

# The openai client for the LLM decoy, DuckDB that reads the lake, a generator of API clients; the lock file pins every package.
if [ -f e2e/npm/package.json ]; then
  stamp=e2e/npm/node_modules/.package-lock.json
  if [ ! -f "$stamp" ] || [ e2e/npm/package-lock.json -nt "$stamp" ]; then
    command -v npm >/dev/null || { echo "npm is missing: install Node 20 or newer" >&2; exit 1; }
    echo "npm ci in e2e/npm"
    npm ci --prefix e2e/npm --ignore-scripts --no-audit --no-fund --loglevel=error
  fi
fi

# The ONNX Runtime, for models of the operator's own: one library of the npm package, which has those of every system.
ort=$cache/onnxruntime/libonnxruntime.so.1
case "$(uname -m)" in
  x86_64) ort_arch=x64 ort_sum=ffb75a925ba05e47b235bb66e3e3911714a80b328a9c9425539feb204aa32a23 ;;
  aarch64) ort_arch=arm64 ort_sum=1f549d46250b005580b597f4164984aaf75b3bcb9f3aeb07c7f8a8fe60b23c76 ;;
  *) ort_arch= ;;
esac
if [ -n "$ort_arch" ] && ! echo "$ort_sum  $ort" | sha256sum -c --status 2>/dev/null; then
  command -v npm >/dev/null || { echo "npm is missing: install Node 20 or newer" >&2; exit 1; }
  echo "unpacking the ONNX Runtime"
  pack=$(mktemp -d)
  npm pack onnxruntime-node@1.30.0 --silent --pack-destination "$pack" >/dev/null
  mkdir -p "$cache/onnxruntime"
  tar -xzf "$pack"/onnxruntime-node-1.30.0.tgz -C "$cache/onnxruntime" --strip-components=5 --no-same-owner "package/bin/napi-v6/linux/$ort_arch/libonnxruntime.so.1"
  rm -rf "$pack"
  chmod 0755 "$cache/onnxruntime" "$ort"
  echo "$ort_sum  $ort" | sha256sum -c --status || { echo "the ONNX Runtime is not the file that was expected" >&2; exit 1; }
fi

echo "test tools: all there"
