"""Reading exports: the formats that are read, those that are refused, and rows that cannot be."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assay.adapters.relabel_export import Export
from assay.errors import ConfigError
from assay.relabelling.intake import RawTask, Refusal
from tests.relabel_rig import Row, agreed, shared_data, write_rows


def annotation(who: Any, label: str | None, **changes: Any) -> Row:
    choice = {"from_name": "emotion", "type": "choices", "value": {"choices": [label]}}
    return {
        "completed_by": who,
        "result": [] if label is None else [choice],
        "was_cancelled": False,
        "ground_truth": False,
        "updated_at": "2026-11-23T12:00:00Z",
        "lead_time": 4.5,
        "prediction": {},
        "unique_id": f"{who}-{label}",
    } | changes


def task(*annotations: Row, **data: Any) -> Row:
    fields = {"case_id": "c-1", "text": "some text", "lang": "en"} | data
    return {"id": 1, "data": fields, "annotations": list(annotations), "drafts": []}


def write(tmp_path: Path, value: Any) -> Path:
    path = tmp_path / "export.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def read(path: Path) -> list[RawTask | Refusal]:
    return list(Export(path, "emotion").read())


def read_tasks(path: Path) -> list[RawTask]:
    rows = read(path)
    assert all(isinstance(row, RawTask) for row in rows), rows
    return [row for row in rows if isinstance(row, RawTask)]


def test_a_real_label_studio_export_is_read_with_all_its_traps() -> None:
    path = shared_data("labelstudio_1.23.2_export.json")
    export = Export(path, "emotion")
    first, second, third = (row for row in export.read() if isinstance(row, RawTask))
    assert (export.format, export.rows) == ("label-studio", 3)
    assert [a.labels for a in first.answers] == [["anger"], ["surprise"], None]
    assert [a.skipped for a in first.answers] == [False, False, True]
    assert [a.shown for a in first.answers] == ["surprise"] * 3
    assert [a.reference for a in second.answers] == [True, False]
    assert second.answers[1].labels is None
    assert third.answers == []
    assert "ann1@" not in repr((first, second, third))


def test_a_person_is_the_same_by_number_and_by_object(tmp_path: Path) -> None:
    person = {"id": 7, "email": "an@example.com"}
    (row,) = read_tasks(write(tmp_path, [task(annotation(7, "joy"), annotation(person, "joy"))]))
    assert {a.who for a in row.answers} == {"label-studio:7"}


def test_only_the_label_control_is_read(tmp_path: Path) -> None:
    flag = {"from_name": "flags", "type": "choices", "value": {"choices": ["toxic"]}}
    both = annotation(1, "joy")
    both["result"].append(flag)
    (row,) = read_tasks(write(tmp_path, [task(both)]))
    assert row.answers[0].labels == ["joy"]


def argilla(**changes: Any) -> Row:
    return {
        "id": "c-1",
        "text": "some text",
        "metadata.lang": "en",
        "emotion.responses": ["joy", "fear"],
        "emotion.responses.users": ["u1", "u2"],
        "emotion.responses.status": ["submitted", "discarded"],
        "emotion.suggestion": "joy",
    } | changes


def test_flattened_argilla_records_are_read(tmp_path: Path) -> None:
    (row,) = read_tasks(write(tmp_path, [argilla()]))
    assert [(a.who, a.labels, a.skipped, a.shown) for a in row.answers] == [
        ("argilla:u1", ["joy"], False, "joy"),
        ("argilla:u2", ["fear"], True, "joy"),
    ]
    assert row.data["lang"] == "en"


def test_argilla_answers_without_their_status_do_not_count(tmp_path: Path) -> None:
    (row,) = read_tasks(write(tmp_path, [argilla(**{"emotion.responses.status": None})]))
    assert row.answers == []


def test_answers_by_person_are_read(tmp_path: Path) -> None:
    path = write_rows(
        tmp_path / "e.jsonl", [{"id": "c-1", "annotations": {"an": "joy", "bo": None}}]
    )
    (row,) = read_tasks(path)
    assert [(a.who, a.labels) for a in row.answers] == [("flat:an", ["joy"]), ("flat:bo", None)]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (
            [
                {
                    "id": 1,
                    "text": "t",
                    "emotion": "joy",
                    "annotator": 1,
                    "annotation_id": 2,
                    "lead_time": 1,
                }
            ],
            "JSON_MIN",
        ),
        ([{"fields": {"text": "t"}, "responses": {"emotion": []}}], "nested Argilla"),
        (
            [task(annotation(1, "joy", result=[{"from_name": "intent", "value": {}}]))],
            "another project",
        ),
        (
            [{"id": "1", "text": "t", "intent.responses": ["a"]}],
            "another project",
        ),
        ([], "holds no row"),
        ({"a": 1}, "holds no row"),
        (17, "is not JSON"),
    ],
)
def test_these_exports_are_refused_with_the_reason(tmp_path: Path, content: Any, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        read(write(tmp_path, content))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"id,text,emotion\n1,hello,joy\n", "CSV or TSV"),
        ("[]".encode("utf-16"), "UTF-16"),
        (b'[{"data": {}, "annotations": []}', "cut short"),
        (b'[{"data": {}, "annotations": []}, {"da', "cut short"),
        (b'[{"data": {"text": "\xff"}, "annotations": []}]', "not UTF-8"),
        (b"", "holds no row"),
    ],
)
def test_these_bytes_are_refused_with_the_reason(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "export.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=why):
        read(path)


def test_a_missing_export_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name an export"):
        read(tmp_path / "nowhere.json")


def test_a_line_that_cannot_be_read_does_not_lose_the_others(tmp_path: Path) -> None:
    good = json.dumps(agreed("c-1", "joy")[0]).encode()
    lines = [
        good,
        b'{"id": "caf\xe9"}',
        b"{broken",
        b'{"id": 1, "id": 2}',
        b"[1]",
        b'{"x": 1}',
        b"",
        good,
    ]
    path = tmp_path / "export.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + b"\r\n".join(lines))
    rows = read(path)
    assert [type(row) for row in rows] == [RawTask, *[Refusal] * 5, RawTask]
    assert [row.place for row in rows] == [1, 2, 3, 4, 5, 6, 8]
    assert {row.reason for row in rows if isinstance(row, Refusal)} == {"unreadable"}


def test_an_export_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "e.jsonl", agreed("c-1", "joy"))

    def change(rows: Iterator[RawTask | Refusal]) -> None:
        next(rows)
        with path.open("a") as stream:
            stream.write("\n")
        list(rows)

    with pytest.raises(ConfigError, match="changed while it was read"):
        change(Export(path, "emotion").read())


def test_an_array_is_read_the_same_however_it_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = [task(annotation(1, "joy"), text="đây là một câu 😀 " * n) for n in range(1, 40)]
    path = write(tmp_path, value)
    whole = read_tasks(path)
    for size in (1, 7, 1000):
        monkeypatch.setattr("assay.adapters.relabel_export._CHUNK", size)
        if size > 1 or path.stat().st_size < 100_000:
            assert read_tasks(path) == whole
