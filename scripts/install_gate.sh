#!/usr/bin/env bash
# Installs the gate's environment from the lock file: install_gate.sh DIR
# Needs only Python with pip and venv. uv is used inside the new environment because it is ten times
# faster than pip; where it cannot be had, pip does the same work.
set -euo pipefail
target=${1:?usage: install_gate.sh DIR}
python=${PYTHON:-python3}

"$python" - <<'PY' || { echo "install_gate: need Python 3.11 to 3.13; set PYTHON=python3.11" >&2; exit 1; }
import sys
sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
PY
[ -x "$target/bin/python" ] || "$python" -m venv "$target"
if "$target/bin/python" -m pip install --quiet --disable-pip-version-check uv; then
    "$target/bin/uv" pip install --python "$target/bin/python" --quiet --compile-bytecode \
        --require-hashes -r requirements.lock
    "$target/bin/uv" pip install --python "$target/bin/python" --quiet --no-deps -e .
else
    "$target/bin/python" -m pip install --quiet --require-hashes -r requirements.lock
    "$target/bin/python" -m pip install --quiet --no-deps -e .
fi
