#!/bin/sh
# Runs a throwaway server and ends it with its owner: container_entry.sh SECONDS COMMAND…
#
# COMMAND and all that it started are ended when the owner is gone (end of file on stdin: the owner holds the other end
# and has died or let go) or when SECONDS are over, whichever comes first. The first process of a container, and the
# leader of the process back end's own group: in both, everything ends with it.
# Exit status: COMMAND's own; 124 at the deadline; 143 when stopped, by its owner or for want of one.
set -u

if [ "${1:-}" != --guarded ]; then
    seconds=$1
    shift
    # The socket must be usable by the owner, who is another user; the folder around it is private.
    umask 000
    # What the image knows from its own build; a fresh cache would cost a third of the start.
    if [ -n "${VLLM_CACHE_ROOT:-}" ] && [ -d /opt/assay/cache/modelinfos ] && [ ! -e "$VLLM_CACHE_ROOT/modelinfos" ]; then
        mkdir -p "$VLLM_CACHE_ROOT" && cp -r /opt/assay/cache/modelinfos "$VLLM_CACHE_ROOT/"
    fi
    exec timeout --kill-after=10 "$seconds" /bin/sh "$0" --guarded "$@"
fi
shift

stop() {
    trap '' TERM
    kill -TERM 0
    { sleep 5 && kill -KILL 0; } &
    wait "$server"
    exit 143
}

# The kernel kills the server with this guard, should somebody kill the guard: nobody else would end the server then.
tie=
if setpriv --pdeathsig KILL true 2>/dev/null; then
    tie="setpriv --pdeathsig KILL"
fi
# shellcheck disable=SC2086
$tie "$@" </dev/null &
server=$!
trap stop TERM INT
# A background job's stdin is /dev/null unless it is given one, so ours is handed over by another number.
exec 3<&0
{
    cat >/dev/null <&3
    kill -TERM $$
} 2>/dev/null &
watch=$!
wait "$server"
status=$?
kill "$watch" 2>/dev/null
exit "$status"
