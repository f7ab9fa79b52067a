"""`assay golden check --evidence`: what stored models made of the cases, from real evidence.

Three models are gated for real (in memory), and answer from a table: 1.0.0 errs on every tenth
case, 1.1.0 on every twentieth, 1.2.0 on every tenth and on all of fear. So every twentieth case is
right for none of them: 4 of each label's 80.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assay import digests
from assay.adapters.chat_wire import Failure
from assay.cli import main
from assay.golden_frozen import to_jsonl
from assay.records import GoldenCase
from tests.gate_rig import LABELS, MODEL, Rig, golden_cases, make_rig, mostly_right

NEVER = sorted(case.id for case in golden_cases() if int(case.id[-3:]) % 20 == 0)
RULES = "schema_version: 1\nmost_near_duplicates: 1\n"
"""The rig's texts differ by a number only."""
ALWAYS = {"joy": 72, "anger": 72, "fear": 0}


def errs_less(case: GoldenCase) -> str:
    """Errs on every twentieth case."""
    right = int(case.id[-3:]) % 20
    return case.label if right else LABELS[(LABELS.index(case.label) + 1) % 3]


def errs_more(case: GoldenCase) -> str:
    """Errs as production does, and takes every fear for joy."""
    return "joy" if case.label == "fear" else mostly_right(case)


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Rig, list[Path]]:
    """Three gates; each one's evidence holds the candidate's answers and production's."""
    rig = make_rig(tmp_path_factory.mktemp("gated"))
    rig.answers |= {"1.1.0": errs_less, "1.2.0": errs_more}
    folders = []
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        folder = rig.gate(version).evidence_dir
        assert folder is not None
        folders.append(folder)
    (rig.folder / "golden.jsonl").write_bytes(to_jsonl(rig.cases))
    (rig.folder / "golden_data").mkdir()
    (rig.folder / "golden_data" / "health.yaml").write_text(RULES)
    return rig, folders


@pytest.fixture
def at(
    gated: tuple[Rig, list[Path]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> tuple[Rig, list[Path]]:
    """The rig's folder as the working folder, with copies of the evidence that may be damaged."""
    rig, folders = gated
    monkeypatch.chdir(rig.folder)
    monkeypatch.setenv("ASSAY_HOME", str(rig.settings.home))
    monkeypatch.setenv("ASSAY_TRUST", str(rig.settings.trust))
    return rig, [shutil.copytree(one, tmp_path / one.name) for one in folders]


@pytest.fixture
def check(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, dict[str, Any]]]:
    def run(
        *folders: Path, command: str = "check", golden: str = "golden.jsonl", rules: Any = None
    ) -> Any:
        words = [] if rules is None else ["--rules", str(rules)]
        words += [word for folder in folders for word in ("--evidence", str(folder))]
        capfd.readouterr()
        code = main(["golden", command, golden, *words, "--json"])
        out, err = capfd.readouterr()
        assert "secret text" not in out + err
        return code, json.loads(out)

    return run


Check = Callable[..., tuple[int, dict[str, Any]]]
At = tuple[Rig, list[Path]]


def answered(document: dict[str, Any]) -> dict[str, Any]:
    """Status and reason of the checks of answers, by name."""
    return {
        one["check"].removeprefix("answers/"): one
        for one in document["checks"]
        if one["check"].startswith("answers/")
    }


def test_cases_that_no_model_and_that_all_models_answer_are_counted(at: At, check: Check) -> None:
    _, folders = at
    code, document = check(*folders, command="stats")
    found = document["tables"]["answers"]
    assert (code, found["cases"]) == (0, 240)
    assert found["models"] == ["emotion 1.0.0", "emotion 1.1.0", "emotion 1.2.0"]
    assert sorted(found["never"]) == NEVER
    assert {label: cell[2] for label, cell in found["by_label"].items()} == ALWAYS
    _, document = check(*folders)
    assert answered(document)["never"]["status"] == "passed", "12 of 240 are the 5 % that may be"
    assert (
        "12 of 240 cases that 3 models answered are right for none"
        in (answered(document)["never"]["reason"])
    )


def test_more_cases_that_nobody_answers_than_the_rules_allow_make_the_set_unhealthy(
    at: At, check: Check
) -> None:
    rig, folders = at
    assert check(*folders)[0] == 0
    stricter = rig.folder / "stricter.yaml"
    stricter.write_text(f"{RULES}most_never_right: 0.049\n")
    code, document = check(*folders, rules=stricter)
    assert code == 10
    rows = document["checks"]
    failed = {one["check"] for one in rows if one["gating"] and one["status"] == "failed"}
    assert failed == {"answers/never"}


def test_answers_to_a_case_that_was_changed_since_do_not_count(at: At, check: Check) -> None:
    rig, folders = at
    first, second, *rest = rig.cases
    text = "another text"
    again = replace(second, text=text, text_sha256=digests.text_sha256(text))
    changed = [replace(first, label="fear"), again]
    (rig.folder / "changed.jsonl").write_bytes(to_jsonl([*changed, *rest]))
    _, document = check(*folders, command="stats", golden="changed.jsonl")
    assert document["tables"]["answers"]["cases"] == 238


def test_a_model_in_several_folders_is_one_model(at: At, check: Check) -> None:
    _, folders = at
    code, document = check(folders[0], folders[1], folders[1])
    assert code == 0
    for one in answered(document).values():
        assert one["status"] == "undecided"
        assert "Answers of 2 models" in one["reason"]


def test_an_answer_that_failed_is_no_wrong_answer(
    at: At, check: Check, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """1.1.0 fails on one case that no model answers right: it is left out, not counted as wrong."""
    rig = make_rig(tmp_path)
    rig.policy = rig.policy.replace("replicates", "max_unanswered_rate: 0.05\nreplicates")

    def fails_once(case: GoldenCase) -> str | Failure:
        return Failure(kind="http_400", status=400) if case.id == NEVER[0] else errs_less(case)

    rig.answers |= {"1.1.0": fails_once, "1.2.0": errs_more}
    made = [rig.gate(version).evidence_dir for version in rig.answers]
    _, document = check(*[one for one in made if one is not None], command="stats")
    found = document["tables"]["answers"]
    assert found["cases"] == 239
    assert sorted(found["never"]) == NEVER[1:]


def test_evidence_of_a_gate_that_asked_nobody_adds_nothing(
    at: At, check: Check, tmp_path: Path
) -> None:
    rig = make_rig(tmp_path)
    unread = rig.gate("1.0.0", first="refuse").evidence_dir
    name = f"{MODEL}/1.1.0/model.safetensors"
    stored = bytearray(rig.store.transport.files[name])
    stored[-9] ^= 1
    rig.store.transport.files[name] = bytes(stored)
    tampered = rig.gate("1.1.0").evidence_dir
    assert unread is not None
    assert tampered is not None
    assert list(tampered.rglob("predictions.jsonl")) == []
    code, document = check(*at[1], unread, tampered)
    assert code == 0
    assert "3 models" in answered(document)["never"]["reason"]


def edit(folder: Path) -> None:
    path = folder / "candidate" / "predictions.jsonl"
    path.write_text(path.read_text().replace('"joy"', '"fear"', 1))


def remove(folder: Path) -> None:
    (folder / "golden_index.jsonl").unlink()


def add(folder: Path) -> None:
    (folder / "note.txt").write_text("mine")


def unseal(folder: Path) -> None:
    (folder / "SHA256SUMS").unlink()


def vanish(folder: Path) -> None:
    shutil.rmtree(folder)


def turn_into_a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("no folder")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (edit, "candidate/predictions.jsonl changed since the evidence was sealed"),
        (remove, "golden_index.jsonl changed since"),
        (add, "note.txt changed since"),
        (unseal, "SHA256SUMS"),
        (vanish, "SHA256SUMS"),
        (turn_into_a_file, "SHA256SUMS"),
    ],
)
def test_a_bad_folder_is_an_error_and_no_finding_about_the_set(
    at: At, check: Check, damage: Callable[[Path], None], words: str
) -> None:
    _, folders = at
    damage(folders[1])
    code, document = check(*folders)
    assert code == 2, "not 10, which says that the set is unhealthy"
    assert words in document["error"]["message"]
    assert "healthy" not in document
