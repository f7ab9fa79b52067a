"""`assay gate`: requests that cannot be met, said before anything is started."""

from pathlib import Path

import pytest

from tests.artifact_factory import make_artifact
from tests.cli.conftest import Assay
from tests.cli.two_servers import Serve, assert_unmeasured, endpoints, gate, knows
from tests.cli_desk import Desk


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
    assert assay("verify", folder, "--unsigned").code == 0
    assert server.bodies == []


def test_reap_removes_what_a_dead_gate_left(assay: Assay, project: Desk) -> None:
    left = project.folder / "home/staging/20260101T000000Z-dead"
    left.mkdir(parents=True)
    done = assay("reap")
    assert done.code == 0
    assert "20260101T000000Z-dead" in done.err
    assert not left.exists()
