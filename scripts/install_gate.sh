#!/usr/bin/env bash
# Installs the gate's environment from the lock file: install_gate.sh DIR
# Needs only Python with pip and venv. uv does the work inside the new environment: it is ten times faster than pip,
# and pip refuses the lock file, which names a package once and not once more for each of its extras.
set -euo pipefail
target=${1:?usage: install_gate.sh DIR}
python=${PYTHON:-python3}

"$python" - <<'PY' || { echo "install_gate: need Python 3.11 to 3.13; set PYTHON=python3.11" >&2; exit 1; }
import sys
sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
PY
[ -x "$target/bin/python" ] || "$python" -m venv "$target"
"$target/bin/python" -m pip install --quiet --disable-pip-version-check uv || {
    echo "install_gate: pip cannot install uv; the message above says why" >&2
    exit 1
}
"$target/bin/uv" pip install --python "$target/bin/python" --quiet --compile-bytecode \
    --require-hashes -r requirements.lock
"$target/bin/uv" pip install --python "$target/bin/python" --quiet --no-deps -e .
