"""Every reader of bytes that somebody else wrote, with a valid document to mutate."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from assay import digests
from assay.adapters.labelling_feedback import read_lines
from assay.adapters.load_files import read_requests
from assay.adapters.metrics_text import read_metrics
from assay.adapters.relabel_export import Export
from assay.adapters.signer_dsse import sign_statement
from assay.adapters.store_seals import read_release
from assay.approvals import read_approval
from assay.artifact import Manifest, Metadata, release_manifest
from assay.artifact_files import ArtifactFile, check_values, read_json
from assay.attestation_statement import VerdictStatement
from assay.audit_log import AuditLog
from assay.awq_layout import ARCHITECTURES, read_config
from assay.chat_template_lint import lint
from assay.documents import parse_json, read_text, validate
from assay.engine_samples import read_engine_samples
from assay.evidence import read_context
from assay.golden_set import load_golden, load_probes
from assay.load.profile import LoadProfile
from assay.policy import load_policy
from assay.predictions import read_latency, read_predictions
from assay.relabelling.history import read_history
from assay.relabelling.ledger import read_ledger
from assay.relabelling.policy import load_relabel_policy
from assay.relabelling.proposal import load_proposal
from assay.safetensors_header import read_header
from assay.serving_audit_files import read_containers
from assay.serving_profile import load_serving
from assay.task import load_task
from assay.trust import TrustedKeys, read_image_policy
from assay.tuning.space import load_plan
from assay.verdict_document import verdict_from_json
from assay.verdict_trust import VerdictTrust
from assay.vulnerabilities import read_scan
from flows.journal import read_events
from tests.adversarial.fuzz_documents import (
    ARGILLA,
    AT,
    CASE,
    COMPOSE,
    DIGEST,
    FLAT,
    GRYPE,
    LABEL_STUDIO,
    LATENCY,
    LEDGER,
    LOG,
    MANIFEST,
    METADATA,
    METRICS,
    POD,
    PREDICTION,
    REQUEST,
    RUN,
    TRIVY,
)
from tests.adversarial.mutations import Text, as_json, as_lines
from tests.artifact_factory import TEMPLATE, config, header_bytes, make_keys, tensors

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One reader.

    Args:
        name: what it reads.
        valid: what it accepts.
        read: reads a file of it; raises AssayError or nothing.
        write: makes bytes of `valid` or of what is near it.
        file: the file's name, where the reader cares.
    """

    name: str
    valid: Any = field(repr=False)
    read: Callable[[Path], object] = field(repr=False)
    write: Text = field(default=as_json, repr=False)
    file: str = "document"


def _yaml(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def plain(value: Any) -> Any:
    """What YAML holds, as JSON would."""
    return json.loads(json.dumps(value, default=str))


def _as_text(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else as_json(value)


def _safetensors(value: Any) -> bytes:
    header = as_json(value)
    size = sum(array.nbytes for array in tensors().values())
    return len(header).to_bytes(8, "little") + header + bytes(size)


def _weights(path: Path) -> object:
    return read_header(ArtifactFile(name="model.safetensors", path=path, size=path.stat().st_size))


def _artifact_json(path: Path) -> object:
    value = read_json(ArtifactFile(name=path.name, path=path, size=path.stat().st_size))
    check_values(value, path.name)
    return value


def _model_config(path: Path) -> object:
    value = read_json(ArtifactFile(name=path.name, path=path, size=path.stat().st_size))
    return read_config(value, ARCHITECTURES)


def _json(model: Any) -> Callable[[Path], object]:
    return lambda path: validate(parse_json(read_text(path), str(path)), model, str(path))


def _verdict(path: Path) -> object:
    return verdict_from_json(parse_json(read_text(path), str(path)), str(path))


def _signing(folder: Path) -> list[Target]:
    """Statements whose signature holds: only then is what they say looked at."""
    keys = make_keys(folder, "release")
    (folder / "trust.yaml").write_text(
        "schema_version: 1\ngates: [{name: gate, public_key: release.pub}]\n"
    )
    people = make_keys(folder, "eve")
    (folder / "people.yaml").write_text(
        "schema_version: 1\ngates: [{name: gate, public_key: release.pub}]\n"
        "approvers: [{name: Eve, roles: [approve], public_key: eve.pub}]\n"
    )
    trust = VerdictTrust.load(folder / "people.yaml")
    release = release_manifest(
        model="m", version="1.0.0", digest=DIGEST, chat_template_sha256=None, sequence=1,
        created_at=datetime(2026, 7, 1, tzinfo=UTC),
    )  # fmt: skip
    envelope = json.loads(sign_statement(release.canonical(), keys.private))
    approval = {
        "_type": "https://in-toto.io/Statement/v1",
        "predicateType": "urn:assay:approval:v1",
        "subject": [{"name": "m/1.0.0", "digest": {"sha256": "ab" * 32}}],
        "predicate": {
            "schema_version": 1, "kind": "approval", "by": "Eve", "run_id": "r",
            "change": "standard", "verdict_digest": DIGEST, "evidence_digest": DIGEST,
            "findings": [], "reason": None, "signed_at": AT, "expires_at": None,
        },
    }  # fmt: skip

    def opened(path: Path) -> object:
        return read_release(
            path.read_bytes(), keys.trusted, model="m", version="1.0.0", where="store"
        )

    def signed_release(path: Path) -> object:
        """Signs what is in the file, whatever it is, and opens that."""
        return read_release(
            sign_statement(path.read_bytes(), keys.private), keys.trusted, model="m",
            version="1.0.0", where="store",
        )  # fmt: skip

    def signed_approval(path: Path) -> object:
        return read_approval(sign_statement(path.read_bytes(), people.private), trust, "approval")

    return [
        Target(name="release envelope", valid=envelope, read=opened),
        Target(
            name="signed release", valid=json.loads(release.canonical()), read=signed_release
        ),
        Target(name="signed approval", valid=approval, read=signed_approval),
        Target(
            name="trust",
            valid={
                "schema_version": 1,
                "keys": [{"name": "k", "public_key": str(keys.public), "valid_from": AT}],
                "gates": [{"name": "g", "public_key": str(keys.public)}],
                "artifacts": {"chat_templates": [
                    {"sha256": "ab" * 32, "rendering_sha256": "ab" * 32, "reviewed": True}]},
                "images": {"allowed": [DIGEST], "minimum_version": "0.32.0", "waivers": [
                    {"id": "CVE-1", "reason": "x", "expires": "2026-12-31"}]},
            },
            read=lambda path: (TrustedKeys.load(path), read_image_policy(path)),
        ),
    ]  # fmt: skip


def _export(path: Path) -> object:
    return list(Export(path, "emotion").read())


def _metrics(path: Path) -> object:
    """The one reader whose caller takes a ValueError as "the engine did not say"."""
    try:
        return read_metrics(path.read_bytes().decode("utf-8", "replace"))
    except ValueError:
        return None


def _proposal(path: Path) -> object:
    return load_proposal(path.parent)


def targets(folder: Path) -> list[Target]:
    """All readers; keys and the like go to a folder."""
    return [
        Target(name="policy", valid=plain(_yaml("policy.yaml")), read=load_policy),
        Target(name="task", valid=plain(_yaml("task.yaml")), read=load_task),
        Target(name="serving", valid=plain(_yaml("serving.yaml")), read=load_serving),
        Target(name="tune", valid=plain(_yaml("tune.yaml")), read=load_plan),
        Target(name="relabel", valid={"question": "q", "annotators": {"honeypots": 5}},
               read=load_relabel_policy),
        Target(name="load profile", valid={
            "arrivals": {"kind": "poisson", "rate_per_s": 5.0}, "prompts": {"kind": "golden"},
            "duration_s": 10.0}, read=_json(LoadProfile)),
        *_signing(folder),
        Target(name="manifest", valid=MANIFEST, read=_json(Manifest)),
        Target(name="metadata", valid=METADATA, read=_json(Metadata)),
        Target(name="artifact document", valid=config(), read=_artifact_json, file="config.json"),
        Target(name="model configuration", valid=config(), read=_model_config, file="config.json"),
        Target(name="weights", valid=header_bytes(tensors(), {"format": "pt"}), read=_weights,
               write=_safetensors),
        Target(name="chat template", valid=TEMPLATE, write=_as_text,
               read=lambda path: lint(
                   path.read_bytes().decode("utf-8", "replace"), name="template")),
        Target(name="golden set", valid=[CASE], write=as_lines,
               read=lambda path: load_golden(path, ["joy", "anger"])),
        Target(name="probes", valid=[{"id": "p", "text": "x", "kind": "toxicity", "lang": "en"}],
               write=as_lines, read=load_probes),
        Target(name="predictions", valid=[PREDICTION], write=as_lines, read=read_predictions),
        Target(name="latency samples", valid=[LATENCY], write=as_lines, read=read_latency),
        Target(name="engine samples", write=as_lines, read=read_engine_samples, valid=[
            {"at_s": 0.5, "running": 1.0, "ttft_buckets": [[0.1, 3.0]],
             "gpus": [{"index": 0, "busy_share": 0.5}]}]),
        Target(name="timed requests", valid=[REQUEST], write=as_lines,
               read=lambda path: list(read_requests(path))),
        Target(name="metrics", valid=METRICS, write=_as_text, read=_metrics),
        Target(name="Trivy report", valid=TRIVY, read=read_scan),
        Target(name="Grype report", valid=GRYPE, read=read_scan),
        Target(name="compose file", valid=COMPOSE, read=read_containers),
        Target(name="Kubernetes manifest", valid=POD, read=read_containers),
        Target(name="run context", valid=RUN, read=read_context),
        Target(name="verdict", valid={"verdict": "block", "findings": []}, read=_verdict),
        Target(name="verdict statement", valid={"predicate": {}}, read=_json(VerdictStatement)),
        Target(name="audit log", valid=LOG, write=_canonical_lines,
               read=lambda path: AuditLog(path).verify()),
        Target(name="run journal", write=as_lines, read=lambda path: list(read_events(path)),
               valid=[{"number": 1, "event": {
                   "state": "opened", "run_id": "r", "who": "x", "request": {"a": [1]},
                   "documents": {}, "tools": {}, "started_at": AT}}]),
        Target(name="Label Studio export", valid=LABEL_STUDIO, read=_export),
        Target(name="Argilla export", valid=ARGILLA, read=_export),
        Target(name="flat export", valid=FLAT, read=_export, write=as_lines),
        Target(name="answer ledger", valid=LEDGER, write=as_lines,
               read=lambda path: read_ledger(read_text(path), str(path), "s")),
        Target(name="case history", valid=[{"id": "h", "case_id": "c"}], write=as_lines,
               read=lambda path: read_history(read_text(path), str(path))),
        Target(name="proposal", valid={"digests": {}}, read=_proposal, file="summary.json"),
        Target(name="feedback", valid=[{"request_id": "r", "text": "x", "label": "joy"}],
               write=as_lines, read=lambda path: list(read_lines([path]))),
    ]  # fmt: skip


def _canonical_lines(value: Any) -> bytes:
    rows = value if isinstance(value, list) else [value]
    try:
        return b"".join(digests.canonical_json(row) + b"\n" for row in rows)
    except ValueError:  # what JSON cannot carry canonically goes in as it is
        return as_lines(value)
