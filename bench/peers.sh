#!/bin/sh
# Installs the load generators that bench/load.py measures, each into an environment of its own
# under .assay/bench-peers, with the versions that the committed results were measured with.
# What cannot be installed is said, and bench/load.py reports it as missing. Needs uv.
set -u
cd "$(dirname "$0")/.." || exit 1
PYTHON=${PYTHON:-python3.11}
PEERS=${ASSAY_BENCH_PEERS:-.assay/bench-peers}
missing=0

install() { # name, requirement...
    name=$1
    shift
    [ -e "$PEERS/$name/.installed" ] && return
    uv venv -q --clear --python "$PYTHON" "$PEERS/$name" &&
        uv pip install -q --python "$PEERS/$name/bin/python" "$@" &&
        touch "$PEERS/$name/.installed" && return
    echo "peers: $name could not be installed; it will be reported as missing" >&2
    missing=1
}

install guidellm guidellm==0.8.1
install aiperf aiperf==0.13.0

# `vllm bench serve` comes with the serving environment, all but what reads prompts from a file.
if [ ! -e "$PEERS/vllm-bench/pandas" ]; then
    uv pip install -q --python .venv-serving/bin/python --target "$PEERS/vllm-bench" --no-deps \
        pandas==3.0.0 python-dateutil==2.9.0.post0 six==1.17.0 ||
        { echo "peers: pandas for vllm bench could not be installed" >&2; missing=1; }
fi
exit $missing
