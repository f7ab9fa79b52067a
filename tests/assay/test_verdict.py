import json
from dataclasses import replace

import pytest

from assay.documents import parse_json
from assay.errors import ConfigError
from assay.records import ArtifactRef, Finding, FindingStatus, Problem, RunContext, VerdictKind
from assay.refusal import unmeasured
from assay.verdict import decide, next_steps, summarise, verdict_bytes
from assay.verdict_document import verdict_from_json

PASSED = Finding(
    evaluator="e", metric="e/x", kind="limit", status=FindingStatus.PASSED, reason="X is fine."
)
FAILED = replace(PASSED, metric="e/y", status=FindingStatus.FAILED, reason="Y is broken.")
OPEN = replace(PASSED, metric="e/z", status=FindingStatus.UNDECIDED, reason="Z is unclear.")
PROBLEM = Problem(where="p", reason="the server died.", action="look at its log.")
CONTEXT = RunContext(
    run_id="r",
    candidate=ArtifactRef(model="emotion-demo", version="1.1.0", digest="sha256:a"),
    production=ArtifactRef(model="emotion-demo", version="1.0.0", digest="sha256:b"),
)


@pytest.mark.parametrize(
    ("findings", "problems", "kind"),
    [
        ([PASSED], [], VerdictKind.PROMOTE),
        ([PASSED, OPEN], [], VerdictKind.INCONCLUSIVE),
        ([PASSED, OPEN, FAILED], [], VerdictKind.BLOCK),
        ([PASSED, FAILED], [PROBLEM], VerdictKind.INVALID),
        ([PASSED, replace(FAILED, kind="self_test")], [], VerdictKind.INVALID),
        ([PASSED, replace(OPEN, kind="self_test")], [], VerdictKind.INVALID),
        ([PASSED, replace(FAILED, gating=False)], [], VerdictKind.PROMOTE),
        ([PASSED, replace(OPEN, gating=False)], [], VerdictKind.PROMOTE),
        ([replace(PASSED, gating=False)], [], VerdictKind.INCONCLUSIVE),
        ([], [], VerdictKind.INCONCLUSIVE),
    ],
)
def test_the_verdict_is_the_worst_that_was_shown(findings, problems, kind):
    assert decide(findings, problems) is kind
    assert decide(findings[::-1], problems) is kind
    summary = summarise(kind, findings, problems, CONTEXT)
    assert "emotion-demo 1.1.0" in summary
    assert summary.endswith((".", ")"))
    assert next_steps(kind, findings, problems)


def test_the_summary_gives_the_first_reason_and_names_the_others():
    others = [FAILED] + [replace(FAILED, metric=f"e/{i}") for i in range(7)]
    text = summarise(VerdictKind.BLOCK, others, [], CONTEXT)
    assert text.startswith("emotion-demo 1.1.0 must not replace emotion-demo 1.0.0: Y is broken.")
    assert text.endswith("and 2 more also failed.)")


def test_the_summary_leads_with_the_class_that_lost_most():
    macro = replace(FAILED, metric="e/macro", difference=-0.3, reason="The mean fell.")
    some = replace(FAILED, metric="e/joy", label="joy", difference=-0.1, reason="Joy fell.")
    most = replace(FAILED, metric="e/fear", label="fear", difference=-0.2, reason="Fear fell.")
    floor = replace(FAILED, metric="e/fear", label="fear", kind="floor", reason="Fear is low.")
    findings = [macro, some, most, floor]
    text = summarise(VerdictKind.BLOCK, findings, [], CONTEXT)
    assert text.endswith("1.0.0: Fear fell. (`e/joy`, `e/macro` also failed.)")
    steps = next_steps(VerdictKind.BLOCK, findings, [])
    assert steps == ("Mend `fear`, `joy` and `e/macro`, and publish the model as a new version.",)


@pytest.mark.parametrize("kind", [VerdictKind.BLOCK, VerdictKind.INCONCLUSIVE, VerdictKind.PROMOTE])
def test_a_first_release_is_never_said_to_replace_or_equal_anything(kind):
    context = replace(CONTEXT, production=None)
    text = summarise(kind, [PASSED, FAILED, OPEN], [], context)
    assert "replace" not in text
    assert "production" not in text


def test_one_open_check_more_is_undecided_and_two_are():
    one, two = replace(OPEN, metric="e/1"), replace(OPEN, metric="e/2")
    assert summarise(VerdictKind.INCONCLUSIVE, [OPEN, one], [], CONTEXT).endswith(
        "(`e/1` is undecided too.)"
    )
    assert summarise(VerdictKind.INCONCLUSIVE, [OPEN, one, two], [], CONTEXT).endswith(
        "(`e/1`, `e/2` are undecided too.)"
    )


@pytest.mark.parametrize(
    ("finding", "said"),
    [
        (
            replace(
                OPEN, kind="non_inferiority", metric="e/fear", label="fear", needed=61, margin=0.05
            ),
            "61 more cases of `fear` would settle it at the margin 0.05.",
        ),
        (
            replace(OPEN, needed=1, margin=0.02),
            "1 more case would settle `e/z` against its limit 0.02.",
        ),
        (
            replace(OPEN, kind="floor", metric="e/fear", label="fear", needed=9, margin=0.3),
            "9 more cases of `fear` would settle it against its floor 0.3.",
        ),
        (
            replace(OPEN, kind="non_inferiority", slice="lang_vi", needed=40, margin=0.08),
            "40 more cases of the slice lang_vi would settle it at the margin 0.08.",
        ),
        (
            replace(OPEN, kind="non_inferiority", metric="e/fear/anchor", label="fear", needed=2),
            "2 more cases of `fear` would settle `fear` (e/fear/anchor).",
        ),
        (replace(OPEN, needed=None), "Settle `e/z`: Z is unclear."),
    ],
)
def test_next_steps_say_what_would_settle_it(finding, said):
    steps = next_steps(VerdictKind.INCONCLUSIVE, [PASSED, finding], [])
    assert steps[0].startswith(said)
    assert any("new golden version" in step for step in steps)


@pytest.mark.parametrize(("p", "written"), [(1e-30, 1e-6), (0.01234567, 0.012346), (1.0, 1.0)])
def test_a_p_value_is_rounded_and_never_written_as_zero(p, written):
    verdict = unmeasured(replace(CONTEXT, problems=(PROBLEM,)))
    stored = verdict_bytes(replace(verdict, findings=(replace(PASSED, p=p),)))
    [finding] = verdict_from_json(json.loads(stored)).findings
    assert finding.p == written


def test_only_an_invalid_run_is_told_to_run_again():
    for kind in VerdictKind:
        steps = " ".join(next_steps(kind, [FAILED, OPEN], [PROBLEM]))
        assert ("may be repeated with nothing changed" in steps) == (kind is VerdictKind.INVALID)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"verdict": "maybe"}, "verdict"),
        ({"seed": "xyz"}, "seed"),
        ({"schema_version": 2}, "schema_version"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_stored_verdict_that_is_none_is_refused_with_the_field(change, said):
    stored = {
        "schema_version": 1, "verdict": "block", "summary": "No.", "findings": [], "next_steps": [],
        "inputs": {}, "metrics": {}, "seed": "0" * 16, "only": [], "context": {"run_id": "r"},
    }  # fmt: skip
    verdict_from_json(parse_json(json.dumps(stored), "v.json"), "v.json")
    with pytest.raises(ConfigError, match=rf"v\.json.*{said}"):
        verdict_from_json(stored | change, "v.json")
