#!/usr/bin/env bash
# Runs the systemd unit under a real systemd: PID 1 of namespaces of its own, in
# an overlay of this machine's files that is thrown away. Installs with make;
# then a mistake in the configuration, start, jail report, decoys, blocking,
# restart after a kill, stop, uninstall. Nothing of the machine changes, and the
# script fails if something did. Needs root and an installed systemd, not a
# running one. BARTIZAN_REQUIRE_TOOLS=1 makes "cannot run here" a failure;
# UNIT_SECONDS is how long it may take (180).
set -euo pipefail
self=$(realpath "${BASH_SOURCE[0]}")
repo=$(dirname "$(dirname "$self")")
systemd=/usr/lib/systemd/systemd

lack() {
  echo "the unit was NOT started: $1" >&2
  [ "${BARTIZAN_REQUIRE_TOOLS:-}" != 1 ] || exit 1
  exit 0
}
pause() { read -rt 0.1 <> <(:) || true; }

# machine prints what a systemd would change on the machine if it could: kernel
# settings without the counters among them, device files, names and mounts.
machine() {
  sysctl -a 2>/dev/null | grep -E '^(fs|kernel|vm)\.' |
    grep -vE '^fs\.(dentry-state|file-nr|inode-nr|inode-state|aio-nr)|^fs\.quota\.|^kernel\.(ns_last_pid|random\.|pty\.nr)'
  find /dev \( -path /dev/pts -o -path /dev/shm \) -prune -o -printf '%p %y %m %U %G %l\n' | sort
  uname -n
  grep -F "$dir" /proc/self/mountinfo || true
}

# --- outside ------------------------------------------------------------------

outer() {
  [ "$(id -u)" = 0 ] || lack "this needs root"
  [ -x "$systemd" ] || lack "$systemd is not installed"
  for c in unshare setpriv pivot_root sysctl nft curl ss make; do command -v "$c" >/dev/null || lack "$c is not installed"; done
  unshare --mount --pid --fork --net --ipc --uts --cgroup true 2>/dev/null || lack "namespaces cannot be made here"
  [ -x "$repo/bin/bartizan" ] || { echo "bin/bartizan is missing: run make build" >&2; exit 1; }
  dir=$(mktemp -d)
  pid=
  mkdir "$dir/result" "$dir/layer" "$dir/root" "$dir/group"
  trap 'exit 130' INT TERM HUP
  trap 'cleanup $?' EXIT
  machine >"$dir/before"
  # Killing unshare kills PID 1 of the namespace, and that everything in it.
  unshare --mount --propagation private --pid --fork --kill-child=KILL --net --ipc --uts \
    "$self" --prepare "$dir" </dev/null >"$dir/result/boot" 2>&1 &
  pid=$!
  local end=$((SECONDS + ${UNIT_SECONDS:-180}))
  while [ ! -e "$dir/result/code" ] && [ $SECONDS -lt $end ] && kill -0 "$pid" 2>/dev/null; do pause; done
  [ ! -e "$dir/result/log" ] || cat "$dir/result/log"
  if [ ! -e "$dir/result/code" ]; then
    echo "FAIL: the checks did not end; what systemd said:" >&2
    tail -n 40 "$dir/result/boot" >&2
    exit 1
  fi
  exit "$(cat "$dir/result/code")"
}

# cleanup CODE ends what still runs, removes what was made and compares the machine with before.
cleanup() {
  local code=$1
  trap - EXIT
  set +e
  if [ -n "$pid" ]; then
    kill -KILL "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
  fi
  unshare --mount --propagation private "$self" --groups "$dir" || code=1
  machine >"$dir/after"
  if diff "$dir/before" "$dir/after" >&2; then
    echo "ok: kernel settings, device files and mounts of the machine are as before"
  else
    echo "FAIL: the machine is not as it was (< before, > after)" >&2
    code=1
  fi
  rm -rf --one-file-system "$dir"
  exit "$code"
}

# groups DIR removes the control group that systemd had; killed processes leave it a moment later.
groups() {
  [ -s "$1/result/group" ] || return 0
  mount -t cgroup2 cgroup2 "$1/group"
  local g i
  g=$1/group/$(cat "$1/result/group")
  for ((i = 0; i < 50; i++)); do
    find "$g" -depth -type d -exec rmdir {} \; 2>/dev/null || true
    [ -d "$g" ] || return 0
    pause
  done
  echo "FAIL: the control group ${g##*/} stays" >&2
  return 1
}

# --- the way in ---------------------------------------------------------------

# prepare DIR: PID 1 of the new namespaces. Its control group is the root of what systemd sees.
prepare() {
  local dir=$1 name=bartizan-unit-$$-$RANDOM$RANDOM
  mount -t cgroup2 cgroup2 "$dir/group"
  mkdir "$dir/group/$name"
  echo "$name" >"$dir/result/group"
  echo $$ >"$dir/group/$name/cgroup.procs"
  umount "$dir/group"
  exec unshare --cgroup "$self" --boot "$dir"
}

# boot DIR: makes the file systems, moves into them and becomes systemd.
boot() {
  local dir=$1 r=$1/root d
  mount -t tmpfs -o mode=755 tmpfs "$dir/layer"
  mkdir -m 755 "$dir/layer/upper" "$dir/layer/work"
  mount -t overlay overlay -o "lowerdir=/,upperdir=$dir/layer/upper,workdir=$dir/layer/work" "$r"
  mount -t proc proc "$r/proc"
  # The machine's kernel settings are not ours: read-only before systemd is there.
  for d in sys sysrq-trigger irq bus fs; do
    [ -e "$r/proc/$d" ] || continue
    mount --bind "$r/proc/$d" "$r/proc/$d"
    mount -o remount,bind,ro "$r/proc/$d"
  done
  mount -t sysfs -o ro sysfs "$r/sys"
  mount -t cgroup2 cgroup2 "$r/sys/fs/cgroup"
  mount -t tmpfs -o mode=755 tmpfs "$r/run"
  mount -t tmpfs tmpfs "$r/tmp"
  devices "$r/dev"
  mkdir -p "$r/result" "$r/layer" "$r/oldroot"
  mount --bind "$dir/result" "$r/result"
  mount --bind "$dir/layer/upper" "$r/layer"
  # The overlay becomes the root: below a chroot, units with file systems of their own do not start.
  cd "$r"
  pivot_root . oldroot
  umount -l /oldroot
  rmdir /oldroot
  [ "$(stat -f -c %T /)" = overlayfs ] || { echo "the root is not the overlay" >&2; exit 1; }
  ip link set lo up
  units
  # Nor may it set the clock, load modules, restart the machine or turn auditing on.
  exec env -i container=lxc PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    setpriv --bounding-set=-sys_time,-sys_module,-sys_boot,-sys_rawio,-syslog,-wake_alarm,-audit_control,-audit_read,-audit_write \
    "$systemd" --system --unit=checks.target --log-target=console --log-level=notice --show-status=0
}

# devices DIR: device files of its own, so that a changed mode or owner stays in here.
devices() {
  mount -t tmpfs -o mode=755 tmpfs "$1"
  local n
  for n in null:3 zero:5 full:7 random:8 urandom:9 console:3; do mknod -m 666 "$1/${n%:*}" c 1 "${n#*:}"; done
  mknod -m 666 "$1/tty" c 5 0
  mkdir "$1/shm" "$1/pts"
  mount -t tmpfs tmpfs "$1/shm"
  mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$1/pts"
  ln -s pts/ptmx "$1/ptmx"
  ln -s /proc/self/fd "$1/fd"
  for n in stdin:0 stdout:1 stderr:2; do ln -s "/proc/self/fd/${n#*:}" "$1/${n%:*}"; done
}

# units leaves nothing to start but the journal and the checks: neither this
# machine's services nor what a boot does to a kernel.
units() {
  rm -rf /etc/systemd/system/*.wants /lib/systemd/system/*.wants /lib/systemd/system-generators /etc/systemd/system-generators
  rm -rf /etc/systemd/system/bartizan* /var/lib/bartizan /etc/bartizan /etc/default/bartizan
  : >/etc/fstab
  local d
  for d in systemd-sysctl systemd-modules-load systemd-remount-fs systemd-tmpfiles-setup systemd-tmpfiles-setup-dev \
    systemd-tmpfiles-clean systemd-udevd systemd-udev-trigger systemd-timesyncd systemd-random-seed systemd-binfmt; do
    ln -sf /dev/null "/etc/systemd/system/$d.service"
  done
  cat >/etc/systemd/system/checks.target <<U
[Unit]
Wants=checks.service systemd-journald.service
AllowIsolate=yes
U
  cat >/etc/systemd/system/checks.service <<U
[Unit]
After=systemd-journald.service
[Service]
Type=oneshot
Environment=HOME=/root
ExecStart=/bin/bash $self --checks
StandardOutput=file:/result/log
StandardError=file:/result/log
U
}

# --- inside -------------------------------------------------------------------

data=/var/lib/bartizan
step() { echo "ok: $1"; }
fail() {
  echo "FAIL: $1"
  journalctl --no-pager -n 40 2>&1 || true
  bartizan status --data $data 2>&1 | tail -30 || true
  exit 1
}
# await N CONDITION: within N seconds.
await() {
  local end=$((SECONDS + $1))
  until eval "$2" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || fail "not within $1 s: $2"
    pause
  done
}
state() { systemctl show -P "$1" bartizan; }
blocked() { nft list table inet bartizan | grep -qF "$1"; }
# files lists what differs from the machine's files, removed ones too; make's `git describe` refreshes git's index.
files() {
  local git
  git=$(git -C "$repo" rev-parse --absolute-git-dir 2>/dev/null) || git=/no-git
  find /layer -mindepth 1 ! -type d -printf '/%P\n' | grep -vF "$git/" | sort
}
# answer PORT SENT WANTED: a decoy on loopback says what its protocol says.
answer() {
  exec 9<>"/dev/tcp/127.0.0.1/$1" || return 1
  [ -z "$2" ] || printf '%b' "$2" >&9
  local got
  IFS= read -rt 5 got <&9
  exec 9>&-
  [[ $got == "$3"* ]]
}
decoys() {
  curl -sS -m 5 -o /dev/null http://127.0.0.1/ && curl -sSk -m 5 -o /dev/null https://127.0.0.1/ &&
    answer 22 '' SSH-2.0- && answer 6379 'PING\r\n' +PONG
}

# checks: run by systemd as a service.
checks() {
  trap 'echo $? >/result/code.new; mv /result/code.new /result/code' EXIT
  export PATH=/usr/local/bin:$PATH
  cd "$repo"
  files >/run/files
  make -s -o build install
  [ "$(stat -c %a /etc/bartizan)" = 700 ] || fail "install: /etc/bartizan is not for root alone"
  chmod 755 /etc/bartizan
  make -s -o build install
  [ "$(stat -c %a /etc/bartizan)" = 755 ] || fail "install changed the mode of a folder that was there"
  [ "$(getent passwd bartizan-decoy | cut -d: -f7)" = /usr/sbin/nologin ] || fail "install: no account for the decoys"
  step "installed, twice"
  mistake
  enforcing
  killed
  stopped
  uninstalled
}

# mistake: a mistake of the operator is said once and not tried again.
mistake() {
  printf 'BARTIZAN_ARGS=--config /etc/bartizan/config.yaml\n' >/etc/default/bartizan
  printf 'policy: /etc/bartizan/policy.yaml\n' >/etc/bartizan/config.yaml
  bartizan config policy | sed 's/mode: observe/mode: enforec/' >/etc/bartizan/policy.yaml
  grep -q enforec /etc/bartizan/policy.yaml || fail "the policy could not be spoiled"
  systemctl enable --now bartizan 2>/dev/null || true
  await 30 '[ "$(state ActiveState)" = failed ]'
  # Longer than RestartSec: a restart would have begun.
  local end=$((SECONDS + 4))
  while [ $SECONDS -lt $end ]; do pause; done
  [ "$(state ActiveState)" = failed ] && [ "$(state ExecMainStatus)" = 2 ] && [ "$(state NRestarts)" = 0 ] ||
    fail "wrong policy: $(state ActiveState), exit code $(state ExecMainStatus), $(state NRestarts) restarts"
  journalctl -u bartizan --no-pager | grep -q 'policy.yaml.*enforec' || fail "the journal does not name the mistake"
  step "a wrong policy ends with 2, is named in the journal and is not tried again"
}

enforcing() {
  bartizan config policy | sed 's/mode: observe/mode: enforce/' >/etc/bartizan/policy.yaml
  systemctl reset-failed bartizan
  systemctl start bartizan || fail "start"
  await 30 decoys
  [ "$(state ActiveState)" = active ] || fail "not active"
  step "active; ssh, http, https and redis answer on loopback"
  # 1 is "runs, and something needs attention".
  bartizan status --data $data >/run/status || [ $? = 1 ] || fail "status"
  grep -q '^ *jail: ' /run/status && ! grep -q '^ *jail lacks: ' /run/status || fail "the jail is not in full force"
  step "status, $(grep -o 'jail: .*' /run/status)"
  nsenter -t "$(state MainPID)" -m sh -c '! touch /etc/bartizan/x && ! touch /usr/local/bin/x && [ -z "$(ls -A /root)" ]' 2>/dev/null ||
    fail "the node can write outside its folders, or sees homes"
  step "only its folders are writable; homes are hidden"
  limits
  bartizan decisions add 45.66.77.88 --for 10m --data $data >/dev/null || fail "block by hand"
  await 10 'blocked 45.66.77.88'
  step "a block by hand is in the kernel"
}

# limits: what systemd sets is in force where cgroup v2 has the controller.
limits() {
  local c file want
  while read -r c file want; do
    if ! grep -qw "$c" /sys/fs/cgroup/cgroup.controllers; then
      echo "NOT SHOWN: $file=$want: cgroup v2 has no $c controller here"
    elif [ "$(cat "/sys/fs/cgroup/system.slice/bartizan.service/$file")" != "$want" ]; then
      fail "$file is not $want"
    else
      step "$file is $want"
    fi
  done <<<$'memory memory.max 2147483648\npids pids.max 4096'
}

killed() {
  local first
  first=$(state MainPID)
  kill -KILL "$first"
  await 30 '[ "$(state ActiveState)" = active ] && [ "$(state MainPID)" != "$first" ] && [ "$(state NRestarts)" = 1 ]'
  await 30 decoys
  blocked 45.66.77.88 || fail "the block was lost by the restart"
  [ "$(pgrep -c -u bartizan-decoy)" = 1 ] || fail "not one decoy process: $(pgrep -a -u bartizan-decoy)"
  step "killed with 9: systemd restarted it; decoys answer; the block stays"
}

stopped() {
  local begin=$SECONDS
  systemctl stop bartizan
  [ "$(state Result)" = success ] && [ "$(state ActiveState)" = inactive ] || fail "stop: $(state Result) $(state ActiveState)"
  [ -z "$(ss -Hltn)" ] || fail "still listening: $(ss -Hltn)"
  ! pgrep -u bartizan-decoy >/dev/null || fail "a decoy process stays"
  blocked 45.66.77.88 || fail "stopping lifted a block"
  step "stopped cleanly in $((SECONDS - begin)) s; nothing listens; the block stays until its time"
}

uninstalled() {
  make -s uninstall
  ! systemctl cat bartizan >/dev/null 2>&1 || fail "systemd still knows the unit"
  [ -d $data ] && [ -e /etc/bartizan/policy.yaml ] && [ -e /etc/default/bartizan ] || fail "uninstall took what it says it keeps"
  files | comm -13 /run/files - |
    grep -vE '^/(var/lib/bartizan|etc/bartizan|etc/default/bartizan|run|tmp|var/tmp|var/log/journal)(/|$)' |
    grep -vE '^/etc/(passwd|group|shadow|gshadow)-?$|^/etc/\.pwd\.lock$' >/run/left || true
  [ ! -s /run/left ] || fail "uninstall leaves: $(cat /run/left)"
  step "uninstalled; left are the data folder, the configuration and the account, as it says"
}

case "${1:-}" in
  '') outer ;;
  --prepare) prepare "$2" ;;
  --groups) groups "$2" ;;
  --boot) boot "$2" ;;
  --checks) checks ;;
  *) echo "usage: $0" >&2; exit 2 ;;
esac
