"""The deployments of the golden set's loop, run by a real worker on a real Prefect server.

The repository, its DVC remote and the flows are real; what people answer is written by the test.
"""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from assay.digests import text_sha256
from assay.records import GoldenCase
from tests.artifact_factory import make_keys
from tests.end_to_end.machine import ROOT
from tests.end_to_end.prefect_rig import PREFECT, prefect_server
from tests.flows.golden_repo import IDENTITY, make_repository, run
from tests.gate_rig import TASK
from tests.review_rig import LABELS, words

pytestmark = [pytest.mark.slow, pytest.mark.prefect_server, pytest.mark.timeout(300)]

DEADLINE_S = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A Prefect server, as its own API tells what happened on it."""

    api: httpx.Client

    def start(self, deployment: str, **parameters: Any) -> str:
        """Asks for a run of a deployment; returns its id."""
        found = self.api.get(f"deployments/name/{deployment}/{deployment}").raise_for_status()
        body = {"parameters": parameters, "idempotency_key": deployment}
        url = f"deployments/{found.json()['id']}/create_flow_run"
        # A server whose database is busy for a moment asks its clients to come again.
        for _ in range(10):
            made = self.api.post(url, json=body)
            if made.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                break
            time.sleep(1)
        return str(made.raise_for_status().json()["id"])

    def ended(self, run: str) -> dict[str, Any]:
        """Waits for a run to end; returns its final state."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            state = self.api.get(f"flow_runs/{run}").raise_for_status().json()["state"] or {}
            if state.get("type") in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
                return dict(state)
            time.sleep(0.3)
        raise AssertionError(f"the run did not end within {DEADLINE_S:g} s: {state}")

    def artifacts(self, run: str) -> dict[str, str]:
        """Key → description of what a run left for its readers."""
        wanted = {"artifacts": {"flow_run_id": {"any_": [run]}}}
        rows = self.api.post("artifacts/filter", json=wanted).raise_for_status().json()
        return {row["key"]: row["description"] for row in rows if row["key"]}

    def events(self, name: str) -> list[dict[str, Any]]:
        """Events of a name; they reach the server's record a moment after they are raised."""
        wanted = {"filter": {"event": {"name": [name]}}}
        deadline = time.monotonic() + 15
        found: list[dict[str, Any]] = []
        while not found and time.monotonic() < deadline:
            found = self.api.post("events/filter", json=wanted).raise_for_status().json()["events"]
            time.sleep(0.3)
        return found


CORE = 12
"""Of thirty: a set of which less than half is a random sample is not healthy."""


def a_case(number: int) -> GoldenCase:
    """A case of its own, whose id tells its label."""
    label, text = LABELS[number % 3], words(f"golden {number}")
    return GoldenCase(
        id=f"{label}-{number:03}",
        text=text,
        text_sha256=text_sha256(text),
        label=label,
        lang="en",
        source="handwritten",
        stratum="core" if number < CORE else "hitl",
        slices=(),
        added_in="1.0.0",
    )


GOLDEN = tuple(a_case(number) for number in range(30))


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A repository with a golden set, a sample of traffic and the deployments' file."""
    root = tmp_path / "owner" / "repository"
    make_repository(root, "../remote", task=TASK, held=GOLDEN)
    make_keys(root.parent / "keys")
    shutil.copyfile(ROOT / "prefect.yaml", root / "prefect.yaml")
    (root / "review.yaml").write_text("schema_version: 1\nbudget: 20\nhoneypot_share: 0.2\n")
    (root / "relabel.yaml").write_text("schema_version: 1\nannotators: {max_share: 1.0}\n")
    rows = [
        {"request_id": f"r{n}", "text": words(n), "label": LABELS[n % 3], "lang": "en"}
        | {"time": "2026-11-23T10:00:00Z"}
        for n in range(40)
    ]
    (root / "traffic.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run(root, "git", "add", ".")
    run(root, "git", "commit", "-q", "-m", "what people are asked")
    return root


@pytest.fixture
def server(desk: Path, tmp_path: Path) -> Iterator[Server]:
    """A server that knows the deployments, and a worker that runs them in the repository."""
    base = os.environ | IDENTITY | {"ASSAY_HOME": str(tmp_path / "home"), "ASSAY_WHO": "tester"}
    base |= {"PREFECT_WORKER_QUERY_SECONDS": "1", "ASSAY_TRUST": str(tmp_path / "trust.yaml")}
    base["ASSAY_SIGNING_KEY"] = str(desk.parent / "keys" / "release.key")
    with prefect_server(base, tmp_path) as environment:
        for command in (
            ("work-pool", "create", "assay", "--type", "process"),
            ("--no-prompt", "deploy", "--all"),
        ):
            done = subprocess.run(
                [PREFECT, *command],
                cwd=desk,
                env=environment,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr
        api = httpx.Client(base_url=environment["PREFECT_API_URL"], timeout=30)
        with worker(desk, environment, tmp_path / "worker.log"), api:
            yield Server(api=api)


@contextmanager
def worker(folder: Path, environment: dict[str, str], log: Path) -> Iterator[None]:
    """Runs a worker of the pool in a folder."""
    with log.open("w") as said:
        process = subprocess.Popen(
            [PREFECT, "worker", "start", "--pool", "assay", "--type", "process"],
            cwd=folder,
            env=environment,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=60)


def test_the_loop_s_deployments_run_on_a_worker_and_leave_what_they_say_on_the_server(
    server: Server, desk: Path, tmp_path: Path
) -> None:
    watch = server.start("watch-golden")
    export = server.start("export-review", traffic=["traffic.jsonl"], push=False)
    state = server.ended(export)
    log = (tmp_path / "worker.log").read_text()
    assert (state["type"], state["name"]) == ("COMPLETED", "Exported"), f"{state}\n{log}"
    assert list(server.artifacts(export)) == ["review-export"]
    (folder,) = (tmp_path / "home" / "reviews").glob("review-*")
    said = [json.loads(line) for line in (folder / "review.jsonl").open()]
    answers = [row | {"annotator": who, "label": "fear"} for row in said for who in ("a", "b", "c")]
    (desk.parent / "labelled.jsonl").write_text("".join(json.dumps(row) + "\n" for row in answers))

    state = server.ended(watch)
    assert (state["type"], state["name"]) == ("FAILED", "Unhealthy"), state
    assert server.artifacts(watch) == {"golden-health": state["message"]}
    (degraded,) = server.events("assay.golden.degraded")
    assert degraded["resource"]["prefect.resource.id"] == "assay.golden"
    assert "strata/core" in degraded["payload"]["broken"]
    assert degraded["payload"]["summary"] == state["message"]

    ingest = server.start("ingest-relabels", export="../labelled.jsonl", out="../proposal")
    state = server.ended(ingest)
    assert (state["type"], state["name"]) == ("COMPLETED", "Proposed"), state
    assert server.artifacts(ingest) == {"ingest-relabels": state["message"]}
    (proposed,) = server.events("assay.golden.proposed")
    assert proposed["payload"]["changes"] == {"added": 4}

    publish = server.start("publish-golden", proposal="../proposal", why="people labelled traffic")
    state = server.ended(publish)
    assert (state["type"], state["name"]) == ("COMPLETED", "Published"), state
    assert server.artifacts(publish)["golden"] == "golden-v1.1.0"
    (published,) = server.events("assay.golden.published")
    assert state["message"] == f"golden-v1.1.0: {published['payload']['digest']}"
    assert run(desk, "git", "tag") == "golden-v1.1.0"
