"""`assay golden ingest` and `sketch` as people call them: files in, a proposal and a code out."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assay.cli import main
from assay.errors import ConfigError
from assay.relabelling.proposal import load_proposal
from tests.relabel_rig import Row, agreed, answer, shared_data, text_of, write_rows

TASK = """
schema_version: 1
name: emotion
labels: [joy, anger, fear]
messages: [{role: user, content: "{text}"}]
decoding: {mode: constrained, max_tokens: 4}
readiness_text: hello
"""
GOLDEN = {
    "id": "g-1",
    "text": "the harbour lights went out one by one",
    "label": "joy",
    "lang": "en",
    "source": "handwritten",
    "stratum": "core",
    "slices": [],
    "added_in": "1.0.0",
}
Ingest = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ASSAY_ANNOTATOR_SALT", raising=False)
    (tmp_path / "task.yaml").write_text(TASK)
    (tmp_path / "relabel.yaml").write_text("schema_version: 1\n")
    (tmp_path / "set").mkdir()
    write_rows(tmp_path / "set" / "golden.jsonl", [GOLDEN])
    return tmp_path


@pytest.fixture
def call(desk: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Ingest:
    def run(rows: list[Row] | Path, *flags: str) -> tuple[int, dict[str, Any]]:
        export = rows if isinstance(rows, Path) else write_rows(desk / "export.jsonl", rows)
        given = ["golden", "ingest", str(export), "--json", *flags]
        if "--golden" not in flags:
            given += ["--golden", "set/golden.jsonl"]
        capfdbinary.readouterr()
        code = main(given)
        document: dict[str, Any] = json.loads(capfdbinary.readouterr().out)
        return code, document

    return run


def test_an_export_without_a_flaw_ends_with_0_and_a_proposal_that_verifies(
    desk: Path, call: Ingest
) -> None:
    before = (desk / "set" / "golden.jsonl").read_bytes()
    code, said = call([*agreed("c-1", "joy"), *agreed("g-1", "fear", text=GOLDEN["text"])])
    assert code == 0
    assert said["rows"] == {"accepted": 2, "quarantined": 0, "rejected": 0}
    assert said["changes"] == {"added": 1, "relabelled": 1}
    summary = load_proposal(desk / "proposal")
    assert (summary.version, summary.cases) == ("1.1.0", 2)
    assert sorted(p.name for p in (desk / "proposal").iterdir()) == [
        "answers.jsonl",
        "golden.jsonl",
        "history.jsonl",
        "ingest_report.jsonl",
        "summary.json",
    ]
    assert (desk / "set" / "golden.jsonl").read_bytes() == before
    assert oct((desk / "home" / "annotator.salt").stat().st_mode)[-3:] == "600"


def test_the_proposal_is_what_the_next_ingestion_may_begin_with(desk: Path, call: Ingest) -> None:
    rows = agreed("c-1", "joy")
    _, first = call(rows)
    code, said = call(rows, "--golden", "proposal/golden.jsonl", "--out", "second")
    assert said["golden_before"] == first["golden_before"] != first["golden_digest"]
    assert (code, said["changes"], said["version"]) == (0, {}, "1.1.0")
    for name in ("golden.jsonl", "history.jsonl", "answers.jsonl"):
        assert (desk / "second" / name).read_bytes() == (desk / "proposal" / name).read_bytes()


def test_a_row_that_waits_ends_with_10_and_is_in_the_report(desk: Path, call: Ingest) -> None:
    code, said = call([*agreed("c-1", "joy"), answer("c-2", "an", "joy")])
    assert (code, said["reasons"]) == (10, {"accepted: added": 1, "quarantined: waiting": 1})
    rows = [json.loads(x) for x in (desk / "proposal" / "ingest_report.jsonl").open()]
    assert [(row["id"], row["status"]) for row in rows] == [
        ("c-1", "accepted"),
        ("c-2", "quarantined"),
    ]
    assert not any(word in str(rows) for word in text_of(2).split()[:2])


def test_the_real_export_loses_no_row(desk: Path, call: Ingest) -> None:
    (desk / "task.yaml").write_text(TASK.replace("fear]", "fear, surprise, neutral]"))
    (desk / "relabel.yaml").write_text("schema_version: 1\ndefault_lang: en\n")
    code, said = call(shared_data("labelstudio_1.23.2_export.json"))
    assert code == 10
    assert said["reasons"] == {"quarantined: waiting": 1, "rejected: no-id": 2}
    assert said["anchoring_share"] == 0.5
    assert said["answers_not_counted"] == {"skipped": 1}
    assert "@" not in (desk / "proposal" / "answers.jsonl").read_text()


def test_a_dry_run_writes_nothing(desk: Path, call: Ingest) -> None:
    code, said = call(agreed("c-1", "joy"), "--dry-run")
    assert (code, said["proposal"]) == (0, None)
    assert not (desk / "proposal").exists()


def test_a_set_that_does_not_hold_its_checks_ends_with_12_and_no_golden_file(
    desk: Path, call: Ingest
) -> None:
    twins = [GOLDEN, GOLDEN | {"id": "g-2", "text": GOLDEN["text"].upper()}]
    write_rows(desk / "set" / "golden.jsonl", twins)
    code, said = call(agreed("c-1", "joy"))
    assert (code, said["sound"]) == (12, False)
    assert not (desk / "proposal" / "golden.jsonl").exists()
    with pytest.raises(ConfigError, match="not sound"):
        load_proposal(desk / "proposal")


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (("--out", "set"), "never"),
        (("--out", "home"), "expected nothing or an earlier proposal"),
        (("--policy", "nowhere.yaml"), "no such file"),
        (("--golden", "nowhere.jsonl"), "no such file"),
        (("--sketch", "task.yaml"), "--sketch-salt"),
    ],
)
def test_a_wrong_flag_ends_with_2_and_writes_nothing(
    desk: Path, call: Ingest, flags: tuple[str, ...], why: str
) -> None:
    (desk / "home").mkdir()
    (desk / "home" / "mine.txt").write_text("keep me")
    code, said = call(agreed("c-1", "joy"), *flags)
    assert code == 2
    assert why in said["error"]["message"]
    assert (desk / "home" / "mine.txt").read_text() == "keep me"
    assert not (desk / "proposal").exists()


def test_a_refused_export_leaves_the_earlier_proposal_as_it_was(desk: Path, call: Ingest) -> None:
    call(agreed("c-1", "joy"))
    before = {p.name: p.read_bytes() for p in (desk / "proposal").iterdir()}
    (desk / "wrong.csv").write_text("id,text\n")
    code, _ = call(desk / "wrong.csv")
    assert code == 2
    assert {p.name: p.read_bytes() for p in (desk / "proposal").iterdir()} == before
    assert [name for name in os.listdir(desk) if name.startswith(".proposal")] == []


def test_a_changed_proposal_is_refused(desk: Path, call: Ingest) -> None:
    call(agreed("c-1", "joy"))
    with (desk / "proposal" / "golden.jsonl").open("a") as stream:
        stream.write("\n")
    with pytest.raises(ConfigError, match="not whole"):
        load_proposal(desk / "proposal")


def test_a_sketch_tells_a_leak_and_no_text(desk: Path, call: Ingest) -> None:
    (desk / "salt").write_text("a salt that nobody guesses")
    write_rows(desk / "train.jsonl", [{"text": text_of(1)}, {"text": "something else entirely"}])
    assert main(["golden", "sketch", "train.jsonl", "--salt", "salt", "--out", "s.jsonl"]) == 0
    assert text_of(1).split()[0] not in (desk / "s.jsonl").read_text()
    flags = ("--sketch", "s.jsonl", "--sketch-salt", "salt")
    code, said = call([*agreed("c-1", "joy"), *agreed("c-2", "joy")], *flags)
    assert (code, said["reasons"]) == (10, {"accepted: added": 1, "rejected: leak": 1})
    (desk / "salt").write_text("another salt that nobody guesses")
    code, said = call(agreed("c-1", "joy"), *flags)
    assert code == 2
    assert "made with salt" in said["error"]["message"]
