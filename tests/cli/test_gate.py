"""`assay gate`: wrong requests, and whole gates of two servers that somebody else runs."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from assay.adapters.registry_mlflow import MlflowRegistry
from tests.cli.conftest import Assay
from tests.cli.two_servers import Serve, assert_unmeasured, endpoints, gate, knows
from tests.cli_desk import SECRET, SERVING, TASK, Desk
from tests.openai_server import Fail, Reply, Say


def test_two_servers_are_compared_recorded_and_proved_and_no_alias_moves(
    assay: Assay, project: Desk, serve: Serve
) -> None:
    good = serve(knows(project))
    production = serve(knows(project))
    done = assay(*gate(*endpoints(good, production), "--report-dir", "out", "--json"))
    assert (done.code, done.document["verdict"]) == (0, "promote"), done.err
    assert done.document["context"]["engine"]["backend"] == "endpoint"
    folder = project.folder / "out"
    assert (folder / "verdict.json").read_text(encoding="utf-8") == done.out
    assert f"evidence: {folder}" in done.err
    assert "may move" not in done.err.partition("alias:")[0]
    assert "run the gate there to promote" in done.err
    registry = MlflowRegistry(
        f"sqlite:///{project.folder / 'home/mlflow.db'}", project.folder / "home/locks"
    )
    assert registry.production("emotion") is None
    stored = b"".join(p.read_bytes() for p in folder.rglob("*") if p.is_file())
    assert SECRET.encode() not in stored
    assert_verify_tells_good_from_altered(assay, folder)


def assert_verify_tells_good_from_altered(assay: Assay, folder: Path) -> None:
    nobody = assay("verify", folder, "--json")
    assert nobody.code == 10
    assert "nobody has signed" in nobody.error
    proved = assay("verify", folder, "--unsigned", "--json")
    assert (proved.code, proved.document["verdict"]) == (0, "promote")
    assert "byte for byte" in proved.err

    answers = folder / "candidate/predictions.jsonl"
    kept = answers.read_text(encoding="utf-8")
    answers.write_text(kept.replace('"joy"', '"fear"', 1), encoding="utf-8")
    altered = assay("verify", folder, "--unsigned", "--json")
    assert altered.code == 10
    assert "candidate/predictions.jsonl changed since" in altered.error

    from assay.evidence import seal

    seal(folder)  # whoever can alter the answers can seal them anew, but not judge them so
    assert assay("verify", folder, "--unsigned", "--json").code == 10
    answers.write_text(kept, encoding="utf-8")
    seal(folder)
    assert assay("verify", folder, "--unsigned").code == 0

    (folder / "notes.txt").write_text("seen", encoding="utf-8")
    assert "notes.txt" in assay("verify", folder, "--unsigned", "--json").error
    (folder / "notes.txt").unlink()
    (folder / "production/predictions.jsonl").unlink()
    missing = assay("verify", folder, "--unsigned", "--json")
    assert missing.code == 10
    assert "production/predictions.jsonl" in missing.error
    seal(folder)  # evidence without a production is no evidence of a comparison
    assert assay("verify", folder, "--unsigned", "--json").code == 10
    (folder / "verdict.json").unlink()
    seal(folder)
    assert assay("verify", folder, "--unsigned", "--json").code == 2


def test_a_broken_class_blocks_and_stays_blocked_in_the_record(
    assay: Assay, project: Desk, serve: Serve
) -> None:
    done = assay(
        *gate(*endpoints(serve(knows(project, fear="anger")), serve(knows(project))), "--json")
    )
    assert (done.code, done.document["verdict"]) == (10, "block"), done.err
    assert "fear" in done.document["summary"]


def test_without_a_production_server_a_first_release_is_refused_before_anything_is_asked(
    assay: Assay, project: Desk, serve: Serve
) -> None:
    good = serve(knows(project))
    done = assay(
        *gate("--backend", "endpoint", "--candidate-url", good.endpoint.base_url, "--json")
    )
    assert (done.code, done.document["verdict"]) == (12, "invalid")
    assert "first_release" in done.reason
    assert good.bodies == []


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (Fail(how="status", status=500), "http_500 × 103"),
        (Fail(how="status", status=401), "401"),
        (Fail(how="garbage"), "garbage × 103"),
        (Fail(how="drop"), "connection"),
        (Fail(how="not_http"), "connection"),
        (Fail(how="huge"), "garbage × 103"),
    ],
    ids=lambda value: getattr(value, "how", None),
)
def test_a_server_that_stops_answering_properly_makes_the_run_invalid(
    assay: Assay, project: Desk, serve: Serve, failure: Reply, words: str
) -> None:
    right, asked = knows(project), []

    def script(body: dict[str, Any]) -> Reply:
        asked.append(body)
        return right(body) if len(asked) < 20 else failure

    server = serve(script)
    done = assay(*gate(*endpoints(server, serve(knows(project))), "--json"))
    assert_unmeasured(done, words)


def test_half_a_character_is_no_answer(assay: Assay, project: Desk, serve: Serve) -> None:
    project.write("task.yaml", TASK.replace("constrained", "free"))
    server = serve(lambda body: Say(words="glee \ud83d"))
    done = assay(*gate(*endpoints(server, serve(knows(project))), "--json"))
    assert done.code == 12
    assert SECRET not in done.out + done.err


def test_a_server_that_stalls_is_given_up(assay: Assay, project: Desk, serve: Serve) -> None:
    project.write("serving.yaml", SERVING.replace("timeout_s: 5", "timeout_s: 0.3"))
    right, asked = knows(project), []

    def script(body: dict[str, Any]) -> Reply:
        asked.append(body)
        return right(body) if len(asked) < 20 else Fail(how="stall")

    done = assay(*gate(*endpoints(serve(script), serve(knows(project))), "--json"))
    assert_unmeasured(done)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"version": None}, "/version"),
        ({"version": "0.6.6"}, "found vLLM '0.6.6'"),
        ({"version": "unknown"}, "/version"),
        ({"models": ("a", "b")}, "'emotion'"),
        ({"models": ()}, "no model"),
    ],
)
def test_a_server_that_may_not_be_asked_is_named(
    assay: Assay, project: Desk, serve: Serve, options: dict[str, Any], words: str
) -> None:
    candidate = serve(knows(project), **options)
    done = assay(*gate(*endpoints(candidate, serve(knows(project))), "--json"))
    assert_unmeasured(done, words, candidate.endpoint.base_url)
    assert candidate.bodies == []


def test_a_server_that_is_not_there_is_said_to_be_missing(
    assay: Assay, project: Desk, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.adapters.server_endpoint._PATIENCE_S", 0.0)
    done = assay(*gate(*endpoints("http://127.0.0.1:9", serve(knows(project))), "--json"))
    assert_unmeasured(done, "http://127.0.0.1:9/health")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_gate_says_so_and_leaves_nothing(
    project: Desk, serve: Serve, number: signal.Signals
) -> None:
    right, asked = knows(project), []

    def script(body: dict[str, Any]) -> Reply:
        asked.append(body)
        return right(body) if len(asked) < 20 else Fail(how="stall")

    command = gate(*endpoints(serve(script), serve(knows(project))), "--json")
    program = [str(Path(sys.executable).with_name("assay")), *command]
    with subprocess.Popen(
        program, cwd=project.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=dict(os.environ),
    ) as process:  # fmt: skip
        end = time.monotonic() + 120
        while len(asked) < 20 and process.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert json.loads(out)["error"]["kind"] == "Interrupted"
    assert b"Traceback" not in err
    assert list((project.folder / "home/staging").iterdir()) == []
