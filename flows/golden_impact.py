"""What a golden version does to the verdicts of the version before it, without a server.

Decides which recorded gates can be judged again and on which cases, so that the effect of losing
cases is told apart from the effect of other labels; the judgement itself is `flows.rejudge`. What
was never asked stays unknown: no answer is made up for a case that only the later version has.
"""

import json
import tempfile
from collections.abc import Iterable, Mapping, Set
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from assay import evidence
from assay.documents import parse_json, read_text
from assay.golden_set import GoldenSet, index_row, load_golden
from assay.records import GoldenCase, Role, VerdictKind
from assay.task import load_task
from assay.verdict_document import verdict_from_json
from flows.rejudge import Files, ModelFiles, evidence_files, judge_files


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """One recorded gate under another golden version; None where it cannot be judged.

    Attributes:
        run_id, candidate: which gate.
        recorded: its verdict.
        shared: the verdict on the cases that both versions hold, with the labels of then.
        relabelled: the same cases with the labels of now.
        cases: cases that both hold.
        unknown: cases that only the later version holds, which this gate never asked.
        note: what cannot be known, or why nothing can.
    """

    run_id: str
    candidate: str
    recorded: VerdictKind
    shared: VerdictKind | None
    relabelled: VerdictKind | None
    cases: int
    unknown: int
    note: str

    @property
    def changed(self) -> bool:
        """Whether the verdict is another one for the labels or the cases that are gone."""
        return self.relabelled is not None and self.relabelled is not self.recorded

    def to_json(self) -> dict[str, Any]:
        """Returns the impact as JSON."""
        return asdict(self) | {"changed": self.changed}


def impacts(folders: Iterable[Path], before: GoldenSet, after: GoldenSet) -> list[Impact]:
    """Judges the recorded gates of one golden version by another.

    Args:
        folders: finished evidence folders; those of other golden versions are passed over.
        before: the version that the gates used.
        after: the version to judge them by.

    Raises:
        ConfigError: a folder is no evidence.
        ArtifactError: evidence was altered after it was sealed.
    """
    found = (_impact(folder, before, after) for folder in folders)
    return [one for one in found if one is not None]


def _impact(folder: Path, before: GoldenSet, after: GoldenSet) -> Impact | None:
    index = folder / "golden_index.jsonl"
    if not index.is_file():
        return None
    evidence.check_seal(folder)
    used = load_golden(index, load_task(folder / "task.yaml").labels)
    if used.digest != before.digest:
        return None
    path = folder / "verdict.json"
    recorded = verdict_from_json(parse_json(read_text(path), str(path)), str(path))
    ref = recorded.context.candidate
    now = {case.id: case for case in after.cases}
    shared = [case for case in used.cases if _same(case, now.get(case.id))]
    base = Impact(
        run_id=recorded.context.run_id,
        candidate=f"{ref.model} {ref.version}" if ref else "a candidate without a name",
        recorded=recorded.verdict,
        shared=None,
        relabelled=None,
        cases=len(shared),
        unknown=after.size - len(shared),
        note="",
    )
    if not (folder / Role.CANDIDATE.value / "predictions.jsonl").is_file():
        return replace(base, note="was never asked, so no golden set changes it")
    if not shared:
        return replace(base, note="the two versions share no case: only new answers can tell")
    relabelled = [replace(now[case.id], text=None) for case in shared]
    return replace(
        base,
        shared=_judged(folder, shared, recorded.only),
        relabelled=_judged(folder, relabelled, recorded.only),
        note=_unknown(base.unknown),
    )


def _same(then: GoldenCase, now: GoldenCase | None) -> bool:
    return now is not None and now.text_sha256 == then.text_sha256


def _unknown(count: int) -> str:
    if not count:
        return "every case of the later version was answered"
    were = "case was" if count == 1 else "cases were"
    return f"{count} {were} never asked in it: what they would change only new answers can tell"


def _judged(folder: Path, cases: Iterable[GoldenCase], only: tuple[str, ...]) -> VerdictKind:
    """Judges an evidence folder's answers on some of its cases."""
    rows = {case.id: index_row(case) for case in cases}
    files = evidence_files(folder)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        evidence.write_jsonl(place / "golden.jsonl", rows.values())
        cut = replace(
            files,
            golden=place / "golden.jsonl",
            candidate=_cut(files.candidate, rows.keys(), place / "candidate.jsonl"),
            production=_cut(files.production, rows.keys(), place / "production.jsonl"),
            anchor=None
            if files.anchor is None
            else _cut_file(files.anchor, rows.keys(), place / "anchor.jsonl"),
        )
        return _verdict(cut, only)


def _verdict(files: Files, only: tuple[str, ...]) -> VerdictKind:
    return judge_files(files, only).verdict.verdict


def _cut(model: ModelFiles, ids: Set[str], target: Path) -> ModelFiles:
    if model.predictions is None:
        return model
    return replace(model, predictions=_cut_file(model.predictions, ids, target))


def _cut_file(source: Path, ids: Set[str], target: Path) -> Path:
    """Writes the answers to some cases, as they stand."""
    lines = [line for line in read_text(source).split("\n") if line.strip()]
    rows: Iterable[Mapping[str, Any]] = map(json.loads, lines)
    evidence.write_jsonl(target, (row for row in rows if row["case_id"] in ids))
    return target
