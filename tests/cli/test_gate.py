"""`assay gate`: wrong requests, and whole gates of two servers that somebody else runs."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from assay.adapters.registry_mlflow import MlflowRegistry
from tests.artifact_factory import make_artifact
from tests.cli.conftest import Assay, Outcome
from tests.cli_desk import SECRET, SERVING, TASK, Desk
from tests.openai_server import Fail, OpenAIServer, Reply, Say

EACH = 40
"""Cases of a label: a gate asks each of two servers for every one of them."""
POLICY = """
schema_version: 1
first_release: refuse
replicates: 999
evaluators:
  emotion_f1: {margin: 0.3, macro_margin: 0.2, minimum_support: 20}
  validity: {max_invalid_rate: 0.1, margin: 0.1}
"""


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without content: its migrations take seconds, a copy takes none."""
    folder = tmp_path_factory.mktemp("empty")
    MlflowRegistry(f"sqlite:///{folder / 'mlflow.db'}", folder / "locks").production("nobody")
    return folder / "mlflow.db"


@pytest.fixture
def project(desk: Desk, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A project folder: documents, a small golden set, an empty registry, and a store's key."""
    home = desk.folder / "home"
    home.mkdir()
    shutil.copyfile(empty_database, home / "mlflow.db")
    monkeypatch.setenv("ASSAY_HOME", str(home))
    monkeypatch.setenv("ASSAY_WHO", "tester")
    for name in ("MLFLOW_TRACKING_URI", "ASSAY_STORE", "ASSAY_TRUST", "ASSAY_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    desk.cases = [case for case in desk.cases if int(case["id"][2:]) % 100 < EACH]
    desk.write("golden.jsonl", desk.cases)
    desk.write("policy.yaml", POLICY)
    return desk


Answers = Callable[[dict[str, Any]], Reply]


def knows(desk: Desk, **wrong: str) -> Answers:
    """Answers as the golden set says, but for the labels named: `fear="anger"`."""
    labels = {case["text"]: case["label"] for case in desk.cases}

    def script(body: dict[str, Any]) -> Reply:
        label = labels.get(body["messages"][-1]["content"], "joy")
        return Say(words=wrong.get(label, label))

    return script


def gate(*more: str) -> list[str]:
    return ["gate", "emotion", "1.1.0", "--golden", "golden.jsonl", *more]


def endpoints(candidate: OpenAIServer | str, production: OpenAIServer | str) -> list[str]:
    urls = [u if isinstance(u, str) else u.endpoint.base_url for u in (candidate, production)]
    return ["--backend", "endpoint", "--candidate-url", urls[0], "--production-url", urls[1]]


@pytest.fixture
def serve() -> Iterator[Callable[..., OpenAIServer]]:
    with ExitStack() as stack:
        yield lambda script, **options: stack.enter_context(OpenAIServer(script=script, **options))


Serve = Callable[..., OpenAIServer]


# --- whole gates ---------------------------------------------------------------------------------


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
    proved = assay("verify", folder, "--json")
    assert (proved.code, proved.document["verdict"]) == (0, "promote")
    assert "byte for byte" in proved.err

    answers = folder / "candidate/predictions.jsonl"
    kept = answers.read_text(encoding="utf-8")
    answers.write_text(kept.replace('"joy"', '"fear"', 1), encoding="utf-8")
    altered = assay("verify", folder, "--json")
    assert altered.code == 10
    assert "candidate/predictions.jsonl changed since" in altered.error

    from assay.evidence import seal

    seal(folder)  # whoever can alter the answers can seal them anew, but not judge them so
    assert assay("verify", folder, "--json").code == 10
    answers.write_text(kept, encoding="utf-8")
    seal(folder)
    assert assay("verify", folder).code == 0

    (folder / "notes.txt").write_text("seen", encoding="utf-8")
    assert "notes.txt" in assay("verify", folder, "--json").error
    (folder / "notes.txt").unlink()
    (folder / "production/predictions.jsonl").unlink()
    missing = assay("verify", folder, "--json")
    assert missing.code == 10
    assert "production/predictions.jsonl" in missing.error
    seal(folder)  # evidence without a production is no evidence of a comparison
    assert assay("verify", folder, "--json").code == 10
    (folder / "verdict.json").unlink()
    seal(folder)
    assert assay("verify", folder, "--json").code == 2


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
        (Fail(how="status", status=401), "http_401 × 103"),
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


def assert_unmeasured(done: Outcome, *words: str) -> None:
    assert (done.code, done.document["verdict"]) == (12, "invalid"), done.err
    for word in words:
        assert word in done.reason
    assert done.document["findings"] == []
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


# --- requests that cannot be met -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--backend", "kubernetes"], "kubernetes: not available in this version"),
        (["--backend", "process"], "trust.yaml: no such file; expected the public keys"),
        (["--backend", "endpoint"], "no --candidate-url"),
        (["--candidate-url", "http://127.0.0.1:9"], "need --backend endpoint"),
        (["--profile", "gpu", "--backend", "process"], "no profile 'gpu'"),
        (["--policy", "nowhere.yaml"], "nowhere.yaml: no such file"),
        (["--task", "policy.yaml"], "policy.yaml: "),
        (["--report-dir", "."], "holds something already"),
        (["--report-dir", "policy.yaml"], "holds something already"),
        (["--backend", "cloud"], "--backend"),
    ],
)
def test_a_request_that_cannot_be_met_is_a_usage_error(
    assay: Assay, project: Desk, flags: list[str], words: str
) -> None:
    done = assay(*gate(*flags, "--json"))
    assert done.code == 2
    assert words in done.error
    assert not (project.folder / "home/reports").exists()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://user:hunter2@host", "holds a user name or password"),
        ("localhost:8000", "no server's URL"),
        ("ftp://host", "no server's URL"),
    ],
)
def test_a_url_of_no_server_is_a_usage_error(
    assay: Assay, project: Desk, serve: Serve, url: str, words: str
) -> None:
    done = assay(*gate(*endpoints(url, serve(knows(project))), "--json"))
    assert done.code == 2
    assert words in done.error
    assert "hunter2" not in done.out + done.err


@pytest.mark.parametrize(
    ("model", "version", "words"),
    [
        ("../../etc", "1.0.0", "model name '../../etc'"),
        ("emotion", "latest", "version 'latest'"),
        ("emotion", "../1.0.0", "version '../1.0.0'"),
    ],
)
def test_a_name_that_no_store_could_hold_is_refused(
    assay: Assay, project: Desk, model: str, version: str, words: str
) -> None:
    done = assay("gate", model, version, "--json", *endpoints("http://h:1", "http://h:2"))
    assert done.code == 2
    assert words in done.error


def test_an_unknown_model_or_version_lists_what_there_is(assay: Assay, project: Desk) -> None:
    assert assay("store", "keygen", "key.pem", "key.pub").code == 0
    trust = "schema_version: 1\nkeys:\n  - {name: release, public_key: key.pub}\n"
    project.write("trust.yaml", trust)
    make_artifact(project.folder / "model")
    published = assay("store", "publish", "model", "emotion", "1.0.0", "--key", "key.pem")
    assert published.code == 0, published.err

    version = assay(*gate("--backend", "process", "--json"))
    assert version.code == 2
    assert "no version '1.1.0'; expected one of '1.0.0'" in version.error
    model = assay("gate", "emotoin", "1.0.0", "--backend", "process", "--golden", "golden.jsonl",
                  "--json")  # fmt: skip
    assert model.code == 2
    assert "no model 'emotoin'; expected one of 'emotion'" in model.error
    assert list((project.folder / "home/staging").iterdir()) == []


def test_a_bad_golden_file_is_an_invalid_run_with_evidence(
    assay: Assay, project: Desk, serve: Serve
) -> None:
    project.cases[4]["label"] = "hapiness"
    project.write("golden.jsonl", project.cases)
    server = serve(knows(project))
    done = assay(*gate(*endpoints(server, server), "--json"))
    assert_unmeasured(done, "golden.jsonl:5: case 'c-0004' has label 'hapiness'")
    folder = Path(done.err.rpartition("evidence: ")[2].splitlines()[0])
    assert assay("verify", folder).code == 0
    assert server.bodies == []


def test_reap_removes_what_a_dead_gate_left(assay: Assay, project: Desk) -> None:
    left = project.folder / "home/staging/20260101T000000Z-dead"
    left.mkdir(parents=True)
    done = assay("reap")
    assert done.code == 0
    assert "20260101T000000Z-dead" in done.err
    assert not left.exists()
