"""Writes docs/schemas/: a JSON Schema of every document, generated from the code that reads it.

    python scripts/write_schemas.py

The policy's schema also holds the options of every evaluator, with the descriptions of their
docstrings, so that an editor completes and checks `policy.yaml`. A test holds the files current.
"""

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from assay.artifact import Manifest, Metadata, ReleaseManifest
from assay.documents import Document
from assay.engine_samples import EngineRow
from assay.golden_health.rules import HealthRules
from assay.golden_import import GoldenMapping
from assay.golden_manifest import GoldenStatement
from assay.golden_set import GoldenRow, ProbeRow
from assay.load.profile import LoadProfile
from assay.load.report import LoadReport
from assay.notifications.configuration import Notifications
from assay.policy import Policy
from assay.predictions import LatencyRow, PredictionRow
from assay.relabelling.history import HistoryLine
from assay.relabelling.ledger import LedgerRow
from assay.relabelling.policy import RelabelPolicy
from assay.relabelling.proposal import Summary
from assay.review.manifest import ReviewManifest
from assay.review.policy import ReviewPolicy
from assay.review.requests import RequestRow
from assay.serving_profile import Serving
from assay.task import Task
from assay.trust import TrustDocument
from assay.tuning.document import TuningReport
from assay.tuning.space import TuningPlan
from assay.verdict_document import ContextDocument, VerdictDocument
from evaluators.base import Evaluator
from evaluators.explanation import option_descriptions
from evaluators.registry import available
from flows.journal import Line
from flows.teardown import Teardown

FOLDER = Path(__file__).parents[1] / "docs" / "schemas"

DOCUMENTS: dict[str, type[Document]] = {
    "golden_case": GoldenRow,
    "golden_history": HistoryLine,
    "golden_answers": LedgerRow,
    "golden_proposal": Summary,
    "relabel": RelabelPolicy,
    "golden_mapping": GoldenMapping,
    "golden_health": HealthRules,
    "golden_manifest": GoldenStatement,
    "probe": ProbeRow,
    "prediction": PredictionRow,
    "latency_sample": LatencyRow,
    "engine_sample": EngineRow,
    "load_report": LoadReport,
    "notifications": Notifications,
    "policy": Policy,
    "production_request": RequestRow,
    "review": ReviewPolicy,
    "review_manifest": ReviewManifest,
    "run": ContextDocument,
    "run_journal_line": Line,
    "teardown": Teardown,
    "serving": Serving,
    "task": Task,
    "tune": TuningPlan,
    "tuning": TuningReport,
    "verdict": VerdictDocument,
    "trust": TrustDocument,
    "artifact_metadata": Metadata,
    "artifact_manifest": Manifest,
    "artifact_release": ReleaseManifest,
}


def schemas() -> dict[str, dict[str, Any]]:
    """Returns file name → JSON Schema (2020-12)."""
    found = {}
    for name, document in DOCUMENTS.items():
        schema = document.model_json_schema(by_alias=True)
        if document is Policy:
            _with_evaluators(schema)
            _with_load_profiles(schema)
        found[f"{name}.schema.json"] = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            **schema,
        }
    return found


def as_text(schema: dict[str, Any]) -> str:
    """Returns the bytes of a schema file as text."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _with_evaluators(schema: dict[str, Any]) -> None:
    entries = schema["properties"]["evaluators"]
    entries["properties"] = {name: _options(kind) for name, kind in available().items()}
    entries["additionalProperties"] = False


def _with_load_profiles(schema: dict[str, Any]) -> None:
    """Describes a profile's fields; none is required, since a named profile has them all."""
    profile = LoadProfile.model_json_schema()
    schema.setdefault("$defs", {}).update(profile.pop("$defs"))
    del profile["properties"]["name"], profile["required"]
    schema["properties"]["load"]["additionalProperties"] = profile


def _options(kind: type[Evaluator]) -> dict[str, Any]:
    schema = TypeAdapter(kind).json_schema()
    described = option_descriptions(kind)
    for name, option in schema.get("properties", {}).items():
        if name in described:
            option["description"] = described[name]
    schema["additionalProperties"] = False
    schema["description"] = (kind.__doc__ or "").split("\n")[0]
    return schema


def main() -> None:
    """Writes every schema, and removes files of documents that are no more."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    current = schemas()
    for path in FOLDER.glob("*.schema.json"):
        if path.name not in current:
            path.unlink()
    for name, schema in current.items():
        (FOLDER / name).write_text(as_text(schema), encoding="utf-8")


if __name__ == "__main__":
    main()
