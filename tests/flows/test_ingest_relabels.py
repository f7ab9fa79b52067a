"""The flow `ingest-relabels` on a real Prefect server, and its deployment."""

from pathlib import Path

import pytest
import yaml

from assay.relabelling.proposal import load_proposal
from tests.relabel_rig import agreed, answer, write_rows

ROOT = Path(__file__).parents[2]


def test_the_deployment_names_the_flow() -> None:
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    found = {one["name"]: one["entrypoint"] for one in deployments}
    assert found["ingest-relabels"] == "flows.ingest_relabels.ingest_relabels"


@pytest.mark.prefect_server
@pytest.mark.usefixtures("prefect_api")
def test_the_flow_completes_with_a_proposal_and_fails_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.ingest_relabels import ingest_relabels

    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(ROOT)
    rows = [*agreed("c-1", "joy"), answer("c-2", "an", "joy")]
    export = write_rows(tmp_path / "export.jsonl", rows)
    golden = tmp_path / "set" / "golden.jsonl"
    golden.parent.mkdir()
    base = {"id": "g-1", "text": "the harbour lights went out", "label": "joy", "lang": "en"}
    write_rows(
        golden,
        [base | {"source": "x", "stratum": "core", "slices": [], "added_in": "1.0.0"}],
    )
    out = tmp_path / "proposal"
    given = {"golden": str(golden), "out": str(out), "return_state": True}
    done = ingest_relabels(export=str(export), **given)
    assert (done.type.value, done.name) == ("COMPLETED", "Proposed"), done.message
    assert "1 accepted, 1 quarantined, 0 rejected" in str(done.message)
    assert load_proposal(out).cases == 2
    export.write_text("id,label\n")
    failed = ingest_relabels(export=str(export), **given)
    assert (failed.type.value, failed.name) == ("FAILED", "ConfigError")
    assert "CSV" in str(failed.message)
    assert load_proposal(out).cases == 2
