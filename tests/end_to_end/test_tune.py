"""A search for engine settings on real vLLM: command line, store, load, engines, Optuna, MLflow."""

import json
import subprocess
from pathlib import Path

import psutil
import pytest
import yaml

from examples.emotion import demo
from tests.end_to_end.machine import ASSAY, POLICY, ROOT, Machine

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.slow,
    pytest.mark.timeout(2400),  # whoever is first trains the models
]
SPACE = {
    "schema_version": 1,
    "trials": 2,
    "confirmations": 2,
    "price_per_hour": 1.0,
    "profiles": {"cpu": {"arguments": {"--max-model-len": {"values": [1024, 999_999]}}}},
}
LOAD = {
    "ramp": {
        "warm_up_s": 1.0,
        "objectives": {
            "ttft_p99_ms": 20_000.0,
            "tokens_per_s": None,
            "max_error_rate": 0.5,
            "min_availability": 0.5,
        },
        "generator": {"max_lag_p99_ms": 2_000.0, "max_cpu_share": 1.0},
        "search": {"start_per_s": 4.0, "max_per_s": 8.0, "step_s": 3.0, "step_requests": 12},
    }
}


def tuned(machine: Machine, folder: Path, *, timeout_s: float = 900) -> tuple[int, str, str]:
    """Runs the search; returns exit code, stdout and stderr."""
    policy = yaml.safe_load((ROOT / POLICY).read_text()) | {"load": LOAD}
    (folder / "policy.yaml").write_text(yaml.safe_dump(policy))
    (folder / "tune.yaml").write_text(yaml.safe_dump(SPACE))
    (folder / "serving.yaml").write_bytes((ROOT / "serving.yaml").read_bytes())
    command = [
        *(str(ASSAY), "tune", demo.MODEL, "--backend", "process", "--json"),
        *("--space", str(folder / "tune.yaml"), "--policy", str(folder / "policy.yaml")),
        *("--serving", str(folder / "serving.yaml")),
    ]
    done = subprocess.run(
        command, cwd=ROOT, env=machine.environment, capture_output=True, text=True,
        timeout=timeout_s, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_a_search_measures_what_serves_and_keeps_the_last_words_of_what_does_not(
    machine: Machine, tmp_path: Path
) -> None:
    """The model reads 1,024 tokens at most: the engine itself refuses the other setting."""
    before = {process.pid for process in psutil.process_iter()}
    code, out, err = tuned(machine, tmp_path)
    assert code == 0, err
    document = json.loads(out)
    present, other = document["trials"]
    assert (present["state"], other["state"]) == ("measured", "refused")
    assert present["measured"]["goodput_per_s"] == 8.0
    assert present["measured"]["ttft_p99_ms"] > 0
    assert present["measured"]["cost_per_million_tokens"] > 0
    assert "max_model_len" in other["reason"] + other["log_tail"]
    assert document["recommended"] is None
    assert document["reason"].startswith("Keep what you have: none of 1 other settings")
    assert not (tmp_path / "serving.tuned.yaml").exists()

    left = [
        process
        for process in psutil.process_iter(["cmdline"])
        if process.pid not in before and "vllm" in " ".join(process.info["cmdline"] or [])
    ]
    assert left == []

    again_code, again, _ = tuned(machine, tmp_path)
    assert again_code == 0
    assert json.loads(again) == document
