#!/usr/bin/env bash
# Resolves requirements-cpu.in into requirements-cpu.lock: exact versions, every file by its SHA-256, no index named.
# Needs uv and, for torch's CPU build, PyTorch's wheel site or a folder named by UV_FIND_LINKS.
# Existing pins are kept; lock_runtime.sh --upgrade moves them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

uv pip compile --quiet \
    --python-version 3.11 --python-platform x86_64-manylinux_2_31 --only-binary :all: \
    --generate-hashes --no-annotate --override overrides-cpu.txt \
    --custom-compile-command "serving/lock_runtime.sh" \
    requirements-cpu.in --output-file requirements-cpu.lock "$@"
