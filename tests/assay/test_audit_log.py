"""The audit log: what can be done to it without being noticed is nothing."""

import multiprocessing
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.attestation_statement import LogHead
from assay.audit_log import AuditLog
from assay.errors import ArtifactError, ConfigError

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def fill(path: Path, entries: int) -> list[LogHead]:
    log = AuditLog(path)
    return [
        log.append("verdict", who="ada", at=NOW, run_id=f"run-{number}", note="Löwe")
        for number in range(entries)
    ]


def test_what_was_appended_is_read_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "home" / "audit.jsonl"
    heads = fill(path, 3)
    report = AuditLog(path).verify(heads)
    assert [(one.number, one.run_id) for one in report.entries] == [
        (1, "run-0"), (2, "run-1"), (3, "run-2"),
    ]  # fmt: skip
    assert report.head == heads[-1]
    assert not report.torn
    assert path.read_bytes().count(b"\n") == 3


def test_a_log_that_is_not_there_is_not_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such audit log"):
        AuditLog(tmp_path / "audit.jsonl").verify()


Tampering = Callable[[list[bytes]], list[bytes]]
TAMPERED: dict[str, Tampering] = {
    "who was edited": lambda rows: [rows[0], rows[1].replace(b"ada", b"eve"), *rows[2:]],
    "the last was edited": lambda rows: [*rows[:-1], rows[-1].replace(b"ada", b"eve")],
    "one in the middle was removed": lambda rows: [*rows[:2], *rows[3:]],
    "the first was removed": lambda rows: rows[1:],
    "two were exchanged": lambda rows: [rows[0], rows[2], rows[1], *rows[3:]],
    "one was repeated": lambda rows: [rows[0], rows[0], *rows[1:]],
    "a blank line was added": lambda rows: [rows[0], b"", *rows[1:]],
    "the layout was changed": lambda rows: [rows[0].replace(b":", b": ", 1), *rows[1:]],
    "a field was added": lambda rows: [b'{"x":1,' + rows[0][1:], *rows[1:]],
    "the end was cut off": lambda rows: rows[:-2],
    "everything was cut off": lambda rows: [],
}


@pytest.mark.parametrize("what", TAMPERED)
def test_whatever_is_done_to_it_is_noticed(tmp_path: Path, what: str) -> None:
    path = tmp_path / "audit.jsonl"
    heads = fill(path, 5)
    rows = path.read_bytes().splitlines()
    changed = TAMPERED[what](rows)
    assert changed != rows
    path.write_bytes(b"".join(row + b"\n" for row in changed))
    with pytest.raises(ArtifactError, match="restore"):
        AuditLog(path).verify(heads)


def test_a_forged_log_with_a_good_chain_is_not_the_one_whose_head_was_noted(
    tmp_path: Path,
) -> None:
    heads = fill(tmp_path / "audit.jsonl", 3)
    other = tmp_path / "forged.jsonl"
    for number in range(4):
        AuditLog(other).append("verdict", who="eve", at=NOW, run_id=f"run-{number}")
    AuditLog(other).verify()
    with pytest.raises(ArtifactError, match="another history"):
        AuditLog(other).verify(heads)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_changed_byte_passes(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("log") / "audit.jsonl"
    heads = fill(path, 3)
    whole = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(whole)
    with pytest.raises(ArtifactError):
        AuditLog(path).verify(heads)


@pytest.mark.parametrize("kept", [1, 10, 60])
def test_a_line_that_a_killed_writer_left_is_moved_aside_and_said(
    tmp_path: Path, kept: int
) -> None:
    path = tmp_path / "audit.jsonl"
    heads = fill(path, 2)
    torn = path.read_bytes().splitlines()[0][:kept]
    path.write_bytes(path.read_bytes() + torn)
    assert AuditLog(path).verify(heads).torn
    AuditLog(path).append("promotion", who="ada", at=NOW)
    report = AuditLog(path).verify(heads)
    assert [one.what for one in report.entries] == ["verdict", "verdict", "repair", "promotion"]
    assert not report.torn
    (aside,) = tmp_path.glob("audit.jsonl.torn-*")
    assert aside.read_bytes() == torn


def test_nothing_is_chained_to_a_last_line_that_is_no_entry(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    fill(path, 1)
    path.write_bytes(path.read_bytes() + b"rubbish\n")
    before = path.read_bytes()
    with pytest.raises(ArtifactError, match="no entry"):
        AuditLog(path).append("verdict", who="ada", at=NOW)
    assert path.read_bytes() == before


def _append(path: str, count: int) -> None:
    for _ in range(count):
        AuditLog(Path(path)).append("verdict", who=str(os.getpid()), at=NOW)


def test_processes_that_append_at_once_keep_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    context = multiprocessing.get_context("spawn")  # a fork of a threaded process may hang
    writers = [context.Process(target=_append, args=(str(path), 25)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    report = AuditLog(path).verify()
    assert len(report.entries) == 75
    assert len({one.who for one in report.entries}) == 3
