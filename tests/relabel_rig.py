"""Exports as people's answers make them, and an ingestion of them in memory's time."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from assay import digests
from assay.adapters.in_memory_golden import InMemoryGoldenValidator
from assay.golden_set import GoldenSet, golden_digest
from assay.records import GoldenCase
from assay.relabelling.history import history_lines
from assay.relabelling.ledger import ledger_lines
from assay.relabelling.policy import RelabelPolicy
from assay.relabelling.sketches import salt_id
from flows.relabel_ingestion import Ingested, IngestRequest, ingest

LABELS = ("joy", "anger", "fear")
SALT = b"a salt of the tests, no secret"
Row = dict[str, Any]
_WORDS = ("amber", "birch", "cedar", "dunes", "ember", "fjord", "grove", "haven", "inlet", "knoll")


def shared_data(name: str) -> Path:
    """A file of the data that is not in the repository; without it the test is skipped."""
    folder = os.environ.get("ASSAY_SHARED_DATA")
    path = (Path(folder) if folder else Path(__file__).parents[2] / "shared" / "data") / name
    if not path.is_file():
        pytest.skip(f"needs {name}: set ASSAY_SHARED_DATA to the folder that holds it")
    return path


def text_of(number: int) -> str:
    """A text that no other number has, nor nearly."""
    digits = f"{number * 7919 % 10**6:06}"
    return " ".join(_WORDS[int(d)] + "-" * at for at, d in enumerate(digits)) + f" {digits}"


def answer(case: str, who: str, label: str | None, **changes: Any) -> Row:
    """One line of a flat export."""
    number = int("".join(c for c in case if c.isdigit()) or "0")
    return {
        "id": case,
        "text": text_of(number),
        "lang": "en",
        "annotator": who,
        "label": label,
        "at": f"2026-11-23T12:{number % 60:02}:00Z",
        "lead_time_s": 5.0,
    } | changes


def agreed(
    case: str, label: str, people: Iterable[str] = ("an", "binh", "chi"), **more: Any
) -> list[Row]:
    """The answers of people who agree."""
    return [answer(case, who, label, **more) for who in people]


def case(name: str, text: str, label: str, **changes: Any) -> GoldenCase:
    """A golden case."""
    fields: Row = {
        "id": name,
        "text": text,
        "text_sha256": digests.text_sha256(text),
        "label": label,
        "lang": "en",
        "source": "handwritten",
        "stratum": "core",
        "slices": (),
        "added_in": "1.0.0",
    }
    return GoldenCase(**fields | changes)


BASE = (
    case("g-1", "the harbour lights went out one by one", "joy"),
    case("g-2", "nobody told me that the bridge was closed", "anger"),
)


def golden(cases: Sequence[GoldenCase] = BASE) -> GoldenSet:
    """A golden set."""
    ordered = tuple(sorted(cases, key=lambda one: one.id))
    return GoldenSet(cases=ordered, digest=golden_digest(ordered), revision="test")


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Writes rows as JSONL."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def ingest_file(export: Path, folder: Path, before: GoldenSet, **changes: Any) -> Ingested:
    """Ingests a file into the set whose history and ledger lie in `folder`."""
    fields: Row = {
        "export": export,
        "golden": before,
        "folder": folder,
        "labels": LABELS,
        "question": "emotion",
        "policy": RelabelPolicy(),
        "salt": SALT,
        "version": "1.1.0",
    }
    request = IngestRequest(**fields | changes)
    return ingest(request, InMemoryGoldenValidator(), lambda line: None)


def ingest_rows(
    folder: Path, rows: Iterable[Mapping[str, Any]], before: GoldenSet | None = None, **changes: Any
) -> Ingested:
    """Ingests rows, and leaves the history and ledger that follow in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    export = write_rows(folder / "export.jsonl", rows)
    found = ingest_file(export, folder, golden() if before is None else before, **changes)
    ledger = ledger_lines(found.ledger.items.items(), salt_id(SALT))
    (folder / "history.jsonl").write_bytes(b"".join(history_lines(found.history)))
    (folder / "answers.jsonl").write_bytes(b"".join(ledger))
    return found


def reasons(found: Ingested) -> dict[str, str]:
    """Why each text of the export is what it is, by id: `status: reason`."""
    said = {key[0]: f"{fate.status}: {fate.reason}" for key, fate in found.fates()}
    return said | {
        str(one.id): f"{'quarantined' if one.quarantined else 'rejected'}: {one.reason}"
        for one in found.refusals
    }
