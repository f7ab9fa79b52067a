#!/usr/bin/env bash
# Runs the tests in two phases: in WORKERS processes what shares a machine well, then, one after the
# other, what measures time or fills the machine (tests/conftest.py says which). The second phase
# runs also when the first has failed, so that one run shows every failure; either one fails the
# whole. Arguments are pytest's, and mean the same in both phases.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly pytest="${PYTEST:-.venv/bin/pytest}" interrupted=2 nothing=5
readonly shown=(--continue-on-collection-errors "$@")

"$pytest" --alone=skip -n "${WORKERS:-2}" --dist loadscope "${shown[@]}"
shared=$?
[ "$shared" -eq "$interrupted" ] && exit "$shared"

"$pytest" --alone=only "${shown[@]}"
alone=$?

# Arguments may choose tests of one phase only.
[ "$shared" -eq "$nothing" ] && exit "$alone"
[ "$alone" -eq "$nothing" ] && exit "$shared"
exit $((shared ? shared : alone))
