"""A gate and its supply chain: no older release comes back, and evidence lists what was used."""

import json
from pathlib import Path

from assay.records import VerdictKind
from tests.artifact_factory import make_artifact
from tests.gate_rig import MODEL, make_rig


def test_a_release_signed_before_production_is_refused_under_a_higher_version(
    tmp_path: Path,
) -> None:
    rig = make_rig(tmp_path)
    released = rig.gate("1.1.0")
    assert released.verdict.verdict is VerdictKind.PROMOTE, released.verdict.summary
    bill = json.loads((released.evidence_dir / "bom.cdx.json").read_text())
    listed = {one["bom-ref"]: one for one in bill["components"]}
    assert listed.keys() >= {"candidate", "golden", "engine"}
    assert {one["name"] for one in listed["candidate"]["components"]} >= {"model.safetensors"}

    held = rig.registry.production(MODEL)
    assert held is not None
    assert rig.registry.tagged(held, "assay.sequence") == "2"

    old = make_artifact(tmp_path / "old", seed=77)
    signed = tmp_path / "signed"
    rig.store.sign(
        old, signed, model=MODEL, version="2.0.0", private_key=rig.keys.private, sequence=1
    )
    for path in signed.iterdir():
        rig.store.transport.files[f"{MODEL}/2.0.0/{path.name}"] = path.read_bytes()
    launched = len(rig.server.launched)
    replayed = rig.gate("2.0.0")
    assert replayed.verdict.verdict is VerdictKind.BLOCK
    assert "[replay]" in replayed.verdict.summary
    assert len(rig.server.launched) == launched, "nothing of it was served"
