#!/usr/bin/env bash
# Runs the tests in two phases: in WORKERS processes what shares a machine well, then, one after the
# other, what measures time or fills the machine (tests/conftest.py says which). The second phase
# runs also when the first has failed, so that one run shows every failure; either one fails the
# whole. Arguments are pytest's, and mean the same in both phases.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly pytest="${PYTEST:-.venv/bin/pytest}" stopped=2 nothing=5

"$pytest" -n "${WORKERS:-2}" --dist loadscope --alone=skip --continue-on-collection-errors "$@"
shared=$?
# Somebody interrupted it.
[ "$shared" -eq "$stopped" ] && exit "$shared"

"$pytest" --alone=only --continue-on-collection-errors "$@"
alone=$?

# Arguments may choose tests of one phase only.
[ "$shared" -eq "$nothing" ] && exit "$alone"
[ "$alone" -eq "$nothing" ] && exit "$shared"
exit $((shared ? shared : alone))
