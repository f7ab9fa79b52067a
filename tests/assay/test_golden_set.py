"""Reading golden files and probes: what is refused, with which words, and what identifies a set."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import ConfigError, TooFewCasesError
from assay.golden_frozen import canonical, describe_frozen, to_jsonl
from assay.golden_set import (
    GoldenSet,
    full_row,
    golden_digest,
    index_row,
    load_golden,
    load_probes,
    parse_golden,
    parse_probes,
)
from assay.golden_stats import stats
from assay.records import GoldenCase

LABELS = ("joy", "anger")
SECRET = "the words of a case"
ROW = {
    "id": "c-1",
    "text": SECRET,
    "label": "joy",
    "lang": "en",
    "source": "handwritten",
    "stratum": "core",
    "slices": ["short"],
    "added_in": "1.0.0",
}
PROBE = {"id": "p-1", "text": SECRET, "lang": "en", "kind": "pii"}


def jsonl(*rows: object) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def golden_of(*rows: object) -> GoldenSet:
    return parse_golden(jsonl(*rows), "g.jsonl", LABELS, revision="r")


def without(field: str) -> dict[str, object]:
    return {name: value for name, value in ROW.items() if name != field}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (ROW | {"id": "c-2", "label": "hapiness"}, ["'c-2'", "'hapiness'", "'joy', 'anger'"]),
        (ROW, ["'c-1' appears twice"]),
        (ROW | {"id": "c-2", "text": ""}, ["text is empty"]),
        (ROW | {"id": "c-2", "text": " \u3000\t"}, ["text is empty"]),
        (ROW | {"id": ""}, ["id:"]),
        (ROW | {"id": "c-2", "colour": "red"}, ["colour", "Extra inputs"]),
        (ROW | {"id": "c-2", "stratum": "silver"}, ["stratum", "'silver'"]),
        (ROW | {"id": "c-2", "slices": "short"}, ["slices", "'short'"]),
        (ROW | {"id": "c-2", "agreement": 3}, ["agreement", "found 3"]),
        (ROW | {"id": "c-2", "text_sha256": "0" * 64}, ["text_sha256 alone"]),
        (without("label"), ["label: Field required"]),
        (without("text"), ["expected text"]),
        (["c-2"], ["the document"]),
    ],
)
def test_a_wrong_line_is_named_and_never_quoted(
    tmp_path: Path, line: object, expected: list[str]
) -> None:
    path = tmp_path / "golden.jsonl"
    path.write_text(jsonl(ROW, line), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_golden(path, LABELS)
    message = str(caught.value)
    assert message.startswith(f"{path}:2: ")
    assert all(part in message for part in expected), message
    assert SECRET not in message


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "holds no case"),
        (b"\n  \n", "holds no case"),
        (jsonl(ROW).encode() + b'{"id": "c-2", "text": "caf\xe9"}\n', ":2: byte 0xe9 is not UTF-8"),
        (jsonl(ROW).encode() + b'{"id": \n', ":2: not valid JSON"),
        (jsonl(ROW).encode() + b'{"id": "c-2", "id": "c-3"}\n', "'id' appears twice"),
        (jsonl(ROW).encode() + b'{"id": "c-2", "agreement": NaN}\n', "holds NaN"),
        (b"\xff\xfe" + jsonl(ROW).encode("utf-16-le"), "is not UTF-8"),
    ],
)
def test_a_file_that_is_no_golden_file_is_refused(
    tmp_path: Path, content: bytes, expected: str
) -> None:
    path = tmp_path / "golden.jsonl"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"golden\.jsonl") as caught:
        load_golden(path, LABELS)
    assert expected in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file; name an existing file"):
        load_golden(tmp_path / "golden.jsonl", LABELS)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_golden(tmp_path, LABELS)


def test_cases_come_in_the_order_of_their_ids_whatever_the_file_says() -> None:
    rows = [ROW | {"id": name, "text": name} for name in ("c-3", "c-1", "c-2")]
    golden = golden_of(*rows)
    assert [case.id for case in golden.cases] == ["c-1", "c-2", "c-3"]
    assert golden.digest == golden_of(*reversed(rows)).digest
    assert golden.size == 3


@pytest.mark.parametrize(
    "change",
    [
        {"id": "c-9"},
        {"text": SECRET + "."},
        {"label": "anger"},
        {"lang": "vi"},
        {"slices": []},
        {"added_in": "1.0.1"},
        {"agreement": 0.5},
        {"annotations": [{"annotator": "a1", "label": "joy"}]},
    ],
)
def test_whatever_changes_in_a_case_changes_the_digest(change: dict[str, object]) -> None:
    assert golden_of(ROW).digest != golden_of(ROW | change).digest


def test_evidence_without_texts_proves_which_set_was_used() -> None:
    golden = golden_of(ROW, ROW | {"id": "c-2", "text": "other words"})
    evidence = jsonl(*map(index_row, golden.cases))
    assert SECRET not in evidence
    read_back = parse_golden(evidence, "evidence", LABELS, revision="r")
    assert read_back.digest == golden.digest
    assert read_back.cases[0].text is None
    with pytest.raises(ConfigError, match="only the digest of its text"):
        full_row(read_back.cases[0])


def test_probes_are_read_from_a_file_or_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(jsonl(PROBE | {"id": "p-2"}), encoding="utf-8")
    (tmp_path / "b.jsonl").write_text(jsonl(PROBE), encoding="utf-8")
    assert [probe.id for probe in load_probes(tmp_path)] == ["p-1", "p-2"]
    assert [probe.id for probe in load_probes(tmp_path / "b.jsonl")] == ["p-1"]
    (tmp_path / "c.jsonl").write_text(jsonl(PROBE), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"c\.jsonl:1: id 'p-1' appears twice"):
        load_probes(tmp_path)


def test_no_probe_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no probe"):
        load_probes(tmp_path)
    with pytest.raises(ConfigError, match="holds no probe"):
        parse_probes("\n", "probes.jsonl")


words = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=30
).filter(lambda text: any(map(str.isalnum, text)))
rows = st.builds(
    lambda text, label, slices: ROW | {"text": text, "label": label, "slices": slices},
    words,
    st.sampled_from(LABELS),
    st.lists(st.sampled_from(["short", "emoji", "typos"]), unique=True),
)


@given(st.lists(rows, min_size=1, max_size=6))
def test_freezing_loses_nothing_and_is_its_own_fixed_point(drawn: list[dict[str, object]]) -> None:
    named = [row | {"id": f"c-{number}"} for number, row in enumerate(drawn)]
    frozen = canonical(golden_of(*named).cases)
    written = to_jsonl(frozen)
    read_back = parse_golden(written.decode(), "f", LABELS, revision="r")
    assert read_back.cases == frozen
    assert read_back.digest == golden_digest(frozen)
    assert to_jsonl(canonical(read_back.cases)) == written
    assert to_jsonl(canonical(golden_of(*reversed(named)).cases)) == written


def test_two_unicode_forms_of_a_text_freeze_to_the_same_bytes() -> None:
    composed, decomposed = (
        golden_of(ROW | {"text": "vui quá"}),
        golden_of(ROW | {"text": "vui qua\u0301"}),
    )
    assert composed.digest != decomposed.digest
    frozen = [canonical(golden.cases) for golden in (composed, decomposed)]
    assert to_jsonl(frozen[0]) == to_jsonl(frozen[1])
    probes = parse_probes(jsonl(PROBE), "p")
    assert describe_frozen("1.0.0", frozen[0], probes).golden.rows == 1


def test_counts_show_the_cells_that_hold_nothing() -> None:
    golden = golden_of(ROW, ROW | {"id": "c-2", "label": "anger", "lang": "vi", "slices": []})
    counted = stats(golden)
    assert counted.by_label_lang == {"anger": {"en": 0, "vi": 1}, "joy": {"en": 1, "vi": 0}}
    assert counted.by_label_lang_slice["anger"]["vi"] == {"short": 0}
    assert counted.by_slice == {"short": 1}
    assert counted.text_length == {"smallest": 19, "median": 19, "largest": 19}
    assert json.loads(json.dumps(counted.to_json()))["cases"] == 2


def test_counting_evidence_says_nothing_about_lengths_and_an_empty_set_is_refused() -> None:
    evidence = jsonl(*map(index_row, golden_of(ROW).cases))
    golden = parse_golden(evidence, "evidence", LABELS, revision="r")
    assert stats(golden).text_length is None
    nothing: tuple[GoldenCase, ...] = ()
    with pytest.raises(TooFewCasesError, match="holds no case"):
        stats(GoldenSet(cases=nothing, digest=golden.digest, revision="r"))
