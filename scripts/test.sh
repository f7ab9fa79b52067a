#!/usr/bin/env bash
# Runs the tests in three phases (tests/conftest.py says which is in which): in WORKERS processes what
# shares a machine well; two at a time what starts servers and mostly waits for them; then, one after
# the other, what measures time or fills the machine. A later phase runs also when an earlier one has
# failed, so that one run shows every failure; any of them fails the whole. Arguments are pytest's,
# and mean the same in every phase.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
readonly pytest="${PYTEST:-.venv/bin/pytest}" workers="${WORKERS:-2}" interrupted=2 nothing=5
readonly shown=(--continue-on-collection-errors "$@")
whole=$nothing
# Each phase, and each process in it, reads the tests anew: half of that time is compiling them.
unset PYTHONDONTWRITEBYTECODE

# phase NAME [ARGUMENT...]: arguments may choose tests of one phase only, so that another has none.
phase() {
    local code=0
    "$pytest" --phase="$1" "${@:2}" "${shown[@]}" || code=$?
    [ "$code" -eq "$interrupted" ] && exit "$code"
    case "$code:$whole" in
    "$nothing":* | *:[!0"$nothing"]*) ;;
    *) whole=$code ;;
    esac
}

phase shared -n "$workers" --dist loadscope
phase paired -n $((workers < 2 ? workers : 2)) --dist loadscope
phase alone
exit "$whole"
