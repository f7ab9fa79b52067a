"""What a gate looks like in MLflow: names, tags, parameters and tables, as plain values.

Decides every key and every table that MLflow gets to see. No case's text is among them: golden
cases appear by their ids. Writing them is `registry_runs`', descriptions are `registry_pages`'.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assay import digests, evidence
from assay.golden_set import GoldenSet
from assay.ports import GateRecord
from assay.records import Prediction, Role, VerdictKind, WayBack
from assay.verdict import verdict_bytes

LEDGER = "assay.ledger."
VERDICT = "assay.verdict"
VERDICT_DIGEST = "assay.verdict_digest"
RUN_ID = "assay.run_id"
VERSION = "assay.version"
DIGEST = "assay.artifact_digest"
GATE_RUN = "assay.gate_run"
REASON = "assay.reason"
SEQUENCE = "assay.sequence"
VERDICT_FILE = "verdict.json"
AUDIT_HEAD = "assay.audit_head"
"""Tag of a gate's run: how long the audit log was when its promotion was asked for."""

CONFUSION_FILE = "confusion.png"
"""The picture of a model's answers: MLflow lays files of one name beside each other."""

DIFFERENCES_FILE = "differences.png"

# Column sizes of MLflow's tables: SQLite lets longer values pass, PostgreSQL does not.
_REASON_CHARACTERS = 4000
_PARAM_CHARACTERS = 5000
_NOT_IN_A_KEY = re.compile(r"[^\w.\- :/]")


def counts(verdict: str | None) -> bool:
    """Whether a run's verdict tag is one that something was learnt from."""
    return verdict is not None and verdict != VerdictKind.INVALID.value


def parent_tags(gate: GateRecord) -> dict[str, str]:
    """Returns the tags of a gate's run; the verdict itself is added last, by the writer."""
    context = gate.context
    tags = {
        "assay.kind": "gate",
        RUN_ID: context.run_id,
        VERDICT_DIGEST: digests.of_bytes(verdict_bytes(gate.verdict)),
    }
    if context.who:
        tags["mlflow.user"] = context.who
    for role, ref in (("candidate", context.candidate), ("production", context.production)):
        if ref is not None:
            tags[f"assay.{role}"] = ref.version
            tags[f"assay.{role}_digest"] = ref.digest
    return tags | ledger_tags(gate.ledger_key)


def move_back_tags(run_id: str, way: WayBack) -> dict[str, str]:
    """Returns the tags of the run that records a move back."""
    return {
        "assay.kind": "rollback",
        RUN_ID: run_id,
        "assay.from": way.current.version,
        "assay.to": way.target.version,
        "assay.from_digest": way.current.digest,
        "assay.to_digest": way.target.digest,
    }


def ledger_tags(key: Mapping[str, str]) -> dict[str, str]:
    """Returns the tags by which a verdict on the same inputs is found again."""
    return {LEDGER + name: value for name, value in key.items()}


def version_tags(gate: GateRecord, gate_run: str) -> dict[str, str]:
    """Returns what a registered version says of its latest gate."""
    tags = {
        VERDICT: gate.verdict.verdict.value,
        GATE_RUN: gate_run,
        REASON: gate.verdict.summary[:_REASON_CHARACTERS],
    }
    return tags if gate.sequence is None else tags | {SEQUENCE: str(gate.sequence)}


def model_params(gate: GateRecord, role: Role) -> dict[str, str]:
    """Returns how one model of a gate was measured; what is not known is absent."""
    context = gate.context
    own = context.candidate if role is Role.CANDIDATE else context.production
    engine = context.engine
    if role is Role.PRODUCTION and context.production_engine is not None:
        engine = context.production_engine
    params = {"model": gate.model, "role": role.value, "golden": gate.golden.revision}
    if own is not None:
        params["version"] = own.version
    if engine is not None:
        params |= {
            "engine": f"{engine.engine} {engine.version}",
            "engine_image": engine.image,
            "engine_arguments": " ".join(engine.arguments),
            "profile": engine.profile,
            "hardware": engine.hardware,
        }
    return {key: value[:_PARAM_CHARACTERS] for key, value in params.items() if value}


def metric_keys(metrics: Mapping[str, float]) -> dict[str, float]:
    """Returns metrics under keys that MLflow takes, in their order.

    A label or slice may hold any character; one that MLflow refuses is written as its code point
    (`lang+vi` becomes `lang:2b:vi`), so that two names stay two names.
    """
    return {
        _NOT_IN_A_KEY.sub(lambda found: f":{ord(found.group()):x}:", name): metrics[name]
        for name in sorted(metrics)
    }


def predictions_table(rows: Sequence[Prediction], golden: GoldenSet) -> dict[str, list[Any]]:
    """Returns the answers to golden cases as columns, without any text."""
    cases = {case.id: case for case in golden.cases}
    kept = [row for row in rows if row.case_id in cases]
    return {
        "case_id": [row.case_id for row in kept],
        "repeat": [row.repeat for row in kept],
        "golden": [cases[row.case_id].label for row in kept],
        "predicted": [row.label for row in kept],
        "status": [row.status.value for row in kept],
        "lang": [cases[row.case_id].lang for row in kept],
        "e2e_ms": [row.e2e_ms for row in kept],
    }


def dataset_fields(golden: GoldenSet) -> dict[str, str]:
    """Returns the golden set as MLflow's dataset: its digest and revision, never its rows.

    MLflow's own digest field holds 36 characters; the whole digest is in the source.
    """
    return {
        "name": "golden",
        "digest": golden.digest.removeprefix("sha256:")[:36],
        "source_type": "dvc",
        "source": json.dumps({"revision": golden.revision, "digest": golden.digest}),
        "profile": json.dumps({"num_rows": golden.size}),
    }


def signed_files(folder: Path) -> list[Path]:
    """Returns the signed statements of an evidence folder: the gate's, and people's."""
    found = [folder / evidence.ATTESTATION, *sorted((folder / evidence.APPROVALS).glob("*.json"))]
    return [path for path in found if path.is_file()]


def folder_of(path: Path, folder: Path) -> str | None:
    """Returns the artifact folder of a file of the evidence; None for its root."""
    inside = path.parent.relative_to(folder).as_posix()
    return None if inside == "." else inside
