"""What changed between two golden versions, and what it does to recorded gates."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from assay.cli import main
from assay.golden_diff import Changed, ClassCount, diff, lines
from assay.golden_frozen import canonical, to_jsonl
from assay.golden_set import GoldenSet, golden_digest
from assay.records import GoldenCase, VerdictKind
from flows.golden_impact import impacts
from tests.gate_rig import Rig, golden_cases, make_rig
from tests.golden_examples import SECRET, cases


def golden(held: list[GoldenCase]) -> GoldenSet:
    ordered = canonical(held)
    return GoldenSet(cases=ordered, digest=golden_digest(ordered), revision="x")


def test_every_kind_of_change_is_told_apart() -> None:
    a, b, c, d, e, f = cases(6)
    after = [
        replace(b, label="anger"),
        replace(c, stratum="hitl"),
        replace(d, text="other", text_sha256="0" * 64),
        replace(e, slices=("long",)),
        f,
        replace(a, id="c-9"),
    ]
    found = diff(golden([a, b, c, d, e, f]), golden(after))
    assert (found.added, found.removed) == (("c-9",), ("c-0",))
    assert found.relabelled == (Changed(id="c-1", before="joy", after="anger"),)
    assert found.moved == (Changed(id="c-2", before="core", after="hitl"),)
    assert (found.reworded, found.annotated, found.shared) == (("c-3",), ("c-4",), 4)
    assert found.classes == (
        ClassCount(label="anger", before=0, after=1),
        ClassCount(label="joy", before=6, after=5),
    )
    assert not any(SECRET in line for line in lines(found))


def test_a_set_does_not_differ_from_itself() -> None:
    found = diff(golden(cases(3)), golden(cases(3)))
    assert found.empty
    assert lines(found) == ["the two are the same set"]


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    """A rig with two gates on record: 1.0.0 promoted, 1.2.0 blocked for fear."""
    rig = make_rig(tmp_path_factory.mktemp("gated"))
    rig.gate("1.0.0")
    assert rig.gate("1.2.0").verdict.verdict is VerdictKind.BLOCK
    return rig


def folders(rig: Rig) -> list[Path]:
    return sorted(rig.settings.reports.iterdir())


def test_a_gate_whose_labels_were_wrong_is_named_with_its_other_verdict(gated: Rig) -> None:
    """What 1.2.0 took for anger was anger all along: those who labelled it fear erred."""
    then = golden(list(golden_cases()))
    now = golden(
        [replace(case, label="anger") if case.label == "fear" else case for case in golden_cases()]
    )
    first, second = impacts(folders(gated), then, now)
    assert (first.recorded, second.recorded) == (VerdictKind.PROMOTE, VerdictKind.BLOCK)
    assert second.shared is VerdictKind.BLOCK
    assert second.relabelled is not VerdictKind.BLOCK
    assert second.changed
    assert second.unknown == 0


def test_added_cases_stay_unknown_and_lost_ones_are_judged_without(gated: Rig) -> None:
    then = golden(list(golden_cases()))
    kept = [case for case in golden_cases() if int(case.id[-3:]) >= 4]
    added = [replace(case, id=f"n-{case.id}", text_sha256="1" * 64, text=None) for case in kept[:7]]
    found = impacts(folders(gated), then, golden([*kept, *added]))[1]
    assert (found.cases, found.unknown) == (228, 7)
    assert found.relabelled is found.shared is VerdictKind.BLOCK
    assert "7 cases were never asked" in found.note


def test_gates_of_other_versions_are_passed_over(gated: Rig) -> None:
    other = golden(list(golden_cases())[1:])
    assert impacts(folders(gated), other, golden(list(golden_cases()))) == []


def test_the_command_prints_a_table_or_one_document(
    gated: Rig, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.jsonl").write_bytes(to_jsonl(golden(list(golden_cases())).cases))
    (tmp_path / "b.jsonl").write_bytes(to_jsonl(golden(list(golden_cases())[1:]).cases))
    files = [str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")]
    options = ["--task", str(gated.folder / "task.yaml"), "--reports", str(gated.settings.reports)]
    capfd.readouterr()
    assert main(["golden", "diff", *files, *options]) == 0
    out = capfd.readouterr().out
    assert "1 removed: joy-000" in out
    assert "joy        80     79      -1" in out
    assert "on the 239 shared cases" in out
    assert main(["golden", "diff", *files, *options, "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert document["removed"] == ["joy-000"]
    assert [one["recorded"] for one in document["verdicts"]] == ["promote", "block"]
