"""The verdict: four possible answers, one sentence, the next steps, and its bytes.

Decides how findings and problems become `promote`, `block`, `inconclusive` or `invalid`, and how a
verdict is written and read. It does not measure (the evaluators do) and moves nothing.

::

    a problem, or a failed self-test      → invalid        nothing was learnt
    a gating finding failed               → block          shown to be worse, or a limit is broken
    a gating finding undecided, or none   → inconclusive   not shown either way
    every gating finding passed           → promote        shown to be as good, within the margins

All gating findings must pass, so none is corrected for their number (intersection-union test).
"""

import json
import math
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from assay.records import (
    ArtifactRef,
    Finding,
    FindingStatus,
    Problem,
    RunContext,
    Verdict,
    VerdictKind,
)
from assay.wording import are, counted, listed

DECIMALS = 6
"""Numbers in a written verdict are rounded to this many decimals; decisions use the exact ones.

A p-value is never written as 0, which no test can give: a smaller one is written as the smallest.
"""

SELF_TEST = "self_test"


def decide(findings: Sequence[Finding], problems: Sequence[Problem]) -> VerdictKind:
    """Returns the verdict that findings and problems add up to.

    Args:
        findings: of every evaluator; those with `gating=False` only inform.
        problems: what kept the gate from measuring.
    """
    gating = [finding for finding in findings if finding.gating]
    if problems or any(
        f.kind == SELF_TEST and f.status is not FindingStatus.PASSED for f in gating
    ):
        return VerdictKind.INVALID
    if any(finding.status is FindingStatus.FAILED for finding in gating):
        return VerdictKind.BLOCK
    if not gating or any(finding.status is FindingStatus.UNDECIDED for finding in gating):
        return VerdictKind.INCONCLUSIVE
    return VerdictKind.PROMOTE


def may_move_alias(verdict: Verdict) -> bool:
    """Whether this verdict is one that may move `production`: promote, from all evaluators."""
    return verdict.verdict is VerdictKind.PROMOTE and not verdict.only


def summarise(
    kind: VerdictKind,
    findings: Sequence[Finding],
    problems: Sequence[Problem],
    context: RunContext,
    only: Sequence[str] = (),
) -> str:
    """Returns the verdict in a sentence or two."""
    candidate = _name(context.candidate, "the candidate")
    production, be = _name(context.production, "production"), "is"
    if context.production_engine is not None:
        candidate, production = f"the new engine settings of {candidate}", "those in production"
        be = "are"
    first = context.production is None and all(f.production is None for f in findings)
    gating = [finding for finding in findings if finding.gating]
    failed = _leading(gating, FindingStatus.FAILED)
    undecided = _leading(gating, FindingStatus.UNDECIDED)
    if kind is VerdictKind.INVALID:
        reasons = [_sentence(problem.reason) for problem in problems] or [_first_self_test(gating)]
        text = f"The gate could not judge {candidate}: {' '.join(reasons)}"
    elif kind is VerdictKind.BLOCK:
        what = "be released" if first else f"replace {production}"
        text = f"{_capital(candidate)} must not {what}: {failed[0].reason}"
        others = _others(failed)
        text += f" ({', '.join(others)} also failed.)" if others else ""
    elif kind is VerdictKind.INCONCLUSIVE:
        what = "may be the first release" if first else f"{be} as good as {production}"
        text = f"It is not shown that {candidate} {what}: "
        text += undecided[0].reason if undecided else "no check was made."
        others = _others(undecided)
        text += f" ({', '.join(others)} {are(len(others))} undecided too.)" if others else ""
    elif first:
        text = f"{_capital(candidate)} may be the first release: {_all(gating)} passed."
    else:
        text = f"{_capital(candidate)} may replace {production}: {_all(gating)} passed."
    if only:
        text += f" Only {', '.join(only)} was judged, so this verdict may not move an alias."
    return text


def next_steps(
    kind: VerdictKind,
    findings: Sequence[Finding],
    problems: Sequence[Problem],
    only: Sequence[str] = (),
    *,
    about_settings: bool = False,
) -> tuple[str, ...]:
    """Returns what a release manager can do now, most useful first, each sentence once.

    Args:
        kind: the verdict.
        findings: of every evaluator.
        problems: what kept the gate from measuring.
        only: the evaluators judged, where not all were.
        about_settings: whether engine settings were judged, and not a model.
    """
    again = "publish the model as a new version"
    if about_settings:
        again = "gate the corrected settings; production keeps its own"
    steps: list[str] = []
    gating = [finding for finding in findings if finding.gating]
    if kind is VerdictKind.INVALID:
        steps += [problem.action[:1].upper() + problem.action[1:] for problem in problems]
        steps.append("Run the gate again: an invalid run may be repeated with nothing changed.")
    if kind is VerdictKind.BLOCK:
        failed = _leading(gating, FindingStatus.FAILED)
        if subjects := dict.fromkeys(_subject(finding) for finding in failed):
            steps.append(f"Mend {listed(subjects)}, and {again}.")
    if kind is VerdictKind.INCONCLUSIVE:
        undecided = _leading(gating, FindingStatus.UNDECIDED)
        steps += [_settle(finding) for finding in undecided]
        steps.append(
            "Running the same gate again gives the same answer: add cases in a new golden version, "
            "or publish a new candidate."
        )
    if only:
        steps.append("Run the gate without --only for a verdict that may move an alias.")
    if kind is VerdictKind.PROMOTE and not only:
        moves = "these settings may be production's" if about_settings else _ALIAS_MOVES
        steps.append(f"Nothing is left to do: {moves}.")
    return tuple(dict.fromkeys(steps))


_ALIAS_MOVES = "the alias `production` may move to this version"


def _leading(gating: Sequence[Finding], status: FindingStatus) -> list[Finding]:
    """Findings of a status: classes first, the largest loss first, then the others as they came."""

    def place(finding: Finding) -> tuple[bool, float]:
        lost = 0.0 if finding.label is None else finding.difference or 0.0
        return finding.label is None, lost

    return sorted((finding for finding in gating if finding.status is status), key=place)


def _settle(finding: Finding) -> str:
    if finding.needed is None:
        return f"Settle {_subject(finding)}: {finding.reason}"
    of, it = "", _subject(finding)
    if finding.label:
        of = f" of `{finding.label}`"
        it = "it" if it == f"`{finding.label}`" else it
    elif finding.slice:
        of, it = f" of the slice {finding.slice}", "it"
    against = ""
    if finding.margin is not None:
        against = f" {_LIMITS.get(finding.kind, 'against its limit')} {finding.margin:g}"
    more = counted(finding.needed, f"more {finding.sample}")
    return f"{more}{of} would settle {it}{against}."


_LIMITS = {
    "non_inferiority": "at the margin",
    "rate": "at the margin",
    "floor": "against its floor",
}
"""Kind of finding → what its margin is."""


def _subject(finding: Finding) -> str:
    """The class or the slice, and the metric where that alone would not say it."""
    if finding.slice:
        return f"the slice {finding.slice}"
    if finding.label and finding.metric == f"{finding.evaluator}/{finding.label}":
        return f"`{finding.label}`"
    return f"`{finding.label}` ({finding.metric})" if finding.label else f"`{finding.metric}`"


def _others(findings: Sequence[Finding]) -> list[str]:
    """Metrics of all but the first finding, at most five by name."""
    names = list(dict.fromkeys(f"`{f.metric}`" for f in findings if f.metric != findings[0].metric))
    more = len(names) - 5
    return [*names[:4], f"{names[4]} and {more} more"] if more > 0 else names


def _all(gating: Sequence[Finding]) -> str:
    return "the one check" if len(gating) == 1 else f"all {counted(len(gating), 'check')}"


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."


def _first_self_test(gating: Sequence[Finding]) -> str:
    tests = (f for f in gating if f.kind == SELF_TEST and f.status is not FindingStatus.PASSED)
    return next(tests).reason


def _name(ref: ArtifactRef | None, otherwise: str) -> str:
    return otherwise if ref is None else f"{ref.model} {ref.version}"


def _capital(text: str) -> str:
    # A model's own name is never recased.
    return text[:1].upper() + text[1:] if text.startswith(("the ", "production")) else text


def verdict_to_json(verdict: Verdict) -> dict[str, Any]:
    """Returns the verdict as the JSON object that `verdict.json` holds.

    Numbers are rounded to `DECIMALS`; a finding's `label` is called `class`; the seed is 16
    hexadecimal digits, because JSON numbers lose integers above 2^53.
    """
    document: dict[str, Any] = {"schema_version": verdict.schema_version}
    for field in fields(verdict):
        document[field.name] = _plain(getattr(verdict, field.name))
    document["seed"] = f"{verdict.seed:016x}"
    return document


def verdict_bytes(verdict: Verdict) -> bytes:
    """Returns the bytes of `verdict.json`: the same inputs give the same bytes."""
    text = json.dumps(verdict_to_json(verdict), indent=2, ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Finding):
        row = {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
        if value.p is not None:
            row["p"] = max(row["p"], 10**-DECIMALS)
        return {"class" if name == "label" else name: item for name, item in row.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float):
        return round(value, DECIMALS) + 0.0 if math.isfinite(value) else value
    if isinstance(value, dict) or hasattr(value, "items"):
        return {str(key): _plain(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value
