"""`assay explain`: a recorded gate, by any of its names."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Assay
from tests.flows.test_resume import GHOST
from tests.gate_rig import Rig, make_rig


@pytest.fixture
def blocked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """A rig whose last gate blocked 1.2.0, in the environment of the command line."""
    rig = make_rig(tmp_path)
    rig.gate("1.0.0")
    rig.gate("1.2.0")
    monkeypatch.setenv("ASSAY_HOME", str(rig.settings.reports.parent))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return rig


@pytest.mark.parametrize("by", ["run", "folder"])
def test_a_run_is_explained_by_its_id_and_by_its_folder(
    blocked: Rig, assay: Assay, by: str
) -> None:
    run = blocked.latest_run()
    folder = blocked.settings.reports / run
    done = assay("explain", run if by == "run" else folder)
    assert done.code == 0
    assert done.out.startswith("BLOCK")
    failed = [
        finding["reason"]
        for finding in json.loads((folder / "verdict.json").read_bytes())["findings"]
        if finding["status"] == "failed" and finding["gating"]
    ]
    assert failed
    assert all(reason in done.out for reason in failed)
    assert f"assay verify {folder}" in done.out


def test_the_document_is_the_recorded_one(blocked: Rig, assay: Assay) -> None:
    run = blocked.latest_run()
    done = assay("explain", run, "--json")
    assert done.out.encode() == (blocked.settings.reports / run / "verdict.json").read_bytes()


def test_evidence_that_was_altered_explains_nothing(blocked: Rig, assay: Assay) -> None:
    run = blocked.latest_run()
    (blocked.settings.reports / run / "verdict.json").write_text("{}")
    assert assay("explain", run, "--json").code == 10


@pytest.mark.parametrize("name", [GHOST, "", "../../etc", "0" * 31])
def test_a_run_that_nobody_knows_is_answered_with_those_that_are(
    blocked: Rig, assay: Assay, name: str
) -> None:
    done = assay("explain", name, "--json")
    assert done.code == 2
    assert blocked.latest_run() in done.error
