"""Review export after a real gate: its evidence decides what people are asked first."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest

from assay import evidence
from assay.adapters.in_memory_golden import InMemoryGoldenSource
from assay.errors import ConfigError
from assay.golden_set import GoldenSet
from assay.ports import GoldenSource
from assay.records import GoldenCase
from flows.reviewing import ReviewRequest, ReviewResult, conduct_review
from tests.gate_rig import Rig, golden_cases, make_rig, mostly_right
from tests.review_rig import LABELS, words

NOW = datetime(2026, 11, 23, tzinfo=UTC)
POLICY = "schema_version: 1\nbudget: 60\nhoneypot_share: 0.1\n"
UNSURE_ABOUT_FEAR = """
schema_version: 1
first_release: FIRST
replicates: 999
backends_that_may_promote: [docker]
evaluators:
  emotion_f1: {margin: 0.05, macro_margin: 0.2, floor: 0.3, macro_floor: 0.4}
  validity: {max_invalid_rate: 0.05}
"""


def unsure_about_fear(case: GoldenCase) -> str:
    """As good as production, but errs on other fears: too few cases tell them apart."""
    wrong = case.label == "fear" and int(case.id[-3:]) % 10 == 5
    right_now = case.label == "fear" and int(case.id[-3:]) % 10 == 0
    return "anger" if wrong else case.label if right_now else mostly_right(case)


Export = Callable[..., ReviewResult]


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Rig, Path]:
    """A rig in which 1.2.0 has left an inconclusive verdict, about fear; and its evidence."""
    rig = make_rig(tmp_path_factory.mktemp("gated"))
    rig.policy = UNSURE_ABOUT_FEAR
    rig.gate("1.0.0")
    rig.answers["1.2.0"] = unsure_about_fear
    found = rig.gate("1.2.0")
    assert found.verdict.verdict == "inconclusive"
    return rig, rig.settings.reports / found.verdict.context.run_id


@pytest.fixture
def rig(gated: tuple[Rig, Path]) -> Rig:
    return replace(gated[0], said=[])


@pytest.fixture
def folder(gated: tuple[Rig, Path]) -> Path:
    return gated[1]


@pytest.fixture
def export(rig: Rig, tmp_path: Path) -> Export:
    (tmp_path / "review.yaml").write_text(POLICY)
    shutil.copyfile(rig.folder / "task.yaml", tmp_path / "task.yaml")
    traffic = tmp_path / "traffic.jsonl"
    rows = [
        {
            "request_id": f"req-{number:03}",
            "text": words(number),
            "label": LABELS[number % 3],
            "time": "2026-11-23T10:00:00Z",
            "lang": "en",
        }
        for number in range(300)
    ]
    traffic.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def run(source: GoldenSource | None = None, **changes: Any) -> ReviewResult:
        settled: dict[str, Any] = {
            "policy": tmp_path / "review.yaml",
            "task": tmp_path / "task.yaml",
            "out": tmp_path / "reviews",
            "traffic": (traffic,),
        }
        return conduct_review(
            ReviewRequest(**(settled | changes)),
            settings=rig.settings,
            golden=source or InMemoryGoldenSource(cases={None: rig.cases}),
            push=None,
            now=lambda: NOW,
            progress=rig.said.append,
        )

    return run


def rows(result: ReviewResult) -> list[dict[str, Any]]:
    """What each task is, as only the exporter knows it, with what the task says."""
    assert result.folder is not None
    tasks = json.loads((result.folder / "label_studio.json").read_text())
    held = (result.folder / "identities.jsonl").read_text().splitlines()
    known = {row["name"]: row for row in map(json.loads, held)}
    return [{"text": t["data"]["text"]} | known[t["data"]["id"]] for t in tasks]


def selections(result: ReviewResult) -> list[str]:
    return [row["selection"] for row in rows(result)]


def test_what_the_verdict_lacks_is_asked_first_and_for_the_class_it_lacks(
    folder: Path, export: Export
) -> None:
    result = export(evidence=folder)
    verdict = json.loads((folder / "verdict.json").read_text())
    needed = max(f["needed"] for f in verdict["findings"] if f["class"] == "fear" and f["needed"])
    (order,) = [one for one in result.manifest.work_orders if one.label == "fear"]
    assert order.needed == needed
    assert order.precision == pytest.approx(0.9)
    assert order.asked > needed
    assert order.queued > 0
    asked = [name for name in selections(result) if name != "honeypot"]
    assert asked[: order.queued] == ["work_order"] * order.queued
    assert any("texts are queued for `fear`" in note for note in result.manifest.notes) == (
        order.queued < order.asked
    )
    assert needed > 12  # more than the whole random share can bring
    assert order.random_needed is not None
    assert any("instead of 12" in note for note in result.manifest.notes)
    drawn = result.manifest.selected["random"]
    assert 12 < drawn < order.random_needed
    assert any(f"and these are {drawn}" in note for note in result.manifest.notes)


def test_cases_on_which_the_models_disagree_are_asked_and_no_task_names_one(
    folder: Path, export: Export
) -> None:
    result = export(evidence=folder, traffic=())
    doubted = [row for row in rows(result) if row["selection"] == "disagreement"]
    expected = {f"fear-{n:03}" for n in range(80) if n % 10 in (0, 5)}
    assert {row["id"] for row in doubted} == expected
    assert {data["text"] for data in doubted} <= {case.text for case in golden_cases()}
    traps = {row["id"] for row in rows(result) if row["selection"] == "honeypot"}
    assert len(traps) == 6
    assert result.folder is not None
    for name in ("label_studio.json", "review.jsonl"):
        said = (result.folder / name).read_text()
        assert not [case.id for case in golden_cases() if case.id in said]
        assert not [word for word in ("honeypot", "disagreement", "handwritten") if word in said]
    assert not traps & expected
    assert any("no label can be suspected" in note for note in result.manifest.notes)


def test_golden_cases_that_changed_since_are_not_doubted(
    rig: Rig, folder: Path, export: Export
) -> None:
    rig.cases = tuple(
        replace(case, label="joy") if case.id == "fear-005" else case for case in rig.cases
    )
    result = export(evidence=folder, traffic=())
    assert result.folder is not None
    assert "fear-005" not in {row["id"] for row in rows(result)}
    assert any(note.startswith("1 of the 240 cases") for note in result.manifest.notes)


def test_evidence_of_other_labels_is_refused(
    rig: Rig, folder: Path, export: Export, tmp_path: Path
) -> None:
    text = (tmp_path / "task.yaml").read_text()
    (tmp_path / "task.yaml").write_text(text.replace("[joy, anger, fear]", "[joy, anger]"))
    rig.cases = tuple(case for case in rig.cases if case.label != "fear")
    with pytest.raises(ConfigError, match="name evidence of this task"):
        export(evidence=folder)


def test_a_folder_that_is_not_sealed_is_no_evidence(
    folder: Path, export: Export, tmp_path: Path
) -> None:
    unsealed = shutil.copytree(folder, tmp_path / "unsealed")
    (unsealed / evidence.SUMS).unlink()
    with pytest.raises(ConfigError, match="SHA256SUMS"):
        export(evidence=unsealed)


def test_no_text_is_said_or_written_into_the_manifest(
    rig: Rig, folder: Path, export: Export
) -> None:
    result = export(evidence=folder)
    assert result.folder is not None
    manifest = (result.folder / "manifest.json").read_text()
    for text in (*(words(number) for number in range(300)), "secret text"):
        assert text not in manifest
        assert text not in "\n".join(rig.said)


class MeddlingSource(InMemoryGoldenSource):
    """Somebody appends to a file of feedback while the golden set is read."""

    meddled: ClassVar[Path]

    def load(self, revision: str | None, labels: Sequence[str]) -> GoldenSet:
        self.meddled.write_text(2 * self.meddled.read_text())
        return super().load(revision, labels)


def test_a_file_that_changes_while_it_is_read_is_not_used(
    rig: Rig, export: Export, tmp_path: Path
) -> None:
    votes = tmp_path / "votes.jsonl"
    line = {"request_id": "v1", "text": words("v"), "label": "joy", "signal": "thumbs_down"}
    votes.write_text(json.dumps(line | {"time": "2026-11-23T10:00:00Z"}) + "\n")
    MeddlingSource.meddled = votes
    with pytest.raises(ConfigError, match=r"votes\.jsonl: changed while it was read"):
        export(feedback=(votes,), source=MeddlingSource(cases={None: rig.cases}))
    assert not list((tmp_path / "reviews").glob("review-*"))
