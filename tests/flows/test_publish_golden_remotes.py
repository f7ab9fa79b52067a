"""Publishing to an S3-compatible server, through stages, from a proposal, and with a baseline."""

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from assay import digests
from assay.adapters.golden_dvc import DvcGoldenSource
from assay.adapters.golden_log_mlflow import MlflowGoldenLog
from assay.adapters.in_memory_golden import InMemoryGoldenSource
from assay.cli import main
from assay.errors import AssayError, ConfigError, InfrastructureError
from assay.golden_frozen import canonical, to_jsonl
from assay.golden_set import load_golden
from flows.golden_build import write_sources
from flows.rescoring import Rescoring
from flows.steps import PlainSteps
from tests.flows.golden_repo import IDENTITY, Desk, dvc, make_desk, make_repository, proposed, run
from tests.gate_rig import Rig, golden_cases, make_rig
from tests.golden_examples import LABELS, cases
from tests.s3_rig import ENVIRONMENT, s3_server

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _identity(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in IDENTITY.items():
        monkeypatch.setenv(name, value)


def test_a_version_published_to_s3_is_read_back_from_there_by_another_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("dvc_s3", reason="dvc[s3] is not installed")
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with s3_server(tmp_path / "s3") as server:
        root = tmp_path / "repository"
        make_repository(root, f"s3://{server.bucket()}/golden")
        dvc(root, "remote", "modify", "team", "endpointurl", server.url)
        run(root, "git", "commit", "-qam", "where the bucket is")
        done = make_desk(root).publish()
        run(tmp_path, "git", "clone", "-q", str(root), str(tmp_path / "clone"))
        found = DvcGoldenSource(tmp_path / "clone").load(done.tag, LABELS)
        assert found.digest == done.digest


def test_a_server_that_is_down_leaves_the_old_version_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("dvc_s3", reason="dvc[s3] is not installed")
    for name, value in (ENVIRONMENT | {"AWS_MAX_ATTEMPTS": "1"}).items():
        monkeypatch.setenv(name, value)
    root = tmp_path / "repository"
    make_repository(root, "s3://bucket/golden")
    dvc(root, "remote", "modify", "team", "endpointurl", "http://127.0.0.1:9")
    run(root, "git", "commit", "-qam", "where the bucket is")
    with pytest.raises(InfrastructureError, match="still the old one"):
        make_desk(root).publish()
    assert run(root, "git", "tag", "--list", "golden-v*") == ""
    assert DvcGoldenSource(root).load(None, LABELS).size == 3


def test_a_set_built_by_stages_gets_the_cases_in_its_sources(tmp_path: Path) -> None:
    """This project's own repository: its checks run on the version, and its diff is small."""
    root = tmp_path / "repository"
    run(tmp_path, "git", "clone", "-q", "--no-hardlinks", str(ROOT), str(root))
    (root / "golden_data" / "golden.jsonl").unlink(missing_ok=True)
    labels = yaml.safe_load((root / "task.yaml").read_text())["labels"]
    dvc_repro(root)
    golden = load_golden(root / "golden_data" / "golden.jsonl", labels)
    version = json.loads((root / "golden_data" / "golden.digest.json").read_text())["version"]
    run(root, "git", "commit", "--allow-empty", "-qam", "as built")
    first = golden.cases[0]
    other = "fear" if first.label != "fear" else "anger"
    new = replace(
        first,
        id="zz-published-1",
        text="Nobody expected seven otters at the town hall meeting.",
        text_sha256=digests.text_sha256("Nobody expected seven otters at the town hall meeting."),
    )
    desk = make_desk(root)
    unclaimed = canonical([*golden.cases, replace(new, source="traffic")])
    desk.proposal.write_bytes(to_jsonl(unclaimed))
    with pytest.raises(ConfigError, match="zz-published-1"):
        desk.publish(base=version)
    assert run(root, "git", "tag", "--list", "golden-v*") == ""
    changed = canonical([replace(first, label=other), *golden.cases[1:], new])
    desk.proposal.write_bytes(to_jsonl(changed))
    done = desk.publish(base=version, bump="minor")
    assert (done.changes.counts["added"], done.changes.counts["relabelled"]) == (1, 1)
    assert DvcGoldenSource(root).load(None, labels).digest == done.digest
    numbers = run(root, "git", "diff", "--numstat", "HEAD^", "--", "golden_data/cases")
    assert {tuple(line.split("\t")[:2]) for line in numbers.splitlines()} == {
        ("1", "1"),
        ("1", "0"),
    }


def dvc_repro(root: Path) -> None:
    import sys

    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, "-m", "dvc", "repro", "-q"]
    subprocess.run(command, cwd=root, env=os.environ | {"PATH": path}, check=True, timeout=120)


def test_unchanged_lines_of_the_sources_stay_byte_for_byte(tmp_path: Path) -> None:
    kept, gone, changed = cases(3)
    place = tmp_path / "cases"
    place.mkdir()
    odd = json.dumps(json.loads(to_jsonl([kept])), indent=None, separators=(",", ":"))
    (place / "a.jsonl").write_text(f"{odd}\n" + to_jsonl([gone, changed]).decode())
    write_sources(place, [kept, replace(changed, label="anger"), cases(4)[3]])
    lines = (place / "a.jsonl").read_text().splitlines()
    assert lines[0] == odd
    assert json.loads(lines[1])["label"] == "anger"
    assert json.loads((place / "published.jsonl").read_text())["id"] == "c-3"


def test_mlflow_holds_one_dataset_a_version_without_any_text(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    golden = load_golden(_file(tmp_path), LABELS)
    log = MlflowGoldenLog(uri)
    first = log.record(golden, tag="golden-v1.1.0", facts={"why": "more anger"})
    assert log.record(golden, tag="golden-v1.1.0", facts={"why": "more anger"}) == first
    from mlflow import MlflowClient

    run_id = first.removeprefix("MLflow run ")
    found = MlflowClient(tracking_uri=uri, registry_uri=uri).get_run(run_id)
    (dataset,) = found.inputs.dataset_inputs
    assert json.loads(dataset.dataset.source)["digest"] == golden.digest
    assert found.data.tags["assay.golden.why"] == "more anger"
    assert b"words nobody may see" not in (tmp_path / "mlflow.db").read_bytes()


def _file(folder: Path) -> Path:
    path = folder / "g.jsonl"
    path.write_bytes(to_jsonl(proposed()))
    return path


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    made = make_rig(tmp_path)
    made.gate("1.0.0")
    made.asked.clear()
    return made


def rescoring(rig: Rig, kept: int) -> Rescoring:
    """Scores production on a version that holds the first so many cases of each label."""
    chosen = [case for case in golden_cases() if int(case.id[-3:]) < kept]
    ports = replace(rig.ports(), golden=InMemoryGoldenSource(cases={"golden-v1.1.0": chosen}))
    return Rescoring(
        request=rig.request("0"),
        settings=rig.settings,
        ports=ports,
        steps=PlainSteps(rig.said.append, wait_s=0.001),
        progress=rig.said.append,
    )


def test_the_next_gate_finds_its_baseline_and_asks_production_nothing(rig: Rig) -> None:
    assert "1.0.0 was asked all 210 cases" in rescoring(rig, 70)("golden-v1.1.0")
    assert len(rig.asked) == 210
    assert rig.server.running == []
    assert list(rig.settings.staging.glob("*")) == []
    rig.asked.clear()
    rig.cases = tuple(case for case in golden_cases() if int(case.id[-3:]) < 70)
    rig.gate("1.1.0")
    assert [line for line in rig.asked if line.startswith("1.0.0/")] == []


def test_scoring_again_asks_nothing_twice(rig: Rig) -> None:
    rescoring(rig, 70)("golden-v1.1.0")
    rig.asked.clear()
    assert "taken from an earlier run" in rescoring(rig, 70)("golden-v1.1.0")
    assert rig.asked == []


def test_without_production_there_is_nothing_to_score_and_it_is_said(tmp_path: Path) -> None:
    rig = make_rig(tmp_path)
    assert "no production version" in rescoring(rig, 70)("golden-v1.1.0")
    assert rig.server.launched == []


def test_an_engine_that_fails_is_an_error_and_leaves_the_version_in_force(rig: Rig) -> None:
    rig.server.failures = {"1.0.0": InfrastructureError("the engine never got up")}
    with pytest.raises(InfrastructureError, match="never got up"):
        rescoring(rig, 70)("golden-v1.1.0")
    assert list(rig.settings.staging.glob("*")) == []
    rig.server.failures = {}
    assert "was asked all" in rescoring(rig, 70)("golden-v1.1.0")


def test_the_command_publishes_a_proposals_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    desk = _with_proposal(tmp_path)
    monkeypatch.chdir(desk.root)
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ASSAY_WHO", "ada")
    key = str(tmp_path / "keys" / "release.key")
    command = ["golden", "publish", str(tmp_path / "proposal"), "--why", "w", "--key", key]
    capfd.readouterr()
    assert main([*command, "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert (document["tag"], document["resumed"]) == ("golden-v1.1.0", False)
    assert "no model was named" in document["baseline"]
    assert (desk.root / "golden_data" / "answers.jsonl.dvc").is_file()
    assert main([*command, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["resumed"]
    assert main(["audit-log", "show"]) == 0
    (shown,) = capfd.readouterr().out.splitlines()
    assert " ada: golden published 1.1.0 golden-v1.1.0, commit " in shown
    assert shown.endswith(": w")


def test_a_proposal_that_was_changed_or_is_stale_is_refused(tmp_path: Path) -> None:
    desk = _with_proposal(tmp_path)
    file = tmp_path / "proposal" / "golden.jsonl"
    kept = file.read_bytes()
    file.write_bytes(kept.replace(b'"anger"', b'"joy"', 1))
    with pytest.raises(AssayError, match=r"golden\.jsonl"):
        desk.publish(proposal=tmp_path / "proposal", base=None)
    file.write_bytes(kept)
    summary = tmp_path / "proposal" / "summary.json"
    stale = json.loads(summary.read_text()) | {"golden_before": f"sha256:{'0' * 64}"}
    summary.write_text(json.dumps(stale))
    with pytest.raises(AssayError, match="ingest again on top of the version in force"):
        desk.publish(proposal=tmp_path / "proposal", base=None)
    assert run(desk.root, "git", "tag", "--list", "golden-v*") == ""


def _with_proposal(folder: Path) -> Desk:
    """A desk with a proposal as ingestion writes it."""
    make_repository(folder / "repository", "../remote")
    desk = make_desk(folder / "repository")
    place = folder / "proposal"
    place.mkdir()
    shutil.copy(desk.proposal, place / "golden.jsonl")
    for name in ("history.jsonl", "answers.jsonl", "ingest_report.jsonl"):
        (place / name).write_text("{}\n")
    golden = load_golden(place / "golden.jsonl", LABELS)
    none = {"alpha": None, "interval": None, "units": 0, "labels": 0}
    summary = {
        "schema_version": 1,
        "version": "1.1.0",
        "sound": True,
        "export": {"name": "e", "digest": "sha256:0", "format": "flat", "rows": 1},
        "golden_before": desk.source.load(None, LABELS).digest,
        "golden_digest": golden.digest,
        "cases": golden.size,
        "rows": {},
        "reasons": {},
        "changes": {},
        "answers_not_counted": {},
        "agreement": none,
        "agreement_by_label": {},
        "anchoring_share": None,
        "annotators": [],
        "checks": [],
        "policy_digest": "sha256:0",
        "digests": {path.name: digests.of_file(path) for path in sorted(place.glob("*.jsonl"))},
    }
    (place / "summary.json").write_text(json.dumps(summary))
    return desk
