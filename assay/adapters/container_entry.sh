#!/bin/sh
# First process of a throwaway container: container_entry.sh SECONDS COMMAND…
#
# Runs COMMAND and ends it when its owner is gone (end of file on stdin: the owner holds the other end and has died or
# let go) or when SECONDS are over, whichever comes first. As this is process 1, its end is the end of everything
# inside. Exit status: COMMAND's own; 124 at the deadline; 125 when the owner is gone.
set -u

if [ "${1:-}" != --guarded ]; then
    seconds=$1
    shift
    exec timeout --kill-after=10 "$seconds" "$0" --guarded "$@"
fi
shift

"$@" </dev/null &
server=$!
trap 'kill -TERM "$server"; wait "$server"; exit 143' TERM INT
# A background job's stdin is /dev/null unless it is given one, so ours is handed over by another number.
exec 3<&0
{
    cat >/dev/null <&3
    touch "${TMPDIR:-/tmp}/owner-is-gone"
    kill -TERM "$server"
    sleep 5
    kill -KILL "$server"
} 2>/dev/null &
watch=$!
wait "$server"
status=$?
[ -e "${TMPDIR:-/tmp}/owner-is-gone" ] && status=125
kill "$watch" 2>/dev/null
exit "$status"
