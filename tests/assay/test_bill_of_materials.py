"""The bill of materials: what a verdict is about, in a form that other tools read."""

import json
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.model.bom import Bom
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from assay.adapters.in_memory_store import InMemoryStore
from assay.bill_of_materials import write_bill
from assay.golden_set import GoldenSet
from assay.records import ArtifactRef, EngineIdentity, RunContext
from tests.artifact_factory import make_artifact, make_keys

IMAGE = "sha256:" + "c" * 64
GOLDEN = GoldenSet(cases=(), digest="sha256:" + "d" * 64, revision="golden-1.0")
METADATA = {"base_model": "Qwen/Qwen2-0.5B", "licence": "Apache-2.0", "git_commit": "abc123"}


class Package(Distribution):
    """An installed package that is not installed."""

    def __init__(self, name: str, version: str) -> None:
        self.text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"

    def read_text(self, filename: str) -> str | None:
        return self.text if filename == "METADATA" else None

    def locate_file(self, path: Any) -> Any:
        return Path(path)


def candidate(folder: Path) -> tuple[ArtifactRef, Path]:
    """Publishes and pulls an artifact; returns it with the seals of its role."""
    keys = make_keys(folder / "keys")
    store = InMemoryStore(keys.trusted)
    source = make_artifact(folder / "source", metadata=METADATA)
    store.publish(source, model="m", version="1.0.0", private_key=keys.private)
    pulled = store.pull("m", "1.0.0", folder / "pulled")
    seals = folder / "seals"
    seals.mkdir()
    (folder / "pulled/seals").rename(seals / "candidate")
    return pulled.ref, seals


def context(ref: ArtifactRef | None, **changes: Any) -> RunContext:
    engine = EngineIdentity(
        backend="docker", profile="cpu", engine="vllm", version="0.32.0",
        image=f"assay/vllm@{IMAGE}", arguments=(), hardware="cpu",
    )  # fmt: skip
    given: dict[str, Any] = {
        "run_id": "run-1",
        "candidate": ref,
        "engine": engine,
        "finished_at": "2026-07-01T12:00:00Z",
        "tools": {"assay-gate": "0.1.0"},
        "digests": {"policy": "sha256:" + "e" * 64},
    }
    return RunContext(**(given | changes))


def bill(folder: Path, run: RunContext, seals: Path, **changes: Any) -> dict[str, Any]:
    given = {"golden": GOLDEN, "lock": None, "packages": [Package("Foo_Bar", "1.2")]} | changes
    text = write_bill(folder, context=run, seals=seals, **given).read_text()
    assert JsonStrictValidator(SchemaVersion.V1_7).validate_str(text) is None
    Bom.from_json(json.loads(text))  # type: ignore[attr-defined]
    document: dict[str, Any] = json.loads(text)
    return document


def by_ref(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["bom-ref"]: one for one in document["components"]}


def test_everything_that_determines_a_verdict_is_listed(tmp_path: Path) -> None:
    ref, seals = candidate(tmp_path)
    document = bill(tmp_path, context(ref), seals)
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.7")
    found = by_ref(document)
    assert found.keys() == {"candidate", "golden", "engine", "package/foo-bar"}
    model = found["candidate"]
    assert (model["type"], model["version"]) == ("machine-learning-model", "1.0.0")
    assert model["hashes"] == [{"alg": "SHA-256", "content": ref.digest.removeprefix("sha256:")}]
    assert model["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert model["pedigree"]["ancestors"][0]["name"] == "Qwen/Qwen2-0.5B"
    files = {one["name"]: one["hashes"][0]["content"] for one in model["components"]}
    manifest = json.loads((seals / "candidate/manifest.json").read_text())["files"]
    assert files == {name: entry["sha256"] for name, entry in manifest.items()}
    assert found["golden"]["type"] == "data"
    assert found["golden"]["hashes"][0]["content"] == "d" * 64
    assert (found["engine"]["type"], found["engine"]["name"]) == ("container", "assay/vllm")
    assert found["engine"]["hashes"][0]["content"] == "c" * 64
    assert found["package/foo-bar"]["purl"] == "pkg:pypi/foo-bar@1.2"
    assert {"name": "assay:run", "value": "run-1"} in document["metadata"]["component"][
        "properties"
    ]


def test_the_same_run_has_the_same_bill(tmp_path: Path) -> None:
    ref, seals = candidate(tmp_path)
    assert bill(tmp_path, context(ref), seals) == bill(tmp_path, context(ref), seals)


def test_a_run_that_learnt_nothing_still_has_a_bill(tmp_path: Path) -> None:
    run = context(None, engine=None, finished_at=None)
    assert by_ref(bill(tmp_path, run, tmp_path, golden=None)).keys() == {"package/foo-bar"}


def test_seals_of_another_artifact_say_nothing_of_this_one(tmp_path: Path) -> None:
    _, seals = candidate(tmp_path)
    other = ArtifactRef(model="m", version="1.0.0", digest="sha256:" + "f" * 64)
    assert "components" not in by_ref(bill(tmp_path, context(other), seals))["candidate"]


@pytest.mark.parametrize(("version", "locked"), [("1.2", "true"), ("1.3", "false")])
def test_a_package_says_whether_the_lock_file_names_it(
    tmp_path: Path, version: str, locked: str
) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"foo-bar=={version} \\\n    --hash=sha256:{'0' * 64}\n    # via x\n")
    document = bill(tmp_path, context(None), tmp_path, lock=lock)
    assert by_ref(document)["package/foo-bar"]["properties"] == [
        {"name": "assay:locked", "value": locked}
    ]


def test_a_licence_in_the_publishers_own_words_is_kept(tmp_path: Path) -> None:
    ref, seals = candidate(tmp_path)
    path = seals / "candidate/metadata.json"
    path.chmod(0o600)
    path.write_text(path.read_text().replace("Apache-2.0", "for research only"))
    model = by_ref(bill(tmp_path, context(ref), seals))["candidate"]
    assert model["licenses"] == [{"license": {"name": "for research only"}}]
