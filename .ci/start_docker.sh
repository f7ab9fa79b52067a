#!/usr/bin/env bash
# Starts a Docker engine on a machine that has no service manager, unless one answers already. It listens on its unix
# socket only. Needs root.
set -euo pipefail

log=${TMPDIR:-/tmp}/dockerd.log

answers() { docker version >/dev/null 2>&1; }

answers && exit 0
setsid dockerd --host unix:///var/run/docker.sock >"$log" 2>&1 </dev/null &
for _ in $(seq 1 60); do
    answers && exit 0
    sleep 1
done
echo "start_docker: no Docker engine after 60 s; the end of $log:" >&2
tail -n 20 "$log" >&2
exit 1
