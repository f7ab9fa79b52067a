"""The honest world that hostile releases and hostile evidence are made from.

One folder, made once: a store on disk with two signed versions of a model and one of another, the
keys, the evidence of a gate that said promote and of one that said block, and an audit log.
"""

from datetime import UTC, datetime
from pathlib import Path

from assay.adapters.store_fsspec import FsspecStore
from assay.trust import TrustedKeys, trusted_key
from assay.verdict_trust import VerdictTrust
from tests.adversarial.corpus import copied
from tests.artifact_factory import Keys, make_artifact, make_keys
from tests.gate_rig import MODEL, make_rig

OTHER_MODEL = "another-model"
SIGNED_AT = datetime(2026, 7, 1, 12, 0, 0, tzinfo=UTC)


def make_world(folder: Path) -> None:
    """Makes the honest world: `store/`, `keys/`, `evidence/`, `trust.yaml`, `audit.jsonl`."""
    rig = make_rig(folder / "rig")
    copied(rig.gate("1.0.0").evidence_dir, folder / "evidence" / "promote")
    copied(rig.gate("1.2.0").evidence_dir, folder / "evidence" / "block")
    copied(rig.folder / "keys", folder / "keys")
    (folder / "keys" / "gate.key").write_bytes((rig.folder / "home" / "gate.key").read_bytes())
    make_keys(folder / "keys", "stranger")
    (folder / "trust.yaml").write_bytes((rig.folder / "trust.yaml").read_bytes())
    (folder / "audit.jsonl").write_bytes(rig.settings.audit_log.read_bytes())
    for model, version, seed in (
        (MODEL, "1.0.0", 0),
        (MODEL, "1.1.0", 1),
        (OTHER_MODEL, "1.0.0", 2),
    ):
        source = make_artifact(folder / "sources" / f"{model}-{version}", seed=seed)
        store(folder).publish(
            source, model=model, version=version, private_key=keys(folder, "release").private
        )


def keys(folder: Path, name: str) -> Keys:
    """A key pair of the world."""
    return Keys(folder / "keys" / f"{name}.key", folder / "keys" / f"{name}.pub")


def store(folder: Path, trusted: TrustedKeys | None = None, **validity: object) -> FsspecStore:
    """The world's store, which trusts the release key, or only within a validity."""
    release = trusted_key(keys(folder, "release").public, name="release", **validity)  # type: ignore[arg-type]
    return FsspecStore(
        str(folder / "store"), trusted or TrustedKeys((release,)), clock=lambda: SIGNED_AT
    )


def trust(folder: Path) -> VerdictTrust:
    """Whose signatures count for verdicts."""
    return VerdictTrust.load(folder / "trust.yaml")


def version(folder: Path, name: str = "1.0.0", model: str = MODEL) -> Path:
    """Where the store keeps a version."""
    return folder / "store" / model / name
