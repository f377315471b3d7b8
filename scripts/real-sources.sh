#!/usr/bin/env bash
# Real attackers' tools (nmap, masscan, hydra) in network namespaces of their
# own, recorded by tcpdump, exported by softflowd as NetFlow 5, 9 and IPFIX, and read
# by Suricata of Debian trixie (unpacked into .cache with debootstrap, run in a chroot),
# and what `bartizan detect` says of each. Fails when one of them is not found. Needs
# root; ends by itself and leaves nothing behind but .cache.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bz=$PWD/bin/bartizan cache=$PWD/.cache
[ "$(id -u)" = 0 ] || { echo "real-sources: this needs root" >&2; exit 1; }
[ -x "$bz" ] || { echo "real-sources: bin/bartizan is missing: run make build" >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive PATH="$PATH:/usr/sbin:/sbin"

need=()
for p in nmap masscan hydra tcpdump softflowd debootstrap; do command -v $p >/dev/null || need+=("$p"); done
if [ ${#need[@]} -gt 0 ]; then
  apt-get update -q >/dev/null
  apt-get install -y -q --no-install-recommends "${need[@]}" >/dev/null
fi
if [ ! -x "$cache/suricata/usr/bin/suricata" ]; then
  echo "unpacking Suricata of Debian trixie"
  rm -rf "$cache/suricata"
  debootstrap --variant=minbase --include=suricata trixie "$cache/suricata" http://deb.debian.org/debian >"$cache/suricata.log" 2>&1 ||
    { tail -5 "$cache/suricata.log" >&2; exit 1; }
fi

dir=$(mktemp -d) id=$$ pids=()
a=bzsrc-a-$id b=bzsrc-b-$id
cleanup() {
  kill "${pids[@]}" 2>/dev/null || true
  for n in $a $b; do
    ip netns pids $n 2>/dev/null | xargs -r kill -9 2>/dev/null || true
    ip netns del $n 2>/dev/null || true
  done
  rm -rf "$dir" "$cache/suricata/tmp/bzsrc"
}
trap cleanup EXIT
pause() { read -rt "$1" <> <(:) || true; }
inA() { timeout 90 ip netns exec $a "$@"; }

ip netns add $a
ip netns add $b
ip -n $a link add eth0 type veth peer name eth0 netns $b
for x in "$a 198.51.100.66" "$b 198.51.100.9"; do
  set -- $x
  ip -n "$1" addr add "$2/24" dev eth0
  ip -n "$1" link set eth0 up
  ip -n "$1" link set lo up
done
# The other side: a web server that asks for a password.
cat >"$dir/web.py" <<'P'
import http.server
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(401); self.send_header("WWW-Authenticate", 'Basic realm="x"'); self.send_header("Content-Length", "0"); self.end_headers()
    do_HEAD = do_GET
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer(("198.51.100.9", 80), H).serve_forever()
P
ip netns exec $b python3 "$dir/web.py" & pids+=($!)
pause 2

record() { # NAME COMMAND…: what one tool does, in a file of its own
  local name=$1; shift
  ip netns exec $b tcpdump -i eth0 -U -w "$dir/$name.pcap" >/dev/null 2>&1 & local t=$!
  pause 1
  inA "$@" >"$dir/$name.log" 2>&1 || true
  pause 1
  kill $t; wait $t 2>/dev/null || true
}
mac=$(ip -n $b -o link show eth0 | grep -oE 'link/ether [0-9a-f:]+' | cut -d' ' -f2)
record nmap nmap -n -Pn -sS -p1-400 -T4 198.51.100.9
record masscan masscan 198.51.100.9 -p1-400 --rate 400 -e eth0 --source-ip 198.51.100.66 --router-mac "${mac//:/-}" --wait 1
seq -f 'pass%g' 1 60 >"$dir/words"
record hydra hydra -t 4 -l admin -P "$dir/words" 198.51.100.9 http-get /
chmod 755 "$dir"

bad=0
expect() { # INPUT KIND WHAT…: detect says KIND about 198.51.100.66
  local what=$1 kind=$2; shift 2
  "$bz" detect --format jsonl "$@" >"$dir/out" 2>"$dir/err" || true
  local n
  n=$(grep -E '"severity":"(medium|high|critical)"' "$dir/out" | grep -E "\"kind\":\"$kind" | grep -c '198\.51\.100\.66' || true)
  if [ "$n" -gt 0 ]; then
    printf 'ok    %-28s %s (%d)\n' "$what" "$kind" "$n"
  else
    printf 'FAIL  %-28s no %s; it says: %s %s\n' "$what" "$kind" "$(grep -o '"kind":"[^"]*"' "$dir/out" | sort | uniq -c | tr -s ' \n' ' ')" "$(head -c 300 "$dir/err")"
    bad=1
  fi
}

for tool in nmap masscan; do
  expect "$tool, tcpdump" scan --type pcap "$dir/$tool.pcap"
  for v in 5 9 10; do
    ip netns exec $b tcpdump -i lo -U -w "$dir/$tool-v$v.pcap" udp port 2055 >/dev/null 2>&1 & t=$!
    pause 1
    ip netns exec $b softflowd -r "$dir/$tool.pcap" -n 127.0.0.1:2055 -v $v >/dev/null 2>&1
    pause 1
    kill $t; wait $t 2>/dev/null || true
    expect "$tool, softflowd v$v" scan --type netflow "$dir/$tool-v$v.pcap"
  done
done
expect "hydra, tcpdump" '(auth|login)' --type pcap "$dir/hydra.pcap"

mkdir -p "$cache/suricata/tmp/bzsrc"
for tool in nmap masscan hydra; do
  rm -rf "$cache/suricata/tmp/bzsrc/"*
  cp "$dir/$tool.pcap" "$cache/suricata/tmp/bzsrc/in.pcap"
  # Checksums of a veth are left to hardware that is not there: none are looked at.
  chroot "$cache/suricata" suricata -k none -S /dev/null -r /tmp/bzsrc/in.pcap -l /tmp/bzsrc --runmode single >"$dir/suricata.log" 2>&1 || { tail -5 "$dir/suricata.log"; bad=1; }
  cp "$cache/suricata/tmp/bzsrc/eve.json" "$dir/$tool.eve"
done
expect "nmap, Suricata" scan --type eve "$dir/nmap.eve"
expect "masscan, Suricata" scan --type eve "$dir/masscan.eve"
expect "hydra, Suricata" '(auth|login)' --type auto "$dir/hydra.eve"
exit $bad
