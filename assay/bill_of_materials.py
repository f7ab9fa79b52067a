"""The bill of materials of a gate: what the verdict is about, and what it was reached with.

Decides what is listed, as CycloneDX 1.7: the candidate and production (machine-learning models,
each file with its digest, licence and base model), the golden set (data), the engine's image
(container), and every package installed beside the gate, with whether the lock file names that
very version. Built from the evidence alone, so that anybody can build it again; the library's own
validator has the last word.
"""

import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import Distribution, distributions
from pathlib import Path

from cyclonedx import spdx
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType, Pedigree
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output.json import JsonV1Dot7
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from packaging.utils import canonicalize_name

from assay.artifact import MANIFEST, METADATA, Manifest, Metadata
from assay.documents import parse_json, read_text, validate
from assay.errors import EvaluatorError
from assay.golden_set import GoldenSet
from assay.records import ArtifactRef, EngineIdentity, Role, RunContext

FILE = "bom.cdx.json"
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:assay:bill-of-materials")


def write_bill(
    folder: Path,
    *,
    context: RunContext,
    golden: GoldenSet | None,
    seals: Path,
    lock: Path | None,
    packages: Iterable[Distribution] | None = None,
) -> Path:
    """Writes `bom.cdx.json` into an evidence folder and returns its path.

    Args:
        folder: the evidence folder.
        context: the run; its candidate, production and engine are listed.
        golden: the golden set, None where there was none.
        seals: holds, by role, what the store sealed each artifact with.
        lock: the requirements file that was installed from, where there is one.
        packages: what is installed; by default in this process's environment.

    Raises:
        EvaluatorError: what was built is not CycloneDX: a defect of ours, never a silent one.
    """
    gate = _gate(context)
    subjects = [*_models(context, seals), *_golden(golden), *_image(context.engine)]
    installed = _installed() if packages is None else _versions(packages)
    # Packages all have one form, which is tested; to validate hundreds takes longer than to judge.
    _check(_rendered(context, gate, subjects))
    text = _rendered(context, gate, [*subjects, *_packages(installed, lock)])
    path = folder / FILE
    path.write_text(text + "\n", encoding="utf-8")
    return path


def _rendered(context: RunContext, gate: Component, parts: list[Component]) -> str:
    bill = Bom(
        serial_number=uuid.uuid5(_NAMESPACE, context.run_id),
        metadata=BomMetaData(
            timestamp=_moment(context.finished_at or context.started_at), component=gate
        ),
        components=parts,
    )
    if parts:
        bill.register_dependency(gate, parts)
    return JsonV1Dot7(bill).output_as_string(indent=1)


def _check(text: str) -> None:
    fault = JsonStrictValidator(SchemaVersion.V1_7).validate_str(text)
    if fault is not None:
        raise EvaluatorError(
            f"{FILE}: what was built is not CycloneDX 1.7 ({str(fault)[:200]}); report this defect"
        )


@cache
def _installed() -> Mapping[str, str]:
    return _versions(distributions())


def _versions(packages: Iterable[Distribution]) -> Mapping[str, str]:
    stated = (one.metadata for one in packages)
    return {canonicalize_name(one["Name"]): one["Version"] for one in stated if one["Name"]}


def _moment(stated: str | None) -> datetime:
    moment = datetime.fromisoformat(stated) if stated else datetime.fromtimestamp(0, UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _gate(context: RunContext) -> Component:
    return Component(
        name="assay-gate",
        type=ComponentType.APPLICATION,
        version=context.tools.get("assay-gate"),
        bom_ref="gate",
        properties=[
            Property(name="assay:run", value=context.run_id),
            *(
                Property(name=f"assay:digest:{name}", value=value)
                for name, value in sorted(context.digests.items())
            ),
        ],
    )


def _models(context: RunContext, seals: Path) -> Iterator[Component]:
    roles = {Role.CANDIDATE: context.candidate, Role.PRODUCTION: context.production}
    for role, ref in roles.items():
        if ref is not None:
            yield _model(role, ref, seals / role.value)


def _model(role: Role, ref: ArtifactRef, sealed: Path) -> Component:
    """Lists a model; what its publisher says of it only where the store's seals were kept."""
    stated = _metadata(sealed / METADATA)
    files: list[Component] = []
    if (sealed / MANIFEST).is_file():
        value = parse_json(read_text(sealed / MANIFEST), MANIFEST)
        manifest = validate(value, Manifest, MANIFEST)
        if manifest.digest == ref.digest:
            files = [
                Component(
                    name=name,
                    type=ComponentType.FILE,
                    bom_ref=f"{role.value}/{name}",
                    hashes=[_hash(entry.sha256)],
                    properties=[Property(name="assay:size_bytes", value=str(entry.size))],
                )
                for name, entry in sorted(manifest.files.items())
            ]
    described = {
        "assay:role": role.value,
        "assay:quantization": stated and stated.quantization,
        "assay:training_date": stated and stated.training_date,
        "assay:git_commit": stated and stated.git_commit,
    }
    base = stated.base_model if stated else None
    return Component(
        name=ref.model,
        version=ref.version,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=role.value,
        hashes=[_hash(ref.digest)],
        licenses=[_licence(stated.licence)] if stated and stated.licence else None,
        pedigree=Pedigree(
            ancestors=[Component(name=base, type=ComponentType.MACHINE_LEARNING_MODEL)]
        )
        if base
        else None,
        components=files,
        properties=[
            Property(name=name, value=str(value)) for name, value in described.items() if value
        ],
    )


def _metadata(path: Path) -> Metadata | None:
    if not path.is_file():
        return None
    return validate(parse_json(read_text(path), METADATA), Metadata, METADATA)


def _licence(words: str) -> DisjunctiveLicense:
    """An SPDX identifier where it is one, else the publisher's own words."""
    identifier = spdx.fixup_id(words)
    return DisjunctiveLicense(id=identifier) if identifier else DisjunctiveLicense(name=words)


def _golden(golden: GoldenSet | None) -> Iterator[Component]:
    if golden is not None:
        yield Component(
            name="golden set",
            version=golden.revision or "working tree",
            type=ComponentType.DATA,
            bom_ref="golden",
            hashes=[_hash(golden.digest)],
            properties=[Property(name="assay:cases", value=str(golden.size))],
        )


def _image(engine: EngineIdentity | None) -> Iterator[Component]:
    if engine is None:
        return
    name, _, digest = engine.image.rpartition("@")
    hashed = re.fullmatch(r"sha256:[0-9a-f]{64}", digest) is not None
    yield Component(
        name=name or engine.engine,
        version=engine.version,
        type=ComponentType.CONTAINER if engine.backend != "process" else ComponentType.PLATFORM,
        bom_ref="engine",
        hashes=[_hash(digest)] if hashed else None,
        properties=[
            Property(name="assay:backend", value=engine.backend),
            Property(name="assay:engine", value=engine.engine),
        ],
    )


def _packages(installed: Mapping[str, str], lock: Path | None) -> Iterator[Component]:
    pinned = dict(_PINNED.findall(read_text(lock))) if lock is not None else {}
    locked: dict[str, str] = {canonicalize_name(name): pinned[name] for name in pinned}
    for name, version in sorted(installed.items()):
        yield Component(
            name=name,
            version=version,
            type=ComponentType.LIBRARY,
            bom_ref=f"package/{name}",
            purl=PackageURL(type="pypi", name=name, version=version),
            properties=[
                Property(name="assay:locked", value=str(locked.get(name) == version).lower())
            ]
            if locked
            else None,
        )


def _hash(digest: str) -> HashType:
    return HashType(alg=HashAlgorithm.SHA_256, content=digest.removeprefix("sha256:"))
