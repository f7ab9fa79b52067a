#!/usr/bin/env bash
# Makes the environment that serves models on a CPU (and trains the demonstration models): install_runtime.sh [DIR].
#
# Decides where packages come from and when nothing has to be done. What is installed stands in requirements-cpu.lock,
# every file by its SHA-256, and in awq_without_avx512/, which is ours. pip's own settings (index, extra indexes, find-links, certificate) are honoured, so a
# company mirror works; PyTorch's CPU wheels are looked for there first and on PyTorch's own site second.
#
# PYTHON names the interpreter (default: python3.11).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
target=${1:-.venv-serving}
lock="$here/requirements-cpu.lock"
plugin="$here/awq_without_avx512"
uv_requirement="uv>=0.9,<1"
server_module=vllm.entrypoints.openai.api_server
pytorch_wheels=https://download.pytorch.org/whl/cpu

# shellcheck source=serving/pip_settings.sh
. "$here/pip_settings.sh"

say() { printf 'serving runtime: %s\n' "$*" >&2; }

die() {
    say "$*"
    exit 1
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3.11 python3 python}; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    die "no Python 3.11 with pip and venv found; PyTorch's wheel is pinned for 3.11. Install it, or name it: PYTHON=/path/to/python3.11 $0"
}

# The lock, our plug-in and the interpreter decide what the environment holds.
fingerprint() { { cat "$lock" "$plugin"/*.py "$plugin"/*.toml; "$1" -VV; } | sha256sum | cut -d' ' -f1; }

use_pip_settings() {
    local links index extra
    links=$(pip_setting "$target/bin/python" find-links)
    index=$(pip_setting "$target/bin/python" index-url)
    extra=$(pip_setting "$target/bin/python" extra-index-url)
    [ -z "$links" ] || export UV_FIND_LINKS=${UV_FIND_LINKS:-${links// /,}}
    [ -z "$index" ] || export UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-$index}
    [ -z "$extra" ] || export UV_INDEX=${UV_INDEX:-$extra}
    # As pip does: every index is looked at. Safe, because the lock names each file's hash.
    export UV_INDEX_STRATEGY=unsafe-best-match UV_HTTP_TIMEOUT=${UV_HTTP_TIMEOUT:-180}
}

install_with() { # extra arguments go to uv
    "$target/bin/uv" pip install --quiet --python "$target/bin/python" --no-deps --require-hashes --only-binary :all: \
        "$@" --requirement "$lock"
}

install() {
    local log
    "$target/bin/python" -m pip install --quiet --disable-pip-version-check "$uv_requirement" ||
        die "pip cannot install $uv_requirement; the message above says why"
    use_pip_settings
    log=$(mktemp)
    # shellcheck disable=SC2064  # the name is fixed now
    trap "rm -f '$log'" RETURN
    if install_with 2>"$log"; then return; fi
    grep -q 'torch==' "$log" || { cat "$log" >&2; die "installing from $lock failed; the message above says why"; }
    say "torch's CPU build is not in the configured places; asking $pytorch_wheels"
    install_with --find-links "$pytorch_wheels/torch/" ||
        die "installing from $lock failed. Behind a mirror, put torch's CPU wheel in a folder and set PIP_FIND_LINKS to it"
}

# Built from a copy: building leaves files beside the source.
install_plugin() {
    local copy
    copy=$(mktemp -d)
    # shellcheck disable=SC2064  # the name is fixed now
    trap "rm -rf '$copy'" RETURN
    cp "$plugin"/*.py "$plugin"/*.toml "$copy/"
    "$target/bin/uv" pip install --quiet --python "$target/bin/python" --no-deps --no-build-isolation --offline "$copy" ||
        die "vLLM's plug-in in $plugin cannot be installed; the message above says why"
}

main() {
    local python want
    python=$(find_python)
    want=$(fingerprint "$python")
    if [ "$(cat "$target/.runtime-sha256" 2>/dev/null)" = "$want" ]; then
        say "$target is up to date"
        return
    fi
    "$python" -c 'import ctypes; ctypes.CDLL("libnuma.so.1")' 2>/dev/null ||
        die "libnuma is missing, which vLLM's kernels need; run: apt-get install libnuma1 (or dnf install numactl-libs)"
    say "installing vLLM for CPU into $target (2.2 GB; a minute or less when packages are cached)"
    "$python" -m venv --clear "$target"
    install
    install_plugin
    # Writes the byte code of what the server imports on the way, so that the first server starts faster.
    env -u PYTHONDONTWRITEBYTECODE "$target/bin/python" -m "$server_module" --help >/dev/null 2>&1 ||
        die "vLLM was installed but does not start; run: $target/bin/python -m $server_module --help"
    echo "$want" >"$target/.runtime-sha256"
    say "$target is ready"
}

main
