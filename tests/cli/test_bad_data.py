"""Files that are not what they should be: `invalid` with the place and the fault, never a number.

Every fault is put into a file that is else right, so that only the fault can explain the outcome.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Assay, Outcome
from tests.cli_desk import SECRET, Desk, Row, answer, make_desk, to_jsonl

Spoil = Callable[[list[Row]], bytes]


def assert_invalid(done: Outcome, *words: str) -> None:
    """The verdict is invalid, says why in these words, and holds no number about the candidate."""
    assert done.code == 12
    assert done.document["verdict"] == "invalid"
    for word in words:
        assert word in done.reason
    assert done.document["findings"] == []
    assert not any(done.document["metrics"].values())
    assert done.document["next_steps"]
    assert SECRET not in done.out + done.err


def changed(number: int, **changes: Any) -> Spoil:
    """One line with other fields; a field that is `...` is left out."""

    def spoil(rows: list[Row]) -> bytes:
        row = {k: v for k, v in (rows[number] | changes).items() if v is not ...}
        return to_jsonl([*rows[:number], row, *rows[number + 1 :]])

    return spoil


def literal(number: int, name: str, text: str) -> Spoil:
    """One line with a field of that very text, which may be no JSON."""

    def spoil(rows: list[Row]) -> bytes:
        lines = to_jsonl(rows).splitlines(keepends=True)
        lines[number] = lines[number].rstrip()[:-1] + f', "{name}": {text}}}\n'.encode()
        return b"".join(lines)

    return spoil


def line(number: int, content: bytes) -> Spoil:
    """One line of other bytes."""

    def spoil(rows: list[Row]) -> bytes:
        lines = to_jsonl(rows).splitlines(keepends=True)
        return b"".join([*lines[:number], content + b"\n", *lines[number + 1 :]])

    return spoil


ANY_FILE: list[tuple[str, Spoil, str]] = [
    ("no JSON", line(2, b"id,text,label"), ":3: not valid JSON"),
    ("a JSON text", line(2, json.dumps(SECRET).encode()), ":3: the document: expected a mapping"),
    ("a JSON list", line(2, b'["a"]'), ":3: the document: expected a mapping"),
    ("NUL bytes", line(2, b"\0" * 99), ":3: not valid JSON"),
    ("invalid UTF-8", line(2, b'{"id": "caf\xe9"}'), ":3: byte 0xe9 is not UTF-8"),
    ("UTF-16", lambda rows: to_jsonl(rows).decode().encode("utf-16"), ":1: byte 0xff is not UTF-8"),
    ("a last line cut short", lambda rows: to_jsonl(rows)[:-20], ":300: not valid JSON"),
    ("half a surrogate pair", literal(2, "x", '"\\ud83d"'), ":3: not valid JSON (half of a"),
    ("deep nesting", line(2, b"[" * 100_000), ":3: not valid JSON (nested too deeply)"),
    (
        "a key given twice",
        literal(2, "lang", '"en", "lang": "vi"'),
        ":3: not valid JSON (key 'lang'",
    ),
    ("an endless number", literal(2, "x", "9" * 5000), ":3: not valid JSON (a number of too many"),
    ("an extra field", changed(2, sentence=SECRET), ":3: sentence: Extra inputs"),
    ("text as a field's name", changed(2, **{SECRET + " !": 1}), ":3: an unknown field: Extra"),
]
GOLDEN: list[tuple[str, Spoil, str]] = [
    ("empty", lambda rows: b"", "holds no case"),
    ("only blank lines", lambda rows: b"\n \r\n\n", "holds no case"),
    ("a wrong label", changed(4, label="hapiness"), ":5: case 'c-0004' has label 'hapiness'"),
    ("a huge label", changed(4, label="x" * 10**6), ":5: case 'c-0004' has label 'xxx"),
    ("an id given twice", changed(4, id="c-0001"), ":5: id 'c-0001' appears twice"),
    ("an empty text", changed(4, text=""), ":5: text: the text is empty"),
    ("a blank text", changed(4, text=" \u00a0\t"), ":5: text: the text is empty"),
    ("an invisible text", changed(4, text="\u200b\u200d"), ":5: text: the text is empty"),
    ("no text", changed(4, text=...), ":5: the document: expected text"),
    ("a null text", changed(4, text=None), ":5: the document: expected text"),
    ("a null label", changed(4, label=None), ":5: label: Input should be a valid string, found N"),
    ("a missing field", changed(4, stratum=...), ":5: stratum: Field required"),
    ("a number as id", changed(4, id=17), ":5: id: Input should be a valid string, found 17"),
    ("an id a terminal obeys", changed(4, id="c\x1b[2J"), ":5: id: String should match"),
    ("an endless id", changed(4, id="c" * 10**6), ":5: id: String should have at most 200"),
    ("text where a list belongs", changed(4, slices="short"), ":5: slices: expected a list"),
    ("an agreement beyond 1", changed(4, agreement=7), ":5: agreement: Input should be less"),
    ("NaN", literal(4, "agreement", "NaN"), ":5: not valid JSON (holds NaN"),
]
PREDICTIONS: list[tuple[str, Spoil, str]] = [
    ("empty", lambda rows: b"", "300 of 300 questions have no answer (c-0000, c-0001"),
    (
        "answers missing",
        lambda rows: to_jsonl(rows[3:]),
        "3 of 300 questions have no answer (c-0000",
    ),
    (
        "answers given twice",
        lambda rows: to_jsonl([*rows, rows[7]]),
        "answered more than once (c-0007)",
    ),
    ("unknown cases", lambda rows: to_jsonl([*rows, answer("zzz", "joy")]), "unknown cases (zzz)"),
    (
        "a label outside the task",
        changed(4, label="glee"),
        "a label the task does not have ('glee'",
    ),
    ("a label in other case", changed(4, label="Joy"), "a label the task does not have ('Joy'"),
    (
        "a number as label",
        changed(4, label=3),
        ":5: label: Input should be a valid string, found 3",
    ),
    ("a number as id", changed(4, case_id=3), ":5: case_id: Input should be a valid string"),
    ("an unknown status", changed(4, status="great"), ":5: status: Input should be 'ok'"),
    ("invalid, with a label", changed(4, status="invalid"), ":5: the document: status 'invalid'"),
    ("ok, without a label", changed(4, label=None), "a label the task does not have (None"),
    (
        "NaN log-probability",
        literal(4, "label_logprobs", '{"joy": NaN}'),
        ":5: not valid JSON (holds N",
    ),
    ("infinite log-probability", literal(4, "label_logprobs", '{"joy": -Infinity}'), "-Infinity"),
    ("infinity by the back door", literal(4, "e2e_ms", "1e999"), ":5: not valid JSON (the number"),
    (
        "words as log-probability",
        changed(4, label_logprobs={"joy": "high"}),
        ":5: label_logprobs.joy",
    ),
    ("a time below zero", changed(4, e2e_ms=-1), ":5: e2e_ms: Input should be greater"),
    ("true as a time", changed(4, e2e_ms=True), ":5: e2e_ms: Input should be a valid number"),
    ("text as a time", changed(4, ttft_ms="12"), ":5: ttft_ms: Input should be a valid number"),
    ("more tokens than can be", changed(4, prompt_tokens=2**60), ":5: prompt_tokens: Input should"),
    ("the golden file itself", lambda rows: to_jsonl(make_rows()), ":1: case_id: Field required"),
]


def make_rows() -> list[Row]:
    from tests.cli_desk import golden_rows

    return golden_rows(100)


def named(faults: list[tuple[str, Spoil, str]]) -> list[Any]:
    return [pytest.param(spoil, words, id=name) for name, spoil, words in faults]


@pytest.mark.parametrize(("spoil", "words"), named(ANY_FILE + GOLDEN))
def test_a_golden_file_that_is_not_one(assay: Assay, desk: Desk, spoil: Spoil, words: str) -> None:
    desk.write("golden.jsonl", spoil(desk.cases))
    assert_invalid(assay(*desk.judge("--json")), "golden.jsonl", words)


@pytest.mark.parametrize("role", ["candidate", "production"])
@pytest.mark.parametrize(("spoil", "words"), named(ANY_FILE + PREDICTIONS))
def test_a_predictions_file_that_is_not_one(
    assay: Assay, desk: Desk, spoil: Spoil, words: str, role: str
) -> None:
    desk.write(f"{role}.jsonl", spoil(desk.answers(seed=1)))
    assert_invalid(assay(*desk.judge("--json")), role, words)


@pytest.mark.parametrize("name", ["golden.jsonl", "candidate.jsonl", "production.jsonl"])
@pytest.mark.parametrize("instead", ["folder", "nothing", "link to nothing", "loop"])
def test_something_else_where_a_file_should_be(
    assay: Assay, desk: Desk, name: str, instead: str
) -> None:
    path = desk.folder / name
    path.unlink()
    if instead == "folder":
        path.mkdir()
    elif instead != "nothing":
        path.symlink_to("nowhere" if instead == "link to nothing" else name)
    assert_invalid(assay(*desk.judge("--json")), f"{name}: ")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run the command as somebody else")
def test_a_file_of_somebody_else(desk: Desk) -> None:
    (desk.folder / "golden.jsonl").chmod(0o000)
    nobody: dict[str, Any] = {"user": 65534, "group": 65534, "extra_groups": ()}
    if subprocess.run(["test", "-x", sys.executable], check=False, **nobody).returncode:
        pytest.skip("the installation is not for others")
    for parent in (desk.folder, *desk.folder.parents[:3]):
        parent.chmod(0o755)
    program = "import sys; from assay.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, desk.judge("--json"))],
        cwd=desk.folder, capture_output=True, timeout=120, check=False, **nobody,
    )  # fmt: skip
    outcome = Outcome(code=done.returncode, out=done.stdout.decode(), err=done.stderr.decode())
    assert_invalid(outcome, "golden.jsonl: cannot be read (Permission denied)")


@pytest.mark.parametrize("name", ["golden.jsonl", "candidate.jsonl", "production.jsonl"])
def test_windows_line_ends_a_byte_order_mark_and_blank_lines_change_nothing(
    assay: Assay, desk: Desk, name: str
) -> None:
    first = assay(*desk.judge("--json"))
    content = (desk.folder / name).read_bytes()
    desk.write(name, b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n") + b"\r\n \r\n")
    second = assay(*desk.judge("--json"))
    assert (second.code, second.out) == (first.code, first.out)


def test_a_byte_order_mark_in_the_middle_is_no_blank(assay: Assay, desk: Desk) -> None:
    rows = to_jsonl(desk.cases)
    desk.write("golden.jsonl", rows[:-1] + b"\n\xef\xbb\xbf\n")
    assert_invalid(
        assay(*desk.judge("--json")), ":301: not valid JSON (it begins with a byte order"
    )


def test_one_huge_line_is_read(assay: Assay, desk: Desk) -> None:
    desk.cases[0]["text"] = SECRET * 200_000
    desk.write("golden.jsonl", desk.cases)
    assert assay(*desk.judge("--json")).code == 0


def test_all_faults_of_both_models_are_named_at_once(assay: Assay, desk: Desk) -> None:
    desk.write("candidate.jsonl", desk.answers()[1:])
    desk.write("production.jsonl", [*desk.answers(), answer("zzz", "joy")])
    done = assay(*desk.judge("--json"))
    assert_invalid(done, "candidate predictions: 1 of 300", "production predictions: 1 answer is")


def test_a_folder_of_good_files_is_promoted(assay: Assay, tmp_path: Path) -> None:
    """What every test above spoils is right before it is spoilt."""
    folder = tmp_path / "good"
    folder.mkdir()
    desk = make_desk(folder)
    paths = [
        folder / part if str(part).endswith((".jsonl", ".yaml")) else part for part in desk.judge()
    ]
    assert assay(*paths, "--task", folder / "task.yaml").code == 0
