"""Tampering: exactly one bit of the weights, and nothing else, is changed."""

from pathlib import Path

import pytest

import tamper


def test_one_bit_of_the_weights_is_changed(tmp_path: Path) -> None:
    before = bytes(range(256)) * 16
    weights, other = tmp_path / "model.safetensors", tmp_path / "config.json"
    weights.write_bytes(before)
    other.write_text("{}")
    assert tamper.main([str(tmp_path)]) == 0
    after = weights.read_bytes()
    changed = [i for i in range(len(before)) if before[i] != after[i]]
    assert len(after) == len(before)
    assert len(changed) == 1
    assert (before[changed[0]] ^ after[changed[0]]).bit_count() == 1
    assert other.read_text() == "{}"


def test_a_file_that_may_only_be_read_is_changed_and_keeps_its_mode(tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"x" * 100)
    weights.chmod(0o444)
    tamper.tamper(tmp_path)
    assert weights.read_bytes() != b"x" * 100
    assert weights.stat().st_mode & 0o777 == 0o444


def test_a_folder_without_weights_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tamper.main([str(tmp_path)]) == 1
    assert "expected a published model" in capsys.readouterr().err
