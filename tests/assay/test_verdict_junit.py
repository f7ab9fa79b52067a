"""A verdict as CI systems read it: JUnit XML through an independent reader, and Markdown."""

from dataclasses import replace

import pytest
from junitparser import Error, Failure, JUnitXml, Skipped, TestSuite

from assay.records import ArtifactRef, Finding, FindingStatus, Problem, RunContext, Verdict
from assay.verdict import decide, summarise
from assay.verdict_junit import junit_bytes
from assay.verdict_markdown import as_markdown

PASSED, FAILED, UNDECIDED = FindingStatus.PASSED, FindingStatus.FAILED, FindingStatus.UNDECIDED
CONTEXT = RunContext(
    run_id="r-1",
    started_at="2026-11-23T10:00:00+00:00",
    finished_at="2026-11-23T10:01:30+00:00",
    candidate=ArtifactRef(model="emotion", version="1.2.0", digest="sha256:00"),
)


def finding(status: FindingStatus, **changes: object) -> Finding:
    plain = {"evaluator": "emotion_f1", "metric": "emotion_f1/fear", "kind": "non_inferiority"}
    return Finding(**(plain | {"status": status, "reason": f"It is {status}."} | changes))  # type: ignore[arg-type]


def verdict(*findings: Finding, problems: tuple[Problem, ...] = ()) -> Verdict:
    kind, context = decide(findings, problems), replace(CONTEXT, problems=problems)
    return Verdict(
        verdict=kind,
        summary=summarise(kind, findings, problems, context),
        findings=findings,
        next_steps=("Mend it.",),
        inputs={"golden": "sha256:11"},
        metrics={},
        seed=1,
        only=(),
        context=context,
    )


def suite(document: bytes) -> TestSuite:
    (only,) = JUnitXml.fromstring(document)
    return only


def outcome(document: bytes) -> list[type | None]:
    return [type(case.result[0]) if case.result else None for case in suite(document)]


def test_each_finding_is_one_test_case_and_a_promote_has_nothing_red() -> None:
    read = suite(junit_bytes(verdict(finding(PASSED), finding(PASSED, metric="emotion_f1/joy"))))
    assert (read.tests, read.failures, read.errors, read.skipped) == (2, 0, 0, 0)
    assert read.name == "assay emotion 1.2.0"
    assert (read.time, read.timestamp) == (90.0, CONTEXT.started_at)
    stated = {one.name: one.value for one in read.properties()}
    assert stated == {"verdict": "promote", "run": "r-1", "input.golden": "sha256:11"}
    assert [case.classname for case in read] == ["assay.emotion_f1"] * 2


@pytest.mark.parametrize(
    ("status", "gating", "kind"),
    [
        (FAILED, True, Failure),
        (UNDECIDED, True, Error),
        (FAILED, False, Skipped),
        (UNDECIDED, False, Skipped),
        (PASSED, False, None),
    ],
)
def test_undecided_is_an_error_and_what_only_informs_is_skipped(
    status: FindingStatus, gating: bool, kind: type | None
) -> None:
    document = junit_bytes(verdict(finding(PASSED), finding(status, gating=gating)))
    assert outcome(document) == [None, kind]


def test_an_invalid_run_without_findings_is_an_error_and_says_what_to_mend() -> None:
    problem = Problem(where="store", reason="It does not answer.", action="see that it runs")
    document = junit_bytes(verdict(problems=(problem,)))
    assert outcome(document) == [Error]
    (case,) = suite(document)
    assert "see that it runs" in case.result[0].text


def test_a_verdict_that_no_check_explains_is_a_case_of_its_own() -> None:
    assert outcome(junit_bytes(verdict())) == [Error]
    advisory = verdict(finding(FAILED, gating=False))
    assert advisory.verdict.value == "inconclusive"
    assert outcome(junit_bytes(advisory)) == [Skipped, Error]


def test_a_promote_that_moved_nothing_is_an_error() -> None:
    document = junit_bytes(verdict(finding(PASSED)), not_promoted="The policy freezes releases.")
    assert outcome(document) == [None, Error]
    assert suite(document).errors == 1


def test_signs_that_xml_cannot_hold_do_not_make_a_file_that_nobody_reads() -> None:
    strange = finding(FAILED, reason='a <b> & \x00\x1b\ud800 ]]> "c"', label="a\x07")
    (case,) = suite(junit_bytes(verdict(strange)))
    assert case.result[0].message.startswith("a <b> & ���")


def test_nothing_that_a_verdict_quotes_becomes_markup() -> None:
    hostile = finding(
        FAILED,
        metric="emotion_f1/a|b`c",
        reason="<img src=x>\n# heading ![x](http://y) @everybody",
    )
    page = as_markdown(verdict(hostile))
    assert "<img" not in page
    assert "\n# heading" not in page
    assert "![x](" not in page
    assert "@everybody" not in page
    (row,) = [line for line in page.splitlines() if line.startswith("| ✗")]
    assert row.replace("\\|", "").count("|") == 8
