"""The contract of golden validators, and what is Great Expectations' own."""

import dataclasses
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pytest

from assay import digests
from assay.adapters.in_memory_golden import InMemoryGoldenValidator
from assay.adapters.validator_gx import ROW, Expectation, GxValidator, run_expectations
from assay.errors import EvaluatorError
from assay.golden_checks import Claim
from assay.golden_set import GoldenSet, golden_digest
from assay.ports import GoldenValidator
from assay.records import Finding, FindingStatus, GoldenCase

LABELS = ("positive", "negative")
SECRET = "words nobody may see"
PASSED, FAILED, UNDECIDED = FindingStatus.PASSED, FindingStatus.FAILED, FindingStatus.UNDECIDED


def case(name: str, text: str | None = None, **changes: object) -> GoldenCase:
    words = f"{SECRET} {name}" if text is None else text
    made = GoldenCase(
        id=name,
        text=words,
        text_sha256=digests.text_sha256(words),
        label="positive",
        lang="pt-BR",
        source="support",
        stratum="core",
        slices=(),
        added_in="3",
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def golden_of(*cases: GoldenCase) -> GoldenSet:
    return GoldenSet(cases=cases, digest=golden_digest(cases), revision="r")


@pytest.fixture(params=[GxValidator, InMemoryGoldenValidator])
def validator(request: pytest.FixtureRequest) -> GoldenValidator:
    made: GoldenValidator = request.param()
    return made


def status_of(findings: Sequence[Finding]) -> dict[str, FindingStatus]:
    return {finding.metric.removeprefix("golden_set/"): finding.status for finding in findings}


def test_a_small_set_of_another_task_and_language_passes(validator: GoldenValidator) -> None:
    golden = golden_of(case("1"), case("2", label="negative"))
    findings = validator.check(golden, LABELS)
    assert set(status_of(findings).values()) == {PASSED}
    assert list(status_of(findings)) == [
        "rows",
        "ids_present",
        "ids_unique",
        "labels",
        "languages",
        "texts_present",
        "texts_unique",
    ]
    assert all(one.evaluator == "golden_set" for one in findings)
    assert all(one.kind == "self_test" and one.gating and one.n == 2 for one in findings)


@pytest.mark.parametrize(
    ("broken", "wrong"),
    [
        ("ids_present", lambda: [case("1"), case(" ", "two")]),
        ("ids_unique", lambda: [case("1", "one"), case("1", "two")]),
        ("labels", lambda: [case("1"), case("2", label="neutral")]),
        ("languages", lambda: [case("1"), case("2", lang=" ")]),
        ("texts_present", lambda: [case("1"), case("2", "\u200b \u2060")]),
        ("texts_unique", lambda: [case("1", "Tudo bem?"), case("2", "tudo  BEM?")]),
    ],
)
def test_one_broken_claim_fails_alone_and_names_its_cases_without_text(
    validator: GoldenValidator, broken: str, wrong: Callable[[], list[GoldenCase]]
) -> None:
    findings = validator.check(golden_of(*wrong()), LABELS)
    assert {name for name, status in status_of(findings).items() if status is not PASSED} == {
        broken
    }
    [finding] = [one for one in findings if one.status is FAILED]
    assert " of 2 rows break it: '" in finding.reason
    assert repr(wrong()[1].id) in finding.reason
    assert not any(SECRET in one.reason or "BEM" in one.reason for one in findings)


def test_an_empty_set_passes_nothing(validator: GoldenValidator) -> None:
    found = status_of(validator.check(golden_of(), LABELS))
    assert found.pop("rows") is FAILED
    assert set(found.values()) == {UNDECIDED}


def test_texts_that_differ_by_their_last_mark_are_two(validator: GoldenValidator) -> None:
    golden = golden_of(case("1", "great :)"), case("2", "great :("), case("3", "great!"))
    assert set(status_of(validator.check(golden, LABELS)).values()) == {PASSED}


def test_evidence_is_checked_by_the_digests_of_its_texts(validator: GoldenValidator) -> None:
    hidden = [dataclasses.replace(case(name, "same"), text=None) for name in ("1", "2")]
    found = status_of(validator.check(golden_of(*hidden), LABELS))
    assert {name for name, status in found.items() if status is FAILED} == {"texts_unique"}


def test_a_reason_names_five_cases_at_most(validator: GoldenValidator) -> None:
    golden = golden_of(*(case(f"c-{number}", label="x") for number in range(8)))
    [finding] = [one for one in validator.check(golden, LABELS) if one.status is FAILED]
    assert "8 of 8 rows" in finding.reason
    assert "'c-4' and 3 more" in finding.reason
    assert "'c-5'" not in finding.reason


def test_both_validators_say_the_same() -> None:
    golden = golden_of(case("1", "a"), case("1", "a"), case("2", "", label="x"), case("", lang=""))
    assert GxValidator().check(golden, LABELS) == InMemoryGoldenValidator().check(golden, LABELS)


def claim(name: str) -> Claim:
    return Claim(name=name, says="it is so", action="mend it")


def test_an_engine_error_is_neither_a_pass_nor_a_fail_and_quotes_no_text() -> None:
    frame = pd.DataFrame({ROW: ["a"], "text": [SECRET]}, dtype=object)
    fine = Expectation(
        claim=claim("fine"), kind="expect_column_values_to_be_unique", kwargs={"column": "text"}
    )
    for kind, kwargs in (
        ("expect_column_values_to_be_unique", {"column": "absent"}),
        ("expect_column_values_to_be_between", {"column": "text", "min_value": 3}),
    ):
        broken = Expectation(claim=claim("broken"), kind=kind, kwargs=kwargs)
        with pytest.raises(EvaluatorError, match=r"broken: .* nothing is known") as caught:
            run_expectations(frame, [fine, broken])
        assert SECRET not in str(caught.value)


def test_outcomes_come_in_the_order_of_the_expectations() -> None:
    frame = pd.DataFrame({ROW: ["a", "b"], "n": [1, 2]})
    expectations = [
        Expectation(
            claim=claim(name),
            kind="expect_column_values_to_be_between",
            kwargs={"column": "n", "min_value": low},
        )
        for name, low in (("z", 2), ("a", 0), ("m", 3))
    ]
    outcomes = run_expectations(frame, expectations)
    assert [one.claim.name for one in outcomes] == ["z", "a", "m"]
    assert [one.failed for one in outcomes] == [("a",), (), ("a", "b")]


def test_importing_the_adapter_does_not_import_great_expectations_and_checking_is_silent() -> None:
    program = (
        "import sys\n"
        "from assay.adapters.validator_gx import GxValidator\n"
        "from assay.golden_set import GoldenSet\n"
        "assert 'great_expectations' not in sys.modules and 'pandas' not in sys.modules\n"
        "GxValidator().check(GoldenSet(cases=(), digest='', revision=''), ['a'])\n"
        "assert 'great_expectations' in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
