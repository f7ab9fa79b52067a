#!/usr/bin/env bash
# Opens MLflow's UI on the runs that gates on this machine recorded: mlflow/serve.sh [PORT]
# The same file that a gate writes when MLFLOW_TRACKING_URI is not set; both may use it at once.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
home=$(realpath -m "${ASSAY_HOME:-.assay}")
mkdir -p "$home"
# One worker and no job runner: 2 processes and half a gigabyte instead of 15 and two.
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false DO_NOT_TRACK=true
exec .venv/bin/mlflow server --host 127.0.0.1 --port "${1:-5000}" --workers 1 \
    --backend-store-uri "sqlite:///$home/mlflow.db" \
    --artifacts-destination "$home/mlflow-artifacts"
