"""Ingesting people's answers: what becomes of them, and that it may be repeated in any way."""

import random
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay.errors import ConfigError
from assay.golden_frozen import to_jsonl
from assay.relabelling.policy import AnnotatorRules, Consensus, Quotas, RelabelPolicy
from assay.relabelling.training import TrainingText
from flows.relabel_ingestion import Ingested, report_rows
from flows.relabel_summary import summarise
from tests.relabel_rig import (
    BASE,
    LABELS,
    Row,
    agreed,
    answer,
    case,
    golden,
    ingest_rows,
    reasons,
    text_of,
)

PEOPLE = ("an", "binh", "chi", "dung", "eve")


def golden_bytes(found: Ingested) -> bytes:
    return to_jsonl(found.after.cases)


def test_three_people_who_agree_make_a_case_and_two_do_not(tmp_path: Path) -> None:
    rows = [*agreed("c-1", "joy"), *agreed("c-2", "fear", ("an", "binh"))]
    found = ingest_rows(tmp_path, rows)
    assert reasons(found) == {"c-1": "accepted: added", "c-2": "quarantined: waiting"}
    added = next(one for one in found.after.cases if one.id == "c-1")
    assert (added.label, added.stratum, added.agreement, added.added_in) == (
        "joy",
        "hitl",
        1.0,
        "1.1.0",
    )
    assert len(added.annotations) == 3
    assert all(one.annotator.startswith("p-") for one in added.annotations)


def test_two_thirds_are_a_majority_and_a_tie_goes_to_adjudication(tmp_path: Path) -> None:
    rows = [
        *agreed("c-1", "joy", ("an", "binh")),
        answer("c-1", "chi", "fear"),
        *agreed("c-2", "joy", ("an", "binh")),
        *agreed("c-2", "fear", ("chi", "dung")),
    ]
    found = ingest_rows(tmp_path, rows)
    assert reasons(found) == {"c-1": "accepted: added", "c-2": "quarantined: adjudication"}
    told = {row["id"]: row["votes"] for row in report_rows(found)}
    assert told["c-2"] == {"fear": 2, "joy": 2}


def test_an_adjudicator_decides_a_tie(tmp_path: Path) -> None:
    rows = [*agreed("c-1", "joy", ("an", "binh")), *agreed("c-1", "fear", ("chi", "dung"))]
    first = ingest_rows(tmp_path, rows)
    pseudonym = next(iter(first.ledger.items.values())).answers
    dung = next(who for who, a in pseudonym.items() if a.label == "fear")
    rules = RelabelPolicy(consensus=Consensus(adjudicators=(dung,)))
    found = ingest_rows(tmp_path, rows, policy=rules)
    assert reasons(found) == {"c-1": "accepted: added"}
    assert found.after.cases[0].label == "fear"


def test_only_the_random_share_enters_the_core(tmp_path: Path) -> None:
    rows = [
        *agreed("c-1", "joy", selection="random"),
        *agreed("c-2", "joy", selection="thumbs_down"),
        *agreed("c-3", "joy"),
    ]
    found = ingest_rows(tmp_path, rows)
    strata = {one.id: one.stratum for one in found.after.cases if one.id.startswith("c-")}
    assert strata == {"c-1": "core", "c-2": "hitl", "c-3": "hitl"}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"skipped": True}, "skipped"),
        ({"label": None}, "empty"),
        ({"label": "hapiness"}, "unknown_label"),
        ({"label": ["joy", "fear"]}, "several_labels"),
        ({"lead_time_s": 0.4}, "too_fast"),
    ],
)
def test_an_answer_that_is_none_does_not_count(tmp_path: Path, changes: Row, why: str) -> None:
    rows = [*agreed("c-1", "joy", ("an", "binh")), answer("c-1", "chi", "joy") | changes]
    found = ingest_rows(tmp_path, rows)
    assert reasons(found) == {"c-1": "quarantined: waiting"}
    (row,) = report_rows(found)
    assert list(row["not_counted"].values()) == [why]
    assert summarise(found, {}).answers_not_counted == {why: 1}


def test_a_persons_latest_word_counts_also_where_it_is_a_skip(tmp_path: Path) -> None:
    late = {"at": "2026-11-24T00:00:00+00:00"}
    rows = [
        *agreed("c-1", "joy"),
        answer("c-1", "chi", "fear", **late),
        *agreed("c-2", "joy"),
        answer("c-2", "chi", None, skipped=True, **late),
    ]
    found = ingest_rows(tmp_path, rows)
    assert reasons(found) == {"c-1": "accepted: added", "c-2": "quarantined: waiting"}
    assert found.after.cases[0].agreement == pytest.approx(2 / 3, abs=1e-4)


def test_who_fails_the_honeypots_does_not_count(tmp_path: Path) -> None:
    traps = [case(f"h-{n}", text_of(500 + n), "joy") for n in range(5)]
    rows = agreed("c-1", "anger")
    for n in range(5):
        for who in ("an", "binh", "chi"):
            label = "fear" if who == "chi" else "joy"
            rows.append(answer(f"h-{500 + n}", who, label, id=f"h-{n}", honeypot=True))
    found = ingest_rows(tmp_path, rows, golden([*BASE, *traps]))
    said = reasons(found)
    assert said["c-1"] == "quarantined: waiting"
    assert said["h-0"] == "accepted: honeypot"
    out = [one for one in summarise(found, {}).annotators if one.out]
    assert [(one.out, one.honeypot_accuracy) for one in out] == [("failed_honeypots", 0.0)]


def test_who_gives_nine_tenths_of_all_labels_does_not_make_the_set(tmp_path: Path) -> None:
    rows = [answer(f"c-{n}", "an", "joy") for n in range(60)]
    rows += agreed("c-1", "joy", ("binh", "chi"))
    found = ingest_rows(tmp_path, rows)
    assert reasons(found)["c-1"] == "quarantined: annotator-cap"
    out = [one for one in summarise(found, {}).annotators if one.out]
    assert [one.out for one in out] == ["over_cap"]
    lenient = RelabelPolicy(annotators=AnnotatorRules(max_share=1.0))
    assert reasons(ingest_rows(tmp_path, rows, policy=lenient))["c-1"] == "accepted: added"


def test_repetitions_leaks_and_full_quotas_are_refused(tmp_path: Path) -> None:
    rows = [
        *agreed("c-1", "joy", source="a"),
        *agreed("c-2", "joy", source="a"),
        *agreed("c-3", "joy", source="a"),
        *agreed("c-4", "fear", text="The harbour lights went out, one by one!"),
        *agreed("c-5", "fear", text=text_of(1).replace("s", "z", 1) + "."),
        *agreed("c-6", "fear"),
        *agreed("c-7", "fear", source="a"),
    ]
    rules = RelabelPolicy(quotas=Quotas(per_label=2, per_source=2))
    leak = TrainingText("train.jsonl", [text_of(6)])
    found = ingest_rows(tmp_path, rows, policy=rules, training=[leak])
    assert reasons(found) == {
        "c-1": "accepted: added",
        "c-2": "accepted: added",
        "c-3": "quarantined: label-quota",
        "c-4": "rejected: duplicate",
        "c-5": "rejected: duplicate",
        "c-6": "rejected: leak",
        "c-7": "quarantined: source-quota",
    }


def relabels(case_id: str, label: str, **more: Any) -> list[Row]:
    text = next(one.text for one in BASE if one.id == case_id)
    return agreed(case_id, label, text=text, **more)


def test_a_relabel_supersedes_with_history_and_keeps_the_case(tmp_path: Path) -> None:
    first = ingest_rows(tmp_path, [*relabels("g-1", "fear"), *relabels("g-2", "anger")])
    assert reasons(first) == {"g-1": "accepted: relabelled", "g-2": "accepted: confirmed"}
    row = next(one for one in first.history if one.case_id == "g-1")
    assert row.previous is not None
    assert (row.change, row.previous.label, row.label, row.supersedes) == (
        "relabelled",
        "joy",
        "fear",
        None,
    )
    changed = first.after.cases[0]
    assert (changed.label, changed.stratum, changed.added_in) == ("fear", "core", "1.0.0")
    late = {"at": "2026-11-24T00:00:00Z"}
    again = ingest_rows(tmp_path, relabels("g-1", "anger", **late), first.after)
    assert again.after.cases[0].label == "anger"
    assert again.history[:2] == first.history
    assert again.history[2].supersedes == row.id


def test_a_case_whose_answers_no_longer_count_is_withdrawn_and_said_so(tmp_path: Path) -> None:
    first = ingest_rows(tmp_path, [*agreed("c-1", "joy"), *relabels("g-1", "fear")])
    late = {"at": "2026-11-24T00:00:00Z", "skipped": True}
    rows = [answer("c-1", "an", None, **late), answer("g-1", "an", None, text=BASE[0].text, **late)]
    found = ingest_rows(tmp_path, rows, first.after)
    assert [(one.case_id, one.change) for one in found.changes] == [
        ("c-1", "withdrawn"),
        ("g-1", "relabelled"),
    ]
    assert golden_bytes(found) == to_jsonl(BASE)


def test_an_id_that_names_another_text_changes_nothing(tmp_path: Path) -> None:
    rows = [
        *agreed("g-1", "fear", text="quite another text than the golden case has"),
        *agreed("c-1", "joy"),
        *agreed("c-1", "fear", text="and another one again", at="2026-11-25T00:00:00Z"),
    ]
    found = ingest_rows(tmp_path, rows)
    said = sorted((key[0], f"{fate.status}: {fate.reason}") for key, fate in found.fates())
    assert said == [
        ("c-1", "accepted: added"),
        ("c-1", "quarantined: other-text"),
        ("g-1", "rejected: other-text"),
    ]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"text": "a" * 5000}, "quarantined: too-long"),
        ({"text": "x" * 10_000_000}, "quarantined: too-long"),
        ({"text": "one \x1b[31m two"}, "quarantined: control-characters"),
        ({"text": "fish &amp; chips<br>again"}, "quarantined: markup"),
        ({"text": "cÃ´ Ä‘Æ¡n quÃ¡"}, "quarantined: encoding"),
        ({"text": "what \ufffd is this"}, "quarantined: encoding"),
        ({"text": "\u200b \u2060"}, "quarantined: empty-text"),
        ({"text": "+84 912 345 678 a@b.example"}, "quarantined: redacted-away"),
        ({"text": None}, "rejected: no-text"),
        ({"lang": None}, "rejected: no-language"),
        ({"id": None}, "rejected: no-id"),
        ({"id": "c\n1"}, "rejected: no-id"),
    ],
)
def test_a_row_that_is_not_fit_is_named_with_the_reason_and_stored_nowhere(
    tmp_path: Path, changes: Row, why: str
) -> None:
    found = ingest_rows(tmp_path, [*agreed("c-2", "joy"), answer("c-1", "an", "joy") | changes])
    said = reasons(found)
    assert said.pop("c-2") == "accepted: added"
    assert list(said.values()) == [why]
    assert len(found.ledger.items) == 1
    if changes.get("text"):
        assert changes["text"][:20] not in str(list(report_rows(found)))


def test_people_and_what_names_them_are_stored_nowhere(tmp_path: Path) -> None:
    who = "ann1@example.com"
    rows = agreed(
        "c-1",
        "joy",
        (who, "binh", "chi"),
        text="I told mai@example.org twice already, and nobody answers",
    )
    ingest_rows(tmp_path, rows)
    for name in ("answers.jsonl", "history.jsonl"):
        assert "@" not in (tmp_path / name).read_text()
    assert "[EMAIL]" in (tmp_path / "answers.jsonl").read_text()


def test_a_ledger_of_another_salt_is_refused(tmp_path: Path) -> None:
    ingest_rows(tmp_path, agreed("c-1", "joy"))
    with pytest.raises(ConfigError, match="the same person counts as two"):
        ingest_rows(tmp_path, agreed("c-1", "joy"), salt=b"another salt altogether")


ANSWERS = st.lists(
    st.builds(
        lambda n, who, label, minute, skip: answer(
            f"c-{n}" if n else "g-1",
            who,
            label,
            text=text_of(n) if n else BASE[0].text,
            at=f"2026-11-23T12:{minute:02}:00Z",
            skipped=skip,
        ),
        st.integers(0, 4),
        st.sampled_from(PEOPLE),
        st.sampled_from([*LABELS, *LABELS[:1] * 4]),
        st.integers(0, 5),
        st.sampled_from([False] * 9 + [True]),
    ),
    min_size=2,
    max_size=40,
)
QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
QUOTAS = RelabelPolicy(
    annotators=AnnotatorRules(cap_from=15, max_share=0.4), quotas=Quotas(per_label=2)
)


@QUICK
@given(rows=ANSWERS, seed=st.integers(0, 99))
def test_order_does_not_matter(rows: list[Row], seed: int) -> None:
    shuffled = random.Random(seed).sample(rows, len(rows))
    with TemporaryDirectory() as one, TemporaryDirectory() as two:
        first = ingest_rows(Path(one), rows, policy=QUOTAS)
        second = ingest_rows(Path(two), shuffled, policy=QUOTAS)
        for name in ("history.jsonl", "answers.jsonl"):
            assert (Path(one) / name).read_bytes() == (Path(two) / name).read_bytes()
    assert golden_bytes(first) == golden_bytes(second)
    assert reasons(first) == reasons(second)


@QUICK
@given(rows=ANSWERS)
def test_the_same_export_twice_changes_nothing(rows: list[Row]) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        first = ingest_rows(folder, rows, policy=QUOTAS)
        kept = [(folder / n).read_bytes() for n in ("history.jsonl", "answers.jsonl")]
        second = ingest_rows(folder, rows, first.after, policy=QUOTAS)
        assert [(folder / n).read_bytes() for n in ("history.jsonl", "answers.jsonl")] == kept
    assert second.changes == ()
    assert golden_bytes(second) == golden_bytes(first)


@QUICK
@given(rows=ANSWERS, seed=st.integers(0, 99), share=st.floats(0.1, 0.9))
def test_half_an_export_and_then_the_whole_is_the_whole(
    rows: list[Row], seed: int, share: float
) -> None:
    half = [row for row in rows if random.Random(f"{seed}{row}").random() < share] or rows[:1]
    with TemporaryDirectory() as one, TemporaryDirectory() as two:
        begun = ingest_rows(Path(one), half, policy=QUOTAS)
        ended = ingest_rows(Path(one), rows, begun.after, policy=QUOTAS)
        whole = ingest_rows(Path(two), rows, policy=QUOTAS)
        ledgers = [(Path(n) / "answers.jsonl").read_bytes() for n in (one, two)]
    assert golden_bytes(ended) == golden_bytes(whole)
    assert ended.history[: len(begun.history)] == begun.history
    assert ledgers[0] == ledgers[1]
    assert reasons(ended) == reasons(whole)
