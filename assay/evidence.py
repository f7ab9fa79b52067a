"""The evidence folder: all that is needed to re-derive a verdict, and nothing it must not hold.

::

    <folder>/
      verdict.json  run.json  policy.yaml  task.yaml  serving.yaml
      golden_index.jsonl  probes_index.jsonl      (everything but the texts: their SHA-256)
      candidate/  production/  anchor/
        predictions.jsonl  probe_answers.jsonl  latency.jsonl  engine_samples.jsonl
        latency_again.jsonl                     (production timed against itself, on request)
      report.html  timings.json                   (for people; not part of the verdict)
      bom.cdx.json                                (CycloneDX: model, golden set, image, packages)
      SHA256SUMS                                  (every file above)
      attestation.json                            (signed: the verdict and the digest of SHA256SUMS)
      approvals/*.json                            (signed by people, after the verdict)

Decides what is stored and how it is read back; what it means is the judgement's. No case text is
ever written here. `SHA256SUMS` is written last: a folder without it is not finished.
"""

import json
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from assay import digests
from assay.documents import parse_json, read_text, validate
from assay.engine_samples import engine_row
from assay.errors import ArtifactError
from assay.golden_set import index_row
from assay.predictions import place, to_json
from assay.records import (
    EngineSample,
    GoldenCase,
    LatencySample,
    Prediction,
    Probe,
    RunContext,
)
from assay.verdict_document import ContextDocument

SUMS = "SHA256SUMS"
ATTESTATION = "attestation.json"
UNFINISHED = "attestation.json.partial"
APPROVALS = "approvals"
"""What is signed after the folder was sealed vouches for the seal, so the seal leaves it out."""
MAX_FILE = 2**30
"""More than a million answers take."""
ANCHOR = "anchor"
"""Folder of the anchor release's answers, where the policy pins one."""


def context_to_json(context: RunContext) -> dict[str, Any]:
    """Returns a run's context as `run.json` and the verdict hold it."""
    value = asdict(context)
    plain: dict[str, Any] = json.loads(json.dumps(value))
    return plain


def read_context(path: Path) -> RunContext:
    """Reads `run.json`.

    Raises:
        ConfigError: the file is missing or not a run's context.
    """
    value = parse_json(read_text(path), str(path))
    return validate(value, ContextDocument, str(path)).to_record()


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes one JSON object a line, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as stream:
        for row in rows:
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    partial.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON document for people and programs, whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)


def write_indexes(folder: Path, cases: Sequence[GoldenCase], probes: Sequence[Probe]) -> None:
    """Stores the golden cases and the probes without their texts."""
    write_jsonl(folder / "golden_index.jsonl", map(index_row, cases))
    if probes:
        write_jsonl(folder / "probes_index.jsonl", map(index_row, probes))


def write_answers(
    folder: Path,
    *,
    predictions: Sequence[Prediction],
    probe_answers: Sequence[Prediction],
    latency: Sequence[LatencySample],
    engine: Sequence[EngineSample] = (),
    latency_again: Sequence[LatencySample] = (),
) -> None:
    """Stores one model's answers in its folder.

    They are in the order of case ids and repeats; latency and engine samples in the order in
    which they were taken.
    """
    by_case = {"predictions.jsonl": predictions, "probe_answers.jsonl": probe_answers}
    for name, rows in by_case.items():
        if rows:
            ordered = sorted(rows, key=place)
            write_jsonl(folder / name, map(to_json, ordered))
    for name, samples in (("latency.jsonl", latency), ("latency_again.jsonl", latency_again)):
        if samples:
            write_jsonl(folder / name, map(to_json, samples))
    if engine:
        write_jsonl(folder / "engine_samples.jsonl", map(engine_row, engine))


def seal(folder: Path) -> None:
    """Writes `SHA256SUMS` (the format of sha256sum) over every file but the signed statements."""
    lines = [
        f"{digests.of_file(path).removeprefix('sha256:')}  {path.relative_to(folder).as_posix()}\n"
        for path in _files(folder)
    ]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def check_seal(folder: Path) -> None:
    """Compares every file with `SHA256SUMS`.

    Raises:
        ArtifactError: a file was changed, added or removed since the folder was sealed.
        ConfigError: the folder has no seal, so it is not a finished evidence folder.
    """
    stated = sealed_digests(folder)
    paths = {path.relative_to(folder).as_posix(): path for path in _files(folder)}
    # Nothing is hashed that the seal does not name, that is elsewhere, or that never ends.
    changed = sorted(stated.keys() ^ paths.keys() | {n for n, p in paths.items() if not _plain(p)})
    changed = changed or sorted(
        name
        for name, path in paths.items()
        if digests.of_file(path).removeprefix("sha256:") != stated[name]
    )
    if changed:
        raise ArtifactError(
            f"{folder}: {', '.join(changed)} changed since the evidence was sealed; do not rely on "
            "it: fetch the evidence again from the gate's run in MLflow [seal]"
        )


def sealed_digests(folder: Path) -> dict[str, str]:
    """Returns what `SHA256SUMS` states: file name → hex SHA-256.

    Raises:
        ConfigError: the folder has no seal.
    """
    stated: dict[str, str] = {}
    for line in read_text(folder / SUMS).splitlines():
        digest, _, name = line.partition("  ")
        stated[name] = digest
    return stated


def _files(folder: Path) -> list[Path]:
    signed = (folder / ATTESTATION, folder / UNFINISHED, folder / SUMS)
    return sorted(
        path
        for path in folder.rglob("*")
        if not _is_folder(path) and path not in signed and path.parent != folder / APPROVALS
    )


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _plain(path: Path) -> bool:
    status = path.lstat()
    return stat.S_ISREG(status.st_mode) and status.st_size <= MAX_FILE


def read_plain(path: Path, most: int) -> bytes:
    """Reads a small file that somebody else may have put there.

    Raises:
        ArtifactError: it is no plain file, is larger than `most` bytes, or cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as stream:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(0, "not a plain file")
            if status.st_size > most:
                raise OSError(0, f"{status.st_size} bytes, expected at most {most}")
            return stream.read(most)
    except OSError as error:
        raise ArtifactError(
            f"{path}: cannot be read ({error.strerror}); expected a plain file: fetch the evidence "
            "again from the gate that made it [not-a-file]"
        ) from None
