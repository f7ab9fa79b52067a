"""The overlap check: what it finds, what it prints, how it exits."""

import json
from pathlib import Path

import pytest

import overlap

SECRET = "The ferry to the island was cancelled and nobody told us a thing"


def write(path: Path, **texts: str) -> Path:
    """Writes id -> text as JSONL."""
    rows = (json.dumps({"id": key, "text": text, "label": "x"}) for key, text in texts.items())
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def run(tmp_path: Path, training: dict[str, str], golden: dict[str, str]) -> int:
    """Runs the command on two small sets."""
    rows, cases = write(tmp_path / "t.jsonl", **training), write(tmp_path / "g.jsonl", **golden)
    return overlap.main(["--rows", str(rows), "--golden", str(cases)])


@pytest.mark.parametrize(
    "copied",
    [
        SECRET,
        SECRET.upper() + "!!",
        SECRET.replace(" ", "  "),
        SECRET.replace("cancelled", "canceled"),
    ],
)
def test_a_copied_case_is_named_by_id_and_its_text_is_not_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], copied: str
) -> None:
    assert run(tmp_path, {"t1": copied, "t2": "Quite another line here"}, {"g1": SECRET}) == 1
    out, err = capsys.readouterr()
    assert out.split("\t")[:2] == ["g1", "t1"]
    assert "ferry" not in (out + err).lower()


def test_different_texts_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, {"t1": "The sea was calm all day long"}, {"g1": SECRET}) == 0
    assert "no twins" in capsys.readouterr().err


def test_short_texts_are_compared_whole(tmp_path: Path) -> None:
    assert run(tmp_path, {"t1": "so happy!"}, {"g1": "So happy"}) == 1
    assert run(tmp_path, {"t1": "so happy"}, {"g1": "so nappy"}) == 0


def test_nothing_to_compare_is_an_error_not_a_pass(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    cases = write(tmp_path / "g.jsonl", g1=SECRET)
    assert overlap.main(["--rows", str(tmp_path / "empty"), "--golden", str(cases)]) == 2
    assert "nothing was compared" in capsys.readouterr().err


def test_a_line_without_an_id_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = tmp_path / "t.jsonl"
    rows.write_text(json.dumps({"text": SECRET}), encoding="utf-8")
    cases = write(tmp_path / "g.jsonl", g1=SECRET)
    assert overlap.main(["--rows", str(rows), "--golden", str(cases)]) == 2
    err = capsys.readouterr().err
    assert f"{rows}:1" in err
    assert "ferry" not in err


def test_an_id_that_stands_twice_is_an_error(tmp_path: Path) -> None:
    one = write(tmp_path / "a.jsonl", t1="one line of text here")
    two = write(tmp_path / "b.jsonl", t1="another line of text here")
    cases = write(tmp_path / "g.jsonl", g1=SECRET)
    arguments = ["--rows", str(one), str(two), "--golden", str(cases)]
    assert overlap.main(arguments) == 2
