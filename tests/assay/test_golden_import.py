"""Rows of other tools as golden cases: every format, every fault a row or a file can have."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.cli import main
from assay.errors import ConfigError
from assay.golden_import import GoldenMapping, import_rows
from assay.golden_set import load_golden
from flows.golden_importing import ImportRequest, ImportResult, run_import

LABELS = ("yes", "no")
TASK = """
schema_version: 1
name: answer
labels: ["yes", "no"]
messages: [{role: user, content: "{text}"}]
decoding: {mode: constrained, max_tokens: 4}
readiness_text: hello
"""
MAPPING = """
schema_version: 1
columns: {text: t, label: l}
constants: {lang: en, source: test}
labels: {J: "yes", N: "no", X: null}
"""
GOOD = [{"t": "of course", "l": "J"}, {"t": "never ever", "l": "N"}, {"t": "what?", "l": "X"}]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "task.yaml").write_text(TASK)
    (tmp_path / "mapping.yaml").write_text(MAPPING)
    return tmp_path


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".parquet":
        import pandas as pd

        pd.DataFrame(rows).to_parquet(path)
    else:
        with path.open("w", newline="") as stream:
            writer = csv.DictWriter(
                stream, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ","
            )
            writer.writeheader()
            writer.writerows(rows)
    return str(path)


def imported(folder: Path, source: str, **changes: Any) -> ImportResult:
    files = {"mapping": folder / "mapping.yaml", "task": folder / "task.yaml"}
    return run_import(
        ImportRequest(**({"source": source, "out": folder / "golden.jsonl"} | files | changes))
    )


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_every_format_gives_the_same_set(folder: Path, ending: str) -> None:
    done = imported(folder, write(folder / f"rows{ending}", GOOD))
    assert done.counts == {"accepted": 2, "rejected": 0, "left out": 1}
    golden = load_golden(folder / "golden.jsonl", LABELS)
    assert golden.digest == done.digest
    assert {case.text: case.label for case in golden.cases} == {
        "of course": "yes",
        "never ever": "no",
    }


def test_a_hugging_face_data_set_is_read_offline_with_the_names_of_its_labels(
    folder: Path,
) -> None:
    import datasets

    features = datasets.Features(
        {"t": datasets.Value("string"), "l": datasets.ClassLabel(names=["N", "J", "X"])}
    )
    rows = {"t": [row["t"] for row in GOOD], "l": [row["l"] for row in GOOD]}
    table = datasets.Dataset.from_dict(rows, features=features)
    datasets.DatasetDict({"test": table}).save_to_disk(str(folder / "saved"))
    saved = imported(folder, str(folder / "saved"), split="test")
    (folder / "plain").mkdir()
    write(folder / "plain" / "test.jsonl", GOOD)
    plain = imported(folder, f"hf:{folder / 'plain'}@test", force=True)
    assert saved.digest == plain.digest is not None
    with pytest.raises(ConfigError, match="--split"):
        imported(folder, str(folder / "saved"), force=True)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"t": "Of  COURSE", "l": "J"}, "same text as an earlier"),
        ({"t": "of course", "l": "N"}, "'yes' there, 'no' here"),
        ({"t": "hm", "l": "maybe"}, "label 'maybe' is not the task's"),
        ({"t": " \u200b ", "l": "J"}, "text is empty"),
        ({"t": None, "l": "J"}, "expected text"),
        ({"t": "hm", "l": 1.5}, "expected text"),
        ({"l": "J"}, "has no column 't'"),
        (["hm", "J"], "not a JSON object"),
    ],
)
def test_a_row_that_does_not_fit_is_named_with_its_reason_and_nothing_is_written(
    folder: Path, row: Any, why: str
) -> None:
    source = write(folder / "rows.jsonl", [*GOOD, row])
    done = imported(folder, source)
    assert done.counts["rejected"] == 1
    assert not (folder / "golden.jsonl").exists()
    report = [json.loads(line) for line in done.report.read_text().splitlines()]
    assert report[-1]["row"] == "rows.jsonl:4"
    assert why in report[-1]["why"]
    assert "of course" not in done.report.read_text()
    assert imported(folder, source, skip_rejected=True).written
    assert load_golden(folder / "golden.jsonl", LABELS).size == 2


def test_unknown_labels_are_counted_and_the_exit_code_says_that_nothing_was_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    write(folder / "rows.csv", [*GOOD, {"t": "a", "l": "q"}, {"t": "b", "l": "q"}])
    command = ["golden", "import", "rows.csv", "--mapping", "mapping.yaml", "--out", "g.jsonl"]
    assert main([*command, "--json"]) == 12
    document = json.loads(capfd.readouterr().out)
    assert document["unknown_labels"] == {"q": 2}
    assert document["digest"] is None
    assert main([*command, "--skip-rejected"]) == 0


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("rows.csv", b"t,l\n\xff,J\n", "not UTF-8"),
        ("rows.csv", b't,l\n"open,J\n', "not a table"),
        ("rows.csv", b"t,t\na,b\n", "named twice"),
        ("rows.csv", b"t,l\n", "holds no row"),
        ("rows.parquet", b"nothing of the kind", "not Parquet"),
        ("rows.xlsx", b"PK", "expected a file that ends in"),
    ],
)
def test_a_file_that_is_none_is_an_error_and_leaves_nothing(
    folder: Path, name: str, data: bytes, message: str
) -> None:
    (folder / name).write_bytes(data)
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(ConfigError, match=message):
        imported(folder, str(folder / name))
    assert sorted(path.name for path in folder.iterdir()) == before


def test_a_short_row_of_a_table_is_rejected(folder: Path) -> None:
    (folder / "rows.csv").write_text("t,l\nof course,J\nalone\n")
    assert imported(folder, str(folder / "rows.csv")).imported.rows[1].status == "rejected"


def test_an_existing_file_is_not_replaced_unasked(folder: Path) -> None:
    source = write(folder / "rows.jsonl", GOOD)
    (folder / "golden.jsonl").write_text("mine")
    with pytest.raises(ConfigError, match="--force"):
        imported(folder, source)
    assert (folder / "golden.jsonl").read_text() == "mine"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("lang: en, ", "", "lang is neither"),
        ("l}", "l, id: n}", "id.by"),
        ("schema_version: 1", "schema_version: 1\nnovel: 1", "novel"),
    ],
)
def test_a_mapping_that_says_too_little_or_too_much_is_refused(
    folder: Path, old: str, new: str, message: str
) -> None:
    path = folder / "mapping.yaml"
    path.write_text(MAPPING.replace(old, new))
    with pytest.raises(ConfigError, match=message):
        imported(folder, write(folder / "rows.jsonl", GOOD))


@given(st.lists(st.tuples(st.text(max_size=8), st.sampled_from(["J", "N", "X", "?"]))))
def test_every_row_is_accounted_for_and_no_text_comes_twice(
    pairs: list[tuple[str, str]],
) -> None:
    mapping = GoldenMapping.model_validate(
        {
            "schema_version": 1,
            "columns": {"text": "t", "label": "l"},
            "constants": {"lang": "en", "source": "test"},
            "labels": {"J": "yes", "N": "no", "X": None},
        }
    )
    rows = [(f"r{n}", {"t": text, "l": label}) for n, (text, label) in enumerate(pairs)]
    found = import_rows(rows, mapping, LABELS)
    assert [row.row for row in found.rows] == [place for place, _ in rows]
    assert len(found.cases) == found.count("accepted")
    assert len({case.text for case in found.cases}) == len(found.cases)
