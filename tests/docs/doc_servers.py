"""Worlds of the documentation in which somebody answers: servers to ask, channels, and people."""

from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from tests.cli.two_servers import POLICY, knows
from tests.cli_desk import Desk, Row
from tests.flows.golden_repo import dvc, make_repository, run
from tests.gate_rig import LABELS, SERVING, TASK, golden_cases
from tests.golden_examples import probes, write_frozen
from tests.mail_and_hooks import HookServer
from tests.openai_server import OpenAIServer
from tests.relabel_rig import agreed
from tests.review_rig import words

LOAD = """
load:
  sustained:
    arrivals: {rate_per_s: 150}
    duration_s: 2.5
    warm_up_s: 0.1
    request_timeout_s: 10
    objectives:
      {ttft_p99_ms: 3000, tokens_per_s: null, max_error_rate: null, min_availability: null}
    prompts: {kind: lengths, prompts: 50, words_median: 5}
    generator: {max_lag_p99_ms: 3000, max_cpu_share: 1.0}
"""
CHANNELS = """
schema_version: 1
channels:
  - {kind: slack, name: team, url_env: TEAM_URL}
"""


def served_world(folder: Path, running: ExitStack) -> dict[str, str]:
    """Makes a project beside two servers that know its golden set; returns what their URLs are."""
    folder.mkdir()
    desk = Desk(folder, [asdict(case) for case in golden_cases()])
    for name, text in (("task", TASK), ("policy", POLICY + LOAD), ("serving", SERVING)):
        desk.write(f"{name}.yaml", text)
    write_frozen(folder / "golden_data", "1.0.0", golden_cases(), probes(1))
    (folder / "golden.jsonl").symlink_to("golden_data/golden.jsonl")
    return {
        url: running.enter_context(OpenAIServer(script=knows(desk))).endpoint.base_url
        for url in ("http://127.0.0.1:8000", "http://127.0.0.1:8001")
    }


def channels_world(folder: Path, running: ExitStack) -> dict[str, str]:
    """Makes a folder with a channel that takes what it is told; returns its environment."""
    folder.mkdir()
    (folder / "notifications.yaml").write_text(CHANNELS)
    return {"TEAM_URL": running.enter_context(HookServer()).url}


def people_world(folder: Path, remote: Path) -> None:
    """Makes a repository with two golden versions, a week's traffic and votes, and an export."""
    make_repository(folder, str(remote), task=TASK, held=golden_cases())
    run(folder, "git", "tag", "golden-v1.0.0")
    write_frozen(folder / "golden_data", "1.1.0", golden_cases()[1:], probes(1))
    dvc(folder, "add", "-q", "golden_data/golden.jsonl", "golden_data/probes.jsonl")
    run(folder, "git", "commit", "-q", "-a", "-m", "1.1.0")
    run(folder, "git", "tag", "golden-v1.1.0")
    desk = Desk(folder)
    desk.write("review.yaml", "schema_version: 1\nbudget: 20\nhoneypot_share: 0.2\n")
    desk.write("relabel.yaml", "schema_version: 1\n")
    pd.DataFrame([_asked(number) for number in range(60)]).to_parquet(folder / "sample.parquet")
    votes = (_asked(number) | {"signal": "thumbs_down"} for number in range(60, 120))
    desk.write("votes.jsonl", votes)
    desk.write("export.json", agreed("c-new", "joy"))


def _asked(number: int) -> Row:
    return {
        "request_id": f"req-{number:03}", "text": words(number), "label": LABELS[number % 3],
        "time": "2026-11-23T10:00:00Z", "lang": "en",
    }  # fmt: skip
