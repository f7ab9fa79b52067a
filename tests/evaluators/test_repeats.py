"""Several answers to one case, and production asked twice: what is judged, and what is refused."""

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from assay.mutants import degraded_class
from assay.predictions import read_predictions, to_json
from assay.records import FindingStatus, Prediction, Verdict, VerdictKind
from assay.verdict import verdict_bytes
from evaluators.judgement import Judgement, RawAnswers
from evaluators.selftest import selftest
from tests.judgement_cases import answers, balanced, judged, noisy, policy, task

GOLD = balanced(150)
GOOD = noisy(GOLD, 0.9, 1)


def repeated(runs: Sequence[Sequence[str | None]]) -> RawAnswers:
    return RawAnswers(
        predictions=[
            replace(row, repeat=repeat)
            for repeat, labels in enumerate(runs)
            for row in answers(GOLD, labels)
        ]
    )


def verdict_of(
    candidate: Sequence[Sequence[str | None]],
    production: Sequence[Sequence[str | None]],
    **general: object,
) -> Judgement:
    return judged(
        GOLD, GOOD, GOOD,
        candidate=repeated(candidate), production=repeated(production),
        policy=policy(**{"repeats": 3, **general}),
    )  # fmt: skip


def noise_floor(verdict: Verdict) -> dict[str, object]:
    [found] = [f for f in verdict.findings if f.metric == "emotion_f1/noise_floor"]
    assert not found.gating
    return {"status": found.status, "reason": found.reason, "rates": (
        found.candidate, found.production
    ), "n": found.n}  # fmt: skip


def worsened(share: float) -> list[str]:
    """Good answers, some cases of fear taken for anger."""
    fear = [i for i, case in enumerate(GOLD.cases) if case.label == "fear"]
    lost = set(fear[: int(share * len(fear))])
    return ["anger" if i in lost else label for i, label in enumerate(GOOD)]


def test_answers_that_never_vary_lead_to_the_verdict_of_one_answer_each():
    thrice = verdict_of([worsened(0.3)] * 3, [GOOD] * 3).verdict
    once = judged(GOLD, GOOD, worsened(0.3)).verdict
    assert thrice.verdict is once.verdict is VerdictKind.BLOCK
    assert thrice.metrics["candidate"]["emotion_f1/fear"] == pytest.approx(
        once.metrics["candidate"]["emotion_f1/fear"]
    )
    for ours, theirs in zip(thrice.findings, once.findings, strict=False):
        if ours.kind == "non_inferiority":
            assert (ours.metric, ours.n) == (theirs.metric, theirs.n)
            assert ours.difference == pytest.approx(theirs.difference)
            assert ours.bound == pytest.approx(theirs.bound, abs=0.01)


def test_equal_models_that_sample_are_promoted_and_the_order_of_lines_means_nothing():
    runs = [noisy(GOLD, 0.95, seed) for seed in range(6)]
    loose = {"emotion_f1": {"margin": 0.08, "macro_margin": 0.08}}
    one = verdict_of(runs[:3], runs[3:], evaluators=loose)
    assert one.verdict.verdict is VerdictKind.PROMOTE
    candidate = RawAnswers(predictions=list(reversed(repeated(runs[:3]).predictions)))
    other = judged(
        GOLD, GOOD, GOOD,
        candidate=candidate, production=repeated(runs[3:]),
        policy=policy(repeats=3, evaluators=loose),
    )  # fmt: skip
    assert verdict_bytes(other.verdict) == verdict_bytes(one.verdict)


def test_an_answer_that_is_invalid_only_the_second_time_is_counted_as_wrong_that_time():
    second = [None if case.label == "fear" else label for case, label in zip(
        GOLD.cases, GOOD, strict=True
    )]  # fmt: skip
    verdict = verdict_of([GOOD, second], [GOOD, GOOD], repeats=2).verdict
    assert verdict.verdict is VerdictKind.BLOCK
    scores = [verdict.metrics[role]["emotion_f1/fear"] for role in ("candidate", "production")]
    assert scores[0] < 0.75 * scores[1]


def without(rows: Sequence[Prediction], *places: tuple[str, int]) -> list[Prediction]:
    return [row for row in rows if (row.case_id, row.repeat) not in places]


def twice_over(rows: Sequence[Prediction]) -> list[Prediction]:
    return [*rows, replace(rows[-1], label="joy")]


@pytest.mark.parametrize("role", ["candidate", "production"])
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            lambda rows: without(rows, ("c-00007", 2)),
            "1 of 1350 questions has no answer (c-00007 repeat 2); the policy asks each case 3",
        ),
        (twice_over, "1 case is answered more than once (c-00449 repeat 2)"),
        (
            lambda rows: [row for row in rows if row.repeat == 0],
            "900 of 1350 questions have no answer",
        ),
    ],
    ids=["one case once less", "twice", "one model once"],
)
def test_unequal_repeats_are_invalid_with_a_sentence(role, spoil, said):
    raw = {"candidate": repeated([GOOD] * 3), "production": repeated([GOOD] * 3)}
    raw[role] = RawAnswers(predictions=spoil(raw[role].predictions))
    verdict = judged(GOLD, GOOD, GOOD, **raw, policy=policy(repeats=3)).verdict
    assert verdict.verdict is VerdictKind.INVALID
    assert f"{role} predictions: {said}" in verdict.summary
    assert not verdict.findings


def test_more_answers_than_the_policy_counts_are_left_out_said_and_change_nothing():
    more = verdict_of([GOOD, worsened(0.9)], [GOOD], repeats=1).verdict
    once = verdict_of([GOOD], [GOOD], repeats=1).verdict
    assert more.findings == once.findings
    assert more.seed == once.seed
    [note] = more.context.notes
    assert "candidate: 450 answers are left out" in note
    again = judged(
        GOLD, GOOD, GOOD,
        candidate=repeated([GOOD, worsened(0.9)]), production=repeated([GOOD]),
        policy=policy(repeats=1), context=more.context,
    )  # fmt: skip
    assert verdict_bytes(again.verdict) == verdict_bytes(more)


def changed(share: float) -> list[str]:
    """Good answers, the first ones changed to another label."""
    other = {"joy": "anger", "anger": "fear", "fear": "joy"}
    return [other[label] if i < share * len(GOOD) else label for i, label in enumerate(GOOD)]


def test_production_asked_twice_shows_its_noise_beside_the_flips():
    judgement = verdict_of([changed(0.04)], [GOOD, changed(0.01)], repeats=1, noise_floor=True)
    found = noise_floor(judgement.verdict)
    assert found["status"] is FindingStatus.PASSED
    assert found["rates"] == (pytest.approx(18 / 450), pytest.approx(5 / 450))
    assert "disagrees with itself on 1.1% of 450 cases" in str(found["reason"])
    assert "the candidate disagrees with it on 4.0%, more than chance" in str(found["reason"])
    table = judgement.tables["emotion_f1"]["noise_floor"]
    assert (table["changed"], table["n"]) == (5, 450)
    assert judgement.tables["emotion_f1"]["flips"]["changed"] == 18
    assert judgement.verdict.metrics["production"]["emotion_f1/noise_floor"] == 5 / 450
    assert not judgement.verdict.context.notes


def test_flips_that_noise_may_explain_are_said_to_be_so():
    found = noise_floor(
        verdict_of([changed(0.01)], [GOOD, changed(0.01)], repeats=1, noise_floor=True).verdict
    )
    assert "no more than chance in the answers may explain" in str(found["reason"])


def test_several_answers_show_the_noise_floor_for_nothing():
    runs = [GOOD, changed(0.02), GOOD]
    found = noise_floor(verdict_of([GOOD] * 3, runs).verdict)
    assert found["rates"] == (0.0, pytest.approx(9 / 450))


def test_a_noise_floor_that_was_wanted_and_not_measured_is_undecided_and_decides_nothing():
    verdict = verdict_of([GOOD], [GOOD], repeats=1, noise_floor=True).verdict
    assert noise_floor(verdict)["status"] is FindingStatus.UNDECIDED
    assert verdict.verdict is VerdictKind.PROMOTE


def test_the_second_answers_that_are_only_there_for_the_noise_draw_no_other_numbers():
    quiet = verdict_of([GOOD], [GOOD, GOOD], repeats=1, noise_floor=True).verdict
    loud = verdict_of([GOOD], [GOOD, changed(0.5)], repeats=1, noise_floor=True).verdict
    assert quiet.seed == loud.seed
    gating = [[f for f in v.findings if f.gating] for v in (quiet, loud)]
    assert gating[0] == gating[1]


def test_the_gate_tests_itself_on_answers_given_several_times():
    runs = [noisy(GOLD, 0.95, seed) for seed in range(2)]
    outcomes = selftest(
        golden=GOLD, task=task(), policy=policy(repeats=2), production=repeated(runs)
    )
    assert all(outcome.sound for outcome in outcomes)
    [identical] = [outcome for outcome in outcomes if outcome.mutant == "identical"]
    assert identical.verdict is VerdictKind.PROMOTE


def test_a_degraded_class_loses_its_share_of_cases_not_of_answers():
    rows = repeated([GOOD, GOOD]).predictions
    truth = {case.id: case.label for case in GOLD.cases}
    spoilt = degraded_class(rows, truth, "fear", 0.10, seed=1)
    before, after = (
        {p.case_id for p in answered if p.label == truth[p.case_id] == "fear"}
        for answered in (rows, spoilt)
    )
    assert len(before) - len(after) == round(0.10 * len(before))


def test_a_first_answer_is_written_without_its_number_and_read_back(tmp_path):
    first, second = answers(GOLD, GOOD)[0], replace(answers(GOLD, GOOD)[0], repeat=1)
    assert "repeat" not in to_json(first)
    path = tmp_path / "predictions.jsonl"
    path.write_text("".join(json.dumps(to_json(row)) + "\n" for row in (first, second)))
    assert read_predictions(path) == (first, second)
