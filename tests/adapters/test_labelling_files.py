"""Feedback files as production writes them, and the folder that remembers what was asked."""

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from assay.adapters import labelling_exports as exports
from assay.adapters.labelling_feedback import read_lines
from assay.errors import ConfigError, InfrastructureError
from assay.review.policy import ReviewPolicy
from assay.review.requests import Rejected, join_requests

ROW = {
    "request_id": "r1",
    "text": "chữ có dấu 😀",
    "label": "joy",
    "signal": "thumbs_down",
    "time": "2026-11-23T10:00:00+00:00",
}
KEY = "ab" * 32


def requests(path: Path) -> Any:
    return join_requests(
        read_lines([path]), labels=("joy",), policy=ReviewPolicy(), signalled=False
    )


def parquet(path: Path, *rows: Mapping[str, Any]) -> Path:
    pd.DataFrame(list(rows)).to_parquet(path, engine="pyarrow")
    return path


def test_jsonl_and_parquet_say_the_same(tmp_path: Path) -> None:
    lines = tmp_path / "a.jsonl"
    lines.write_text(json.dumps(ROW) + "\n\n" + json.dumps(ROW | {"request_id": "r2"}) + "\n")
    timed = ROW | {"time": datetime(2026, 11, 23, 10, tzinfo=UTC)}
    table = parquet(tmp_path / "a.parquet", timed, timed | {"request_id": "r2"})
    assert requests(lines) == requests(table)
    assert len(requests(lines)[0]) == 2


def test_nulls_of_parquet_are_missing_values(tmp_path: Path) -> None:
    rows = [ROW | {"confidence": 0.5}, ROW | {"request_id": "r2", "signal": None, "label": None}]
    found, rejected = requests(parquet(tmp_path / "a.parquet", *rows))
    assert rejected == ()
    assert [(one.id, one.label, one.confidence) for one in found] == [
        ("r1", "joy", 0.5),
        ("r2", None, None),
    ]


def test_a_line_that_cannot_be_read_is_handed_on_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    good = json.dumps(ROW).encode()
    path.write_bytes(b"\xef\xbb\xbf" + good + b"\n{half\n\xff\xfe\n[1]\n" + good + b"\r\n")
    found = list(read_lines([path]))
    assert [where.rpartition(":")[2] for where, _ in found] == ["1", "2", "3", "4", "5"]
    whys = [fields.why for _, fields in found if isinstance(fields, Rejected)]
    assert ["not valid JSON" in whys[0], "not UTF-8" in whys[1], "'list'" in whys[2]] == [True] * 3
    assert found[0][1] == found[4][1] == ROW


def test_other_columns_are_named_at_once(tmp_path: Path) -> None:
    table = parquet(tmp_path / "a.parquet", {"request_id": "r1", "sginal": "x", "text": "t"})
    with pytest.raises(ConfigError, match="unknown columns: 'sginal'; missing: 'label', 'time'"):
        list(read_lines([table]))


@pytest.mark.parametrize("content", [b"", b"PAR1 but not really", b'{"request_id": "r1"}\n'])
def test_what_is_no_parquet_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="not a Parquet file"):
        list(read_lines([path]))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.jsonl: no such file"):
        list(read_lines([tmp_path / "none.jsonl"]))


def asked_line(name: str) -> dict[str, bytes]:
    return {exports.ASKED: exports.as_jsonl(iter([{"id": name, "key": KEY}]))}


def test_the_memory_is_that_of_all_exports_of_the_folder(tmp_path: Path) -> None:
    assert exports.read_asked(tmp_path / "none").ids == frozenset()
    for name in ("a", "b"):
        exports.write_export(tmp_path, name, asked_line(name))
    assert exports.read_asked(tmp_path).ids == {"a", "b"}
    assert exports.read_asked(tmp_path).keys == {KEY}


def test_a_folder_without_a_memory_stops_the_next_export(tmp_path: Path) -> None:
    (tmp_path / "something").mkdir()
    with pytest.raises(ConfigError, match=r"no asked\.jsonl"):
        exports.read_asked(tmp_path)


def test_what_a_killed_export_left_was_never_asked_and_is_removed(tmp_path: Path) -> None:
    left = tmp_path / ".partial-x"
    left.mkdir()
    (left / exports.ASKED).write_text("half")
    assert exports.read_asked(tmp_path).ids == frozenset()
    folder = exports.write_export(tmp_path, "a", asked_line("a"))
    assert not left.exists()
    assert folder.stat().st_mode & 0o077 == 0


def test_an_export_is_never_overwritten(tmp_path: Path) -> None:
    exports.write_export(tmp_path, "a", asked_line("a"))
    with pytest.raises(ConfigError, match="never overwritten"):
        exports.write_export(tmp_path, "a", asked_line("b"))
    assert exports.read_asked(tmp_path).ids == {"a"}


def test_two_exports_do_not_write_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "_WAIT_S", 0.05)
    with (
        exports.exclusive(tmp_path),
        pytest.raises(InfrastructureError, match="another review export"),
        exports.exclusive(tmp_path),
    ):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigError, match="--out"), exports.exclusive(tmp_path / "reviews"):
        pass
